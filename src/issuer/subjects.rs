//! The subject of a session as he is now, whenever tokens are issued for it again.

use std::sync::Arc;

use super::Dependencies;
use super::error::IssueError;
use super::grant::Origin;
use super::subject::Subject;
use crate::account::{AccountStore, KeyDigest, User, UserState};
use crate::clock::Clock;
use crate::secret::Secret;
use crate::session::UserId;

/// The accounts, asked for a subject again.
#[derive(Debug)]
pub(super) struct Subjects {
    accounts: Arc<dyn AccountStore>,
    clock: Arc<dyn Clock>,
}

impl Subjects {
    pub(super) fn new(on: &Dependencies) -> Self {
        let Dependencies { accounts, clock, .. } = on.clone();
        Self { accounts, clock }
    }

    /// The subject as he is now; `None` for a client, which is its own. Deleted and locked users get
    /// nothing more, nor does who came by a key that is deleted or over.
    pub(super) async fn reload(
        &self,
        user: &UserId,
        origin: &Origin,
    ) -> Result<Option<Subject>, IssueError> {
        self.reload_with(user, origin, None).await
    }

    /// The same for who showed a password with this hash: it must be his still.
    pub(super) async fn reload_with(
        &self,
        user: &UserId,
        origin: &Origin,
        hash: Option<&Secret>,
    ) -> Result<Option<Subject>, IssueError> {
        match origin {
            Origin::Client => return Ok(None),
            Origin::Hook { subject } => return Ok(Some(subject.clone())),
            Origin::Account => {}
            Origin::Key { digest } => {
                let key = self.accounts.key(&KeyDigest::from_store(digest.clone())).await?;
                let now = self.clock.now();
                if !key.is_some_and(|key| key.user == *user && key.check_usable(now).is_ok()) {
                    return Err(IssueError::InvalidGrant);
                }
            }
        }
        let user = self.accounts.user(user).await?;
        let is_same = |user: &User| hash.is_none() || user.password.as_ref() == hash;
        let active = user.filter(|user| user.state == UserState::Active && is_same(user));
        active.map(|user| Some(Subject::of_user(&user))).ok_or(IssueError::InvalidGrant)
    }
}
