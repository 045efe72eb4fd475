//! Dispatch of gRPC calls to their services: nothing else is answered, so many are at once, and each
//! ends in time.
//!
//! gRPC tells of failures with HTTP's 200, so a gateway that asks here by mistake would take "no
//! such method" for a yes. The specification of gRPC wants 415 for what is no call.
//!
//! A call ends at the client's deadline or ours, whichever comes first. What the issuer was doing for
//! it goes on in its task.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::budget::Budget;
use super::connection::Connection;
use super::is_forward_auth;
use super::networks::Networks;

/// The most calls that are under way at once, on all connections; a quarter of them from one address.
const MAX_CALLS: usize = 1_024;
/// The longest time of a call, whatever the client is willing to wait.
const LONGEST_CALL: Duration = Duration::from_secs(10);

/// The connection of a call, which its dispatcher put among its extensions. A call without one came
/// from nowhere that is known.
pub(crate) fn connection_of<T>(call: &tonic::Request<T>) -> Option<Connection> {
    call.extensions().get::<Connection>().copied()
}

/// The address that the connection of a call comes from; `None` is a unix socket.
pub(crate) fn peer_of<T>(call: &tonic::Request<T>) -> Option<IpAddr> {
    connection_of(call)?.peer
}

/// A dispatcher in front of a service, or of several.
#[derive(Clone, Debug)]
pub(crate) struct Dispatcher<S> {
    service: S,
    /// The calls that may be under way.
    calls: Arc<Budget>,
    longest: Duration,
}

impl<S> Dispatcher<S> {
    /// A dispatcher for `service`; calls from `gateways` have no bound of their own.
    pub(crate) fn new(service: S, gateways: Networks) -> Self {
        let calls = Budget::with_addresses(MAX_CALLS, MAX_CALLS / 4, gateways);
        Self { service, calls, longest: LONGEST_CALL }
    }

    /// Answers one request.
    pub(crate) async fn answer<B>(
        mut self,
        connection: Connection,
        mut request: Request<B>,
    ) -> Response<Body>
    where
        S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    {
        if !is_call(request.version(), request.method(), request.headers()) {
            let mut refusal = Response::new(Body::empty());
            *refusal.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return refusal;
        }
        let Ok(_call) = self.calls.reserve(connection.peer, 1) else {
            return Status::unavailable("too many calls at once").into_http();
        };
        let deadline = deadline(request.headers()).unwrap_or(self.longest);
        request.extensions_mut().insert(connection);
        let answer = self.service.call(request);
        match tokio::time::timeout(deadline.min(self.longest), answer).await {
            Ok(Ok(answer)) => answer,
            Err(_) => {
                Status::deadline_exceeded("the call took too long and was given up").into_http()
            }
        }
    }
}

/// True for a call that is no gateway's question about another request.
fn is_call(version: Version, method: &Method, headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    version == Version::HTTP_2
        && method == Method::POST
        && kind.starts_with(b"application/grpc")
        && !is_forward_auth(headers)
}

/// `grpc-timeout` of gRPC over HTTP/2: at most eight digits and a unit. What cannot be read asks
/// for nothing.
fn deadline(headers: &HeaderMap) -> Option<Duration> {
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
    use axum::Router;
    use bytes::Bytes;
    use futures_util::FutureExt as _;
    use http_body_util::Empty;
    use tonic::Code;
    use tonic::service::Routes;

    use super::*;

    #[test]
    fn a_call_is_a_post_of_grpc_that_tells_of_no_other_request() {
        let (http1, http2) = (Version::HTTP_11, Version::HTTP_2);
        for (version, method, kind, told, is_one) in [
            (http2, Method::POST, Some("application/grpc"), None, true),
            (http2, Method::POST, Some("application/grpc+proto"), Some("x-forwarded-for"), true),
            (http2, Method::POST, Some("application/grpc"), Some("x-forwarded-method"), false),
            (http2, Method::GET, Some("application/grpc"), None, false),
            (http2, Method::POST, Some("application/json"), None, false),
            (http2, Method::POST, None, None, false),
            (http1, Method::POST, Some("application/grpc"), None, false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(kind) = kind {
                headers.insert(CONTENT_TYPE, kind.parse().expect("a header"));
            }
            if let Some(told) = told {
                headers.insert(told, "POST".parse().expect("a header"));
            }
            let told = format!("{version:?} {method} {kind:?} {told:?}");
            assert_eq!(is_call(version, &method, &headers), is_one, "{told}");
        }
    }

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
            assert_eq!(deadline(&headers), expected, "{text:?}");
        }
        assert_eq!(deadline(&HeaderMap::new()), None);
    }

    /// A call of a service that never answers, with this `grpc-timeout`.
    fn call(timeout: Option<&str>) -> Request<Empty<Bytes>> {
        let mut request = Request::post("/never").version(Version::HTTP_2);
        if let Some(timeout) = timeout {
            request = request.header("grpc-timeout", timeout);
        }
        let request = request.header(CONTENT_TYPE, "application/grpc");
        request.body(Empty::new()).expect("a request")
    }

    /// So many calls at once, half of them from one address, each for at most so long.
    fn dispatcher(most: usize, longest: Duration) -> Dispatcher<Routes> {
        let never = Router::new().fallback(std::future::pending::<Response<axum::body::Body>>);
        let calls = Budget::with_addresses(most, most.div_ceil(2), Networks::default());
        Dispatcher { service: never.into(), calls, longest }
    }

    fn code(answer: &Response<Body>) -> Code {
        Status::from_header_map(answer.headers()).expect("a status").code()
    }

    #[tokio::test]
    async fn a_call_ends_at_the_earlier_of_both_deadlines() {
        let (short, long) = (Duration::from_millis(5), Duration::from_secs(3_600));
        for (longest, asked) in [(short, None), (short, Some("1H")), (long, Some("5m"))] {
            let answer =
                dispatcher(1, longest).answer(Connection::accepted(None), call(asked)).await;
            assert_eq!(code(&answer), Code::DeadlineExceeded, "{longest:?} {asked:?}");
        }
    }

    #[tokio::test]
    async fn a_call_too_many_is_told_at_once_and_no_address_takes_all() {
        let dispatcher = dispatcher(2, Duration::from_secs(3_600));
        let [one, other, third] = [1, 2, 3].map(|last| Some(IpAddr::from([192, 0, 2, last])));
        let begin = |peer| {
            let mut begun =
                Box::pin(dispatcher.clone().answer(Connection::accepted(peer), call(None)));
            (&mut begun).now_or_never().map_or_else(|| Ok(begun), |answer| Err(code(&answer)))
        };
        let first = begin(one).expect("under way");
        assert_eq!(begin(one).err(), Some(Code::Unavailable), "it has its share");
        let _second = begin(other).expect("another address has its own");
        assert_eq!(begin(third).err(), Some(Code::Unavailable), "there are no more");
        drop(first);
        assert!(begin(third).is_ok(), "it was given back");
    }
}
