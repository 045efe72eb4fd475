//! An external authorizer: it is asked over HTTP whether a user may do what a route says (`authorize`).
//!
//! A yes is an explicit yes, and nothing else is. A no is a no. Whatever else comes, or does not come in
//! time, is no answer, and lets nobody in. Answers are remembered for at most the bound of all that is
//! remembered, by the digest of all that was sent, and many who ask the same at once cost one question.
//!
//! The token goes to the authorizer's address and nowhere else: redirects are not followed, and neither
//! it nor an answer is in any log line.

mod answer;
mod ask;
mod format;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request};
use http_body_util::Full;
use moka::sync::Cache;
use tracing::warn;
use url::Url;

use super::denial::DenialCode;
use super::metrics::{AuthorizerMetrics, GateMetrics};
use super::remote::RemoteService;
use super::single_flight::SingleFlight;
use crate::clock::{Clock, UnixTime};
use crate::policy::DecisionRequest;
use crate::secret::Secret;
use crate::store::Priority;
use crate::wire::https::{Authorities, HttpsClient};
use format::Answer;
pub use format::AuthorizerFormat;

/// The most answers that are remembered; each takes about 200 bytes.
const MAX_REMEMBERED: u64 = 65_536;
/// The number of questions under way that an answer may come of: one that began before the request
/// came may be too old for it, and the one after that cannot.
const MAX_ROUNDS: usize = 2;

/// The place where the authorizer is asked, and how.
#[derive(Clone, Debug)]
pub struct AuthorizerConfig {
    /// Its address.
    pub url: Url,
    /// The form of questions and answers.
    pub format: AuthorizerFormat,
    /// The bearer token by which the gate shows who it is.
    pub token: Option<Secret>,
    /// The authorities that are trusted there in place of the system's.
    pub authorities: Option<Authorities>,
    /// The longest wait for an answer.
    pub timeout: Duration,
    /// The time for which an answer is remembered; zero asks for every request.
    pub max_age: Duration,
}

/// The SHA-256 of all that is sent.
type Key = [u8; 32];

/// An answer.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    is_allowed: bool,
    /// The time before it was asked, on both clocks: it is not older than that.
    asked: (Duration, UnixTime),
}

/// The authorizer.
pub struct Authorizer {
    url: Url,
    format: AuthorizerFormat,
    authorization: Option<HeaderValue>,
    service: RemoteService,
    remembered: Cache<Key, Remembered>,
    single_flight: SingleFlight<Key, Option<Remembered>>,
    max_age: Duration,
    clock: Arc<dyn Clock>,
    metrics: AuthorizerMetrics,
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Authorizer {
    /// The authorizer of this configuration, of which nothing is remembered yet.
    ///
    /// # Errors
    /// The certificate authorities that are trusted cannot be read.
    pub fn new(
        config: &AuthorizerConfig,
        clock: Arc<dyn Clock>,
        metrics: &GateMetrics,
    ) -> std::io::Result<Self> {
        let AuthorizerConfig { url, format, token, authorities, timeout, max_age } = config;
        let client = HttpsClient::trusting(authorities.as_ref(), *timeout)?;
        Ok(Self {
            url: url.clone(),
            format: *format,
            authorization: token.as_ref().and_then(bearer),
            service: RemoteService::new(client, *timeout, Arc::clone(&clock)),
            remembered: Cache::new(MAX_REMEMBERED),
            single_flight: SingleFlight::default(),
            max_age: *max_age,
            clock,
            metrics: metrics.authorizer().clone(),
        })
    }

    /// Asks a question, or remembers the answer.
    ///
    /// # Errors
    /// [`DenialCode::AuthorizerUnavailable`] where there is no answer; this is never a yes.
    pub async fn decide(&self, request: &DecisionRequest) -> Result<bool, DenialCode> {
        let question = self.format.question(request);
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, question.as_bytes()).as_ref());
        if let Some(kept) = self.remembered.get(&key).filter(|kept| self.is_fresh(kept)) {
            self.metrics.remembered();
            return Ok(kept.is_allowed);
        }
        let asking = self.ask_together(key, Bytes::from(question));
        let answer = tokio::time::timeout(self.service.longest_wait(), asking).await;
        answer.ok().flatten().ok_or(DenialCode::AuthorizerUnavailable)
    }

    /// Asks together with all who ask the same. The answer is never older than the request, unless it
    /// may be remembered.
    async fn ask_together(&self, key: Key, question: Bytes) -> Option<bool> {
        let began = self.clock.monotonic();
        for _ in 0..MAX_ROUNDS {
            let answer = self.single_flight.join(key, self.ask(key, question.clone())).await?;
            if answer.asked.0 >= began || self.is_fresh(&answer) {
                return Some(answer.is_allowed);
            }
        }
        None
    }

    async fn ask(&self, key: Key, question: Bytes) -> Option<Remembered> {
        let asked = (self.clock.monotonic(), self.clock.now());
        let read = |body: &[u8]| self.format.answer(body);
        let answer = self.service.ask(Priority::Known, self.request(question), read).await;
        let is_allowed = answer.as_ref().ok().map(|answer| *answer == Answer::Yes);
        self.metrics.asked(is_allowed, self.clock.monotonic().saturating_sub(asked.0));
        self.warn_of(&answer);
        let answer = Remembered { is_allowed: is_allowed?, asked };
        if !self.max_age.is_zero() {
            self.remembered.insert(key, answer);
        }
        Some(answer)
    }

    fn request(&self, question: Bytes) -> http::Result<Request<Full<Bytes>>> {
        let mut request = Request::post(self.url.as_str())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(Full::new(question))
    }

    /// Returns whether an answer is younger than the bound by either clock.
    fn is_fresh(&self, answer: &Remembered) -> bool {
        let (at, wall) = answer.asked;
        let age = self.clock.monotonic().saturating_sub(at).max(self.clock.now().since(wall));
        age < self.max_age
    }

    fn warn_of(&self, answer: &Result<Answer, String>) {
        match answer {
            Err(problem) if self.service.may_warn() => {
                warn!(problem, "the authorizer gave no answer: nobody gets in where it decides");
            }
            Ok(Answer::Undefined) if self.service.may_warn() => {
                warn!(
                    "the authorizer has no decision, which is a no: its policy is not loaded, its rule \
                     has no default, or AUTHORIZER_URL names none"
                );
            }
            _ => {}
        }
    }
}

/// A bearer token in a header; `None` where it cannot stand there.
fn bearer(token: &Secret) -> Option<HeaderValue> {
    let value = [b"Bearer ", token.expose()].concat();
    let mut value = HeaderValue::from_bytes(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}
