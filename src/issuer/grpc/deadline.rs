//! A call ends in time, at the client's deadline or ours, whichever comes first; and there are so
//! many at once, so that those who wait for a message that never comes take no more.
//!
//! tonic knows the client's deadline too, but answers it with CANCELLED; the specification of gRPC
//! says DEADLINE_EXCEEDED. This stands inside of it and its time begins first, so it is first to
//! answer. What the call was doing goes on in its task (`run_to_completion.rs`).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Puts a service under deadlines.
#[derive(Clone, Debug)]
pub(super) struct DeadlineLayer {
    /// How long a call may take at most.
    pub(super) longest: Duration,
    /// One for each call that may be under way.
    pub(super) permits: Arc<Semaphore>,
}

/// A service under deadlines.
#[derive(Clone, Debug)]
pub(super) struct Deadline<S> {
    inner: S,
    longest: Duration,
    permits: Arc<Semaphore>,
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner, longest: self.longest, permits: Arc::clone(&self.permits) }
    }
}

impl<S, B> Service<Request<B>> for Deadline<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            let status = Status::unavailable("too many calls at once");
            return Box::pin(async move { Ok(status.into_http()) });
        };
        let asked = asked_for(request.headers()).unwrap_or(self.longest);
        // Here, not in the block: the time begins before that of whatever stands around this.
        let answer = tokio::time::timeout(asked.min(self.longest), self.inner.call(request));
        Box::pin(async move {
            let _permit = permit;
            answer.await.unwrap_or_else(|_| {
                let status = Status::deadline_exceeded("the call took too long and was given up");
                Ok(status.into_http())
            })
        })
    }
}

/// `grpc-timeout` of gRPC over HTTP/2: at most eight digits and a unit. What cannot be read asks
/// for nothing.
fn asked_for(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tonic::Code;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    #[test]
    fn a_timeout_is_read_as_grpc_writes_it() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3_600))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("50m", Some(Duration::from_millis(50))),
            ("7u", Some(Duration::from_micros(7))),
            ("0n", Some(Duration::ZERO)),
            ("100000000S", None),
            ("S", None),
            ("", None),
            ("5", None),
            ("5s", None),
            ("-5S", None),
            ("+5S", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("a header"));
            assert_eq!(asked_for(&headers), expected, "{text:?}");
        }
        assert_eq!(asked_for(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn a_call_ends_at_the_earlier_of_both_deadlines() {
        let (short, long) = (Duration::from_millis(5), Duration::from_secs(3_600));
        for (longest, asked) in [(short, None), (short, Some("1H")), (long, Some("5m"))] {
            let never = service_fn(|_: Request<()>| {
                std::future::pending::<Result<Response<Body>, Infallible>>()
            });
            let mut request = Request::new(());
            if let Some(asked) = asked {
                request.headers_mut().insert("grpc-timeout", asked.parse().expect("a header"));
            }
            let permits = Arc::new(Semaphore::new(1));
            let answer = DeadlineLayer { longest, permits }.layer(never).oneshot(request).await;
            let answer = answer.expect("an answer");
            let status = Status::from_header_map(answer.headers()).expect("a status");
            assert_eq!(status.code(), Code::DeadlineExceeded, "{longest:?} {asked:?}");
        }
    }

    #[tokio::test]
    async fn a_call_too_many_is_told_at_once() {
        let never = service_fn(|_: Request<()>| {
            std::future::pending::<Result<Response<Body>, Infallible>>()
        });
        let (longest, permits) = (Duration::from_secs(3_600), Arc::new(Semaphore::new(1)));
        let layer = DeadlineLayer { longest, permits: Arc::clone(&permits) };
        let mut first = layer.layer(never);
        let first = first.call(Request::new(()));
        let answer = layer.layer(never).oneshot(Request::new(())).await.expect("an answer");
        let status = Status::from_header_map(answer.headers()).expect("a status");
        assert_eq!(status.code(), Code::Unavailable);
        drop(first);
        assert_eq!(permits.available_permits(), 1);
    }
}
