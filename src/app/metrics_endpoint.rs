//! The metrics listener: `/metrics`, and how the gate does, also while it drains.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::gate::metrics::GateMetrics;
use crate::gate::service::{GateService, health};
use crate::server::{Listeners, Shutdown};
use crate::telemetry::metrics::{CONTENT_TYPE, Exposition};
use crate::wire::connection::Connection;
use crate::wire::security_headers::SecurityHeaders;

/// Service of the metrics listener.
#[derive(Clone, Debug)]
pub(super) struct MetricsEndpoint {
    pub(super) service: Arc<GateService>,
    pub(super) counters: GateMetrics,
    pub(super) exposition: Exposition,
    /// While the gate drains it is not ready.
    pub(super) stopping: Shutdown,
}

/// Serves metrics and readiness until `ended`.
pub(super) async fn serve(listeners: Listeners, endpoint: MetricsEndpoint, ended: Shutdown) {
    let answer = move |connection: Connection, request| {
        let endpoint = endpoint.clone();
        async move {
            let mut response = endpoint.answer(connection.peer, request).await;
            SecurityHeaders::default().add(&mut response);
            response
        }
    };
    listeners.serve(answer, &ended).await;
}

impl MetricsEndpoint {
    async fn answer(
        &self,
        peer: Option<IpAddr>,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let (request, _) = request.into_parts();
        // A gateway takes every 200 for a yes, also that of a probe.
        if let Some(refusal) = self.service.refuse_wrong_path(peer, &request, "metrics") {
            return refusal;
        }
        let is_reading = matches!(request.method, Method::GET | Method::HEAD);
        match request.uri.path() {
            _ if !is_reading => status(StatusCode::METHOD_NOT_ALLOWED),
            "/metrics" => self.metrics(),
            "/health" => health(),
            "/ready" if self.stopping.has_begun() => status(StatusCode::SERVICE_UNAVAILABLE),
            "/ready" => self.service.ready().await,
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let decisions = self.service.gate().decisions();
        let (entries, bytes) = decisions.size();
        self.counters.cache_entries.set(entries.try_into().unwrap_or(i64::MAX));
        self.counters.cache_bytes.set(bytes.try_into().unwrap_or(i64::MAX));
        let waiting = decisions.waiting_verifications();
        self.counters.waiting_verifications.set(waiting.try_into().unwrap_or(i64::MAX));
        let Some(text) = self.exposition.text() else {
            return status(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        let content_type = HeaderValue::from_static(CONTENT_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
