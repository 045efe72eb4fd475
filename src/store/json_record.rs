//! A record that a database wrote in JSON: one text for all of its columns, each of which would cost a driver several
//! allocations.

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::FixedState;
use serde::Deserialize;

use super::fields::{BadField, Fields};
use crate::clock::UnixTime;

/// The fields of a record. Their names are ours: they have nothing to be escaped, and a fast hash without a key suffices.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct JsonRecord<'t>(#[serde(borrow)] HashMap<&'t str, Field<'t>, FixedState>);

/// The content of one.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Field<'t> {
    Nothing,
    Number(i64),
    Text(#[serde(borrow)] Cow<'t, str>),
}

impl JsonRecord<'_> {
    fn get(&self, name: &'static str) -> Result<&Field<'_>, BadField> {
        self.0.get(name).ok_or(BadField(name))
    }
}

impl Fields for JsonRecord<'_> {
    fn optional_text(&self, name: &'static str) -> Result<Option<&str>, BadField> {
        match self.get(name)? {
            Field::Nothing => Ok(None),
            Field::Text(text) => Ok(Some(text)),
            Field::Number(_) => Err(BadField(name)),
        }
    }

    fn optional_time(&self, name: &'static str) -> Result<Option<UnixTime>, BadField> {
        match self.get(name)? {
            Field::Nothing => Ok(None),
            Field::Number(millis) => {
                let millis = u64::try_from(*millis).map_err(|_| BadField(name))?;
                Ok(Some(UnixTime::from_millis(millis)))
            }
            Field::Text(_) => Err(BadField(name)),
        }
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
