//! TLS: who gets in, what is agreed on, and certificates that are replaced.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::http::Request;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Limits, Server, TIMEOUT, Tls};
use crate::clock::{ManualClock, UnixTime};
use crate::secret::pseudonym::Pseudonyms;
use crate::server::{TlsError, TlsFile, TlsFiles, TlsMetrics};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate of this year and its key, in PEM.
fn certified(authority: &Authority, year: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A folder with a certificate of `authority`, and what is shown of it.
struct Fixture {
    folder: tempfile::TempDir,
    registry: Registry,
    metrics: TlsMetrics,
    clock: Arc<ManualClock>,
}

impl Fixture {
    fn new(authority: &Authority) -> Self {
        let mut registry = Registry::default();
        let metrics = TlsMetrics::register(&mut registry);
        let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_800_000_000)));
        let fixture = Self { folder: tempfile::tempdir().unwrap(), registry, metrics, clock };
        fixture.write(certified(authority, 2040));
        fixture
    }

    fn write(&self, (certificate, key): (String, String)) {
        std::fs::write(self.folder.path().join("cert.pem"), certificate).unwrap();
        std::fs::write(self.folder.path().join("key.pem"), key).unwrap();
    }

    fn files(&self, clients: Option<&Authority>) -> TlsFiles {
        let path = |name: &str| self.folder.path().join(name);
        if let Some(clients) = clients {
            std::fs::write(path("clients.pem"), clients.as_ref().pem()).unwrap();
        }
        TlsFiles {
            certificate: path("cert.pem"),
            key: path("key.pem"),
            client_ca: clients.map(|_| path("clients.pem")),
        }
    }

    fn open(&self, clients: Option<&Authority>) -> Result<Arc<Tls>, TlsError> {
        Tls::open(
            "gate",
            self.files(clients),
            self.clock.clone(),
            &self.metrics,
            Pseudonyms::default(),
        )
    }

    fn start(&self, clients: Option<&Authority>) -> (Server, Arc<Tls>) {
        let tls = self.open(clients).unwrap();
        (Server::with_tls(&Limits::default(), TIMEOUT, Some(Arc::clone(&tls))), tls)
    }

    /// True where this line is among the metrics.
    fn shows(&self, line: &str) -> bool {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        text.lines().any(|shown| shown == line)
    }
}

/// Shakes hands as a client that trusts `servers`, with a certificate of `of`, if any, and these
/// protocols.
async fn handshake(
    server: &Server,
    servers: &Authority,
    of: Option<&Authority>,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(servers.as_ref().der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match of.map(|authority| certified(authority, 2040)) {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let socket = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

/// Lets it find twice what the files hold.
fn reload(tls: &Tls) {
    tls.reload();
    tls.reload();
}

fn get() -> Request<Empty<Bytes>> {
    Request::get("http://localhost/").body(Empty::new()).unwrap()
}

/// A connection that requests can be sent on, one after another.
async fn speak(stream: TlsStream<TcpStream>) -> http1::SendRequest<Empty<Bytes>> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn is_answered(sender: &mut http1::SendRequest<Empty<Bytes>>) -> bool {
    let Ok(answer) = sender.send_request(get()).await else { return false };
    answer.into_body().collect().await.is_ok_and(|body| body.to_bytes() == "hello")
}

#[tokio::test]
async fn the_protocol_is_agreed_on_in_the_handshake() {
    let ours = authority();
    let (server, _) = Fixture::new(&ours).start(None);
    for (offered, agreed) in
        [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let stream = handshake(&server, &ours, None, offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes), "{offered:?}");
        let answer = if agreed == Some("h2") {
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(get()).await.unwrap()
        } else {
            speak(stream).await.send_request(get()).await.unwrap()
        };
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello", "{offered:?}");
    }
    handshake(&server, &ours, None, &["spdy/3"]).await.expect_err("nothing in common");
}

#[tokio::test]
async fn who_has_no_certificate_of_the_clients_ca_is_not_let_in() {
    let (servers, clients, strangers) = (authority(), authority(), authority());
    let fixture = Fixture::new(&servers);
    let (server, _) = fixture.start(Some(&clients));
    for (of, is_let_in) in [(Some(&clients), true), (Some(&strangers), false), (None, false)] {
        // In TLS 1.3 a client learns of the refusal when it reads.
        let answered = match handshake(&server, &servers, of, &[]).await {
            Ok(stream) => is_answered(&mut speak(stream).await).await,
            Err(_) => false,
        };
        assert_eq!(answered, is_let_in);
    }
    assert!(fixture.shows("portcullis_tls_handshakes_failed_total{listener=\"gate\"} 2"));
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut_and_holds_nobody() {
    let ours = authority();
    let tls = Fixture::new(&ours).open(None).unwrap();
    let limits = Limits { idle_timeout: Duration::from_millis(200), ..Limits::default() };
    let server = Server::with_tls(&limits, TIMEOUT, Some(tls));
    let mut silent = server.connect().await;
    let stream = handshake(&server, &ours, None, &[]).await.unwrap();
    assert!(is_answered(&mut speak(stream).await).await);
    silent.assert_aborted().await;
}

#[tokio::test]
async fn large_bodies_and_large_answers_pass() {
    let ours = authority();
    let (server, _) = Fixture::new(&ours).start(None);
    let stream = handshake(&server, &ours, None, &[]).await.unwrap();
    let body = http_body_util::Full::new(Bytes::from(vec![b'b'; 1 << 20]));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = Request::post("http://localhost/read").body(body.clone()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "read 1048576");
    }
}

#[tokio::test]
async fn a_replaced_certificate_is_used_for_new_connections_and_ends_no_open_one() {
    let (old, new) = (authority(), authority());
    let fixture = Fixture::new(&old);
    let (server, tls) = fixture.start(None);
    let mut open = speak(handshake(&server, &old, None, &[]).await.unwrap()).await;
    fixture.write(certified(&new, 2041));
    reload(&tls);
    handshake(&server, &old, None, &[]).await.expect_err("the old certificate is gone");
    let stream = handshake(&server, &new, None, &[]).await.unwrap();
    assert!(is_answered(&mut speak(stream).await).await);
    assert!(is_answered(&mut open).await);
    let expires =
        "portcullis_tls_certificate_expiry_timestamp_seconds{listener=\"gate\"} 2240611200";
    assert!(fixture.shows(expires), "the first second of 2041");
}

#[tokio::test]
async fn changed_files_are_used_once_two_reads_in_a_row_agree() {
    let (old, new) = (authority(), authority());
    let fixture = Fixture::new(&old);
    let (server, tls) = fixture.start(None);
    let (certificate, key) = certified(&new, 2041);
    // The first write of two leaves a chain that is one too.
    let chain = format!("{certificate}{}", new.as_ref().pem());
    for written in [&certificate, &chain] {
        fixture.write((written.clone(), key.clone()));
        tls.reload();
        handshake(&server, &old, None, &[]).await.expect("the old one is in use");
    }
    tls.reload();
    let stream = handshake(&server, &new, None, &[]).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().map(<[_]>::len), Some(2));
}

#[tokio::test]
async fn files_that_cannot_be_used_leave_the_present_ones_in_use() {
    let ours = authority();
    let fixture = Fixture::new(&ours);
    let (server, tls) = fixture.start(None);
    let files = fixture.files(None);
    let good = [&files.certificate, &files.key].map(|path| std::fs::read(path).unwrap());
    let bad: [&dyn Fn(); 3] = [
        &|| std::fs::write(&files.certificate, "rubbish").unwrap(),
        &|| std::fs::write(&files.key, certified(&ours, 2040).1).unwrap(),
        &|| std::fs::remove_file(&files.certificate).unwrap(),
    ];
    let shown = |value| format!("portcullis_tls_reload_successful{{listener=\"gate\"}} {value}");
    for spoil in bad {
        spoil();
        reload(&tls);
        assert!(fixture.shows(&shown(0)));
        handshake(&server, &ours, None, &[]).await.expect("the old one is in use");
        std::fs::write(&files.certificate, &good[0]).unwrap();
        std::fs::write(&files.key, &good[1]).unwrap();
        reload(&tls);
        assert!(fixture.shows(&shown(1)));
    }
}

#[test]
fn what_is_wrong_with_the_files_is_told_with_what_to_do() {
    let ours = authority();
    let fixture = Fixture::new(&ours);
    let files = fixture.files(Some(&ours));
    assert_eq!(files.check(), Ok(()));
    let key = std::fs::read_to_string(&files.key).unwrap();
    let swap = |path: &Path, content: &str| std::fs::write(path, content).unwrap();
    let (on_one_line, blanks) = (key.replace('\n', "\\n"), key.replace('\n', " "));
    let cases: [(&Path, &str, TlsFile, &str); 9] = [
        (&files.key, &on_one_line, TlsFile::Key, "were its line ends lost"),
        (&files.key, &blanks, TlsFile::Key, "were its line ends lost"),
        (&files.certificate, &blanks, TlsFile::Certificate, "were its line ends lost"),
        (&files.certificate, "rubbish", TlsFile::Certificate, "no certificate in PEM"),
        (&files.certificate, &key, TlsFile::Certificate, "no certificate in PEM"),
        (&files.key, "rubbish", TlsFile::Key, "no private key in PEM"),
        (&files.key, &certified(&ours, 2040).1, TlsFile::Key, "both files must be of one pair"),
        (files.client_ca.as_deref().unwrap(), "", TlsFile::ClientCa, "no certificate in PEM"),
        (
            &files.certificate,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            TlsFile::Certificate,
            "no X.509 certificate",
        ),
    ];
    for (path, content, file, expected) in cases {
        let good = std::fs::read(path).unwrap();
        swap(path, content);
        let error = files.check().unwrap_err();
        assert_eq!(error.file, file, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
        // Neither as it is nor as a list of bytes.
        let is_told = ["PRIVATE KEY-----", "45, 45"].map(|text| error.to_string().contains(text));
        assert_eq!(is_told, [false; 2], "{error}");
        std::fs::write(path, good).unwrap();
    }
    std::fs::remove_file(&files.key).unwrap();
    assert!(files.check().unwrap_err().to_string().contains("there is no such file"));
}

#[test]
fn no_key_is_ever_shown() {
    let fixture = Fixture::new(&authority());
    let told = format!("{:?}", fixture.open(None).unwrap());
    assert!(told.contains("[secret]") && !told.contains("PRIVATE"), "{told}");
}
