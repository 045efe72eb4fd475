//! The one client of HTTPS: for keys that others publish, and for the token hook.
//!
//! It trusts the system's certificate authorities, follows no redirect, and reads no more of an
//! answer than it is told to.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A client; clones share its connections.
#[derive(Clone, Debug)]
pub struct HttpsClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// A reason why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// There is no connection, so nothing was sent.
    #[error("{0}")]
    Connect(String),
    /// The request was sent, or may have been.
    #[error("{0}")]
    Exchange(String),
    /// The answer was cut, or is too long.
    #[error("its answer was cut, or is longer than {0} bytes")]
    Body(usize),
}

impl HttpsClient {
    /// A client without a connection. All addresses of a host share `connect_timeout`, so that one
    /// that is dead leaves time for the others. Who calls bounds the whole call.
    ///
    /// # Errors
    /// The system has no certificate authorities that can be read.
    pub fn new(connect_timeout: Duration) -> std::io::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()?
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// Sends a request, and waits for the head of its answer.
    ///
    /// # Errors
    /// [`HttpsError::Connect`] or [`HttpsError::Exchange`].
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, HttpsError> {
        self.0.request(request).await.map_err(|error| {
            let told = chain(&error);
            if error.is_connect() { HttpsError::Connect(told) } else { HttpsError::Exchange(told) }
        })
    }
}

/// The body of an answer, of at most `most_bytes`.
///
/// # Errors
/// [`HttpsError::Body`].
pub async fn read(response: Response<Incoming>, most_bytes: usize) -> Result<Bytes, HttpsError> {
    let read = Limited::new(response.into_body(), most_bytes).collect().await;
    read.map(Collected::to_bytes).map_err(|_| HttpsError::Body(most_bytes))
}

/// An error with its causes, on one line.
fn chain(error: &hyper_util::client::legacy::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connecting_may_take_as_long_as_whoever_calls_allows() {
        // Once its queue is full, it answers nobody who connects.
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        silent.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        silent.listen(0).expect("it listens");
        let address = silent.local_addr().ok().and_then(|it| it.as_socket()).expect("an address");
        let _in_its_queue = std::net::TcpStream::connect(address).expect("the first");
        let client = HttpsClient::new(Duration::from_secs(20)).expect("a client");
        let request = Request::get(format!("http://{address}/")).body(Full::new(Bytes::new()));
        let mut sending = std::pin::pin!(client.send(request.expect("a request")));
        let early = tokio::time::timeout(Duration::from_secs(19), &mut sending).await;
        assert!(early.is_err(), "{early:?}");
        assert!(matches!(sending.await, Err(HttpsError::Connect(_))));
    }
}
