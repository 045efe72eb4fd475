//! The head of a request, whoever parsed it.

use http::request::Parts;
use http::uri::{Authority, PathAndQuery};

use super::fields::Fields;

/// The head of one request (RFC 9112, section 2.1), as far as services look at it.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'r> {
    /// The method.
    pub method: &'r str,
    /// The path and the query, where there is one.
    pub target: &'r str,
    /// The authority in the target, where there is one: in HTTP/2, and in the absolute form.
    pub authority: Option<&'r str>,
    /// The header fields.
    pub fields: Fields<'r>,
}

impl<'r> RequestHead<'r> {
    /// The path.
    pub fn path(&self) -> &'r str {
        let end = self.query_start().unwrap_or(self.target.len());
        &self.target[..end]
    }

    fn query_start(&self) -> Option<usize> {
        self.target.bytes().position(|byte| byte == b'?')
    }

    /// The query, which may be empty.
    pub fn query(&self) -> Option<&'r str> {
        self.query_start().map(|start| &self.target[start + 1..])
    }
}

impl<'r> From<&'r Parts> for RequestHead<'r> {
    fn from(parts: &'r Parts) -> Self {
        Self {
            method: parts.method.as_str(),
            target: parts.uri.path_and_query().map_or(parts.uri.path(), PathAndQuery::as_str),
            authority: parts.uri.authority().map(Authority::as_str),
            fields: Fields::Map(&parts.headers),
        }
    }
}
