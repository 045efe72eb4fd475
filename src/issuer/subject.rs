//! The subjects of tokens, and the claims about them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::IssueError;
use crate::account::{Client, User, UserKind, claims_of, is_reserved};
use crate::session::UserId;

/// Prefix of the `sub` of a client that acts for itself, so that no client can be taken
/// for a user (RFC 9068, section 5).
pub const CLIENT_PREFIX: &str = "client:";

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
        Self {
            user: user.id.clone(),
            scopes: Some(user.scopes.clone()),
            claims: claims_of(user),
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

    /// Returns whether he had a role or a scope that he has no more `now`.
    pub(super) fn has_lost_rights(&self, now: &Self) -> bool {
        fn roles(subject: &Subject) -> impl Iterator<Item = &Value> {
            subject.claims.get("roles").and_then(Value::as_array).into_iter().flatten()
        }
        let is_kept = |role: &Value| roles(now).any(|kept| kept == role);
        let scopes = self.scopes.iter().flatten();
        let may_have = |scope: &String| now.scopes.as_ref().is_none_or(|all| all.contains(scope));
        !roles(self).all(is_kept) || !{ scopes }.all(may_have)
    }

    /// Somebody whom the hook knows.
    pub fn of_hook(user: UserId, scopes: Vec<String>, mut claims: Map<String, Value>) -> Self {
        claims.retain(|name, _| !is_reserved(name));
        Self { user, scopes: Some(scopes), claims, is_person: true }
    }
}
