//! Requests about sessions.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::schema::Parameters;
use super::session_tokens::{LiveSession, NewSession};
use super::{Actions, Outcome, datetime, ids, profile};
use crate::account::{Login, User, UserKind};
use crate::clock::UnixTime;
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::session::UserId;

/// The columns of its user that the information about a session holds.
const OF_USER: [&str; 12] = [
    "user_id",
    "system_id",
    "full_name",
    "email",
    "extra_info",
    "email_verified",
    "emailverify_sent_datetime",
    "is_active",
    "last_login_try",
    "last_login_success",
    "created_on",
    "user_role",
];

const NOT_OPENED: &str = "The session could not be opened.";
const NOT_FOUND: &str = "There is no such session, or it is over.";

impl Actions {
    pub(super) async fn session_new(&self, given: &Parameters) -> Outcome {
        let refused = |reason: &str| {
            let answer = Answer::failure(reason, NOT_OPENED);
            Ok(answer.with("session_token", Value::Null).with("expires", Value::Null))
        };
        let Ok(address) = given.text("ip_address").parse::<IpAddr>() else {
            return refused("ip_address is no address");
        };
        let now = self.clock.now();
        let Some(expires) = datetime::read(given.text("expires")) else {
            return refused("expires is no time such as 2026-11-22T08:00:00.000000");
        };
        let expires = expires.min(now.after(self.max_session));
        if expires <= now {
            return refused("expires is over");
        }
        let id = match given.value("user_id") {
            Value::Null => json!(ids::ANONYMOUS),
            zero if zero.as_i64() == Some(0) => json!(ids::ANONYMOUS),
            id => id.clone(),
        };
        let user = match ids::read(&id) {
            Some(id) => self.user(&id).await?,
            None => None,
        };
        let Some(user) = user.filter(profile::is_active) else {
            return refused("there is no such user, or it is locked");
        };
        let new = NewSession {
            user: user.id.clone(),
            address,
            user_agent: given.text("user_agent"),
            expires,
            extra_info: given.object("extra_info_json").cloned(),
        };
        let token = self.tokens.open(new).await?;
        // Whoever was locked meanwhile had all sessions ended but this one.
        if !self.user(&user.id).await?.is_some_and(|user| profile::is_active(&user)) {
            self.issuance.revocation.end_all(&user.id, &Caller::default()).await?;
            return refused("there is no such user, or it is locked");
        }
        let answer = Answer::success("The session was opened.");
        let answer = answer.with("session_token", token.to_text());
        Ok(answer.with("expires", datetime::written(expires)))
    }

    pub(super) async fn session_exists(&self, given: &Parameters) -> Outcome {
        let found = match self.tokens.find(given.text("session_token")).await? {
            Some(session) => self.user(&session.user).await?.map(|user| (session, user)),
            None => None,
        };
        let Some((session, user)) = found else {
            let answer = Answer::failure("session does not exist or expired", NOT_FOUND);
            return Ok(answer.with("session_info", Value::Null));
        };
        let mut info = profile::info(&user);
        info.retain(|column, _| OF_USER.contains(&column.as_str()));
        info.extend(columns(&session, given.text("session_token")));
        Ok(Answer::success("The session lives.").with("session_info", info))
    }

    pub(super) async fn session_delete(&self, given: &Parameters, caller: &Caller) -> Outcome {
        let is_ended = match self.tokens.find(given.text("session_token")).await? {
            Some(session) => self.end_session(&session, caller).await?,
            None => false,
        };
        Ok(if is_ended {
            Answer::success("The session was ended.")
        } else {
            Answer::refused(NOT_FOUND)
        })
    }

    /// Ends all sessions of a user but the current one, where that is to be kept. authnzerver keeps
    /// it in any case.
    pub(super) async fn session_delete_userid(
        &self,
        given: &Parameters,
        caller: &Caller,
    ) -> Outcome {
        let Some(user) = ids::read(given.value("user_id")) else {
            return Ok(Answer::refused("There are no such sessions."));
        };
        let kept = if given.flag("keep_current_session") {
            self.tokens.find(given.text("session_token")).await?
        } else {
            None
        };
        let revocation = &self.issuance.revocation;
        let ended = match kept {
            Some(kept) => revocation.end_all_but(&user, &kept.id, caller).await?,
            None => revocation.end_all(&user, caller).await?,
        };
        Ok(if ended > 0 {
            Answer::success("The sessions were ended.")
        } else {
            Answer::refused("There are no such sessions.")
        })
    }

    pub(super) async fn internal_session_edit(&self, given: &Parameters) -> Outcome {
        let refused = |reason: &str| {
            let answer = Answer::failure(reason, "The session was not changed.");
            Ok(answer.with("session_info", Value::Null))
        };
        let update = given.object("update_dict").filter(|update| !update.is_empty());
        let Some(update) = update else { return refused("update_dict is empty") };
        let token = given.text("target_session_token");
        let Some(session) = self.tokens.find(token).await? else {
            return refused("no such session");
        };
        let Some(kept) = self.tokens.edit(&session, update).await? else {
            return refused("no such session");
        };
        let session = LiveSession { kept, ..session };
        let mut info = columns(&session, token);
        info.insert("user_id".to_owned(), ids::shown(session.user.as_str()));
        Ok(Answer::success("The session was changed.").with("session_info", info))
    }

    /// Ends a session; says whether it lived.
    pub(super) async fn end_session(
        &self,
        session: &LiveSession,
        caller: &Caller,
    ) -> Result<bool, IssueError> {
        let is_ended = self.issuance.revocation.end(&session.id, "authnzerver", caller).await?;
        self.tokens.forget(session).await;
        Ok(is_ended)
    }

    /// The user of that id; the anonymous one is there without an account.
    pub(super) async fn user(&self, id: &UserId) -> Result<Option<User>, IssueError> {
        let found = self.accounts.user(id).await?;
        Ok(found.or_else(|| (id.as_str() == ids::ANONYMOUS).then(|| anonymous(id)).flatten()))
    }
}

fn anonymous(id: &UserId) -> Option<User> {
    let name = Login::parse("anonymous").ok()?;
    let user = User::new(id.clone(), name, UnixTime::EPOCH);
    Some(User {
        full_name: Some("Anonymous".to_owned()),
        kind: UserKind::Anonymous,
        email_verified: true,
        ..user
    })
}

/// The columns of a session itself.
fn columns(session: &LiveSession, token: &str) -> Map<String, Value> {
    let LiveSession { created, expires, kept, .. } = session;
    Map::from_iter(
        [
            ("session_token", json!(token)),
            ("ip_address", json!(kept.address)),
            ("user_agent", json!(kept.user_agent)),
            ("created", json!(datetime::written(*created))),
            ("expires", json!(datetime::written(*expires))),
            ("extra_info_json", json!(kept.extra_info)),
        ]
        .map(|(column, value)| (column.to_owned(), value)),
    )
}
