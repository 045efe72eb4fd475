//! One connection: which protocol it speaks, its requests, its end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::Limits;
use super::connection_registry::{ConnectionState, InFlight, Phase};
use super::heads::memory_of;
use super::stream::{Protocol, Socket, Stream};
use crate::wire::BodyRead;

/// Streams that one HTTP/2 connection may have open at once.
const MAX_STREAMS: u32 = 250;
/// How much of unread bodies HTTP/2 clients may send ahead, a stream and a connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// The memory of the heads that one HTTP/2 connection may have in flight, about. One head may
/// always be.
const HEADS_IN_FLIGHT: usize = 4 << 20;
/// Streams of one HTTP/2 connection that may bring a body at the same time.
const BODIES_IN_FLIGHT: u32 = 32;

/// How many headers hyper allows by itself.
const HYPERS_MAX_HEADERS: usize = 100;

/// How connections are spoken to, the same for all of them.
#[derive(Clone, Debug)]
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    head_bytes: usize,
    max_headers: usize,
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
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        Self { http1, http2, head_bytes, max_headers: limits.max_headers }
    }

    /// The bytes of a connection, as these protocols read them.
    pub(super) fn stream(&self, socket: Socket, state: Arc<ConnectionState>) -> Stream {
        Stream::new(socket, state, self.head_bytes)
    }

    /// Serves one connection to its end.
    pub(super) async fn run<S, B>(
        self: Arc<Self>,
        mut stream: Stream,
        state: Arc<ConnectionState>,
        service: S,
    ) where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
        B: Body + Default + Send + 'static,
        B::Data: Send,
        B::Error: std::error::Error + Send + Sync,
    {
        let opened = state.drive(pin!(stream.open()), Phase::Finishing, |_, _| ()).await;
        let Some(Ok(Some(protocol))) = opened else { return };
        let service = counted(Arc::clone(&state), service, self.max_headers);
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

/// `service`, with its requests counted in `state` and bounded, and its answers marked as the
/// connection's last where a body was left unread or the server drains.
fn counted<S, B>(
    state: Arc<ConnectionState>,
    service: S,
    max_headers: usize,
) -> impl Service<
    Request<Incoming>,
    Response = Response<B>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body + Default + Send,
{
    service_fn(move |request: Request<Incoming>| {
        let http1 = request.version() < Version::HTTP_2;
        let announced = http1 && !request.body().is_end_stream();
        let (in_flight, refused) = if http1 {
            (state.start_http1(), None)
        } else {
            start_http2(&state, &request, max_headers)
        };
        // What is refused is dropped here, before more of it is read.
        let answer = match refused {
            None => Ok(service.call(request)),
            Some(status) => Err(status),
        };
        async move {
            let mut response = match answer {
                Ok(answer) => {
                    let Ok(response) = answer.await;
                    response
                }
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
    max_headers: usize,
) -> (InFlight, Option<StatusCode>) {
    let has_body = !request.body().is_end_stream();
    let head = memory_of(request.headers());
    let (heads, bodies) = state.in_flight();
    let refused = if request.headers().len() > max_headers {
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else if (heads > 0 && heads + head > HEADS_IN_FLIGHT)
        || (has_body && bodies >= BODIES_IN_FLIGHT)
    {
        Some(StatusCode::SERVICE_UNAVAILABLE)
    } else {
        None
    };
    let (head, has_body) = if refused.is_some() { (0, false) } else { (head, has_body) };
    (state.start_http2(head, has_body), refused)
}
