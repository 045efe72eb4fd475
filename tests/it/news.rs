//! What a process hears of changes that others make in its store: real servers, files, and what breaks between.

mod redis;
mod sqlite;
mod stores;
mod topology;

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portcullis::clock::UnixTime;
use portcullis::opaque::{OpaqueToken, RedisOpaque, TokenDigest, TokenKind};
use portcullis::secret::Secret;
use portcullis::session::{Device, RedisStore, Session, SessionId, UserId};
use portcullis::storage::news::{Heard, Hears, Means, NewsSource, NewsState};
use portcullis::storage::redis::{Options, Redis, RedisNews};
use tokio::task::JoinHandle;

use crate::support::{PATIENCE, poll};

/// Writes down what it hears, and when.
#[derive(Debug, Default)]
struct Ear(Mutex<Vec<(Instant, Option<Vec<u8>>)>>);

impl Hears for Ear {
    fn hear(&self, heard: Heard<'_>) {
        let key = match heard {
            Heard::Changed(key) => Some(key.to_vec()),
            Heard::Missed => None,
        };
        self.0.lock().expect("ear").push((Instant::now(), key));
    }
}

/// A source that is followed, as a process does it, until this is dropped.
struct Listening {
    ear: Arc<Ear>,
    state: Arc<NewsState>,
    task: JoinHandle<()>,
}

impl Listening {
    fn to(source: impl NewsSource + 'static) -> Self {
        let (ear, state) = (Arc::new(Ear::default()), Arc::new(NewsState::new(Means::Bound)));
        let task = tokio::spawn({
            let (ear, state) = (Arc::clone(&ear), Arc::clone(&state));
            async move { source.follow(&*ear, &state).await }
        });
        Self { ear, state, task }
    }

    /// Waits until news come by these means, and forgets what was heard until then.
    fn by(self, means: Means) -> Self {
        self.until(means);
        self.ear.0.lock().expect("ear").clear();
        self
    }

    fn until(&self, means: Means) {
        poll(means.as_str(), PATIENCE, || (self.state.means() == means).then_some(()));
    }

    fn keys(&self) -> Vec<String> {
        let heard = self.ear.0.lock().expect("ear");
        let keys = heard.iter().filter_map(|(_, key)| key.as_ref());
        keys.map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }

    /// When the key was heard first.
    fn when(&self, key: &str) -> Instant {
        let find = || {
            let heard = self.ear.0.lock().expect("ear");
            let mut with_key = heard.iter().filter(|(_, it)| it.as_deref() == Some(key.as_bytes()));
            with_key.next().map(|(when, _)| *when)
        };
        poll(key, PATIENCE, find).0
    }

    /// When something may have been missed, at every time.
    fn misses(&self) -> Vec<Instant> {
        let heard = self.ear.0.lock().expect("ear");
        heard.iter().filter(|(_, key)| key.is_none()).map(|(when, _)| *when).collect()
    }

    /// Waits until something may have been missed so many times; says when it was the last time.
    fn missed(&self, times: usize) -> Instant {
        poll("missed", PATIENCE, || self.misses().get(times - 1).copied()).0
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The database of sessions in a Redis.
const DATABASE: u32 = 9;

fn redis_at(url: &str) -> Redis {
    let patience = Duration::from_secs(2);
    let options = Options {
        database: DATABASE,
        connect_timeout: patience,
        response_timeout: patience,
        ..Options::default()
    };
    Redis::new(&Secret::new(url), &options).expect(url)
}

/// The stores of a process, and what it hears of them.
fn follow(url: &str) -> Listening {
    let redis = redis_at(url);
    let (sessions, tokens) = (RedisStore::new(redis.clone()), RedisOpaque::new(redis.clone()));
    let remembered = sessions.remembered().into_iter().chain(tokens.remembered());
    Listening::to(RedisNews::new(redis, remembered))
}

fn session(name: &str, owner: &str) -> Session {
    Session {
        id: SessionId::parse(name).expect(name),
        user: UserId::parse(owner).expect(owner),
        created: UnixTime::from_secs(1_800_000_000),
        last_seen: UnixTime::from_secs(1_800_000_000),
        expires: UnixTime::from_secs(1_800_003_600),
        device: Device::default(),
        claims: serde_json::Map::new(),
        not_before: UnixTime::EPOCH,
    }
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
fn figures(what: &str, mut times: Vec<Duration>) -> (Duration, Duration, Duration) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    let figures = (at(50), at(99), at(100));
    let (p50, p99, max) = figures;
    let text = format!("{what}: {} times, p50 {p50:?}, p99 {p99:?}, max {max:?}", times.len());
    writeln!(std::io::stderr(), "{text}").expect("stderr");
    figures
}
