//! The grant of a token family: how its session was opened, and what it may have at most.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Cause, IssueError};
use super::subject::Subject;
use crate::opaque::OpaqueToken;
use crate::session::Session;

/// The claim of a session that says how it was opened, as [`Origin::name`] has it. No token says it.
pub(super) const ORIGIN: &str = "origin";
/// The claim of a handle's record that keeps its grant context under the sliding policy, where the
/// handle is its own refresh token. No token says it.
pub(super) const GRANT_CONTEXT: &str = "portcullis:lineage";

const ACCOUNT: &str = "account";
const KEY: &str = "key";
const HOOK: &str = "hook";

/// The origin of a session's subject, and so where a refresh asks after him.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub(super) enum Origin {
    /// The built-in accounts.
    Account,
    /// An API key, by its digest.
    Key { digest: String },
    /// The hook, which is not asked again: what it said at login holds.
    Hook { subject: Subject },
    /// A client that acts for itself; it gets no refresh token.
    Client,
}

impl Origin {
    /// Its name in the record of a session.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Account => ACCOUNT,
            Self::Key { .. } => KEY,
            Self::Hook { .. } => HOOK,
            Self::Client => "client",
        }
    }
}

/// True if somebody showed a password when this session was opened. A session that does not say how
/// it was opened, such as one of `token mint`, was not opened by a password.
pub(super) fn is_by_password(session: &Session) -> bool {
    let origin = session.claims.get(ORIGIN).and_then(|origin| origin.as_str());
    matches!(origin, Some(ACCOUNT | HOOK))
}

/// True if an API key was shown when this session was opened.
pub(super) fn is_by_key(session: &Session) -> bool {
    session.claims.get(ORIGIN).and_then(|origin| origin.as_str()) == Some(KEY)
}

/// Grant of a token family, as its refresh token keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct GrantContext {
    pub(super) origin: Origin,
    /// The scopes that were granted at login; no refresh goes beyond (RFC 6749, section 6).
    pub(super) scopes: Vec<String>,
    pub(super) audiences: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identifier: Option<String>,
}

impl GrantContext {
    /// The grant that the record of a refresh token keeps, or that of a handle which is one.
    ///
    /// # Errors
    /// [`IssueError::InvalidGrant`] for a handle that keeps none.
    pub(super) fn of(token: &OpaqueToken, is_handle: bool) -> Result<Self, IssueError> {
        let kept = if is_handle {
            token.claims.get(GRANT_CONTEXT).cloned().ok_or(IssueError::InvalidGrant)?
        } else {
            Value::Object(token.claims.clone())
        };
        // What serde says of a mistake may quote the record.
        serde_json::from_value(kept).map_err(|_| {
            Cause::CorruptRecord(format!("a token of session {} has no grant", token.session))
                .into()
        })
    }

    /// The audiences that were granted: those that were named at login, or the usual ones.
    pub(super) fn audiences_or<'a>(&'a self, usual: &'a [String]) -> &'a [String] {
        if self.audiences.is_empty() { usual } else { &self.audiences }
    }
}
