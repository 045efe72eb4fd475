//! The files of a listener's TLS, and what rustls makes of them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::wire::file;

/// Paths of a listener's certificate and key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, followed by those that lead to its authority.
    pub certificate: PathBuf,
    /// The private key of that certificate.
    pub key: PathBuf,
    /// The authorities of clients: who has no certificate of one of them is not let in (mutual
    /// TLS). `None`: no client is asked for one.
    pub client_ca: Option<PathBuf>,
}

/// One of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFile {
    /// The server's certificate.
    Certificate,
    /// Its private key.
    Key,
    /// The authorities of clients.
    ClientCa,
}

/// A reason why the files cannot be used, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", .path.display())]
pub struct TlsError {
    /// The one that is wrong.
    pub file: TlsFile,
    path: PathBuf,
    problem: String,
}

/// The contents of the files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Secret,
    client_ca: Option<Vec<u8>>,
}

/// A configuration made of them.
#[derive(Debug)]
pub(super) struct Usable {
    pub(super) config: Arc<ServerConfig>,
    /// The end of the server's certificate.
    pub(super) expires: UnixTime,
}

impl TlsFiles {
    /// Reads the files and tries them.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn check(&self) -> Result<(), TlsError> {
        self.configure(&self.read()?).map(drop)
    }

    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        let read = |of, path: &Path| {
            file::read(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => self.error(of, "there is no such file"),
                io::ErrorKind::PermissionDenied => {
                    self.error(of, "this user may not read it; give the user of the server access")
                }
                _ => self.error(of, format!("it cannot be read: {error}")),
            })
        };
        Ok(Contents {
            certificate: read(TlsFile::Certificate, &self.certificate)?,
            key: Secret::new(read(TlsFile::Key, &self.key)?),
            client_ca: match &self.client_ca {
                Some(path) => Some(read(TlsFile::ClientCa, path)?),
                None => None,
            },
        })
    }

    pub(super) fn configure(&self, contents: &Contents) -> Result<Usable, TlsError> {
        let chain = self.certificates(TlsFile::Certificate, &contents.certificate)?;
        let expires = chain.first().and_then(expiry).ok_or_else(|| {
            self.error(TlsFile::Certificate, "its first certificate is no X.509 certificate")
        })?;
        let key = PrivateKeyDer::from_pem_slice(contents.key.expose()).map_err(|error| {
            let problem = match error {
                pem::Error::NoItemsFound => "it holds no private key in PEM that is not encrypted",
                error => problem_of(&error),
            };
            self.error(TlsFile::Key, problem)
        })?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| self.error(TlsFile::Certificate, error.to_string()))?;
        let builder = match &contents.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => builder.with_client_cert_verifier(self.clients(pem, provider)?),
        };
        let mut config =
            builder.with_single_cert(chain, key).map_err(|error| self.mismatch(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Usable { config: Arc::new(config), expires })
    }

    /// A check of clients' certificates.
    fn clients(
        &self,
        pem: &[u8],
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let wrong = |error: String| self.error(TlsFile::ClientCa, error);
        let mut roots = RootCertStore::empty();
        for authority in self.certificates(TlsFile::ClientCa, pem)? {
            roots.add(authority).map_err(|error| wrong(error.to_string()))?;
        }
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| wrong(error.to_string()))
    }

    fn certificates(
        &self,
        file: TlsFile,
        pem: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let found = found.map_err(|error| self.error(file, problem_of(&error)))?;
        if found.is_empty() {
            return Err(self.error(file, "it holds no certificate in PEM"));
        }
        Ok(found)
    }

    fn mismatch(&self, error: &rustls::Error) -> TlsError {
        match error {
            rustls::Error::InconsistentKeys(_) => {
                let certificate = self.certificate.display();
                self.error(
                    TlsFile::Key,
                    format!(
                        "it is not the key of the first certificate in {certificate}; both files \
                         must be of one pair, and the server's certificate must come first"
                    ),
                )
            }
            rustls::Error::InvalidCertificate(_) => {
                self.error(TlsFile::Certificate, format!("it cannot be used: {error}"))
            }
            _ => self.error(TlsFile::Key, format!("it cannot be used: {error}")),
        }
    }

    fn error(&self, file: TlsFile, problem: impl Into<String>) -> TlsError {
        let path = match file {
            TlsFile::Certificate => &self.certificate,
            TlsFile::Key => &self.key,
            TlsFile::ClientCa => self.client_ca.as_ref().unwrap_or(&self.certificate),
        };
        TlsError { file, path: path.clone(), problem: problem.into() }
    }
}

/// A problem in our own words: those of the library hold bytes of the file, which may be a key.
fn problem_of(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } | pem::Error::IllegalSectionStart { .. } => {
            "it is no PEM: -----BEGIN ...----- and -----END ...----- must each be a line of its own; \
             were its line ends lost?"
        }
        pem::Error::Base64Decode(_) => "it is no PEM: a line between BEGIN and END is no base64",
        pem::Error::SectionTooLarge => "it is no PEM: it is too large",
        _ => "it is no PEM",
    }
}

/// The end of a certificate; `None` where it is none.
fn expiry(certificate: &CertificateDer<'_>) -> Option<UnixTime> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let seconds = parsed.validity().not_after.timestamp();
    Some(UnixTime::from_secs(u64::try_from(seconds).unwrap_or_default()))
}
