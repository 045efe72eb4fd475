//! Invalidations that a process gets for changes that others make in its store: real servers, files, and faults between
//! them.

mod completeness;
mod redis;
mod sqlite;
mod stores;
mod topology;

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portcullis::clock::UnixTime;
use portcullis::opaque::{OpaqueToken, RedisTokenStore, TokenDigest, TokenKind};
use portcullis::session::{RedisStore, Session, SessionId, UserId};
use portcullis::store::invalidation::{
    DeliveryMode, InvalidationEvent, InvalidationListener, InvalidationSource, InvalidationState,
};
use portcullis::store::redis::RedisInvalidation;
use tokio::task::JoinHandle;

use crate::support::stores::{DATABASE, redis as redis_at};
use crate::support::{PATIENCE, poll};

/// A listener that records all events, with their moments, and counts how often all was told of.
#[derive(Debug, Default)]
struct RecordingListener {
    events: Mutex<Vec<(Instant, Option<Vec<u8>>)>>,
    answers: AtomicU64,
}

impl InvalidationListener for RecordingListener {
    fn on_invalidation(&self, event: InvalidationEvent<'_>) {
        let key = match event {
            InvalidationEvent::Changed(key) => Some(key.to_vec()),
            InvalidationEvent::Lost => None,
            InvalidationEvent::Asked => return,
            InvalidationEvent::Complete => {
                self.answers.fetch_add(1, Ordering::SeqCst);
                return;
            }
        };
        self.events.lock().expect("listener").push((Instant::now(), key));
    }
}

/// A source that is followed, as a process does it, until this is dropped.
struct Subscription {
    listener: Arc<RecordingListener>,
    state: Arc<InvalidationState>,
    task: JoinHandle<()>,
}

impl Subscription {
    fn to(source: impl InvalidationSource + 'static) -> Self {
        let (listener, state) = (
            Arc::new(RecordingListener::default()),
            Arc::new(InvalidationState::new(DeliveryMode::Bound)),
        );
        let task = tokio::spawn({
            let (listener, state) = (Arc::clone(&listener), Arc::clone(&state));
            async move { source.follow(&*listener, &state).await }
        });
        Self { listener, state, task }
    }

    /// Waits until invalidations come in this mode, and forgets all earlier ones.
    fn after(self, mode: DeliveryMode) -> Self {
        self.wait_for_mode(mode);
        self.listener.events.lock().expect("listener").clear();
        self
    }

    fn wait_for_mode(&self, mode: DeliveryMode) {
        poll(mode.as_str(), PATIENCE, || (self.state.mode() == mode).then_some(()));
    }

    fn keys(&self) -> Vec<String> {
        let events = self.listener.events.lock().expect("listener");
        let keys = events.iter().filter_map(|(_, key)| key.as_ref());
        keys.map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }

    /// The moment at which the key came first.
    fn time_of(&self, key: &str) -> Instant {
        let find = || {
            let events = self.listener.events.lock().expect("listener");
            let mut with_key =
                events.iter().filter(|(_, it)| it.as_deref() == Some(key.as_bytes()));
            with_key.next().map(|(when, _)| *when)
        };
        poll(key, PATIENCE, find).0
    }

    /// The number of times that all was told of.
    fn answers(&self) -> u64 {
        self.listener.answers.load(Ordering::SeqCst)
    }

    fn wait_for_another_answer(&self) {
        let before = self.answers();
        poll("an answer", PATIENCE, || (self.answers() > before).then_some(()));
    }

    /// All moments at which something may have been lost.
    fn losses(&self) -> Vec<Instant> {
        let events = self.listener.events.lock().expect("listener");
        events.iter().filter(|(_, key)| key.is_none()).map(|(when, _)| *when).collect()
    }

    /// Waits until something may have been lost so many times; returns the moment of the last time.
    fn wait_for_loss(&self, times: usize) -> Instant {
        poll("lost", PATIENCE, || self.losses().get(times - 1).copied()).0
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Follows the stores of a process.
fn follow(url: &str) -> Subscription {
    let redis = redis_at(url);
    let (sessions, tokens) = (RedisStore::new(redis.clone()), RedisTokenStore::new(redis.clone()));
    let prefixes =
        sessions.invalidation_prefixes().into_iter().chain(tokens.invalidation_prefixes());
    Subscription::to(RedisInvalidation::new(redis, prefixes))
}

fn session(name: &str, owner: &str) -> Session {
    Session::new(
        SessionId::parse(name).expect(name),
        UserId::parse(owner).expect(owner),
        UnixTime::from_secs(1_800_000_000),
        UnixTime::from_secs(1_800_003_600),
    )
}

fn token(name: &str) -> OpaqueToken {
    OpaqueToken {
        digest: TokenDigest::of(name),
        kind: TokenKind::Refresh,
        session: session("s", "alice").id,
        user: UserId::parse("alice").expect("user"),
        client: None,
        claims: serde_json::Map::new(),
        issued: UnixTime::from_secs(1),
        expires: UnixTime::from_secs(2),
        used: None,
    }
}

/// Median, 99th percentile and maximum, for the reader of the test's output.
fn print_percentiles(what: &str, mut times: Vec<Duration>) -> (Duration, Duration, Duration) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    let percentiles = (at(50), at(99), at(100));
    let (p50, p99, max) = percentiles;
    let text = format!("{what}: {} times, p50 {p50:?}, p99 {p99:?}, max {max:?}", times.len());
    writeln!(std::io::stderr(), "{text}").expect("stderr");
    percentiles
}
