//! What happened to whom, one JSON object a line: for those who have to answer for it later.
//!
//! An event holds names and reasons, and never a password, a token or a key.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::error::IssueError;
use crate::clock::Clock;
use crate::session::SessionId;
use crate::telemetry::audit::AuditLog;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody logged in, by whatever grant.
    Login,
    /// A login was refused.
    LoginRefused,
    /// The account's next logins are refused for a while.
    TemporaryLock,
    /// Tokens were refreshed.
    Refresh,
    /// A refresh was refused.
    RefreshRefused,
    /// A refresh token came back that was used before; its family was ended.
    RefreshReuse,
    /// A client did not show who it is.
    ClientRefused,
    /// A session was ended on request.
    Revoke,
    /// All sessions of a user were ended.
    RevokeAll,
    /// A session had to go for a newer one (MAX_SESSIONS_PER_USER).
    SessionReplaced,
    /// An API key was made.
    KeyMade,
    /// An API key was given a new end.
    KeyRenewed,
    /// A caller without the right asked for an administrator's route.
    AdminRefused,
    /// A user was made.
    UserAdded,
    /// A user was locked by an administrator; all its sessions were ended.
    UserLocked,
    /// A user may log in again.
    UserUnlocked,
    /// A user was deleted.
    UserDeleted,
    /// A user was given another password.
    PasswordSet,
    /// An API key was deleted.
    KeyRevoked,
    /// A client was made.
    ClientAdded,
    /// A client was given another secret.
    ClientRotated,
    /// A client may use no grant any more; it was to be deleted, which came to nothing yet.
    ClientLocked,
    /// A client was deleted, and the sessions that were opened by it were ended.
    ClientDeleted,
    /// A new key was added that will sign tokens.
    SigningKeyAdded,
    /// A key that signed tokens was dropped, and they with it.
    SigningKeyDropped,
    /// Accounts of an older system were taken over.
    Imported,
}

impl Event {
    /// Its name in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::LoginRefused => "login_refused",
            Self::TemporaryLock => "temporary_lock",
            Self::Refresh => "refresh",
            Self::RefreshRefused => "refresh_refused",
            Self::RefreshReuse => "refresh_reuse",
            Self::ClientRefused => "client_refused",
            Self::Revoke => "revoke",
            Self::RevokeAll => "revoke_all",
            Self::SessionReplaced => "session_replaced",
            Self::KeyMade => "key_made",
            Self::KeyRenewed => "key_renewed",
            Self::AdminRefused => "admin_refused",
            Self::UserAdded => "user_added",
            Self::UserLocked => "user_locked",
            Self::UserUnlocked => "user_unlocked",
            Self::UserDeleted => "user_deleted",
            Self::PasswordSet => "password_set",
            Self::KeyRevoked => "key_revoked",
            Self::ClientAdded => "client_added",
            Self::ClientRotated => "client_rotated",
            Self::ClientLocked => "client_locked",
            Self::ClientDeleted => "client_deleted",
            Self::SigningKeyAdded => "signing_key_added",
            Self::SigningKeyDropped => "signing_key_dropped",
            Self::Imported => "imported",
        }
    }
}

/// The audit log of the issuer.
#[derive(Clone, Debug)]
pub struct Audit {
    log: AuditLog,
    clock: Arc<dyn Clock>,
}

impl Audit {
    /// Writes to `log`, with times from `clock`.
    pub fn new(log: AuditLog, clock: Arc<dyn Clock>) -> Self {
        Self { log, clock }
    }

    /// Begins a line about an event.
    pub fn event(&self, event: Event) -> Entry<'_> {
        let mut fields = Map::new();
        fields.insert("time".to_owned(), json!(self.clock.now().to_string()));
        fields.insert("event".to_owned(), json!(event.as_str()));
        Entry { audit: self, fields }
    }
}

/// A line that is being put together; written by [`Entry::write`].
#[derive(Debug)]
#[must_use = "an entry that is not written says nothing"]
pub struct Entry<'a> {
    audit: &'a Audit,
    fields: Map<String, Value>,
}

impl Entry<'_> {
    fn with(mut self, name: &str, value: Option<Value>) -> Self {
        if let Some(value) = value {
            self.fields.insert(name.to_owned(), value);
        }
        self
    }

    /// Whose account: the user's id.
    pub fn user(self, user: &str) -> Self {
        self.with("user", Some(json!(user)))
    }

    /// The name that somebody wrote who may not exist, cut to what a line should hold.
    pub fn login(self, login: &str) -> Self {
        let cut = &login[..login.floor_char_boundary(254)];
        self.with("login", Some(json!(cut)))
    }

    /// The client that asked.
    pub fn client(self, client: Option<&str>) -> Self {
        self.with("client", client.map(|client| json!(client)))
    }

    /// From which address, as far as the gateway is believed.
    pub fn address(self, address: Option<IpAddr>) -> Self {
        self.with("address", address.map(|address| json!(address.to_string())))
    }

    /// Which session.
    pub fn session(self, session: &SessionId) -> Self {
        self.with("session", Some(json!(session.as_str())))
    }

    /// By which grant, or because of what.
    pub fn reason(self, reason: &str) -> Self {
        self.with("reason", Some(json!(reason)))
    }

    /// The error that the client was told.
    pub fn error(self, error: &IssueError) -> Self {
        self.with("error", Some(json!(error.code())))
    }

    /// How many it concerned.
    pub fn count(self, count: u64) -> Self {
        self.with("count", Some(json!(count)))
    }

    /// Writes the line.
    pub fn write(self) {
        self.audit.log.write(&Value::Object(self.fields));
    }
}
