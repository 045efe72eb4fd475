//! An app that speaks HTTP/2 alone, as servers of gRPC do, and says nothing: it keeps the headers that reached it.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{free_address, topology::runtime};

/// A server on a thread of its own, for as long as the test process lives.
pub struct GrpcApp {
    /// The address on which it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<http::HeaderMap>>>,
}

impl GrpcApp {
    /// Starts it on a free port.
    pub fn start() -> Self {
        let (address, seen) = (free_address(), Arc::<Mutex<Vec<http::HeaderMap>>>::default());
        let listener = std::net::TcpListener::bind(address).expect("a free port");
        listener.set_nonblocking(true).expect("an option of sockets");
        let record = Arc::clone(&seen);
        std::thread::spawn(move || runtime().block_on(serve(listener, record)));
        Self { address, seen }
    }

    /// The headers of the requests that came since the last call.
    pub fn take(&self) -> Vec<http::HeaderMap> {
        std::mem::take(&mut *self.seen.lock().expect("no panic under the lock"))
    }
}

async fn serve(listener: std::net::TcpListener, record: Arc<Mutex<Vec<http::HeaderMap>>>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let record = Arc::clone(&record);
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            record.lock().expect("no panic under the lock").push(request.headers().clone());
            let response = http::Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "0");
            async move { Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).expect("right")) }
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
    }
}
