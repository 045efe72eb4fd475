//! One connection: which protocol it speaks, its requests, its end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::Limits;
use super::connection_registry::{ConnectionState, InFlight, Phase};
use super::heads::memory_of;
use super::hot_loop::{self, HeadService};
use super::stream::{Protocol, Socket, Stream};
use super::tls::Tls;
use crate::wire::BodyRead;
use crate::wire::connection::Connection;

/// The bytes of unread bodies that HTTP/2 clients may send ahead, a stream and a connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// The memory of the heads that one HTTP/2 connection may have in flight, about. One head may
/// always be.
const HEADS_IN_FLIGHT: usize = 4 << 20;
/// The time between two pings of an HTTP/2 connection, where there are pings, and the longest time
/// until the answer to one.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// The number of headers that hyper allows by itself.
const HYPERS_MAX_HEADERS: usize = 100;

/// The protocols, configured the same for all connections.
#[derive(Clone, Debug)]
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    head_bytes: usize,
    request: RequestLimits,
    pings: bool,
}

/// Limits of each request.
#[derive(Clone, Copy, Debug)]
struct RequestLimits {
    headers: usize,
    bodies: u32,
}

impl Protocols {
    pub(super) fn new(limits: &Limits) -> Self {
        // Below hyper's own floor it would panic.
        let head_bytes = limits.max_head_bytes.max(8192);
        let mut http1 = http1::Builder::new();
        http1.max_buf_size(head_bytes);
        // Hyper's own number costs least: its table stands on the stack.
        if limits.max_headers != HYPERS_MAX_HEADERS {
            http1.max_headers(limits.max_headers);
        }
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .max_concurrent_streams(limits.max_streams)
            .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        if limits.pings {
            http2
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PONG_WITHIN);
        }
        let request = RequestLimits { headers: limits.max_headers, bodies: limits.max_bodies };
        Self { http1, http2, head_bytes, request, pings: limits.pings }
    }

    /// Serves one connection to its end.
    pub(super) async fn run<S, A, F, B>(
        self: Arc<Self>,
        socket: Socket,
        tls: Option<Arc<Tls>>,
        (connection, state): (Connection, Arc<ConnectionState>),
        (head_service, answer): (Option<S>, A),
    ) where
        S: HeadService,
        A: Fn(Request<Incoming>) -> F + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body + Default + Send + 'static,
        B::Data: Send,
        B::Error: std::error::Error + Send + Sync,
    {
        let opening = Stream::open(socket, tls, Arc::clone(&state), self.head_bytes);
        let opened = state.drive(pin!(opening), Phase::Finishing, |_, _| ()).await;
        let Some(Ok(Some((stream, protocol)))) = opened else { return };
        let stream = match head_service {
            Some(service) if protocol == Protocol::Http1 => {
                let answering = pin!(hot_loop::run(stream, &state, connection, &service));
                let end = state.drive(answering, Phase::Aborted, |_, _| ()).await;
                let Some(Ok(Some(stream))) = end else { return };
                stream
            }
            _ => stream,
        };
        let service = counted(Arc::clone(&state), answer, self.request);
        let io = TokioIo::new(stream);
        let end = match protocol {
            Protocol::Http1 => {
                let connection = pin!(self.http1.serve_connection(io, service));
                // Not at `Draining`: a request that is on its way to an idle connection shall still
                // find it open. The counted service says `Connection: close` by itself.
                let finish = |connection: std::pin::Pin<&mut http1::Connection<_, _>>, phase| {
                    if phase >= Phase::Finishing {
                        connection.graceful_shutdown();
                    }
                };
                state.drive(connection, Phase::Aborted, finish).await
            }
            Protocol::Http2 => {
                if self.pings {
                    state.leave_to_pings();
                }
                let connection = pin!(self.http2.serve_connection(io, service));
                // GOAWAY lets the streams that are on their way arrive.
                state
                    .drive(connection, Phase::Aborted, |connection, _| {
                        connection.graceful_shutdown();
                    })
                    .await
            }
        };
        if let Some(Err(error)) = end {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// A service that answers by `answer`, with its requests counted in `state` and bounded, and its
/// answers marked as the connection's last where a body was left unread or the server drains.
fn counted<A, F, B>(
    state: Arc<ConnectionState>,
    answer: A,
    limits: RequestLimits,
) -> impl Service<
    Request<Incoming>,
    Response = Response<B>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
>
where
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body + Default + Send,
{
    service_fn(move |request: Request<Incoming>| {
        let http1 = request.version() < Version::HTTP_2;
        let announced = http1 && !request.body().is_end_stream();
        let (in_flight, refused) =
            if http1 { (state.start_http1(), None) } else { start_http2(&state, &request, limits) };
        // What is refused is dropped here, before more of it is read.
        let answer = match refused {
            None => Ok(answer(request)),
            Some(status) => Err(status),
        };
        async move {
            let mut response = match answer {
                Ok(answer) => answer.await,
                Err(status) => {
                    let mut response = Response::new(B::default());
                    *response.status_mut() = status;
                    response
                }
            };
            let unread = announced && response.extensions().get::<BodyRead>().is_none();
            if unread {
                in_flight.state().mark_body_unread();
            }
            if unread || (http1 && in_flight.state().is_draining()) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        }
    })
}

/// Counts a request of an HTTP/2 connection, and says with what it is refused, if it is. HPACK
/// makes a field of a single byte, so the size of a head, which is all that hyper bounds, says
/// little of the memory that it takes; and many streams share a connection.
fn start_http2(
    state: &Arc<ConnectionState>,
    request: &Request<Incoming>,
    limits: RequestLimits,
) -> (InFlight, Option<StatusCode>) {
    let has_body = !request.body().is_end_stream();
    let head = memory_of(request.headers());
    let (heads, bodies) = state.in_flight();
    let refused = if request.headers().len() > limits.headers {
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else if (heads > 0 && heads + head > HEADS_IN_FLIGHT) || (has_body && bodies >= limits.bodies)
    {
        Some(StatusCode::SERVICE_UNAVAILABLE)
    } else {
        None
    };
    let (head, has_body) = if refused.is_some() { (0, false) } else { (head, has_body) };
    (state.start_http2(head, has_body), refused)
}
