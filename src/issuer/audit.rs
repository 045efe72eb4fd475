//! The audit log: what happened to whom, one JSON object a line.
//!
//! An event holds names and reasons, and never a password, a token or a key.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::error::IssueError;
use crate::clock::Clock;
use crate::session::SessionId;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::rate::{LineLimiter, LineRate};

/// The longest value of a field, in bytes: names may come from anybody.
const MAX_FIELD_BYTES: usize = 254;
/// Rate at which refusals of a kind are written. The rest are counted, and the next line says how
/// many there were.
const REFUSALS: LineRate = LineRate { burst: 500, per_second: 50 };

/// An event; its name in the log is that of the variant in snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
    /// A refresh token came back that was used before; its family was ended.
    RefreshReuse,
    /// A client did not show who it is.
    ClientRefused,
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
    clock: Arc<dyn Clock>,
    /// A rate limiter for each of [`Event::REFUSALS`].
    refusals: Arc<[Mutex<LineLimiter>; 5]>,
}

impl Audit {
    /// Writes to `log`, with times from `clock`.
    pub fn new(log: AuditLog, clock: Arc<dyn Clock>) -> Self {
        let refusals = Event::REFUSALS.map(|_| Mutex::new(LineLimiter::new(REFUSALS)));
        Self { log, clock, refusals: Arc::new(refusals) }
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
        let mut fields = Map::new();
        fields.insert("time".to_owned(), json!(self.clock.now().to_string()));
        fields.insert("event".to_owned(), json!(event));
        Entry { audit: self, event, fields, is_audited: true }
    }
}

/// A line that is being put together; written by [`Entry::write`].
#[derive(Debug)]
#[must_use = "an entry that is not written says nothing"]
pub struct Entry<'a> {
    audit: &'a Audit,
    event: Event,
    fields: Map<String, Value>,
    /// False where the log does not record such an error.
    is_audited: bool,
}

impl Entry<'_> {
    /// Adds a text, cut to what a line should hold.
    fn text(mut self, name: &str, text: &str) -> Self {
        let cut = &text[..text.floor_char_boundary(MAX_FIELD_BYTES)];
        self.fields.insert(name.to_owned(), json!(cut));
        self
    }

    /// Adds the id of the user whose account it is.
    pub fn user(self, user: &str) -> Self {
        self.text("user", user)
    }

    /// Adds the name that was written, which may be nobody's.
    pub fn login(self, login: &str) -> Self {
        self.text("login", login)
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
            Some(address) => self.text("address", &address.to_string()),
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
        self.audit.log.write(&Value::Object(self.fields));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{ManualClock, UnixTime};
    use crate::telemetry::audit::AuditTarget;

    /// The lines that `tell` wrote.
    fn written(tell: impl FnOnce(&Audit, &ManualClock)) -> Vec<Value> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("audit.jsonl");
        let (log, writer) = AuditLog::start(&AuditTarget::File(path.clone())).expect("open");
        let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1)));
        tell(&Audit::new(log, clock.clone()), &clock);
        writer.finish();
        let text = std::fs::read_to_string(&path).expect("read");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn no_name_or_path_makes_a_line_long() {
        let long = "é".repeat(300_000);
        let lines = written(|audit, _| {
            audit.event(Event::ClientRefused).client(Some(&long)).write();
            audit.event(Event::AdminRefused).reason(&long).write();
            audit.event(Event::LoginRefused).login(&long).user(&long).write();
        });
        assert_eq!(lines.len(), 3);
        for line in lines {
            assert!(line.to_string().len() < 1_000, "{line:.100}");
        }
    }

    #[test]
    fn a_flood_of_refusals_is_cut_and_counted_and_hides_nothing_else() {
        let lines = written(|audit, clock| {
            let refuse = || audit.event(Event::AdminRefused).error(&IssueError::InvalidToken);
            (0..5_000).for_each(|_| refuse().write());
            audit.event(Event::Login).user("alice").write();
            clock.advance(Duration::from_secs(60));
            refuse().write();
        });
        let of = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
        assert_eq!((of("admin_refused"), of("login")), (501, 1));
        assert_eq!(lines.last().expect("lines")["left_out"], 4_500);
    }

    #[test]
    fn what_came_too_often_is_not_written_whoever_tells_of_it() {
        let lines = written(|audit, _| {
            let error = IssueError::SlowDown(Duration::from_secs(1));
            audit.event(Event::AdminRefused).error(&error).reason("/admin/sessions").write();
            audit.event(Event::ClientRefused).error(&IssueError::Busy).write();
        });
        assert_eq!(lines, Vec::<Value>::new());
    }
}
