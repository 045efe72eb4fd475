//! Requests to log in and out, and to check a password.
//!
//! Attempts are counted by who is named, whether there is such a user or not. One that comes too
//! early is answered 429, where authnzerver lets the frontend wait longer than it does.

use serde_json::Value;

use super::answer::Answer;
use super::schema::Parameters;
use super::{Actions, Outcome, ids, profile};
use crate::account::User;
use crate::issuer::audit::Event;
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::secret::Secret;

const WRONG: &str = "This e-mail and password do not belong together.";
const NO_SESSION: &str = "There is no such session, or it is over.";
/// The way in, for the audit log.
const BY: &str = "authnzerver";

impl Actions {
    /// Checks a password for the frontend to open a session. The session that it came with is ended,
    /// right or wrong.
    pub(super) async fn user_login(&self, given: &Parameters, caller: &Caller) -> Outcome {
        let Some(session) = self.tokens.find(given.text("session_token")).await? else {
            return Ok(no_session());
        };
        let checked = self.check_password(given.text("email"), given, caller).await?;
        self.end_session(&session, caller).await?;
        let Some(user) = checked else { return Ok(wrong()) };
        let event = self.audit.event(Event::Login).user(user.id.as_str()).reason(BY);
        event.address(caller.address).write();
        Ok(right(&user, "The login is right."))
    }

    pub(super) async fn user_logout(&self, given: &Parameters, caller: &Caller) -> Outcome {
        let user = given.value("user_id");
        let refused = |reason: &str| {
            let answer = Answer::failure(reason, "The session is not this user's, or is over.");
            Ok(answer.with("user_id", user.clone()))
        };
        let Some(session) = self.tokens.find(given.text("session_token")).await? else {
            return refused("session does not exist");
        };
        if ids::read(user).as_ref() != Some(&session.user) {
            return refused("the session is another user's");
        }
        if !self.end_session(&session, caller).await? {
            return refused("session does not exist");
        }
        let answer = Answer::success("The user is logged out.");
        Ok(answer.with("user_id", ids::shown(session.user.as_str())))
    }

    /// Checks the password of a session's user, who stays logged in.
    pub(super) async fn user_passcheck(&self, given: &Parameters, caller: &Caller) -> Outcome {
        let Some(session) = self.tokens.find(given.text("session_token")).await? else {
            return Ok(no_session());
        };
        let user = self.user(&session.user).await?;
        let Some(user) = user else { return Ok(wrong()) };
        let checked = self.check_password(user.username.as_str(), given, caller).await?;
        Ok(match checked.filter(|checked| checked.id == user.id) {
            Some(user) => right(&user, "The password is right."),
            None => wrong(),
        })
    }

    pub(super) async fn user_passcheck_nosession(
        &self,
        given: &Parameters,
        caller: &Caller,
    ) -> Outcome {
        let checked = self.check_password(given.text("email"), given, caller).await?;
        Ok(checked.map_or_else(wrong, |user| right(&user, "The password is right.")))
    }

    /// The user of a name and the password that was given, if he may log in.
    async fn check_password(
        &self,
        name: &str,
        given: &Parameters,
        caller: &Caller,
    ) -> Result<Option<User>, IssueError> {
        let password = Secret::new(given.text("password"));
        match self.issuance.login.verify_password(name, &password, BY, caller).await {
            Ok(user) => Ok(Some(user).filter(profile::is_active)),
            Err(IssueError::InvalidGrant) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn right(user: &User, message: &str) -> Answer {
    let answer = Answer::success(message).with("user_id", ids::shown(user.id.as_str()));
    answer.with("user_role", profile::role(user))
}

fn wrong() -> Answer {
    Answer::failure("there is no such user, or the password is wrong", WRONG)
        .with("user_id", Value::Null)
}

fn no_session() -> Answer {
    Answer::failure("session does not exist", NO_SESSION).with("user_id", Value::Null)
}
