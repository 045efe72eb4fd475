//! The issuer over gRPC, as clients made from `proto/` see it.

mod sessions;
mod tokens;
mod tp_auth;
mod transport;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use portcullis::clock::UnixTime;
use portcullis::issuer::grpc::generated::v1::token_service_client::TokenServiceClient;
use portcullis::issuer::grpc::{GrpcError, GrpcTerms, serve};
use portcullis::restrict::{Claim, MemoryRestrict, RestrictStore, Strike};
use portcullis::secret::Secret;
use portcullis::session::StoreError;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::support::PATIENCE;
use crate::support::issuance::Fixture;

const ADMIN_TOKEN: &str = "an administrator's token, 32 bytes";

/// A server of this process. It ends when it is dropped, or told to.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), GrpcError>>,
}

impl Server {
    async fn start(fixture: &Fixture) -> Self {
        let admin_token = Some(Secret::new(ADMIN_TOKEN));
        Self::start_with(fixture, GrpcTerms { admin_token, ..GrpcTerms::default() }, PATIENCE).await
    }

    async fn start_with(fixture: &Fixture, terms: GrpcTerms, grace: Duration) -> Self {
        // Nobody else gets a port of this loopback address once it is closed.
        let listener = TcpListener::bind("127.3.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let until = async { stopped.await.unwrap_or(()) };
        let serving = serve(listener, Arc::clone(&fixture.issuance), terms, until, grace);
        Self { address, stop, ended: tokio::spawn(serving) }
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("a URL");
        endpoint.connect().await.expect("a connection")
    }

    async fn tokens(&self) -> TokenServiceClient<Channel> {
        TokenServiceClient::new(self.channel().await)
    }

    /// Begins the drain; what came of it.
    async fn stop(self) -> Result<(), GrpcError> {
        self.stop.send(()).expect("it still runs");
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

/// Whether a call was refused with this code, and this error in its trailers.
#[track_caller]
fn check_refused<T>(outcome: Result<T, Status>, code: Code, error: &str) {
    let status = outcome.err().expect("a refusal");
    let told = status.metadata().get("error").map(|value| value.to_str().expect("ASCII"));
    assert_eq!((status.code(), told), (code, Some(error)), "{status:?}");
}

/// A store of restrictions that can fail, or keep silent.
#[derive(Debug, Default)]
struct Moody {
    store: MemoryRestrict,
    mood: AtomicU8,
    asked: Notify,
    released: Notify,
}

const WELL: u8 = 0;
const FAILING: u8 = 1;
const SILENT: u8 = 2;
/// It answers when the test says so.
const HELD: u8 = 3;

impl Moody {
    fn set(&self, mood: u8) {
        self.mood.store(mood, Ordering::SeqCst);
    }

    async fn moody<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match self.mood.load(Ordering::SeqCst) {
            WELL => answer.await,
            FAILING => Err(StoreError::Unavailable("by order of a test".to_owned())),
            HELD => {
                self.asked.notify_one();
                self.released.notified().await;
                answer.await
            }
            _ => {
                self.asked.notify_one();
                std::future::pending().await
            }
        }
    }
}

#[async_trait]
impl RestrictStore for Moody {
    async fn claim(
        &self,
        name: &str,
        value: &str,
        at: UnixTime,
        until: UnixTime,
    ) -> Result<Claim, StoreError> {
        self.moody(self.store.claim(name, value, at, until)).await
    }

    async fn swap(
        &self,
        name: &str,
        expected: &str,
        value: &str,
        until: UnixTime,
    ) -> Result<bool, StoreError> {
        self.moody(self.store.swap(name, expected, value, until)).await
    }

    async fn read(&self, name: &str, at: UnixTime) -> Result<Option<String>, StoreError> {
        self.moody(self.store.read(name, at)).await
    }

    async fn clear(&self, name: &str) -> Result<bool, StoreError> {
        self.moody(self.store.clear(name)).await
    }

    async fn spend(
        &self,
        name: &str,
        at: UnixTime,
        interval: Duration,
        burst: u32,
    ) -> Result<Option<Duration>, StoreError> {
        self.moody(self.store.spend(name, at, interval, burst)).await
    }

    async fn refund(&self, name: &str, interval: Duration) -> Result<(), StoreError> {
        self.moody(self.store.refund(name, interval)).await
    }

    async fn strike(
        &self,
        name: &str,
        at: UnixTime,
        delays: &[Duration],
        memory: Duration,
    ) -> Result<Strike, StoreError> {
        self.moody(self.store.strike(name, at, delays, memory)).await
    }

    async fn uncount(&self, name: &str) -> Result<(), StoreError> {
        self.moody(self.store.uncount(name)).await
    }

    async fn pardon(&self, name: &str) -> Result<(), StoreError> {
        self.moody(self.store.pardon(name)).await
    }

    async fn purge(&self, before: UnixTime) -> Result<u64, StoreError> {
        self.moody(self.store.purge(before)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.moody(self.store.ping()).await
    }

    fn describe(&self) -> String {
        "moody".to_owned()
    }
}
