//! Clients that others wrote, unmodified, against a real issuer and gate: the scripts are in tests/it/clients.
//!
//! A script asserts by itself and prints the name of each step; here stands which steps it must have taken.

use serde_json::Value;

use crate::support::{
    issuer::Issuer,
    realm::Realm,
    script::{self, Interpreter},
};

/// A realm with its accounts, the issuer, and what a script is told of them.
fn start(realm: Realm) -> (Realm, Issuer, Value) {
    let secret = realm.with_alice_and_demo();
    let robot_key = realm.with_robot();
    let issuer = Issuer::start(&realm);
    let mut parts = issuer.parts(&realm);
    parts["client_secret"] = secret.into();
    parts["robot_key"] = robot_key.display().to_string().into();
    (realm, issuer, parts)
}

/// Runs the script; it must have taken these steps and no others.
fn takes(realm: Realm, interpreter: Interpreter, name: &str, expected: &[&str]) {
    let (realm, issuer, mut parts) = start(realm);
    let generated = realm.folder().join("generated");
    std::fs::create_dir(&generated).expect("a writable folder");
    parts["generated"] = generated.display().to_string().into();
    let Some(steps) = script::steps(interpreter, name, parts, realm.folder()) else { return };
    assert_eq!(steps, expected, "{name}\n{}", issuer.gate.log());
}

#[test]
fn authlib_goes_every_way() {
    takes(
        Realm::issuing(),
        Interpreter::Python,
        "authlib_client.py",
        &[
            "discovery",
            "password, client_secret_basic",
            "password, client_secret_post",
            "client_credentials, client_secret_basic",
            "client_credentials, client_secret_post",
            "client_credentials, private_key_jwt",
            "refusals",
            "refresh_token",
            "refresh_token, by itself",
            "introspection",
            "reuse",
            "revocation, refresh_token",
            "revocation, access_token",
        ],
    );
}

#[test]
fn requests_oauthlib_goes_every_way() {
    takes(
        Realm::issuing(),
        Interpreter::Python,
        "requests_oauthlib_client.py",
        &[
            "discovery",
            "password, Basic",
            "password, in the form",
            "client_credentials",
            "refusals",
            "refresh_token",
            "refresh_token, by itself",
            "introspection",
            "revocation",
        ],
    );
}

#[test]
fn openid_client_goes_every_way() {
    takes(
        Realm::issuing(),
        Interpreter::Node,
        "openid_client.mjs",
        &[
            "discovery",
            "password, client_secret_basic",
            "password, client_secret_post",
            "client_credentials, client_secret_basic",
            "client_credentials, private_key_jwt",
            "refusals",
            "refresh_token",
            "introspection",
            "reuse",
            "revocation, refresh_token",
            "revocation, access_token",
        ],
    );
}

/// The steps of jwthenticator's own client and decorator; the same under both policies.
const JWTHENTICATOR: &[&str] = &[
    "register_key, is_key_registered",
    "register_key, from outside",
    "authenticate",
    "authenticate, unknown key",
    "validate",
    "refresh",
    "refresh, again and by itself",
    "refresh, after a refusal",
    "refresh, refused",
];

#[test]
fn jwthenticators_client_works_with_reusable_refresh_tokens() {
    takes(
        Realm::issuing().with("REFRESH_POLICY", "reusable").with("OPEN_KEY_REGISTRATION", "true"),
        Interpreter::Jwthenticator,
        "jwthenticator_client.py",
        JWTHENTICATOR,
    );
}

/// It never takes the refresh token that a rotation gives it, and so signs in with its key at every other refresh.
#[test]
fn jwthenticators_client_gets_along_with_rotation() {
    takes(
        Realm::issuing().with("OPEN_KEY_REGISTRATION", "true"),
        Interpreter::Jwthenticator,
        "jwthenticator_client.py",
        JWTHENTICATOR,
    );
}

#[test]
fn a_generated_grpc_client_calls_both_services() {
    takes(
        Realm::issuing(),
        Interpreter::Python,
        "grpc_client.py",
        &[
            "generate",
            "health",
            "reflection",
            "Validate",
            "Validate, refused",
            "Refresh",
            "Refresh, refused",
            "ListSessions",
            "ListSessions, refused",
            "Revoke",
            "Revoke, refused",
            "RefreshToken",
        ],
    );
}
