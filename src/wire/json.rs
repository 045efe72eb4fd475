//! JSON that others wrote. All of it is read or checked here, but the headers of tokens, which are of a fixed type: `serde_json`
//! gives some names a meaning of their own.
//!
//! An object whose first member has the name by which `serde_json` marks raw text is read, as a `Value`, as whatever that text
//! says, by a parser of its own. So two readers of one object could see different things, and since each such parser counts its
//! levels anew, some kilobytes could be nested deeper than the stack is. Nobody means such a name: it is refused.

use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Result;

/// The beginning of the names that `serde_json` keeps for itself.
const RESERVED: &str = "$serde_json::private::";
/// The levels that one parser of `serde_json` goes down.
const MAX_LEVELS: u8 = 127;

/// Reads a value.
///
/// # Errors
/// It is not JSON, is nested deeper than 127 levels, holds a reserved name, or is no such value.
pub(crate) fn from_slice<'j, T: Deserialize<'j>>(json: &'j [u8]) -> Result<T> {
    check(serde_json::Deserializer::from_slice(json), MAX_LEVELS)?;
    serde_json::from_slice(json)
}

/// Reads a value out of a text.
///
/// # Errors
/// As of [`from_slice`].
pub(crate) fn from_str<'j, T: Deserialize<'j>>(json: &'j str) -> Result<T> {
    check(serde_json::Deserializer::from_str(json), MAX_LEVELS)?;
    serde_json::from_str(json)
}

/// Checks that a member of an object can be read as any value.
///
/// # Errors
/// As of [`from_slice`].
pub(crate) fn check_member(json: &str) -> Result<()> {
    check(serde_json::Deserializer::from_str(json), MAX_LEVELS - 1)
}

fn check<'j, R: serde_json::de::Read<'j>>(
    mut json: serde_json::Deserializer<R>,
    levels: u8,
) -> Result<()> {
    AnyValue { levels }.deserialize(&mut json)?;
    json.end()
}

/// Any value that goes down so many levels, of which nothing is kept.
#[derive(Clone, Copy)]
struct AnyValue {
    levels: u8,
}

impl AnyValue {
    fn member<E: de::Error>(self) -> std::result::Result<Self, E> {
        let levels = self.levels.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Self { levels })
    }
}

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> std::result::Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<(), A::Error> {
        let member = self.member()?;
        while list.next_element_seed(member)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> std::result::Result<(), A::Error> {
        let member = self.member()?;
        while object.next_key_seed(Name)?.is_some() {
            object.next_value_seed(member)?;
        }
        Ok(())
    }
}

/// A name that is not reserved.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> std::result::Result<(), D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<(), E> {
        if name.starts_with(RESERVED) { Err(E::custom("a name is reserved")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn all_json_is_read_up_to_the_bound_on_its_levels() {
        for json in
            [r#"{"a":[1,-1,1.5,true,null,"\u0041"],"$serde":{}}"#, "1", "\"\"", &nested(127)]
        {
            assert_eq!(
                from_str::<Value>(json).unwrap(),
                serde_json::from_str::<Value>(json).unwrap()
            );
            assert!(from_slice::<Value>(json.as_bytes()).is_ok());
        }
        for json in ["", "{}{}", "[1e400]", r#""\ud800""#, r#"{"a":}"#, &nested(128)] {
            assert!(from_str::<Value>(json).is_err(), "{json}");
        }
        assert!(check_member(&nested(126)).is_ok() && check_member(&nested(127)).is_err());
    }

    /// Without the check these are read as other values, and the last one ends the process.
    #[test]
    fn no_object_is_read_as_the_text_in_it() {
        const RAW: &str = r#"{"$serde_json::private::RawValue":"#;
        let mut deep = "1".to_owned();
        for _ in 0..100 {
            let quoted = format!("{}{deep}{}", "[".repeat(120), "]".repeat(120));
            let quoted = quoted.replace('\\', "\\u005c").replace('"', "\\u0022");
            deep = format!("{RAW}\"{quoted}\"}}");
            if deep.len() > 1 << 20 {
                break;
            }
        }
        let escaped = r#"{"\u0024serde_json::private::RawValue":"1"}"#;
        for json in [&format!("{RAW}\"1\"}}"), &format!("[{RAW}1}}]"), escaped, &deep] {
            assert!(from_str::<Value>(json).is_err());
            assert!(from_slice::<Value>(json.as_bytes()).is_err());
        }
        assert_eq!(serde_json::from_str::<Value>(escaped).unwrap(), Value::from(1));
    }
}
