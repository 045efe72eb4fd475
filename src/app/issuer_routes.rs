//! The routes of the issuer's listeners, and those of the gate that are reached there.

use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::gate::gateway_proof::Peer;
use crate::gate::service::GateService;
use crate::issuer::http::Routes;
use crate::wire::connection::Connection;
use crate::wire::is_forward_auth;

/// A listener's routes; on the public one also those two by which jwthenticator's clients ask the
/// gate.
#[derive(Clone)]
pub(super) struct IssuerRoutes {
    pub(super) routes: Routes,
    pub(super) gate: Option<GateMount>,
}

/// The gate, and the prefix of its paths.
#[derive(Clone)]
pub(super) struct GateMount {
    pub(super) service: Arc<GateService>,
    pub(super) prefix: Arc<str>,
    /// True where this listener demands certificates.
    pub(super) is_certified: bool,
}

impl IssuerRoutes {
    /// Answers a request that came over this connection.
    pub(super) async fn answer(
        &self,
        connection: Connection,
        request: Request<Incoming>,
    ) -> Response<Full<Bytes>> {
        let (mut head, body) = request.into_parts();
        let peer = connection.peer;
        if let Some(gate) = &self.gate {
            if self.routes.is_gate_route(head.uri.path()) {
                if let Some(uri) = with_prefix(&gate.prefix, &head.uri) {
                    head.uri = uri;
                }
                let peer = Peer::new(connection, gate.is_certified);
                return gate.service.answer(peer, Request::from_parts(head, body)).await;
            }
            // To a gateway every 200 is a yes, also that of `/health` or `/jwks`.
            if is_forward_auth(&head.headers)
                && let Some(refusal) = gate.service.refuse_wrong_path(peer, &head, "issuer")
            {
                return refusal;
            }
        }
        self.routes.answer(peer, Request::from_parts(head, body)).await
    }
}

/// The path as the gate expects it, under its own prefix.
fn with_prefix(prefix: &str, uri: &Uri) -> Option<Uri> {
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    format!("{prefix}{path}").parse().ok()
}
