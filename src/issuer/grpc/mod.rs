//! Issuance over gRPC: one service a file, one table of status codes in `status.rs`, beside the
//! standard health and reflection services.
//!
//! It knows nothing of proxies: those who call are services, on this host or by mutual TLS.

mod caller;
mod calls;
mod connections;
mod deadline;
mod finishing;
pub mod generated;
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

use calls::CallsLayer;
use connections::accept;
use deadline::DeadlineLayer;
use finishing::Finishing;
use generated::tp_auth::refresh_service_server::RefreshServiceServer;
use generated::v1::token_service_server::TokenServiceServer;
use tokens::Tokens;
use tp_auth::TpAuth;

use super::Issuance;
use crate::secret::Secret;
use crate::wire::networks::Networks;
use crate::wire::places::Places;

/// The largest message that is read, in bytes.
const MOST_MESSAGE_BYTES: usize = 64 * 1024;
/// How many calls a connection may have open at once.
const MOST_STREAMS: u32 = 100;
/// How many calls may be under way, on all connections.
const MOST_CALLS: usize = 1_024;
/// The largest head of a call, in bytes, each field with 32 more.
const MOST_HEAD_BYTES: u32 = 16 * 1024;
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

/// What the operator decides about gRPC.
#[derive(Clone, Debug)]
pub struct GrpcTerms {
    /// How connections are encrypted; `None`: not at all.
    pub tls: Option<TlsTerms>,
    /// The administrator's token.
    pub admin_token: Option<Secret>,
    /// How many connections each address may have.
    pub places: Arc<Places>,
}

impl GrpcTerms {
    /// Places for each address: so many, and never more than a quarter of all.
    #[must_use]
    pub fn places(per_address: usize, gateways: Networks) -> Arc<Places> {
        Places::new(per_address.min(connections::MOST_CONNECTIONS / 4), gateways)
    }
}

impl Default for GrpcTerms {
    /// No encryption, no administrator, and no bound for an address.
    fn default() -> Self {
        Self { tls: None, admin_token: None, places: Places::unbounded() }
    }
}

/// How connections are encrypted, all in PEM.
#[derive(Clone, Debug)]
pub struct TlsTerms {
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

impl TlsTerms {
    /// Whether these can be used; to be asked before anything is bound.
    ///
    /// # Errors
    /// [`GrpcError::Tls`].
    pub fn check(&self) -> Result<(), GrpcError> {
        Server::builder().tls_config(self.config()).map_err(GrpcError::Tls).map(drop)
    }

    fn config(&self) -> ServerTlsConfig {
        let identity = Identity::from_pem(&self.certificate, self.key.expose());
        let config = ServerTlsConfig::new().identity(identity).timeout(OPENING);
        match &self.client_ca {
            Some(authorities) => config.client_ca_root(Certificate::from_pem(authorities)),
            None => config,
        }
    }
}

/// Answers calls on `listener` until `stop` is over. Then nothing new is accepted, health says so,
/// and the calls under way have `grace` to end before they are cut.
///
/// # Errors
/// [`GrpcError`], where it cannot begin, or ended by itself.
pub async fn serve(
    listener: TcpListener,
    issuance: Arc<Issuance>,
    terms: GrpcTerms,
    stop: impl Future<Output = ()> + Send,
    grace: Duration,
) -> Result<(), GrpcError> {
    let mut server = Server::builder()
        .max_concurrent_streams(MOST_STREAMS)
        .http2_max_header_list_size(MOST_HEAD_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PONG_WITHIN))
        .layer(DeadlineLayer {
            longest: LONGEST_CALL,
            places: Arc::new(Semaphore::new(MOST_CALLS)),
        })
        .layer(CallsLayer);
    if let Some(tls) = &terms.tls {
        server = server.tls_config(tls.config()).map_err(GrpcError::Tls)?;
    }
    let (health, health_service) = tonic_health::server::health_reporter();
    set_health(&health, ServingStatus::Serving).await;
    let tokens = Tokens { issuance: Arc::clone(&issuance), admin_token: terms.admin_token };
    let tokens = TokenServiceServer::new(tokens).max_decoding_message_size(MOST_MESSAGE_BYTES);
    let tp_auth = RefreshServiceServer::new(TpAuth { issuance: Arc::clone(&issuance) })
        .max_decoding_message_size(MOST_MESSAGE_BYTES);
    let router = server
        .add_service(Finishing::new(tokens, &issuance))
        .add_service(Finishing::new(tp_auth, &issuance))
        .add_service(health_service.max_decoding_message_size(MOST_MESSAGE_BYTES))
        .add_service(reflection().build_v1()?.max_decoding_message_size(MOST_MESSAGE_BYTES))
        .add_service(reflection().build_v1alpha()?.max_decoding_message_size(MOST_MESSAGE_BYTES));
    let (cut, stopping) = (CancellationToken::new(), CancellationToken::new());
    let _cut_at_the_end = cut.clone().drop_guard();
    let stopped = async {
        stop.await;
        end_health(health).await;
        stopping.cancel();
    };
    let accepted = accept(listener, OPENING, terms.places, cut);
    let serving = router.serve_with_incoming_shutdown(accepted, stopped);
    let overdue = async {
        stopping.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        ended = serving => ended.map_err(GrpcError::Server),
        () = overdue => {
            tracing::warn!("gRPC calls were cut: they took longer than the grace");
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
