//! Requests that change, reset and try out passwords.

use super::answer::Answer;
use super::schema::Parameters;
use super::{Actions, Outcome, ids, profile};
use crate::account::User;
use crate::account::policy::PolicyProblem;
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::users::password_rules::PasswordRules;
use crate::issuer::users::{Actor, PolicyCheck};
use crate::secret::Secret;
use crate::session::SessionId;

const WRONG: &str = "The present password is wrong.";
const NOT_RESET: &str = "The password was not reset.";
const CHANGED: &str = "The password is changed.";
const LOGGED_OUT: &str = "You are logged out everywhere else.";

impl Actions {
    /// Changes a user's own password, and ends its other sessions.
    pub(super) async fn user_changepass(&self, given: &Parameters, caller: &Caller) -> Outcome {
        let session = self.tokens.find(given.text("session_token")).await?;
        let user = ids::read(given.value("user_id"));
        match session.filter(|session| Some(&session.user) == user.as_ref()) {
            Some(session) => self.change_password(given, Some(&session.id), caller).await,
            None => Ok(of_user(Answer::failure("the session is not this user's", WRONG), given)),
        }
    }

    /// The same without a session: then all of them end.
    pub(super) async fn user_changepass_nosession(
        &self,
        given: &Parameters,
        caller: &Caller,
    ) -> Outcome {
        self.change_password(given, None, caller).await
    }

    async fn change_password(
        &self,
        given: &Parameters,
        keep: Option<&SessionId>,
        caller: &Caller,
    ) -> Outcome {
        let refused = |reason, message| Ok(of_user(Answer::failure(reason, message), given));
        let Some(user) = self.owner(given).await? else {
            return refused("there is no such user of that e-mail", WRONG);
        };
        let [present, new] =
            ["current_password", "new_password"].map(|name| Secret::new(given.text(name)));
        let users = &self.issuance.users;
        if present == new {
            // Nobody learns here what the present one is.
            return match users.confirm(&user.id, &present, caller).await {
                Ok(_) => refused("the password did not change", "Choose another password."),
                Err(error) => refusal(error, given),
            };
        }
        match users.change_password(&user.id, keep, &present, &new, caller).await {
            Ok(_) => {
                let answer = Answer::success(CHANGED).and([LOGGED_OUT.to_owned()]);
                Ok(of_user(answer, given))
            }
            Err(error) => refusal(error, given),
        }
    }

    /// Sets a new password for whoever showed a link in the mail to it. The session is the one in
    /// which the link was opened: nobody's, or the user's own.
    pub(super) async fn user_resetpass(&self, given: &Parameters, caller: &Caller) -> Outcome {
        let Some(session) = self.tokens.find(given.text("session_token")).await? else {
            return Ok(Answer::failure("session does not exist", NOT_RESET));
        };
        let user = self.by_email(given.text("email_address")).await?;
        let is_its =
            |user: &User| session.user == user.id || session.user.as_str() == ids::ANONYMOUS;
        match user.filter(|user| profile::is_active(user) && is_its(user)) {
            Some(user) => self.reset_password(&user, given, caller).await,
            None => Ok(Answer::failure("there is no such active user", NOT_RESET)),
        }
    }

    pub(super) async fn user_resetpass_nosession(
        &self,
        given: &Parameters,
        caller: &Caller,
    ) -> Outcome {
        let must_be_active = given.flag("required_active");
        let user = self.by_email(given.text("email_address")).await?;
        if let Some(user) = user.filter(|user| profile::is_active(user) == must_be_active) {
            return self.reset_password(&user, given, caller).await;
        }
        let reason = "there is no such user, or is_active is not as required";
        Ok(Answer::failure(reason, NOT_RESET))
    }

    async fn reset_password(&self, user: &User, given: &Parameters, caller: &Caller) -> Outcome {
        let new = Secret::new(given.text("new_password"));
        let (check, actor) = (PolicyCheck::Enforced, Actor::Owner(caller));
        match self.issuance.users.set_password(&user.id, &new, check, actor).await {
            Ok(_) => Ok(Answer::success(CHANGED)),
            Err(IssueError::WeakPassword(problems)) => {
                Ok(Answer::failure("invalid password", NOT_RESET).and(in_words(&problems)))
            }
            Err(IssueError::NotFound | IssueError::InvalidRequest(_)) => {
                Ok(Answer::failure("there is no such user with a password", NOT_RESET))
            }
            Err(error) => Err(error),
        }
    }

    /// Tries a password out; what a request says of the rules holds for it alone.
    pub(super) async fn user_validatepass(&self, given: &Parameters) -> Outcome {
        let password = Secret::new(given.text("password"));
        let names = [given.text("email"), given.text("full_name")];
        let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
        let problems = self.rules_of(given).problems(&password, &names).await?;
        if problems.is_empty() {
            return Ok(Answer::success("The password is good."));
        }
        let reason = "password is insecure or invalid";
        Ok(Answer::failure(reason, "The password is not good.").and(in_words(&problems)))
    }

    fn rules_of(&self, given: &Parameters) -> PasswordRules {
        let mut rules = self.password_rules.clone();
        let whole = |name: &str| given.integer(name).filter(|number| *number >= 0);
        if let Some(length) = whole("min_pass_length") {
            rules.policy.min_length = usize::try_from(length).unwrap_or(usize::MAX);
        }
        if let Some(percent) = whole("max_unsafe_similarity") {
            rules.policy.max_similarity_percent = u8::try_from(percent.min(100)).unwrap_or(100);
        }
        if let Some(share) = given.number("max_character_frequency").filter(|it| *it >= 0.0) {
            rules.policy.max_character_frequency = share;
        }
        rules
    }
}

/// Adds who it is about, as the frontend said.
fn of_user(answer: Answer, given: &Parameters) -> Answer {
    let answer = answer.with("user_id", given.value("user_id").clone());
    answer.with("email", given.text("email"))
}

fn refusal(error: IssueError, given: &Parameters) -> Outcome {
    match error {
        IssueError::InvalidGrant | IssueError::NotFound => {
            Ok(of_user(Answer::failure("the present password is wrong", WRONG), given))
        }
        IssueError::WeakPassword(problems) => {
            let answer =
                Answer::failure("the new password is insecure", "Choose another password.");
            Ok(of_user(answer.and(in_words(&problems)), given))
        }
        error => Err(error),
    }
}

fn in_words(problems: &[PolicyProblem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}
