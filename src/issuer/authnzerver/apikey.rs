//! Requests about API keys: those that end with a session, and those that stand by themselves and
//! are refreshed.
//!
//! A client sees a key as an object of claims, of which `tkn` is the key. All claims are compared
//! with what was stored, where authnzerver compares the key, the user and the role.

mod claims;

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::access::Question;
use super::answer::Answer;
use super::schema::Parameters;
use super::{Actions, Outcome, datetime, ids, profile};
use crate::account::{ApiKey, KeyDigest, User};
use crate::issuer::api_keys::{IssuedKey, KeyRequest, KeyTerms, MAX_LISTED, RefreshTerms};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::secret::Secret;
use crate::session::UserId;
use claims::{Claimed, Claims, times, written};

const NOT_MADE: &str = "The API key was not made.";
const NOT_VERIFIED: &str = "The API key is not good.";
const NOT_REVOKED: &str = "The API key was not revoked.";
const NOT_REFRESHED: &str = "The API key was not refreshed.";
const NOT_ALLOWED: &str = "this user may not do that with this key";
const DAY: u64 = 24 * 3_600;

/// The way in which keys of a request end: with a session, or by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// They do.
    OfSession,
    /// They stand by themselves.
    Standing,
}

impl Actions {
    /// Makes a key that ends with a session, which must be the user's, from the same device.
    pub(super) async fn apikey_new(&self, given: &Parameters, caller: &Caller) -> Outcome {
        let Some(user) = self.key_owner(given, "create").await? else {
            return Ok(not_made(NOT_ALLOWED));
        };
        let session = self.tokens.find(given.text("session_token")).await?;
        let same_address =
            |written: &str| written.parse().ok() == given.text("ip_address").parse::<IpAddr>().ok();
        let session = session.filter(|session| {
            session.user == user.id
                && session.kept.user_agent == given.text("user_agent")
                && same_address(&session.kept.address)
        });
        let Some(session) = session else {
            return Ok(not_made("the session is not this user's, of this address and user agent"));
        };
        let days = given.integer("expires_days").and_then(|days| u64::try_from(days).ok());
        let Some(lifetime) = days.and_then(|days| days.checked_mul(DAY)).map(Duration::from_secs)
        else {
            return Ok(not_made("expires_days is no time"));
        };
        let Some(not_before) = seconds(given, "not_valid_before") else {
            return Ok(not_made("not_valid_before is no time"));
        };
        let terms = KeyTerms { not_before, lifetime: Some(lifetime), refresh: None };
        let request = request(given, terms);
        let made = self.issuance.api_keys.issue(&user.id, Some(&session.id), &request, caller);
        shown_key(made.await, given, &user)
    }

    /// Makes a key that stands by itself, with a refresh token.
    pub(super) async fn apikey_new_nosession(
        &self,
        given: &Parameters,
        caller: &Caller,
    ) -> Outcome {
        let Some(user) = self.key_owner(given, "create").await? else {
            return Ok(not_made(NOT_ALLOWED));
        };
        let Some(terms) = terms(given) else {
            return Ok(not_made("a time is negative, or no number"));
        };
        let request = request(given, terms);
        let made = self.issuance.api_keys.issue(&user.id, None, &request, caller).await;
        shown_key(made, given, &user)
    }

    pub(super) async fn apikey_verify(
        &self,
        given: &Parameters,
        kind: KeyKind,
        caller: &Caller,
    ) -> Outcome {
        Ok(match self.verified(given, kind, "view", caller).await? {
            Ok(key) => {
                let end = key.expires.map(datetime::written).unwrap_or_default();
                Answer::success("The API key is good.").with("expires", end)
            }
            Err(reason) => Answer::failure(reason, NOT_VERIFIED),
        })
    }

    /// Deletes a key, also one that has expired.
    pub(super) async fn apikey_revoke(
        &self,
        given: &Parameters,
        kind: KeyKind,
        caller: &Caller,
    ) -> Outcome {
        let refused = |reason: &str| Ok(Answer::failure(reason, NOT_REVOKED));
        let Some(claimed) = Claimed::read(given) else { return refused("it has no tkn and uid") };
        if !self.may_on_key(given, &claimed.user, "delete").await? {
            return refused(NOT_ALLOWED);
        }
        let found = self.accounts.key(&KeyDigest::of(&claimed.key)).await?;
        let found = found.filter(|key| key.user == claimed.user && is_of_kind(key, kind));
        let Some(key) = found else { return refused("there is no such key") };
        match self.issuance.api_keys.revoke(&key.id, Some(&key.user), caller).await {
            Ok(()) => Ok(Answer::success("The API key is revoked.")),
            Err(IssueError::NotFound) => refused("there is no such key"),
            Err(error) => Err(error),
        }
    }

    /// Deletes all keys of a user that stand by themselves, for whoever shows a good one.
    pub(super) async fn apikey_revokeall(&self, given: &Parameters, caller: &Caller) -> Outcome {
        let key = match self.verified(given, KeyKind::Standing, "delete", caller).await? {
            Ok(key) => key,
            Err(reason) => return Ok(Answer::failure(reason, NOT_REVOKED)),
        };
        let mut revoked = 0u64;
        loop {
            let all = self.accounts.keys(Some(&key.user), MAX_LISTED).await?;
            let (standing, is_last) =
                (all.iter().filter(|key| key.session.is_none()), all.len() < MAX_LISTED);
            let before = revoked;
            for key in standing {
                match self.issuance.api_keys.revoke(&key.id, Some(&key.user), caller).await {
                    Ok(()) => revoked += 1,
                    // It went with another of its family.
                    Err(IssueError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
            if is_last || revoked == before {
                break;
            }
        }
        let answer = Answer::success("The API keys are revoked.").with("revoked_keys", revoked);
        Ok(answer.with("deleted_keys", revoked))
    }

    /// Makes another key in the place of one whose refresh token is shown. One that comes again ends
    /// all that were refreshed from one.
    pub(super) async fn apikey_refresh(&self, given: &Parameters) -> Outcome {
        let refused = |reason: &str| Ok(Answer::failure(reason, NOT_REFRESHED));
        let Some(claimed) = Claimed::read(given) else { return refused("it has no tkn and uid") };
        if !self.may_on_key(given, &claimed.user, "create").await? {
            return refused(NOT_ALLOWED);
        }
        let token = Secret::new(given.text("refresh_token"));
        let found = self.accounts.key(&KeyDigest::of(&claimed.key)).await?;
        let found = found.filter(|key| key.user == claimed.user && claimed.is_of(key));
        let digest = KeyDigest::of(&token);
        let is_its = |key: &ApiKey| key.refresh.as_ref().is_some_and(|it| it.digest == digest);
        if !found.is_some_and(|key| is_its(&key)) {
            return refused("the refresh token is not that of this key");
        }
        let Some(terms) = terms(given) else { return refused("a time is negative, or no number") };
        let caller = Caller { address: given.text("ip_address").parse().ok(), ..Caller::default() };
        let issued = match self.issuance.api_keys.refresh(&token, Some(terms), &caller).await {
            Ok(issued) => issued,
            Err(IssueError::InvalidGrant) => return refused("the refresh token is used or over"),
            Err(IssueError::InvalidRequest(reason)) => return refused(&reason),
            Err(error) => return Err(error),
        };
        let mut claims = claimed.claims.clone();
        claims.insert("tkn".to_owned(), json!(issued.key.to_text()));
        claims.extend(times(&issued.record));
        Ok(with_key(Answer::success("The API key is refreshed."), &issued, &claims))
    }

    /// A key that is good now, where all that is claimed of it is so; else the reason why not.
    async fn verified(
        &self,
        given: &Parameters,
        kind: KeyKind,
        action: &str,
        caller: &Caller,
    ) -> Result<Result<ApiKey, &'static str>, IssueError> {
        const WRONG: &str = "the key is not known, over, or not as it is claimed";
        let Some(claimed) = Claimed::read(given) else { return Ok(Err("it has no tkn and uid")) };
        if !self.may_on_key(given, &claimed.user, action).await? {
            return Ok(Err(NOT_ALLOWED));
        }
        let found = match self.issuance.api_keys.verify(&claimed.key, caller).await {
            Ok(found) => found,
            Err(IssueError::InvalidGrant) => return Ok(Err(WRONG)),
            Err(error) => return Err(error),
        };
        let is_as_claimed = found.key.user == claimed.user
            && is_of_kind(&found.key, kind)
            && claimed.is_of(&found.key)
            && claimed.text("rol") == Some(profile::role(&found.user))
            && self.is_of_device(&claimed, &found.key).await?;
        Ok(if is_as_claimed { Ok(found.key) } else { Err(WRONG) })
    }

    /// True where the user agent that is claimed is that of the key's session.
    async fn is_of_device(&self, claimed: &Claimed, key: &ApiKey) -> Result<bool, IssueError> {
        let Some(session) = &key.session else { return Ok(claimed.text("usa").is_none()) };
        let kept = self.tokens.kept(session).await?;
        Ok(kept.is_some_and(|kept| claimed.text("usa") == Some(kept.user_agent.as_str())))
    }

    /// The user for whom a key is made, if the model lets him.
    async fn key_owner(
        &self,
        given: &Parameters,
        action: &str,
    ) -> Result<Option<User>, IssueError> {
        let Some(id) = ids::read(given.value("user_id")) else { return Ok(None) };
        if !self.may_on_key(given, &id, action).await? {
            return Ok(None);
        }
        let user = self.accounts.user(&id).await?;
        Ok(user.filter(profile::is_active))
    }

    /// Decides whether the user who asks may do this to a key of `owner`: as the model says; without one
    /// everybody may do all to his own keys, and a superuser to all.
    async fn may_on_key(
        &self,
        given: &Parameters,
        owner: &UserId,
        action: &str,
    ) -> Result<bool, IssueError> {
        let Some(user) = ids::read(given.value("user_id")) else { return Ok(false) };
        let role = given.text("user_role");
        if self.issuance.permissions.has_model() {
            return self
                .may(&Question {
                    user: &user,
                    role,
                    action,
                    item: "apikey",
                    owner,
                    visibility: "private",
                    shared_with: "",
                })
                .await;
        }
        let found = self.accounts.user(&user).await?;
        let has_role = |found: User| profile::is_active(&found) && profile::role(&found) == role;
        Ok((user == *owner || role == "superuser") && found.is_some_and(has_role))
    }
}

/// The answer with a key that was made.
fn shown_key(made: Result<IssuedKey, IssueError>, given: &Parameters, user: &User) -> Outcome {
    match made {
        Ok(issued) => {
            let claims = Claims { given, user, key: &issued.key, record: &issued.record };
            Ok(with_key(Answer::success("The API key is made."), &issued, &claims.render()))
        }
        Err(IssueError::InvalidRequest(reason)) => Ok(not_made(&reason)),
        Err(IssueError::NotFound | IssueError::Forbidden(_) | IssueError::InvalidScope) => {
            Ok(not_made(NOT_ALLOWED))
        }
        Err(error) => Err(error),
    }
}

fn is_of_kind(key: &ApiKey, kind: KeyKind) -> bool {
    key.session.is_some() == (kind == KeyKind::OfSession)
}

fn not_made(reason: &str) -> Answer {
    let answer = Answer::failure(reason, NOT_MADE);
    answer.with("apikey", Value::Null).with("expires", Value::Null)
}

/// Adds a key and its refresh token to an answer; the key as the text of its claims.
fn with_key(answer: Answer, issued: &IssuedKey, claims: &Map<String, Value>) -> Answer {
    let record = &issued.record;
    let answer = answer.with("apikey", Value::Object(claims.clone()).to_string());
    let answer = answer.with("expires", json!(record.expires.map(datetime::written)));
    let (Some(token), Some(refresh)) = (&issued.refresh_token, &record.refresh) else {
        return answer;
    };
    let answer = answer.with("refresh_token", token.to_text());
    answer.with("refresh_token_expires", datetime::written(refresh.expires))
}

/// The wishes for a new key.
fn request(given: &Parameters, terms: KeyTerms) -> KeyRequest {
    let text = |name: &str| Some(given.text(name).to_owned());
    KeyRequest {
        issuer: text("issuer"),
        audience: text("audience"),
        subject: text("subject"),
        address: text("ip_address"),
        version: Some(written(given.value("apiversion"))),
        terms,
        ..KeyRequest::default()
    }
}

/// The times of a key with a refresh token.
fn terms(given: &Parameters) -> Option<KeyTerms> {
    Some(KeyTerms {
        not_before: seconds(given, "not_valid_before")?,
        lifetime: Some(seconds(given, "expires_seconds")?),
        refresh: Some(RefreshTerms {
            not_before: seconds(given, "refresh_nbf")?,
            lifetime: seconds(given, "refresh_expires")?,
        }),
    })
}

/// A time in seconds, which is not negative.
fn seconds(given: &Parameters, name: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(given.number(name)?).ok()
}
