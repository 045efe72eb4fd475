//! New passwords: checked, hashed, set; and whom they log out.

use super::state::attempt_names;
use super::{Actor, Users, has_passwords, of_account};
use crate::account::User;
use crate::account::password::{Checked, PasswordError};
use crate::account::policy::PolicyProblem;
use crate::issuer::audit::Event;
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::throttle::{AttemptName, Success, TooEarly};
use crate::secret::Secret;
use crate::session::{SessionId, UserId};

/// Whom the rules of new passwords bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyCheck {
    /// The password must keep the rules.
    Enforced,
    /// An operator insists on one that may not.
    Skipped,
}

impl Users {
    /// Sets a user's password and ends all its sessions. Returns how many.
    ///
    /// # Errors
    /// [`IssueError::NotFound`]; [`IssueError::WeakPassword`]; [`IssueError::Unavailable`]: it may
    /// be set, while sessions live on; asking again ends them.
    pub async fn set_password(
        &self,
        id: &UserId,
        password: &Secret,
        check: PolicyCheck,
        actor: Actor<'_>,
    ) -> Result<u64, IssueError> {
        let user = self.get(id).await?;
        let hash = self.new_hash(&user, password, check).await?;
        self.store_password(&user, &hash, None, actor).await
    }

    /// Sets the hash of a password, and ends all sessions. With `instead_of`, only where that is the
    /// present one: else [`IssueError::InvalidLink`].
    pub(in crate::issuer) async fn store_password(
        &self,
        user: &User,
        hash: &Secret,
        instead_of: Option<&Secret>,
        actor: Actor<'_>,
    ) -> Result<u64, IssueError> {
        let now = self.on.clock.now();
        let stored = self.on.accounts.set_password(&user.id, hash, instead_of, now).await;
        let is_set = stored.map_err(of_account)?;
        if !is_set && instead_of.is_some() {
            return Err(IssueError::InvalidLink);
        }
        let ended = self.end_sessions(&user.id).await;
        let told = self.tell_of_end(Event::PasswordSet, &user.id, is_set, ended, actor);
        // Whoever has a new password need not wait for what was tried with the old one.
        if let Err(error) = self.on.throttle.forget(&attempt_names(user)).await {
            tracing::warn!(%error, "a new password is set, but failed logins stay counted");
        }
        told
    }

    /// Changes a user's own password for one who knows the present one, and ends its sessions but
    /// `keep`. A store that cannot list sessions ends that too. Returns how many ended.
    ///
    /// # Errors
    /// [`IssueError::InvalidGrant`] where the present one is wrong; [`IssueError::WeakPassword`];
    /// [`IssueError::SlowDown`] after too many attempts.
    pub async fn change_password(
        &self,
        id: &UserId,
        keep: Option<&SessionId>,
        present: &Secret,
        new: &Secret,
        caller: &Caller,
    ) -> Result<u64, IssueError> {
        let user = self.confirm(id, present, caller).await?;
        let hash = self.new_hash(&user, new, PolicyCheck::Enforced).await?;
        let (now, old) = (self.on.clock.now(), user.password.as_ref());
        let is_set =
            self.on.accounts.set_password(id, &hash, old, now).await.map_err(of_account)?;
        if !is_set {
            // Another was first, so what was shown is not the password any more.
            return Err(IssueError::InvalidGrant);
        }
        let ended = match keep {
            Some(keep) if self.on.sessions.lists() => {
                self.on.sessions.revoke_others(id, keep).await.map_err(IssueError::from)
            }
            _ => self.end_sessions(id).await,
        };
        self.tell_of_end(Event::PasswordSet, id, true, ended, Actor::Owner(caller))
    }

    /// The user of that id, if this is its password. Attempts are limited as those to log in are,
    /// and counted with them.
    ///
    /// # Errors
    /// [`IssueError::InvalidGrant`]; [`IssueError::SlowDown`]; [`IssueError::NotFound`] where it is
    /// no user of the accounts.
    pub async fn confirm(
        &self,
        id: &UserId,
        password: &Secret,
        caller: &Caller,
    ) -> Result<User, IssueError> {
        let user = self.get(id).await?;
        let check = async {
            match self.on.passwords.check(password, user.password.as_ref()).await? {
                Checked::Right | Checked::NeedsRehash => Ok(()),
                Checked::Wrong => Err(IssueError::InvalidGrant),
            }
        };
        let name = AttemptName::user(id.as_str());
        let counted =
            async { self.on.throttle.counted(&name, TooEarly::RetryAfter, check).await.outcome };
        self.on.throttle.within_budget(caller, Success::Costs, counted).await?;
        Ok(user)
    }

    /// The problems of a new password for this user; none: it is good.
    pub async fn problems(
        &self,
        user: &User,
        password: &Secret,
    ) -> Result<Vec<PolicyProblem>, IssueError> {
        self.on.rules.problems(password, &user.names()).await
    }

    /// The hash of a new password.
    pub(in crate::issuer) async fn new_hash(
        &self,
        user: &User,
        password: &Secret,
        check: PolicyCheck,
    ) -> Result<Secret, IssueError> {
        if !has_passwords(user) {
            return Err(IssueError::invalid_request("an anonymous user has no password"));
        }
        if check == PolicyCheck::Enforced {
            let problems = self.problems(user, password).await?;
            if !problems.is_empty() {
                return Err(IssueError::WeakPassword(problems));
            }
        }
        self.on.passwords.hash(password).await.map_err(|error| match error {
            PasswordError::TooLong => IssueError::WeakPassword(vec![PolicyProblem::too_long()]),
            error => error.into(),
        })
    }
}
