//! A client of HTTPS that may show a certificate.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::PATIENCE;
use super::certificates::Certificates;
use super::http::{Client, Response, request};

/// A certificate and its key, in PEM.
pub type Shown<'c> = Option<&'c (String, String)>;

/// The bytes of a certificate in PEM.
pub fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate").to_vec()
}

/// One GET on a connection of its own, as a client that shows this certificate.
pub fn get(
    address: SocketAddr,
    certificates: &Certificates,
    shown: Shown<'_>,
    path: &str,
    lines: &[&str],
) -> Response {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let connection = ClientConnection::new(config(certificates, shown), name()).expect("a name");
    let mut client = Client::over(StreamOwned::new(connection, stream));
    client.exchange(request("GET", path, lines, b""))
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a name")
}

fn config(certificates: &Certificates, shown: Shown<'_>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(der(&certificates.servers.pem()).into()).expect("an authority");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let builder = builder.with_root_certificates(roots);
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
            let chain = vec![der(certificate).into()];
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    Arc::new(config)
}
