//! Values out of a deserializer, where a mistake says at which key it stands, in words for whoever
//! wrote the file.

use serde::de::{Deserialize, Deserializer};
use serde_path_to_error::{Path, Segment};

/// A mistake, and the keys that lead to it.
#[derive(Debug)]
pub(crate) struct Misread<E> {
    path: Path,
    /// The deserializer's own error.
    pub(crate) error: E,
}

/// Reads a value.
///
/// # Errors
/// The first mistake in it.
pub(crate) fn read<'de, D, T>(deserializer: D) -> Result<T, Misread<D::Error>>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    serde_path_to_error::deserialize(deserializer)
        .map_err(|error| Misread { path: error.path().clone(), error: error.into_inner() })
}

impl<E> Misread<E> {
    /// The first key of the way to the mistake; `None` where it is about the whole.
    pub(crate) fn first_key(&self) -> Option<&str> {
        match self.path.iter().next() {
            Some(Segment::Map { key }) => Some(key),
            _ => None,
        }
    }

    /// The mistake in one line, with the key at which it stands, below the key `below`. `message` is
    /// the deserializer's.
    pub(crate) fn in_words(&self, below: &str, message: &str) -> String {
        let message = message.trim().replace('\n', " ");
        let mut segments: Vec<_> = self.path.iter().collect();
        if message.starts_with("unknown field") {
            // The message names the last key itself.
            segments.pop();
        }
        let mut key = below.to_owned();
        for segment in segments {
            match segment {
                Segment::Seq { index } => key = format!("{key}[{index}]"),
                Segment::Map { key: name } | Segment::Enum { variant: name } => {
                    key.push_str(if key.is_empty() { "" } else { "." });
                    key.push_str(name);
                }
                Segment::Unknown => {}
            }
        }
        let problem = plain(&message);
        if key.is_empty() { problem } else { format!("{key}: {problem}") }
    }
}

/// Serde's message in the words of the documents.
fn plain(message: &str) -> String {
    if message == "wanted string or table" {
        return "write a text".to_owned();
    }
    let (message, place) = match message.find(" at line ") {
        Some(at) => message.split_at(at),
        None => (message, ""),
    };
    let of_kind = message.strip_prefix("invalid type: ");
    let told = of_kind.or_else(|| message.strip_prefix("invalid value: "));
    match told.and_then(|told| told.rsplit_once(", expected ")) {
        Some((found, expected)) => {
            format!("write {}, not {}{place}", of_type(expected), of_value(found))
        }
        None => format!("{message}{place}"),
    }
}

/// The kind of value that serde expects.
fn of_type(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list",
        "a string" => "a text",
        "a boolean" => "true or false",
        "a map" => "a table",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

/// The value that serde found.
fn of_value(found: &str) -> String {
    match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer" | "floating", number)) => {
            format!("the number {}", number.trim_start_matches("point "))
        }
        Some(("boolean", value)) => value.to_owned(),
        None if found == "map" => "a table".to_owned(),
        None if found == "sequence" => "a list".to_owned(),
        _ => found.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only mistakes are looked at")]
    struct Outer {
        #[serde(default)]
        inner: Vec<Inner>,
        flag: Option<bool>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only mistakes are looked at")]
    struct Inner {
        names: Vec<String>,
        seconds: Option<u32>,
    }

    #[test]
    fn a_mistake_is_told_with_its_key_and_in_plain_words() {
        for (json, first, told) in [
            (r#"{"flag": 5}"#, Some("flag"), "flag: write true or false, not the number `5`"),
            (r#"{"flagg": 5}"#, Some("flagg"), "unknown field `flagg`, expected `inner` or `flag`"),
            (r#"{"inner": {}}"#, Some("inner"), "inner: write a list, not a table"),
            (r#"{"inner": [5]}"#, Some("inner"), "inner[0]: write a table, not the number `5`"),
            (r#"{"inner": [{}]}"#, Some("inner"), "inner[0]: missing field `names`"),
            (r#"{"inner": [{"name": 1}]}"#, Some("inner"), "inner[0]: unknown field `name`"),
            (
                r#"{"inner": [{"names": "x"}]}"#,
                Some("inner"),
                "inner[0].names: write a list, not the text \"x\"",
            ),
            (
                r#"{"inner": [{"names": [], "seconds": "1h"}]}"#,
                Some("inner"),
                "inner[0].seconds: write a whole number that is not negative, not the text \"1h\"",
            ),
            (
                r#"{"inner": [{"names": [], "seconds": -1}]}"#,
                Some("inner"),
                "inner[0].seconds: write a whole number that is not negative, not the number `-1`",
            ),
            ("5", None, "write a table, not the number `5`"),
        ] {
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            let misread = read::<_, Outer>(value).expect_err(json);
            let found = misread.in_words("", &misread.error.to_string());
            assert!(found.starts_with(told), "{json}: {found}");
            assert_eq!(misread.first_key(), first, "{json}");
        }
    }

    #[test]
    fn a_place_in_the_text_stays_behind_the_words() {
        let mut text = serde_json::Deserializer::from_str("{\n\"flag\": null, \"inner\": 1}");
        let misread = read::<_, Outer>(&mut text).expect_err("a number is no list");
        let found = misread.in_words("", &misread.error.to_string());
        assert!(found.starts_with("inner: write a list, not the number `1` at line 2"), "{found}");
    }
}
