//! The session itself, and the one place that decides whether it is over.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Device, SessionId, UserId};
use crate::clock::UnixTime;
use crate::store::{BadField, Fields};

/// One login of one user on one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Its name, unique among all users.
    pub id: SessionId,
    /// The user.
    pub user: UserId,
    /// The time at which it began. Compared with `not_before`, so it never changes.
    pub created: UnixTime,
    /// The time of its last use, as far as the store knows.
    pub last_seen: UnixTime,
    /// The time at which it is over.
    pub expires: UnixTime,
    /// The device from which the user logged in.
    pub device: Device,
    /// More claims from the login.
    pub claims: Map<String, Value>,
    /// A time of the user, not of the session: a session created at or before it is over. The store
    /// sets it on read and ignores it on `put`; the epoch restricts nothing.
    pub not_before: UnixTime,
}

impl Session {
    /// A session that was not used since it began, of an unknown device and without claims.
    pub fn new(id: SessionId, user: UserId, created: UnixTime, expires: UnixTime) -> Self {
        Self {
            id,
            user,
            created,
            last_seen: created,
            expires,
            device: Device::default(),
            claims: Map::new(),
            not_before: UnixTime::EPOCH,
        }
    }

    /// The session in a record of that id; its user's not-before is kept elsewhere.
    pub(super) fn read(
        id: &SessionId,
        fields: &impl Fields,
        not_before: UnixTime,
    ) -> Result<Self, BadField> {
        Ok(Self {
            id: id.clone(),
            user: fields.parsed("user", UserId::parse)?,
            created: fields.time("created")?,
            last_seen: fields.time("last_seen")?,
            expires: fields.time("expires")?,
            device: Device::read(fields)?,
            claims: fields.claims()?,
            not_before,
        })
    }

    /// Returns whether the other one, of the same id, says the same of who it is and where: only times have passed.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let is_same_user = self.user == other.user && self.created == other.created;
        is_same_user && self.device == other.device && self.claims == other.claims
    }

    /// The reason why this session is over at `now`, or `None` while it lives. Without `inactivity`
    /// a session may be unused for any time.
    ///
    /// A deliberate revocation comes before the passing of time.
    pub fn ended(&self, now: UnixTime, inactivity: Option<Duration>) -> Option<Ended> {
        if self.not_before > UnixTime::EPOCH && self.created <= self.not_before {
            Some(Ended::Revoked)
        } else if self.expires <= now {
            Some(Ended::Expired)
        } else if inactivity.is_some_and(|rest| self.last_seen.after(rest) <= now) {
            Some(Ended::Inactive)
        } else {
            None
        }
    }
}

/// The reason why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// Its end has passed.
    Expired,
    /// It was not used for too long.
    Inactive,
    /// It was ended on purpose, with all of its user's sessions of that time.
    Revoked,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            last_seen: UnixTime::from_millis(2_000),
            ..Session::new(
                SessionId::parse("s").expect("id"),
                UserId::parse("u").expect("user"),
                UnixTime::from_millis(1_000),
                UnixTime::from_millis(9_000),
            )
        }
    }

    #[test]
    fn a_session_is_over_from_its_limit_on() {
        let rest = Some(Duration::from_millis(500));
        for (now, not_before, inactivity, expected) in [
            (8_999, 0, None, None),
            (9_000, 0, None, Some(Ended::Expired)),
            (2_499, 0, rest, None),
            (2_500, 0, rest, Some(Ended::Inactive)),
            (9_000, 0, rest, Some(Ended::Expired)),
            (2_000, 999, None, None),
            (2_000, 1_000, None, Some(Ended::Revoked)),
            (9_000, 1_000, rest, Some(Ended::Revoked)),
        ] {
            let session = Session { not_before: UnixTime::from_millis(not_before), ..session() };
            let ended = session.ended(UnixTime::from_millis(now), inactivity);
            assert_eq!(ended, expected, "at {now}, not before {not_before}");
        }
    }

    #[test]
    fn the_epoch_as_not_before_restricts_nothing() {
        let ancient = Session { created: UnixTime::EPOCH, ..session() };
        assert_eq!(ancient.ended(UnixTime::from_millis(1), None), None);
    }
}
