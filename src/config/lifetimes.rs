//! Times that tokens and keys go by: how long tokens live, and by how much clocks may differ.

use std::time::Duration;

use super::reader::Reader;
use super::settings;

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
