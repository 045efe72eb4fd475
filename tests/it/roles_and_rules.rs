//! Roles and rules that change while it runs: real gates and issuers, an application's questions, and the
//! commands of an operator.

mod administration;
mod login_race;
mod outage;
mod subjects;
mod within_bound;

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::policy_models::with_file;
use crate::support::{
    http::{Client, bearer, request},
    issuer::{Issuer, SCOPES},
    realm::Realm,
};

/// The password of every user.
const PASSWORD: &str = "curiouser and curiouser";

/// Routes that ask Casbin, for a role, and for nothing but a credential.
const ROUTES: &str = "\
    [[route]]\npath = \"/docs/{id}\"\n\
    require = { casbin = { object = \"doc:{id}\", action = \"{method}\" } }\n\
    [[route]]\npath = \"/staff\"\nrequire = { roles = [\"staff\"] }\n\
    [[route]]\npath = \"/any\"\nrequire = \"token\"\n";

/// The same realm with these routes, whose Casbin decides by the rules of the database.
fn with_rules(realm: Realm) -> Realm {
    with_file(realm, "POLICY_FILE", "policy.toml", ROUTES)
        .with("CASBIN_STORED_RULES", "true")
        .with("ACCEPT_API_KEYS", "true")
}

/// Adds a user with these roles; the id.
fn add_user(realm: &Realm, name: &str, roles: &[&str]) -> String {
    let flags = SCOPES.iter().flat_map(|scope| ["--scope", *scope]);
    let flags = flags.chain(roles.iter().flat_map(|role| ["--role", *role]));
    let arguments: Vec<&str> = ["user", "add", name].into_iter().chain(flags).collect();
    realm.exits(0, &arguments, PASSWORD).printed
}

/// Adds a rule of Casbin, whose values stand between blanks.
fn add_rule(realm: &Realm, rule: &str) {
    let words: Vec<&str> = ["policy", "rule", "add"].into_iter().chain(rule.split(' ')).collect();
    realm.ask(&words);
}

/// A user's access token, by the password.
fn log_in(issuer: &Issuer, name: &str) -> String {
    let answer = issuer.by_password(name, PASSWORD, &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().expect("a token").to_owned()
}

/// The line by which a user shows the password with every request.
fn basic(name: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(format!("{name}:{PASSWORD}")))
}

/// The question of nginx about a GET of this path, by somebody who shows this line.
fn question(path: &str, credential: &str) -> Vec<u8> {
    let lines = [
        "X-Original-Method: GET",
        "X-Original-Proto: https",
        "X-Original-Host: app.test",
        &format!("X-Original-URI: {path}"),
        credential,
    ];
    request("GET", "/validate_request", &lines, b"")
}

fn status(gate: SocketAddr, path: &str, credential: &str) -> u16 {
    Client::connect(gate).exchange(question(path, credential)).status
}

/// The answer to an application that asks the issuer.
fn authorize(issuer: &Issuer, subject: &str, object: &str, action: &str) -> (u16, Value) {
    let body = json!({ "subject": subject, "object": object, "action": action });
    let answer = issuer.json_internal("/admin/authorize", &body);
    (answer.status, answer.json()["allowed"].clone())
}

/// The line with a bearer token, as questions have it.
fn with_token(token: &str) -> String {
    bearer(token)
}
