//! Requests of people who sign up: a new user, and what becomes of the mail to it.

use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::Answer;
use super::schema::Parameters;
use super::{Actions, Outcome, datetime, ids, profile};
use crate::account::{Login, SentMail, User, UserState};
use crate::issuer::caller::Caller;
use crate::issuer::error::{Cause, IssueError};
use crate::issuer::users::{Actor, PolicyCheck, fields};
use crate::secret::Secret;
use crate::session::UserId;

/// The role of everybody whose e-mail was shown to be his own.
const AUTHENTICATED: &str = "authenticated";
/// The hours after which somebody who never verified his e-mail may sign up anew.
const USUAL_RETRY_HOURS: i64 = 6;
/// The times that another number is tried, where users were made elsewhere meanwhile.
const MAX_NUMBERS: usize = 8;
/// The message to whoever signs up, whether there was such a user or not.
const SIGNED_UP: &str = "Verify your e-mail address to log in.";

impl Actions {
    pub(super) async fn user_new(&self, given: &Parameters, caller: &Caller) -> Outcome {
        let refused = |reason: &str, email: Option<&str>, messages: Vec<String>| {
            let mut messages = messages.into_iter();
            let first = messages.next().unwrap_or_else(|| "The user was not made.".to_owned());
            let answer = Answer::failure(reason, first).and(messages).with("user_email", email);
            Ok(answer.with("user_id", Value::Null).with("send_verification", false))
        };
        let Ok(email) = fields::email(given.text("email")) else {
            return refused("invalid email", None, vec!["This is no e-mail address.".to_owned()]);
        };
        let shown = email.canonical().to_owned();
        let Some(full_name) = full_name(given.text("full_name")) else {
            let message = "A full name holds no address of a web site.".to_owned();
            return refused("invalid full name", None, vec![message]);
        };
        let mut user = self.issuance.users.draft(email.clone())?;
        user.email = Some(email.clone());
        user.full_name = Some(full_name).filter(|name| !name.is_empty());
        user.roles = vec![AUTHENTICATED.to_owned()];
        user.state = UserState::Unverified;
        user.properties = properties(given);
        // Before anybody looks whether there is such a user, so that both take as long.
        let password = Secret::new(given.text("password"));
        let hash = self.issuance.users.new_hash(&user, &password, PolicyCheck::Enforced).await;
        user.password = match hash {
            Ok(hash) => Some(hash),
            Err(IssueError::WeakPassword(problems)) => {
                let problems = problems.iter().map(ToString::to_string).collect();
                return refused("invalid password", Some(&shown), problems);
            }
            Err(error) => return Err(error),
        };
        if let Some(present) = self.issuance.users.by_login(&email).await? {
            return self.sign_up_again(&present, user, given, caller).await;
        }
        let user = match self.add_with_number(user, caller).await {
            Ok(user) => user,
            // Another was first by a moment.
            Err(IssueError::Taken(_)) => return Ok(exists(&shown, Value::Null, false)),
            Err(IssueError::InvalidRequest(problem)) => {
                return refused("invalid user", Some(&shown), vec![problem]);
            }
            Err(error) => return Err(error),
        };
        self.issuance.users.record_sent(&user.id, SentMail::Verification).await?;
        let answer = Answer::success(SIGNED_UP).with("user_email", shown);
        let answer = answer.with("user_id", ids::shown(user.id.as_str()));
        Ok(answer.with("system_id", profile::system_id(&user)).with("send_verification", true))
    }

    /// Lets somebody who never verified his e-mail sign up anew, after a while; nobody else.
    async fn sign_up_again(
        &self,
        present: &User,
        new: User,
        given: &Parameters,
        caller: &Caller,
    ) -> Outcome {
        let now = self.clock.now();
        let hours = given.integer("verify_retry_wait").unwrap_or(USUAL_RETRY_HOURS).max(1);
        let wait = Duration::from_secs(u64::try_from(hours).unwrap_or(1).saturating_mul(3_600));
        let sent = present.verification_sent.unwrap_or(present.created);
        let is_anew = present.state == UserState::Unverified && now.since(sent) > wait;
        if is_anew {
            let actor = Actor::Owner(caller);
            let system_id = profile::system_id(present);
            let change = |user: &mut User| {
                if user.state != UserState::Unverified {
                    return Err(IssueError::NotFound);
                }
                user.full_name.clone_from(&new.full_name);
                user.properties.clone_from(&new.properties);
                user.properties.insert(profile::SYSTEM_ID.to_owned(), system_id.clone());
                Ok(())
            };
            self.issuance.users.change(&present.id, actor, change).await?;
            if let Some(hash) = &new.password {
                // Only instead of what was read: who was verified meanwhile keeps his password.
                let old = present.password.as_ref();
                self.issuance.users.store_password(present, hash, old, actor).await?;
            }
            self.issuance.users.record_sent(&present.id, SentMail::Verification).await?;
        }
        let email = new.email.as_ref().map_or("", Login::canonical);
        let answer = exists(email, ids::shown(present.id.as_str()), is_anew);
        Ok(answer.with("system_id", profile::system_id(present)))
    }

    /// Adds a user under the next free number.
    async fn add_with_number(&self, user: User, caller: &Caller) -> Result<User, IssueError> {
        for _ in 0..MAX_NUMBERS {
            let id = self.next_number().await?;
            let user = User { id, ..user.clone() };
            match self.issuance.users.add(user, None, Actor::Owner(caller)).await {
                Err(IssueError::Taken("user id")) => {}
                added => return added,
            }
        }
        Err(IssueError::Busy)
    }

    /// The next number, which nobody else is given.
    async fn next_number(&self) -> Result<UserId, IssueError> {
        let number = self.accounts.next_user_number().await?;
        UserId::parse(&number.to_string()).map_err(|_| {
            Cause::CorruptRecord(format!("the number {number} of a user is no id")).into()
        })
    }

    pub(super) async fn user_set_emailverified(
        &self,
        given: &Parameters,
        caller: &Caller,
    ) -> Outcome {
        let refused = |reason: &str| {
            let answer = Answer::failure(reason, "The e-mail was not noted as verified.");
            Ok(answer.with("user_id", Value::Null).with("is_active", false))
        };
        let Some(user) = self.by_email(given.text("email")).await? else {
            return refused("there is no such user");
        };
        let actor = Actor::Administrator(caller);
        let user = match self.issuance.users.mark_verified(&user.id, None, actor).await {
            Ok(user) => user,
            Err(IssueError::NotFound) => return refused("there is no such user"),
            Err(error) => return Err(error),
        };
        Ok(with_state(Answer::success("The e-mail is noted as verified."), &user))
    }

    pub(super) async fn user_set_emailsent(&self, given: &Parameters) -> Outcome {
        let refused = |reason: &str| Ok(Answer::failure(reason, "The mail was not noted."));
        let mail = match given.text("email_type") {
            "signup" => SentMail::Verification,
            "forgotpass" => SentMail::Reset,
            _ => return refused("email_type is `signup` or `forgotpass`"),
        };
        let Some(user) = self.by_email(given.text("email")).await? else {
            return refused("there is no such user");
        };
        self.issuance.users.record_sent(&user.id, mail).await?;
        let Some(user) = self.accounts.user(&user.id).await? else {
            return refused("there is no such user");
        };
        let optional = |time: Option<_>| json!(time.map(datetime::written));
        let answer = with_state(Answer::success("The mail is noted."), &user);
        Ok(answer
            .with("email", profile::email(&user))
            .with("emailverify_sent_datetime", optional(user.verification_sent))
            .with("emailforgotpass_sent_datetime", optional(user.reset_sent)))
    }
}

/// The answer with a user's id, role, and right to log in.
fn with_state(answer: Answer, user: &User) -> Answer {
    let answer = answer.with("user_id", ids::shown(user.id.as_str()));
    answer.with("is_active", profile::is_active(user)).with("user_role", profile::role(user))
}

/// The failure that only the frontend can tell from a success.
fn exists(email: &str, id: Value, send_verification: bool) -> Answer {
    let answer = Answer::failure("user exists", SIGNED_UP).with("user_email", email);
    answer.with("user_id", id).with("send_verification", send_verification)
}

/// A full name with single blanks, which may be empty; none for what is meant to be clicked in a mail.
fn full_name(text: &str) -> Option<String> {
    let name = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let folded = name.to_lowercase();
    let is_link = ["http", "://", "www."].iter().any(|part| folded.contains(part));
    (!is_link).then_some(name)
}

/// The properties that authnzerver notes about a user who signed up, beside those of the frontend.
fn properties(given: &Parameters) -> Map<String, Value> {
    let mut properties = given.object("extra_info").cloned().unwrap_or_default();
    let system_id =
        given.optional_text("system_id").map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    for (name, value) in [
        ("provenance", json!("request-created")),
        ("type", json!("normal-user")),
        (
            "verify_retry_wait",
            json!(given.integer("verify_retry_wait").unwrap_or(USUAL_RETRY_HOURS)),
        ),
        (profile::SYSTEM_ID, json!(system_id)),
    ] {
        properties.insert(name.to_owned(), value);
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_name_is_squeezed_and_nothing_to_click_on() {
        assert_eq!(full_name("  Alice \t Liddell "), Some("Alice Liddell".to_owned()));
        assert_eq!(full_name(" "), Some(String::new()));
        for bad in ["http me", "HTTPS://evil.test", "ftp://evil.test", "see www.evil.test"] {
            assert_eq!(full_name(bad), None, "{bad}");
        }
    }
}
