//! Who it is, as headers for the application behind the gateway.
//!
//! Every configured header is always sent, empty where there is nothing to say: gateways copy what
//! they are given, and an absent header would leave the client's own in place. A value can never
//! leave its header: whatever is not plain visible ASCII is percent-encoded, and so are the comma,
//! which separates the members of a list, and the percent sign, so that it can be undone.

mod reserved;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::session::Session;
use crate::token::{ScopeSet, Verified};

/// The most bytes that all identity headers may take together. nginx reads the headers of an
/// answer into one buffer; the examples give it room for this much.
const MOST_BYTES: usize = 16 * 1024;

/// Whose word it all is. One subject of two issuers is two persons, and only this tells them apart.
const ISSUER: &str = "x-auth-issuer";

/// What is sent where the operator says nothing.
const DEFAULT: [(&str, &str); 7] = [
    ("x-auth-user", "sub|user_id|identifier"),
    ("x-auth-username", "preferred_username|username"),
    ("x-auth-email", "email"),
    ("x-auth-scopes", "scope"),
    ("x-auth-roles", "roles|role"),
    ("x-auth-session", "sid"),
    (ISSUER, "iss"),
];

/// Which claim goes into which header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders(Vec<Mapping>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mapping {
    header: HeaderName,
    /// The first that has a value is sent.
    claims: Vec<String>,
}

/// The identity does not fit into the 16 KiB that its headers may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the identity takes more than {MOST_BYTES} bytes of headers")]
pub struct TooLarge;

impl Default for IdentityHeaders {
    fn default() -> Self {
        let mapping = |(header, claims): (&'static str, &str)| Mapping {
            header: HeaderName::from_static(header),
            claims: claims.split('|').map(str::to_owned).collect(),
        };
        Self(DEFAULT.into_iter().map(mapping).collect())
    }
}

impl IdentityHeaders {
    /// The default set, with `text` (`Header=claim`, `Header=claim|other claim`, separated by
    /// commas) added to it or in place of its members.
    ///
    /// # Errors
    /// One sentence for each entry that cannot be used.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let mut headers = Self::default();
        let (mut set, mut mistakes) = (Vec::new(), Vec::new());
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
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

    /// Whether something of the identity is sent in this header.
    pub(super) fn holds(&self, header: &HeaderName) -> bool {
        self.0.iter().any(|mapping| mapping.header == *header)
    }

    fn set(&mut self, mapping: Mapping) {
        match self.0.iter_mut().find(|present| present.header == mapping.header) {
            Some(present) => *present = mapping,
            None => self.0.push(mapping),
        }
    }

    /// The headers for this token and its session. A claim of the token goes before one of the
    /// session.
    ///
    /// # Errors
    /// [`TooLarge`]; a part of an identity is not sent in place of the whole.
    pub fn render(
        &self,
        token: &Verified,
        session: Option<&Session>,
    ) -> Result<HeaderMap, TooLarge> {
        let mut bytes = 0;
        let mut headers = HeaderMap::with_capacity(self.0.len() + 2);
        for mapping in &self.0 {
            let text = mapping.value(token, session);
            bytes += line_bytes(&mapping.header, text.len());
            if bytes > MOST_BYTES {
                return Err(TooLarge);
            }
            // What `encode` leaves is always a value; were it not, the header would be empty.
            let value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
            headers.insert(mapping.header.clone(), value);
        }
        Ok(headers)
    }
}

/// A header that applications may be told something in.
///
/// # Errors
/// Why gateways, proxies or browsers would not pass it on as it is.
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
/// [`TooLarge`] where together they take more than what all of them may.
pub(super) fn add(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: HeaderValue,
) -> Result<(), TooLarge> {
    headers.insert(name, value);
    let line = |(name, value): (&HeaderName, &HeaderValue)| line_bytes(name, value.len());
    let bytes: usize = headers.iter().map(line).sum();
    if bytes > MOST_BYTES { Err(TooLarge) } else { Ok(()) }
}

/// What a header takes on its way.
fn line_bytes(name: &HeaderName, value_bytes: usize) -> usize {
    name.as_str().len() + value_bytes + ": \r\n".len()
}

impl Mapping {
    fn parse(entry: &str) -> Result<Self, String> {
        let (header, claims) = entry
            .split_once('=')
            .ok_or_else(|| format!("{entry:?} is not of the form Header=claim"))?;
        let header = header_name(header.trim())?;
        let claims: Vec<String> = claims.split('|').map(|claim| claim.trim().to_owned()).collect();
        if claims.iter().any(String::is_empty) {
            return Err(format!("{entry:?} names no claim for its header"));
        }
        Ok(Self { header, claims })
    }

    fn value(&self, token: &Verified, session: Option<&Session>) -> String {
        let of_token = self.claims.iter().find_map(|claim| match claim.as_str() {
            "scope" | "scp" | "scopes" => Some(scopes(&token.scopes)).filter(|all| !all.is_empty()),
            name => look_up(token.claims.as_map(), name).map(render),
        });
        // The session speaks only where the token is silent on every one of the names, lest the
        // two of them be mixed into somebody else.
        let of_session = || {
            // No session vouches for who issued the token.
            let claims = &session.filter(|_| self.header != ISSUER)?.claims;
            self.claims.iter().find_map(|name| look_up(claims, name).map(render))
        };
        of_token.or_else(of_session).unwrap_or_default()
    }
}

/// A claim by its name, or else by a path of names with dots between them.
fn look_up<'v>(claims: &'v serde_json::Map<String, Value>, name: &str) -> Option<&'v Value> {
    let found = claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |value, name| value.get(name))
    });
    found.filter(|value| !value.is_null())
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

fn render(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => encode(text),
        Value::Array(members) => {
            members.iter().map(|member| encode(&as_text(member))).collect::<Vec<_>>().join(",")
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => encode(&as_text(value)),
    }
}

fn as_text(value: &Value) -> std::borrow::Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

/// Percent-encodes whatever could end the header or the member, or be read in two ways.
fn encode(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let last = text.len().saturating_sub(1);
    let mut encoded = String::with_capacity(text.len());
    for (place, byte) in text.bytes().enumerate() {
        let is_plain = match byte {
            // A blank at either end would be trimmed away on the way.
            b' ' => place != 0 && place != last,
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
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_never_leave_their_header() {
        for (text, encoded) in [
            ("alice", "alice"),
            ("a@b.example", "a@b.example"),
            ("Jürgen, Ops", "J%C3%BCrgen%2C Ops"),
            ("x\r\nX-Auth-Roles: admin", "x%0D%0AX-Auth-Roles: admin"),
            ("100%", "100%25"),
            (" a b ", "%20a b%20"),
            (" ", "%20"),
            ("\u{0}\u{7f}\t", "%00%7F%09"),
            ("", ""),
        ] {
            assert_eq!(encode(text), encoded);
        }
    }

    #[test]
    fn lists_keep_their_members_apart() {
        assert_eq!(render(&json!(["a", "b,c", "d e"])), "a,b%2Cc,d e");
        assert_eq!(render(&json!([1, true, {"a": 1}])), "1,true,{\"a\":1}");
        assert_eq!(render(&json!(7)), "7");
        assert_eq!(render(&json!([])), "");
    }

    #[test]
    fn claims_are_found_by_name_and_by_path() {
        let claims = json!({"a.b": 1, "a": {"b": 2, "c": {"d": 3}}, "n": null});
        let claims = claims.as_object().unwrap();
        assert_eq!(look_up(claims, "a.b"), Some(&json!(1)));
        assert_eq!(look_up(claims, "a.c.d"), Some(&json!(3)));
        assert_eq!(look_up(claims, "a.x.d"), None);
        assert_eq!(look_up(claims, "n"), None);
    }

    #[test]
    fn the_setting_adds_and_overrides() {
        let headers = IdentityHeaders::parse("X-Auth-Email=mail, X-Tenant=tenant|org.id").unwrap();
        assert_eq!(headers.0.len(), DEFAULT.len() + 1);
        assert_eq!(headers.0[2].claims, ["mail"]);
        assert_eq!(headers.0[7].claims, ["tenant", "org.id"]);
        assert_eq!(IdentityHeaders::parse("").unwrap(), IdentityHeaders::default());
        for (mapping, (name, _)) in IdentityHeaders::default().0.iter().zip(DEFAULT) {
            assert_eq!(mapping.header, name);
        }
    }

    #[test]
    fn entries_that_cannot_be_used_are_all_named() {
        let mistakes =
            IdentityHeaders::parse("x, A b=c, X_Y=z, Set-Cookie=c, X-A=, X-B=a||b, X-C=a, X-C=b, X-Auth-Issuer=c");
        assert_eq!(mistakes.unwrap_err().len(), 8);
    }

    fn decode(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, tail)) = rest.split_first() {
            if *first == b'%' {
                let hex = std::str::from_utf8(&tail[..2]).unwrap();
                bytes.push(u8::from_str_radix(hex, 16).unwrap());
                rest = &tail[2..];
            } else {
                bytes.push(*first);
                rest = tail;
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        #[test]
        fn whatever_a_claim_holds_is_one_clean_value_and_can_be_read_back(text in ".*") {
            let encoded = encode(&text);
            prop_assert!(encoded.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b','));
            prop_assert_eq!(encoded.trim(), &encoded);
            prop_assert!(HeaderValue::from_str(&encoded).is_ok());
            prop_assert_eq!(decode(&encoded), text);
        }
    }
}
