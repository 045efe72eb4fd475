//! Tickets: what a browser shows to open a web socket, where it can send no header. A ticket is good
//! for seconds and for one handshake, whichever process takes it, and stands for the claims of the
//! access token for which it was given. It is kept by its digest.
//!
//! Of any number who show one ticket, one is told what it stands for. Where the store cannot say,
//! nobody is.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::record::{TokenDigest, generate, is_generated};
use crate::clock::UnixTime;
use crate::secret::{Random, RandomFailed, Secret};
use crate::session::{SessionId, UserId};
use crate::store::records::{Record, Records};
use crate::store::{Operation, StoreError};

/// The beginning of a ticket, which no token, handle or API key has.
pub const TICKET_PREFIX: &str = "pt_";

/// The tickets that were given out. A clone is the same.
#[derive(Clone, Debug)]
pub struct Tickets {
    records: Records,
}

/// The session and the claims that a ticket stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    /// The user.
    pub user: UserId,
    /// The session, without which it is worth nothing.
    pub session: SessionId,
    /// The claims of the access token for which it was given.
    pub claims: Map<String, Value>,
    /// The end of that token.
    pub token_expires: UnixTime,
    /// Its own end.
    pub expires: UnixTime,
}

/// The reason why there is no ticket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// The random source gave nothing.
    #[error(transparent)]
    Random(#[from] RandomFailed),
    /// It may be stored or not; nobody was told of it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A ticket as it is kept. One that was taken says so until its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct TicketRecord {
    /// In milliseconds since the Unix epoch.
    expires: u64,
    /// `None`: it was taken.
    content: Option<Content>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Content {
    user: String,
    session: String,
    claims: Map<String, Value>,
    token_expires: u64,
}

impl Record for TicketRecord {
    const KIND: &'static str = "ticket";
    /// Clocks of instances may differ by so much; beyond it one that was taken is not known any more,
    /// and neither is it good.
    const MARGIN: Duration = Duration::from_secs(60);

    fn end(&self) -> UnixTime {
        UnixTime::from_millis(self.expires)
    }
}

impl TicketRecord {
    fn of(ticket: &Ticket) -> Self {
        let content = Content {
            user: ticket.user.as_str().to_owned(),
            session: ticket.session.as_str().to_owned(),
            claims: ticket.claims.clone(),
            token_expires: ticket.token_expires.as_millis(),
        };
        Self { expires: ticket.expires.as_millis(), content: Some(content) }
    }

    /// The ticket, if it was not taken and is good at `now`. What cannot be read is none.
    fn read(self, now: UnixTime) -> Option<Ticket> {
        let expires = self.end();
        let Content { user, session, claims, token_expires } =
            self.content.filter(|_| now < expires)?;
        Some(Ticket {
            user: UserId::parse(&user).ok()?,
            session: SessionId::parse(&session).ok()?,
            claims,
            token_expires: UnixTime::from_millis(token_expires),
            expires,
        })
    }
}

impl Tickets {
    /// Tickets among these records.
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    /// Returns whether a text has the form of a ticket: the prefix, and the text of 256 bits.
    pub fn is_ticket(text: &str) -> bool {
        let random = text.strip_prefix(TICKET_PREFIX);
        random.is_some_and(|random| is_generated(&Secret::new(random)))
    }

    /// Keeps a ticket, and returns the text that is shown for it.
    ///
    /// # Errors
    /// [`TicketError`]; then nobody has the text.
    pub async fn put(
        &self,
        ticket: &Ticket,
        now: UnixTime,
        random: &dyn Random,
    ) -> Result<Secret, TicketError> {
        let random = generate(random)?;
        let text = format!("{TICKET_PREFIX}{}", random.expose_str().unwrap_or_default());
        let record = TicketRecord::of(ticket);
        let decide = move |_: Option<TicketRecord>| ((), Some(record.clone()));
        self.records.change(Operation::Put, &name(&text), now, decide).await?;
        Ok(Secret::new(text))
    }

    /// Takes a ticket, which is good once: what it stands for, if it is good at `now`.
    ///
    /// # Errors
    /// [`StoreError`]; then it may have been taken, and nobody was told what it stands for.
    pub async fn take(&self, text: &str, now: UnixTime) -> Result<Option<Ticket>, StoreError> {
        let decide = move |kept: Option<TicketRecord>| match kept {
            Some(kept) if kept.content.is_some() && now < kept.end() => {
                let taken = TicketRecord { content: None, ..kept.clone() };
                (kept.read(now), Some(taken))
            }
            _ => (None, None),
        };
        self.records.change(Operation::TakeTicket, &name(text), now, decide).await
    }

    /// Reads what a ticket stands for, and takes it not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read(&self, text: &str, now: UnixTime) -> Result<Option<Ticket>, StoreError> {
        let kept = self.records.read::<TicketRecord>(Operation::Get, &name(text)).await?;
        Ok(kept.and_then(|kept| kept.read(now)))
    }
}

/// The name of a ticket's record: its digest.
fn name(text: &str) -> String {
    TokenDigest::of(text).name()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::clock::ManualClock;
    use crate::secret::SystemRandom;
    use crate::store::records::{MemoryRecordStore, RecordStore};
    use crate::store::{StoreKind, StoreMetrics};

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(1_000 + seconds)
    }

    fn ticket() -> Ticket {
        let Value::Object(claims) = json!({"sub": "alice", "scope": "a b"}) else { unreachable!() };
        Ticket {
            user: UserId::parse("alice").unwrap(),
            session: SessionId::parse("s").unwrap(),
            claims,
            token_expires: at(900),
            expires: at(10),
        }
    }

    fn tickets(store: Arc<dyn RecordStore>) -> Tickets {
        let clock = Arc::new(ManualClock::at(at(0)));
        let metrics = StoreMetrics::unregistered(StoreKind::Limits);
        Tickets::new(Records::new(store, Duration::from_secs(60), clock, metrics))
    }

    async fn given(tickets: &Tickets) -> String {
        let text = tickets.put(&ticket(), at(0), &SystemRandom).await.unwrap();
        text.expose_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_ticket_is_good_once_and_until_its_end() {
        let tickets = tickets(Arc::new(MemoryRecordStore::new()));
        let text = given(&tickets).await;
        assert!(Tickets::is_ticket(&text), "{text}");
        assert_eq!(tickets.read(&text, at(9)).await, Ok(Some(ticket())));
        assert_eq!(tickets.take(&text, at(9)).await, Ok(Some(ticket())));
        assert_eq!(tickets.read(&text, at(9)).await, Ok(None));
        assert_eq!(tickets.take(&text, at(9)).await, Ok(None));
        let late = given(&tickets).await;
        assert_eq!(tickets.take(&late, at(10)).await, Ok(None));
        // A clock that is behind does not make it good again.
        assert_eq!(tickets.take(&text, at(0)).await, Ok(None));
        let unknown = format!("{TICKET_PREFIX}{}", "A".repeat(43));
        assert_eq!(tickets.take(&unknown, at(0)).await, Ok(None));
    }

    #[tokio::test]
    async fn of_many_who_show_one_ticket_in_several_processes_one_gets_in() {
        let store: Arc<dyn RecordStore> = Arc::new(MemoryRecordStore::new());
        let processes = [tickets(store.clone()), tickets(store.clone()), tickets(store)];
        for _ in 0..20 {
            let text = given(&processes[0]).await;
            let taking = (0..24).map(|n| {
                let (tickets, text) = (processes[n % 3].clone(), text.clone());
                tokio::spawn(async move { tickets.take(&text, at(1)).await.unwrap().is_some() })
            });
            let mut taken = 0;
            for take in taking.collect::<Vec<_>>() {
                taken += usize::from(take.await.unwrap());
            }
            assert_eq!(taken, 1);
        }
    }

    #[test]
    fn a_ticket_is_known_by_its_form() {
        for (text, expected) in [
            (format!("pt_{}", "A".repeat(43)), true),
            (format!("pk_{}", "A".repeat(43)), false),
            (format!("PT_{}", "A".repeat(43)), false),
            (format!("pt_{}", "A".repeat(42)), false),
            (format!("pt_{}=", "A".repeat(43)), false),
            ("A".repeat(43), false),
            ("pt_".to_owned(), false),
        ] {
            assert_eq!(Tickets::is_ticket(&text), expected, "{text}");
        }
    }
}
