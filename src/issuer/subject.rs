//! The subjects of tokens, and the claims about them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::IssueError;
use crate::account::{Client, User, UserKind};
use crate::session::UserId;

/// Prefix of the `sub` of a client that acts for itself, so that no client can be taken
/// for a user (RFC 9068, section 5).
pub const CLIENT_PREFIX: &str = "client:";

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

/// Somebody who showed who he is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// A token's `sub`.
    #[serde(with = "user_id")]
    pub user: UserId,
    /// The most scopes that he may be granted; `None`: all that the client may.
    pub scopes: Option<Vec<String>>,
    /// The claims that tokens make about him.
    pub claims: Map<String, Value>,
    /// True for a person, whose sessions are limited in number.
    pub is_person: bool,
}

mod user_id {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::session::UserId;

    pub(super) fn serialize<S: Serializer>(id: &UserId, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(id.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UserId, D::Error> {
        UserId::parse(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

impl Subject {
    /// A user of the built-in accounts.
    pub fn of_user(user: &User) -> Self {
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
        Self {
            user: user.id.clone(),
            scopes: Some(user.scopes.clone()),
            claims,
            is_person: user.kind == UserKind::Person,
        }
    }

    /// A client that acts for itself.
    pub fn of_client(client: &Client) -> Result<Self, IssueError> {
        let user = UserId::parse(&format!("{CLIENT_PREFIX}{}", client.id));
        Ok(Self {
            user: user.map_err(|_| IssueError::InvalidClient { by_header: false })?,
            scopes: Some(client.scopes.clone()),
            claims: Map::new(),
            is_person: false,
        })
    }

    /// Somebody whom the hook knows.
    pub fn of_hook(user: UserId, scopes: Vec<String>, mut claims: Map<String, Value>) -> Self {
        claims.retain(|name, _| !is_reserved(name));
        Self { user, scopes: Some(scopes), claims, is_person: true }
    }
}

/// True for a claim that the issuer alone writes.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}
