//! The claims by which clients know an API key.

use serde_json::{Map, Value, json};

use crate::account::{AddressRange, ApiKey, User};
use crate::clock::UnixTime;
use crate::issuer::authnzerver::schema::Parameters;
use crate::issuer::authnzerver::{datetime, ids, profile};
use crate::secret::Secret;
use crate::session::UserId;

/// The claims that a client shows.
pub(super) struct Claimed {
    pub(super) claims: Map<String, Value>,
    pub(super) key: Secret,
    pub(super) user: UserId,
}

impl Claimed {
    pub(super) fn read(given: &Parameters) -> Option<Self> {
        let claims = given.object("apikey_dict")?.clone();
        let key = Secret::new(claims.get("tkn")?.as_str()?);
        let user = ids::read(claims.get("uid")?)?;
        Some(Self { claims, key, user })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// True where what is claimed of a key is what is stored, in each of its bounds and times.
    pub(super) fn is_of(&self, key: &ApiKey) -> bool {
        let bounds = &key.bounds;
        let address = self.text("ipa").and_then(|text| text.parse::<AddressRange>().ok());
        let version = self.claims.get("ver").map(written);
        let are_times =
            times(key).into_iter().all(|(name, time)| self.claims.get(&name) == Some(&time));
        self.text("iss") == bounds.issuer.as_deref()
            && self.text("aud") == bounds.audience.as_deref()
            && self.text("sub") == bounds.subject.as_deref()
            && address == bounds.address
            && version == key.version
            && are_times
    }
}

/// The claims about a new key.
pub(super) struct Claims<'a> {
    pub(super) given: &'a Parameters,
    pub(super) user: &'a User,
    pub(super) key: &'a Secret,
    pub(super) record: &'a ApiKey,
}

impl Claims<'_> {
    pub(super) fn render(&self) -> Map<String, Value> {
        let Self { given, user, key, record } = self;
        let mut claims = Map::new();
        let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        set("iss", json!(record.bounds.issuer));
        set("ver", given.value("apiversion").clone());
        set("uid", ids::shown(user.id.as_str()));
        set("rol", json!(profile::role(user)));
        if record.session.is_some() {
            set("usa", json!(given.text("user_agent")));
        }
        set("aud", json!(record.bounds.audience));
        set("sub", json!(record.bounds.subject));
        set("ipa", json!(given.text("ip_address")));
        set("tkn", json!(key.to_text()));
        claims.extend(times(record));
        claims
    }
}

/// The times of a key, as claims.
pub(super) fn times(key: &ApiKey) -> [(String, Value); 3] {
    let from = key.not_before.unwrap_or(key.created);
    let time = |time: UnixTime| json!(datetime::written(time));
    [
        ("iat".to_owned(), time(key.created)),
        ("nbf".to_owned(), time(from)),
        ("exp".to_owned(), key.expires.map_or(Value::Null, time)),
    ]
}

/// A version as it is stored: a number, or a text.
pub(super) fn written(version: &Value) -> String {
    version.as_str().map_or_else(|| version.to_string(), str::to_owned)
}
