//! Issuance over gRPC: one service a file, one table of status codes in `status.rs`, beside the
//! standard health and reflection services.
//!
//! It knows nothing of proxies: those who call are services, on this host or by mutual TLS.

pub mod generated;
mod run_to_completion;
mod status;
mod tokens;
mod tp_auth;
mod value;

use std::sync::Arc;

use futures_util::StreamExt as _;
use http::{Request, Response};
use http_body_util::{BodyStream, StreamBody};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use generated::tp_auth::refresh_service_server::RefreshServiceServer;
use generated::v1::token_service_server::TokenServiceServer;
use run_to_completion::RunToCompletion;
use tokens::Tokens;
use tp_auth::TpAuth;

use super::Issuance;
use super::caller::Caller;
use crate::policy::ReadOnlyRoles;
use crate::secret::Secret;
use crate::wire::body::MAX_BODY_BYTES;
use crate::wire::connection::Connection;
use crate::wire::grpc::{Dispatcher, peer_of};
use crate::wire::networks::Networks;

/// The beginning of the paths of reflection.
const REFLECTION: &str = "/grpc.reflection.";
/// The services whose health is told.
const SERVICES: [&str; 3] = [
    // The whole server.
    "",
    TokenServiceServer::<Tokens>::NAME,
    RefreshServiceServer::<TpAuth>::NAME,
];

/// Issuance over gRPC, ready to answer.
#[derive(Clone, Debug)]
pub struct GrpcService {
    dispatcher: Dispatcher<Routes>,
    health: HealthReporter,
    /// Cancelled once the server drains.
    ended: CancellationToken,
}

/// The description of the services cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the reflection service of gRPC cannot be built")]
pub struct GrpcError(#[from] tonic_reflection::server::Error);

impl GrpcService {
    /// All services, with the administrator's token, if there is one, and the roles whose users end
    /// no sessions. Calls from `gateways` have no bound of their own.
    ///
    /// # Errors
    /// [`GrpcError`].
    pub async fn new(
        issuance: &Arc<Issuance>,
        admin_token: Option<Secret>,
        read_only: ReadOnlyRoles,
        gateways: Networks,
    ) -> Result<Self, GrpcError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        set_health(&health, ServingStatus::Serving).await;
        let tokens = Tokens { issuance: Arc::clone(issuance), admin_token, read_only };
        let tokens = TokenServiceServer::new(tokens).max_decoding_message_size(MAX_BODY_BYTES);
        let tp_auth = RefreshServiceServer::new(TpAuth { issuance: Arc::clone(issuance) })
            .max_decoding_message_size(MAX_BODY_BYTES);
        let routes = Routes::new(RunToCompletion::new(tokens, issuance))
            .add_service(RunToCompletion::new(tp_auth, issuance))
            .add_service(health_service.max_decoding_message_size(MAX_BODY_BYTES))
            .add_service(reflection().build_v1()?.max_decoding_message_size(MAX_BODY_BYTES))
            .add_service(reflection().build_v1alpha()?.max_decoding_message_size(MAX_BODY_BYTES));
        let dispatcher = Dispatcher::new(routes.prepare(), gateways);
        Ok(Self { dispatcher, health, ended: CancellationToken::new() })
    }

    /// Answers one request that came from `peer`; `None` is a peer on a unix socket.
    pub async fn answer(
        self,
        connection: Connection,
        request: Request<Incoming>,
    ) -> Response<Body> {
        if request.uri().path().starts_with(REFLECTION) {
            return self.dispatcher.answer(connection, until(self.ended, request)).await;
        }
        self.dispatcher.answer(connection, request).await
    }

    /// Tells those who watch that it is over, and ends their streams and those of reflection, which
    /// would hold up a drain.
    pub async fn end(mut self) {
        self.ended.cancel();
        set_health(&self.health, ServingStatus::NotServing).await;
        for service in SERVICES {
            self.health.clear_service_status(service).await;
        }
    }
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        health.set_service_status(service, status).await;
    }
}

/// The caller of a request. What a proxy says of somebody behind it is not believed: those who
/// call are services.
fn caller_of<T>(request: &tonic::Request<T>) -> Caller {
    let peer = peer_of(request).map(|address| address.to_canonical());
    Caller::new(peer, request.metadata().as_ref())
}

/// The request, whose questions end once `ended` is cancelled, and so do its answers.
fn until(ended: CancellationToken, request: Request<Incoming>) -> Request<Body> {
    request.map(|body| {
        let frames = BodyStream::new(body).take_until(ended.cancelled_owned());
        Body::new(StreamBody::new(frames))
    })
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(generated::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
