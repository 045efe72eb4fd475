//! Fields of records, read strictly: what is not of the right kind is named and never guessed.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::clock::UnixTime;
use crate::wire::json;

/// A field that is missing, or holds nothing that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad field {0}")]
pub struct BadField(pub &'static str);

/// The fields of a record: a row of SQLite, a hash of Redis, an object in JSON.
pub trait Fields {
    /// A text that may be missing.
    ///
    /// # Errors
    /// [`BadField`] where it is of another kind.
    fn optional_text(&self, field: &'static str) -> Result<Option<&str>, BadField>;

    /// A time that may be missing.
    ///
    /// # Errors
    /// [`BadField`] where it is negative or of another kind.
    fn optional_time(&self, field: &'static str) -> Result<Option<UnixTime>, BadField>;

    /// A text that must be there.
    ///
    /// # Errors
    /// [`BadField`] where it is not.
    fn text(&self, field: &'static str) -> Result<&str, BadField> {
        self.optional_text(field)?.ok_or(BadField(field))
    }

    /// A time that must be there.
    ///
    /// # Errors
    /// [`BadField`] where it is not.
    fn time(&self, field: &'static str) -> Result<UnixTime, BadField> {
        self.optional_time(field)?.ok_or(BadField(field))
    }

    /// The claims.
    ///
    /// # Errors
    /// [`BadField`] where there are none.
    fn claims(&self) -> Result<Map<String, Value>, BadField> {
        self.parsed("claims", |text| json::from_str(text))
    }

    /// A text that must be there, and what it says.
    ///
    /// # Errors
    /// [`BadField`] where it is not there or says nothing.
    fn parsed<T, E>(
        &self,
        field: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, BadField> {
        parse(self.text(field)?).map_err(|_| BadField(field))
    }
}

/// A hash of Redis: bytes, which may be anything.
pub type Hash = HashMap<String, Vec<u8>>;

impl Fields for Hash {
    fn optional_text(&self, field: &'static str) -> Result<Option<&str>, BadField> {
        let text = self.get(field).map(|bytes| std::str::from_utf8(bytes));
        text.transpose().map_err(|_| BadField(field))
    }

    fn optional_time(&self, field: &'static str) -> Result<Option<UnixTime>, BadField> {
        let millis = self.optional_text(field)?.map(str::parse).transpose();
        Ok(millis.map_err(|_| BadField(field))?.map(UnixTime::from_millis))
    }
}

impl Fields for Map<String, Value> {
    fn optional_text(&self, field: &'static str) -> Result<Option<&str>, BadField> {
        match self.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(BadField(field)),
        }
    }

    fn optional_time(&self, field: &'static str) -> Result<Option<UnixTime>, BadField> {
        match self.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let millis = value.as_u64().ok_or(BadField(field))?;
                Ok(Some(UnixTime::from_millis(millis)))
            }
        }
    }

    fn claims(&self) -> Result<Map<String, Value>, BadField> {
        self.get("claims").and_then(Value::as_object).cloned().ok_or(BadField("claims"))
    }
}

/// Claims as a text.
pub(crate) fn claims_text(claims: &Map<String, Value>) -> String {
    Value::Object(claims.clone()).to_string()
}
