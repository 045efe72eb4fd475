//! Addresses of listeners, as the operator writes them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `127.0.0.1:8080` or `[::1]:8080`; port 0 asks the system for a free one.
    Tcp(SocketAddr),
    /// `unix:/run/portcullis.sock`.
    Unix(PathBuf),
}

impl Address {
    /// True where only this host can reach it. A unix socket is reached through the file system.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Address {
    /// The form that [`FromStr`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self::Unix(path.into())),
            _ => text.parse().map(Self::Tcp).map_err(|_| AddressError::explain(text)),
        }
    }
}

/// A text is no address; says why, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

impl AddressError {
    fn explain(text: &str) -> Self {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        let port = text.strip_prefix(':').unwrap_or(text);
        Self(match text {
            "" => "the address is empty; write for example 127.0.0.1:8080".to_owned(),
            "unix:" => "`unix:` names no file; write for example unix:/run/portcullis.sock".into(),
            _ if text.contains("://") => {
                format!("`{text}` is a URL; write the address alone, for example 127.0.0.1:8080")
            }
            _ if text.starts_with(['/', '.']) => {
                format!("`{text}` looks like a path; a unix socket is written unix:{text}")
            }
            _ if bare.parse::<IpAddr>().is_ok() => {
                format!("`{text}` has no port; write {}", with_port(bare))
            }
            _ if port.parse::<u16>().is_ok() => format!(
                "`{text}` names no host; write 127.0.0.1:{port} for this host alone, or \
                 0.0.0.0:{port} for every interface"
            ),
            _ => format!(
                "`{text}` is no address; names are not resolved, so write an IP address and a \
                 port from 0 to 65535 (127.0.0.1:8080, [::1]:8080), or unix:/path"
            ),
        })
    }
}

fn with_port(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:8080") } else { format!("{ip}:8080") }
}
