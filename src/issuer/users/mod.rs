//! The life of the built-in accounts: users are added, found, changed, locked, and deleted.
//!
//! HTTP, the commands and the older systems' wires all call this one part. Whatever takes a right
//! away ends the user's sessions in the same call; whatever changes anything is in the audit log.
//!
//! It decides nothing about who may ask: that is the caller's, who says in [`Actor`] on whose behalf.

pub mod breaches;
pub mod fields;
pub mod links;
mod password;
pub mod password_rules;
mod state;

use std::sync::Arc;
use std::time::Duration;

use super::Dependencies;
use super::audit::{Audit, Entry, Event};
use super::caller::Caller;
use super::error::{Cause, IssueError};
use super::metrics::IssuerMetrics;
use super::throttle::Throttle;
use crate::account::password::Passwords;
use crate::account::{
    self, AccountError, AccountStore, Login, SentMail, User, UserKind, UserLookup, UserState,
};
use crate::clock::Clock;
use crate::secret::{Random, Secret};
use crate::session::{Sessions, UserId};
pub use password::PolicyCheck;
use password_rules::PasswordRules;

/// The most users of one page.
pub const MAX_PAGE: usize = 1_000;
/// Number of times that a change is tried anew because another was first.
const MAX_ATTEMPTS: usize = 8;

/// Users, and what may be done with them.
#[derive(Clone, Debug)]
pub struct Users {
    on: UserDependencies,
}

/// Parts that [`Users`] is built of; few, so that a command can have them without an issuer.
#[derive(Clone, Debug)]
pub struct UserDependencies {
    /// Users, keys and clients.
    pub accounts: Arc<dyn AccountStore>,
    /// The sessions that end with a right.
    pub sessions: Arc<Sessions>,
    /// The limits on attempts.
    pub throttle: Throttle,
    /// The hashing of passwords.
    pub passwords: Arc<Passwords>,
    /// The rules of new passwords.
    pub rules: PasswordRules,
    /// The audit log.
    pub audit: Audit,
    /// The metrics.
    pub metrics: IssuerMetrics,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
}

/// The one on whose behalf an account is changed, for the audit log.
#[derive(Clone, Copy, Debug)]
pub enum Actor<'a> {
    /// The user itself.
    Owner(&'a Caller),
    /// An administrator, or the application, on the internal listener.
    Administrator(&'a Caller),
    /// A command on this host.
    Command,
}

/// A user after a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The user as it is now.
    pub user: User,
    /// Number of sessions that ended with the rights that were taken away.
    pub ended: u64,
}

/// A user that was replaced.
#[derive(Debug)]
struct Replaced {
    before: User,
    user: User,
    /// Number of sessions that were ended before.
    ended: u64,
}

impl Actor<'_> {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Owner(_) => "owner",
            Self::Administrator(_) => "administrator",
            Self::Command => "command",
        }
    }

    pub(super) fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Owner(caller) | Self::Administrator(caller) => Some(caller),
            Self::Command => None,
        }
    }
}

impl Users {
    /// Users over these parts.
    pub fn new(on: UserDependencies) -> Self {
        Self { on }
    }

    pub(super) fn of_issuer(on: &Dependencies) -> Self {
        let on = on.clone();
        Self::new(UserDependencies {
            accounts: on.accounts,
            sessions: on.sessions,
            throttle: on.throttle,
            passwords: on.passwords,
            rules: on.password_rules,
            audit: on.audit,
            metrics: on.metrics,
            clock: on.clock,
            random: on.random,
        })
    }

    /// A user with a new id, who is not stored yet.
    ///
    /// # Errors
    /// The random source failed.
    pub fn draft(&self, username: Login) -> Result<User, IssueError> {
        let id = UserId::generate(self.on.random.as_ref())?;
        Ok(User::new(id, username, self.on.clock.now()))
    }

    /// Adds a user, with this password if any.
    ///
    /// # Errors
    /// [`IssueError::Taken`] where its id, username or e-mail is in use;
    /// [`IssueError::WeakPassword`].
    pub async fn add(
        &self,
        mut user: User,
        password: Option<(&Secret, PolicyCheck)>,
        actor: Actor<'_>,
    ) -> Result<User, IssueError> {
        fields::check(&user)?;
        if let Some((password, check)) = password {
            user.password = Some(self.new_hash(&user, password, check).await?);
        }
        self.on.accounts.add_user(&user).await.map_err(of_account)?;
        self.event(Event::UserAdded, &user.id, actor).write();
        Ok(user)
    }

    /// The user that a text names: an id, a username or an e-mail.
    ///
    /// # Errors
    /// [`IssueError::NotFound`]; [`IssueError::InvalidRequest`] where it is the id of one and a name
    /// of another.
    pub async fn find(&self, name: &str) -> Result<User, IssueError> {
        match account::find_user(self.on.accounts.as_ref(), name).await? {
            UserLookup::Found(user) => Ok(*user),
            UserLookup::NotFound => Err(IssueError::NotFound),
            UserLookup::Ambiguous { .. } => Err(IssueError::invalid_request(
                "this is the id of one user and a name of another: name the first by username or \
                 e-mail, the second by id",
            )),
        }
    }

    /// The user of that id.
    ///
    /// # Errors
    /// [`IssueError::NotFound`].
    pub async fn get(&self, id: &UserId) -> Result<User, IssueError> {
        self.on.accounts.user(id).await?.ok_or(IssueError::NotFound)
    }

    /// The user who logs in with that username or e-mail.
    pub async fn by_login(&self, login: &Login) -> Result<Option<User>, IssueError> {
        Ok(self.on.accounts.user_by_login(login).await?)
    }

    /// A page of users by id, after that one; at most [`MAX_PAGE`].
    pub async fn list(
        &self,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<User>, IssueError> {
        Ok(self.on.accounts.users(after, limit.min(MAX_PAGE)).await?)
    }

    /// Changes a user: `change` gets it as it is, and may be asked again where another change was
    /// first. A role, a scope or a claim less ends its sessions, so that no token says otherwise. Id,
    /// password and state have calls of their own, and stay.
    ///
    /// # Errors
    /// Those of `change`; [`IssueError::NotFound`]; [`IssueError::Taken`];
    /// [`IssueError::Unavailable`]: where sessions could not be ended, nothing was changed, or what
    /// was opened while it was lives on.
    pub async fn change(
        &self,
        id: &UserId,
        actor: Actor<'_>,
        change: impl Fn(&mut User) -> Result<(), IssueError> + Send + Sync,
    ) -> Result<Changed, IssueError> {
        let event = self.event(Event::UserChanged, id, actor);
        self.change_told(id, event, change).await
    }

    /// Changes a user likewise, and writes this entry where that changed anything.
    pub(super) async fn change_told(
        &self,
        id: &UserId,
        entry: Entry<'_>,
        change: impl Fn(&mut User) -> Result<(), IssueError> + Send + Sync,
    ) -> Result<Changed, IssueError> {
        let keep_state = |user: &mut User| {
            let state = user.state;
            change(user)?;
            user.state = state;
            Ok(())
        };
        let Replaced { before, user, ended } = self.replace(id, keep_state).await?;
        if before == user {
            return Ok(Changed { user, ended });
        }
        if !has_lost_rights(&before, &user) {
            entry.write();
            return Ok(Changed { user, ended });
        }
        // Those that were opened before the change was stored.
        let again = self.end_sessions(id).await;
        let ended = again.map(|again| ended.saturating_add(again));
        write_counted(entry, ended.as_ref().ok());
        Ok(Changed { user, ended: ended? })
    }

    /// Notes that the user's e-mail is its own, which lets in who signed up. With `email`, only
    /// where that is its e-mail still.
    ///
    /// # Errors
    /// [`IssueError::NotFound`] where there is no such user, or it has not that e-mail.
    pub async fn mark_verified(
        &self,
        id: &UserId,
        email: Option<&Login>,
        actor: Actor<'_>,
    ) -> Result<User, IssueError> {
        let verify = |user: &mut User| {
            if user.email.is_none() || email.is_some_and(|email| user.email.as_ref() != Some(email))
            {
                return Err(IssueError::NotFound);
            }
            user.email_verified = true;
            if user.state == UserState::Unverified {
                user.state = UserState::Active;
            }
            Ok(())
        };
        let Replaced { before, user, .. } = self.replace(id, verify).await?;
        if before != user {
            self.event(Event::UserVerified, id, actor).write();
        }
        Ok(user)
    }

    /// Notes that a mail with a one-time link was sent now.
    pub async fn record_sent(&self, id: &UserId, mail: SentMail) -> Result<(), IssueError> {
        Ok(self.on.accounts.record_sent(id, mail, self.on.clock.now()).await?)
    }

    /// Replaces a user by what `change` makes of it. Where that takes rights away, its sessions are
    /// ended first: what fails there leaves all as it was, and the same call again does all of it.
    async fn replace(
        &self,
        id: &UserId,
        change: impl Fn(&mut User) -> Result<(), IssueError> + Send + Sync,
    ) -> Result<Replaced, IssueError> {
        let mut ended = 0;
        for _ in 0..MAX_ATTEMPTS {
            let before = self.get(id).await?;
            let mut user = before.clone();
            change(&mut user)?;
            user.id = before.id.clone();
            user.password.clone_from(&before.password);
            if before == user && is_written_alike(&before, &user) {
                return Ok(Replaced { before, user, ended });
            }
            // What was taken over from elsewhere may be of another form, and stay so.
            if fields::check(&before).is_ok() {
                fields::check(&user)?;
            }
            if has_lost_rights(&before, &user) {
                ended = self.end_sessions(id).await?.saturating_add(ended);
            }
            // Always later: whoever read the user before finds that it was changed.
            user.updated = self.on.clock.now().max(before.updated.after(Duration::from_millis(1)));
            let done = self.on.accounts.change_user(&user, before.updated).await;
            if done.map_err(of_account)? {
                return Ok(Replaced { before, user, ended });
            }
        }
        Err(IssueError::Busy)
    }

    pub(super) async fn end_sessions(&self, id: &UserId) -> Result<u64, IssueError> {
        let ended = self.on.sessions.revoke_user(id).await?;
        if ended > 0 {
            self.on.metrics.ended("all");
        }
        Ok(ended)
    }

    pub(super) fn event(&self, event: Event, user: &UserId, actor: Actor<'_>) -> Entry<'_> {
        let entry = self.on.audit.event(event).user(user.as_str()).reason(actor.reason());
        entry.address(actor.caller().and_then(|caller| caller.address))
    }
}

/// Writes an event, with the number of sessions that ended where it is known.
fn write_counted(entry: Entry<'_>, ended: Option<&u64>) {
    match ended {
        Some(count) => entry.count(*count).write(),
        None => entry.write(),
    }
}

/// True where a role or a scope is gone, or a claim is gone or says something else.
fn has_lost_rights(before: &User, after: &User) -> bool {
    let has_lost =
        |before: &[String], after: &[String]| before.iter().any(|right| !after.contains(right));
    let keeps_claims =
        before.claims.iter().all(|(name, value)| after.claims.get(name) == Some(value));
    has_lost(&before.roles, &after.roles)
        || has_lost(&before.scopes, &after.scopes)
        || !keeps_claims
}

/// Logins are equal where their canonical forms are, however they are written.
fn is_written_alike(before: &User, after: &User) -> bool {
    let written = |user: &User| {
        let email = user.email.as_ref().map(|email| email.as_str().to_owned());
        (user.username.as_str().to_owned(), email)
    };
    written(before) == written(after)
}

/// The answer to an error of the account store.
pub(super) fn of_account(error: AccountError) -> IssueError {
    match error {
        AccountError::Taken(what) => IssueError::Taken(what),
        AccountError::NoSuchUser => IssueError::NotFound,
        error => Cause::from(error).into(),
    }
}

/// True for a user who may have a password.
fn has_passwords(user: &User) -> bool {
    user.kind != UserKind::Anonymous
}

#[cfg(test)]
mod tests;
