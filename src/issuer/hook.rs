//! The application checks the password: one signed request, and what it answers.
//!
//! We `POST` a JSON object: `username`, `password`, `scopes` (a list, or null), `client_id`,
//! `client_address`, `user_agent`. The header `Portcullis-Signature: t=<unix time>,v1=<hex>` holds
//! the HMAC-SHA256, under TOKEN_HOOK_SECRET, of the time, a dot, and the body; the application
//! checks it, and that the time is near its own. It answers 200 with `{"user_id": "...",
//! "scopes": [...], "claims": {...}}`, of which only the first must be there (no scopes: none are
//! granted), or 401 or 403 to refuse. Anything else, and silence, is no answer: nobody logs in.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use url::Url;

use super::caller::Caller;
use super::error::{Cause, IssueError};
use super::subject::{CLIENT_PREFIX, Subject};
use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::session::UserId;
use crate::token::{integers, is_scope};
use crate::wire::https::{self, HttpsClient, HttpsError};
use crate::wire::json;

/// The header of the signature.
pub const SIGNATURE: &str = "portcullis-signature";
/// Number of questions under way at once: an application that does not answer holds no more.
const MAX_QUESTIONS: usize = 256;
/// The longest answer, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// Address, secret and deadline of the application's hook.
#[derive(Clone, Debug)]
pub struct HookConfig {
    /// The address.
    pub url: Url,
    /// The secret that signs requests.
    pub secret: Secret,
    /// The time that an answer may take, all tries together.
    pub timeout: Duration,
}

/// Asks the application.
#[derive(Debug)]
pub struct Hook {
    config: HookConfig,
    permits: Semaphore,
    client: HttpsClient,
}

/// Question to the application.
#[derive(Debug)]
pub(super) struct HookRequest<'a> {
    pub(super) username: &'a str,
    pub(super) password: &'a Secret,
    pub(super) scopes: Option<&'a [String]>,
    pub(super) client: Option<&'a str>,
    pub(super) caller: &'a Caller,
}

/// Answer of the application.
#[derive(Debug)]
pub(super) enum HookAnswer {
    Granted(Subject),
    Refused,
}

/// As it stands in the answer.
#[derive(Deserialize)]
struct Granted {
    user_id: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    claims: Map<String, Value>,
}

impl Hook {
    /// A hook that trusts the system's certificate authorities.
    ///
    /// # Errors
    /// Where the system has none that can be read.
    pub fn new(config: HookConfig) -> std::io::Result<Self> {
        let client = HttpsClient::new(config.timeout)?;
        Ok(Self { config, permits: Semaphore::new(MAX_QUESTIONS), client })
    }

    /// Asks once. What was not sent for want of a connection is sent again, once; what was sent
    /// is not, since the application may count attempts.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`] where there is no answer that can be read, [`IssueError::Busy`]
    /// where too many wait for one; then the application was not asked.
    pub(super) async fn ask(
        &self,
        asked: &HookRequest<'_>,
        now: UnixTime,
    ) -> Result<HookAnswer, IssueError> {
        let Ok(_permit) = self.permits.try_acquire() else {
            return Err(IssueError::Busy);
        };
        let answer = tokio::time::timeout(self.config.timeout, self.try_ask(asked, now)).await;
        let problem = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(problem)) => format!("cannot be used: {problem}"),
            Err(_) => "did not answer in time".to_owned(),
        };
        Err(Cause::Hook(problem).into())
    }

    async fn try_ask(&self, asked: &HookRequest<'_>, now: UnixTime) -> Result<HookAnswer, String> {
        let body = Bytes::from(body(asked)?);
        let signature = signature(&self.config.secret, now, &body);
        let request = || {
            Request::post(self.config.url.as_str())
                .header(http::header::CONTENT_TYPE, "application/json")
                .header(SIGNATURE, &signature)
                .body(Full::new(body.clone()))
                .map_err(|_| "TOKEN_HOOK_URL cannot be requested".to_owned())
        };
        let response = match self.client.send(request()?).await {
            Err(HttpsError::Connect(_)) => self.client.send(request()?).await,
            other => other,
        };
        let response = response.map_err(|error| error.to_string())?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(HookAnswer::Refused),
            other => return Err(format!("it answered {}", other.as_u16())),
        }
        let body = https::read(response, MAX_BYTES).await.map_err(|error| error.to_string())?;
        read(&body).map(HookAnswer::Granted)
    }
}

fn body(asked: &HookRequest<'_>) -> Result<Vec<u8>, String> {
    let password = asked.password.expose_str().ok_or("a password is not UTF-8")?;
    let body = json!({
        "username": asked.username,
        "password": password,
        "scopes": asked.scopes,
        "client_id": asked.client,
        "client_address": asked.caller.address.map(|address| address.to_string()),
        "user_agent": asked.caller.user_agent,
    });
    serde_json::to_vec(&body).map_err(|error| error.to_string())
}

/// `t=<unix time>,v1=<hex>`.
pub fn signature(secret: &Secret, now: UnixTime, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
    let mut signed = hmac::Context::with_key(&key);
    signed.update(format!("{}.", now.as_secs()).as_bytes());
    signed.update(body);
    let mut text = format!("t={},v1=", now.as_secs());
    for byte in signed.sign().as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn read(body: &[u8]) -> Result<Subject, String> {
    // What serde says of a mistake may quote the answer, which is the application's to show.
    let granted: Granted = json::from_slice(&integers::quoted(body))
        .map_err(|_| "its answer is not an object with user_id, scopes, claims".to_owned())?;
    let user = UserId::parse(&granted.user_id).map_err(|error| error.to_string())?;
    if user.as_str().starts_with(CLIENT_PREFIX) {
        return Err(format!("its user_id starts with {CLIENT_PREFIX}, which clients' names do"));
    }
    if granted.scopes.iter().any(|scope| !is_scope(scope)) {
        return Err("one of its scopes is none (RFC 6749, section 3.3)".to_owned());
    }
    Ok(Subject::of_hook(user, granted.scopes, granted.claims))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_the_time_and_the_body() {
        let secret = Secret::new("key");
        let at = |secs, body: &str| signature(&secret, UnixTime::from_secs(secs), body.as_bytes());
        // echo -n '5.{}' | openssl dgst -sha256 -hmac key
        assert!(at(5, "{}").starts_with("t=5,v1="));
        assert_eq!(at(5, "{}").len(), "t=5,v1=".len() + 64);
        assert_ne!(at(5, "{}"), at(6, "{}").replace("t=6", "t=5"));
        assert_ne!(at(5, "{}"), at(5, "{ }"));
    }

    #[test]
    fn an_answer_that_names_nobody_is_none() {
        for body in [
            "",
            "{}",
            "[]",
            r#"{"user_id":7}"#,
            r#"{"user_id":""}"#,
            r#"{"user_id":"client:x"}"#,
            r#"{"user_id":"u","scopes":["a b"]}"#,
            r#"{"user_id":"u","claims":[]}"#,
            r#"{"user_id":"u","user_id":"v"}"#,
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn an_answer_cannot_write_the_claims_of_the_issuer() {
        let subject = read(br#"{"user_id":"u","claims":{"sub":"root","sid":"x","email":"e"}}"#);
        let subject = subject.expect("an answer");
        assert_eq!(subject.user.as_str(), "u");
        assert_eq!(subject.claims.keys().collect::<Vec<_>>(), ["email"]);
        assert_eq!(subject.scopes, Some(Vec::new()));
    }
}
