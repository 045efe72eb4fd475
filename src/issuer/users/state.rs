//! Locking, unlocking, deleting.

use super::{Actor, Users, of_account, write_counted};
use crate::account::{User, UserState};
use crate::issuer::audit::Event;
use crate::issuer::error::IssueError;
use crate::issuer::throttle::AttemptName;
use crate::session::UserId;

impl Users {
    /// Locks a user out and ends all its sessions. Its roles stay. One that was never verified stays
    /// so: it may not log in either way. Returns how many sessions ended.
    ///
    /// # Errors
    /// [`IssueError::NotFound`]; [`IssueError::Unavailable`]: it may be locked, while sessions live
    /// on; asking again ends them.
    pub async fn lock(&self, id: &UserId, actor: Actor<'_>) -> Result<u64, IssueError> {
        // First the lock: nobody opens a session after those that are ended here.
        let is_there = self.set_locked(id).await?;
        let ended = self.end_sessions(id).await;
        self.tell_of_end(Event::UserLocked, id, is_there, ended, actor)
    }

    /// Lets a user in again that was locked, and forgets its failed logins.
    ///
    /// # Errors
    /// [`IssueError::NotFound`]; [`IssueError::InvalidRequest`] where it was never verified, which no
    /// lock stands in for; [`IssueError::Unavailable`]: it stays as it was.
    pub async fn unlock(&self, id: &UserId, actor: Actor<'_>) -> Result<(), IssueError> {
        let user = self.get(id).await?;
        // Nobody becomes unverified again: what is read here holds below.
        if user.state == UserState::Unverified {
            return Err(IssueError::invalid_request(
                "its e-mail was never verified: verify the user, which lets it in",
            ));
        }
        // First what was counted: where that cannot be forgotten, the user stays as it is.
        self.on.throttle.forget(&attempt_names(&user)).await?;
        if !self.set_state(id, UserState::Active).await? {
            return Err(IssueError::NotFound);
        }
        self.event(Event::UserUnlocked, id, actor).write();
        Ok(())
    }

    /// Deletes a user with its API keys, and ends all its sessions. Returns how many.
    ///
    /// # Errors
    /// [`IssueError::NotFound`]; [`IssueError::Unavailable`]: it may be locked, and asking again
    /// finishes it.
    pub async fn delete(&self, id: &UserId, actor: Actor<'_>) -> Result<u64, IssueError> {
        // In this order, so that the same call again finishes what failed half-way: nobody opens a
        // session after those that are ended here, and the user is found until all of them are.
        let is_there = self.set_state(id, UserState::Locked).await?;
        let ended = self.end_sessions(id).await;
        let deleted = match &ended {
            Ok(_) => self.on.accounts.delete_user(id).await.map_err(of_account),
            Err(_) => Ok(false),
        };
        match deleted {
            Ok(is_gone) if ended.is_ok() => {
                self.tell_of_end(Event::UserDeleted, id, is_gone, ended, actor)
            }
            deleted => {
                let told = self.tell_of_end(Event::UserLocked, id, is_there, ended, actor);
                deleted.and(told)
            }
        }
    }

    /// Locks a user, unless it was never verified: no unlock then passes for the mail. Returns
    /// whether it is there.
    async fn set_locked(&self, id: &UserId) -> Result<bool, IssueError> {
        let lock = |user: &mut User| {
            if user.state != UserState::Unverified {
                user.state = UserState::Locked;
            }
            Ok(())
        };
        match self.replace(id, lock).await {
            Ok(_) => Ok(true),
            Err(IssueError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn set_state(&self, id: &UserId, state: UserState) -> Result<bool, IssueError> {
        self.on.accounts.set_state(id, state, self.on.clock.now()).await.map_err(of_account)
    }

    /// Tells the audit log what was done, and how many sessions ended where that is known. Where
    /// somebody else has deleted the user in between, the end of its sessions is all that was done.
    pub(super) fn tell_of_end(
        &self,
        event: Event,
        id: &UserId,
        is_done: bool,
        ended: Result<u64, IssueError>,
        actor: Actor<'_>,
    ) -> Result<u64, IssueError> {
        let event = match &ended {
            _ if is_done => Some(event),
            Ok(1..) => Some(Event::RevokeAll),
            Ok(0) | Err(_) => None,
        };
        if let Some(event) = event {
            write_counted(self.event(event, id, actor), ended.as_ref().ok());
        }
        let ended = ended?;
        if is_done { Ok(ended) } else { Err(IssueError::NotFound) }
    }
}

/// The names under which failed logins of a user are counted.
pub(super) fn attempt_names(user: &User) -> Vec<AttemptName> {
    let logins = [Some(&user.username), user.email.as_ref()];
    let written = logins.into_iter().flatten().map(|name| AttemptName::written(name.canonical()));
    written.chain([AttemptName::user(user.id.as_str())]).collect()
}
