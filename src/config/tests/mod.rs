mod accounts;
mod issuer_conflicts;
mod keys;
mod tls;
mod warnings;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, StatusCode};

use super::*;
use crate::gate::credential::Cookies;
use crate::opaque::CookiePair;
use crate::secret::{Secret, SystemRandom};
use crate::token::{Algorithm, SessionRule, SigningKey, key};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn pairs(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn from_environment(values: &[(&str, &str)]) -> Result<Config, Mistakes> {
    Config::load(&Sources { environment: pairs(values), ..Sources::default() })
}

fn with_secret(values: &[(&str, &str)]) -> Result<Config, Mistakes> {
    from_environment(&[&[("SECRET_KEY", SECRET)], values].concat())
}

/// The outcome of a file with this content and of these settings beside it.
fn from_file(content: &str, values: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portcullis.toml");
    std::fs::write(&file, content).unwrap();
    let environment = pairs(values);
    Config::load(&Sources { file: Some(file), environment, ..Sources::default() })
}

/// The one mistake that these settings make.
fn mistake(values: &[(&str, &str)]) -> String {
    let mistakes = from_environment(values).expect_err("there is a mistake");
    let lines = mistakes.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.into_iter().next().unwrap_or_default()
}

fn pem_pair(algorithm: Algorithm) -> (String, String) {
    let private = key::generate(algorithm, &SystemRandom).unwrap();
    let public = SigningKey::from_private_pem(algorithm, &private).unwrap().public_pem().unwrap();
    (private.expose_str().unwrap().to_owned(), public)
}

fn issuer(config: &Config) -> &IssuerConfig {
    &config.tokens.issuers[0]
}

#[test]
fn the_defaults_are_those_of_the_older_systems() {
    let config = with_secret(&[]).unwrap();
    assert_eq!(issuer(&config).iss.as_deref(), Some("prismaticain"));
    assert_eq!(issuer(&config).leeway, Duration::from_secs(60));
    assert_eq!(config.warnings, [""; 0]);
    assert_eq!(issuer(&config).sessions, SessionRule::WhenPresent);
    assert_eq!(config.gate.listen.addresses, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.metrics_listen.addresses, ["127.0.0.1:9090".parse().unwrap()]);
    assert_eq!(config.cache.staleness, Duration::from_secs(5));
    assert_eq!(config.cache.stale_if_error, Duration::from_secs(5));
    assert_eq!(config.sessions.policy.timeout, Duration::from_millis(150));
    assert_eq!(config.gate.denial_config.missing_credentials, StatusCode::UNAUTHORIZED);
}

#[test]
fn what_holds_while_the_store_is_down_is_the_bound_or_what_the_operator_says() {
    for (text, staleness, stale_if_error, suspect) in [
        ("", "7", 7_000, false),
        ("deny", "7", 0, true),
        ("stale-for 2.5", "7", 2_500, true),
        ("stale-for  600", "7", 600_000, false),
    ] {
        let values = [("SESSION_STORE_DOWN", text), ("SESSION_STALENESS", staleness)];
        let config = with_secret(&values).unwrap();
        assert_eq!(config.cache.stale_if_error, Duration::from_millis(stale_if_error), "{text}");
        assert_eq!(config.sessions.policy.suspect_when_down, suspect, "{text}");
    }
    for text in ["allow", "deny 5", "stale-for", "stale-for -1", "stale-for x", "stale-for 1e9"] {
        let values = [("SECRET_KEY", SECRET), ("SESSION_STORE_DOWN", text)];
        assert!(mistake(&values).contains("write `deny`, or `stale-for`"), "{text}");
    }
}

#[test]
fn no_bound_is_promised_that_sentinels_cannot_keep() {
    let url = ("DB_URL", "redis+sentinel://a,b,c/main");
    assert!(with_secret(&[url]).is_ok());
    assert!(with_secret(&[url, ("SESSION_STALENESS", "1")]).is_ok());
    for staleness in ["0", "0.9"] {
        let values = [("SECRET_KEY", SECRET), url, ("SESSION_STALENESS", staleness)];
        assert!(mistake(&values).contains("behind sentinels"), "{staleness}");
    }
}

#[test]
fn every_mistake_is_reported_at_once() {
    let mistakes = from_environment(&[
        ("SECRET_KEY", "short"),
        ("LEEWAY", "ten"),
        ("PORT", "70000"),
        ("URL_PREFIX", "auth"),
        ("SESSION_STALENESS", "-1"),
        ("IDENTITY_HEADERS", "X_A=b, Set-Cookie=c"),
        ("DB_URL", "mysql://x"),
        ("MISSING_CREDENTIALS_STATUS", "402"),
        ("LOG_LEVEL", "loud"),
        ("REALM", "\""),
        ("REFRESH_RESTRICT_DB", "x"),
    ]);
    let lines = mistakes.expect_err("there are mistakes").lines();
    assert_eq!(lines.len(), 12, "{lines:#?}");
}

#[test]
fn an_empty_issuer_is_not_checked_and_other_empty_values_are_unset() {
    assert_eq!(issuer(&with_secret(&[("ISSUER", "")]).unwrap()).iss, None);
    let config = with_secret(&[("LEEWAY", ""), ("PORT", ""), ("LISTEN", "")]).unwrap();
    assert_eq!(issuer(&config).leeway, Duration::from_secs(60));
}

#[test]
fn two_names_for_one_thing_must_agree() {
    let (_, public) = pem_pair(Algorithm::RS256);
    let (_, other) = pem_pair(Algorithm::RS256);
    assert!(with_secret(&[("ALGORITHM", "HS256"), ("JWT_ALGORITHM", "HS256")]).is_ok());
    for values in [
        &[("SECRET_KEY", SECRET), ("ALGORITHM", "HS256"), ("JWT_ALGORITHM", "HS384")][..],
        &[("ALGORITHM", "RS256"), ("PUBLIC_KEY", &public), ("RSA_PUBLIC_KEY", &other)],
        &[("SECRET_KEY", SECRET), ("LISTEN", "127.0.0.1:1"), ("PORT", "2")],
    ] {
        assert!(mistake(values).contains("disagree"), "{values:?}");
    }
    assert!(with_secret(&[("LISTEN", "127.0.0.1:1,unix:/run/x"), ("PORT", "1")]).is_ok());
}

#[test]
fn a_stronger_layer_wins_also_under_another_name() {
    let listens = |environment: &[(&str, &str)], flags: &[(&str, &str)]| {
        let environment = pairs(&[&[("SECRET_KEY", SECRET)], environment].concat());
        let sources = Sources { environment, flags: pairs(flags), ..Sources::default() };
        let config = Config::load(&sources).unwrap();
        config.gate.listen.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    let container = [("LISTEN_HOST", "0.0.0.0"), ("PORT", "9999")];
    assert_eq!(listens(&container, &[]), "0.0.0.0:9999");
    assert_eq!(listens(&container, &[("LISTEN", "unix:/run/x")]), "unix:/run/x");
    assert_eq!(listens(&[("LISTEN", "unix:/run/x")], &[("PORT", "7")]), "127.0.0.1:7");
    let (_, public) = pem_pair(Algorithm::RS256);
    let sources = Sources {
        environment: pairs(&[("RSA_PUBLIC_KEY", "rubbish"), ("ALGORITHM", "RS256")]),
        flags: pairs(&[("PUBLIC_KEY", &public)]),
        ..Sources::default()
    };
    assert!(Config::load(&sources).is_ok());
}

#[test]
fn sessions_are_looked_after_without_a_key() {
    let sources =
        Sources { environment: pairs(&[("DB_URL", "sqlite:x.db")]), ..Sources::default() };
    assert!(Config::load_sessions(&sources).is_ok());
    let sources = Sources { environment: pairs(&[("DB_URL", "mysql:x")]), ..Sources::default() };
    assert!(Config::load_sessions(&sources).is_err());
}

#[test]
fn the_file_yields_to_the_environment_and_that_to_flags() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portcullis.toml");
    std::fs::write(
        &path,
        format!("leeway = 1\nport = 1111\nissuer = \"file\"\nsecret_key = \"{SECRET}\"\n"),
    )
    .unwrap();
    let sources = Sources {
        file: Some(path),
        environment: pairs(&[("ISSUER", "environment"), ("PORT", "2222")]),
        flags: pairs(&[("PORT", "3333")]),
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap();
    assert_eq!(issuer(&config).leeway, Duration::from_secs(60));
    assert_eq!(issuer(&config).iss.as_deref(), Some("environment"));
    assert_eq!(config.gate.listen.addresses, ["127.0.0.1:3333".parse().unwrap()]);
}

#[test]
fn unknown_keys_and_broken_files_are_mistakes() {
    for (content, told) in [
        ("leway = 5", "no such setting; do you mean leeway?"),
        ("LEEWAY = 5", "do you mean leeway?"),
        ("jwt_audience = []", "nothing in it"),
        ("colour = 5", "there is no such setting\n"),
        ("leeway = {a = 1}", "must be a text"),
        ("secret_key = \"hush hush", "not valid"),
        ("[[issuers]]\nissuer = \"x\"\nkey = 5", "unknown field"),
        ("[[issuers]]\nissuer = \"x\"\naudiences = \"hush\"", "audiences: a value"),
        ("[[issuers]]\nissuer = \"x\"\nkeys = [{ kid = 5 }]", "keys[0].kid: a value"),
        ("[[issuers]]\nissuer = \"x\"", "give exactly one of"),
        ("[[issuers]]\nissuer = \"x\"\njwks_url = \"http://idp.example/k\"", "use https"),
        ("[[issuers]]\nissuer = \"prismaticain\"\njwks_file = \"k\"", "is there twice"),
    ] {
        let refused = from_file(content, &[("SECRET_KEY", SECRET)]);
        let text = refused.expect_err(content).to_string();
        assert!(text.contains(told) && !text.contains("hush"), "{content}: {text}");
    }
}

#[test]
fn database_numbers_apply_whatever_the_url_says() {
    for (values, expected) in [
        (&[("DB_URL", "redis://localhost:6379/0")][..], 9),
        (&[("DB_URL", "dragonfly://localhost/3"), ("LOGIN_REDIS_DB", "4")], 4),
    ] {
        match with_secret(values).unwrap().sessions.store {
            StoreConfig::Redis { database, .. } => assert_eq!(database, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn memcached_is_refused_what_it_cannot_do() {
    const URL: (&str, &str) = ("DB_URL", "memcached://cache-1:11211,cache-2");
    let gate = with_secret(&[URL]).expect("a gate needs no lists");
    assert!(matches!(gate.sessions.store, StoreConfig::Memcached(_)));
    let issuer = [("SECRET_KEY", SECRET), ("AUTHORIZATION_SERVER", "true"), URL];
    let told = from_environment(&issuer).expect_err("it counts sessions").to_string();
    assert!(told.contains("MAX_SESSIONS_PER_USER: ") && told.contains("set it to 0"), "{told}");
    assert!(told.contains("MAX_SESSIONS_PER_KEY: "), "{told}");
    for (people, keys, is_fine) in [("0", "0", true), ("1", "0", false), ("0", "1", false)] {
        let most = [("MAX_SESSIONS_PER_USER", people), ("MAX_SESSIONS_PER_KEY", keys)];
        let values = [&issuer[..], &most].concat();
        assert_eq!(from_environment(&values).is_ok(), is_fine, "{most:?}");
    }
    let told = mistake(&[("SECRET_KEY", SECRET), ("DB_URL", "memcached://:hunter2@cache")]);
    assert!(told.starts_with("DB_URL: ") && !told.contains("hunter2"), "{told}");
}

#[test]
fn a_password_on_the_command_line_is_refused() {
    let sources = Sources {
        environment: pairs(&[("SECRET_KEY", SECRET)]),
        flags: pairs(&[("DB_URL", "redis://:hunter2@localhost")]),
        ..Sources::default()
    };
    let told = Config::load(&sources).expect_err("it is refused").to_string();
    assert!(told.contains("--db-url") && !told.contains("hunter2"), "{told}");
}

#[test]
fn settings_that_defeat_each_other_are_mistakes() {
    let (private, _) = pem_pair(Algorithm::ES256);
    for (values, told) in [
        (&[("SESSION_INACTIVITY_TIMEOUT", "60"), ("SESSION_STALENESS", "7")][..], "seem idle"),
        (&[("LISTEN", "127.0.0.1:1,127.0.0.1:1")], "there twice"),
        (&[("PORT", "9090")], "the address of the gate already"),
        (&[("DB_CA_FILE", "/dev/null")], "encrypts nothing"),
        (&[("JWT_AUDIENCE", ",")], "nothing in it"),
        (&[("JWT_AUDIENCE", " ")], "nothing in it"),
        (&[("LISTEN", ",")], "nothing in it"),
        (&[("IDENTITY_HEADERS", " , ")], "nothing in it"),
        (&[("IDENTITY_HEADERS", "X-Forwarded-User=sub")], "meaning of its own"),
        (&[("TRUSTED_PROXIES", ",")], "nothing in it"),
        (&[("AUTH_SCOPES", ",")], "nothing in it"),
        (&[("AUTH_SCOPES", "{}")], "nothing in it"),
        (&[("PUBLIC_KEY", &private)], "private key"),
        (&[("IDENTITY_HEADERS", "X-A=a,X-A=b")], "there twice"),
        (&[("DB_URL", "sqlite::memory:")], "names no file"),
        (&[("JWKS_MAX_AGE", "60")], "lapse"),
    ] {
        let all = [&[("SECRET_KEY", SECRET)], values].concat();
        assert!(mistake(&all).contains(told), "{values:?}: {}", mistake(&all));
    }
    for (name, value, told) in [
        ("JWKS_FILE", "/nonexistent", "cannot read"),
        ("JWKS_URL", "http://idp.example/keys", "use https"),
        ("JWKS_URL", "https://me:hush@idp.example/keys", "never sent"),
    ] {
        let line = mistake(&[(name, value)]);
        assert!(line.contains(told) && !line.contains("hush"), "{line}");
    }
}

#[test]
fn a_mode_is_never_read_in_two_bases() {
    for (mode, expected) in [("0o660", None), ("660", None), ("\"660\"", Some(0o660))] {
        let config = from_file(&format!("socket_mode = {mode}"), &[("SECRET_KEY", SECRET)]);
        let found = config.ok().map(|config| config.limits.socket_mode);
        assert_eq!(found, expected, "{mode}");
    }
}

#[test]
fn no_bound_of_an_address_holds_for_gateways() {
    let config = with_secret(&[("GATEWAY_NETWORKS", "10.0.0.0/8")]).unwrap();
    for (address, is_exempt) in [("10.1.2.3", true), ("127.0.0.1", true), ("192.0.2.1", false)] {
        let found = config.limits.gateways.holds(address.parse().unwrap());
        assert_eq!(found, is_exempt, "{address}");
    }
}

#[test]
fn a_setting_that_is_not_utf_8_is_a_mistake() {
    let sources = Sources {
        environment: pairs(&[("SECRET_KEY", SECRET)]),
        unreadable: vec!["DB_URL".to_owned(), "SOMETHING_ELSE".to_owned()],
        ..Sources::default()
    };
    let lines = Config::load(&sources).expect_err("it is told").lines();
    assert_eq!(lines, ["DB_URL: is not UTF-8"]);
}

#[test]
fn opaque_mode_is_off_unless_it_is_set() {
    let config = with_secret(&[]).unwrap();
    assert_eq!(config.tokens.mode, TokenMode::Jwt);
    assert_eq!(config.gate.cookies, Cookies::default());
    assert_eq!(config.gate.upstream_jwt_header, None);
    let config = with_secret(&[
        ("TOKEN_MODE", "opaque"),
        ("TOKEN_COOKIE", "t"),
        ("TOKEN_COOKIES", "tp-auth"),
        ("UPSTREAM_JWT_HEADER", "X-Auth-Token"),
    ])
    .unwrap();
    assert_eq!(config.tokens.mode, TokenMode::Opaque);
    let cookies = Cookies { single: Some("t".to_owned()), pair: Some(CookiePair::TP_AUTH) };
    assert_eq!(config.gate.cookies, cookies);
    assert_eq!(config.gate.upstream_jwt_header, Some(HeaderName::from_static("x-auth-token")));
}

#[test]
fn what_opaque_mode_cannot_do_is_told_at_start() {
    let (_, public) = pem_pair(Algorithm::ES256);
    let secret = ("SECRET_KEY", SECRET);
    for (values, told) in [
        (&[secret, ("TOKEN_MODE", "handles")][..], "`opaque`"),
        (&[secret, ("TOKEN_COOKIES", "on")], "`tp-auth`"),
        (&[secret, ("TOKEN_COOKIES", "host"), ("TOKEN_COOKIE", "__Host-user_id")], "pair"),
        (&[secret, ("TOKEN_COOKIES", "tp-auth"), ("TOKEN_COOKIE", "access_token")], "pair"),
        (&[secret, ("UPSTREAM_JWT_HEADER", "Authorization")], "meaning of its own"),
        (&[secret, ("UPSTREAM_JWT_HEADER", "X-T"), ("IDENTITY_HEADERS", "X-T=t")], "already"),
        (
            &[
                ("PUBLIC_KEY", &public),
                ("ALGORITHM", "ES256"),
                ("TOKEN_MODE", "opaque"),
                ("UPSTREAM_JWT_HEADER", "X-T"),
            ],
            "PRIVATE_KEY",
        ),
    ] {
        let told_in_fact = mistake(values);
        assert!(told_in_fact.contains(told), "{told_in_fact}");
    }
    // Tokens that clients bring are handed on as they are.
    let values = [("PUBLIC_KEY", &*public), ("ALGORITHM", "ES256"), ("UPSTREAM_JWT_HEADER", "X-T")];
    assert!(from_environment(&values).is_ok());
}

#[test]
fn only_an_issuer_with_fixed_keys_of_the_settings_is_its_own_audience() {
    let default = |values: &[(&str, &str)]| {
        let config = from_environment(values).unwrap();
        issuer(&config).default_audience.clone()
    };
    let secret = ("SECRET_KEY", SECRET);
    assert_eq!(default(&[secret]).as_deref(), Some("prismaticain"));
    assert_eq!(default(&[secret, ("ISSUER", "us")]).as_deref(), Some("us"));
    assert_eq!(default(&[secret, ("ISSUER", "")]), None);
    assert_eq!(default(&[("JWKS_URL", "https://login.example.com/keys")]), None);
}

#[test]
fn a_window_that_outlasts_the_access_token_is_a_mistake_where_tokens_slide() {
    let issuing = [("SECRET_KEY", SECRET), ("AUTHORIZATION_SERVER", "true"), ("EXPIRY", "5")];
    let with = |values: &[(&'static str, &'static str)]| [&issuing[..], values].concat();
    let sliding = ("REFRESH_POLICY", "sliding");
    let told = mistake(&with(&[sliding, ("REFRESH_RESTRICT_MINUTES", "6")]));
    assert!(told.contains("longer than EXPIRY"), "{told}");
    assert!(from_environment(&with(&[sliding, ("REFRESH_RESTRICT_MINUTES", "5")])).is_ok());
    assert!(from_environment(&with(&[("REFRESH_RESTRICT_MINUTES", "6")])).is_ok());
}
