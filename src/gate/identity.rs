//! Who it is, as headers for the application behind the gateway.
//!
//! Every configured header is always sent, empty where there is nothing to say: gateways copy what
//! they are given, and an absent header would leave the client's own in place. A value can never
//! leave its header: whatever is not plain visible ASCII is percent-encoded, and so are the comma,
//! which separates the members of a list, and the percent sign, so that it can be undone.
//!
//! Two persons never become one: an integer is sent digit by digit, a number with a fraction or an
//! exponent refuses the identity, and nothing is sent that the issuer says nobody verified.

mod claim;
mod reserved;

use std::borrow::Cow;

use claim::{ClaimPath, Found};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::session::Session;
use crate::token::{ScopeSet, Verified};

/// The most bytes that all identity headers may take together. nginx reads the headers of an
/// answer into one buffer; the examples give it room for this much.
const MAX_BYTES: usize = 16 * 1024;

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

/// The e-mail, under whatever name the token has it.
const EMAIL: &str = "x-auth-email";
/// What users are called by. Where issuers have prefixes, these are told apart by them.
const USER_HEADERS: [&str; 2] = ["x-auth-user", "x-auth-username"];
const USER_CLAIMS: [&str; 5] = ["sub", "user_id", "identifier", "preferred_username", "username"];

/// Which claim goes into which header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    mappings: Vec<Mapping>,
    sends_unverified: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mapping {
    header: HeaderName,
    /// The first that has a value is sent.
    claims: Vec<ClaimPath>,
    /// Whether it holds what its user is called by.
    names_user: bool,
}

/// Why an identity cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It does not fit into the 16 KiB that its headers may take.
    #[error("the identity takes more than {MAX_BYTES} bytes of headers")]
    TooLarge,
    /// A number in it has a fraction or an exponent: another one may be written the same.
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

    /// The same headers; whether they hold also what nobody verified.
    pub fn sending_unverified(mut self, sends_unverified: bool) -> Self {
        self.sends_unverified = sends_unverified;
        self
    }

    /// Whether something of the identity is sent in this header.
    pub(super) fn holds(&self, header: &HeaderName) -> bool {
        self.mappings.iter().any(|mapping| mapping.header == *header)
    }

    fn set(&mut self, mapping: Mapping) {
        match self.mappings.iter_mut().find(|present| present.header == mapping.header) {
            Some(present) => *present = mapping,
            None => self.mappings.push(mapping),
        }
    }

    /// The headers for this token and its session. A claim of the token goes before one of the
    /// session.
    ///
    /// # Errors
    /// [`IdentityError`]; a part of an identity is not sent in place of the whole.
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
/// [`IdentityError::TooLarge`] where together they take more than what all of them may.
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

/// What a header takes on its way.
fn line_bytes(name: &HeaderName, value_bytes: usize) -> usize {
    name.as_str().len() + value_bytes + ": \r\n".len()
}

impl Mapping {
    fn new(header: HeaderName, claims: Vec<ClaimPath>) -> Self {
        let names_user = USER_HEADERS.contains(&header.as_str())
            || claims.iter().any(|claim| USER_CLAIMS.contains(&claim.as_str()));
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
        let of_token = token.claims.as_map();
        let of_session = session.map(|session| &session.claims);
        let Some(found) = self.find(of_token, of_session) else {
            return Ok(String::new());
        };
        if !sends_unverified && self.is_unverified(&found, of_token, of_session) {
            return Ok(String::new());
        }
        let mut text = render(found.value)?;
        if self.names_user && !text.is_empty() {
            text.insert_str(0, &token.issuer.user_prefix);
        }
        Ok(text)
    }

    /// The token's scopes, where they come before every other claim that has a value.
    fn scopes(&self, token: &Verified) -> Option<String> {
        let of_token = token.claims.as_map();
        let first = self.claims.iter().find_map(|claim| match claim.as_str() {
            "scope" | "scp" | "scopes" => {
                Some(scopes(&token.scopes)).filter(|all| !all.is_empty()).map(Some)
            }
            _ => claim.find(of_token).map(|_| None),
        });
        first.flatten()
    }

    /// The session speaks only where the token is silent on every one of the names, lest the two
    /// of them be mixed into somebody else; and never on who issued the token.
    fn find<'c>(
        &self,
        token: &'c Map<String, Value>,
        session: Option<&'c Map<String, Value>>,
    ) -> Option<Found<'c>> {
        let among = |claims: &'c Map<String, Value>| {
            self.claims.iter().find_map(|claim| claim.find(claims))
        };
        among(token).or_else(|| among(session.filter(|_| self.header != ISSUER)?))
    }

    /// Whether somebody says that nobody verified what was found: `email_verified` beside `email`,
    /// `phone_number_verified` beside `phone_number` (OpenID Connect Core, section 5.1).
    fn is_unverified(
        &self,
        found: &Found<'_>,
        token: &Map<String, Value>,
        session: Option<&Map<String, Value>>,
    ) -> bool {
        let email = Some("email").filter(|_| self.header == EMAIL);
        [Some(found.name), email].into_iter().flatten().any(|name| {
            let name = format!("{name}_verified");
            let mut said = [Some(found.parent), Some(token), session]
                .into_iter()
                .flatten()
                .filter_map(|claims| claims.get(&name))
                .filter(|said| !said.is_null());
            said.any(|said| *said != Value::Bool(true) && *said != "true")
        })
    }
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

/// Whether every number in it is written in one way only, and so is no other one.
fn holds_integers_alone(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => !number.is_f64(),
        Value::Array(members) => members.iter().all(holds_integers_alone),
        Value::Object(members) => members.values().all(holds_integers_alone),
    }
}

fn as_text(value: &Value) -> Cow<'_, str> {
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
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::clock::UnixTime;
    use crate::session::{Device, SessionId, UserId};
    use crate::token::{Claims, Issuer, KeyRing, SessionRule};

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
        for (value, text) in [
            (json!(["a", "b,c", "d e"]), "a,b%2Cc,d e"),
            (json!([1, true, {"a": 1}]), "1,true,{\"a\":1}"),
            (json!(7), "7"),
            (json!(u64::MAX), "18446744073709551615"),
            (json!(i64::MIN), "-9223372036854775808"),
            (json!([]), ""),
        ] {
            assert_eq!(render(&value).as_deref(), Ok(text), "{value}");
        }
    }

    #[test]
    fn a_number_that_is_no_integer_is_nobodys_name() {
        for value in [json!(1.5), json!(7.0), json!([1, 2e3]), json!({"a": [{"b": 0.1}]})] {
            assert_eq!(render(&value), Err(IdentityError::NotAnInteger), "{value}");
        }
    }

    /// What headers of this setting say of a token and its session.
    struct Case {
        headers: IdentityHeaders,
        prefix: &'static str,
    }

    impl Case {
        fn of(setting: &str) -> Self {
            Self { headers: IdentityHeaders::parse(setting).unwrap(), prefix: "" }
        }

        fn sent(&self, claims: Value, session: Option<Value>, header: &str) -> String {
            let object = |value: Value| value.as_object().unwrap().clone();
            let session = session.map(|claims| Session {
                id: SessionId::parse("s").unwrap(),
                user: UserId::parse("a").unwrap(),
                created: UnixTime::EPOCH,
                last_seen: UnixTime::EPOCH,
                expires: UnixTime::EPOCH,
                device: Device::default(),
                claims: object(claims),
                not_before: UnixTime::EPOCH,
            });
            let token = verified(object(claims), self.prefix);
            let headers = self.headers.render(&token, session.as_ref()).unwrap();
            headers[header].to_str().unwrap().to_owned()
        }
    }

    fn verified(claims: Map<String, Value>, prefix: &str) -> Verified {
        let claims = Claims::from(claims);
        Verified {
            subject: claims.subject().unwrap().unwrap_or_default(),
            scopes: claims.scopes().unwrap(),
            session: None,
            issuer: Arc::new(Issuer {
                name: "us".into(),
                iss: None,
                audiences: Vec::new(),
                default_audience: None,
                at_jwt_only: false,
                user_prefix: prefix.to_owned(),
                leeway: Duration::ZERO,
                sessions: SessionRule::WhenPresent,
                keys: Arc::new(KeyRing::unfetched()),
            }),
            claims,
            signature: None,
            usable_from: UnixTime::EPOCH,
            usable_until: UnixTime::EPOCH,
        }
    }

    #[test]
    fn the_issuer_is_told_by_the_token_alone() {
        let usual = Case::of("");
        let of = |claims, session| usual.sent(claims, session, "x-auth-issuer");
        assert_eq!(
            of(json!({"iss": "https://a.test"}), Some(json!({"iss": "b"}))),
            "https://a.test"
        );
        assert_eq!(of(json!({}), Some(json!({"iss": "b"}))), "");
    }

    #[test]
    fn a_prefix_stands_before_what_a_user_is_called_by_and_nothing_else() {
        let case = Case { prefix: "batch:", ..Case::of("X-Id=user_id, X-Tenant=tenant") };
        let claims = json!({"sub": "al,ice", "username": "al", "email": "a@b.test", "tenant": 7});
        for (header, value) in [
            ("x-auth-user", "batch:al%2Cice"),
            ("x-auth-username", "batch:al"),
            ("x-auth-email", "a@b.test"),
            ("x-tenant", "7"),
            ("x-id", ""),
        ] {
            assert_eq!(case.sent(claims.clone(), None, header), value, "{header}");
        }
    }

    #[test]
    fn what_nobody_verified_is_not_sent_unless_the_operator_wants_it() {
        let case = Case::of("X-Phone=phone_number, X-Inner=user.email, X-Auth-User=email|sub");
        let all = Case { headers: case.headers.clone().sending_unverified(true), ..case };
        let email =
            |verified: Value| json!({"sub": "a", "email": "e@x", "email_verified": verified});
        for (claims, session, header, value) in [
            (email(json!(true)), None, "x-auth-email", "e@x"),
            (email(json!("true")), None, "x-auth-email", "e@x"),
            (email(Value::Null), None, "x-auth-email", "e@x"),
            (json!({"email": "e@x"}), None, "x-auth-email", "e@x"),
            (email(json!(false)), None, "x-auth-email", ""),
            (email(json!("false")), None, "x-auth-email", ""),
            (email(json!(0)), None, "x-auth-email", ""),
            // Nor as a name: the next claim is another person's for who looks at e-mails.
            (email(json!(false)), None, "x-auth-user", ""),
            (json!({"sub": "a"}), Some(email(json!(false))), "x-auth-email", ""),
            (json!({"email": "e@x"}), Some(json!({"email_verified": false})), "x-auth-email", ""),
            (json!({"user": email(json!(false))}), None, "x-inner", ""),
            (json!({"phone_number": "5", "phone_number_verified": false}), None, "x-phone", ""),
        ] {
            let sent = case.sent(claims.clone(), session.clone(), header);
            assert_eq!(sent, value, "{header} of {claims} and {session:?}");
            let sent = all.sent(claims.clone(), session, header);
            assert!(!sent.is_empty(), "{header} of {claims}, where all is sent");
        }
        let case = Case::of("X-Auth-Email=mail");
        let claims = json!({"mail": "e@x", "email_verified": false});
        assert_eq!(case.sent(claims, None, "x-auth-email"), "", "whatever its claim is called");
    }

    #[test]
    fn the_setting_adds_and_overrides() {
        let headers = IdentityHeaders::parse("X-Auth-Email=mail, X-Tenant=tenant|org.id").unwrap();
        let claims = |index: usize| -> Vec<_> {
            headers.mappings[index].claims.iter().map(ClaimPath::as_str).collect()
        };
        assert_eq!(headers.mappings.len(), DEFAULT.len() + 1);
        assert_eq!((claims(2), claims(7)), (vec!["mail"], vec!["tenant", "org.id"]));
        assert_eq!(IdentityHeaders::parse("").unwrap(), IdentityHeaders::default());
        for (mapping, (name, _)) in IdentityHeaders::default().mappings.iter().zip(DEFAULT) {
            assert_eq!(mapping.header, name);
        }
    }

    #[test]
    fn entries_that_cannot_be_used_are_all_named() {
        let mistakes = IdentityHeaders::parse(
            "x, A b=c, X_Y=z, Set-Cookie=c, X-A=, X-B=a||b, X-C=a, X-C=b, X-Auth-Issuer=c",
        );
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
