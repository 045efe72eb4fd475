//! The queue that leads into the table: a flood, a database that takes nothing for a while, and the end of the process.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use std::time::Duration;

use async_trait::async_trait;
use portcullis::account::{
    AccountError, AuditEvent, AuditStore, EventCursor, EventFilter, EventSummary, SqliteAccounts,
};
use portcullis::clock::{ManualClock, UnixTime};
use portcullis::issuer::audit::queue::{EventQueue, EventWriter};
use portcullis::issuer::audit::search::{EventSearch, Period};
use portcullis::issuer::audit::{Audit, Event};
use portcullis::issuer::error::IssueError;
use portcullis::secret::SystemRandom;
use portcullis::telemetry::audit::AuditLog;

use super::{T, all, at};
use crate::support::{PATIENCE, stores};

/// A table in a real file, that takes nothing while it is down, and no more than some events at once.
#[derive(Debug)]
struct FaultyTable {
    inner: SqliteAccounts,
    is_down: AtomicBool,
    takes: AtomicUsize,
    transactions: AtomicUsize,
}

#[async_trait]
impl AuditStore for FaultyTable {
    async fn add_events(&self, events: &[AuditEvent]) -> Result<(), AccountError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(AccountError::Unavailable("it is down".to_owned()));
        }
        if events.len() > self.takes.load(Ordering::SeqCst) {
            // It was slow, and has written them all the same.
            self.inner.add_events(events).await?;
            return Err(AccountError::TimedOut);
        }
        self.transactions.fetch_add(1, Ordering::SeqCst);
        self.inner.add_events(events).await
    }

    async fn events(
        &self,
        filter: &EventFilter,
        behind: Option<&EventCursor>,
        limit: usize,
    ) -> Result<Vec<AuditEvent>, AccountError> {
        self.inner.events(filter, behind, limit).await
    }

    async fn summary(
        &self,
        from: Option<UnixTime>,
        to: Option<UnixTime>,
        limit: usize,
    ) -> Result<EventSummary, AccountError> {
        self.inner.summary(from, to, limit).await
    }

    async fn purge_events(&self, before: UnixTime, limit: usize) -> Result<u64, AccountError> {
        self.inner.purge_events(before, limit).await
    }
}

struct Fixture {
    audit: Audit,
    clock: Arc<ManualClock>,
    table: Arc<FaultyTable>,
    writer: EventWriter,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = SqliteAccounts::new(stores::sqlite(folder.path()).await, PATIENCE);
        let table = Arc::new(FaultyTable {
            inner,
            is_down: AtomicBool::new(false),
            takes: AtomicUsize::new(usize::MAX),
            transactions: AtomicUsize::new(0),
        });
        let clock = Arc::new(ManualClock::at(UnixTime::from_millis(T)));
        let (queue, events) = EventQueue::new(&SystemRandom).expect("random");
        let writer = events.start(table.clone());
        let audit = Audit::new(AuditLog::off(), clock.clone());
        let audit = audit.with_table(queue, Some(table.clone()));
        Self { audit, clock, table, writer, _folder: folder }
    }

    async fn kept(&self) -> Vec<AuditEvent> {
        self.table.events(&all(), None, usize::MAX).await.expect("events")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_flood_of_refusals_the_table_has_what_the_log_has_and_knows_of_the_rest() {
    let fixture = Fixture::new().await;
    let refuse = || {
        let refused = fixture.audit.event(Event::LoginRefused).login("Alice");
        refused.error(&IssueError::InvalidGrant).write();
    };
    (0..5_000).for_each(|_| refuse());
    fixture.audit.event(Event::Login).user("u1").count(7).write();
    fixture.clock.advance(Duration::from_secs(60));
    refuse();
    let summary = fixture.audit.summary(&Period::default()).await.expect("counts");
    let kinds = [("login_refused".to_owned(), 501, 4_500), ("login".to_owned(), 1, 0)];
    assert_eq!(summary.kinds, kinds);
    assert_eq!(summary.refused_logins, [("alice".to_owned(), 501)]);
    let search = EventSearch { user: Some("u1".to_owned()), ..EventSearch::default() };
    let page = fixture.audit.search(&search).await.expect("a page");
    assert_eq!(page.events[0].rest["count"], 7, "what has no column is kept too");
    let transactions = fixture.table.transactions.load(Ordering::SeqCst);
    assert!(transactions < 20, "{transactions} transactions for 502 events");
    assert_eq!(fixture.writer.finish().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_wait_for_a_database_that_is_down_and_are_written_once_it_is_back() {
    let fixture = Fixture::new().await;
    fixture.table.is_down.store(true, Ordering::SeqCst);
    (0..700).for_each(|n| fixture.audit.event(Event::Login).user(&format!("u{n}")).write());
    fixture.table.takes.store(3, Ordering::SeqCst);
    assert_eq!(fixture.kept().await.len(), 0);
    fixture.table.is_down.store(false, Ordering::SeqCst);
    // Batches that were too large are tried again in parts; what they had written is not there twice.
    fixture.table.takes.store(200, Ordering::SeqCst);
    let written = async {
        while fixture.kept().await.len() < 700 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.expect("written");
    let kept = fixture.kept().await;
    let users: Vec<_> =
        kept.iter().rev().map(|event| event.user.clone().expect("a user")).collect();
    let expected: Vec<_> = (0..700).map(|n| format!("u{n}")).collect();
    assert_eq!(users, expected, "each once, and those of one moment in their order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_before_the_end_is_written_and_nothing_waits_for_more() {
    let fixture = Fixture::new().await;
    (0..1_000).for_each(|_| fixture.audit.event(Event::Login).write());
    assert_eq!(fixture.writer.finish().await, 0);
    fixture.audit.event(Event::Login).write();
    let kept = fixture.table.events(&all(), None, usize::MAX).await.expect("events");
    assert_eq!(kept.len(), 1_000, "all before the end, and none after it");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_database_that_takes_nothing_and_what_is_lost_is_known() {
    #[derive(Debug)]
    struct Down;

    #[async_trait]
    impl AuditStore for Down {
        async fn add_events(&self, _: &[AuditEvent]) -> Result<(), AccountError> {
            Err(AccountError::Unavailable("it is down".to_owned()))
        }
        async fn events(
            &self,
            _: &EventFilter,
            _: Option<&EventCursor>,
            _: usize,
        ) -> Result<Vec<AuditEvent>, AccountError> {
            Err(AccountError::TimedOut)
        }
        async fn summary(
            &self,
            _: Option<UnixTime>,
            _: Option<UnixTime>,
            _: usize,
        ) -> Result<EventSummary, AccountError> {
            Err(AccountError::TimedOut)
        }
        async fn purge_events(&self, _: UnixTime, _: usize) -> Result<u64, AccountError> {
            Err(AccountError::TimedOut)
        }
    }

    let (queue, events) = EventQueue::new(&SystemRandom).expect("random");
    let (store, clock) = (Arc::new(Down), Arc::new(ManualClock::at(at(0))));
    let writer = events.start(store.clone());
    let audit = Audit::new(AuditLog::off(), clock).with_table(queue, Some(store));
    // More than the queue has room for; nothing runs meanwhile that could take them out.
    (0..20_000).for_each(|_| audit.event(Event::Login).write());
    let refused = audit.search(&EventSearch::default()).await;
    assert!(matches!(refused, Err(IssueError::Unavailable(_))), "{refused:?}");
    assert_eq!(writer.finish().await, 16_384, "those that had room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_deleted_when_they_are_old_enough_by_the_clock_that_was_passed_in() {
    let fixture = Fixture::new().await;
    let day = Duration::from_secs(86_400);
    (0..2_500).for_each(|_| fixture.audit.event(Event::Login).write());
    fixture.clock.advance(90 * day);
    fixture.audit.event(Event::Refresh).write();
    let kept = async || {
        let summary = fixture.audit.summary(&Period::default()).await.expect("counts");
        summary.kinds.iter().map(|(_, count, _)| count).sum::<u64>()
    };
    // A search waits for what was written before it, but not for ever.
    let all = async { while kept().await < 2_501 {} };
    tokio::time::timeout(PATIENCE, all).await.expect("all events");
    assert_eq!(fixture.audit.purge(at(0)).await, Ok(0));
    assert_eq!(kept().await, 2_501, "90 days old, and no older");
    assert_eq!(fixture.audit.purge(at(1)).await, Ok(2_500), "in several steps");
    assert_eq!(kept().await, 1);
}
