//! The routes that are named beside a verdict: those that nearly took the request.

use super::*;

fn near(policy: &Policy, method: &str, url: &str) -> Vec<(String, &'static str)> {
    let request = canonical(&Told::of_url(method, url).unwrap()).unwrap();
    let missed = policy.near_misses(&request).into_iter();
    missed.map(|near| (near.route.to_owned(), near.reason)).collect()
}

fn example() -> Policy {
    let any = || Access::Required(Requirement::default());
    let one = |name: &str| vec![route(name, &[], None, any())];
    let places = vec![
        ("app.test", "/*", one("rest")),
        ("app.test", "/admin/*", one("admin")),
        ("app.test", "/Reports/{id}", one("reports")),
        (
            "app.test",
            "/items/{id}",
            vec![
                route("read", &["GET"], None, any()),
                route("inside", &["POST"], Some("10.0.0.0/8"), any()),
            ],
        ),
        ("other.test", "/items/{id}", one("of other")),
        ("other.test", "/*", one("rest of other")),
        ("*.wild.test", "/items/*", one("wild")),
    ];
    policy(places, Access::Denied)
}

#[test]
fn routes_that_nearly_took_a_request_are_named_with_what_was_missing() {
    let policy = example();
    let letters = "the path in other letters";
    let slash = "a slash more or less at the end";
    let less = "a more specific path comes before it";
    for (method, url, expected) in [
        ("GET", "http://app.test/", &[][..]),
        ("GET", "http://app.test/elsewhere", &[]),
        ("GET", "http://app.test/admin", &[("admin", slash)]),
        ("GET", "http://app.test/reports/1", &[("reports", letters)]),
        ("GET", "http://app.test/Reports/1/", &[("reports", slash)]),
        ("GET", "http://app.test/items/1", &[("inside", "another method")]),
        (
            "POST",
            "http://app.test/items/1",
            &[
                ("read", "another method"),
                ("inside", "a client that nobody knows"),
                ("rest", less),
                ("of other", "another host"),
                ("wild", "another host"),
            ],
        ),
        ("GET", "http://other.test/items/1/2", &[]),
        (
            "GET",
            "http://none.test/items/1",
            &[("read", "another host"), ("of other", "another host"), ("wild", "another host")],
        ),
        ("GET", "http://none.test/items/1/2", &[("wild", "another host")]),
        ("GET", "http://a.wild.test/things", &[]),
        (
            "GET",
            "http://a.b.wild.test/items/1",
            &[("read", "another host"), ("of other", "another host"), ("wild", "another host")],
        ),
    ] {
        let expected: Vec<_> =
            expected.iter().map(|(name, reason)| ((*name).to_owned(), *reason)).collect();
        assert_eq!(near(&policy, method, url), expected, "{method} {url}");
    }
}

#[test]
fn a_path_below_a_route_that_ends_names_it() {
    let any = Access::Required(Requirement::default());
    let places = vec![("*", "/users/{id}", vec![route("user", &[], None, any)])];
    let policy = policy(places, Access::Denied);
    let above = [("user".to_owned(), "a path above this one")];
    assert_eq!(near(&policy, "GET", "http://a.test/users/1/keys/2"), above);
    assert_eq!(near(&policy, "GET", "http://a.test/things/1"), []);
}

/// A request at a place that thousands of hosts share names five of them.
#[test]
fn the_list_is_short() {
    let hosts: Vec<String> = (0..2_000).map(|n| format!("h{n}.test")).collect();
    let any = || vec![route("r", &[], None, Access::Public)];
    let places = hosts.iter().map(|host| (host.as_str(), "/a", any())).collect();
    let policy = policy(places, Access::Denied);
    assert_eq!(near(&policy, "GET", "http://none.test/a").len(), 5);
}
