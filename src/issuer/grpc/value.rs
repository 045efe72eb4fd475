//! Times and claims as protobuf's well-known types.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp, Value};
use serde_json::Map;

use crate::clock::UnixTime;

/// A point in time.
pub(super) fn timestamp(time: UnixTime) -> Timestamp {
    let nanos = time.as_millis() % 1_000 * 1_000_000;
    Timestamp {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanos).unwrap_or_default(),
    }
}

/// The integers up to here are doubles as they are; beyond, two become one.
const MAX_EXACT: u64 = 1 << 53;

/// Claims; every number becomes a double, save an integer that no double holds, which becomes the
/// text of its digits.
pub(super) fn structure(claims: Map<String, serde_json::Value>) -> Struct {
    let fields: BTreeMap<_, _> =
        claims.into_iter().map(|(name, claim)| (name, value(claim))).collect();
    Struct { fields }
}

fn value(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(truth) => Kind::BoolValue(truth),
        serde_json::Value::Number(number) => {
            let magnitude = number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64());
            if magnitude.is_some_and(|magnitude| magnitude > MAX_EXACT) {
                Kind::StringValue(number.to_string())
            } else {
                Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN))
            }
        }
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(list) => {
            Kind::ListValue(ListValue { values: list.into_iter().map(value).collect() })
        }
        serde_json::Value::Object(map) => Kind::StructValue(structure(map)),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_keep_their_types() {
        let serde_json::Value::Object(claims) =
            json!({"a": null, "b": true, "c": 1_800_000_000_u64, "d": "x", "e": [1, {"f": "y"}]})
        else {
            panic!("an object");
        };
        let of = |kind| Value { kind: Some(kind) };
        let inner = Struct { fields: [("f".to_owned(), of(Kind::StringValue("y".into())))].into() };
        let list = vec![of(Kind::NumberValue(1.0)), of(Kind::StructValue(inner))];
        let expected = [
            ("a".to_owned(), of(Kind::NullValue(0))),
            ("b".to_owned(), of(Kind::BoolValue(true))),
            ("c".to_owned(), of(Kind::NumberValue(1_800_000_000.0))),
            ("d".to_owned(), of(Kind::StringValue("x".into()))),
            ("e".to_owned(), of(Kind::ListValue(ListValue { values: list }))),
        ];
        assert_eq!(structure(claims), Struct { fields: expected.into() });
    }

    #[test]
    fn integers_that_no_double_holds_keep_their_digits() {
        for (number, kind) in [
            (json!(MAX_EXACT), Kind::NumberValue(9_007_199_254_740_992.0)),
            (json!(MAX_EXACT + 1), Kind::StringValue("9007199254740993".into())),
            (json!(u64::MAX), Kind::StringValue("18446744073709551615".into())),
            (json!(i64::MIN), Kind::StringValue("-9223372036854775808".into())),
            (json!(0.5), Kind::NumberValue(0.5)),
        ] {
            assert_eq!(value(number.clone()), Value { kind: Some(kind) }, "{number}");
        }
    }

    #[test]
    fn a_time_keeps_its_milliseconds() {
        let time = UnixTime::from_millis(1_800_000_000_123);
        assert_eq!(timestamp(time), Timestamp { seconds: 1_800_000_000, nanos: 123_000_000 });
    }
}
