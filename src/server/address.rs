//! Where to listen, as the operator writes it.

use std::fmt;
use std::net::SocketAddr;
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
    /// Whether only this host can reach it. A unix socket is reached through the file system.
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
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(AddressError::NoPath),
                path => Ok(Self::Unix(path.into())),
            };
        }
        text.parse().map(Self::Tcp).map_err(|_| AddressError::explain(text))
    }
}

/// Why a text is no address, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing at all.
    #[error("the address is empty; write for example 127.0.0.1:8080")]
    Empty,
    /// `unix:` alone.
    #[error("`unix:` names no file; write for example unix:/run/portcullis.sock")]
    NoPath,
    /// A path without its scheme.
    #[error("`{0}` looks like a path; a unix socket is written unix:{0}")]
    NoScheme(String),
    /// `http://...`.
    #[error("`{0}` is a URL; write the address alone, for example 127.0.0.1:8080")]
    Url(String),
    /// `8080` or `:8080`.
    #[error("`{0}` names no host; write 127.0.0.1:{port} for this host alone, or 0.0.0.0:{port} for every interface", port = .0.trim_start_matches(':'))]
    NoHost(String),
    /// An IP address alone.
    #[error("`{0}` has no port; write {suggestion}", suggestion = with_port(.0))]
    NoPort(String),
    /// Anything else: mostly a host name.
    #[error(
        "`{0}` is no address; names are not resolved, so write an IP address and a port from 0 \
         to 65535 (127.0.0.1:8080, [::1]:8080), or unix:/path"
    )]
    Unknown(String),
}

impl AddressError {
    fn explain(text: &str) -> Self {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        let owned = text.to_owned();
        match text {
            "" => Self::Empty,
            _ if text.contains("://") => Self::Url(owned),
            _ if text.starts_with(['/', '.']) => Self::NoScheme(owned),
            _ if bare.parse::<std::net::IpAddr>().is_ok() => Self::NoPort(owned),
            _ if text.strip_prefix(':').unwrap_or(text).parse::<u16>().is_ok() => {
                Self::NoHost(owned)
            }
            _ => Self::Unknown(owned),
        }
    }
}

fn with_port(text: &str) -> String {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare.contains(':') { format!("[{bare}]:8080") } else { format!("{bare}:8080") }
}
