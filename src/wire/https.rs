//! The one client of HTTPS: for keys that others publish, for the token hook, and for whoever else is
//! asked.
//!
//! It trusts the system's certificate authorities, or those that it is given in place of them. It
//! follows no redirect, and reads no more of an answer than it is told to.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::builderstates::WantsSchemes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Certificate authorities that are trusted in place of the system's.
#[derive(Clone, Debug)]
pub struct Authorities(Arc<RootCertStore>);

impl Authorities {
    /// Reads their certificates, in PEM.
    ///
    /// # Errors
    /// It holds none, or one that is no certificate.
    pub fn parse(pem: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| format!("is no PEM: {error}"))?;
            roots.add(certificate).map_err(|error| format!("holds no authority: {error}"))?;
        }
        if roots.is_empty() {
            return Err("holds no certificate in PEM".to_owned());
        }
        Ok(Self(Arc::new(roots)))
    }
}

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
        Ok(Self::over(HttpsConnectorBuilder::new().with_native_roots()?, connect_timeout))
    }

    /// The same, which trusts these authorities, and the system's where there are none.
    ///
    /// # Errors
    /// The authorities that it should trust cannot be used.
    pub fn trusting(
        authorities: Option<&Authorities>,
        connect_timeout: Duration,
    ) -> std::io::Result<Self> {
        let Some(Authorities(roots)) = authorities else { return Self::new(connect_timeout) };
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder =
            builder.with_safe_default_protocol_versions().map_err(std::io::Error::other)?;
        let config = builder.with_root_certificates(Arc::clone(roots)).with_no_client_auth();
        Ok(Self::over(HttpsConnectorBuilder::new().with_tls_config(config), connect_timeout))
    }

    fn over(builder: HttpsConnectorBuilder<WantsSchemes>, connect_timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        let connector = builder.https_or_http().enable_http1().wrap_connector(connector);
        Self(Client::builder(TokioExecutor::new()).build(connector))
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
