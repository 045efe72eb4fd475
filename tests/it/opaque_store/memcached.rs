//! What memcached has to show beyond the contract: an exchange is one step although it changes
//! several records, and whatever is forgotten only refuses.

use std::sync::Arc;
use std::time::Duration;

use portcullis::opaque::{Exchange, OpaqueStore, OpaqueToken};
use portcullis::session::StoreError;

use super::{Fixture, at, digest, memcached_store, token};
use crate::support::memcached::MemcachedServer;

fn key(name: &str) -> String {
    format!("portcullis:opaque:{}", digest(name).name())
}

async fn get(store: &dyn OpaqueStore, name: &str) -> Option<OpaqueToken> {
    store.get(&digest(name)).await.expect("get")
}

/// A record as it is while an exchange for it is under way.
fn dormant(record: &str, parent: &str) -> String {
    let parent = digest(parent).name();
    format!("{},\"parent\":\"{parent}\"}}", record.strip_suffix('}').expect("an object"))
}

#[tokio::test]
async fn what_is_forgotten_is_unknown_and_its_successors_live_on() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = memcached_store(&server.url());
    store.put(&[token("old")]).await.expect("put");
    let exchanged = store.exchange(&digest("old"), at(1), &[token("next")]).await;
    assert_eq!(exchanged, Ok(Exchange::Done));
    // That it was used is forgotten with it: whoever shows it is refused, as a stranger.
    server.forget(&key("old"));
    assert_eq!(get(&store, "old").await, None);
    let again = store.exchange(&digest("old"), at(2), &[token("thief")]).await;
    assert_eq!(again, Ok(Exchange::Unknown));
    assert_eq!(get(&store, "thief").await, None);
    assert_eq!(get(&store, "next").await, Some(token("next")));
    server.flush();
    assert_eq!(get(&store, "next").await, None);
    assert_eq!(store.extend(&digest("next"), at(99_999), None).await, Ok(false));
}

#[tokio::test]
async fn a_successor_is_not_there_before_its_exchange() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = memcached_store(&server.url());
    store.put(&[token("old"), token("next")]).await.expect("put");
    let record = server.value(&key("next")).expect("next");
    // As if who exchanges had been killed between the two steps.
    server.set(&key("next"), &dormant(&record, "old"));
    let is_absent = async || {
        assert_eq!(get(&store, "next").await, None);
        let exchanged = store.exchange(&digest("next"), at(1), &[token("later")]).await;
        assert_eq!(exchanged, Ok(Exchange::Unknown));
        assert_eq!(get(&store, "later").await, None);
        assert_eq!(store.extend(&digest("next"), at(99_999), None).await, Ok(false));
    };
    is_absent().await;
    // Another exchange of the same token comes true: this one never does.
    let exchanged = store.exchange(&digest("old"), at(2), &[token("winner")]).await;
    assert_eq!(exchanged, Ok(Exchange::Done));
    assert_eq!(get(&store, "winner").await, Some(token("winner")));
    is_absent().await;
    server.forget(&key("old"));
    is_absent().await;
}

#[tokio::test]
async fn a_successor_is_there_from_the_exchange_on_although_nobody_woke_it() {
    for used in ["read", "extended", "exchanged"] {
        let Some(server) = MemcachedServer::start() else { return };
        let store = memcached_store(&server.url());
        store.put(&[token("old")]).await.expect("put");
        store.exchange(&digest("old"), at(1), &[token("next")]).await.expect("exchange");
        // As if who exchanged had been killed right after it.
        let record = server.value(&key("next")).expect("next");
        server.set(&key("next"), &dormant(&record, "old"));
        match used {
            "read" => assert_eq!(get(&store, "next").await, Some(token("next"))),
            "extended" => assert_eq!(store.extend(&digest("next"), at(1), None).await, Ok(true)),
            _ => {
                let exchanged = store.exchange(&digest("next"), at(2), &[token("later")]).await;
                assert_eq!(exchanged, Ok(Exchange::Done));
                assert_eq!(get(&store, "later").await, Some(token("later")));
            }
        }
        // From then on it needs its parent no more.
        server.forget(&key("old"));
        assert!(get(&store, "next").await.is_some(), "{used}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_that_is_given_up_anywhere_has_happened_or_has_not() {
    let Some(fixture) = Fixture::memcached().await else { return };
    let (mut happened, mut did_not) = (0, 0);
    for n in 0..400 {
        let (old, next, handle) = (format!("old{n}"), format!("next{n}"), format!("handle{n}"));
        fixture.put(&[token(&old)]).await;
        let successors = [token(&next), token(&handle)];
        let digest = digest(&old);
        let exchange = fixture.store.exchange(&digest, at(1), &successors);
        // From before the first step is sent until long after the last is answered.
        let _ = tokio::time::timeout(Duration::from_micros(n * n / 5), exchange).await;
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
async fn an_exchange_and_extensions_at_once_lose_nothing() {
    let Some(fixture) = Fixture::memcached().await else { return };
    fixture.put(&[token("old")]).await;
    let extending: Vec<_> = (1..=40)
        .map(|n| {
            let store = fixture.either(n);
            let end = at(60_000 + n as u64);
            tokio::spawn(async move { store.extend(&digest("old"), end, None).await })
        })
        .collect();
    let exchanging: Vec<_> = (0..20)
        .map(|n| {
            let (store, next) = (fixture.either(n), token(&format!("next{n}")));
            tokio::spawn(async move { store.exchange(&digest("old"), at(1), &[next]).await })
        })
        .collect();
    let mut won = 0;
    for task in exchanging {
        won += usize::from(task.await.expect("task") == Ok(Exchange::Done));
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
    let outcome = store.exchange(&digest("t"), at(1), &[token("next")]).await;
    assert!(matches!(outcome, Err(StoreError::Corrupt { .. })), "{outcome:?}");
    assert_eq!(get(&store, "next").await, None);
    assert_eq!(store.remove(&digest("t")).await, Ok(true));
}

#[tokio::test]
async fn a_server_that_is_gone_is_no_answer() {
    let Some(mut server) = MemcachedServer::start() else { return };
    let store: Arc<dyn OpaqueStore> = Arc::new(memcached_store(&server.url()));
    store.put(&[token("t")]).await.expect("put");
    server.kill();
    let found = store.get(&digest("t")).await;
    assert!(matches!(found, Err(StoreError::Unavailable(_))), "{found:?}");
    let exchanged = store.exchange(&digest("t"), at(1), &[token("next")]).await;
    assert!(matches!(exchanged, Err(StoreError::Unavailable(_))), "{exchanged:?}");
    assert!(store.ping().await.is_err());
    server.restart();
    assert_eq!(store.ping().await, Ok(()));
    assert_eq!(store.get(&digest("t")).await, Ok(None));
}
