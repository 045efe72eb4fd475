//! The calls to a store that strangers keep busy, and those that need not be made.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::*;
use crate::clock::ManualClock;
use crate::opaque::{MemoryTokenStore, TokenKind};
use crate::session::{SessionId, UserId};
use crate::store::StoreKind;

/// A store that answers for existing tokens at once, and for others when it is let.
#[derive(Debug)]
struct Slow {
    kept: MemoryTokenStore,
    asked: AtomicUsize,
    let_go: Semaphore,
}

#[async_trait]
impl OpaqueTokenStore for Slow {
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        self.kept.put(tokens).await
    }

    async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let found = self.kept.get(digest).await?;
        if found.is_none() {
            let _go = self.let_go.acquire().await;
        }
        Ok(found)
    }

    async fn rotate(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Rotation, StoreError> {
        self.kept.rotate(old, at, successors).await
    }

    async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&Map<String, Value>>,
    ) -> Result<bool, StoreError> {
        self.kept.extend(digest, expires, claims).await
    }

    async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        self.kept.remove(digest).await
    }

    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        self.kept.purge(expired_before).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.kept.ping().await
    }

    fn invalidated_record(&self, key: &[u8]) -> Option<TokenDigest> {
        std::str::from_utf8(key).ok().map(TokenDigest::of)
    }

    fn describe(&self) -> String {
        "a slow store".to_owned()
    }
}

struct Fixture {
    clock: Arc<ManualClock>,
    store: Arc<Slow>,
    tokens: Arc<Tokens>,
}

impl Fixture {
    fn new(is_slow: bool) -> Self {
        let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_000)));
        let let_go = Semaphore::new(if is_slow { 0 } else { Semaphore::MAX_PERMITS });
        let store = Slow { kept: MemoryTokenStore::new(), asked: AtomicUsize::new(0), let_go };
        let (store, metrics) = (Arc::new(store), StoreMetrics::unregistered(StoreKind::Tokens));
        let timeout = Duration::from_secs(60);
        let tokens = Arc::new(Tokens::new(store.clone(), timeout, clock.clone(), metrics));
        Self { clock, store, tokens }
    }

    fn asked(&self) -> usize {
        self.store.asked.load(Ordering::SeqCst)
    }

    async fn is_there(&self, name: &str) -> bool {
        self.tokens.get(&TokenDigest::of(name)).await.expect("an answer").is_some()
    }
}

fn token(name: &str) -> OpaqueToken {
    OpaqueToken {
        digest: TokenDigest::of(name),
        kind: TokenKind::Handle,
        session: SessionId::parse("s").expect("id"),
        user: UserId::parse("alice").expect("user"),
        client: None,
        claims: Map::new(),
        issued: UnixTime::from_secs(1_000),
        expires: UnixTime::from_secs(2_000),
        used: None,
    }
}

#[tokio::test]
async fn fresh_tokens_are_found_while_strangers_keep_the_store_busy() {
    let fixture = Fixture::new(true);
    let flood: Vec<_> = (0..1_000)
        .map(|number| {
            let tokens = Arc::clone(&fixture.tokens);
            tokio::spawn(async move { tokens.get(&TokenDigest::of(&format!("x{number}"))).await })
        })
        .collect();
    while fixture.asked() < 224 {
        tokio::task::yield_now().await;
    }
    for number in 0..60 {
        let name = format!("fresh {number}");
        fixture.tokens.put(&[token(&name)]).await.expect("put");
        assert!(fixture.is_there(&name).await, "{name}");
    }
    assert_eq!(fixture.asked(), 224 + 60, "strangers have their part and no more");
    flood.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn that_there_is_none_is_remembered_for_a_second_and_not_a_moment_longer() {
    let fixture = Fixture::new(false);
    for _ in 0..100 {
        assert!(!fixture.is_there("made up").await);
    }
    assert_eq!(fixture.asked(), 1);
    fixture.clock.advance(Duration::from_millis(999));
    assert!(!fixture.is_there("made up").await);
    assert_eq!(fixture.asked(), 1);
    fixture.clock.advance(Duration::from_millis(1));
    assert!(!fixture.is_there("made up").await);
    assert_eq!(fixture.asked(), 2);
}

#[tokio::test]
async fn a_new_token_is_found_at_once_whatever_was_remembered_before() {
    let fixture = Fixture::new(false);
    for name in ["put", "rotated", "told of", "after a loss"] {
        assert!(!fixture.is_there(name).await, "{name}");
    }
    fixture.tokens.put(&[token("put")]).await.expect("put");
    assert!(fixture.is_there("put").await);
    let (old, at) = (TokenDigest::of("put"), UnixTime::from_secs(1_000));
    fixture.tokens.rotate(&old, at, &[token("rotated")]).await.expect("rotate");
    assert!(fixture.is_there("rotated").await);
    // Those of other processes.
    fixture.store.put(&[token("told of"), token("after a loss")]).await.expect("put");
    fixture.tokens.on_invalidation(InvalidationEvent::Changed(b"told of"));
    assert!(fixture.is_there("told of").await);
    fixture.tokens.on_invalidation(InvalidationEvent::Lost);
    assert!(fixture.is_there("after a loss").await);
}

#[tokio::test]
async fn what_a_store_that_failed_did_not_say_is_not_remembered() {
    let fixture = Fixture::new(true);
    let digest = TokenDigest::of("a");
    let asking = fixture.tokens.get(&digest);
    assert!(tokio::time::timeout(Duration::from_millis(1), asking).await.is_err());
    fixture.store.put(&[token("a")]).await.expect("put");
    assert!(fixture.is_there("a").await);
}
