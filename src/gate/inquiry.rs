//! The question of a gateway, the same for every gateway.

use http::HeaderMap;
use http::request::Parts;

use super::denial::DenialCode;
use super::requirement::Requirement;

/// The most bytes of a path, a host or a user's name that are logged.
const MAX_LOGGED_BYTES: usize = 512;

/// One question: the client's request, as the gateway told it.
#[derive(Debug)]
pub struct Inquiry<'r> {
    /// The client's headers; the credentials are in them.
    pub headers: &'r HeaderMap,
    /// The operator's demands here, or the reason why they could not be read.
    pub requirement: Result<Requirement, DenialCode>,
    /// The headers with the client's own request line, if any. For the log alone: nothing is
    /// decided on it, since only the operator's configuration says who wrote it.
    pub original: Option<Original>,
}

/// The headers in which the gateway writes the client's own request line. They are looked up only
/// for the log, since most answers are not logged.
#[derive(Clone, Copy, Debug)]
pub struct Original {
    /// The header with the method.
    pub method: &'static str,
    /// The header with the host.
    pub host: &'static str,
    /// The header with path and query.
    pub uri: &'static str,
}

impl<'r> Inquiry<'r> {
    /// The question in a gateway's request: the client's headers, the demands in the query of the
    /// operator's address, and the headers in which this kind of gateway writes the client's own
    /// line.
    pub fn of(request: &'r Parts, original: Original) -> Self {
        Self {
            headers: &request.headers,
            requirement: Requirement::from_query(request.uri.query()),
            original: Some(original),
        }
    }

    /// The client's method, as much of it as a log line takes.
    pub fn method(&self) -> Option<&'r str> {
        self.text(self.original?.method).map(truncated)
    }

    /// The host that the client asked for, as much of it as a log line takes.
    pub fn host(&self) -> Option<&'r str> {
        self.text(self.original?.host).map(truncated)
    }

    /// The path without its query, which may hold credentials and so stays out of logs; as much of
    /// it as a log line takes.
    pub fn path(&self) -> Option<&'r str> {
        let uri = self.text(self.original?.uri)?;
        Some(truncated(uri.split(['?', '#']).next().unwrap_or(uri)))
    }

    /// A header's text, in UTF-8, as many gateways write paths; none where it has characters that
    /// could move a cursor.
    fn text(&self, header: &str) -> Option<&'r str> {
        let text = std::str::from_utf8(self.headers.get(header)?.as_bytes()).ok()?;
        (!text.chars().any(char::is_control)).then_some(text)
    }
}

/// Truncates a client's text to the length that a log line takes.
pub(super) fn truncated(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_LOGGED_BYTES)]
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_path_for_the_log_has_no_query_and_is_cut_and_moves_no_cursor() {
        let long = "/é".repeat(900);
        let cut = "/é".repeat(170) + "/";
        for (uri, path) in [
            (&b"/a?token=x"[..], Some("/a")),
            (b"/a#b?c", Some("/a")),
            (b"?x", Some("")),
            (b"/", Some("/")),
            (long.as_bytes(), Some(&*cut)),
            (b"/\xff", None),
            ("/\u{9b}2J".as_bytes(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-uri", HeaderValue::from_bytes(uri).unwrap());
            let original = Original { method: "x-method", host: "x-host", uri: "x-uri" };
            let requirement = Ok(Requirement::default());
            let inquiry = Inquiry { headers: &headers, requirement, original: Some(original) };
            assert_eq!((inquiry.path(), inquiry.method()), (path, None));
        }
    }
}
