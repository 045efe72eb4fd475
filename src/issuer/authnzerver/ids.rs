//! Users by number: authnzerver's ids are whole numbers, ours are texts.
//!
//! An id that is a number in decimal is one on the wire; any other is the text that it is.

use serde_json::{Value, json};

use crate::session::UserId;

/// The user who stands for everybody who has not logged in.
pub(super) const ANONYMOUS: &str = "2";
/// The users that nobody may change: the anonymous one, and the one that is compared with where
/// there is none.
const RESERVED: [&str; 2] = [ANONYMOUS, "3"];

/// An id as clients see it.
pub(super) fn shown(id: &str) -> Value {
    number_of(id).map_or_else(|| json!(id), |number| json!(number))
}

/// The number that an id is.
pub(super) fn number_of(id: &str) -> Option<i64> {
    id.parse::<i64>().ok().filter(|number| *number >= 0 && number.to_string() == id)
}

/// An id that a client wrote; `None` for what is none.
pub(super) fn read(value: &Value) -> Option<UserId> {
    match value {
        Value::Number(number) => UserId::parse(&number.to_string()).ok(),
        Value::String(text) => UserId::parse(text).ok(),
        _ => None,
    }
}

/// True for a user that nobody may change.
pub(super) fn is_reserved(id: &UserId) -> bool {
    RESERVED.contains(&id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_decimal_is_a_number_and_nothing_else_is() {
        for (id, expected) in [
            ("7", json!(7)),
            ("0", json!(0)),
            ("9223372036854775807", json!(i64::MAX)),
            ("9223372036854775808", json!("9223372036854775808")),
            ("007", json!("007")),
            ("+7", json!("+7")),
            ("-7", json!("-7")),
            ("7.0", json!("7.0")),
            ("alice", json!("alice")),
        ] {
            assert_eq!(shown(id), expected, "{id}");
            assert_eq!(read(&shown(id)).map(|read| read.as_str().to_owned()), Some(id.to_owned()));
        }
        for value in [json!(null), json!(true), json!(""), json!([]), json!({})] {
            assert_eq!(read(&value), None, "{value}");
        }
    }
}
