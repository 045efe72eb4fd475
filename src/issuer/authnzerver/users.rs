//! Requests that find users.

use serde_json::{Map, Value};

use super::answer::Answer;
use super::schema::Parameters;
use super::{Actions, Outcome, ids, profile};
use crate::account::{Login, User};
use crate::issuer::error::IssueError;
use crate::issuer::users::MAX_PAGE;
use crate::session::UserId;

pub(super) const FOUND: &str = "The user was found.";
const NOT_FOUND: &str = "The user was not found.";
const NOT_IN_ACCOUNTS: &str = "there is no such user";

impl Actions {
    /// One user, or all of them by number.
    pub(super) async fn user_list(&self, given: &Parameters) -> Outcome {
        let asked = given.value("user_id");
        let mut users = match ids::read(asked) {
            Some(id) => self.user(&id).await?.into_iter().collect(),
            None => self.all_users().await?,
        };
        users.sort_by_key(|user| ids::number_of(user.id.as_str()).unwrap_or(i64::MAX));
        let users: Vec<Value> = users.iter().map(|user| profile::info(user).into()).collect();
        Ok(Answer::success(FOUND).with("user_info", users))
    }

    pub(super) async fn user_lookup_email(&self, given: &Parameters) -> Outcome {
        Ok(match self.by_email(given.text("email")).await? {
            Some(user) => Answer::success(FOUND).with("user_info", profile::info(&user)),
            None => failure(NOT_IN_ACCOUNTS, NOT_FOUND),
        })
    }

    /// The users with a value in a column that is shown; for `extra_info`, with all of these values
    /// in it.
    pub(super) async fn user_lookup_match(&self, given: &Parameters) -> Outcome {
        let (by, wanted) = (given.text("by"), given.value("match"));
        if (by == "extra_info") != wanted.is_object() {
            return Ok(failure("an object matches extra_info, and nothing else does", NOT_FOUND));
        }
        if !profile::COLUMNS.contains(&by) {
            return Ok(failure("there is no such column to look by", NOT_FOUND));
        }
        let candidates = match (by, wanted.as_str()) {
            ("email", Some(email)) => self.by_email(email).await?.into_iter().collect(),
            ("user_id", _) => match ids::read(wanted) {
                Some(id) => self.user(&id).await?.into_iter().collect(),
                None => Vec::new(),
            },
            _ => self.all_users().await?,
        };
        let infos = candidates.iter().map(profile::info);
        let found: Vec<Value> =
            infos.filter(|info| is_match(&info[by], wanted, by)).map(Value::Object).collect();
        Ok(Answer::success(FOUND).with("user_info", found))
    }

    /// The user who logs in by this e-mail.
    pub(super) async fn by_email(&self, email: &str) -> Result<Option<User>, IssueError> {
        match Login::parse(email) {
            Ok(email) => self.issuance.users.by_login(&email).await,
            Err(_) => Ok(None),
        }
    }

    pub(super) async fn all_users(&self) -> Result<Vec<User>, IssueError> {
        let mut all: Vec<User> = Vec::new();
        loop {
            let after: Option<UserId> = all.last().map(|user| user.id.clone());
            let page = self.issuance.users.list(after.as_ref(), MAX_PAGE).await?;
            let is_last = page.len() < MAX_PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }
}

/// A failure that shows no user.
pub(super) fn failure(reason: &str, message: &str) -> Answer {
    Answer::failure(reason, message).with("user_info", Value::Null)
}

/// E-mails match however they are written.
fn is_match(value: &Value, wanted: &Value, by: &str) -> bool {
    let is_in = |object: &Map<String, Value>| {
        wanted
            .as_object()
            .is_some_and(|wanted| wanted.iter().all(|(k, v)| object.get(k) == Some(v)))
    };
    match (by, value) {
        ("extra_info", Value::Object(object)) => is_in(object),
        ("email", Value::String(_)) => true,
        _ => value == wanted,
    }
}
