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
    /// The place of its first question mark.
    question_mark: Option<usize>,
    /// The authority in the target, where there is one: in HTTP/2, and in the absolute form.
    pub authority: Option<&'r str>,
    /// The header fields.
    pub fields: Fields<'r>,
}

impl<'r> RequestHead<'r> {
    /// A head whose target is a path, with a query where it has one.
    pub fn new(method: &'r str, target: &'r str, fields: Fields<'r>) -> Self {
        let question_mark = target.bytes().position(|byte| byte == b'?');
        Self { method, target, question_mark, authority: None, fields }
    }

    /// The path.
    pub fn path(&self) -> &'r str {
        &self.target[..self.question_mark.unwrap_or(self.target.len())]
    }

    /// The query, which may be empty.
    pub fn query(&self) -> Option<&'r str> {
        self.question_mark.map(|start| &self.target[start + 1..])
    }
}

impl<'r> From<&'r Parts> for RequestHead<'r> {
    fn from(parts: &'r Parts) -> Self {
        let target = parts.uri.path_and_query().map_or(parts.uri.path(), PathAndQuery::as_str);
        let authority = parts.uri.authority().map(Authority::as_str);
        let head = Self::new(parts.method.as_str(), target, Fields::Map(&parts.headers));
        Self { authority, ..head }
    }
}
