//! The app that speaks gRPC, and a client of it: the service of health, which everybody's libraries have.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tonic::service::{Routes, interceptor::InterceptedService};
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::seen::FORGED;
use crate::support::{
    PATIENCE, app::ReceivedRequest, free_address, suite::IDENTITY, topology::runtime,
};

/// The only service that the app knows: who gets an answer about it had his message delivered.
const SERVICE: &str = "a service of the app";

/// The path of the one method that is called.
const PATH: &str = "/grpc.health.v1.Health/Check";

/// The app.
pub struct Calls {
    /// The address on which it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<ReceivedRequest>>>,
}

impl Calls {
    /// Starts it; it lives as long as the test process.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind(free_address()).expect("a free port");
        let address = listener.local_addr().expect("bound");
        listener.set_nonblocking(true).expect("a socket option");
        let seen = Arc::<Mutex<Vec<ReceivedRequest>>>::default();
        let record = Arc::clone(&seen);
        std::thread::spawn(move || runtime().block_on(serve(listener, record)));
        Self { address, seen }
    }

    /// The calls that came since the last time.
    pub fn take(&self) -> Vec<ReceivedRequest> {
        std::mem::take(&mut *self.seen.lock().expect("no panic under the lock"))
    }
}

async fn serve(listener: std::net::TcpListener, record: Arc<Mutex<Vec<ReceivedRequest>>>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status(SERVICE, ServingStatus::Serving).await;
    let recorded = InterceptedService::new(service, move |call: Request<()>| {
        record.lock().expect("no panic under the lock").push(received(&call));
        Ok(call)
    });
    let routes = Routes::new(recorded);
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(routes.clone());
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
    }
}

/// The call as a request, with its metadata as headers.
fn received(call: &Request<()>) -> ReceivedRequest {
    let headers = call.metadata().clone().into_headers();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    ReceivedRequest {
        method: "POST".to_owned(),
        target: PATH.to_owned(),
        headers,
        body: Vec::new(),
        trailers: Vec::new(),
    }
}

/// A call with a token, and with an identity made up where `is_forged`; what its client saw.
pub fn call(gateway: SocketAddr, token: Option<&str>, is_forged: bool) -> String {
    let mut call = Request::new(HealthCheckRequest { service: SERVICE.to_owned() });
    let metadata = call.metadata_mut();
    if let Some(token) = token {
        metadata.insert("authorization", format!("Bearer {token}").parse().expect("ASCII"));
    }
    for name in IDENTITY.into_iter().filter(|_| is_forged) {
        for name in [name.to_lowercase(), name.to_lowercase().replace('-', "_")] {
            let name: tonic::metadata::AsciiMetadataKey = name.parse().expect("a name");
            metadata.append(name, FORGED.parse().expect("ASCII"));
        }
    }
    let outcome = runtime().block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{gateway}")).expect("a URL");
        let mut client = HealthClient::new(endpoint.connect().await.expect("a connection"));
        tokio::time::timeout(PATIENCE, client.check(call)).await.expect("an answer in time")
    });
    let code = match outcome {
        Ok(answer) if answer.get_ref().status == ServingStatus::Serving as i32 => Code::Ok,
        Ok(answer) => panic!("the message did not arrive: {answer:?}"),
        Err(status) => status.code(),
    };
    format!("gRPC `{code:?}`")
}
