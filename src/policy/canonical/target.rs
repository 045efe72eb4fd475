//! The target of a request line (RFC 9112, section 3.2): a path with its query, or an absolute URL.

use super::{Authority, Characters, Refusal, Scheme};

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
        let characters = Characters::of(text);
        check(characters)?;
        let has_colon = characters.hold(Characters::COLON);
        let absolute = if has_colon { text.split_once("://") } else { None };
        let (origin, rest) = match absolute {
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
        let (path, query) = match rest.bytes().position(|byte| byte == b'?') {
            Some(end) => (&rest[..end], Some(&rest[end + 1..])),
            None => (rest, None),
        };
        Ok(Self { origin, path, query })
    }
}

/// Checks that there are only characters that need no escape, in the query too. No client sends a
/// fragment, and nobody agrees on what it would mean.
fn check(characters: Characters) -> Result<(), Refusal> {
    if characters.hold(Characters::HASH) {
        return Err(Refusal::Fragment);
    }
    if characters.hold(Characters::NOT_GRAPHIC) { Err(Refusal::BadByte) } else { Ok(()) }
}

/// Returns whether a text before `://` is a scheme, and no path or query that holds these signs.
pub(super) fn is_scheme(text: &str) -> bool {
    let in_name = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    !text.is_empty() && text.bytes().all(in_name)
}
