//! Identities as the app is told them: two persons never become one, whatever their tokens say.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::support::gate::Gate;
use crate::support::http::Response;
use crate::support::realm::Realm;
use crate::support::{PATIENCE, poll};

/// A token of the realm's key with these very bytes as its header and claims.
fn token_of(realm: &Realm, header: &Value, claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part(&header.to_string()), part(claims));
    let key = EncodingKey::from_ec_pem(realm.private_pem().as_bytes()).expect("an EC key");
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::ES256);
    format!("{message}.{}", signature.expect("a signature"))
}

/// The same, where what stands in the claims beside `iss` and `exp` is all that matters.
fn token(realm: &Realm, claims: &str) -> String {
    let header = json!({"alg": "ES256", "typ": "JWT"});
    token_of(realm, &header, &format!(r#"{{"iss":"prismaticain","exp":4000000000,{claims}}}"#))
}

fn identity_header<'r>(answer: &'r Response, header: &str) -> &'r str {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.header(header).unwrap_or_else(|| panic!("no {header} in {answer:?}"))
}

#[test]
fn users_whose_numbers_differ_in_the_last_digit_are_two() {
    let realm = Realm::new().with("IDENTITY_HEADERS", "X-Tenant=tenant|org.id");
    let gate = realm.gate();
    for id in ["18446744073709551617", "18446744073709551999", "-9223372036854775809", "7"] {
        let answer = gate.check(&token(&realm, &format!(r#""user_id":{id},"org":{{"id":{id}}}"#)));
        assert_eq!(
            (identity_header(&answer, "x-auth-user"), identity_header(&answer, "x-tenant")),
            (id, id)
        );
    }
    for number in ["1.5", "7.0", "1e3", "1.8446744073709552e19"] {
        let of_user = token(&realm, &format!(r#""user_id":{number}"#));
        let of_tenant = token(&realm, &format!(r#""sub":"alice","tenant":{number}"#));
        for token in [of_user, of_tenant] {
            assert_eq!(gate.check(&token).status, 401, "{number}");
        }
    }
    poll("the reason", PATIENCE, || gate.log().contains("bad_claim").then_some(()));
}

#[test]
fn an_email_that_nobody_verified_is_sent_only_where_the_operator_wants_it() {
    let realm = Realm::new();
    let claims =
        |verified: &str| format!(r#""sub":"alice","email":"a@b.test","email_verified":{verified}"#);
    let gate = realm.gate();
    for (verified, email) in [("true", "a@b.test"), ("false", ""), ("\"false\"", "")] {
        let answer = gate.check(&token(&realm, &claims(verified)));
        assert_eq!(identity_header(&answer, "x-auth-email"), email, "{verified}");
        assert_eq!(identity_header(&answer, "x-auth-user"), "alice");
    }
    let realm = realm.with("SEND_UNVERIFIED_EMAIL", "true");
    let answer = realm.gate().check(&token(&realm, &claims("false")));
    assert_eq!(identity_header(&answer, "x-auth-email"), "a@b.test");
}

#[test]
fn claims_whose_names_hold_dots_can_be_sent() {
    let realm = Realm::new().with(
        "IDENTITY_HEADERS",
        r"X-Namespace=kubernetes.io.namespace, X-App-Roles=https://example.test/roles, X-Roles=resource_access.com.example.app.roles, X-Exact=a.b\.c",
    );
    let claims = r#""sub":"api","kubernetes.io":{"namespace":"prod"},"https://example.test/roles":["x","y"],"resource_access":{"com.example.app":{"roles":["editor"]}},"a.b":{"c":1},"a":{"b.c":2}"#;
    let answer = realm.gate().check(&token(&realm, claims));
    for (header, value) in
        [("x-namespace", "prod"), ("x-app-roles", "x,y"), ("x-roles", "editor"), ("x-exact", "2")]
    {
        assert_eq!(identity_header(&answer, header), value, "{header}");
    }
}

#[test]
fn id_and_logout_tokens_are_not_let_in() {
    let realm = Realm::new();
    let gate = realm.gate();
    let usual = r#""iss":"prismaticain","exp":4000000000,"sub":"alice""#;
    for giveaway in [
        r#""nonce":"n-0S6_WzA2Mj""#,
        r#""at_hash":"77QmUPtjPfzWtF2AnpK9RQ""#,
        r#""events":{"http://schemas.openid.net/event/backchannel-logout":{}}"#,
    ] {
        let claims = format!("{{{usual},{giveaway}}}");
        for header in [json!({"alg": "ES256"}), json!({"alg": "ES256", "typ": "JWT"})] {
            let status = gate.check(&token_of(&realm, &header, &claims)).status;
            assert_eq!(status, 401, "{header} {giveaway}");
        }
        let declared = json!({"alg": "ES256", "typ": "application/at+jwt"});
        assert_eq!(gate.check(&token_of(&realm, &declared, &claims)).status, 200, "{giveaway}");
    }
    let strict = realm.with("ACCESS_TOKEN_TYPE", "at+jwt");
    let gate = strict.gate();
    let claims = format!("{{{usual}}}");
    for (typ, status) in [("JWT", 401), ("JOSE", 401), ("at+jwt", 200)] {
        let token = token_of(&strict, &json!({"alg": "ES256", "typ": typ}), &claims);
        assert_eq!(gate.check(&token).status, status, "{typ}");
    }
}

/// A gate of two issuers who share a key, but not their users.
fn with_two_issuers(prefixes: [&str; 2]) -> (Realm, Gate) {
    let realm = Realm::new();
    let public = realm.setting("PUBLIC_KEY_FILE").expect("a key").to_owned();
    let table = |(iss, prefix): (&str, &str)| {
        format!(
            "[[issuers]]\nissuer = {iss:?}\nalgorithm = \"ES256\"\npublic_key_file = {public:?}\n\
             user_prefix = {prefix:?}\n"
        )
    };
    let tables: String =
        ["https://a.test", "https://b.test"].into_iter().zip(prefixes).map(table).collect();
    let file: PathBuf = realm.folder().join("issuers.toml");
    std::fs::write(&file, tables).expect("a writable folder");
    let realm = realm.without("PUBLIC_KEY_FILE").without("ALGORITHM");
    let realm = realm.with("CONFIG", &file.display().to_string());
    let gate = realm.gate();
    (realm, gate)
}

#[test]
fn one_subject_of_two_issuers_is_two_users() {
    let of = |realm: &Realm, iss: &str| {
        let claims = json!({"iss": iss, "exp": 4_000_000_000_u64, "sub": "alice"}).to_string();
        token_of(realm, &json!({"alg": "ES256"}), &claims)
    };
    for prefixes in [["", ""], ["a:", "b:"]] {
        let (realm, gate) = with_two_issuers(prefixes);
        for (iss, prefix) in ["https://a.test", "https://b.test"].into_iter().zip(prefixes) {
            let answer = gate.check(&of(&realm, iss));
            assert_eq!(identity_header(&answer, "x-auth-issuer"), iss);
            assert_eq!(identity_header(&answer, "x-auth-user"), format!("{prefix}alice"));
        }
    }
}
