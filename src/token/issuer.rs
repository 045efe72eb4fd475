//! The issuers whose tokens are accepted, and the rules for their tokens.

use std::sync::Arc;
use std::time::Duration;

use super::ring::KeyRing;

/// One source of tokens: its keys, its audiences, and the claims that its tokens must carry. The
/// default has no keys, so none of its tokens is good. `K` is where its keys are: for verification
/// a ring of them, in the configuration the place that they come from.
#[derive(Clone, Debug, Default)]
pub struct Issuer<K = Arc<KeyRing>> {
    /// The operator's name for it, in logs and metrics.
    pub name: Arc<str>,
    /// The `iss` that its tokens carry. `None`: it is not checked, which is allowed only for a
    /// single issuer.
    pub iss: Option<String>,
    /// The names of this service in `aud`; a token must hold one of them. Empty: a token with an
    /// `aud` is refused, since it is meant for another service (RFC 7519, 4.1.3).
    pub audiences: Vec<String>,
    /// The one audience that a token may have although `audiences` is empty: the issuer's default
    /// resource indicator (RFC 9068, section 3). Beside `audiences` it has no effect.
    pub default_audience: Option<String>,
    /// True where a token must declare that it is an access token, by `typ: at+jwt` (RFC 9068,
    /// section 4). Otherwise it must only not seem to be of another kind.
    pub at_jwt_only: bool,
    /// The prefix of its users' names for applications: one subject of two issuers is two users.
    pub user_prefix: String,
    /// True where its users are those of the built-in accounts: their roles are roles to Casbin too.
    pub has_accounts: bool,
    /// The difference between clocks that is allowed, for `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// The meaning of `sid` in its tokens.
    pub sessions: SessionRule,
    /// Its keys.
    pub keys: K,
}

impl<K> Issuer<K> {
    /// The same issuer, with these keys.
    pub fn with_keys<L>(&self, keys: L) -> Issuer<L> {
        Issuer {
            name: Arc::clone(&self.name),
            iss: self.iss.clone(),
            audiences: self.audiences.clone(),
            default_audience: self.default_audience.clone(),
            at_jwt_only: self.at_jwt_only,
            user_prefix: self.user_prefix.clone(),
            has_accounts: self.has_accounts,
            leeway: self.leeway,
            sessions: self.sessions,
            keys,
        }
    }
}

/// The meaning of a token's `sid` claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionRule {
    /// A token must carry `sid`, and its session must live.
    Required,
    /// A token that carries `sid` is good only while its session lives; others until they expire.
    #[default]
    WhenPresent,
    /// `sid` is not looked at: the session belongs to another system.
    Ignored,
}

impl SessionRule {
    /// Reads the rule's name in the settings.
    ///
    /// # Errors
    /// The names that may be written instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "required" => Ok(Self::Required),
            "when-present" => Ok(Self::WhenPresent),
            "ignored" => Ok(Self::Ignored),
            _ => Err("write `required`, `when-present` or `ignored`"),
        }
    }
}
