//! A user as requests see it; never the hash of its password.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::account::{Login, User};
use crate::clock::UnixTime;
use crate::issuer::error::IssueError;
use crate::issuer::users::fields;
use crate::issuer::users::links::NewLink;

/// A user.
#[derive(Serialize, ToSchema)]
pub(super) struct UserView {
    /// Its id, the `sub` of its tokens.
    id: String,
    /// The name that it logs in with.
    username: String,
    /// Its e-mail, with which it logs in too.
    email: Option<String>,
    /// True where the e-mail was shown to be its own.
    email_verified: bool,
    /// The name that people use.
    full_name: Option<String>,
    /// `person`, `service` or `anonymous`.
    #[schema(example = "person")]
    kind: &'static str,
    /// `active`, `unverified` or `locked`.
    #[schema(example = "active")]
    state: &'static str,
    /// Its roles.
    roles: Vec<String>,
    /// The most scopes that it may be granted.
    scopes: Vec<String>,
    /// Free properties.
    properties: Map<String, Value>,
    /// The time at which it was made.
    #[schema(example = "2026-11-23T08:00:00Z")]
    created: String,
    /// The time of its last change.
    updated: String,
    /// The time of its last login.
    last_login: Option<String>,
    /// The fields that administrators see besides.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    administration: Option<Administration>,
}

/// The fields that administrators see besides.
#[derive(Serialize, ToSchema)]
struct Administration {
    /// Further claims of its tokens.
    claims: Map<String, Value>,
    /// True where it can log in by a password.
    has_password: bool,
    /// The time at which it was last sent a link that verifies its e-mail.
    verification_sent: Option<String>,
    /// The time at which it was last sent a link that resets its password.
    reset_sent: Option<String>,
}

impl UserView {
    /// As its owner sees it.
    pub(super) fn for_owner(user: &User) -> Self {
        Self {
            id: user.id.as_str().to_owned(),
            username: user.username.as_str().to_owned(),
            email: user.email.as_ref().map(|email| email.as_str().to_owned()),
            email_verified: user.email_verified,
            full_name: user.full_name.clone(),
            kind: user.kind.as_str(),
            state: user.state.as_str(),
            roles: user.roles.clone(),
            scopes: user.scopes.clone(),
            properties: user.properties.clone(),
            created: user.created.to_string(),
            updated: user.updated.to_string(),
            last_login: time(user.last_login),
            administration: None,
        }
    }

    /// As an administrator sees it.
    pub(super) fn for_administrator(user: &User) -> Self {
        let administration = Some(Administration {
            claims: user.claims.clone(),
            has_password: user.password.is_some(),
            verification_sent: time(user.verification_sent),
            reset_sent: time(user.reset_sent),
        });
        Self { administration, ..Self::for_owner(user) }
    }
}

fn time(time: Option<UnixTime>) -> Option<String> {
    time.map(|time| time.to_string())
}

/// A page of users.
#[derive(Serialize, ToSchema)]
pub(super) struct UserPage {
    /// The users, by id.
    users: Vec<UserView>,
    /// The value of `after` for the next page; null where there is none.
    next: Option<String>,
}

impl UserPage {
    /// A page that was to hold `limit`.
    pub(super) fn new(found: &[User], limit: usize) -> Self {
        let last = found.last().filter(|_| found.len() >= limit);
        Self {
            users: found.iter().map(UserView::for_administrator).collect(),
            next: last.map(|user| user.id.as_str().to_owned()),
        }
    }
}

/// A one-time link.
#[derive(Serialize, ToSchema)]
pub(super) struct LinkView {
    /// Its purpose.
    #[schema(example = "reset-password")]
    pub(super) purpose: &'static str,
    /// The e-mail that it is for.
    pub(super) email: String,
    /// Its token; null where it was sent by mail.
    pub(super) token: Option<String>,
    /// The time at which it is over.
    #[schema(example = "2026-11-23T08:15:00Z")]
    pub(super) expires: String,
    /// True where it was sent by mail.
    pub(super) sent: bool,
}

impl LinkView {
    /// A link, whose token is told where no mail has it.
    pub(super) fn new(link: &NewLink, sent: bool) -> Self {
        Self {
            purpose: link.purpose.as_str(),
            email: link.email.as_str().to_owned(),
            token: (!sent).then(|| link.token.to_text()),
            expires: link.expires.to_string(),
            sent,
        }
    }
}

/// An e-mail that a request names.
pub(super) fn email(text: Option<&str>) -> Result<Option<Login>, IssueError> {
    let email = text.map(fields::email).transpose();
    email.map_err(IssueError::InvalidRequest)
}
