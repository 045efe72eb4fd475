//! The claims that tokens and the gate make about a user of the built-in accounts.

use serde_json::{Map, Value, json};

use super::record::User;

/// The claims that the issuer alone writes.
const RESERVED: [&str; 22] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "sid",
    "client_id",
    "scope",
    "scp",
    "scopes",
    "token_type",
    "token_use",
    "typ",
    "type",
    "user_id",
    "token_id",
    "identifier",
    "cnf",
    "act",
    "auth_time",
];

/// The claims about a user, without those that only an issuer writes.
pub fn claims_of(user: &User) -> Map<String, Value> {
    let mut claims = user.claims.clone();
    claims.retain(|name, _| !is_reserved(name));
    let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    set("username", json!(user.username.as_str()));
    set("preferred_username", json!(user.username.as_str()));
    if let Some(email) = &user.email {
        set("email", json!(email.as_str()));
        set("email_verified", json!(user.email_verified));
    }
    if let Some(name) = &user.full_name {
        set("name", json!(name));
    }
    set("roles", json!(user.roles));
    claims
}

/// True for a claim that the issuer alone writes.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}
