//! A session in memcached: its keys and its records.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::clock::UnixTime;
use crate::session::{DeviceId, DeviceName, Session, SessionId, UserId};
use crate::store::memcached::{Found, Key, to_json};
use crate::store::{Fields as _, StoreError};

pub(super) const SESSION: &str = "portcullis:session:";
const SEEN: &str = "portcullis:seen:";
const USER: &str = "portcullis:user:";

pub(super) fn session_key(id: &SessionId) -> Key {
    Key::plain(SESSION, id.as_str())
}

/// On the same server as the session.
pub(super) fn seen_key(id: &SessionId) -> Key {
    Key::plain(SEEN, id.as_str())
}

pub(super) fn user_key(user: &UserId) -> Key {
    Key::hashed(USER, user.as_str())
}

/// A session.
#[derive(Debug)]
pub(super) struct SessionRecord {
    pub(super) session: Session,
    /// It is over unless this is the user's.
    pub(super) generation: String,
}

/// The moment at which a session was last used.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SeenRecord {
    pub(super) at: u64,
}

/// A user.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UserRecord {
    pub(super) user: String,
    /// The generation of the sessions that are not over; without it all are.
    pub(super) generation: Option<String>,
    /// Sessions that were created by then are over, whatever their generation.
    pub(super) not_before: u64,
}

impl SessionRecord {
    /// Times are milliseconds.
    pub(super) fn value(&self) -> Result<Vec<u8>, StoreError> {
        let session = &self.session;
        let fields = json!({
            "user": session.user.as_str(),
            "generation": self.generation,
            "created": session.created.as_millis(),
            "last_seen": session.last_seen.as_millis(),
            "expires": session.expires.as_millis(),
            "user_agent": session.device.user_agent,
            "address": session.device.address,
            "device_id": session.device.id.as_ref().map(DeviceId::as_str),
            "device_name": session.device.name.as_ref().map(DeviceName::as_str),
            "claims": session.claims,
        });
        to_json(&session.id, &fields)
    }

    pub(super) fn read(id: &SessionId, found: &Found) -> Result<Self, StoreError> {
        let fields: Map<String, Value> = found.parse(id)?;
        let generation = fields.text("generation").map(str::to_owned);
        let session = Session::read(id, &fields, UnixTime::EPOCH);
        let record = session.and_then(|session| Ok(Self { session, generation: generation? }));
        record.map_err(|bad| StoreError::corrupt(id, bad))
    }
}

impl UserRecord {
    /// Of a user about whom nothing was known.
    pub(super) fn new(user: &UserId) -> Self {
        Self { user: user.as_str().to_owned(), generation: None, not_before: 0 }
    }

    pub(super) fn read(user: &UserId, found: &Found) -> Result<Self, StoreError> {
        let record: Self = found.parse("of a user")?;
        if record.user == user.as_str() {
            Ok(record)
        } else {
            Err(StoreError::corrupt("of a user", "it is another's"))
        }
    }
}
