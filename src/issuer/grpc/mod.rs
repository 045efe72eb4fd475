//! Issuance over gRPC: one service a file, one table of status codes in `status.rs`, beside the
//! standard health and reflection services.
//!
//! It knows nothing of proxies: those who call are services, on this host or by mutual TLS.

mod caller;
mod dispatcher;
pub mod generated;
mod run_to_completion;
mod status;
mod tokens;
mod tp_auth;
mod value;

use std::net::IpAddr;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use dispatcher::Dispatcher;
use generated::tp_auth::refresh_service_server::RefreshServiceServer;
use generated::v1::token_service_server::TokenServiceServer;
use run_to_completion::RunToCompletion;
use tokens::Tokens;
use tp_auth::TpAuth;

use super::Issuance;
use crate::secret::Secret;
use crate::wire::body::MAX_BODY_BYTES;

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
    dispatcher: Dispatcher,
    health: HealthReporter,
}

/// The description of the services cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the reflection service of gRPC cannot be built")]
pub struct GrpcError(#[from] tonic_reflection::server::Error);

impl GrpcService {
    /// All services, with the administrator's token, if there is one.
    ///
    /// # Errors
    /// [`GrpcError`].
    pub async fn new(
        issuance: &Arc<Issuance>,
        admin_token: Option<Secret>,
    ) -> Result<Self, GrpcError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        set_health(&health, ServingStatus::Serving).await;
        let tokens = Tokens { issuance: Arc::clone(issuance), admin_token };
        let tokens = TokenServiceServer::new(tokens).max_decoding_message_size(MAX_BODY_BYTES);
        let tp_auth = RefreshServiceServer::new(TpAuth { issuance: Arc::clone(issuance) })
            .max_decoding_message_size(MAX_BODY_BYTES);
        let routes = Routes::new(RunToCompletion::new(tokens, issuance))
            .add_service(RunToCompletion::new(tp_auth, issuance))
            .add_service(health_service.max_decoding_message_size(MAX_BODY_BYTES))
            .add_service(reflection().build_v1()?.max_decoding_message_size(MAX_BODY_BYTES))
            .add_service(reflection().build_v1alpha()?.max_decoding_message_size(MAX_BODY_BYTES));
        Ok(Self { dispatcher: Dispatcher::new(routes), health })
    }

    /// Answers one request that came from `peer`; `None` is a peer on a unix socket.
    pub async fn answer(self, peer: Option<IpAddr>, request: Request<Incoming>) -> Response<Body> {
        self.dispatcher.answer(peer, request).await
    }

    /// Tells those who watch that it is over, and ends their streams, which would hold up a drain.
    pub async fn end(mut self) {
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

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(generated::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
