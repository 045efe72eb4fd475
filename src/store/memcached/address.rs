//! The servers that a `memcached://` URL names.

use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

/// The port where none is written.
const PORT: u16 = 11_211;

/// The fault of a URL that does not say where memcached is. Never repeats the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// It is one of something else.
    #[error("it does not begin with memcached://")]
    Scheme,
    /// A user or a password, which nobody would ask for.
    #[error(
        "it holds a user or a password, which are not sent: let no stranger reach the server, \
         write memcached://HOST:PORT"
    )]
    Credentials,
    /// Something stands behind the servers.
    #[error("it goes on after the servers; write memcached://HOST:PORT,HOST:PORT")]
    TrailingText,
    /// A server without a host.
    #[error("one of its servers is no host: write HOST, HOST:PORT, or [IPv6]:PORT")]
    Host,
    /// A server whose port is none.
    #[error("one of its servers has a port that is not from 1 to 65535")]
    Port,
    /// A server twice.
    #[error("it names a server twice")]
    Twice,
}

/// One server or several, each as `host:port`, in one order however they were written: all
/// processes must name them alike, since the names decide which server keeps what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers(Arc<[String]>);

impl Servers {
    /// Reads a URL such as `memcached://one:11211,two`.
    ///
    /// # Errors
    /// [`InvalidAddress`] where it names no servers.
    pub fn parse(url: &str) -> Result<Self, InvalidAddress> {
        let listed = url.trim().strip_prefix("memcached://").ok_or(InvalidAddress::Scheme)?;
        if listed.contains('@') {
            return Err(InvalidAddress::Credentials);
        }
        let listed = listed.strip_suffix('/').unwrap_or(listed);
        if listed.contains(['/', '?', '#']) {
            return Err(InvalidAddress::TrailingText);
        }
        let mut servers = listed.split(',').map(server).collect::<Result<Vec<_>, _>>()?;
        let named = servers.len();
        servers.sort();
        servers.dedup();
        if servers.len() == named { Ok(Self(servers.into())) } else { Err(InvalidAddress::Twice) }
    }

    /// Their names.
    pub(super) fn names(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

fn server(text: &str) -> Result<String, InvalidAddress> {
    let (host, port) = match text.trim().strip_prefix('[') {
        Some(rest) => {
            let (address, behind) = rest.split_once(']').ok_or(InvalidAddress::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| InvalidAddress::Host)?;
            let port = match behind.strip_prefix(':') {
                None if !behind.is_empty() => return Err(InvalidAddress::Host),
                port => port,
            };
            (format!("[{address}]"), port)
        }
        None => match text.trim().split_once(':') {
            Some((host, port)) => (host.to_ascii_lowercase(), Some(port)),
            None => (text.trim().to_ascii_lowercase(), None),
        },
    };
    let of_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if host.is_empty() || !(host.starts_with('[') || host.bytes().all(of_name)) {
        return Err(InvalidAddress::Host);
    }
    let port = port.map_or(Ok(PORT), str::parse).map_err(|_| InvalidAddress::Port)?;
    if port == 0 { Err(InvalidAddress::Port) } else { Ok(format!("{host}:{port}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_alike_however_they_are_written() {
        for (url, expected) in [
            ("memcached://127.0.0.1:11300", vec!["127.0.0.1:11300"]),
            ("memcached://Cache-1.local", vec!["cache-1.local:11211"]),
            ("memcached://b:2,a:1", vec!["a:1", "b:2"]),
            (" memcached://a, b:2/ ", vec!["a:11211", "b:2"]),
            ("memcached://[::1]:7,[0:0::2]", vec!["[::1]:7", "[::2]:11211"]),
        ] {
            assert_eq!(Servers::parse(url).expect(url).names(), expected, "{url}");
        }
    }

    #[test]
    fn what_names_no_servers_is_refused_with_a_word_of_why() {
        for (url, expected) in [
            ("memcache://a", InvalidAddress::Scheme),
            ("memcached:a", InvalidAddress::Scheme),
            ("memcached://user:secret@a", InvalidAddress::Credentials),
            ("memcached://a/0", InvalidAddress::TrailingText),
            ("memcached://a?x=1", InvalidAddress::TrailingText),
            ("memcached://", InvalidAddress::Host),
            ("memcached://a,,b", InvalidAddress::Host),
            ("memcached://::1", InvalidAddress::Host),
            ("memcached://[::1", InvalidAddress::Host),
            ("memcached://[::1]7", InvalidAddress::Host),
            ("memcached://a b", InvalidAddress::Host),
            ("memcached://a:", InvalidAddress::Port),
            ("memcached://a:0", InvalidAddress::Port),
            ("memcached://a:65536", InvalidAddress::Port),
            ("memcached://a,A:11211", InvalidAddress::Twice),
        ] {
            assert_eq!(Servers::parse(url), Err(expected), "{url}");
            assert!(!expected.to_string().contains("secret"));
        }
    }
}
