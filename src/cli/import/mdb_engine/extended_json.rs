//! MongoDB's Extended JSON, version 2, in both of its modes, as far as users need it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_types::Timestamp;
use serde_json::{Map, Value};

use crate::clock::UnixTime;

/// The id of a document as text: an ObjectId in hex, a text as it is, an integer in decimal.
pub(super) fn id(value: &Value) -> Option<String> {
    match plain(value) {
        Value::String(text) => Some(text),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// A text, or the bytes of one.
pub(super) fn text(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    // Up to version 4.0 of mongoexport the content stood without an object of its own.
    let binary = value.get("$binary")?;
    let content = binary.get("base64").unwrap_or(binary).as_str()?;
    String::from_utf8(STANDARD.decode(content).ok()?).ok()
}

/// A time: a date of MongoDB, or a text as in RFC 3339.
pub(super) fn time(value: &Value) -> Option<UnixTime> {
    let value = value.get("$date").unwrap_or(value);
    if let Some(text) = value.as_str() {
        let time: Timestamp = text.parse().ok()?;
        let millis =
            time.seconds.checked_mul(1_000)?.checked_add(i64::from(time.nanos) / 1_000_000)?;
        return u64::try_from(millis).ok().map(UnixTime::from_millis);
    }
    plain(value).as_u64().map(UnixTime::from_millis)
}

/// The same value in plain JSON: what has no form there is a text.
pub(super) fn plain(value: &Value) -> Value {
    match value {
        Value::Object(object) => wrapped(object).unwrap_or_else(|| {
            Value::Object(object.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
        }),
        Value::Array(members) => members.iter().map(plain).collect(),
        other => other.clone(),
    }
}

/// The value that an object with one name that starts with `$` stands for.
fn wrapped(object: &Map<String, Value>) -> Option<Value> {
    let (name, value) = object.iter().next().filter(|_| object.len() == 1)?;
    match name.as_str() {
        "$oid" | "$uuid" | "$numberDecimal" | "$symbol" => Some(value.clone()),
        "$numberInt" | "$numberLong" => Some(value.as_str()?.parse::<i64>().ok()?.into()),
        "$numberDouble" => Some(value.as_str()?.parse::<f64>().ok()?.into()),
        "$date" => time(value).map(|time| time.to_string().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_are_text() {
        for (value, expected) in [
            (json!({"$oid": "6b091a3722c515297a767d26"}), Some("6b091a3722c515297a767d26")),
            (json!("guest_1"), Some("guest_1")),
            (json!(7), Some("7")),
            (json!({"$numberLong": "7"}), Some("7")),
            (
                json!({"$uuid": "c8edabc3-f738-4ca3-b68d-ab92a91478a3"}),
                Some("c8edabc3-f738-4ca3-b68d-ab92a91478a3"),
            ),
            (json!(1.5), None),
            (json!(null), None),
            (json!({"a": 1, "b": 2}), None),
        ] {
            assert_eq!(id(&value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn bytes_of_a_text_are_the_text() {
        for (value, expected) in [
            (json!("$2b$12$x"), Some("$2b$12$x")),
            (json!({"$binary": {"base64": "JDJiJDEyJHg=", "subType": "00"}}), Some("$2b$12$x")),
            (json!({"$binary": "JDJiJDEyJHg=", "$type": "00"}), Some("$2b$12$x")),
            (json!({"$binary": {"base64": "/w==", "subType": "00"}}), None),
            (json!({"$binary": {"base64": "!", "subType": "00"}}), None),
            (json!(7), None),
        ] {
            assert_eq!(text(&value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn times_are_read_in_either_mode() {
        let at = UnixTime::from_millis(1_795_758_647_812);
        for value in [
            json!({"$date": "2026-11-27T05:50:47.812Z"}),
            json!({"$date": {"$numberLong": "1795758647812"}}),
            json!({"$date": 1_795_758_647_812_u64}),
            json!("2026-11-27T06:50:47.812+01:00"),
        ] {
            assert_eq!(time(&value), Some(at), "{value}");
        }
        for value in [json!("yesterday"), json!({"$date": "1960-01-01T00:00:00Z"}), json!(null)] {
            assert_eq!(time(&value), None, "{value}");
        }
    }

    #[test]
    fn what_plain_json_has_is_plain() {
        let value = json!({"a": [{"$numberInt": "1"}, {"$numberDouble": "1.5"}], "b": {"$date": 5_000},
            "c": {"$oid": "x", "more": 1}, "d": {"$regex": "y"}});
        let expected = json!({"a": [1, 1.5], "b": "1970-01-01T00:00:05Z",
            "c": {"$oid": "x", "more": 1}, "d": {"$regex": "y"}});
        assert_eq!(plain(&value), expected);
    }
}
