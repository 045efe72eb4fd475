//! What a session is in Redis: its keys, its fields, and what is wrong with them.

use std::collections::HashMap;

use crate::clock::UnixTime;
use crate::session::{Device, InvalidatedRecord, Session, SessionId, UserId};
use crate::store::Failure;
use crate::store::StoreError;
use crate::store::redis::{Keys, Redis, Slot};

/// How the keys are named.
#[derive(Debug)]
pub(super) struct Names {
    session: Keys,
    seen: Keys,
    user: Keys,
    not_before: Keys,
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

    pub(super) fn session(&self, id: &SessionId) -> String {
        self.session.of(id.as_str())
    }

    pub(super) fn session_named(&self, id: &str) -> String {
        self.session.of(id)
    }

    pub(super) fn seen(&self, id: &SessionId) -> String {
        self.seen.of(id.as_str())
    }

    pub(super) fn seen_named(&self, id: &str) -> String {
        self.seen.of(id)
    }

    pub(super) fn user(&self, user: &UserId) -> String {
        self.user.of(user.as_str())
    }

    pub(super) fn user_named(&self, user: &str) -> String {
        self.user.of(user)
    }

    pub(super) fn not_before(&self, user: &UserId) -> String {
        self.not_before.of(user.as_str())
    }

    pub(super) fn not_before_named(&self, user: &str) -> String {
        self.not_before.of(user)
    }

    /// Those of all sessions.
    pub(super) fn sessions(&self) -> &Keys {
        &self.session
    }

    /// Those of all indexes.
    pub(super) fn users(&self) -> &Keys {
        &self.user
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

/// A session as Redis has it: bytes, which may be anything.
pub(super) type Record = HashMap<String, Vec<u8>>;

pub(super) fn fields(session: &Session) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("user", session.user.as_str().to_owned()),
        ("created", session.created.as_millis().to_string()),
        ("last_seen", session.last_seen.as_millis().to_string()),
        ("expires", session.expires.as_millis().to_string()),
        ("claims", serde_json::Value::Object(session.claims.clone()).to_string()),
    ];
    fields.extend(session.device.user_agent.clone().map(|text| ("user_agent", text)));
    fields.extend(session.device.address.map(|address| ("address", address.to_string())));
    fields
}

pub(super) fn read(
    id: &SessionId,
    record: &Record,
    seen: Option<&[u8]>,
    before: Option<&[u8]>,
) -> Result<Session, StoreError> {
    let bad = |field| corrupt(id.as_str(), field);
    let optional = |field: &'static str| {
        let value = record.get(field).map(|bytes| std::str::from_utf8(bytes));
        value.transpose().map_err(|_| bad(field))
    };
    let text = |field: &'static str| optional(field)?.ok_or_else(|| bad(field));
    let time = |field: &'static str| parse_time(text(field)?).ok_or_else(|| bad(field));
    let bytes_as_time = |bytes| std::str::from_utf8(bytes).ok().and_then(parse_time);
    let before = before.map(bytes_as_time);
    Ok(Session {
        id: id.clone(),
        user: UserId::parse(text("user")?).map_err(|_| bad("user"))?,
        created: time("created")?,
        last_seen: time("last_seen")?.max(seen.and_then(bytes_as_time).unwrap_or(UnixTime::EPOCH)),
        expires: time("expires")?,
        device: Device {
            user_agent: optional("user_agent")?.map(str::to_owned),
            address: optional("address")?
                .map(str::parse)
                .transpose()
                .map_err(|_| bad("address"))?,
        },
        claims: serde_json::from_str(text("claims")?).map_err(|_| bad("claims"))?,
        not_before: before.unwrap_or(Some(UnixTime::EPOCH)).ok_or_else(|| bad("not-before"))?,
    })
}

fn parse_time(text: &str) -> Option<UnixTime> {
    text.parse().ok().map(UnixTime::from_millis)
}

pub(super) fn user_of(bytes: &[u8]) -> Option<UserId> {
    std::str::from_utf8(bytes).ok().and_then(|text| UserId::parse(text).ok())
}

pub(super) fn corrupt(name: &str, field: &'static str) -> StoreError {
    StoreError::Corrupt { id: name.to_owned(), reason: format!("bad field {field}") }
}

/// For commands on one session.
pub(super) fn on(id: &SessionId) -> impl Fn(redis::RedisError) -> StoreError {
    move |error| StoreError::about(Failure::of(&error), id.as_str())
}

/// For commands on no particular session.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
pub(super) fn on_user(error: redis::RedisError) -> StoreError {
    Failure::of(&error).into()
}
