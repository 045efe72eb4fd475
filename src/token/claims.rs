//! The claims of a token (RFC 7519, section 4), with the types that the RFC demands.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error::TokenError;
use super::integers;
use super::scopes::ScopeSet;
use crate::clock::UnixTime;
use crate::wire::json;

/// The claims of a token: an object whose members each have a name of their own.
///
/// Repeated names are refused rather than left to the parser's taste (RFC 7519, section 4).
///
/// They stay text, since thousands of tokens are remembered and few claims are looked at: a value is read each time
/// that it is asked for. [`Claims::parse`] checks that each can be read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Each name with its value in JSON behind it, in the order of names.
    text: Box<str>,
    members: Box<[Member]>,
}

/// The place of one claim in the text. It begins at the end of the claim before.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Member {
    name_end: u32,
    end: u32,
}

/// The JSON of a claim that counts as absent.
const NULL: &str = "null";

impl Claims {
    /// Reads the payload of a token. An integer beyond 64 bits is kept as the text of its digits.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] for anything but one JSON object without repeated names.
    pub fn parse(payload: &[u8]) -> Result<Self, TokenError> {
        let text = integers::quoted(payload);
        let text = std::str::from_utf8(&text).map_err(|_| TokenError::Malformed)?;
        Self::of_object(text).ok_or(TokenError::Malformed)
    }

    /// The claims in the text of an object; `None` where it is none, or has a name twice.
    fn of_object(text: &str) -> Option<Self> {
        let Members(mut members) = serde_json::from_str(text).ok()?;
        members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let is_repeated = members.windows(2).any(|pair| pair[0].0 == pair[1].0);
        let is_sound = !is_repeated && members.iter().all(|(_, value)| is_readable(value.get()));
        is_sound
            .then(|| Self::of_members(members.iter().map(|(name, value)| (&**name, value.get()))))
    }

    /// The claims with these names and values, in the order of names.
    fn of_members<'m>(members: impl Iterator<Item = (&'m str, &'m str)> + Clone) -> Self {
        // No text of claims is nearly as long as a number of 32 bits can say.
        let place = |text: &String| u32::try_from(text.len()).unwrap_or(u32::MAX);
        let bytes = members.clone().map(|(name, value)| name.len() + value.len()).sum();
        let mut text = String::with_capacity(bytes);
        let places = members.map(|(name, value)| {
            text.push_str(name);
            let name_end = place(&text);
            text.push_str(value);
            Member { name_end, end: place(&text) }
        });
        let members = places.collect();
        Self { text: text.into(), members }
    }

    /// The claims as an object, for who changes or shows them all.
    pub fn to_map(&self) -> Map<String, Value> {
        self.iter().map(|(name, value)| (name.to_owned(), read(value))).collect()
    }

    /// The bytes that they take in memory beside the value itself.
    pub fn memory_size(&self) -> usize {
        self.text.len() + size_of_val(&*self.members)
    }

    /// The names and values, in the order of names.
    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.members.iter().filter_map(move |member| {
            let (name_end, end) = (member.name_end as usize, member.end as usize);
            let name = self.text.get(start..name_end);
            start = end;
            name.zip(self.text.get(name_end..end))
        })
    }

    /// The JSON of one claim, also where it is null.
    fn json(&self, name: &str) -> Option<&str> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// The JSON of one claim. A null counts as absent.
    fn present(&self, name: &str) -> Option<&str> {
        self.json(name).filter(|value| *value != NULL)
    }

    /// Returns whether there is a claim of this name, be it null.
    pub fn has(&self, name: &str) -> bool {
        self.json(name).is_some()
    }

    /// One claim. A null counts as absent.
    pub fn get(&self, name: &str) -> Option<Value> {
        self.present(name).map(read)
    }

    /// A claim that must be text where it is there.
    pub fn text(&self, name: &'static str) -> Result<Option<Cow<'_, str>>, TokenError> {
        let text = |value| as_text(value).ok_or(TokenError::BadClaim(name));
        self.present(name).map(text).transpose()
    }

    /// A NumericDate in whole seconds; fractions, signs and numbers in quotes are refused.
    pub fn time(&self, name: &'static str) -> Result<Option<UnixTime>, TokenError> {
        let time = |value: &str| value.parse().map(UnixTime::from_secs);
        self.json(name).map(time).transpose().map_err(|_| TokenError::BadClaim(name))
    }

    /// The audiences of the token: `aud` as one text or as a list of texts.
    pub fn audiences(&self) -> Result<Vec<Cow<'_, str>>, TokenError> {
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
                Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
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
        let names = ["scope", "scp", "scopes"].into_iter().filter_map(|name| {
            let is_text = self.present(name)?.starts_with('"');
            Some(self.text_or_list(name).map(|texts| (is_text, texts)))
        });
        let found = names.collect::<Result<Vec<_>, _>>()?;
        let mut scopes = Vec::new();
        for (is_text, texts) in &found {
            for text in texts {
                if *is_text {
                    scopes.extend(text.split(' '));
                } else {
                    scopes.push(&**text);
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
        for (name, value) in self.iter().filter(|(_, value)| *value != NULL) {
            match name {
                "token_type" | "token_use" => {
                    let bad = if name == "token_type" { "token_type" } else { "token_use" };
                    let usage = as_text(value).ok_or(TokenError::BadClaim(bad))?;
                    let is_access = is_one_of(Some(&usage), &ACCESS);
                    says_access |= is_access;
                    says_other |= !is_access;
                }
                // These names are in use for other things too, so only known values are refused.
                "type" | "typ" => {
                    let usage = as_text(value);
                    says_access |= is_one_of(usage.as_deref(), &ACCESS);
                    says_other |= is_one_of(usage.as_deref(), &OTHER);
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

    fn text_or_list(&self, name: &'static str) -> Result<Vec<Cow<'_, str>>, TokenError> {
        match self.present(name) {
            None => Ok(Vec::new()),
            Some(value) if value.starts_with('[') => {
                let texts = serde_json::from_str::<Vec<Text<'_>>>(value);
                let texts = texts.map_err(|_| TokenError::BadClaim(name))?;
                Ok(texts.into_iter().map(|Text(text)| text).collect())
            }
            Some(value) => Ok(vec![as_text(value).ok_or(TokenError::BadClaim(name))?]),
        }
    }
}

/// Returns whether the JSON of a value can be read. What is plain cannot fail; in all else, a number may be too large,
/// a text may have half a character, lists may be nested too deep, and a name may be reserved.
fn is_readable(value: &str) -> bool {
    /// The number of digits of an integer that certainly fits into 64 bits.
    const DIGITS: usize = 18;
    let is_plain = match value.as_bytes() {
        [b'"', text @ ..] => !text.contains(&b'\\'),
        [b't' | b'f' | b'n', ..] => true,
        number => number.len() <= DIGITS && number.iter().all(u8::is_ascii_digit),
    };
    is_plain || json::check_member(value).is_ok()
}

/// The value of this JSON, which can be read: it was, or was checked, before it became a part of claims.
fn read(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or(Value::Null)
}

/// The text, if this is the JSON of one.
fn as_text(json: &str) -> Option<Cow<'_, str>> {
    let text = json.strip_prefix('"')?.strip_suffix('"')?;
    if text.contains('\\') { serde_json::from_str(json).ok() } else { Some(text.into()) }
}

impl From<&Map<String, Value>> for Claims {
    /// The text of claims that were read before. No name in a map is repeated.
    fn from(claims: &Map<String, Value>) -> Self {
        let members: Vec<_> =
            claims.iter().map(|(name, value)| (name, value.to_string())).collect();
        Self::of_members(members.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let refused = || de::Error::custom("not an object whose names are not repeated");
        Self::of_object(text.get()).ok_or_else(refused)
    }
}

/// A text, which is not copied where nothing in it is escaped.
#[derive(serde::Deserialize)]
struct Text<'t>(#[serde(borrow)] Cow<'t, str>);

/// The members of an object, as they come.
struct Members<'t>(Vec<(Cow<'t, str>, &'t RawValue)>);

impl<'de: 't, 't> Deserialize<'de> for Members<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyObject;

        impl<'de> Visitor<'de> for AnyObject {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                /// The number of claims that most tokens do not exceed.
                const USUAL: usize = 16;
                let mut members = Vec::with_capacity(USUAL);
                while let Some((Text(name), value)) = access.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(AnyObject)
    }
}

#[cfg(test)]
pub(super) mod tests;
