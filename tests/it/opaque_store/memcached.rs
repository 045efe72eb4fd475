//! Tests of memcached beyond the contract: a rotation is one step although it changes
//! several records, and whatever is forgotten only refuses.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use portcullis::opaque::{OpaqueToken, OpaqueTokenStore, Rotation};
use portcullis::store::StoreError;

use super::{Fixture, at, digest, memcached_store, token};
use crate::support::memcached::MemcachedServer;

fn key(name: &str) -> String {
    format!("portcullis:opaque:{}", digest(name).name())
}

async fn get(store: &dyn OpaqueTokenStore, name: &str) -> Option<OpaqueToken> {
    store.get(&digest(name)).await.expect("get")
}

/// A record as it is while a rotation for it is under way.
fn pending(record: &str, parent: &str) -> String {
    let parent = digest(parent).name();
    format!("{},\"parent\":\"{parent}\"}}", record.strip_suffix('}').expect("an object"))
}

#[tokio::test]
async fn what_is_forgotten_is_unknown_and_its_successors_live_on() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = memcached_store(&server.url());
    store.put(&[token("old")]).await.expect("put");
    let rotated = store.rotate(&digest("old"), at(1), &[token("next")]).await;
    assert_eq!(rotated, Ok(Rotation::Rotated));
    // That it was used is forgotten with it: whoever shows it is refused, as a stranger.
    server.forget(&key("old"));
    assert_eq!(get(&store, "old").await, None);
    let again = store.rotate(&digest("old"), at(2), &[token("thief")]).await;
    assert_eq!(again, Ok(Rotation::Unknown));
    assert_eq!(get(&store, "thief").await, None);
    assert_eq!(get(&store, "next").await, Some(token("next")));
    server.flush();
    assert_eq!(get(&store, "next").await, None);
    assert_eq!(store.extend(&digest("next"), at(99_999), None).await, Ok(false));
}

#[tokio::test]
async fn a_successor_is_not_there_before_its_rotation() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = memcached_store(&server.url());
    store.put(&[token("old"), token("next")]).await.expect("put");
    let record = server.value(&key("next")).expect("next");
    // As if who rotates it had been killed between the two steps.
    server.set(&key("next"), &pending(&record, "old"));
    let is_absent = async || {
        assert_eq!(get(&store, "next").await, None);
        let rotated = store.rotate(&digest("next"), at(1), &[token("later")]).await;
        assert_eq!(rotated, Ok(Rotation::Unknown));
        assert_eq!(get(&store, "later").await, None);
        assert_eq!(store.extend(&digest("next"), at(99_999), None).await, Ok(false));
    };
    is_absent().await;
    // Another rotation of the same token is committed: this one never does.
    let rotated = store.rotate(&digest("old"), at(2), &[token("winner")]).await;
    assert_eq!(rotated, Ok(Rotation::Rotated));
    assert_eq!(get(&store, "winner").await, Some(token("winner")));
    is_absent().await;
    server.forget(&key("old"));
    is_absent().await;
}

#[tokio::test]
async fn a_successor_is_there_from_the_commit_on_although_it_has_its_parent() {
    for used in ["read", "extended", "rotated"] {
        let Some(server) = MemcachedServer::start() else { return };
        let store = memcached_store(&server.url());
        store.put(&[token("old")]).await.expect("put");
        store.rotate(&digest("old"), at(1), &[token("next")]).await.expect("rotate");
        // As if who rotated it had been killed right after it.
        let record = server.value(&key("next")).expect("next");
        server.set(&key("next"), &pending(&record, "old"));
        match used {
            "read" => {
                assert_eq!(get(&store, "next").await, Some(token("next")));
                // Who reads does not wait for that.
                while server.value(&key("next")).expect("next").contains("parent") {
                    tokio::task::yield_now().await;
                }
            }
            "extended" => assert_eq!(store.extend(&digest("next"), at(1), None).await, Ok(true)),
            _ => {
                let rotated = store.rotate(&digest("next"), at(2), &[token("later")]).await;
                assert_eq!(rotated, Ok(Rotation::Rotated));
                assert_eq!(get(&store, "later").await, Some(token("later")));
            }
        }
        // From then on it needs its parent no more.
        server.forget(&key("old"));
        assert!(get(&store, "next").await.is_some(), "{used}");
    }
}

/// Drops what it would wait for again after it has waited so many times.
async fn give_up_after(mut waits: usize, work: impl Future) {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        if waits == 0 {
            return Poll::Ready(());
        }
        waits -= 1;
        work.as_mut().poll(context).map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_is_given_up_anywhere_has_happened_or_has_not() {
    let Some(fixture) = Fixture::memcached().await else { return };
    let (mut happened, mut did_not) = (0, 0);
    for n in 0..400 {
        let (old, next, handle) = (format!("old{n}"), format!("next{n}"), format!("handle{n}"));
        fixture.put(&[token(&old)]).await;
        let successors = [token(&next), token(&handle)];
        let digest = digest(&old);
        let rotation = fixture.store.rotate(&digest, at(1), &successors);
        give_up_after(n % 25, rotation).await;
        // What was sent may still arrive; what is true before and after is true in between.
        loop {
            let before = fixture.get(&old).await.expect("old").used;
            let found = [fixture.get(&next).await, fixture.get(&handle).await];
            if before == fixture.get(&old).await.expect("old").used {
                let expected = before.map(|_| successors.clone());
                assert_eq!(found, expected.map_or([None, None], |it| it.map(Some)), "{n}");
                *if before.is_some() { &mut happened } else { &mut did_not } += 1;
                break;
            }
        }
    }
    assert!(happened > 0 && did_not > 0, "{happened} happened, {did_not} did not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_and_extensions_at_once_lose_nothing() {
    let Some(fixture) = Fixture::memcached().await else { return };
    fixture.put(&[token("old")]).await;
    let extending: Vec<_> = (1..=40)
        .map(|n| {
            let store = fixture.either(n);
            let end = at(60_000 + n as u64);
            tokio::spawn(async move { store.extend(&digest("old"), end, None).await })
        })
        .collect();
    let rotating: Vec<_> = (0..20)
        .map(|n| {
            let (store, next) = (fixture.either(n), token(&format!("next{n}")));
            tokio::spawn(async move { store.rotate(&digest("old"), at(1), &[next]).await })
        })
        .collect();
    let mut won = 0;
    for task in rotating {
        won += usize::from(task.await.expect("task") == Ok(Rotation::Rotated));
    }
    for task in extending {
        assert_eq!(task.await.expect("task"), Ok(true));
    }
    let old = fixture.get("old").await.expect("old");
    assert_eq!((won, old.used, old.expires), (1, Some(at(1)), at(60_040)));
}

#[tokio::test]
async fn a_damaged_record_is_never_a_token() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = memcached_store(&server.url());
    store.put(&[token("t")]).await.expect("put");
    let good = server.value(&key("t")).expect("t");
    for damage in [
        String::new(),
        "no json".to_owned(),
        "{}".to_owned(),
        good.replace("\"refresh\"", "\"Refresh\""),
        good.replace("\"session\":\"session\"", "\"session\":\"a b\""),
        good.replace("\"user\":\"alice\"", "\"user\":\"\""),
        good.replace("\"claims\":{}", "\"claims\":[]"),
        good.replace("\"expires\":", "\"expires\":-"),
        good.replace("\"used\":null", "\"used\":\"no\""),
        good.replace("\"used\":null", "\"used\":null,\"parent\":7"),
    ] {
        assert_ne!(damage, good);
        server.set(&key("t"), &damage);
        let found = store.get(&digest("t")).await;
        let Err(StoreError::Corrupt { id, reason }) = found else {
            panic!("{damage}: {found:?}");
        };
        assert!(id.contains(&digest("t").name()[..12]) && !reason.is_empty(), "{id}: {reason}");
    }
    server.set(&key("t"), "no json");
    let outcome = store.rotate(&digest("t"), at(1), &[token("next")]).await;
    assert!(matches!(outcome, Err(StoreError::Corrupt { .. })), "{outcome:?}");
    assert_eq!(get(&store, "next").await, None);
    assert_eq!(store.remove(&digest("t")).await, Ok(true));
}

#[tokio::test]
async fn a_server_that_is_gone_is_no_answer() {
    let Some(mut server) = MemcachedServer::start() else { return };
    let store: Arc<dyn OpaqueTokenStore> = Arc::new(memcached_store(&server.url()));
    store.put(&[token("t")]).await.expect("put");
    server.kill();
    let found = store.get(&digest("t")).await;
    assert!(matches!(found, Err(StoreError::Unavailable(_))), "{found:?}");
    let rotated = store.rotate(&digest("t"), at(1), &[token("next")]).await;
    assert!(matches!(rotated, Err(StoreError::Unavailable(_))), "{rotated:?}");
    assert!(store.ping().await.is_err());
    server.restart();
    assert_eq!(store.ping().await, Ok(()));
    assert_eq!(store.get(&digest("t")).await, Ok(None));
}
