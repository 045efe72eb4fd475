//! Whose tokens are accepted, and on what terms.

use std::sync::Arc;
use std::time::Duration;

use super::ring::KeyRing;

/// One source of tokens: its keys, whom its tokens are for, and what they must say.
#[derive(Debug)]
pub struct Issuer {
    /// How operators call it, in logs and metrics.
    pub name: Arc<str>,
    /// The `iss` that its tokens carry; `None`: not checked, which only a single issuer may be.
    pub iss: Option<String>,
    /// The names by which this service goes in `aud`; a token must hold one of them. Empty: a
    /// token with an `aud` is refused, for it is meant for somebody else (RFC 7519, 4.1.3).
    pub audiences: Vec<String>,
    /// Where no audience is named: the one that a token may have all the same, the issuer's
    /// default resource indicator (RFC 9068, section 3). Beside `audiences` it means nothing.
    pub default_audience: Option<String>,
    /// Whether a token must declare that it is an access token, by `typ: at+jwt` (RFC 9068,
    /// section 4); else it must only not seem to be of another kind.
    pub at_jwt_only: bool,
    /// What stands before its users' names where applications are told them: one subject of two
    /// issuers is two persons.
    pub user_prefix: String,
    /// By how much clocks may differ, for `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// What its tokens' `sid` means.
    pub sessions: SessionRule,
    /// Its keys.
    pub keys: Arc<KeyRing>,
}

/// What a token's `sid` claim means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionRule {
    /// A token must carry `sid`, and its session must live.
    Required,
    /// A token that carries `sid` is good only while its session lives; others until they expire.
    #[default]
    WhenPresent,
    /// `sid` is not looked at: the session is somebody else's.
    Ignored,
}

impl SessionRule {
    /// Reads the rule's name in the settings.
    ///
    /// # Errors
    /// What may be written instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "required" => Ok(Self::Required),
            "when-present" => Ok(Self::WhenPresent),
            "ignored" => Ok(Self::Ignored),
            _ => Err("write `required`, `when-present` or `ignored`"),
        }
    }
}
