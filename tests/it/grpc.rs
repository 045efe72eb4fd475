//! The issuer over gRPC, as clients made from `proto/` see it.

mod sessions;
mod tokens;
mod tp_auth;
mod transport;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis::app::serve_grpc;
use portcullis::issuer::grpc::GrpcService;
use portcullis::issuer::grpc::generated::v1::token_service_client::TokenServiceClient;
use portcullis::policy::ReadOnlyRoles;
use portcullis::secret::Secret;
use portcullis::server::{Address, DrainReport, Limits, Listeners, Shutdown, Tls};
use portcullis::wire::networks::Networks;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::support::PATIENCE;
use crate::support::issuance::Fixture;

const ADMIN_TOKEN: &str = "an administrator's token, 32 bytes";

/// A server of this process.
struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    ended: JoinHandle<DrainReport>,
}

impl Server {
    async fn start(fixture: &Fixture) -> Self {
        Self::start_with(fixture, None, PATIENCE).await
    }

    async fn start_with(fixture: &Fixture, tls: Option<Arc<Tls>>, grace: Duration) -> Self {
        // Nobody else gets a port of this loopback address once it is closed.
        let any = "127.3.0.1:0".parse().expect("an address");
        let listeners = Listeners::bind(&[any], &Limits::default().of_grpc()).expect("a free port");
        let [Address::Tcp(address)] = listeners.addresses()[..] else { panic!("one address") };
        let admin_token = Some(Secret::new(ADMIN_TOKEN));
        let (roles, networks) = (ReadOnlyRoles::default(), Networks::default());
        let service = GrpcService::new(&fixture.issuance, admin_token, roles, networks);
        let service = service.await.expect("a service");
        let shutdown = Shutdown::new(grace);
        let serving = serve_grpc(listeners.with_tls(tls), service, shutdown.clone());
        Self { address, shutdown, ended: tokio::spawn(serving) }
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("a URL");
        endpoint.connect().await.expect("a connection")
    }

    async fn tokens(&self) -> TokenServiceClient<Channel> {
        TokenServiceClient::new(self.channel().await)
    }

    /// Begins the drain; what came of it.
    async fn stop(self) -> DrainReport {
        self.shutdown.begin();
        tokio::time::timeout(PATIENCE, self.ended).await.expect("in time").expect("no panic")
    }
}

/// A request with a bearer token.
fn with_bearer<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("ASCII");
    request.metadata_mut().insert("authorization", value);
    request
}

/// Checks that a call was refused with this code, and this error in its trailers.
#[track_caller]
fn check_refused<T>(outcome: Result<T, Status>, code: Code, error: &str) {
    let status = outcome.err().expect("a refusal");
    let found = status.metadata().get("error").map(|value| value.to_str().expect("ASCII"));
    assert_eq!((status.code(), found), (code, Some(error)), "{status:?}");
}
