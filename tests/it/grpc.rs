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
use portcullis::app::serve_grpc;
use portcullis::clock::UnixTime;
use portcullis::issuer::grpc::GrpcService;
use portcullis::issuer::grpc::generated::v1::token_service_client::TokenServiceClient;
use portcullis::secret::Secret;
use portcullis::server::{Address, DrainReport, Limits, Listeners, Shutdown, Tls};
use portcullis::store::StoreError;
use portcullis::store::records::{
    MemoryRecordStore, NewRecord, RecordKey, RecordStore, StoredRecord,
};
use portcullis::wire::networks::Networks;
use tokio::sync::Notify;
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
        let service = GrpcService::new(&fixture.issuance, admin_token, Networks::default());
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

/// Whether a call was refused with this code, and this error in its trailers.
#[track_caller]
fn check_refused<T>(outcome: Result<T, Status>, code: Code, error: &str) {
    let status = outcome.err().expect("a refusal");
    let found = status.metadata().get("error").map(|value| value.to_str().expect("ASCII"));
    assert_eq!((status.code(), found), (code, Some(error)), "{status:?}");
}

/// A store of leases and limits that can fail, or keep silent.
#[derive(Debug, Default)]
struct FaultyRecordStore {
    store: MemoryRecordStore,
    mode: AtomicU8,
    asked: Notify,
    released: Notify,
}

const HEALTHY: u8 = 0;
const FAILING: u8 = 1;
const SILENT: u8 = 2;
/// It answers when the test says so.
const HELD: u8 = 3;

impl FaultyRecordStore {
    fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
    }

    async fn answer_by_mode<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match self.mode.load(Ordering::SeqCst) {
            HEALTHY => answer.await,
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
impl RecordStore for FaultyRecordStore {
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        self.answer_by_mode(self.store.get(key)).await
    }

    async fn compare_and_set(
        &self,
        key: &RecordKey,
        read: Option<&StoredRecord>,
        record: &NewRecord,
    ) -> Result<bool, StoreError> {
        self.answer_by_mode(self.store.compare_and_set(key, read, record)).await
    }

    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        self.answer_by_mode(self.store.delete(key)).await
    }

    async fn purge(&self, before: UnixTime) -> Result<u64, StoreError> {
        self.answer_by_mode(self.store.purge(before)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.answer_by_mode(self.store.ping()).await
    }

    fn describe(&self) -> String {
        "faulty".to_owned()
    }
}
