//! What a session is in memcached: its keys, its records, and what is wrong with them.

use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::UnixTime;
use crate::session::{Device, Session, SessionId, UserId};
use crate::store::StoreError;
use crate::store::memcached::{Found, Key};

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

/// A session. Times are milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SessionRecord {
    pub(super) user: String,
    /// It is over unless this is the user's.
    pub(super) generation: String,
    created: u64,
    last_seen: u64,
    pub(super) expires: u64,
    user_agent: Option<String>,
    address: Option<IpAddr>,
    claims: Map<String, Value>,
}

/// When a session was last used.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SeenRecord {
    pub(super) at: u64,
}

/// A user.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UserRecord {
    pub(super) user: String,
    /// That of the sessions which are not over; without, all are.
    pub(super) generation: Option<String>,
    /// Sessions that were created by then are over, whatever their generation.
    pub(super) not_before: u64,
}

impl SessionRecord {
    pub(super) fn of(session: &Session, generation: String) -> Self {
        Self {
            user: session.user.as_str().to_owned(),
            generation,
            created: session.created.as_millis(),
            last_seen: session.last_seen.as_millis(),
            expires: session.expires.as_millis(),
            user_agent: session.device.user_agent.clone(),
            address: session.device.address,
            claims: session.claims.clone(),
        }
    }

    pub(super) fn read(id: &SessionId, found: &Found) -> Result<Self, StoreError> {
        parse(id.as_str(), found)
    }

    pub(super) fn owner(&self, id: &SessionId) -> Result<UserId, StoreError> {
        UserId::parse(&self.user).map_err(|_| corrupt(id.as_str(), "bad field user"))
    }

    /// The session of `user`, who is known to be its owner.
    pub(super) fn into_session(
        self,
        id: &SessionId,
        user: &UserId,
        seen: Option<&SeenRecord>,
        not_before: u64,
    ) -> Session {
        let last_seen = seen.map_or(self.last_seen, |seen| seen.at.max(self.last_seen));
        Session {
            id: id.clone(),
            user: user.clone(),
            created: UnixTime::from_millis(self.created),
            last_seen: UnixTime::from_millis(last_seen),
            expires: UnixTime::from_millis(self.expires),
            device: Device { user_agent: self.user_agent, address: self.address },
            claims: self.claims,
            not_before: UnixTime::from_millis(not_before),
        }
    }
}

impl SeenRecord {
    pub(super) fn read(id: &SessionId, found: &Found) -> Result<Self, StoreError> {
        parse(id.as_str(), found)
    }
}

impl UserRecord {
    /// Of a user about whom nothing was known.
    pub(super) fn new(user: &UserId) -> Self {
        Self { user: user.as_str().to_owned(), generation: None, not_before: 0 }
    }

    pub(super) fn read(user: &UserId, found: &Found) -> Result<Self, StoreError> {
        let record: Self = parse("of a user", found)?;
        if record.user == user.as_str() {
            Ok(record)
        } else {
            Err(corrupt("of a user", "it is another's"))
        }
    }
}

pub(super) fn bytes(record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    // Nothing in these records can fail to be written; if it does, nothing is stored.
    serde_json::to_vec(record).map_err(|_| corrupt("?", "it cannot be written"))
}

fn parse<R: DeserializeOwned>(name: &str, found: &Found) -> Result<R, StoreError> {
    // What serde says of it could repeat a part of it.
    serde_json::from_slice(&found.value).map_err(|_| corrupt(name, "it is not of its kind"))
}

fn corrupt(name: &str, reason: &str) -> StoreError {
    StoreError::Corrupt { id: name.to_owned(), reason: reason.to_owned() }
}
