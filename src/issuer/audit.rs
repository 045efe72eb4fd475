//! The audit log: what happened to whom, one JSON object a line, and the same in a table of the
//! accounts' database, where it can be searched.
//!
//! An event holds names and reasons, and never a password, a token or a key. Where there is a key for
//! pseudonyms, names and addresses are hashed before they go anywhere. Nobody waits for either.

pub mod queue;
pub mod search;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::queue::EventQueue;
use super::error::IssueError;
use crate::account::{AuditEvent, AuditStore, Login};
use crate::clock::{Clock, UnixTime};
use crate::policy::PolicyRule;
use crate::secret::pseudonym::{Personal, Pseudonyms};
use crate::session::SessionId;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::rate::{LineLimiter, LineRate};

/// The longest value of a field, in bytes: names may come from anybody.
const MAX_FIELD_BYTES: usize = 254;
/// Rate at which refusals of a kind are written. The rest are counted, and the next line says how
/// many there were.
const REFUSALS: LineRate = LineRate { burst: 500, per_second: 50 };

/// An event; its name in the log is that of the variant in snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// A refresh token, of a session or of an API key, came back that was used before; its family was
    /// ended.
    RefreshReuse,
    /// A client did not show who it is.
    ClientRefused,
    /// A ticket for a web socket was given out.
    Ticket,
    /// A session was ended on request.
    Revoke,
    /// All sessions of a user were ended.
    RevokeAll,
    /// A session had to go for a newer one (MAX_SESSIONS_PER_USER, REPLACE_DEVICE_SESSIONS).
    SessionReplaced,
    /// An API key was made.
    KeyMade,
    /// An API key was given a new end.
    KeyRenewed,
    /// An API key was refreshed: another took its place.
    KeyRefreshed,
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
    /// A user was changed.
    UserChanged,
    /// An e-mail was shown to be the user's.
    UserVerified,
    /// A one-time link was made, for this purpose.
    LinkMade,
    /// A one-time link was refused.
    LinkRefused,
    /// An API key was deleted.
    KeyRevoked,
    /// All API keys of a user were deleted.
    KeysRevoked,
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
    /// A user was given a role.
    RoleGranted,
    /// A role was taken from a user; all its sessions were ended.
    RoleRevoked,
    /// Rules of Casbin were added to the database.
    PolicyRuleAdded,
    /// Rules of Casbin were removed from the database.
    PolicyRuleRemoved,
    /// Accounts of an older system were taken over.
    Imported,
    /// Audit events were deleted from the database before their time, by a command.
    AuditPurged,
}

impl Event {
    /// Events that strangers can cause as often as they like.
    const REFUSALS: [Self; 5] = [
        Self::LoginRefused,
        Self::RefreshRefused,
        Self::ClientRefused,
        Self::AdminRefused,
        Self::LinkRefused,
    ];
}

/// The audit log of the issuer.
#[derive(Clone, Debug)]
pub struct Audit {
    log: AuditLog,
    table: Option<Table>,
    pseudonyms: Pseudonyms,
    clock: Arc<dyn Clock>,
    /// A rate limiter for each of [`Event::REFUSALS`].
    refusals: Arc<[Mutex<LineLimiter>; 5]>,
}

/// The table of events: the way into it, and the store in which it is searched.
#[derive(Clone, Debug)]
struct Table {
    queue: EventQueue,
    /// None for a command, which opens it when it has ended.
    store: Option<Arc<dyn AuditStore>>,
}

impl Audit {
    /// Writes to `log`, with times from `clock`.
    pub fn new(log: AuditLog, clock: Arc<dyn Clock>) -> Self {
        let refusals = Event::REFUSALS.map(|_| Mutex::new(LineLimiter::new(REFUSALS)));
        let pseudonyms = Pseudonyms::default();
        Self { log, table: None, pseudonyms, clock, refusals: Arc::new(refusals) }
    }

    /// The same, which writes pseudonyms in place of names and addresses.
    pub fn with_pseudonyms(self, pseudonyms: Pseudonyms) -> Self {
        Self { pseudonyms, ..self }
    }

    /// The same, whose events go into a table too.
    pub fn with_table(self, queue: EventQueue, store: Option<Arc<dyn AuditStore>>) -> Self {
        Self { table: Some(Table { queue, store }), ..self }
    }

    /// The maker of pseudonyms of names and addresses, for other logs.
    pub(super) fn pseudonyms(&self) -> &Pseudonyms {
        &self.pseudonyms
    }

    /// Number of events of its kind that were left out before this one; `None` where this one is too.
    fn left_out(&self, event: Event) -> Option<u64> {
        let Some(place) = Event::REFUSALS.iter().position(|refusal| *refusal == event) else {
            return Some(0);
        };
        let mut limiter = self.refusals[place].lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = limiter.take(self.clock.monotonic());
        if left_out.is_none() {
            self.log.count_suppressed();
        }
        left_out
    }

    /// Begins a line about an event.
    pub fn event(&self, event: Event) -> Entry<'_> {
        let time = self.clock.now();
        let mut fields = Map::new();
        fields.insert("time".to_owned(), json!(time.to_string()));
        fields.insert("event".to_owned(), json!(event));
        Entry { audit: self, event, time, fields, login: None, is_audited: true }
    }
}

/// The form in which a login name is kept and searched: one name has one form, however it is
/// written. What is no name is searched as it was written.
fn searched_login(login: &str, pseudonyms: &Pseudonyms) -> String {
    let parsed = Login::parse(login);
    let form = parsed.as_ref().map_or(login, Login::canonical);
    pseudonyms.of(Personal::Name, cut(form)).replace('\0', NO_NUL)
}

/// A text, cut to what a line should hold.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_FIELD_BYTES)]
}

/// The character that stands for NUL, which PostgreSQL takes in no text.
const NO_NUL: &str = "\u{fffd}";

/// A line that is being put together; written by [`Entry::write`].
#[derive(Debug)]
#[must_use = "an entry that is not written says nothing"]
pub struct Entry<'a> {
    audit: &'a Audit,
    event: Event,
    time: UnixTime,
    fields: Map<String, Value>,
    /// The name that was written, as it is searched.
    login: Option<String>,
    /// False where the log does not record such an error.
    is_audited: bool,
}

impl Entry<'_> {
    /// Adds a text, cut to what a line should hold.
    fn text(mut self, name: &str, text: &str) -> Self {
        self.fields.insert(name.to_owned(), json!(cut(text).replace('\0', NO_NUL)));
        self
    }

    /// Adds the id of the user whose account it is.
    pub fn user(self, user: &str) -> Self {
        let user = self.audit.pseudonyms.of_user(user);
        self.text("user", &user)
    }

    /// Adds the name that was written, which may be nobody's.
    pub fn login(mut self, login: &str) -> Self {
        let searched = searched_login(login, &self.audit.pseudonyms);
        self.login = Some(searched.clone());
        let is_hashed = self.audit.pseudonyms.is_on();
        self.text("login", if is_hashed { &searched } else { login })
    }

    /// Adds the client that asked.
    pub fn client(self, client: Option<&str>) -> Self {
        match client {
            Some(client) => self.text("client", client),
            None => self,
        }
    }

    /// Adds the address of the caller, as far as the gateway is believed.
    pub fn address(self, address: Option<IpAddr>) -> Self {
        match address {
            Some(address) => {
                let address = self.audit.pseudonyms.of_address(address);
                self.text("address", &address)
            }
            None => self,
        }
    }

    /// Adds the session.
    pub fn session(self, session: &SessionId) -> Self {
        self.text("session", session.as_str())
    }

    /// Adds the grant, or the reason.
    pub fn reason(self, reason: &str) -> Self {
        self.text("reason", reason)
    }

    /// Adds the role that was given or taken.
    pub fn role(self, role: &str) -> Self {
        self.text("role", role)
    }

    /// Adds a rule of Casbin. Any of its values may be a user's id.
    pub fn rule(self, rule: &PolicyRule) -> Self {
        let pseudonyms = &self.audit.pseudonyms;
        let fields = rule.fields.iter().map(|field| pseudonyms.of_user(field).into_owned());
        let rule = PolicyRule { kind: rule.kind.clone(), fields: fields.collect() };
        self.text("rule", &rule.to_string())
    }

    /// Adds the error that the client was told. Refusals for coming too often are not written.
    pub fn error(mut self, error: &IssueError) -> Self {
        self.is_audited &= error.is_audited();
        self.text("error", error.code())
    }

    /// Adds a number, of sessions for instance.
    pub fn count(mut self, count: u64) -> Self {
        self.fields.insert("count".to_owned(), json!(count));
        self
    }

    /// Writes the line, unless too many of its kind come at once.
    pub fn write(mut self) {
        if !self.is_audited {
            return;
        }
        let Some(left_out) = self.audit.left_out(self.event) else { return };
        if left_out > 0 {
            self.fields.insert("left_out".to_owned(), json!(left_out));
        }
        let line = Value::Object(self.fields);
        self.audit.log.write(&line);
        if let (Some(table), Value::Object(fields)) = (&self.audit.table, line) {
            table.queue.push(kept(self.time, self.login, fields));
        }
    }
}

/// The event of a line, as the table has it: its fields in columns, and what has none as the rest.
fn kept(time: UnixTime, login: Option<String>, mut fields: Map<String, Value>) -> AuditEvent {
    let left_out = fields.remove("left_out").and_then(|count| count.as_u64());
    let mut text = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let (_, written) = (text("time"), text("login"));
    AuditEvent {
        id: String::new(),
        time,
        kind: text("event").unwrap_or_default(),
        user: text("user"),
        login: login.or(written),
        address: text("address"),
        session: text("session"),
        client: text("client"),
        reason: text("reason"),
        error: text("error"),
        left_out: left_out.unwrap_or_default(),
        rest: fields,
    }
}

#[cfg(test)]
mod tests;
