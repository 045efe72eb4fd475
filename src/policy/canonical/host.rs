//! The host that a client asked for, and its port.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Characters, Refusal, Scheme, lowered};

/// The longest name of a host, and of a label in it (RFC 1035, section 2.3.4).
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;
/// The characters that no name holds: there may be a port behind it, or an address of IPv6.
const NOT_IN_NAME: Characters = Characters::ALL.without(Characters::CAPITAL.or(Characters::DOT));

/// A host in lower case, and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority<'t> {
    /// A name, an IPv4 address, or an IPv6 address in brackets. A name that is not ASCII is in its
    /// ASCII form (`xn--`), as browsers send it.
    pub host: Cow<'t, str>,
    /// The port, where it is not the scheme's default.
    pub port: Option<u16>,
}

impl<'t> Authority<'t> {
    /// Reads a host, perhaps with a port.
    pub(super) fn read(text: &'t str, scheme: Scheme) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Err(Refusal::MissingHost);
        }
        let characters = Characters::of(text);
        if characters.hold(Characters::COMMA) {
            return Err(Refusal::List);
        }
        if characters.hold(Characters::AT) {
            return Err(Refusal::UserInfo);
        }
        let (host, port) = if characters.hold(NOT_IN_NAME) {
            let (host, port) = split_port(text)?;
            check_host(host)?;
            (host, port)
        } else {
            check_name(text)?;
            (text, None)
        };
        let port = port.map(read_port).transpose()?.filter(|port| *port != scheme.default_port());
        Ok(Self { host: lowered(host, characters), port })
    }
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Splits the port off. The colons of an IPv6 address stand in brackets.
fn split_port(text: &str) -> Result<(&str, Option<&str>), Refusal> {
    let Some(end) = text.rfind(']') else {
        return Ok(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))));
    };
    let (host, rest) = text.split_at(end + 1);
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(Refusal::BadHost),
    }
}

/// Reads a port in its one form: no sign, no leading zero, not empty.
fn read_port(text: &str) -> Result<u16, Refusal> {
    let port: u16 = text.parse().map_err(|_| Refusal::BadPort)?;
    let is_plain = port != 0 && text.starts_with(|c: char| ('1'..='9').contains(&c));
    if is_plain { Ok(port) } else { Err(Refusal::BadPort) }
}

fn check_host(host: &str) -> Result<(), Refusal> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => check_ipv6(address),
        None if Characters::of(host).hold(NOT_IN_NAME) => Err(Refusal::BadHost),
        None => check_name(host),
    }
}

/// Accepts the address in the one text form that RFC 5952 gives it, as browsers do; gateways
/// compare the text.
fn check_ipv6(text: &str) -> Result<(), Refusal> {
    let address: Ipv6Addr = text.parse().map_err(|_| Refusal::BadHost)?;
    let is_plain = address.to_string() == text.to_ascii_lowercase();
    if is_plain { Ok(()) } else { Err(Refusal::BadHost) }
}

/// Accepts names of letters, digits, dashes and underscores (there is nothing else in `name` but dots), and IPv4
/// addresses of four numbers. Some gateways drop a dot at the end and others do not.
fn check_name(name: &str) -> Result<(), Refusal> {
    // By bytes: a search for a character costs more than such a short text is long.
    let (mut label_start, mut are_labels) = (0, name.len() <= MAX_NAME_BYTES);
    let is_label = |length| (1..=MAX_LABEL_BYTES).contains(&length);
    for (at, byte) in name.bytes().enumerate() {
        if byte == b'.' {
            are_labels &= is_label(at - label_start);
            label_start = at + 1;
        }
    }
    let last = &name[label_start..];
    if !are_labels || !is_label(last.len()) {
        let is_rooted = name.len() > 1 && name.ends_with('.') && !name.ends_with("..");
        return Err(if is_rooted { Refusal::TrailingDot } else { Refusal::BadHost });
    }
    // Whoever finds a number at the end reads an address, in one of many forms: 127.1, 0x7f.0.0.1.
    if last.starts_with(|c: char| c.is_ascii_digit()) && is_number(last) {
        name.parse::<Ipv4Addr>().map_err(|_| Refusal::BadHost)?;
    }
    Ok(())
}

fn is_number(label: &str) -> bool {
    let is_hex = label.starts_with("0x") || label.starts_with("0X");
    is_hex || label.bytes().all(|b| b.is_ascii_digit())
}
