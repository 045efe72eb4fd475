//! What a gateway asks, whichever gateway it is.

use http::{HeaderMap, HeaderValue};

use super::requirement::Requirement;
use super::verdict::DenialCode;

/// One question: the client's request, as the gateway told it.
#[derive(Debug)]
pub struct Inquiry<'r> {
    /// The client's headers; the credentials are in them.
    pub headers: &'r HeaderMap,
    /// What the operator demands here, or why that could not be read.
    pub requirement: Result<Requirement, DenialCode>,
    /// What the client asked the gateway for. For the log alone: nothing is decided on it, since
    /// only the operator's configuration says who wrote it.
    pub original: Original<'r>,
}

/// The client's own request line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Original<'r> {
    /// The method.
    pub method: Option<&'r HeaderValue>,
    /// The host.
    pub host: Option<&'r HeaderValue>,
    /// Path and query.
    pub uri: Option<&'r HeaderValue>,
}

impl<'r> Original<'r> {
    /// The path without its query, which may hold credentials and so stays out of logs.
    pub fn path(&self) -> Option<&'r str> {
        let uri = self.uri?.to_str().ok()?;
        Some(uri.split(['?', '#']).next().unwrap_or(uri))
    }

    /// A header as text, where it is text.
    pub fn text(value: Option<&'r HeaderValue>) -> Option<&'r str> {
        value?.to_str().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_not_part_of_the_path() {
        for (uri, path) in [("/a?token=x", "/a"), ("/a#b?c", "/a"), ("?x", ""), ("/", "/")] {
            let uri = HeaderValue::from_str(uri).unwrap();
            let original = Original { uri: Some(&uri), ..Original::default() };
            assert_eq!(original.path(), Some(path));
        }
    }
}
