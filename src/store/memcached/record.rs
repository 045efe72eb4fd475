//! Records as they are found, and what becomes of them.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Lifetime;
use crate::store::StoreError;
use crate::wire::json;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The content.
    pub value: Vec<u8>,
    /// For how much longer the server means to keep it.
    pub left: Lifetime,
    /// Another one with every change of the record.
    pub version: u64,
}

impl Found {
    /// Parses the content of the record of that name, which is JSON.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it is of another kind.
    pub fn parse<R: DeserializeOwned>(&self, name: impl Display) -> Result<R, StoreError> {
        // What serde says of it could repeat a part of it.
        let parsed = json::from_slice(&self.value);
        parsed.map_err(|_| StoreError::corrupt(name, "it is not of its kind"))
    }
}

/// The value of the record of that name, in JSON.
///
/// # Errors
/// [`StoreError::Corrupt`] where it cannot be written, and then nothing is stored.
pub(crate) fn to_json(name: impl Display, record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let written = serde_json::to_vec(record);
    written.map_err(|_| StoreError::corrupt(name, "it cannot be written"))
}

/// A decision about a record.
#[derive(Clone, Debug)]
pub enum Change<T> {
    /// It stays as it is.
    Leave(T),
    /// It holds this from now on, or is added.
    Write {
        /// The content.
        value: Vec<u8>,
        /// For how long.
        keep: Lifetime,
        /// The outcome when that is done.
        outcome: T,
    },
}
