//! Connections: TCP, unix sockets, TLS over TCP.

use std::fs;
use std::io::{self, Read, Write};
use std::net;
use std::os::unix;
use std::sync::Arc;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// The server, as the command line names it.
#[derive(Clone, Debug)]
pub struct Target {
    address: String,
    tls: Option<Arc<ClientConfig>>,
}

impl Target {
    /// `ADDRESS:PORT` or `unix:PATH`; with the certificate of a CA, TLS to a server named `localhost`.
    pub fn new(address: &str, ca_file: Option<&str>) -> io::Result<Self> {
        let tls = ca_file.map(tls).transpose()?;
        Ok(Self { address: address.to_owned(), tls })
    }

    pub fn connect(&self) -> io::Result<Transport> {
        if let Some(path) = self.address.strip_prefix("unix:") {
            let stream = unix::net::UnixStream::connect(path)?;
            stream.set_nonblocking(true)?;
            return Ok(Transport::Unix(UnixStream::from_std(stream)));
        }
        let mut stream = net::TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        let Some(config) = &self.tls else {
            stream.set_nonblocking(true)?;
            return Ok(Transport::Tcp(TcpStream::from_std(stream)));
        };
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        stream.set_nonblocking(true)?;
        Ok(Transport::Tls(Box::new(StreamOwned::new(tls, TcpStream::from_std(stream)))))
    }
}

fn tls(ca_file: &str) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let certificate =
        CertificateDer::from_pem_slice(&fs::read(ca_file)?).map_err(io::Error::other)?;
    roots.add(certificate).map_err(io::Error::other)?;
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

/// One connection. Neither reads nor writes block.
#[derive(Debug)]
pub enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Transport {
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let source: &mut dyn Source = match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
            Self::Tls(stream) => &mut stream.sock,
        };
        source.register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Says that a read shorter than its buffer left nothing behind; what TLS holds back is not seen so.
    pub fn is_drained_by_short_reads(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Tls(stream) => {
                let written = stream.write(bytes)?;
                stream.flush()?;
                Ok(written)
            }
        }
    }
}
