//! Rotation of our own keys: the file, and the times.

use std::path::PathBuf;
use std::time::Duration;

use super::lifetimes::{access_lifetime, leeway};
use super::reader::Reader;
use super::settings;
use crate::token::Algorithm;

/// The settings that concern the rotation of keys.
#[derive(Clone, Debug)]
pub struct RotationConfig {
    /// The file, if one is named. It may not be there yet.
    pub ring: Option<PathBuf>,
    /// The algorithm of new keys, where one is named.
    pub algorithm: Option<Algorithm>,
    /// The time that a key is published before it signs: enough for two reads of those who verify.
    pub publish_ahead: Duration,
    /// The lifetime of access tokens.
    pub token_lifetime: Duration,
    /// The time by which clocks may differ.
    pub leeway: Duration,
}

impl RotationConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            ring: reader.get(settings::KEY_RING_FILE),
            algorithm: reader.if_set(settings::ALGORITHM).flatten(),
            publish_ahead: reader.get(settings::JWKS_REFRESH).saturating_mul(2),
            token_lifetime: access_lifetime(reader),
            leeway: leeway(reader),
        }
    }
}
