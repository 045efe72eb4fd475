//! The identity of a user, as headers for the application behind the gateway.
//!
//! Every configured header is always sent, empty where it has no value: gateways copy the headers
//! that they get, and an absent header would leave the client's own in place. A value can never
//! leave its header: all but plain visible ASCII is percent-encoded, and so are the comma, which
//! separates the members of a list, and the percent sign, so that the encoding can be undone.
//!
//! Two users never become one: an integer is sent digit by digit, a number with a fraction or an
//! exponent refuses the identity, and nothing is sent of which the issuer says that nobody verified
//! it.

mod reserved;

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::policy::claim::{
    self, ClaimObject, ClaimPath, FoundClaim, UserClaims, as_text, holds_integers_alone,
};
use crate::session::Session;
use crate::token::{ScopeSet, Verified};

/// The most bytes that all identity headers may take together. nginx reads the headers of an
/// answer into one buffer; the examples give it room for this much.
const MAX_BYTES: usize = 16 * 1024;

/// The header of the issuer. One subject of two issuers is two users, and only this header tells
/// them apart.
const ISSUER: &str = "x-auth-issuer";

/// The header of the roles; a policy takes them from the same claims.
pub(super) const ROLES: &str = "x-auth-roles";

/// The headers that are sent unless the operator says otherwise.
const DEFAULT: [(&str, &str); 7] = [
    ("x-auth-user", "sub|user_id|identifier"),
    ("x-auth-username", "preferred_username|username"),
    ("x-auth-email", "email"),
    ("x-auth-scopes", "scope"),
    (ROLES, "roles|role"),
    ("x-auth-session", "sid"),
    (ISSUER, "iss"),
];

/// The e-mail, under whatever name the token has it.
const EMAIL: &str = "x-auth-email";
/// The claims that say what a token is good for (RFC 7519, section 4.1).
const OF_TOKENS: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];
/// The headers with names of users, whatever claims they hold. Where issuers have prefixes, these get
/// them, and so do the claims that name users.
const USER_HEADERS: [&str; 2] = ["x-auth-user", "x-auth-username"];

/// The mapping from claims to headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    mappings: Vec<Mapping>,
    sends_unverified: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mapping {
    header: HeaderName,
    /// The claims; the first that has a value is sent.
    claims: Vec<ClaimPath>,
    /// True where the header holds a name of the user.
    names_user: bool,
}

/// The reason why an identity cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It does not fit into the 16 KiB that its headers may take.
    #[error("the identity takes more than {MAX_BYTES} bytes of headers")]
    TooLarge,
    /// A number in it has a fraction or an exponent: another number may be written the same.
    #[error("a number in the identity is no integer")]
    NotAnInteger,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        let mapping = |(header, claims): (&'static str, &str)| {
            let claims = claims.split('|').map(ClaimPath::parse).collect();
            Mapping::new(HeaderName::from_static(header), claims)
        };
        Self { mappings: DEFAULT.into_iter().map(mapping).collect(), sends_unverified: false }
    }
}

impl IdentityHeaders {
    /// The default set, with `text` (`Header=claim`, `Header=claim|other claim`, separated by
    /// commas) added to it or in place of its members. A backslash makes a comma, `|` or dot a
    /// part of a claim's name.
    ///
    /// # Errors
    /// One sentence for each entry that cannot be used.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let mut headers = Self::default();
        let (mut set, mut mistakes) = (Vec::new(), Vec::new());
        let entries = claim::split(text, ',').into_iter().map(str::trim);
        for entry in entries.filter(|entry| !entry.is_empty()) {
            match Mapping::parse(entry) {
                Ok(mapping) if mapping.header == ISSUER => {
                    mistakes.push(format!("{ISSUER} tells the issuer and nothing else"));
                }
                Ok(mapping) if set.contains(&mapping.header) => {
                    mistakes.push(format!("{} is there twice", mapping.header));
                }
                Ok(mapping) => {
                    set.push(mapping.header.clone());
                    headers.set(mapping);
                }
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() { Ok(headers) } else { Err(mistakes) }
    }

    /// The same headers; `sends_unverified` adds claims that nobody verified.
    pub fn sending_unverified(mut self, sends_unverified: bool) -> Self {
        self.sends_unverified = sends_unverified;
        self
    }

    /// Returns whether a part of the identity is sent in this header.
    pub(super) fn holds(&self, header: &HeaderName) -> bool {
        self.mappings.iter().any(|mapping| mapping.header == *header)
    }

    fn set(&mut self, mapping: Mapping) {
        match self.mappings.iter_mut().find(|present| present.header == mapping.header) {
            Some(present) => *present = mapping,
            None => self.mappings.push(mapping),
        }
    }

    /// The headers where nobody is known: all of them, empty.
    pub(super) fn of_nobody(&self) -> HeaderMap {
        let empty = HeaderValue::from_static("");
        let headers = self.mappings.iter().map(|mapping| (mapping.header.clone(), empty.clone()));
        headers.collect()
    }

    /// The same identity as claims of a token: the values as they are, under the names that the field
    /// gives them. What has no value is not there.
    pub(super) fn claims(&self, token: &Verified, session: Option<&Session>) -> Map<String, Value> {
        let claim = |mapping: &Mapping| {
            let value = mapping.claim(token, session, self.sends_unverified)?;
            Some((claim_name(&mapping.header), value))
        };
        self.mappings.iter().filter_map(claim).collect()
    }

    /// The first header whose value would be a claim that another one is, or that says what a token
    /// is good for.
    pub(crate) fn clash(&self) -> Option<(&HeaderName, String)> {
        let mut names = HashSet::from(OF_TOKENS.map(str::to_owned));
        let mut claims = self.mappings.iter().map(|it| (&it.header, claim_name(&it.header)));
        claims.find(|(_, name)| !names.insert(name.clone()))
    }

    /// The claims that hold the user's roles.
    pub(crate) fn roles(&self) -> Vec<ClaimPath> {
        let of_roles = |mapping: &&Mapping| mapping.header == ROLES;
        self.mappings.iter().find(of_roles).map_or_else(Vec::new, |found| found.claims.clone())
    }

    /// The headers for this token and its session. A claim of the token goes before a claim of the
    /// session.
    ///
    /// # Errors
    /// [`IdentityError`]: a part of an identity is never sent in place of the whole.
    pub fn render(
        &self,
        token: &Verified,
        session: Option<&Session>,
    ) -> Result<HeaderMap, IdentityError> {
        let mut bytes = 0;
        let mut headers = HeaderMap::with_capacity(self.mappings.len() + 2);
        for mapping in &self.mappings {
            let text = mapping.value(token, session, self.sends_unverified)?;
            bytes += line_bytes(&mapping.header, text.len());
            if bytes > MAX_BYTES {
                return Err(IdentityError::TooLarge);
            }
            // `encode` always leaves a valid value; were it not valid, the header would be empty.
            let value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
            headers.insert(mapping.header.clone(), value);
        }
        Ok(headers)
    }
}

/// Reads the name of a header that may carry something for the application.
///
/// # Errors
/// The reason why gateways, proxies or browsers would not pass it on unchanged.
pub(super) fn header_name(name: &str) -> Result<HeaderName, String> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("{name:?} is not the name of a header"))?;
    if name.contains('_') {
        return Err(format!(
            "{name:?} has an underscore, which gateways take for a dash or drop; use dashes"
        ));
    }
    if reserved::is_reserved(header.as_str()) {
        return Err(format!("{name:?} has a meaning of its own and cannot carry a claim"));
    }
    Ok(header)
}

/// Adds a header to rendered ones.
///
/// # Errors
/// [`IdentityError::TooLarge`] where all headers together take more than they may.
pub(super) fn add(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: HeaderValue,
) -> Result<(), IdentityError> {
    headers.insert(name, value);
    let line = |(name, value): (&HeaderName, &HeaderValue)| line_bytes(name, value.len());
    let bytes: usize = headers.iter().map(line).sum();
    if bytes > MAX_BYTES { Err(IdentityError::TooLarge) } else { Ok(()) }
}

/// The bytes of a header in an answer.
fn line_bytes(name: &HeaderName, value_bytes: usize) -> usize {
    name.as_str().len() + value_bytes + ": \r\n".len()
}

impl Mapping {
    fn new(header: HeaderName, claims: Vec<ClaimPath>) -> Self {
        let names_user =
            USER_HEADERS.contains(&header.as_str()) || claims.iter().any(ClaimPath::names_user);
        Self { header, claims, names_user }
    }

    fn parse(entry: &str) -> Result<Self, String> {
        let (header, claims) = entry
            .split_once('=')
            .ok_or_else(|| format!("{entry:?} is not of the form Header=claim"))?;
        let header = header_name(header.trim())?;
        let claims: Vec<_> = claim::split(claims, '|').into_iter().map(str::trim).collect();
        if claims.contains(&"") {
            return Err(format!("{entry:?} names no claim for its header"));
        }
        Ok(Self::new(header, claims.into_iter().map(ClaimPath::parse).collect()))
    }

    fn value(
        &self,
        token: &Verified,
        session: Option<&Session>,
        sends_unverified: bool,
    ) -> Result<String, IdentityError> {
        if let Some(scopes) = self.scopes(token) {
            return Ok(scopes);
        }
        let Some(found) = self.find(token, session, sends_unverified) else {
            return Ok(String::new());
        };
        let mut text = render(found.value())?;
        if self.names_user && !text.is_empty() {
            text.insert_str(0, &token.issuer.user_prefix);
        }
        Ok(text)
    }

    /// The claim that has a value, as it is.
    fn claim(
        &self,
        token: &Verified,
        session: Option<&Session>,
        sends_unverified: bool,
    ) -> Option<Value> {
        if self.scopes(token).is_some() {
            let scopes: Vec<_> = token.scopes.iter().collect();
            return Some(scopes.join(" ").into());
        }
        let found = self.find(token, session, sends_unverified)?;
        match found.value().as_str().filter(|_| self.names_user) {
            Some(name) => Some(format!("{}{name}", token.issuer.user_prefix).into()),
            None => Some(found.into_value()),
        }
    }

    /// Finds the first claim that has a value, and is not said to be unverified. A session never
    /// counts for the issuer.
    fn find<'c>(
        &'c self,
        token: &'c Verified,
        session: Option<&'c Session>,
        sends_unverified: bool,
    ) -> Option<FoundClaim<'c>> {
        let claims = UserClaims::new(token, session);
        let claims = if self.header == ISSUER { claims.of_token() } else { claims };
        let found = claims.find(&self.claims)?;
        let also = Some("email").filter(|_| self.header == EMAIL);
        let is_sent = sends_unverified || !claims.is_unverified(&found, also);
        is_sent.then_some(found)
    }

    /// The token's scopes, where they come before every other claim that has a value.
    fn scopes(&self, token: &Verified) -> Option<String> {
        let of_token = ClaimObject::Token(&token.claims);
        let first = self.claims.iter().find_map(|claim| match claim.as_str() {
            "scope" | "scp" | "scopes" => {
                Some(scopes(&token.scopes)).filter(|all| !all.is_empty()).map(Some)
            }
            _ => claim.find(of_token).map(|_| None),
        });
        first.flatten()
    }
}

/// The name of the claim that says what a header says (RFC 7519, OpenID Connect Core, RFC 8693).
fn claim_name(header: &HeaderName) -> String {
    match header.as_str() {
        "x-auth-user" => "sub",
        "x-auth-username" => "preferred_username",
        "x-auth-scopes" => "scope",
        "x-auth-session" => "sid",
        ISSUER => "idp",
        other => other.strip_prefix("x-auth-").unwrap_or(other),
    }
    .to_owned()
}

fn scopes(scopes: &ScopeSet) -> String {
    let mut text = String::new();
    for scope in scopes.iter() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&encode(scope).replace(' ', "%20"));
    }
    text
}

fn render(value: &Value) -> Result<String, IdentityError> {
    if !holds_integers_alone(value) {
        return Err(IdentityError::NotAnInteger);
    }
    Ok(match value {
        Value::Null => String::new(),
        Value::String(text) => encode(text),
        Value::Array(members) => {
            members.iter().map(|member| encode(&as_text(member))).collect::<Vec<_>>().join(",")
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => encode(&as_text(value)),
    })
}

/// Percent-encodes every byte that could end the header or the member, or be read in two ways.
fn encode(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let last = text.len().saturating_sub(1);
    let mut encoded = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        let is_plain = match byte {
            // A blank at either end would be trimmed away on the way.
            b' ' => index != 0 && index != last,
            b',' | b'%' => false,
            other => other.is_ascii_graphic(),
        };
        if is_plain {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 0xf)]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
