//! Requests that lock and delete users.

use super::answer::Answer;
use super::schema::Parameters;
use super::users::failure;
use super::{Actions, Outcome, ids, profile};
use crate::account::{User, UserState};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::users::Actor;
use crate::secret::Secret;
use crate::session::UserId;

const NOT_LOCKED: &str = "The user was neither locked nor unlocked.";
const NOT_DELETED: &str = "The user was not deleted.";
const WRONG: &str = "This e-mail and password do not belong together.";
const SUPERUSER: &str = "superuser";

impl Actions {
    /// Locks or unlocks another user, for a superuser.
    pub(super) async fn user_lock(&self, given: &Parameters, caller: &Caller) -> Outcome {
        if given.text("user_role") != SUPERUSER {
            return Ok(failure("only a superuser locks and unlocks", NOT_LOCKED));
        }
        if ids::read(given.value("user_id")) == ids::read(given.value("target_userid")) {
            return Ok(failure("nobody locks or unlocks himself", NOT_LOCKED));
        }
        if self.originator(given).await?.is_none() {
            return Ok(failure("the session is not that of this user and role", NOT_LOCKED));
        }
        self.internal_user_lock(given, caller).await
    }

    pub(super) async fn internal_user_lock(&self, given: &Parameters, caller: &Caller) -> Outcome {
        let locks = match given.text("action") {
            "lock" => true,
            "unlock" => false,
            _ => return Ok(failure("action is `lock` or `unlock`", NOT_LOCKED)),
        };
        let target = match self.target(given).await? {
            Ok(target) => target,
            Err(reason) => return Ok(failure(reason, NOT_LOCKED)),
        };
        if !self.set_lock(&target, locks, caller).await? {
            return Ok(failure("the e-mail is not verified yet", NOT_LOCKED));
        }
        let Some(user) = self.accounts.user(&target.id).await? else {
            return Ok(failure("there is no such user", NOT_LOCKED));
        };
        let message = if locks { "The user is locked." } else { "The user is unlocked." };
        Ok(Answer::success(message).with("user_info", profile::info(&user)))
    }

    /// Locks or unlocks a user. One whose e-mail is not verified is not unlocked: false.
    pub(super) async fn set_lock(
        &self,
        user: &User,
        locks: bool,
        caller: &Caller,
    ) -> Result<bool, IssueError> {
        let (users, actor) = (&self.issuance.users, Actor::Administrator(caller));
        match (user.state, locks) {
            (UserState::Active, false) => {}
            (UserState::Unverified, false) => return Ok(false),
            (UserState::Locked, false) => users.unlock(&user.id, actor).await?,
            // Also one who is: asking again ends what sessions there are.
            (_, true) => drop(users.lock(&user.id, actor).await?),
        }
        Ok(true)
    }

    /// Deletes a user who shows its password; a superuser never.
    pub(super) async fn user_delete(&self, given: &Parameters, caller: &Caller) -> Outcome {
        let refused = |reason: &str, message: &str| {
            let answer = Answer::failure(reason, message);
            let answer = answer.with("user_id", given.value("user_id").clone());
            Ok(answer.with("email", given.text("email")))
        };
        let Some(user) = self.owner(given).await? else {
            return refused("there is no such user of that e-mail", WRONG);
        };
        let password = Secret::new(given.text("password"));
        match self.issuance.users.confirm(&user.id, &password, caller).await {
            Ok(_) => {}
            Err(IssueError::InvalidGrant | IssueError::NotFound) => {
                return refused("the password is wrong", WRONG);
            }
            Err(error) => return Err(error),
        }
        if user.roles.iter().any(|role| role == SUPERUSER) {
            return refused("a superuser is not deleted", NOT_DELETED);
        }
        match self.issuance.users.delete(&user.id, Actor::Owner(caller)).await {
            Ok(_) | Err(IssueError::NotFound) => {}
            Err(error) => return Err(error),
        }
        let answer = Answer::success("The user is deleted.");
        let answer = answer.with("user_id", ids::shown(user.id.as_str()));
        Ok(answer.with("email", given.text("email")))
    }

    /// Deletes a user; also one who is gone is deleted.
    pub(super) async fn internal_user_delete(
        &self,
        given: &Parameters,
        caller: &Caller,
    ) -> Outcome {
        let target = given.value("target_userid");
        let Some(id) = ids::read(target).filter(|id| !ids::is_reserved(id)) else {
            return Ok(Answer::failure("this user is not deleted", NOT_DELETED));
        };
        match self.issuance.users.delete(&id, Actor::Administrator(caller)).await {
            Ok(_) | Err(IssueError::NotFound) => {}
            Err(error) => return Err(error),
        }
        Ok(Answer::success("The user is deleted.").with("user_id", target.clone()))
    }

    /// The user that a request is about, if anybody may change it; else the reason why not.
    pub(super) async fn target(
        &self,
        given: &Parameters,
    ) -> Result<Result<User, &'static str>, IssueError> {
        let id = ids::read(given.value("target_userid"));
        let Some(id) = id.filter(|id| !ids::is_reserved(id)) else {
            return Ok(Err("the anonymous and the locked user are not changed"));
        };
        Ok(self.accounts.user(&id).await?.ok_or("there is no such user"))
    }

    /// The user who asks, where its session lives, is its own, and it has the role that is said.
    pub(super) async fn originator(&self, given: &Parameters) -> Result<Option<User>, IssueError> {
        let Some(session) = self.tokens.find(given.text("session_token")).await? else {
            return Ok(None);
        };
        if ids::read(given.value("user_id")).as_ref() != Some(&session.user) {
            return Ok(None);
        }
        let user = self.accounts.user(&session.user).await?;
        let has_role = |user: &User| profile::role(user) == given.text("user_role");
        Ok(user.filter(|user| profile::is_active(user) && has_role(user)))
    }

    /// The user with the id and the e-mail of a request, which is active.
    pub(super) async fn owner(&self, given: &Parameters) -> Result<Option<User>, IssueError> {
        let id: Option<UserId> = ids::read(given.value("user_id"));
        let user = self.by_email(given.text("email")).await?;
        Ok(user.filter(|user| Some(&user.id) == id.as_ref() && profile::is_active(user)))
    }
}
