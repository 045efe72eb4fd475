//! The canonical request: one form of what a gateway told about a client's request, or a refusal.
//!
//! Gateways, applications and judges read the same bytes in different ways, and most holes of this
//! field are such a difference. So this module accepts only what all of them read alike. It brings
//! the rest to one form where the difference is harmless (letter case of hosts, escapes in a path,
//! the default port, `ws` for `http`), and refuses it otherwise. A refusal is a denial: nothing is
//! repaired, and nothing is guessed.
//!
//! It is pure: it reads no clock, no setting and no store. [`headers`] finds what was told;
//! [`canonical`] judges it.

mod characters;
pub mod headers;
mod host;
mod path;
mod refusal;
mod target;

use std::borrow::Cow;
use std::net::IpAddr;

use characters::Characters;
pub use host::Authority;
pub use path::{CanonicalPath, encode};
pub use refusal::Refusal;
use target::{Target, is_scheme};

/// The longest method that is accepted; the longest registered one has 18 letters.
const MAX_METHOD_BYTES: usize = 32;

/// The parts of a client's request, as a gateway told them. `None` is a part that it did not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told<'t> {
    /// The method.
    pub method: Option<&'t str>,
    /// The scheme, without `://`.
    pub scheme: Option<&'t str>,
    /// The host, perhaps with a port.
    pub host: Option<&'t str>,
    /// The target of the request line: a path with its query, or an absolute URL.
    pub target: Option<&'t str>,
    /// The address of the client.
    pub client: Option<IpAddr>,
}

impl<'t> Told<'t> {
    /// A request to an address, of which nothing is missing but perhaps the client. The path stays
    /// as it is spelled; an empty one is `/`, as clients send it. `None` is an address that does not
    /// begin with a scheme: `://` further behind is in a path or a query.
    pub fn of_url(method: &'t str, url: &'t str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| is_scheme(scheme))?;
        let (host, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let target = if target.is_empty() { "/" } else { target };
        let (method, scheme) = (Some(method), Some(scheme));
        Some(Self { method, scheme, host: Some(host), target: Some(target), client: None })
    }
}

/// The scheme of a request. WebSockets are requests like others: `ws` is `http` here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http` or `ws`.
    Http,
    /// `https` or `wss`.
    Https,
}

/// A request in its one form. Two requests for one resource are equal in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalRequest<'t> {
    /// The method, in capital letters.
    pub method: &'t str,
    /// The scheme.
    pub scheme: Scheme,
    /// The host in lower case, and the port where it is not the default one.
    pub authority: Authority<'t>,
    /// The path, decoded once.
    pub path: CanonicalPath<'t>,
    /// The query as the client wrote it, without its question mark. It decides nothing.
    pub query: Option<&'t str>,
    /// The address of the client.
    pub client: Option<IpAddr>,
}

/// Brings what a gateway told to its canonical form.
///
/// # Errors
/// The first reason why the request is not clear.
pub fn canonical<'t>(told: &Told<'t>) -> Result<CanonicalRequest<'t>, Refusal> {
    let method = told.method.ok_or(Refusal::MissingMethod)?;
    if !is_method(method) {
        return Err(Refusal::BadMethod);
    }
    let Target { origin, path, query } = Target::read(told.target.ok_or(Refusal::MissingTarget)?)?;
    let (scheme, authority) = match origin {
        None => origin_of(told)?,
        Some((scheme, authority)) => {
            agree_with_told(told, scheme, &authority)?;
            (scheme, authority)
        }
    };
    Ok(CanonicalRequest {
        method,
        scheme,
        authority,
        path: CanonicalPath::decode(path)?,
        query,
        client: told.client,
    })
}

/// The scheme and the authority that were told beside a path.
fn origin_of<'t>(told: &Told<'t>) -> Result<(Scheme, Authority<'t>), Refusal> {
    let scheme = Scheme::read(told.scheme.ok_or(Refusal::MissingScheme)?)?;
    let host = told.host.ok_or(Refusal::MissingHost)?;
    Ok((scheme, Authority::read(host, scheme)?))
}

/// Checks that scheme and host, where they were told beside an absolute URL, say the same.
fn agree_with_told(
    told: &Told<'_>,
    scheme: Scheme,
    authority: &Authority<'_>,
) -> Result<(), Refusal> {
    if told.scheme.map(Scheme::read).transpose()?.is_some_and(|beside| beside != scheme) {
        return Err(Refusal::Disagreement);
    }
    let beside = told.host.map(|host| Authority::read(host, scheme)).transpose()?;
    if beside.is_some_and(|beside| beside != *authority) {
        return Err(Refusal::Disagreement);
    }
    Ok(())
}

impl Scheme {
    /// Reads a scheme in any letter case (RFC 3986, section 3.1).
    fn read(text: &str) -> Result<Self, Refusal> {
        let is = |name: &str| text.eq_ignore_ascii_case(name);
        if is("http") || is("ws") {
            Ok(Self::Http)
        } else if is("https") || is("wss") {
            Ok(Self::Https)
        } else {
            Err(Refusal::BadScheme)
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that need not be written.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Returns whether a text is a method that is judged. Methods are case-sensitive (RFC 9110, section
/// 9.1) and some applications ignore that, so one in small letters is none. `CONNECT` has no path
/// that could be judged.
pub(crate) fn is_method(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_uppercase());
    let in_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"-_".contains(&b);
    let is_name = starts_well && text.bytes().all(in_name) && text.len() <= MAX_METHOD_BYTES;
    is_name && text != "CONNECT"
}

impl CanonicalRequest<'_> {
    /// The path in its one spelling, with the query: what a return address is made of.
    pub fn target(&self) -> String {
        let path = self.path.spelling();
        match self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.into_owned(),
        }
    }

    /// The whole address, in its one spelling.
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme.as_str(), self.authority, self.target())
    }
}

/// Lowers the letters of an ASCII text of these characters, and copies it only where there are any.
fn lowered(text: &str, characters: Characters) -> Cow<'_, str> {
    if characters.hold(Characters::CAPITAL) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests;
