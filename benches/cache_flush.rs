//! Pauses of the cache when everything in it becomes stale at once.
//!
//! A gate's cache must not make one unlucky request pay for a flush. Each way of flushing is filled
//! with the same entries, flushed, and then asked for every entry once, as a request would: get, and
//! put a fresh one where the answer is stale. Every such operation is timed, the flush itself too.
//!
//! ```text
//! cargo bench --bench cache_flush
//! ```
//!
//! Read `max` of the quietest round: the machine's own interruptions only ever add to it.
//!
//! The gate's own cache is measured as a whole: what a request waits for its answer, the store in
//! memory included, after all sessions were revoked and after all tokens expired. Beside it stand
//! the bare pattern and the obvious uses of the same library, by the seam [`Subject`].
#![expect(clippy::print_stdout, reason = "a measurement's result is what it prints")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use moka::{policy::EvictionPolicy, sync::Cache};
use portcullis::{
    clock::{Clock, ManualClock, UnixTime},
    gate::{
        Origin,
        cached_decision::{CacheConfig, DecisionCache},
        identity::IdentityHeaders,
        metrics::GateMetrics,
    },
    secret::Secret,
    session::{MemoryStore, Session, SessionId, SessionPolicy, SessionStore, Sessions, UserId},
    store::StoreMetrics,
    token::{Algorithm, Issuer, KeyRing, SessionRule, SigningKey, Verifier},
};
use serde_json::json;
use tokio::runtime::Runtime;

const ENTRIES: u64 = 300_000;
const ROUNDS: usize = 3;
const CAPACITY: u64 = 512 << 20;
/// The cost of an entry beside its own size: moka's nodes, queues and table, in bytes.
const OVERHEAD: u32 = 350;
/// Long enough to fill the cache, so that nothing expires before all is in.
const TIME_TO_LIVE: Duration = Duration::from_secs(3);

fn main() {
    compare_memory();
    println!("{ENTRIES} entries stale at once, then one request for each; microseconds");
    println!("{:<28}{:>10}{:>10}{:>10}{:>10}{:>12}", "", "flush", "p50", "p99", "p99.9", "max");
    gates_own("the gate: all revoked", Gate::revoke_all);
    gates_own("the gate: all expired", Gate::expire_all);
    measure("generation check", Generations::new);
    measure("obvious: invalidate_all", InvalidateAll::new);
    measure("obvious: time_to_live", TimeToLive::new);
}

/// The gate's cache, filled with a token and a session for each entry.
struct Gate {
    runtime: Runtime,
    decisions: DecisionCache,
    clock: Arc<ManualClock>,
    tokens: Vec<String>,
}

const LIFETIME: Duration = Duration::from_secs(600);

impl Gate {
    /// Tokens and sessions, and an empty cache.
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_800_000_000)));
        let signer = SigningKey::from_secret(Algorithm::HS256, &Secret::new([7; 32]));
        let signer = signer.expect("a key");
        let store = Arc::new(MemoryStore::new());
        let now = clock.now();
        let expires = now.after(LIFETIME);
        let token = |n: u64| {
            let session = Session::new(
                SessionId::parse(&format!("s{n}")).expect("an id"),
                UserId::parse("alice").expect("a name"),
                now,
                expires,
            );
            runtime.block_on(store.put(&session)).expect("put");
            let claims = json!({"sub": "alice", "sid": format!("s{n}"), "exp": expires.as_secs()});
            signer.sign(&claims).expect("a token")
        };
        let tokens = (0..ENTRIES).map(token).collect();
        let issuer = Issuer {
            name: "bench".into(),
            sessions: SessionRule::Required,
            keys: Arc::new(KeyRing::fixed(vec![signer.verifying().clone()])),
            ..Issuer::default()
        };
        let policy = SessionPolicy { timeout: LIFETIME, ..SessionPolicy::default() };
        let sessions = Sessions::new(store, policy, clock.clone(), StoreMetrics::default());
        let decisions = DecisionCache::new(
            Arc::new(Verifier::new(vec![Arc::new(issuer)], 8192, clock.clone())),
            Arc::new(sessions),
            IdentityHeaders::default(),
            CacheConfig { bytes: 8 * CAPACITY, ..CacheConfig::with_staleness(LIFETIME) },
            clock.clone(),
            GateMetrics::default(),
        );
        Self { runtime, decisions, clock, tokens }
    }

    fn fill(&self) {
        assert!(self.tokens.iter().all(|token| self.lets_in(token)), "a good token is refused");
    }

    fn lets_in(&self, token: &str) -> bool {
        self.runtime.block_on(self.decisions.decide(token, &Origin::of_connection(0))).is_ok()
    }

    fn revoke_all(&self) {
        let alice = UserId::parse("alice").expect("a name");
        let ended = self.runtime.block_on(self.decisions.sessions().revoke_user(&alice));
        assert_eq!(ended, Ok(ENTRIES));
    }

    fn expire_all(&self) {
        self.clock.advance(LIFETIME);
    }
}

/// Prints how the estimate of an entry's memory compares with what the process took for it.
fn compare_memory() {
    let gate = Gate::new();
    let before = resident_bytes();
    gate.fill();
    let grown = resident_bytes().saturating_sub(before) / ENTRIES;
    let (entries, bytes) = gate.decisions.size();
    let bytes = bytes / entries.max(1);
    println!("an entry takes {bytes} bytes by estimate; the process grew by {grown} for each");
}

/// The resident memory of this process (Linux; zero elsewhere).
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

/// Prints a row for each round of the gate's own cache.
fn gates_own(name: &str, flush: impl Fn(&Gate)) {
    for _ in 0..ROUNDS {
        let gate = Gate::new();
        gate.fill();
        let flushed = timed(|| flush(&gate));
        let mut requests: Vec<Duration> = gate
            .tokens
            .iter()
            .map(|token| timed(|| assert!(!gate.lets_in(token), "{name}: a stale yes")))
            .collect();
        requests.sort_unstable();
        report(name, flushed, &requests);
    }
}

/// A cache under measurement.
trait Subject {
    /// Puts a fresh entry.
    fn put(&self, key: Key);
    /// True where a usable entry is there.
    fn holds(&self, key: &Key) -> bool;
    /// Makes every entry stale. What it takes is printed as `flush`.
    fn flush(&self);
    /// Waits for what no caller waits for: the passing of a lifetime. It is not timed.
    fn settle(&self) {}
}

/// As the gate's: a digest, so that no bearer token is kept, and what kind of answer it leads to.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    kind: u8,
    digest: [u8; 32],
}

/// The part of a cached answer that decides whether it may still be used.
struct Entry {
    expires: u64,
    stamp: u64,
    _answer: [u8; 128],
}

impl Entry {
    fn new(stamp: u64) -> Arc<Self> {
        Arc::new(Self { expires: u64::MAX, stamp, _answer: [0; 128] })
    }
}

/// The way chosen: nothing expires inside moka; an entry of another generation counts as absent.
struct Generations {
    cache: Cache<Key, Arc<Entry>>,
    current: AtomicU64,
}

impl Generations {
    fn new() -> Self {
        Self { cache: builder().build(), current: AtomicU64::new(0) }
    }
}

impl Subject for Generations {
    fn put(&self, key: Key) {
        self.cache.insert(key, Entry::new(self.current.load(Ordering::Acquire)));
    }

    fn holds(&self, key: &Key) -> bool {
        let current = self.current.load(Ordering::Acquire);
        self.cache.get(key).is_some_and(|entry| entry.stamp == current && entry.expires > 0)
    }

    fn flush(&self) {
        self.current.fetch_add(1, Ordering::AcqRel);
    }
}

struct InvalidateAll(Cache<Key, Arc<Entry>>);

impl InvalidateAll {
    fn new() -> Self {
        Self(builder().build())
    }
}

impl Subject for InvalidateAll {
    fn put(&self, key: Key) {
        self.0.insert(key, Entry::new(0));
    }

    fn holds(&self, key: &Key) -> bool {
        self.0.get(key).is_some()
    }

    fn flush(&self) {
        self.0.invalidate_all();
    }
}

struct TimeToLive(Cache<Key, Arc<Entry>>);

impl TimeToLive {
    fn new() -> Self {
        Self(builder().time_to_live(TIME_TO_LIVE).build())
    }
}

impl Subject for TimeToLive {
    fn put(&self, key: Key) {
        self.0.insert(key, Entry::new(0));
    }

    fn holds(&self, key: &Key) -> bool {
        self.0.get(key).is_some()
    }

    fn flush(&self) {}

    fn settle(&self) {
        thread::sleep(TIME_TO_LIVE);
    }
}

fn builder() -> moka::sync::CacheBuilder<Key, Arc<Entry>, Cache<Key, Arc<Entry>>> {
    let own = size_of::<Key>() + size_of::<Entry>();
    let weight = OVERHEAD.saturating_add(u32::try_from(own).unwrap_or(u32::MAX));
    Cache::builder()
        .max_capacity(CAPACITY)
        .weigher(move |_, _| weight)
        .eviction_policy(EvictionPolicy::tiny_lfu())
}

/// Prints a row for each round.
fn measure<S: Subject>(name: &str, new: impl Fn() -> S) {
    for _ in 0..ROUNDS {
        let subject = new();
        (0..ENTRIES).map(key).for_each(|key| subject.put(key));
        assert!((0..ENTRIES).all(|n| subject.holds(&key(n))), "{name}: not all entries fit");
        let flush = timed(|| subject.flush());
        subject.settle();
        let mut operations: Vec<Duration> = (0..ENTRIES)
            .map(key)
            .map(|key| {
                timed(|| {
                    assert!(!subject.holds(&key), "{name}: a stale entry was served");
                    subject.put(key);
                })
            })
            .collect();
        assert!(subject.holds(&key(ENTRIES - 1)), "{name}: a fresh entry is not served");
        operations.sort_unstable();
        report(name, flush, &operations);
    }
}

fn timed(operation: impl FnOnce()) -> Duration {
    let start = Instant::now();
    operation();
    start.elapsed()
}

fn report(name: &str, flush: Duration, sorted: &[Duration]) {
    let last = sorted.len() - 1;
    let at = |per_mille: usize| micros(sorted[last * per_mille / 1000]);
    let (p50, p99, p999, max) = (at(500), at(990), at(999), at(1000));
    let flush = micros(flush);
    println!("{name:<28}{flush:>10.1}{p50:>10.1}{p99:>10.1}{p999:>10.1}{max:>12.1}");
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Spread like a digest's bytes, the same in every run: splitmix64 of the number.
fn key(n: u64) -> Key {
    let mut digest = [0; 32];
    for (word, chunk) in (1..).zip(digest.chunks_exact_mut(8)) {
        let mut z = n.wrapping_add(word << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    Key { kind: 1, digest }
}
