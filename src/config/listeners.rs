//! Listeners: their addresses, of which none may be there twice, the files of their TLS, and what
//! clients may do there.

use std::net::IpAddr;
use std::path::PathBuf;

use super::audit;
use super::file_permissions;
use super::reader::Reader;
use super::settings::{self, Setting};
use crate::server::{Address, Limits, ListenerConfig, TlsFile, TlsFiles};
use crate::wire::networks::Networks;

/// The settings of a listener.
pub(super) struct ListenerSettings {
    /// Its name in mistakes.
    name: &'static str,
    addresses: Setting<Vec<String>>,
    certificate: Setting<Option<PathBuf>>,
    key: Setting<Option<PathBuf>>,
    client_ca: Setting<Option<PathBuf>>,
}

/// A listener with its settings.
pub(super) type Listener<'l> = (&'l ListenerSettings, &'l ListenerConfig);

pub(super) const GATE: ListenerSettings = ListenerSettings {
    name: "the gate",
    addresses: settings::LISTEN,
    certificate: settings::LISTEN_TLS_CERT_FILE,
    key: settings::LISTEN_TLS_KEY_FILE,
    client_ca: settings::LISTEN_TLS_CLIENT_CA_FILE,
};
pub(super) const EXT_AUTHZ: ListenerSettings = ListenerSettings {
    name: "ext_authz",
    addresses: settings::EXT_AUTHZ_LISTEN,
    certificate: settings::EXT_AUTHZ_TLS_CERT_FILE,
    key: settings::EXT_AUTHZ_TLS_KEY_FILE,
    client_ca: settings::EXT_AUTHZ_TLS_CLIENT_CA_FILE,
};
pub(super) const METRICS: ListenerSettings = ListenerSettings {
    name: "the metrics",
    addresses: settings::METRICS_LISTEN,
    certificate: settings::METRICS_TLS_CERT_FILE,
    key: settings::METRICS_TLS_KEY_FILE,
    client_ca: settings::METRICS_TLS_CLIENT_CA_FILE,
};
pub(super) const ISSUER: ListenerSettings = ListenerSettings {
    name: "the issuer",
    addresses: settings::ISSUER_LISTEN,
    certificate: settings::ISSUER_TLS_CERT_FILE,
    key: settings::ISSUER_TLS_KEY_FILE,
    client_ca: settings::ISSUER_TLS_CLIENT_CA_FILE,
};
pub(super) const INTERNAL: ListenerSettings = ListenerSettings {
    name: "the internal one",
    addresses: settings::INTERNAL_LISTEN,
    certificate: settings::INTERNAL_TLS_CERT_FILE,
    key: settings::INTERNAL_TLS_KEY_FILE,
    client_ca: settings::INTERNAL_TLS_CLIENT_CA_FILE,
};
pub(super) const GRPC: ListenerSettings = ListenerSettings {
    name: "gRPC",
    addresses: settings::GRPC_LISTEN,
    certificate: settings::GRPC_TLS_CERT_FILE,
    key: settings::GRPC_TLS_KEY_FILE,
    client_ca: settings::GRPC_TLS_CLIENT_CA_FILE,
};

pub(super) const AUTHNZERVER: ListenerSettings = ListenerSettings {
    name: "authnzerver's wire",
    addresses: settings::AUTHNZERVER_LISTEN,
    certificate: settings::AUTHNZERVER_TLS_CERT_FILE,
    key: settings::AUTHNZERVER_TLS_KEY_FILE,
    client_ca: settings::AUTHNZERVER_TLS_CLIENT_CA_FILE,
};

/// The gate's.
pub(super) fn gate(reader: &mut Reader<'_>) -> ListenerConfig {
    let addresses = gate_addresses(reader);
    with_tls(reader, &GATE, addresses)
}

/// The listener of gRPC; outside loopback it has to be encrypted.
pub(super) fn grpc(reader: &mut Reader<'_>) -> ListenerConfig {
    let grpc = read(reader, &GRPC);
    // Half of the pair is a mistake of its own; what is blank is not set.
    let is_tried =
        [GRPC.certificate, GRPC.key, GRPC.client_ca].iter().any(|it| reader.get(*it).is_some());
    if !grpc.is_loopback() && !is_tried {
        let problem =
            "can be reached from other hosts: set GRPC_TLS_CERT_FILE and GRPC_TLS_KEY_FILE";
        reader.wrong(GRPC.addresses, problem);
    }
    grpc
}

/// The listener of these settings.
pub(super) fn read(reader: &mut Reader<'_>, settings: &ListenerSettings) -> ListenerConfig {
    let addresses: Vec<Address> = reader.each(settings.addresses, str::parse);
    with_tls(reader, settings, addresses)
}

/// The listener of authnzerver's wire, whose addresses may stand without a port.
pub(super) fn authnzerver(reader: &mut Reader<'_>) -> ListenerConfig {
    let port = reader.get(settings::AUTHNZERVER_PORT);
    let addresses = reader.each(AUTHNZERVER.addresses, |text| {
        let host: Result<IpAddr, _> = text.parse();
        host.map_or_else(|_| text.parse(), |host| Ok(Address::Tcp((host, port).into())))
    });
    with_tls(reader, &AUTHNZERVER, addresses)
}

fn with_tls(
    reader: &mut Reader<'_>,
    settings: &ListenerSettings,
    addresses: Vec<Address>,
) -> ListenerConfig {
    let tls = tls(reader, settings);
    let listener = ListenerConfig { addresses, tls };
    if listener.tls.is_some() && !listener.addresses.is_empty() && !listener.has_tcp() {
        let names = settings.addresses.entry.name;
        let problem = format!("has no effect: {names} names unix sockets alone");
        reader.warn(settings.certificate, problem);
    }
    listener
}

/// The files of a listener's TLS: certificate and key together.
fn tls(reader: &mut Reader<'_>, settings: &ListenerSettings) -> Option<TlsFiles> {
    let ListenerSettings { certificate, key, client_ca, .. } = *settings;
    let (certificate_name, key_name) = (certificate.entry.name, key.entry.name);
    match (reader.get(certificate), reader.get(key), reader.get(client_ca)) {
        (Some(certificate), Some(key), client_ca) => {
            return Some(TlsFiles { certificate, key, client_ca });
        }
        (None, None, None) => {}
        (None, None, Some(_)) => {
            reader.wrong(client_ca, format!("needs {certificate_name} and {key_name} too"));
        }
        (Some(_), None, _) => {
            reader.wrong(certificate, format!("needs its private key: set {key_name} too"));
        }
        (None, Some(_), _) => {
            reader.wrong(key, format!("needs its certificate: set {certificate_name} too"));
        }
    }
    None
}

/// Tries the files of each listener's TLS. A command that does not listen may not be able to read
/// them, and does not need them.
pub(super) fn check_files(reader: &mut Reader<'_>, listeners: &[Listener<'_>]) {
    for (settings, listener) in listeners {
        let Some(files) = &listener.tls else { continue };
        let key = settings.key.entry.name;
        file_permissions::warn_of_secret(&mut reader.mistakes, key, &files.key);
        if let Err(error) = files.check() {
            let setting = match error.file {
                TlsFile::Certificate => settings.certificate,
                TlsFile::Key => settings.key,
                TlsFile::ClientCa => settings.client_ca,
            };
            reader.wrong(setting, error.to_string());
        }
    }
}

/// Warns where the issuer answers a gateway's question to whoever asks, and the gate does not.
pub(super) fn warn_of_open_issuer(
    reader: &mut Reader<'_>,
    gate: &ListenerConfig,
    issuer: &ListenerConfig,
) {
    let is_open = !issuer.asks_for_certificates() && !issuer.is_loopback();
    if gate.asks_for_certificates() && is_open && !reader.get(settings::DISABLE_EXTERNAL_API) {
        let problem = "does not guard the issuer, which answers the gate's question at ISSUER_LISTEN \
                       too: set ISSUER_TLS_CLIENT_CA_FILE, or DISABLE_EXTERNAL_API";
        reader.warn(GATE.client_ca, problem);
    }
}

/// LISTEN, or the one address of LISTEN_HOST and PORT; both, only if they agree.
fn gate_addresses(reader: &mut Reader<'_>) -> Vec<Address> {
    let host = reader.get(settings::LISTEN_HOST);
    let port = reader.get(settings::PORT);
    let host =
        if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let single = format!("{host}:{port}").parse::<Address>();
    let addresses: Vec<Address> = reader.each(settings::LISTEN, str::parse);
    let listed = reader.layer(settings::LISTEN);
    // A flag goes before the environment, and that before the file, also between these two ways.
    let is_overridden =
        reader.layer(settings::PORT).max(reader.layer(settings::LISTEN_HOST)) > listed;
    if listed.is_none() || is_overridden {
        return reader.good(settings::LISTEN_HOST, single).into_iter().collect();
    }
    for setting in [settings::PORT.entry, settings::LISTEN_HOST.entry] {
        let is_listed = single.as_ref().is_ok_and(|address| addresses.contains(address));
        if reader.layer(setting) == listed && !is_listed {
            reader.wrong(setting, "disagrees with LISTEN, which replaces it; set one of them");
        }
    }
    addresses
}

/// Limits of what clients may do.
pub(super) fn limits(reader: &mut Reader<'_>) -> Limits {
    let max_connections: usize = reader.get(settings::MAX_CONNECTIONS);
    let max_per_address = match reader.get(settings::MAX_CONNECTIONS_PER_ADDRESS) {
        0 => max_connections.div_ceil(4),
        number => number,
    };
    let trusted: Networks = reader.get(settings::TRUSTED_PROXIES);
    Limits {
        max_connections,
        max_per_address,
        gateways: trusted.and(&reader.get(settings::GATEWAY_NETWORKS)),
        max_headers: reader.get(settings::MAX_HEADERS),
        idle_timeout: reader.get(settings::IDLE_TIMEOUT),
        socket_mode: reader.get(settings::SOCKET_MODE),
        hot_loop: reader.get(settings::HOT_LOOP),
        pseudonyms: audit::pseudonyms(reader),
        ..Limits::default()
    }
}

/// One address cannot be opened twice, save port 0, which is another one each time.
pub(super) fn check_addresses(reader: &mut Reader<'_>, listeners: &[Listener<'_>]) {
    let of = |(settings, at): &Listener<'_>| {
        let (setting, name) = (settings.addresses.entry, settings.name);
        at.addresses.iter().map(|at| (setting, name, at.clone())).collect::<Vec<_>>()
    };
    let all: Vec<_> = listeners.iter().flat_map(of).collect();
    for (place, (setting, _, address)) in all.iter().enumerate() {
        let is_any_port = matches!(address, Address::Tcp(at) if at.port() == 0);
        let earlier = all[..place].iter().find(|(.., other)| other == address && !is_any_port);
        match earlier {
            Some((other, ..)) if other == setting => {
                reader.wrong(*setting, format!("{address} is there twice"));
            }
            Some((_, whose, _)) => {
                reader.wrong(*setting, format!("{address} is the address of {whose} already"));
            }
            None => {}
        }
    }
}
