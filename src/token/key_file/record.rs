//! A key as it stands in the file.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use super::{KeyFileError, RingKey};
use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::token::algorithm;
use crate::token::key::{KeyError, KeyId, SigningKey};
use crate::token::rotation::{KeyLifetime, RotationSchedule};
use crate::wire::json;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ring<R> {
    keys: Vec<R>,
}

/// A key in the file; the times are seconds since the Unix epoch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    kid: String,
    algorithm: String,
    #[serde(deserialize_with = "secret")]
    private_pem: Secret,
    created: u64,
    signs_from: u64,
    #[serde(default)]
    retires: Option<u64>,
    #[serde(default)]
    any_kid: bool,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// The same for writing: secrets are borrowed, not copied.
#[derive(Serialize)]
struct Written<'k> {
    kid: &'k str,
    algorithm: &'static str,
    private_pem: &'k str,
    created: u64,
    signs_from: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retires: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    any_kid: bool,
}

/// Reads all keys of the file. The error quotes nothing.
pub(super) fn parse(content: &[u8]) -> Result<RotationSchedule<RingKey>, KeyFileError> {
    let ring: Ring<Record> = json::from_slice(content).map_err(|error| {
        // The library's own message may repeat content of the file.
        KeyFileError::Content(format!("line {}, column {}", error.line(), error.column()))
    })?;
    let mut entries: Vec<(KeyLifetime, RingKey)> = Vec::new();
    for (position, record) in (1..).zip(ring.keys) {
        let (lifetime, key) = read(record, position)?;
        if let Some((_, twin)) = entries.iter().find(|(_, other)| other.id() == key.id()) {
            return Err(KeyFileError::Duplicate(twin.id().cloned().unwrap_or(KeyId::new(""))));
        }
        entries.push((lifetime, key));
    }
    if entries.is_empty() {
        return Err(KeyFileError::Content("it holds no key".to_owned()));
    }
    Ok(entries.into_iter().collect())
}

fn read(record: Record, position: usize) -> Result<(KeyLifetime, RingKey), KeyFileError> {
    let unknown = || KeyError::NotPem("its `algorithm` is not supported here");
    let wrong = |problem| KeyFileError::Key { position, problem };
    let algorithm = algorithm::parse(&record.algorithm).map_err(|_| wrong(unknown()))?;
    let key = SigningKey::from_private_pem(algorithm, &record.private_pem).map_err(wrong)?;
    if key.id().map(KeyId::as_str) != Some(record.kid.as_str()) {
        return Err(KeyFileError::WrongId(position));
    }
    let lifetime = KeyLifetime {
        created: UnixTime::from_secs(record.created),
        signs_from: UnixTime::from_secs(record.signs_from),
        retires: record.retires.map(UnixTime::from_secs),
    };
    let (pem, any_kid) = (record.private_pem, record.any_kid);
    Ok((lifetime, RingKey { pem, key: Arc::new(key), any_kid }))
}

/// The file's content.
pub(super) fn render(
    schedule: &RotationSchedule<RingKey>,
) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let no_text = || KeyFileError::NewKey(KeyError::NotPem("this is not text"));
    let mut keys = Vec::new();
    for (lifetime, key) in schedule.entries() {
        keys.push(Written {
            kid: key.id().map_or("", KeyId::as_str),
            algorithm: algorithm::name(key.key.algorithm()),
            private_pem: key.pem.expose_str().ok_or_else(no_text)?,
            created: lifetime.created.as_secs(),
            signs_from: lifetime.signs_from.as_secs(),
            retires: lifetime.retires.map(UnixTime::as_secs),
            any_kid: key.any_kid,
        });
    }
    let mut content = Zeroizing::new(Vec::with_capacity(4096 * (keys.len() + 1)));
    serde_json::to_writer_pretty(&mut *content, &Ring { keys })
        .map_err(|_| KeyFileError::NewKey(KeyError::UnwritableClaims))?;
    content.push(b'\n');
    Ok(content)
}
