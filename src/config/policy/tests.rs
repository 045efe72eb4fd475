//! A policy's file: what it may hold, and every mistake in it at once.

use super::*;
use crate::policy::canonical::{Told, canonical};

fn read(text: &str) -> Result<(Arc<Policy>, Vec<String>), Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    std::fs::write(&path, text).unwrap();
    let files = PolicyFiles { routes: Some(path.clone()), ..PolicyFiles::default() };
    let source = PolicySource::new(files, vec![ClaimPath::parse("roles")]);
    let plain = |line: &String| line.replace(&path.display().to_string(), "FILE");
    match source.read() {
        Ok((set, found)) => {
            let policy = set.policy.expect("routes");
            Ok((policy, found.warnings().iter().map(plain).collect()))
        }
        Err(mistakes) => Err(mistakes.lines().iter().map(plain).collect()),
    }
}

fn mistakes(text: &str) -> Vec<String> {
    read(text).map(|(policy, _)| policy.len()).expect_err(text)
}

#[test]
fn all_that_a_route_may_say_is_read() {
    let (policy, warnings) = read(
        r#"
        default = "token"
        cors_preflight = "allow"

        [[route]]
        name = "health"
        path = "/health"
        methods = ["GET"]
        require = "nothing"

        [[route]]
        name = "never"
        path = ["/internal/*", "/metrics"]
        require = "never"

        [[route]]
        name = "own"
        host = ["*.Example.org", "bücher.example", "[::1]", "127.0.0.1"]
        path = "/users/{id}/*"
        networks = ["10.0.0.0/8", "::1"]
        [route.require]
        scopes = { all = ["a"], any = ["b", "c"] }
        roles = ["editor"]
        issuer = "https://one.test"
        audience = ["app", "api"]
        claims = { sub = "{id}", level = [1, "two", true] }
        max_login_age = 3600
        gateway_certificate = true
        client_certificate = "any"
        any = [{ scopes = ["x"] }, { roles = { any = ["y"] } }]
        "#,
    )
    .unwrap();
    assert_eq!((policy.len(), policy.allows_preflight()), (3, true));
    let hidden = ": /health (route \"health\", line 5); /internal/* (route \"never\", line 11); \
                  /metrics (route \"never\", line 11)";
    assert!(warnings[0].ends_with(hidden), "{warnings:?}");
    for (host, path, name) in [
        ("any.test", "/health", Some("health")),
        ("any.test", "/metrics", Some("never")),
        ("a.example.org", "/users/5/x", Some("own")),
        ("xn--bcher-kva.example", "/users/5/x", Some("own")),
        ("[::1]", "/users/5/", Some("own")),
        ("any.test", "/other", None),
    ] {
        let told = Told {
            method: Some("GET"),
            scheme: Some("https"),
            host: Some(host),
            target: Some(path),
            client: Some("10.1.1.1".parse().unwrap()),
        };
        let found = policy.find(&canonical(&told).unwrap()).unwrap().expect("a route");
        assert_eq!(found.name.map(|name| &**name), name, "{host}{path}");
    }
}

/// Each row: a file with one mistake, and a part of what is said of it.
fn check_mistakes(rows: &[(&str, &str)]) {
    for (text, problem) in rows {
        let found = mistakes(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].starts_with("FILE") && found[0].contains(problem), "{text}: {found:?}");
    }
}

#[test]
fn every_mistake_is_named_with_its_line_and_what_to_do() {
    check_mistakes(&[
        ("deflt = 1", "line 1: unknown field `deflt`, expected one of"),
        ("default = \"allow\"", "line 1: default: unknown variant `allow`, expected one of"),
        ("[[route]]\npath = ", "line 2: "),
        ("\n[[route]]\nname = \"x\"", "line 2 (route 1): missing field `path`"),
        ("[[route]]\npath = \"/a\"\nmethod = [\"GET\"]", "unknown field `method`"),
        ("default = 5", "line 1: default: write a text"),
        ("[route]\npath = \"/a\"", "line 1: route: write [[route]], with two brackets"),
        ("route = 5", "line 1: route: write [[route]]"),
        ("route = [5]", "line 1 (route 1): a route is a table"),
        ("[[route]]\npath = 5", "line 2 (route 1): path: write a text, or a list of texts"),
        (
            "[[route]]\npath = \"/a\"\nmethods = \"GET\"",
            "line 3 (route 1): methods: write a list, not the text \"GET\"",
        ),
        (
            "[[route]]\npath = \"/a\"\n[route.require]\nscopes = [\"a\"]\nmax_login_age = \"1h\"",
            "line 5 (route 1): require.max_login_age: write a whole number that is not negative, not the \
             text \"1h\"",
        ),
        (
            "[[route]]\npath = \"/a\"\nrequire = { any = [\"x\"] }",
            "line 3 (route 1): require.any[0]: write a table, not the text \"x\"",
        ),
        (
            "[[route]]\npath = \"/a\"\nrequire = { any = [{ role = [\"x\"] }] }",
            "line 3 (route 1): require.any[0]: unknown field `role`",
        ),
        ("[[route]]\npath = \"/a\"\nrequire = { casbin = 5 }", "require.casbin: write a table"),
        ("[[route]]\npath = \"/a?x=1\"", "queries and fragments decide no route"),
        ("[[route]]\npath = \"/a#x\"", "queries and fragments decide no route"),
        ("[[route]]\npath = \"a\"", "path: \"a\": a path begins with a slash"),
        ("[[route]]\npath = []", "`path` is an empty list; name one"),
        ("[[route]]\npath = \"/a/{x}/{x}\"", "a parameter's name stands in it twice"),
        ("[[route]]\npath = \"/a\"\nname = \"\"", "`name` is empty"),
        ("[[route]]\npath = \"/a\"\nhost = \"a.test:80\"", "\"a.test:80\" is no host"),
        ("[[route]]\npath = \"/a\"\nhost = \"a.*\"", "\"a.*\" is no host"),
        ("[[route]]\npath = \"/a\"\nhost = \"a.test.\"", "\"a.test.\" is no host"),
        ("[[route]]\npath = \"/a\"\nmethods = [\"get\"]", "\"get\" is no method"),
        ("[[route]]\npath = \"/a\"\nmethods = []", "`methods` is an empty list"),
        ("[[route]]\npath = \"/a\"\nnetworks = [\"10.0.0\"]", "\"10.0.0\" is no network"),
    ]);
}

#[test]
fn every_mistake_in_what_a_route_needs_and_between_routes_is_named() {
    check_mistakes(&[
        ("[[route]]\npath = \"/a\"\nrequire = \"public\"", "write \"nothing\", \"token\""),
        ("[[route]]\npath = \"/a\"\nrequire = {}", "demands nothing in particular"),
        ("[[route]]\npath = \"/a\"\nrequire = { scope = [\"a\"] }", "unknown field `scope`"),
        (
            "[[route]]\npath = \"/a\"\nrequire = { scopes = \"a\" }",
            "require.scopes: write a list of texts, or a table",
        ),
        ("[[route]]\npath = \"/a\"\nrequire = { scopes = [\"a b\"] }", "\"a b\" is no scope"),
        ("[[route]]\npath = \"/a\"\nrequire = { scopes = [] }", "`scopes` is an empty list"),
        ("[[route]]\npath = \"/a\"\nrequire = { scopes = {} }", "`scopes` is an empty list"),
        ("[[route]]\npath = \"/a\"\nrequire = { roles = [\" \"] }", "a name is empty"),
        ("[[route]]\npath = \"/a\"\nrequire = { any = [] }", "`any` is an empty list"),
        ("[[route]]\npath = \"/a\"\nrequire = { gateway_certificate = false }", "is true, or left"),
        ("[[route]]\npath = \"/a\"\nrequire = { client_certificate = \"ab:cd\" }", "nor a SHA-256"),
        ("[[route]]\npath = \"/a\"\nrequire = { client_certificate = [] }", "is an empty list"),
        ("[[route]]\npath = \"/a\"\nrequire = { claims = { x = 1.5 } }", "whole numbers"),
        ("[[route]]\npath = \"/a\"\nrequire = { claims = { x = [] } }", "is an empty list"),
        ("[[route]]\npath = \"/a\"\nrequire = { claims = { x = \"{id}\" } }", "is no parameter"),
        ("[[route]]\npath = \"/a\"\nrequire = { max_login_age = -1 }", "require.max_login_age: "),
        (
            "[[route]]\npath = \"/a\"\n[[route]]\npath = \"/a\"",
            "line 3 (route 2): the route \"/a\" is never reached: the route \"/a\" (line 1) already takes \
             its requests to /a",
        ),
        ("[[route]]\npath = [\"/a\", \"/a\"]", "line 1 (route 1): it names /a twice"),
        (
            "[[route]]\npath = \"/a\"\nnetworks = [\"10.0.0.0/8\"]\n\
             [[route]]\npath = \"/a\"\nnetworks = [\"10.1.0.0/16\", \"10.9.9.9\"]",
            "line 4 (route 2): the route \"/a\" is never reached",
        ),
        (
            "[[route]]\npath = \"/a/{x}\"\n[[route]]\npath = \"/a/{y}\"",
            "line 3 (route 2): /a/{y} is the path /a/{x} of the route \"/a/{x}\" (line 1) with other names",
        ),
        (
            "[[route]]\npath = \"/a\"\nname = \"n\"\n[[route]]\npath = \"/b\"\nname = \"n\"",
            "another route is called \"n\"",
        ),
    ]);
}

#[test]
fn a_key_with_a_mistake_hides_no_other_mistake() {
    let text = "deflt = 1\n[[route]]\npath = \"a\"\nmethod = \"GET\"\nhost = 5\nmethods = [\"get\"]\n\
                [route.require]\nscope = 1\nmax_login_age = true\n";
    let found = mistakes(text);
    for problem in [
        "line 1: unknown field `deflt`",
        "line 8 (route 1): require: unknown field `scope`",
        "line 9 (route 1): require.max_login_age: ",
        "line 5 (route 1): host: ",
        "line 4 (route 1): unknown field `method`",
        "line 2 (route 1): path: \"a\"",
        "line 2 (route 1): methods: \"get\"",
    ] {
        assert!(found.iter().any(|it| it.contains(problem)), "{problem}: {found:?}");
    }
    assert_eq!(found.len(), 7, "{found:?}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text =
        "[[route]]\npath = \"a\"\nhost = \"b:1\"\nmethods = [\"x\"]\n[[route]]\npath = \"/;\"\n";
    assert_eq!(mistakes(text).len(), 4, "{:?}", mistakes(text));
}

#[test]
fn routes_of_one_place_may_differ_by_method_and_network() {
    let text = r#"
        [[route]]
        path = "/a"
        networks = ["10.0.0.0/8"]
        require = "nothing"
        [[route]]
        path = "/a"
        methods = ["GET"]
        [[route]]
        path = "/a"
    "#;
    assert_eq!(read(text).map(|(policy, _)| policy.len()), Ok(3));
}

#[test]
fn what_opens_or_shuts_everything_is_said() {
    let (_, warnings) = read("").unwrap();
    assert_eq!(warnings, ["FILE: there is no [[route]]: every request is denied"]);
    let (_, warnings) = read("default = \"public\"").unwrap();
    assert!(warnings[0].contains("lets everybody in"), "{warnings:?}");
}

#[test]
fn what_cannot_be_read_is_a_mistake() {
    let routes = Some("/nowhere/policy.toml".into());
    let files = PolicyFiles { routes, ..PolicyFiles::default() };
    let source = PolicySource::new(files, Vec::new());
    let mistakes = source.read().map(|_| ()).expect_err("no file").lines();
    assert!(mistakes[0].starts_with("/nowhere/policy.toml: cannot read it: "), "{mistakes:?}");
    assert!(mistakes[0].ends_with("(POLICY_FILE)"), "{mistakes:?}");
}

/// Each row: routes as host and path, and the warnings, each by a part of it.
#[test]
fn what_an_operator_may_not_have_meant_is_said() {
    let letters = "differ only in letter case";
    let hidden = "ignore them";
    let order = "regular expressions";
    for (routes, expected) in [
        (&[("a.test", "/x"), ("b.test", "/X"), ("*", "/*")][..], &[][..]),
        (&[("a.test", "/x"), ("a.test", "/X")], &[(letters, "a.test/x and a.test/X")]),
        (&[("*", "/é/{a}/*"), ("*", "/É/{b}/*")], &[(letters, "*/é/{a}/* and */É/{b}/*")]),
        (
            &[("*", "/Status"), ("a.test", "/status")],
            &[(hidden, ": /Status (route \"/Status\", line 1)")],
        ),
        (
            &[("*", "/health"), ("a.test", "/*"), ("*.b.test", "/health")],
            &[(hidden, ": /health (route \"/health\", line 1)")],
        ),
        (&[("*", "/health"), ("a.test", "/health"), ("a.test", "/x")], &[]),
        (&[("*", "/a/*"), ("*", "/{x}/b")], &[(order, "*/a/* and */{x}/b")]),
        (&[("*", "/{x}/b"), ("*", "/a/{y}")], &[(order, "*/a/{y} and */{x}/b")]),
        (
            &[("*", "/p/a/*"), ("*", "/p/{x}/b"), ("*", "/q/{x}/b")],
            &[(order, "*/p/a/* and */p/{x}/b")],
        ),
        (&[("*", "/a/b"), ("*", "/{x}/b"), ("*", "/{x}/*"), ("*", "/*")], &[]),
        (&[("*", "/a/c/*"), ("*", "/{x}/b")], &[]),
        (&[("*", "/a"), ("*", "/{x}/b")], &[]),
        (&[("a.test", "/a/*"), ("b.test", "/{x}/b")], &[]),
    ] {
        let route =
            |(host, path): &(&str, &str)| format!("[[route]]\nhost = {host:?}\npath = {path:?}\n");
        let text = routes.iter().map(route).collect::<Vec<_>>().concat();
        let (_, warnings) = read(&text).unwrap();
        assert_eq!(warnings.len(), expected.len(), "{text}: {warnings:?}");
        for (warning, (kind, example)) in warnings.iter().zip(expected) {
            assert!(warning.contains(kind) && warning.ends_with(example), "{text}: {warning}");
        }
    }
}

#[test]
fn many_of_a_kind_are_one_warning() {
    let both = |n: u32| format!("[[route]]\npath = \"/r{n}\"\n[[route]]\npath = \"/R{n}\"\n");
    let (_, warnings) = read(&(0..1_000).map(both).collect::<Vec<_>>().concat()).unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].ends_with(" and 995 more"), "{warnings:?}");
}
