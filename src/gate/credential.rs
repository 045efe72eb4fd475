//! Finding the credential in a request. It is found here, not believed.
//!
//! There are five sources: a bearer token, a name and a password (Basic), an API key in a header of
//! its own, a cookie of the operator's choice, or one of a pair of cookies, of which the other names
//! the user. Exactly one credential is judged: where two sources hold different ones, the request is
//! refused.

use http::header::{AUTHORIZATION, COOKIE};

use super::api_key::is_api_key;
use super::denial::DenialCode;
use crate::opaque::{CookiePair, names_user};
use crate::wire::fields::Fields;
use crate::wire::known_fields::KnownField;

/// The schemes of bearer tokens, and of names and passwords; schemes are case-insensitive (RFC 9110,
/// section 11.1).
const BEARER: &[u8] = b"bearer";
const BASIC: &[u8] = b"basic";
/// The scheme of tokens that are bound to a key (RFC 9449, section 7.1).
const DPOP: &[u8] = b"dpop";

/// The header of tokens, names and passwords.
const AUTHORIZATION_FIELD: KnownField = KnownField::of("authorization");
/// The header of API keys.
pub(super) const API_KEY: &str = "x-api-key";

/// The cookies in which a credential may come; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookies {
    /// A cookie that is good by itself.
    pub single: Option<String>,
    /// A cookie that is only good together with another one.
    pub pair: Option<CookiePair>,
}

/// The kinds of credentials that are accepted beside tokens; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptedKinds {
    /// API keys.
    pub api_keys: bool,
    /// Names and passwords.
    pub basic: bool,
}

/// A credential, as the client sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'h> {
    /// A token, a handle, base64 of a name and a password, or rubbish.
    pub credential: &'h str,
    /// The source that it was found in.
    pub source: CredentialSource<'h>,
}

/// The same before its characters were looked at: what the cache knows needs no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Located<'h> {
    /// All bytes of it.
    pub(super) credential: &'h [u8],
    /// The source that it was found in.
    pub(super) source: CredentialSource<'h>,
}

impl<'h> Located<'h> {
    /// The credential, if it can be read in one way only.
    ///
    /// # Errors
    /// [`DenialCode::MalformedCredentials`].
    pub(super) fn read(self) -> Result<Found<'h>, DenialCode> {
        let Self { credential, source } = self;
        let is_plain = match source {
            CredentialSource::Cookie
            | CredentialSource::Pair { .. }
            | CredentialSource::Handshake => true,
            _ => is_plain(credential),
        };
        let credential = Some(credential).filter(|_| is_plain);
        let text = credential.and_then(|credential| std::str::from_utf8(credential).ok());
        text.map(|credential| Found { credential, source }).ok_or(DenialCode::MalformedCredentials)
    }
}

/// The source of a credential: header or cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialSource<'h> {
    /// In the `Authorization` header, as a bearer token.
    Bearer,
    /// In the `Authorization` header, as a name and a password.
    Basic,
    /// In the `Authorization` header, by the scheme of tokens that are bound to a key.
    Dpop,
    /// In `X-Api-Key`.
    ApiKeyHeader,
    /// In a cookie by itself.
    Cookie,
    /// In the address of a handshake of a web socket, or among its protocols: a ticket.
    Handshake,
    /// In one of a pair of cookies.
    Pair {
        /// The user that the other cookie names.
        user: &'h str,
    },
}

impl CredentialSource<'_> {
    /// Checks that a credential of `subject` may come from here.
    ///
    /// # Errors
    /// [`DenialCode::CookieMismatch`] where the cookie beside it names another user.
    pub fn check(&self, subject: &str) -> Result<(), DenialCode> {
        match self {
            Self::Pair { user } if !names_user(user, subject) => Err(DenialCode::CookieMismatch),
            Self::Bearer
            | Self::Dpop
            | Self::Basic
            | Self::ApiKeyHeader
            | Self::Cookie
            | Self::Handshake
            | Self::Pair { .. } => Ok(()),
        }
    }
}

/// The one credential that the client sent: a bearer token (RFC 6750, section 2.1), a name and a
/// password or an API key where these are accepted, or a cookie.
///
/// # Errors
/// [`DenialCode::MissingCredentials`] where there is none; [`DenialCode::MalformedCredentials`]
/// where there is something that cannot be read in one way only; [`DenialCode::SeveralCredentials`]
/// where there are two different ones; [`DenialCode::CookieMismatch`] where the other one of a pair
/// of cookies is missing.
pub fn find<'h>(
    headers: impl Into<Fields<'h>>,
    cookies: &Cookies,
    accepted: AcceptedKinds,
) -> Result<Found<'h>, DenialCode> {
    locate(headers.into(), cookies, accepted)?.read()
}

/// Finds the place of that credential.
///
/// # Errors
/// Those of [`find`], but for the characters of the credential.
pub(super) fn locate<'h>(
    headers: Fields<'h>,
    cookies: &Cookies,
    accepted: AcceptedKinds,
) -> Result<Located<'h>, DenialCode> {
    let of = |source| move |text: &'h str| Located { credential: text.as_bytes(), source };
    let in_header = in_authorization(headers, accepted.basic)?;
    if !accepted.api_keys && cookies.single.is_none() && cookies.pair.is_none() {
        return in_header.ok_or(DenialCode::MissingCredentials);
    }
    let key = if accepted.api_keys { api_key(headers)? } else { None };
    let key = key.map(of(CredentialSource::ApiKeyHeader));
    let single = cookies.single.as_ref().map(|name| in_cookies(headers, name)).transpose()?;
    let single = single.flatten().map(of(CredentialSource::Cookie));
    let pair = cookies.pair.map(|pair| in_pair(headers, pair)).transpose()?.flatten();
    let mut first = in_header;
    for other in [key, single, pair].into_iter().flatten() {
        match first {
            None => first = Some(other),
            // A name with a password is the same as nothing else, whatever it looks like.
            Some(first)
                if first.source == CredentialSource::Basic
                    || first.credential != other.credential =>
            {
                return Err(DenialCode::SeveralCredentials);
            }
            Some(_) => {}
        }
    }
    first.ok_or(DenialCode::MissingCredentials)
}

/// Returns whether one of the cookies is there that may carry a credential. An empty one carries none.
pub(super) fn carries(headers: Fields<'_>, cookies: &Cookies) -> bool {
    let names = [cookies.single.as_deref(), cookies.pair.map(|pair| pair.token)];
    let mut found = names.into_iter().flatten().map(|name| in_cookies(headers, name));
    found.any(|cookie| cookie != Ok(None))
}

/// A credential in one of a pair of cookies.
fn in_pair(headers: Fields<'_>, pair: CookiePair) -> Result<Option<Located<'_>>, DenialCode> {
    let Some(credential) = in_cookies(headers, pair.token)? else { return Ok(None) };
    let user = in_cookies(headers, pair.user)?.ok_or(DenialCode::CookieMismatch)?;
    let credential = credential.as_bytes();
    Ok(Some(Located { credential, source: CredentialSource::Pair { user } }))
}

/// The API key in the header of its own. What is no API key is none of another kind there.
fn api_key(headers: Fields<'_>) -> Result<Option<&str>, DenialCode> {
    let malformed = DenialCode::MalformedCredentials;
    let Some(value) = headers.one(API_KEY).map_err(|_| malformed)? else { return Ok(None) };
    match value.to_str().map(str::trim).filter(|key| is_api_key(key)) {
        Some(key) if is_plain(key.as_bytes()) => Ok(Some(key)),
        _ => Err(malformed),
    }
}

/// The credential in the `Authorization` header, where it is of a scheme that is accepted.
fn in_authorization(
    headers: Fields<'_>,
    accepts_basic: bool,
) -> Result<Option<Located<'_>>, DenialCode> {
    let value = headers.known_once(AUTHORIZATION_FIELD);
    let Some(value) = value.map_err(|_| DenialCode::MalformedCredentials)? else {
        return Ok(None);
    };
    let value = value.as_bytes().trim_ascii();
    let (credential, source) = if let Some(token) = behind(value, BEARER) {
        (token, CredentialSource::Bearer)
    } else if let Some(token) = behind(value, DPOP) {
        (token, CredentialSource::Dpop)
    } else if let Some(token) = behind(value, BASIC).filter(|_| accepts_basic) {
        (token, CredentialSource::Basic)
    } else {
        return Ok(None);
    };
    if credential.is_empty() {
        return Err(DenialCode::MalformedCredentials);
    }
    Ok(Some(Located { credential, source }))
}

/// Returns whether the client uses the scheme DPoP.
pub(super) fn is_dpop<'h>(headers: impl Into<Fields<'h>>) -> bool {
    let mut lines = headers.into().get_all(AUTHORIZATION.as_str());
    lines.any(|line| behind(line.as_bytes().trim_ascii(), DPOP).is_some())
}

/// The credentials behind this scheme; `None` where it is another one.
fn behind<'v>(value: &'v [u8], scheme: &[u8]) -> Option<&'v [u8]> {
    let (name, rest) = value.split_at_checked(scheme.len())?;
    let is_whole = !rest.first().is_some_and(u8::is_ascii_graphic);
    (name.eq_ignore_ascii_case(scheme) && is_whole).then(|| rest.trim_ascii_start())
}

/// Returns whether all bytes are visible ASCII and none is a comma, which would join two values. It
/// sums up instead of searching, since this is done for every request: a compiler makes of it a few
/// steps for many bytes.
fn is_plain(token: &[u8]) -> bool {
    let spoilt =
        |byte: u8| u8::from(byte <= b' ') | u8::from(byte >= 0x7f) | u8::from(byte == b',');
    token.iter().fold(0, |sum, byte| sum | spoilt(*byte)) == 0
}

/// The value of the cookie `name`. Two of that name with different values are refused: an attacker
/// who can set a cookie for a parent domain could otherwise choose which identity is taken.
fn in_cookies<'h>(headers: Fields<'h>, name: &str) -> Result<Option<&'h str>, DenialCode> {
    let mut found = None;
    for line in headers.get_all(COOKIE.as_str()) {
        for pair in line.as_bytes().split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            let Some(value) = pair.strip_prefix(name.as_bytes()).and_then(|p| p.strip_prefix(b"="))
            else {
                continue;
            };
            let value = std::str::from_utf8(value).map_err(|_| DenialCode::MalformedCredentials)?;
            if found.is_some_and(|earlier| earlier != value) {
                return Err(DenialCode::MalformedCredentials);
            }
            found = Some(value);
        }
    }
    Ok(found.filter(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests;
