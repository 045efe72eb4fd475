//! The address of a Redis, read from a URL that may hold a password.

use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};
use redis::{ProtocolVersion, TlsCertificates};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::Url;

use crate::secret::Secret;

/// The reason why a URL is no address of a Redis. Never repeats the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// It is no URL at all.
    #[error("it is not a URL; in a password write @ as %40, / as %2F, # as %23")]
    NotAUrl,
    /// There is other text where a number or nothing is expected.
    #[error("it goes on after the host; in a password write @ as %40, / as %2F, # as %23")]
    NotEncoded,
    /// It is the URL of another kind of server.
    #[error(
        "its scheme is not redis, rediss, valkey, valkeys, dragonfly, redis+unix or unix, nor one \
         of the first four with +sentinel or +cluster"
    )]
    Scheme,
    /// The host is missing or means every address.
    #[error("it does not name a host to connect to")]
    Host,
    /// One of several hosts is named twice.
    #[error("it names a host twice")]
    Repeated,
    /// The sentinels' name of the master is missing.
    #[error("it does not name the master: redis+sentinel://HOST,HOST,HOST/MASTER")]
    Master,
    /// A parameter that is not known here.
    #[error(
        "it has a parameter that is not known; known are protocol and, of sentinels, \
             sentinel_username and sentinel_password"
    )]
    Parameter,
    /// A unix socket without its path.
    #[error("it does not name the path of a socket: redis+unix:///run/redis.sock")]
    Socket,
    /// User, password or protocol cannot be read.
    #[error("its user, password or protocol cannot be read; percent-encode what is not ASCII")]
    Credentials,
    /// `#insecure` would accept any certificate.
    #[error("#insecure is not supported; give the file of the CA that signed the certificate")]
    Insecure,
    /// A CA without TLS has no use.
    #[error("a CA file needs a TLS scheme: rediss or valkeys")]
    CaWithoutTls,
    /// The CA file holds no certificate.
    #[error("the CA file holds no certificate in PEM, or one that cannot be read")]
    Ca,
}

/// A server, parsed: clients for either protocol, and its name for logs.
#[derive(Clone)]
pub(super) struct Address {
    /// The client for RESP3, unless the URL asks for `?protocol=resp2`.
    pub(super) preferred: Client,
    /// The client for RESP2, for servers that know nothing else.
    pub(super) plain: Client,
    /// Host and port or the path of the socket.
    pub(super) server: String,
    /// The same, and the number of the database.
    pub(super) name: String,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({})", self.name)
    }
}

impl Address {
    /// Reads a URL. `database` wins over the URL's number.
    pub(super) fn parse(
        url: &Secret,
        database: u32,
        ca_pem: Option<&[u8]>,
    ) -> Result<Self, InvalidAddress> {
        let url = url.expose_str().and_then(|text| Url::parse(text.trim()).ok());
        let url = normalize(url.ok_or(InvalidAddress::NotAUrl)?)?;
        let wants_plain = url
            .query_pairs()
            .any(|(key, value)| key == "protocol" && matches!(value.as_ref(), "2" | "resp2"));
        let is_socket = url.host_str().is_none();
        let info = url.into_connection_info().map_err(|_| {
            if is_socket { InvalidAddress::Socket } else { InvalidAddress::Credentials }
        })?;
        let settings = info.redis_settings().clone().set_db(i64::from(database));
        Self::new(&info.set_redis_settings(settings), ca_pem, wants_plain)
    }

    /// The address of a server, with the credentials for it.
    pub(super) fn new(
        info: &ConnectionInfo,
        ca_pem: Option<&[u8]>,
        wants_resp2: bool,
    ) -> Result<Self, InvalidAddress> {
        // The client's name is not sent: a user would need one more right for it.
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        let server = match info.addr() {
            // The `redis` crate's own text for it does not let us read the host back.
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. }
                if host.contains(':') =>
            {
                format!("[{host}]:{port}")
            }
            other => other.to_string(),
        };
        let name = format!("{server} database {}", settings.db());
        let client = |protocol| {
            let info = info.clone().set_tcp_settings(tcp_settings());
            client(info.set_redis_settings(settings.clone().set_protocol(protocol)), ca_pem)
        };
        let plain = client(ProtocolVersion::RESP2)?;
        let preferred = if wants_resp2 { plain.clone() } else { client(ProtocolVersion::RESP3)? };
        Ok(Self { preferred, plain, server, name })
    }
}

/// Rewrites it to a URL that the `redis` crate understands and whose database number it does not
/// read.
fn normalize(mut url: Url) -> Result<Url, InvalidAddress> {
    let scheme = match url.scheme() {
        "dragonfly" => "redis",
        "redis" | "rediss" | "valkey" | "valkeys" => url.scheme(),
        "redis+unix" | "valkey+unix" | "unix" => return normalize_socket(url),
        _ => return Err(InvalidAddress::Scheme),
    };
    let scheme = scheme.to_owned();
    url.set_scheme(&scheme).map_err(|()| InvalidAddress::Scheme)?;
    match url.fragment() {
        None => {}
        Some("insecure") => return Err(InvalidAddress::Insecure),
        Some(_) => return Err(InvalidAddress::NotEncoded),
    }
    // A path is a number here, or the rest of a password that was cut at its own slash.
    if !url.path().trim_start_matches('/').bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidAddress::NotEncoded);
    }
    url.set_path("");
    match url.host_str() {
        None | Some("" | "0.0.0.0" | "[::]") => Err(InvalidAddress::Host),
        Some(_) => Ok(url),
    }
}

fn normalize_socket(mut url: Url) -> Result<Url, InvalidAddress> {
    if url.host_str().is_some() || !url.path().starts_with('/') || url.path() == "/" {
        return Err(InvalidAddress::Socket);
    }
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key != "db")
        .map(|(k, v)| (k.into(), v.into()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(kept);
    Ok(url)
}

fn client(info: ConnectionInfo, ca_pem: Option<&[u8]>) -> Result<Client, InvalidAddress> {
    let Some(pem) = ca_pem else {
        return Client::open(info).map_err(|_| InvalidAddress::Host);
    };
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Err(InvalidAddress::CaWithoutTls);
    }
    // The `redis` crate takes a file without any certificate for a CA that trusts nobody.
    if CertificateDer::pem_slice_iter(pem).next().is_none() {
        return Err(InvalidAddress::Ca);
    }
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) };
    Client::build_with_tls(info, certificates).map_err(|_| InvalidAddress::Ca)
}

/// Nagle's algorithm off: a command is small, and a caller waits for it. The kernel gives up a
/// silent peer, so that no connection to a dead host is kept for hours.
fn tcp_settings() -> TcpSettings {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5));
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(Duration::from_secs(10));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, InvalidAddress> {
        Address::parse(&Secret::new(url), 9, None)
    }

    #[test]
    fn the_number_passed_in_wins_over_the_url() {
        for (url, name) in [
            ("redis://localhost", "localhost:6379 database 9"),
            ("redis://localhost:6380/0", "localhost:6380 database 9"),
            ("valkey://10.0.0.1/3", "10.0.0.1:6379 database 9"),
            ("dragonfly://df.example:7000/1", "df.example:7000 database 9"),
            ("rediss://cache.example/2", "cache.example:6379 database 9"),
            ("valkeys://cache.example", "cache.example:6379 database 9"),
            ("redis://[::1]:6379/2", "[::1]:6379 database 9"),
            ("redis+unix:///run/redis.sock?db=4", "/run/redis.sock database 9"),
            ("unix:///run/redis.sock?db=x", "/run/redis.sock database 9"),
        ] {
            let address = parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(address.name, name);
            for client in [&address.preferred, &address.plain] {
                assert_eq!(client.get_connection_info().redis_settings().db(), 9, "{url}");
            }
        }
    }

    #[test]
    fn credentials_are_read_and_never_shown() {
        for url in [
            "redis://joe:hunter%322@localhost",
            "dragonfly://joe:hunter%322@localhost/4",
            "redis+unix:///run/redis.sock?user=joe&pass=hunter22&db=1",
        ] {
            let address = parse(url).expect(url);
            let settings = address.preferred.get_connection_info().redis_settings();
            assert_eq!(settings.username(), Some("joe"), "{url}");
            assert_eq!(settings.password(), Some("hunter22"), "{url}");
            assert!(!address.name.contains("hunter") && !address.name.contains("joe"));
        }
    }

    #[test]
    fn resp3_is_preferred_unless_the_url_says_otherwise() {
        for (url, expected) in [
            ("redis://localhost", ProtocolVersion::RESP3),
            ("redis://localhost?protocol=resp2", ProtocolVersion::RESP2),
            ("redis+unix:///s?protocol=2", ProtocolVersion::RESP2),
        ] {
            let address = parse(url).expect(url);
            let settings = address.preferred.get_connection_info().redis_settings();
            assert_eq!(settings.protocol(), expected, "{url}");
        }
    }

    #[test]
    fn what_names_no_redis_is_refused_without_repeating_it() {
        for (url, expected) in [
            ("hunter2", InvalidAddress::NotAUrl),
            ("http://:hunter2@localhost", InvalidAddress::Scheme),
            ("redis:///0", InvalidAddress::Host),
            ("redis://:hunter2/x@localhost", InvalidAddress::NotAUrl),
            ("redis://p@ss/hunter2@localhost", InvalidAddress::NotEncoded),
            ("redis://localhost/0#hunter2", InvalidAddress::NotEncoded),
            ("redis://:hunter2@0.0.0.0", InvalidAddress::Host),
            ("redis+unix://host/s", InvalidAddress::Socket),
            ("unix:///", InvalidAddress::Socket),
            ("unix:hunter2", InvalidAddress::Socket),
            ("redis://:hunter2%ff@localhost", InvalidAddress::Credentials),
            ("redis://:hunter2@localhost?protocol=9", InvalidAddress::Credentials),
            ("rediss://:hunter2@localhost/#insecure", InvalidAddress::Insecure),
        ] {
            let error = parse(url).err().unwrap_or_else(|| panic!("{url} was taken"));
            assert_eq!(error, expected, "{url}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn a_ca_must_be_one_and_be_of_use() {
        let key =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
        let pem = key.cert.pem();
        let parse = |url: &str, pem: &[u8]| {
            Address::parse(&Secret::new(url), 9, Some(pem)).map(|address| address.name)
        };
        assert!(parse("rediss://localhost", pem.as_bytes()).is_ok());
        for (url, pem, expected) in [
            ("redis://localhost", pem.as_bytes(), InvalidAddress::CaWithoutTls),
            ("rediss://localhost", b"".as_slice(), InvalidAddress::Ca),
            ("rediss://localhost", b"-----BEGIN", InvalidAddress::Ca),
            (
                "rediss://localhost",
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                InvalidAddress::Ca,
            ),
        ] {
            assert_eq!(parse(url, pem), Err(expected), "{url}");
        }
    }
}
