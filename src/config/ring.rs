//! KEY_RING_FILE: our own keys, which rotate; and the times of a rotation.

use std::path::PathBuf;
use std::time::Duration;

use super::issuance::access_lifetime;
use super::keys::{SOURCES, leeway};
use super::reader::Reader;
use crate::token::key_file::{self, KeyFileError};
use crate::token::{Algorithm, algorithm};

/// What the settings say of the rotation of keys.
#[derive(Clone, Debug)]
pub struct RotationConfig {
    /// The file, if one is named. It may not be there yet.
    pub ring: Option<PathBuf>,
    /// The algorithm of new keys, where one is named.
    pub algorithm: Option<Algorithm>,
    /// How long a key is published before it signs: time for two reads of those who verify.
    pub publish_ahead: Duration,
    /// How long access tokens are good.
    pub token_lifetime: Duration,
    /// By how much clocks may differ.
    pub leeway: Duration,
}

impl RotationConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let algorithm =
            reader.optional("ALGORITHM").filter(|_| reader.found("ALGORITHM").is_some());
        let algorithm = algorithm.and_then(|name| {
            let read = algorithm::parse(&name);
            read.map_err(|error| reader.wrong("ALGORITHM", error.to_string())).ok()
        });
        Self {
            ring: reader.path("KEY_RING_FILE"),
            algorithm,
            publish_ahead: reader.seconds("JWKS_REFRESH", 1.0, 86_400.0).saturating_mul(2),
            token_lifetime: access_lifetime(reader),
            leeway: leeway(reader),
        }
    }
}

/// The file of KEY_RING_FILE, once it is read; what is wrong with it or beside it is told.
pub(super) fn file(reader: &mut Reader<'_>) -> Option<PathBuf> {
    let path = reader.path("KEY_RING_FILE")?;
    let others = SOURCES.iter().filter(|name| **name != "KEY_RING_FILE");
    let others: Vec<_> = others.filter(|name| reader.found(name).is_some()).copied().collect();
    if !others.is_empty() {
        let problem = format!(
            "{} is set too, and our own keys have one place: take a private key over with \
             `portcullis key rotate --import FILE`, then unset it; those of others belong into \
             [[issuers]]",
            others.join(", ")
        );
        reader.wrong("KEY_RING_FILE", problem);
    }
    let place = path.display();
    match key_file::read(&path) {
        Ok(_) => {}
        Err(error @ KeyFileError::Missing) => reader.wrong(
            "KEY_RING_FILE",
            format!("{place}: {error}; `portcullis key rotate --ring {place}` makes it"),
        ),
        Err(error) => reader.wrong("KEY_RING_FILE", format!("{place}: {error}")),
    }
    Some(path)
}
