//! A record that a database wrote in JSON: one text for all of its columns, each of which would cost a driver several
//! allocations.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::fields::{BadField, Fields};
use crate::clock::UnixTime;

/// The fields of a record, with their names. There are few, and their names are compared sooner than hashed.
#[derive(Debug)]
pub(crate) struct JsonRecord<'t>(Vec<(Cow<'t, str>, Field<'t>)>);

/// The content of one.
#[derive(Debug)]
enum Field<'t> {
    Nothing,
    Number(i64),
    Text(Cow<'t, str>),
}

impl JsonRecord<'_> {
    fn get(&self, name: &str) -> Option<&Field<'_>> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, field)| field)
    }
}

impl Fields for JsonRecord<'_> {
    fn optional_text(&self, name: &'static str) -> Result<Option<&str>, BadField> {
        match self.get(name).ok_or(BadField(name))? {
            Field::Nothing => Ok(None),
            Field::Text(text) => Ok(Some(text)),
            Field::Number(_) => Err(BadField(name)),
        }
    }

    fn optional_time(&self, name: &'static str) -> Result<Option<UnixTime>, BadField> {
        match self.get(name).ok_or(BadField(name))? {
            Field::Nothing => Ok(None),
            Field::Number(millis) => {
                let millis = u64::try_from(*millis).map_err(|_| BadField(name))?;
                Ok(Some(UnixTime::from_millis(millis)))
            }
            Field::Text(_) => Err(BadField(name)),
        }
    }
}

impl<'de> Deserialize<'de> for JsonRecord<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Record;

        impl<'de> Visitor<'de> for Record {
            type Value = JsonRecord<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some((Text(name), field)) = access.next_entry()? {
                    fields.push((name, field));
                }
                Ok(JsonRecord(fields))
            }
        }

        deserializer.deserialize_map(Record)
    }
}

/// A text, borrowed where nothing in it was escaped.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Text<'t>(#[serde(borrow)] Cow<'t, str>);

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Content;

        impl<'de> Visitor<'de> for Content {
            type Value = Field<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("null, a whole number or a text")
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Field::Nothing)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Field::Number(number))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                i64::try_from(number).map(Field::Number).map_err(E::custom)
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Field::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Field::Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_any(Content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_texts_times_and_nothing_and_each_is_no_other() {
        let json = r#"{"user":"alice","claims":"{\"a\":1}","created":5,"bad":-1,"address":null}"#;
        let record: JsonRecord<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(record.text("user"), Ok("alice"));
        assert_eq!(record.claims().unwrap()["a"], 1);
        assert_eq!(record.time("created"), Ok(UnixTime::from_millis(5)));
        assert_eq!(record.optional_text("address"), Ok(None));
        assert_eq!(record.optional_time("address"), Ok(None));
        for name in ["created", "missing"] {
            assert_eq!(record.optional_text(name), Err(BadField(name)));
        }
        for name in ["user", "bad", "missing"] {
            assert_eq!(record.optional_time(name), Err(BadField(name)));
        }
        for other in ["[]", r#"{"a":true}"#, r#"{"a":1.5}"#, r#"{"a":18446744073709551615}"#] {
            assert!(serde_json::from_str::<JsonRecord<'_>>(other).is_err(), "{other}");
        }
    }
}
