//! Addresses to listen on: those of the gate and of the metrics, and that none is there twice.

use super::IssuanceConfig;
use super::reader::Reader;
use crate::server::Address;

/// LISTEN, or the one address of LISTEN_HOST and PORT; both, only if they agree.
pub(super) fn gate(reader: &mut Reader<'_>) -> Vec<Address> {
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

/// METRICS_LISTEN.
pub(super) fn metrics(reader: &mut Reader<'_>) -> Option<Address> {
    reader.parsed("METRICS_LISTEN", |text| match text {
        "off" => Ok(None),
        address => address.parse::<Address>().map(Some),
    })
}

/// The addresses of a setting that lists them.
pub(super) fn list(reader: &mut Reader<'_>, name: &str) -> Vec<Address> {
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
    gate: &[Address],
    metrics: Option<&Address>,
    issuance: Option<&IssuanceConfig>,
) {
    let mut all: Vec<_> = gate.iter().map(|at| ("LISTEN", "the gate", at.clone())).collect();
    all.extend(metrics.map(|at| ("METRICS_LISTEN", "the metrics", at.clone())));
    if let Some(it) = issuance {
        all.extend(it.listen.iter().map(|at| ("ISSUER_LISTEN", "the issuer", at.clone())));
        all.extend(
            it.internal.iter().map(|at| ("INTERNAL_LISTEN", "the internal one", at.clone())),
        );
        all.extend(it.grpc.map(|at| ("GRPC_LISTEN", "gRPC", Address::Tcp(at))));
    }
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
