//! Certificates that a test makes: authorities, what they issue, and the files of a listener.

use std::path::PathBuf;
use std::sync::Arc;

use portcullis::clock::SystemClock;
use portcullis::secret::pseudonym::Pseudonyms;
use portcullis::server::{Tls, TlsFiles, TlsMetrics};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority that issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one, which nobody has heard of.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("signed"))
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.as_ref().pem()
    }

    /// A certificate for this host and its key, in PEM.
    pub fn issue(&self) -> (String, String) {
        self.issue_until(2040)
    }

    /// The same, to the begin of a year.
    pub fn issue_until(&self, year: i32) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("parameters");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        // Of the authority's own name it would look to OpenSSL as if it had signed itself.
        params.distinguished_name.push(DnType::CommonName, "localhost");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }
}

/// The files of a listener and of its clients, in a folder that goes with this value.
pub struct Certificates {
    /// The authority of the server's.
    pub servers: Authority,
    folder: TempDir,
    has_clients: bool,
}

impl Certificates {
    /// The server's are of `servers`; clients must have one of `clients`, if there are any.
    pub fn new(servers: Authority, clients: Option<&Authority>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let certificates = Self { servers, folder, has_clients: clients.is_some() };
        certificates.write("servers-ca.pem", &certificates.servers.pem());
        certificates.replace(&certificates.servers.issue());
        if let Some(clients) = clients {
            let (certificate, key) = clients.issue();
            certificates.write("clients-ca.pem", &clients.pem());
            certificates.write("client.pem", &certificate);
            certificates.write("client-key.pem", &key);
        }
        certificates
    }

    /// Puts another certificate in the place of the server's, as tools that renew them do.
    pub fn replace(&self, (certificate, key): &(String, String)) {
        for (name, content) in [("server-key.pem", key), ("server.pem", certificate)] {
            self.write("new.pem", content);
            std::fs::rename(self.path("new.pem"), self.path(name)).expect("renamed");
        }
    }

    /// Writes a file of its folder.
    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).expect("a writable folder");
    }

    /// The path of a file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The files of the listener.
    pub fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.path("server.pem"),
            key: self.path("server-key.pem"),
            client_ca: self.has_clients.then(|| self.path("clients-ca.pem")),
        }
    }

    /// A listener's TLS of these files.
    pub fn open(&self) -> Arc<Tls> {
        let clock = Arc::new(SystemClock::new());
        let (metrics, pseudonyms) = (TlsMetrics::default(), Pseudonyms::default());
        Tls::open("test", self.files(), clock, &metrics, pseudonyms).expect("usable files")
    }
}
