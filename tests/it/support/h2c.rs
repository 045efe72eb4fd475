//! HTTP/2 without TLS, begun with prior knowledge, as Envoy and its kin speak to a service.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::topology::runtime;

/// One request on a connection of its own: the status and the headers of the answer.
pub fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (u16, http::HeaderMap) {
    let mut request = http::Request::get(format!("http://gate.test{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    runtime().block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let handshake =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.expect("HTTP/2");
        tokio::spawn(connection);
        let response = tokio::time::timeout(super::PATIENCE, sender.send_request(request)).await;
        let (parts, _) = response.expect("an answer in time").expect("an answer").into_parts();
        (parts.status.as_u16(), parts.headers)
    })
}
