//! Claims by their names: one name, or a path of names with dots between them.
//!
//! Names hold dots themselves (`kubernetes.io`, `https://example.com/roles`), so every reading of a
//! path is tried, the one with the longest first name first. Where that finds another claim than is
//! meant, a backslash makes the next character a part of the name; then the other dots separate.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::session::Session;
use crate::token::{Claims, Verified};

/// An object of claims.
type Object = Map<String, Value>;

/// The claims with names of users. Where issuers have prefixes, these get them.
const OF_USERS: [&str; 5] = ["sub", "user_id", "identifier", "preferred_username", "username"];

/// A claim that an operator named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimPath {
    /// The text as it was written.
    text: String,
    /// The names, where backslashes say which they are.
    names: Option<Vec<String>>,
}

/// A claim that was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FoundClaim<'c> {
    /// The claim, or the one that it is within.
    top: Cow<'c, Value>,
    /// The names by which it is reached from there.
    within: Vec<&'c str>,
    /// Its own name, the last of its path.
    name: &'c str,
}

/// An object in which claims are looked for: the claims of a token, which are read one by one, or others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClaimObject<'c> {
    Token(&'c Claims),
    Object(&'c Object),
}

impl<'c> ClaimObject<'c> {
    /// One claim. A null counts as absent.
    fn get(self, name: &str) -> Option<Cow<'c, Value>> {
        match self {
            Self::Token(claims) => claims.get(name).map(Cow::Owned),
            Self::Object(object) => {
                object.get(name).filter(|value| !value.is_null()).map(Cow::Borrowed)
            }
        }
    }
}

impl FoundClaim<'_> {
    /// The value.
    pub(crate) fn value(&self) -> &Value {
        within(&self.top, &self.within).unwrap_or(&Value::Null)
    }

    /// The value for itself.
    pub(crate) fn into_value(self) -> Value {
        if self.within.is_empty() { self.top.into_owned() } else { self.value().clone() }
    }

    /// Its text, or those of a list. Null is none, and a claim that is null counts as absent.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let value = self.value();
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        values.iter().filter(|value| !value.is_null()).map(as_text)
    }

    /// The object that it is a member of, where that is a claim itself or within one.
    fn parent(&self) -> Option<&Value> {
        within(&self.top, self.within.split_last()?.1)
    }
}

/// The value that these names lead to from that one.
fn within<'v>(value: &'v Value, names: &[&str]) -> Option<&'v Value> {
    names.iter().try_fold(value, |value, name| value.as_object()?.get(*name))
}

impl ClaimPath {
    /// Reads a path. A backslash at the very end stands for itself.
    pub(crate) fn parse(text: &str) -> Self {
        let names =
            text.contains('\\').then(|| split(text, '.').into_iter().map(unescaped).collect());
        Self { text: text.to_owned(), names }
    }

    /// The text as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether it names the user. Applications see it with the prefix of the issuer's users.
    pub(crate) fn names_user(&self) -> bool {
        OF_USERS.contains(&self.as_str())
    }

    /// Finds it among these claims. A null counts as absent.
    pub(crate) fn find<'c>(&'c self, claims: ClaimObject<'c>) -> Option<FoundClaim<'c>> {
        match &self.names {
            None => by_any_reading(claims, &self.text),
            Some(names) => by_names(claims, names),
        }
    }
}

fn by_any_reading<'c>(claims: ClaimObject<'c>, path: &'c str) -> Option<FoundClaim<'c>> {
    let whole = claims.get(path).map(|top| FoundClaim { top, within: Vec::new(), name: path });
    whole.or_else(|| {
        splits(path).find_map(|(first, rest)| {
            let top = claims.get(first)?;
            let mut within = Vec::new();
            let name = add_any_reading(&top, rest, &mut within)?;
            Some(FoundClaim { top, within, name })
        })
    })
}

/// Adds the names of the first reading of the path that leads somewhere in this object, and returns the last of them.
fn add_any_reading<'p>(value: &Value, path: &'p str, names: &mut Vec<&'p str>) -> Option<&'p str> {
    let object = value.as_object()?;
    if object.get(path).is_some_and(|value| !value.is_null()) {
        names.push(path);
        return Some(path);
    }
    splits(path).find_map(|(first, rest)| {
        let (value, before) = (object.get(first)?, names.len());
        names.push(first);
        let last = add_any_reading(value, rest, names);
        if last.is_none() {
            names.truncate(before);
        }
        last
    })
}

/// The first name of a path and the rest, in each reading; the longest name first.
fn splits(path: &str) -> impl Iterator<Item = (&str, &str)> {
    path.rmatch_indices('.').map(|(dot, _)| (&path[..dot], &path[dot + 1..]))
}

fn by_names<'c>(claims: ClaimObject<'c>, names: &'c [String]) -> Option<FoundClaim<'c>> {
    let (first, rest) = names.split_first()?;
    let top = claims.get(first)?;
    let within: Vec<_> = rest.iter().map(String::as_str).collect();
    let found = FoundClaim { top, name: within.last().copied().unwrap_or(first), within };
    let is_there = !found.value().is_null();
    is_there.then_some(found)
}

/// The claims of a user: those of the token, and where it has none of the names, those of the
/// session. They are never mixed into another user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserClaims<'c> {
    token: ClaimObject<'c>,
    session: Option<ClaimObject<'c>>,
}

impl<'c> UserClaims<'c> {
    /// The claims of this token and of its session.
    pub(crate) fn new(token: &'c Verified, session: Option<&'c Session>) -> Self {
        let session = session.map(|session| ClaimObject::Object(&session.claims));
        Self { token: ClaimObject::Token(&token.claims), session }
    }

    /// The claims of an object, where there is no session beside it.
    pub(crate) fn of_object(claims: &'c Object) -> Self {
        Self { token: ClaimObject::Object(claims), session: None }
    }

    /// The claims of the token alone.
    pub(crate) fn of_token(self) -> Self {
        Self { session: None, ..self }
    }

    /// The first of these claims that has a value.
    pub(crate) fn find(&self, paths: &'c [ClaimPath]) -> Option<FoundClaim<'c>> {
        let mut objects = self.objects();
        objects.find_map(|claims| paths.iter().find_map(|path| path.find(claims)))
    }

    /// All these claims that have a value, of the token and of the session.
    pub(crate) fn all(&self, paths: &'c [ClaimPath]) -> impl Iterator<Item = FoundClaim<'c>> {
        let objects = self.objects();
        objects.flat_map(move |claims| paths.iter().filter_map(move |path| path.find(claims)))
    }

    fn objects(&self) -> impl Iterator<Item = ClaimObject<'c>> + use<'c> {
        [Some(self.token), self.session].into_iter().flatten()
    }

    /// Returns whether a claim says that nobody verified the value: `email_verified` beside
    /// `email`, `phone_number_verified` beside `phone_number` (OpenID Connect Core, section 5.1).
    /// `also` is another name of the claim.
    pub(crate) fn is_unverified(&self, found: &FoundClaim<'c>, also: Option<&str>) -> bool {
        [Some(found.name), also].into_iter().flatten().any(|name| {
            let name = format!("{name}_verified");
            let beside = found.parent().and_then(|parent| parent.get(&name)).map(Cow::Borrowed);
            let elsewhere = self.objects().filter_map(|claims| claims.get(&name));
            let mut said = beside.into_iter().chain(elsewhere).filter(|said| !said.is_null());
            said.any(|said| *said != Value::Bool(true) && *said != "true")
        })
    }
}

/// The text of one value: of a text itself, of all else its JSON.
pub(crate) fn as_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

/// Returns whether the value holds integers alone: each of them is written in one way only, and no
/// two are written the same.
pub(crate) fn holds_integers_alone(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => !number.is_f64(),
        Value::Array(members) => members.iter().all(holds_integers_alone),
        Value::Object(members) => members.values().all(holds_integers_alone),
    }
}

/// The parts between those separators that no backslash stands before. The backslashes stay.
pub(crate) fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut is_escaped) = (Vec::new(), 0, false);
    for (index, character) in text.char_indices() {
        if character == separator && !is_escaped {
            parts.push(&text[start..index]);
            start = index + character.len_utf8();
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    parts.push(&text[start..]);
    parts
}

/// The text without its backslashes; each makes the next character literal.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(if character == '\\' { characters.next().unwrap_or('\\') } else { character });
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn found(claims: &Value, path: &str) -> Option<Value> {
        let (path, object) = (ClaimPath::parse(path), claims.as_object().unwrap());
        let found = path.find(ClaimObject::Object(object)).map(FoundClaim::into_value);
        let of_token = Claims::from(object);
        assert_eq!(path.find(ClaimObject::Token(&of_token)).map(FoundClaim::into_value), found);
        found
    }

    #[test]
    fn claims_are_found_by_name_and_by_path() {
        let claims = json!({"a.b": 1, "a": {"b": 2, "c": {"d": 3}, "n": null}, "n": null});
        for (path, value) in [
            ("a.b", Some(json!(1))),
            ("a.c.d", Some(json!(3))),
            ("a.x.d", None),
            ("a.b.c", None),
            ("a.n", None),
            ("n", None),
            ("", None),
            (".", None),
            ("a.", None),
        ] {
            assert_eq!(found(&claims, path), value, "{path}");
        }
    }

    #[test]
    fn names_that_hold_dots_are_found_by_the_longest_prefix_that_leads_somewhere() {
        let claims = json!({
            "kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "api"}},
            "https://example.test/roles": ["admin"],
            "resource_access": {"com.example.app": {"roles": ["editor"]}, "com": {"x": 1}},
            "org": {"id": 5},
            "org.id": {"x": 6},
        });
        for (path, value) in [
            ("kubernetes.io.namespace", json!("prod")),
            ("kubernetes.io.serviceaccount.name", json!("api")),
            ("https://example.test/roles", json!(["admin"])),
            ("resource_access.com.example.app.roles", json!(["editor"])),
            ("resource_access.com.x", json!(1)),
            ("org.id", json!({"x": 6})),
            ("org.id.x", json!(6)),
        ] {
            assert_eq!(found(&claims, path), Some(value), "{path}");
        }
    }

    #[test]
    fn a_backslash_says_which_dots_separate() {
        let claims = json!({
            "a.b": {"c": 1},
            "a": {"b": {"c": 2}, "b.c": 3},
            "x|y": 4, "x,y": 5, "x\\y": 6, "x\\": 7,
        });
        for (path, value) in [
            ("a.b.c", Some(json!(1))),
            (r"a\.b.c", Some(json!(1))),
            (r"a.b\.c", Some(json!(3))),
            (r"\a.b.c", Some(json!(2))),
            (r"a\.b\.c", None),
            (r"x\|y", Some(json!(4))),
            (r"x\,y", Some(json!(5))),
            (r"x\\y", Some(json!(6))),
            (r"x\", Some(json!(7))),
        ] {
            assert_eq!(found(&claims, path), value, "{path}");
        }
    }

    #[test]
    fn a_list_is_split_where_no_backslash_stands() {
        for (text, parts) in [
            ("a,b", &["a", "b"][..]),
            (r"a\,b,c", &[r"a\,b", "c"]),
            (r"a\\,b", &[r"a\\", "b"]),
            (",", &["", ""]),
            (r"\", &[r"\"]),
            ("", &[""]),
        ] {
            assert_eq!(split(text, ','), parts, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_name_can_be_written(names in prop::collection::vec("[a-z.\\\\|,é]{1,8}", 1..5)) {
            let mut claims = json!("here");
            for name in names.iter().rev() {
                claims = json!({ name: claims });
            }
            let escape = |name: &String| {
                name.chars().flat_map(|c| ['\\', c]).collect::<String>()
            };
            let path = names.iter().map(escape).collect::<Vec<_>>().join(".");
            prop_assert_eq!(found(&claims, &path), Some(json!("here")));
        }
    }
}
