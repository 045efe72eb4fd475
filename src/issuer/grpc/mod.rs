//! Issuance over gRPC: one service a file, one table of status codes in `status.rs`, beside the
//! standard health and reflection services.
//!
//! It knows nothing of proxies: those who call are services, on this host or by mutual TLS.

mod caller;
mod connections;
mod deadline;
pub mod generated;
mod grpc_only;
mod run_to_completion;
mod status;
mod tokens;
mod tp_auth;
mod value;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use connections::accept;
use deadline::DeadlineLayer;
use generated::tp_auth::refresh_service_server::RefreshServiceServer;
use generated::v1::token_service_server::TokenServiceServer;
use grpc_only::GrpcOnlyLayer;
use run_to_completion::RunToCompletion;
use tokens::Tokens;
use tp_auth::TpAuth;

use super::Issuance;
use crate::secret::Secret;
use crate::wire::address_limit::AddressLimit;
use crate::wire::networks::Networks;

/// The largest message that is read, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// How many calls a connection may have open at once.
const MAX_STREAMS: u32 = 100;
/// How many calls may be under way, on all connections.
const MAX_CALLS: usize = 1_024;
/// The largest head of a call, in bytes, each field with 32 more.
const MAX_HEAD_BYTES: u32 = 16 * 1024;
/// How much of unread messages clients may send ahead, a call and a connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How long a call may take, whatever the client is willing to wait.
const LONGEST_CALL: Duration = Duration::from_secs(10);
/// How long a connection may take to begin, and a TLS handshake to end.
const OPENING: Duration = Duration::from_secs(10);
/// How often a silent connection is asked whether it is alive, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// The services whose health is told.
const SERVICES: [&str; 3] = [
    // The whole server.
    "",
    TokenServiceServer::<Tokens>::NAME,
    RefreshServiceServer::<TpAuth>::NAME,
];

/// Configuration of gRPC.
#[derive(Clone, Debug)]
pub struct GrpcConfig {
    /// How connections are encrypted; `None`: not at all.
    pub tls: Option<TlsConfig>,
    /// The administrator's token.
    pub admin_token: Option<Secret>,
    /// How many connections each address may have.
    pub address_limit: Arc<AddressLimit>,
}

impl GrpcConfig {
    /// A limit for each address: so many, and never more than a quarter of all.
    #[must_use]
    pub fn address_limit(per_address: usize, gateways: Networks) -> Arc<AddressLimit> {
        AddressLimit::new(per_address.min(connections::MAX_CONNECTIONS / 4), gateways)
    }
}

impl Default for GrpcConfig {
    /// No encryption, no administrator, and no bound for an address.
    fn default() -> Self {
        Self { tls: None, admin_token: None, address_limit: AddressLimit::unlimited() }
    }
}

/// Certificate, key and client authorities of TLS, all in PEM.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The server's certificate and what leads to its authority.
    pub certificate: Vec<u8>,
    /// The key of that certificate.
    pub key: Secret,
    /// Whoever has no certificate of one of these authorities is not let in (mutual TLS).
    pub client_ca: Option<Vec<u8>>,
}

/// Why gRPC cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// The certificate, its key or the clients' authorities cannot be used.
    #[error("the certificate, its key or the clients' authorities cannot be used for gRPC")]
    Tls(#[source] tonic::transport::Error),
    /// The description of the services cannot be read.
    #[error("the reflection service cannot be built")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The server ended by itself.
    #[error("the gRPC server ended")]
    Server(#[source] tonic::transport::Error),
}

impl TlsConfig {
    /// Whether these can be used; to be asked before anything is bound.
    ///
    /// # Errors
    /// [`GrpcError::Tls`].
    pub fn check(&self) -> Result<(), GrpcError> {
        Server::builder().tls_config(self.to_tonic()).map_err(GrpcError::Tls).map(drop)
    }

    fn to_tonic(&self) -> ServerTlsConfig {
        let identity = Identity::from_pem(&self.certificate, self.key.expose());
        let config = ServerTlsConfig::new().identity(identity).timeout(OPENING);
        match &self.client_ca {
            Some(authorities) => config.client_ca_root(Certificate::from_pem(authorities)),
            None => config,
        }
    }
}

/// Answers calls on `listener` until `stop` is over. Then nothing new is accepted, health says so,
/// and the calls under way have `grace` to end before they are aborted.
///
/// # Errors
/// [`GrpcError`], where it cannot begin, or ended by itself.
pub async fn serve(
    listener: TcpListener,
    issuance: Arc<Issuance>,
    config: GrpcConfig,
    stop: impl Future<Output = ()> + Send,
    grace: Duration,
) -> Result<(), GrpcError> {
    let mut server = Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEAD_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PONG_WITHIN))
        .layer(DeadlineLayer {
            longest: LONGEST_CALL,
            permits: Arc::new(Semaphore::new(MAX_CALLS)),
        })
        .layer(GrpcOnlyLayer);
    if let Some(tls) = &config.tls {
        server = server.tls_config(tls.to_tonic()).map_err(GrpcError::Tls)?;
    }
    let (health, health_service) = tonic_health::server::health_reporter();
    set_health(&health, ServingStatus::Serving).await;
    let tokens = Tokens { issuance: Arc::clone(&issuance), admin_token: config.admin_token };
    let tokens = TokenServiceServer::new(tokens).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let tp_auth = RefreshServiceServer::new(TpAuth { issuance: Arc::clone(&issuance) })
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let router = server
        .add_service(RunToCompletion::new(tokens, &issuance))
        .add_service(RunToCompletion::new(tp_auth, &issuance))
        .add_service(health_service.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(reflection().build_v1()?.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(reflection().build_v1alpha()?.max_decoding_message_size(MAX_MESSAGE_BYTES));
    let (aborted, stopping) = (CancellationToken::new(), CancellationToken::new());
    let _abort_at_the_end = aborted.clone().drop_guard();
    let stopped = async {
        stop.await;
        end_health(health).await;
        stopping.cancel();
    };
    let accepted = accept(listener, OPENING, config.address_limit, aborted);
    let serving = router.serve_with_incoming_shutdown(accepted, stopped);
    let overdue = async {
        stopping.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        ended = serving => ended.map_err(GrpcError::Server),
        () = overdue => {
            tracing::warn!("gRPC calls were aborted: they took longer than the grace");
            Ok(())
        }
    }
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        health.set_service_status(service, status).await;
    }
}

/// Tells those who watch that it is over, and ends their streams, which would hold up the drain.
async fn end_health(mut health: HealthReporter) {
    set_health(&health, ServingStatus::NotServing).await;
    for service in SERVICES {
        health.clear_service_status(service).await;
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(generated::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
