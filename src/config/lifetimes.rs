//! Times of tokens and of our own keys: lifetimes, rotation, and by how much clocks may differ.

use std::path::PathBuf;
use std::time::Duration;

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

/// More than this is hardly what clocks differ by; it is tp-auth's default.
const MUCH_LEEWAY: Duration = Duration::from_secs(600);

/// LEEWAY. It is read in minutes, as tp-auth does: whoever means seconds is told.
pub(super) fn leeway(reader: &mut Reader<'_>) -> Duration {
    let leeway = reader.get(settings::LEEWAY);
    if leeway > MUCH_LEEWAY {
        let minutes = leeway.as_secs_f64() / 60.0;
        reader.warn(
            settings::LEEWAY,
            format!("is {minutes} minutes, not seconds: tokens are good for so long after `exp`"),
        );
    }
    leeway
}

/// EXPIRY in minutes, or JWT_LEASE_TIME in seconds; both, only if they agree.
pub(super) fn access_lifetime(reader: &mut Reader<'_>) -> Duration {
    let by_minutes = reader.get(settings::EXPIRY);
    let Some(by_seconds) = reader.if_set(settings::JWT_LEASE_TIME) else {
        return by_minutes;
    };
    let (minutes, seconds) =
        (reader.layer(settings::EXPIRY), reader.layer(settings::JWT_LEASE_TIME));
    if minutes > seconds {
        return by_minutes;
    }
    if minutes == seconds && by_minutes != by_seconds {
        let problem = "disagrees with EXPIRY: they are minutes and seconds of one thing";
        reader.wrong(settings::JWT_LEASE_TIME, problem);
    }
    by_seconds
}
