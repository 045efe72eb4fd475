//! A host to which browsers may be sent back.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::Host;

use crate::policy::canonical::Authority;

/// A host, or all hosts below one; with a port where it is not that of https.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnHost {
    /// The name in its ASCII form, or the address. Below: with the dot before it.
    name: String,
    is_below: bool,
    port: Option<u16>,
}

impl ReturnHost {
    /// Reads `app.example.org`, `.example.org` for all below it, and `app.example.org:8443`.
    ///
    /// # Errors
    /// The problem, and the forms that may be written.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORMS: &str = "write a host such as app.example.org, perhaps with a port, or \
                             .example.org for all below it";
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let port = port.parse::<u16>().map_err(|_| FORMS)?;
                (host, Some(port).filter(|port| *port != 443))
            }
            _ => (text, None),
        };
        let below = host.strip_prefix('.');
        let bare = below.unwrap_or(host);
        if bare.contains(['*', '%', '/', '\\', '@']) || bare.ends_with('.') {
            return Err(FORMS.to_owned());
        }
        let name = match (Host::parse(bare).map_err(|_| FORMS)?, below.is_some()) {
            (Host::Domain(name), true) if !name.contains('.') => {
                return Err(format!("holds everybody below .{name}; name your own domain"));
            }
            (Host::Domain(name), true) => format!(".{name}"),
            (_, true) => return Err(FORMS.to_owned()),
            (host, false) => host.to_string(),
        };
        Ok(Self { name, is_below: below.is_some(), port })
    }

    /// Returns whether this is the host of an address.
    pub(super) fn holds(&self, authority: &Authority<'_>) -> bool {
        let is_host = if self.is_below {
            authority.host.strip_suffix(self.name.as_str()).is_some_and(|label| !label.is_empty())
        } else {
            authority.host == self.name
        };
        is_host && authority.port == self.port
    }
}

/// Returns whether a host is the very one that the browser runs on, so that nobody is in between.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || bare.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}
