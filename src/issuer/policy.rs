//! Policy of the issuer: what the operator decides about tokens.

use std::time::Duration;

use super::error::IssueError;
use crate::account::Client;
use crate::token::ScopeSet;

/// Behaviour of refresh tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshPolicy {
    /// Each works once and is replaced (RFC 9700, section 4.14.2).
    #[default]
    Rotate,
    /// The same one lives on and moves the session's end, at most once a window; tp-auth's way.
    Sliding,
    /// The same one works until its end, which nothing moves; jwthenticator's way.
    Reusable,
}

impl RefreshPolicy {
    /// Reads the setting.
    ///
    /// # Errors
    /// What may be written instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "rotate" => Ok(Self::Rotate),
            "sliding" => Ok(Self::Sliding),
            "reusable" => Ok(Self::Reusable),
            _ => Err("write `rotate`, `sliding` or `reusable`"),
        }
    }
}

/// Decisions of the operator about tokens.
#[derive(Clone, Debug)]
pub struct IssuancePolicy {
    /// The `iss` of access tokens.
    pub iss: String,
    /// The audiences of access tokens where the client asks for no others.
    pub audiences: Vec<String>,
    /// The lifetime of access tokens.
    pub access_lifetime: Duration,
    /// The lifetime of refresh tokens.
    pub refresh_lifetime: Duration,
    /// The time for which a ticket is good.
    pub ticket_lifetime: Duration,
    /// The lifetime of API keys that are registered in jwthenticator's way.
    pub key_lifetime: Duration,
    /// Behaviour of refresh tokens.
    pub refresh_policy: RefreshPolicy,
    /// Under `Rotate`, how long the lease on a used token is kept; under `Sliding`, how often at
    /// most a refresh takes effect.
    pub refresh_window: Duration,
    /// The time after a rotation in which whoever lost its answer gets it again. Zero: none.
    pub grace: Duration,
    /// The time that a rotation may take before another may take its place: longer than the stores'
    /// deadlines together.
    pub lease: Duration,
    /// True if clients get opaque handles in place of access tokens.
    pub opaque: bool,
    /// The scopes that exist; `None`: any.
    pub scopes: Option<Vec<String>>,
    /// The most sessions of a person; zero: any number.
    pub max_sessions: usize,
    /// The most sessions of an API key, and of a client or a service that acts for itself; zero:
    /// any number.
    pub max_key_sessions: usize,
    /// True if a login ends the session that the same device had before.
    pub replaces_device_sessions: bool,
    /// The scope that lets a token look after all sessions of its user, beside a login by password.
    pub sessions_scope: Option<String>,
    /// The audiences by which assertions of clients name us (RFC 7523, section 3).
    pub own_urls: Vec<String>,
}

impl IssuancePolicy {
    /// True if handles are their own refresh tokens: tp-auth's one token.
    pub(super) fn handle_is_refresh(&self) -> bool {
        self.opaque && self.refresh_policy == RefreshPolicy::Sliding
    }

    /// Returns whether a bearer may manage other sessions than its own, and the keys of its user: it
    /// showed a password, or its token has the scope that is meant for it. A key or a client may have
    /// a narrow right, which does not reach all that its user has elsewhere.
    pub(super) fn may_manage(&self, by_password: bool, scopes: &ScopeSet) -> bool {
        let scope = self.sessions_scope.as_deref();
        by_password || scope.is_some_and(|scope| scopes.contains(scope))
    }

    /// Checks that tokens for these audiences may be issued to this client.
    pub(super) fn check_audiences(
        &self,
        client: Option<&Client>,
        audiences: &[String],
    ) -> Result<(), IssueError> {
        let of_client = client.map_or(&[][..], |client| client.audiences.as_slice());
        let is_known = |name: &String| self.audiences.contains(name) || of_client.contains(name);
        if audiences.iter().all(is_known) { Ok(()) } else { Err(IssueError::InvalidTarget) }
    }
}
