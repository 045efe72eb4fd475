//! The target of a request line (RFC 9112, section 3.2): a path with its query, or an absolute URL.

use super::{Authority, Refusal, Scheme};

/// The parts of a target. The path is not decoded yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'t> {
    /// The scheme and the host of an absolute URL.
    pub(super) origin: Option<(Scheme, Authority<'t>)>,
    /// The path, which begins with a slash.
    pub(super) path: &'t str,
    /// All that follows the first question mark.
    pub(super) query: Option<&'t str>,
}

impl<'t> Target<'t> {
    /// Splits a target. An empty path is refused, not read as `/`: nginx tells `?x` there, and
    /// Caddy and HAProxy compare the empty text with their routes.
    pub(super) fn read(text: &'t str) -> Result<Self, Refusal> {
        check_characters(text)?;
        let (origin, rest) = match text.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let scheme = Scheme::read(scheme)?;
                (Some((scheme, Authority::read(&rest[..end], scheme)?)), &rest[end..])
            }
            _ => (None, text),
        };
        if !rest.starts_with('/') {
            return Err(Refusal::NoPath);
        }
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        Ok(Self { origin, path, query })
    }
}

/// Checks that there are only characters that need no escape, in the query too. No client sends a
/// fragment, and nobody agrees on what it would mean.
fn check_characters(text: &str) -> Result<(), Refusal> {
    if text.bytes().any(|b| b == b'#') {
        return Err(Refusal::Fragment);
    }
    if text.bytes().all(|b| b.is_ascii_graphic()) { Ok(()) } else { Err(Refusal::BadByte) }
}

/// Returns whether a text before `://` is a scheme, and no path or query that holds these signs.
pub(super) fn is_scheme(text: &str) -> bool {
    let in_name = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    !text.is_empty() && text.bytes().all(in_name)
}
