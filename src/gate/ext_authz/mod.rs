//! Envoy's `ext_authz` over gRPC: `envoy.service.auth.v3.Authorization`, on a listener of its own.
//!
//! `request.rs` reads the question into an inquiry, the gate judges it, `response.rs` makes the
//! answer. A denial is an answer like any other, with the status, the headers and the body that
//! Envoy's dialect over HTTP has for it. A call that fails (too large, too many, not in time) is a
//! denial at the gateway, unless it was told to fail open.

pub mod generated;
mod metadata;
mod request;
mod response;

use std::net::IpAddr;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;

use generated::auth::authorization_server::{Authorization, AuthorizationServer};
use generated::auth::{CheckRequest, CheckResponse};
use request::AskedRequest;

use super::denial::DenialCode;
use super::dialect::Dialect;
use super::gateway_proof::Peer;
use super::inquiry::Inquiry;
use super::metrics::EntryPoint;
use super::requester::Origin;
use super::service::GateService;
use super::verdict::Verdict;
use crate::wire::connection::Connection;
use crate::wire::grpc::{Dispatcher, connection_of};
use crate::wire::networks::Networks;

/// The most bytes of a question: as much as a head may have over HTTP.
const MAX_QUESTION_BYTES: usize = (1 << 20) + (16 << 10);

/// The service, ready to answer.
#[derive(Clone, Debug)]
pub struct ExtAuthz {
    dispatcher: Dispatcher<AuthorizationServer<Authorizer>>,
}

impl ExtAuthz {
    /// The service in front of `gate`, on a listener that demands certificates or does not.
    pub fn new(gate: Arc<GateService>, is_certified: bool) -> Self {
        let config = &gate.config;
        // Whoever showed a certificate is a gateway, and has the calls of all its clients.
        let gateways = if is_certified { Networks::everybody() } else { config.gateways.clone() };
        let server = AuthorizationServer::new(Authorizer { gate, is_certified })
            .max_decoding_message_size(MAX_QUESTION_BYTES);
        Self { dispatcher: Dispatcher::new(server, gateways) }
    }

    /// Answers one request that came over `connection`.
    pub async fn answer(
        self,
        connection: Connection,
        request: Request<Incoming>,
    ) -> Response<Body> {
        self.dispatcher.answer(connection, request).await
    }
}

/// The judge of calls.
#[derive(Debug)]
struct Authorizer {
    gate: Arc<GateService>,
    /// True where the listener demands certificates.
    is_certified: bool,
}

#[tonic::async_trait]
impl Authorization for Authorizer {
    async fn check(
        &self,
        call: tonic::Request<CheckRequest>,
    ) -> Result<tonic::Response<CheckResponse>, Status> {
        let connection = connection_of(&call).ok_or(Status::internal("no connection"))?;
        let peer = Peer::new(connection, self.is_certified);
        let (proof, gateways) = (&self.gate.config.proof, &self.gate.config.gateways);
        let is_proven = proof.proves(peer, call.metadata().as_ref());
        let is_heard = is_proven || !proof.is_demanded();
        let asked = AskedRequest::read(call.into_inner());
        let mut inquiry = asked.inquiry(gateways);
        inquiry.gateway = peer.address;
        // As over HTTP: nobody else is believed who the client is.
        let is_listed = peer.address.is_some_and(|address| gateways.holds(address));
        let is_believed = is_proven || (is_heard && is_listed);
        if !is_believed {
            inquiry.line.client = None;
        }
        inquiry.origin = match inquiry.line.client {
            Some(client) => Origin::of_client(client),
            None => Origin::of_connection(peer.connection),
        };
        if is_proven {
            inquiry.certificates = asked.certificates(peer.is_certified);
        }
        let verdict = match asked.refusal() {
            // What it tells is for the log alone.
            _ if !is_heard => Verdict::Deny(DenialCode::UnknownGateway.into()),
            Some(refusal) => Verdict::Deny(refusal.into()),
            None => self.gate.gate().check(&inquiry).await,
        };
        let source = if is_believed { asked.peer() } else { peer.address };
        let answer = self.answer(source, &inquiry, &verdict).await;
        Ok(tonic::Response::new(answer))
    }
}

impl Authorizer {
    /// Counts and logs a verdict, and makes the answer.
    async fn answer(
        &self,
        peer: Option<IpAddr>,
        inquiry: &Inquiry<'_>,
        verdict: &Verdict,
    ) -> CheckResponse {
        let answer =
            self.gate.conclude(Dialect::Envoy, EntryPoint::ExtAuthz, peer, inquiry, verdict);
        match verdict {
            Verdict::Allow(grant) => response::allowed(grant, inquiry.headers),
            Verdict::Deny(denial) => {
                let (parts, body) = answer.into_parts();
                let Ok(body) = body.collect().await;
                let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
                response::denied(denial, (parts.status, &parts.headers, body))
            }
        }
    }
}
