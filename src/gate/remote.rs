//! A service of others that is asked over HTTPS while a request waits: within bounds of time, and of how
//! many ask at once. While it fails, it is left alone for a moment.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;

use crate::clock::Clock;
use crate::store::{CircuitBreaker, Priority};
use crate::wire::https::{self, HttpsClient, HttpsError};
use crate::wire::warning_throttle::WarningThrottle;

/// The largest answer that is read, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// A service, and how it is asked.
pub(super) struct RemoteService {
    client: HttpsClient,
    timeout: Duration,
    breaker: CircuitBreaker,
    warning_throttle: WarningThrottle,
}

impl fmt::Debug for RemoteService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteService").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// The reason why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// The service cannot be reached, is too slow, or says itself that it fails.
    #[error("{0}")]
    Failed(String),
    /// It answered, and something else. What was asked may be the reason, and anybody can make that up:
    /// it says nothing about other questions.
    #[error("{0}")]
    Unusable(String),
}

impl RemoteService {
    /// A service that may take `timeout` to answer.
    pub(super) fn new(client: HttpsClient, timeout: Duration, clock: Arc<dyn Clock>) -> Self {
        let (breaker, warning_throttle) = (CircuitBreaker::new(clock), WarningThrottle::default());
        Self { client, timeout, breaker, warning_throttle }
    }

    /// The longest wait: as long for the turn to ask as for the answer.
    pub(super) fn longest_wait(&self) -> Duration {
        self.timeout.saturating_mul(2)
    }

    /// Returns whether a failure may be logged now.
    pub(super) fn may_warn(&self) -> bool {
        self.warning_throttle.is_due()
    }

    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// The reason why there is no answer that can be used.
    pub(super) async fn ask<T>(
        &self,
        priority: Priority,
        question: http::Result<Request<Full<Bytes>>>,
        read: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<T, String> {
        let ask = async {
            let permit = self.breaker.acquire(priority).await;
            let _permit =
                permit.map_err(|_| "it was not asked, since it fails or is busy".to_owned())?;
            let exchange =
                async { read(&self.exchange(question).await?).map_err(NoAnswer::Unusable) };
            let late = |_| Err(NoAnswer::Failed("it did not answer in time".to_owned()));
            let answer = tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(late);
            match &answer {
                Ok(_) | Err(NoAnswer::Unusable(_)) => self.breaker.record_success(),
                Err(NoAnswer::Failed(_)) => drop(self.breaker.record_failure()),
            }
            answer.map_err(|problem| problem.to_string())
        };
        let answer = tokio::time::timeout(self.longest_wait(), ask).await;
        answer.unwrap_or_else(|_| Err("too many wait for it".to_owned()))
    }

    async fn exchange(
        &self,
        question: http::Result<Request<Full<Bytes>>>,
    ) -> Result<Bytes, NoAnswer> {
        let question = question
            .map_err(|_| NoAnswer::Unusable("its address cannot be requested".to_owned()))?;
        let failed = |error: HttpsError| NoAnswer::Failed(error.to_string());
        let response = self.client.send(question).await.map_err(failed)?;
        check_status(response.status())?;
        https::read(response, MAX_BYTES).await.map_err(failed)
    }
}

/// Checks the status: an answer is 200 and nothing else.
fn check_status(status: StatusCode) -> Result<(), NoAnswer> {
    let answered = || format!("it answered {}", status.as_u16());
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(NoAnswer::Unusable(format!(
            "{}: it refuses this gate as a client; look at the secret that the gate shows",
            answered()
        ))),
        _ if status.is_server_error() => Err(NoAnswer::Failed(answered())),
        _ => Err(NoAnswer::Unusable(answered())),
    }
}
