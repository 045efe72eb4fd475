//! The tokens that a grant gives, whichever grant it was.

use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::session::{SessionId, UserId};

/// Tokens that were issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// A JWT, or the handle that stands for one.
    pub access_token: Secret,
    /// The end of the access token.
    pub expires: UnixTime,
    /// The token that gets the next one; `None`: nothing does, or the one at hand still will.
    pub refresh_token: Option<Secret>,
    /// The scopes that it grants.
    pub scopes: Vec<String>,
    /// The user.
    pub user: UserId,
    /// The session that it lives and dies with.
    pub session: SessionId,
}

impl Issued {
    /// Lifetime that is left to the access token, in whole seconds as its own claims count them.
    pub fn expires_in(&self, now: UnixTime) -> u64 {
        self.expires.as_secs().saturating_sub(now.as_secs())
    }
}
