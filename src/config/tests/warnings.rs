//! Warnings: of what is allowed, but may not be meant.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn warnings(values: &[(&str, &str)]) -> Vec<String> {
    with_secret(values).unwrap().warnings
}

#[test]
fn much_leeway_is_told_with_its_unit() {
    for few in ["0", "1", "10"] {
        assert_eq!(warnings(&[("LEEWAY", few)]), [""; 0], "{few}");
    }
    let told = warnings(&[("LEEWAY", "60")]);
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("LEEWAY: is 60 minutes, not seconds"), "{told:?}");
}

#[test]
fn a_variable_that_looks_like_a_setting_is_told_with_the_nearest_name() {
    let told = warnings(&[("JWT_AUDIANCE", "app"), ("HOME", "/root"), ("LISTEN_FDS", "1")]);
    assert_eq!(told, ["JWT_AUDIANCE: is no setting; do you mean JWT_AUDIENCE?"]);
    let of_kubernetes = ("PORTCULLIS_PORT", "tcp://10.0.0.1:8080");
    assert_eq!(warnings(&[of_kubernetes]), [""; 0]);
}

#[test]
fn issuers_whose_users_are_not_told_apart_are_told() {
    for (prefixes, is_reported) in [
        (&["a:"][..], false),
        (&["", ""], true),
        (&["a:", ""], true),
        (&["a:", "a:b:"], true),
        (&["a:", "a:"], true),
        (&["a:", "b:"], false),
        (&["a:", "b:", "c:"], false),
    ] {
        let table = |(place, prefix): (usize, &&str)| {
            format!(
                "[[issuers]]\nissuer = \"{place}\"\njwks_url = \"https://idp.example/{place}\"\n\
                 user_prefix = \"{prefix}\"\n"
            )
        };
        let content: String = prefixes.iter().enumerate().map(table).collect();
        let told = from_file(&content, &[]).unwrap().warnings;
        assert_eq!(
            told.iter().any(|line| line.contains("X-Auth-Issuer")),
            is_reported,
            "{prefixes:?}"
        );
    }
}

#[test]
fn what_has_no_use_here_is_told() {
    let told = warnings(&[("TOKEN_HOOK_SECRET", SECRET)]);
    assert_eq!(told, ["TOKEN_HOOK_SECRET: is not used: there is no TOKEN_HOOK_URL"]);
    let told = warnings(&[("ADMIN_TOKEN", SECRET), ("PUBLIC_URL", "https://id.example")]);
    assert_eq!(told.len(), 1);
    assert!(told[0].ends_with("without use: PUBLIC_URL, ADMIN_TOKEN"), "{told:?}");
    let on = ("AUTHORIZATION_SERVER", "true");
    assert_eq!(warnings(&[("ADMIN_TOKEN", SECRET), on]), [""; 0]);
    let blank = ("TOKEN_HOOK_URL", " ");
    assert_eq!(warnings(&[on, blank]), [""; 0], "as good as none");
    let told = warnings(&[on, blank, ("TOKEN_HOOK_SECRET", SECRET)]);
    assert_eq!(told, ["TOKEN_HOOK_SECRET: is not used: there is no TOKEN_HOOK_URL"]);
    let grace = ("REFRESH_GRACE_SECONDS", "5");
    assert_eq!(warnings(&[on, grace]), [""; 0]);
    let told = warnings(&[on, grace, ("REFRESH_POLICY", "reusable")]);
    assert_eq!(told, ["REFRESH_GRACE_SECONDS: is not used: REFRESH_POLICY is not `rotate`"]);
}

#[test]
fn an_issuer_without_a_name_is_told_where_others_may_share_its_store() {
    let on = ("AUTHORIZATION_SERVER", "true");
    let redis = ("DB_URL", "redis://127.0.0.1:6379");
    let told = warnings(&[on, redis]);
    assert!(told.len() == 1 && told[0].starts_with("ISSUER: is not set"), "{told:?}");
    for (name, value) in [("ISSUER", "our-issuer"), ("PUBLIC_URL", "https://id.example")] {
        assert_eq!(warnings(&[on, redis, (name, value)]), [""; 0], "{name}");
    }
    assert_eq!(warnings(&[on]), [""; 0], "SQLite");
    assert_eq!(warnings(&[redis]), [""; 0], "a gate alone");
}

#[test]
fn gateways_that_tell_nobodys_address_are_told_where_passwords_are_taken() {
    let basic = [("ACCEPT_BASIC", "true"), ("AUTHORIZATION_SERVER", "true")];
    let (open, calls) = (("LISTEN", "0.0.0.0:8080"), ("EXT_AUTHZ_LISTEN", "0.0.0.0:9001"));
    for (more, told_of) in [
        (&[][..], &[][..]),
        (&[open], &["LISTEN"]),
        (&[open, calls], &["LISTEN", "EXT_AUTHZ_LISTEN"]),
        (&[open, ("TRUSTED_PROXIES", "off")], &["LISTEN"]),
        (&[open, ("TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8")], &[]),
        (&[open, ("GATEWAY_NETWORKS", "10.0.0.0/8")], &[]),
        (&[open, ("GATEWAY_SECRET", "the-secret-of-the-gateway-in-32-bytes")], &[]),
    ] {
        let told = warnings(&[&basic[..], more].concat());
        assert_eq!(told.len(), told_of.len(), "{more:?}: {told:?}");
        for (line, listener) in told.iter().zip(told_of) {
            assert!(line.starts_with("ACCEPT_BASIC: all clients of a gateway"), "{line}");
            assert!(line.contains(&format!("at {listener} ")), "{line}");
        }
    }
}

#[test]
fn a_file_that_others_can_read_or_replace_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (private, public) = pem_pair(Algorithm::ES256);
    let file = |name: &str, content: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (private_mode, public_mode, expected) in [
        (0o600, 0o644, &[][..]),
        (0o640, 0o664, &[]),
        (
            0o644,
            0o644,
            &["PRIVATE_KEY_FILE: every user of this host can read this secret (mode 644)"],
        ),
        (
            0o600,
            0o666,
            &["PUBLIC_KEY_FILE: every user of this host can replace this key (mode 666)"],
        ),
    ] {
        let config = from_environment(&[
            ("ALGORITHM", "ES256"),
            ("PRIVATE_KEY_FILE", &file("private", &private, private_mode)),
            ("PUBLIC_KEY_FILE", &file("public", &public, public_mode)),
        ]);
        let told = config.unwrap().warnings;
        assert_eq!(told.len(), expected.len(), "{told:?}");
        let is_reported = told.iter().zip(expected).all(|(told, start)| told.starts_with(start));
        assert!(is_reported, "{told:?}");
    }
    let config = file("portcullis.toml", &format!("secret_key = \"{SECRET}\""), 0o644);
    let sources = Sources { file: Some(config.into()), ..Sources::default() };
    let told = Config::load(&sources).unwrap().warnings;
    assert!(told.len() == 1 && told[0].contains("can read this secret"), "{told:?}");
}

#[test]
fn no_address_is_opened_twice() {
    let on = [("SECRET_KEY", SECRET), ("AUTHORIZATION_SERVER", "true")];
    for (name, value, told) in [
        ("ISSUER_LISTEN", "127.0.0.1:8080", "the address of the gate already"),
        ("INTERNAL_LISTEN", "127.0.0.1:8081", "the address of the issuer already"),
        ("GRPC_LISTEN", "127.0.0.1:9090", "the address of the metrics already"),
        ("ISSUER_LISTEN", "127.0.0.1:1,127.0.0.1:1", "there twice"),
    ] {
        let line = mistake(&[&on[..], &[(name, value)]].concat());
        assert!(line.starts_with(name) && line.contains(told), "{line}");
    }
}

#[test]
fn no_url_of_a_service_holds_a_password() {
    let hook = [("SECRET_KEY", SECRET), ("TOKEN_HOOK_SECRET", SECRET)];
    for url in ["https://u:hunter2@app.example/login", "https://hunter2@app.example/login"] {
        let line = mistake(&[&hook[..], &[("TOKEN_HOOK_URL", url)]].concat());
        assert!(line.contains("never sent") && !line.contains("hunter2"), "{line}");
        let line = mistake(&[("SECRET_KEY", SECRET), ("PUBLIC_URL", url)]);
        assert!(line.starts_with("PUBLIC_URL") && !line.contains("hunter2"), "{line}");
    }
}

#[test]
fn a_route_for_an_issuer_whose_tokens_are_refused_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    let route =
        "[[route]]\npath = \"/*\"\nrequire = { any = [{ issuer = \"https://b.example\" }] }\n";
    std::fs::write(&file, route).unwrap();
    let told = |own: &str| warnings(&[("POLICY_FILE", file.to_str().unwrap()), ("ISSUER", own)]);
    assert_eq!(told("https://b.example"), [""; 0]);
    let other = told("https://a.example");
    assert_eq!(other.len(), 1, "{other:?}");
    assert!(other[0].ends_with("\"https://b.example\", whose tokens are refused"), "{other:?}");
}
