//! Tickets: good once, cached never, and a use of their session.

use serde_json::Map;

use super::*;
use crate::gate::ticket::AcceptedTickets;
use crate::opaque::{Ticket, Tickets};
use crate::store::StoreKind;
use crate::store::records::{MemoryRecordStore, Records};

struct TicketFixture {
    of: Fixture,
    decisions: DecisionCache,
    tickets: Tickets,
}

fn with_tickets() -> TicketFixture {
    let mut of = usual();
    let store = Arc::new(MemoryRecordStore::new());
    let metrics = StoreMetrics::unregistered(StoreKind::Limits);
    let records = Records::new(store, Duration::from_secs(60), of.clock.clone(), metrics);
    let tickets = Tickets::new(records);
    let other = usual().decisions;
    let decisions = Arc::into_inner(std::mem::replace(&mut of.decisions, other)).unwrap();
    let accepted = AcceptedTickets::new(tickets.clone(), "ticket".to_owned());
    TicketFixture { of, decisions: decisions.with_tickets(accepted), tickets }
}

impl TicketFixture {
    /// A ticket for alice's session of this id, which lives for a quarter of an hour.
    async fn ticket(&self, id: &str) -> String {
        if self.of.store.inner.get(&alice(), &Fixture::id(id)).await.unwrap().is_none() {
            self.of.token(id, 900).await;
        }
        let now = self.of.clock.now();
        let ticket = Ticket {
            user: alice(),
            session: Fixture::id(id),
            claims: Map::from_iter([("scope".to_owned(), json!("a b"))]),
            token_expires: now.after(Duration::from_secs(900)),
            expires: now.after(Duration::from_secs(10)),
        };
        let text = self.tickets.put(&ticket, now, &SystemRandom).await.unwrap();
        text.expose_str().unwrap().to_owned()
    }

    async fn outcome(&self, ticket: &str) -> Result<(), DenialCode> {
        self.decisions.decide_ticket(ticket, true).await.map(drop).map_err(|denial| denial.code)
    }
}

fn alice() -> UserId {
    UserId::parse("alice").unwrap()
}

#[tokio::test]
async fn a_ticket_is_good_once_and_its_session_is_asked_for_each() {
    let fixture = with_tickets();
    let (first, second) = (fixture.ticket("s").await, fixture.ticket("s").await);
    let decision = fixture.decisions.decide_ticket(&first, true).await.unwrap();
    assert_eq!(
        (decision.token.subject.as_str(), decision.token.scopes.contains("b")),
        ("alice", true)
    );
    assert_eq!(decision.token.session.as_deref(), Some("s"));
    assert_eq!(fixture.outcome(&first).await, Err(DenialCode::TicketUnknown));
    assert_eq!(fixture.outcome(&second).await, Ok(()));
    assert_eq!(fixture.of.reads(), 2, "an answer was kept");
    assert_eq!(fixture.decisions.size().0, 0);
}

#[tokio::test]
async fn a_ticket_ends_by_the_clock_and_with_its_session() {
    let fixture = with_tickets();
    let (late, early) = (fixture.ticket("s").await, fixture.ticket("s").await);
    fixture.of.clock.advance(Duration::from_millis(9_999));
    assert_eq!(fixture.outcome(&early).await, Ok(()));
    fixture.of.clock.advance(Duration::from_millis(1));
    assert_eq!(fixture.outcome(&late).await, Err(DenialCode::TicketUnknown));
    let revoked = fixture.ticket("s").await;
    fixture.of.store.inner.revoke(&Fixture::id("s")).await.unwrap();
    assert_eq!(fixture.outcome(&revoked).await, Err(DenialCode::SessionUnknown));
}

#[tokio::test]
async fn no_ticket_gets_in_while_its_session_cannot_be_read() {
    let fixture = with_tickets();
    let ticket = fixture.ticket("s").await;
    fixture.of.store.is_down.store(true, Ordering::SeqCst);
    assert_eq!(fixture.outcome(&ticket).await, Err(DenialCode::StoreUnavailable));
    // It may have been used up, and was.
    fixture.of.store.is_down.store(false, Ordering::SeqCst);
    assert_eq!(fixture.outcome(&ticket).await, Err(DenialCode::TicketUnknown));
}

#[tokio::test]
async fn a_ticket_is_a_use_of_its_session() {
    let fixture = with_tickets();
    let opened = fixture.of.clock.now();
    fixture.ticket("s").await;
    fixture.of.clock.advance(Duration::from_secs(200));
    let ticket = fixture.ticket("s").await;
    assert_eq!(fixture.outcome(&ticket).await, Ok(()));
    // What waits for a batch is written at the end.
    fixture.decisions.sessions().close().await;
    let seen = fixture.of.store.inner.get(&alice(), &Fixture::id("s")).await.unwrap().unwrap();
    assert_eq!(seen.last_seen, opened.after(Duration::from_secs(200)));
}
