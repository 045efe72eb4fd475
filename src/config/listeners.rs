//! Listeners: their addresses, of which none may be there twice, and the files of their TLS.

use super::reader::Reader;
use super::{IssuanceConfig, file_permissions};
use crate::server::{Address, ListenerConfig, TlsFile, TlsFiles};

/// The names of a listener's settings: addresses, certificate, key, and CA of its clients.
pub(super) type Names = [&'static str; 4];

pub(super) const GATE: Names =
    ["LISTEN", "LISTEN_TLS_CERT_FILE", "LISTEN_TLS_KEY_FILE", "LISTEN_TLS_CLIENT_CA_FILE"];
pub(super) const METRICS: Names = [
    "METRICS_LISTEN",
    "METRICS_TLS_CERT_FILE",
    "METRICS_TLS_KEY_FILE",
    "METRICS_TLS_CLIENT_CA_FILE",
];
pub(super) const ISSUER: Names =
    ["ISSUER_LISTEN", "ISSUER_TLS_CERT_FILE", "ISSUER_TLS_KEY_FILE", "ISSUER_TLS_CLIENT_CA_FILE"];
pub(super) const INTERNAL: Names = [
    "INTERNAL_LISTEN",
    "INTERNAL_TLS_CERT_FILE",
    "INTERNAL_TLS_KEY_FILE",
    "INTERNAL_TLS_CLIENT_CA_FILE",
];
pub(super) const GRPC: Names =
    ["GRPC_LISTEN", "GRPC_TLS_CERT_FILE", "GRPC_TLS_KEY_FILE", "GRPC_TLS_CLIENT_CA_FILE"];

/// The gate's.
pub(super) fn gate(reader: &mut Reader<'_>) -> ListenerConfig {
    let addresses = gate_addresses(reader);
    with_tls(reader, GATE, addresses)
}

/// That of these settings.
pub(super) fn read(reader: &mut Reader<'_>, names: Names) -> ListenerConfig {
    let addresses = list(reader, names[0]);
    with_tls(reader, names, addresses)
}

fn with_tls(reader: &mut Reader<'_>, names: Names, addresses: Vec<Address>) -> ListenerConfig {
    let tls = tls(reader, names);
    let listener = ListenerConfig { addresses, tls };
    if listener.tls.is_some() && !listener.addresses.is_empty() && !listener.has_tcp() {
        let problem = format!("has no effect: {} names unix sockets alone", names[0]);
        reader.warn(names[1], problem);
    }
    listener
}

/// The files of a listener's TLS: certificate and key together, and tried.
fn tls(reader: &mut Reader<'_>, names: Names) -> Option<TlsFiles> {
    let [_, certificate, key, client_ca] = names;
    if let Some(path) = reader.path(key) {
        file_permissions::warn_of_secret(reader.mistakes, key, &path);
    }
    let files = match (reader.path(certificate), reader.path(key), reader.path(client_ca)) {
        (Some(certificate), Some(key), client_ca) => TlsFiles { certificate, key, client_ca },
        (None, None, None) => return None,
        (None, None, Some(_)) => {
            reader.wrong(client_ca, format!("needs {certificate} and {key} too"));
            return None;
        }
        (Some(_), None, _) => {
            reader.wrong(certificate, format!("needs its private key: set {key} too"));
            return None;
        }
        (None, Some(_), _) => {
            reader.wrong(key, format!("needs its certificate: set {certificate} too"));
            return None;
        }
    };
    if let Err(error) = files.check() {
        let name = match error.file {
            TlsFile::Certificate => certificate,
            TlsFile::Key => key,
            TlsFile::ClientCa => client_ca,
        };
        reader.wrong(name, error.to_string());
    }
    Some(files)
}

/// LISTEN, or the one address of LISTEN_HOST and PORT; both, only if they agree.
fn gate_addresses(reader: &mut Reader<'_>) -> Vec<Address> {
    let host = reader.text("LISTEN_HOST");
    let port = reader.number("PORT", 0, 65_535);
    let host =
        if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let single = format!("{host}:{port}").parse::<Address>();
    let is_set = reader.found("LISTEN").is_some();
    let addresses = if is_set { list(reader, "LISTEN") } else { Vec::new() };
    // A flag goes before the environment, and that before the file, also between these two ways.
    let is_overridden =
        reader.layer("PORT").max(reader.layer("LISTEN_HOST")) > reader.layer("LISTEN");
    if !is_set || is_overridden {
        return match single {
            Ok(address) => vec![address],
            Err(error) => {
                reader.wrong("LISTEN_HOST", error.to_string());
                Vec::new()
            }
        };
    }
    for name in ["PORT", "LISTEN_HOST"] {
        let is_listed = single.as_ref().is_ok_and(|address| addresses.contains(address));
        if reader.layer(name) == reader.layer("LISTEN") && !is_listed {
            reader.wrong(name, "disagrees with LISTEN, which replaces it; set one of them");
        }
    }
    addresses
}

/// The addresses of a setting that lists them; those that may be off have `off` for none.
fn list(reader: &mut Reader<'_>, name: &str) -> Vec<Address> {
    let can_be_off = ![GATE[0], ISSUER[0]].contains(&name);
    if can_be_off && reader.text(name) == "off" {
        return Vec::new();
    }
    let mut addresses = Vec::new();
    for text in reader.list(name) {
        match text.parse::<Address>() {
            Ok(address) => addresses.push(address),
            Err(error) => reader.wrong(name, format!("{text:?}: {error}")),
        }
    }
    addresses
}

/// One address cannot be opened twice, save port 0, which is another one each time.
pub(super) fn check(
    reader: &mut Reader<'_>,
    gate: &ListenerConfig,
    metrics: &ListenerConfig,
    issuance: Option<&IssuanceConfig>,
) {
    let mut listeners = vec![(GATE, "the gate", gate), (METRICS, "the metrics", metrics)];
    if let Some(it) = issuance {
        listeners.extend([
            (ISSUER, "the issuer", &it.listen),
            (INTERNAL, "the internal one", &it.internal),
            (GRPC, "gRPC", &it.grpc),
        ]);
    }
    let all: Vec<_> = listeners
        .into_iter()
        .flat_map(|(names, whose, at)| at.addresses.iter().map(move |at| (names[0], whose, at)))
        .collect();
    for (place, (name, _, address)) in all.iter().enumerate() {
        let is_any_port = matches!(address, Address::Tcp(at) if at.port() == 0);
        let earlier = all[..place].iter().find(|(.., other)| other == address && !is_any_port);
        match earlier {
            Some((other, ..)) if other == name => {
                reader.wrong(name, format!("{address} is there twice"));
            }
            Some((_, whose, _)) => {
                reader.wrong(name, format!("{address} is the address of {whose} already"));
            }
            None => {}
        }
    }
}
