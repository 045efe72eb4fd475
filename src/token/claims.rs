//! The claims of a token (RFC 7519, section 4), with the types that the RFC demands.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::error::TokenError;
use super::integers;
use crate::clock::UnixTime;

/// The claims of a token: an object whose members each have a name of their own.
///
/// Repeated names are refused rather than left to the parser's taste (RFC 7519, section 4).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Reads the payload of a token. An integer beyond 64 bits is kept as the text of its digits.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] for anything but one JSON object without repeated names.
    pub fn parse(payload: &[u8]) -> Result<Self, TokenError> {
        serde_json::from_slice(&integers::quoted(payload)).map_err(|_| TokenError::Malformed)
    }

    /// All claims, as they stand in the token.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// One claim. A null counts as absent.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A claim that must be text where it is there.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, TokenError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(TokenError::BadClaim(name)),
        }
    }

    /// A NumericDate in whole seconds; fractions, signs and numbers in quotes are refused.
    pub fn time(&self, name: &'static str) -> Result<Option<UnixTime>, TokenError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value
                .as_u64()
                .map(|secs| Some(UnixTime::from_secs(secs)))
                .ok_or(TokenError::BadClaim(name)),
        }
    }

    /// The audiences of the token: `aud` as one text or as a list of texts.
    pub fn audiences(&self) -> Result<Vec<&str>, TokenError> {
        self.text_or_list("aud")
    }

    /// The user of the token: `sub`, or the names of older systems for it (`user_id`,
    /// `identifier`), which may be an integer. A number with a fraction or an exponent is no user:
    /// other numbers are written the same.
    pub fn subject(&self) -> Result<Option<String>, TokenError> {
        for name in ["sub", "user_id", "identifier"] {
            return match self.get(name) {
                None => continue,
                // An empty name would be the same for all users.
                Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
                Some(Value::Number(number)) if name != "sub" && !number.is_f64() => {
                    Ok(Some(number.to_string()))
                }
                Some(_) => Err(TokenError::BadClaim(name)),
            };
        }
        Ok(None)
    }

    /// The scopes of the token: `scope` (RFC 8693, section 4.2), `scp` and `scopes` together, each
    /// one text with spaces or a list of texts.
    pub fn scopes(&self) -> Result<ScopeSet, TokenError> {
        let mut scopes = Vec::new();
        for name in ["scope", "scp", "scopes"] {
            let separate = matches!(self.get(name), Some(Value::String(_)));
            for text in self.text_or_list(name)? {
                if separate {
                    scopes.extend(text.split(' '));
                } else {
                    scopes.push(text);
                }
            }
        }
        Ok(ScopeSet::new(scopes))
    }

    /// Refuses tokens that are not for access. Refresh and identity tokens of older systems, of
    /// Keycloak (`typ`) and of Cognito (`token_use`) say so in a claim, not in the header. ID
    /// tokens of OpenID Connect may only have claims that no access token has; these are looked for
    /// unless the token declares its kind, in its header (`is_declared`) or in a claim.
    pub fn check_use(&self, is_declared: bool) -> Result<(), TokenError> {
        const ACCESS: [&str; 5] = ["access", "access_token", "at+jwt", "bearer", "dpop"];
        const OTHER: [&str; 8] = [
            "refresh",
            "refresh_token",
            "offline",
            "id",
            "id_token",
            "logout",
            "session",
            "ticket",
        ];
        let is_one_of = |usage: Option<&str>, list: &[&str]| {
            usage.is_some_and(|text| list.iter().any(|it| text.eq_ignore_ascii_case(it)))
        };
        let (mut says_access, mut says_other, mut is_telling) = (is_declared, false, false);
        for (name, value) in self.0.iter().filter(|(_, value)| !value.is_null()) {
            let usage = value.as_str();
            match name.as_str() {
                "token_type" if usage.is_none() => return Err(TokenError::BadClaim("token_type")),
                "token_use" if usage.is_none() => return Err(TokenError::BadClaim("token_use")),
                "token_type" | "token_use" if is_one_of(usage, &ACCESS) => says_access = true,
                "token_type" | "token_use" => says_other = true,
                // These names are in use for other things too, so only known values are refused.
                "type" | "typ" => {
                    says_access |= is_one_of(usage, &ACCESS);
                    says_other |= is_one_of(usage, &OTHER);
                }
                // Claims of ID tokens (OpenID Connect Core, sections 2 and 3.3.2.11), and of logout
                // tokens and other events (RFC 8417, section 2.2).
                "nonce" | "at_hash" | "c_hash" | "s_hash" | "events" => is_telling = true,
                _ => {}
            }
        }
        if says_other || (is_telling && !says_access) {
            return Err(TokenError::WrongType);
        }
        Ok(())
    }

    fn text_or_list(&self, name: &'static str) -> Result<Vec<&str>, TokenError> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(list)) => {
                list.iter().map(|item| item.as_str().ok_or(TokenError::BadClaim(name))).collect()
            }
            Some(_) => Err(TokenError::BadClaim(name)),
        }
    }
}

impl From<Map<String, Value>> for Claims {
    /// Claims that are no longer text, so that no name can be repeated.
    fn from(claims: Map<String, Value>) -> Self {
        Self(claims)
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UniqueNames;

        impl<'de> Visitor<'de> for UniqueNames {
            type Value = Map<String, Value>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose names are not repeated")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut map = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if map.insert(name, value).is_some() {
                        return Err(de::Error::custom("a name is repeated"));
                    }
                }
                Ok(map)
            }
        }

        deserializer.deserialize_map(UniqueNames).map(Self)
    }
}

/// Returns whether this is one scope: `scope-token` of RFC 6749, section 3.3.
pub fn is_scope(text: &str) -> bool {
    let in_grammar = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !text.is_empty() && text.bytes().all(in_grammar)
}

/// The scopes that a token grants: sorted, each once, none empty. They stand in one text, with a zero byte between
/// two of them: whoever looks for one in every request finds all in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeSet(Box<str>);

/// A character that is in no scope (RFC 6749, section 3.3). A list of scopes in a token may hold what is none, with a space.
const BETWEEN_SCOPES: char = '\0';

impl ScopeSet {
    /// A set of these scopes. What has a zero byte in it is none, and is left out.
    pub fn new(mut scopes: Vec<&str>) -> Self {
        scopes.retain(|scope| !scope.is_empty() && !scope.contains(BETWEEN_SCOPES));
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes.join(BETWEEN_SCOPES.encode_utf8(&mut [0; 4])).into())
    }

    /// Returns whether `scope` is granted: to the letter, no prefixes and no patterns.
    pub fn contains(&self, scope: &str) -> bool {
        // By bytes: a search for a character costs more than such a short text is long.
        let mut all = self.0.as_bytes().split(|byte| char::from(*byte) == BETWEEN_SCOPES);
        !scope.is_empty() && all.any(|granted| granted == scope.as_bytes())
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(BETWEEN_SCOPES).filter(|scope| !scope.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Claims {
        Claims::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn only_one_object_with_unique_names_is_a_claims_set() {
        for json in [r#"{"a":1,"a":1}"#, "[]", "1", "", "{} {}", r#"{"a":}"#, "\"x\"", "null"] {
            assert_eq!(Claims::parse(json.as_bytes()), Err(TokenError::Malformed), "{json}");
        }
        assert!(Claims::parse(&[b'{', b'"', 0xff, b'"', b':', b'1', b'}']).is_err());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(4000), "]".repeat(4000));
        assert!(Claims::parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn times_are_whole_seconds_and_nothing_else() {
        assert_eq!(claims(r#"{"exp":5}"#).time("exp"), Ok(Some(UnixTime::from_secs(5))));
        for value in [
            "\"5\"",
            "5.0",
            "5.5",
            "-5",
            "1e3",
            "null",
            "true",
            "[5]",
            "{}",
            "99999999999999999999",
        ] {
            let claims = claims(&format!(r#"{{"exp":{value}}}"#));
            assert_eq!(claims.time("exp"), Err(TokenError::BadClaim("exp")), "{value}");
        }
    }

    #[test]
    fn texts_of_another_type_are_refused() {
        for value in ["5", "[\"x\"]", "{}", "true"] {
            let claims = claims(&format!(r#"{{"iss":{value}}}"#));
            assert_eq!(claims.text("iss"), Err(TokenError::BadClaim("iss")), "{value}");
        }
        assert_eq!(claims(r#"{"aud":["a",5]}"#).audiences(), Err(TokenError::BadClaim("aud")));
    }

    #[test]
    fn scopes_are_read_from_all_three_places() {
        let claims = claims(r#"{"scope":"b a  a","scp":["c"],"scopes":["d e","","f\u0000g"]}"#);
        let scopes = claims.scopes().unwrap();
        assert_eq!(scopes.iter().collect::<Vec<_>>(), ["a", "b", "c", "d e"]);
        assert!(scopes.contains("a") && !scopes.contains("d") && !scopes.contains(""));
        assert!(!scopes.contains("f") && !scopes.contains("f\0g") && !scopes.contains("a\0b"));
        assert!(!ScopeSet::default().contains(""));
    }

    #[test]
    fn scopes_of_another_type_are_refused() {
        for json in [r#"{"scope":5}"#, r#"{"scp":[5]}"#, r#"{"scopes":{"a":1}}"#] {
            assert!(claims(json).scopes().is_err(), "{json}");
        }
    }

    #[test]
    fn the_subject_goes_by_the_older_names_too() {
        for (json, subject) in [
            (r#"{"sub":"a","user_id":"b"}"#, Some("a")),
            (r#"{"user_id":"b","identifier":"c"}"#, Some("b")),
            (r#"{"user_id":7}"#, Some("7")),
            (r#"{"user_id":-7}"#, Some("-7")),
            (r#"{"user_id":18446744073709551617}"#, Some("18446744073709551617")),
            (r#"{"identifier":18446744073709551999}"#, Some("18446744073709551999")),
            (r#"{"identifier":"c"}"#, Some("c")),
            ("{}", None),
        ] {
            assert_eq!(claims(json).subject().unwrap().as_deref(), subject, "{json}");
        }
        for json in [r#"{"sub":7}"#, r#"{"sub":"","user_id":"b"}"#, r#"{"user_id":[]}"#] {
            assert!(claims(json).subject().is_err(), "{json}");
        }
        for number in ["7.0", "7.5", "7e0", "70e-1", "1e400", "-0", "18446744073709551617.0"] {
            let json = format!(r#"{{"user_id":{number}}}"#);
            let refused = Claims::parse(json.as_bytes()).and_then(|claims| claims.subject());
            assert!(refused.is_err(), "{json}");
        }
    }

    #[test]
    fn refresh_and_identity_tokens_are_not_for_access() {
        for json in
            [r#"{"token_type":"refresh"}"#, r#"{"type":"Refresh"}"#, r#"{"type":"id_token"}"#]
        {
            for is_declared in [false, true] {
                let refused = claims(json).check_use(is_declared);
                assert_eq!(refused, Err(TokenError::WrongType), "{json}");
            }
        }
        assert!(claims(r#"{"token_type":["refresh"]}"#).check_use(true).is_err());
        for json in
            [r#"{"token_type":"access"}"#, r#"{"type":"human"}"#, r#"{"typ":"Bearer"}"#, "{}"]
        {
            assert!(claims(json).check_use(false).is_ok(), "{json}");
        }
    }

    #[test]
    fn claims_of_id_and_logout_tokens_give_them_away_unless_they_say_what_they_are() {
        for giveaway in [
            r#""nonce":"n""#,
            r#""at_hash":"x""#,
            r#""c_hash":"x""#,
            r#""s_hash":"x""#,
            r#""events":{"http://schemas.openid.net/event/backchannel-logout":{}}"#,
            r#""events":{}"#,
        ] {
            let plain = claims(&format!("{{{giveaway}}}"));
            assert_eq!(plain.check_use(false), Err(TokenError::WrongType), "{giveaway}");
            assert_eq!(plain.check_use(true), Ok(()), "{giveaway}");
            // Keycloak's access tokens had a nonce for long, and say `Bearer`.
            let bearer = claims(&format!(r#"{{{giveaway},"typ":"Bearer"}}"#));
            assert_eq!(bearer.check_use(false), Ok(()), "{giveaway}");
        }
        assert_eq!(claims(r#"{"nonce":null}"#).check_use(false), Ok(()));
    }
}
