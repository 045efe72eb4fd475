//! The requests that every gateway is asked: a table of spellings, and random ones.

mod headers;
mod http2;
mod paths;
mod random;

use std::collections::HashSet;

pub use random::random;

/// A header field, as it stands on the wire.
pub type Field = (Vec<u8>, Vec<u8>);

/// One request, as it goes onto the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Case {
    /// Over HTTP/1.1: the request line and the header lines, without the empty line.
    Http1(Vec<u8>),
    /// Over HTTP/2 without TLS: the fields, where path, host and scheme may hold anything.
    Http2(Vec<Field>),
}

/// The host of most requests.
const HOST: &[u8] = b"app.test";

/// All spellings of the table.
pub fn table() -> Vec<Case> {
    let paths = paths::all().into_iter().map(|path| http1(b"GET", &path, Some(HOST), &[]));
    let mut cases: Vec<_> = paths.chain(headers::all()).chain(http2::all()).collect();
    let mut seen = HashSet::new();
    cases.retain(|case| seen.insert(case.clone()));
    cases
}

/// A request over HTTP/1.1 with these header lines besides.
fn http1(method: &[u8], target: &[u8], host: Option<&[u8]>, lines: &[String]) -> Case {
    let mut bytes = [method, b" ", target, b" HTTP/1.1\r\n"].concat();
    if let Some(host) = host {
        bytes.extend([&b"Host: "[..], host, b"\r\n"].concat());
    }
    if [&b"POST"[..], b"PUT", b"PATCH"].contains(&method) {
        bytes.extend(b"Content-Length: 0\r\n");
    }
    for line in lines {
        bytes.extend(line.as_bytes());
        bytes.extend(b"\r\n");
    }
    Case::Http1(bytes)
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http1(bytes) => write!(f, "{}", bytes.trim_ascii_end().escape_ascii()),
            Self::Http2(fields) => fields.iter().try_for_each(|(name, value)| {
                write!(f, "{}={} ", name.escape_ascii(), value.escape_ascii())
            }),
        }
    }
}
