//! A session in Redis: its keys and its fields.

use crate::clock::UnixTime;
use crate::session::{Device, InvalidatedRecord, Session, SessionId, UserId};
use crate::store::redis::{Keys, Redis, Slot};
use crate::store::{BadField, Hash, StoreError, claims_text};

/// The names of the keys.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) session: Keys,
    pub(super) seen: Keys,
    pub(super) user: Keys,
    pub(super) not_before: Keys,
}

impl Names {
    pub(super) fn of(redis: &Redis) -> Self {
        let of_session = |kind| redis.keys(kind, Slot::HashTag(""));
        let of_user = |kind| redis.keys(kind, Slot::HashTag("u:"));
        Self {
            session: of_session("session"),
            seen: of_session("seen"),
            user: of_user("user"),
            not_before: of_user("not-before"),
        }
    }

    /// The prefixes of the keys whose changes invalidate a cached session.
    pub(super) fn invalidation_prefixes(&self) -> Vec<String> {
        [&self.session, &self.not_before].map(|keys| keys.prefix().to_owned()).to_vec()
    }

    /// The record that a change of a key invalidates; a use is no change, and an index decides
    /// nothing.
    pub(super) fn invalidated_record(&self, key: &str) -> Option<InvalidatedRecord> {
        if let Some(id) = self.session.name(key) {
            return SessionId::parse(id).ok().map(InvalidatedRecord::Session);
        }
        UserId::parse(self.not_before.name(key)?).ok().map(InvalidatedRecord::User)
    }
}

pub(super) fn fields(session: &Session) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("user", session.user.as_str().to_owned()),
        ("created", session.created.as_millis().to_string()),
        ("last_seen", session.last_seen.as_millis().to_string()),
        ("expires", session.expires.as_millis().to_string()),
        ("claims", claims_text(&session.claims)),
    ];
    fields.extend(session.device.user_agent.clone().map(|text| ("user_agent", text)));
    fields.extend(session.device.address.map(|address| ("address", address.to_string())));
    let Device { id, name, .. } = &session.device;
    fields.extend(id.as_ref().map(|id| ("device_id", id.as_str().to_owned())));
    fields.extend(name.as_ref().map(|name| ("device_name", name.to_string())));
    fields
}

pub(super) fn read(
    id: &SessionId,
    hash: &Hash,
    seen: Option<&[u8]>,
    before: Option<&[u8]>,
) -> Result<Session, StoreError> {
    let not_before = before.map_or(Some(UnixTime::EPOCH), time).ok_or(BadField("not-before"));
    let session = not_before.and_then(|not_before| Session::read(id, hash, not_before));
    let mut session = session.map_err(|bad| StoreError::corrupt(id, bad))?;
    session.last_seen = session.last_seen.max(seen.and_then(time).unwrap_or_default());
    Ok(session)
}

fn time(bytes: &[u8]) -> Option<UnixTime> {
    std::str::from_utf8(bytes).ok()?.parse().ok().map(UnixTime::from_millis)
}

pub(super) fn user_of(bytes: &[u8]) -> Option<UserId> {
    std::str::from_utf8(bytes).ok().and_then(|text| UserId::parse(text).ok())
}
