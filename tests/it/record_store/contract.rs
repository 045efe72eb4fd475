//! The contract of every store: each case runs on memory, on SQLite, on a real Redis, on one that
//! real sentinels watch over, on a real cluster, and on a real memcached.

use std::collections::HashSet;
use std::time::Duration;

use portcullis::lease::Lease;
use portcullis::limit::Attempt;
use portcullis::store::records::RecordKey;

use super::{Fixture, PATIENCE, SECOND, at, key, process, record};
use crate::contract::contract;

contract! {
    a_record_is_added_where_there_is_none
    a_record_is_replaced_only_as_it_was_read
    a_record_holds_any_text
    names_may_be_anything_and_none_is_another
    of_two_hundred_writers_at_once_exactly_one_is_first
    a_thousand_are_added_at_once
    of_two_hundred_who_acquire_at_once_exactly_one_wins
    of_two_hundred_who_take_at_once_as_many_get_one_as_there_are
    of_two_hundred_attempts_at_once_as_many_count_as_may
    what_ended_is_purged_or_left_to_the_store
    it_answers_and_says_what_it_is
}

async fn a_record_is_added_where_there_is_none(fixture: Fixture) {
    assert_eq!(fixture.get(&key("n")).await, None);
    assert!(fixture.add(&key("n"), "first").await);
    assert!(!fixture.add(&key("n"), "second").await);
    assert!(!fixture.add(&key("n"), "first").await);
    assert_eq!(fixture.get(&key("n")).await.as_deref(), Some("first"));
    assert_eq!(fixture.other.delete(&key("n")).await, Ok(true));
    assert_eq!(fixture.store.delete(&key("n")).await, Ok(false));
    assert_eq!(fixture.get(&key("n")).await, None);
    assert!(fixture.add(&key("n"), "second").await);
    assert_eq!(fixture.get(&key("n")).await.as_deref(), Some("second"));
}

async fn a_record_is_replaced_only_as_it_was_read(fixture: Fixture) {
    let key = key("n");
    assert!(fixture.add(&key, "one").await);
    let read = fixture.store.get(&key).await.expect("get").expect("a record");
    let replace = async |value: &str, end| {
        let record = record(value, end);
        fixture.other.compare_and_set(&key, Some(&read), &record).await.expect("compare_and_set")
    };
    assert!(replace("two", 200).await);
    assert!(!replace("three", 300).await, "it is another one now");
    assert_eq!(fixture.get(&key).await.as_deref(), Some("two"));
    assert_eq!(fixture.store.delete(&key).await, Ok(true));
    assert!(!replace("three", 300).await, "there is none");
    assert_eq!(fixture.get(&key).await, None);
    assert!(fixture.add(&key, "three").await);
    assert!(!replace("four", 300).await);
}

async fn a_record_holds_any_text(fixture: Fixture) {
    let long = "x".repeat(8 * 1_024);
    let texts = ["0", "{\"a\": [1]}", "'; DROP TABLE records; --", "größer 名 🦀\u{0}\r\n", &long];
    for text in texts {
        let key = key("n");
        assert!(fixture.add(&key, text).await);
        let read = fixture.other.get(&key).await.expect("get").expect("a record");
        assert_eq!(read.value, text);
        let next = record(&format!("{text}+"), 100);
        assert_eq!(fixture.store.compare_and_set(&key, Some(&read), &next).await, Ok(true));
        assert_eq!(fixture.get(&key).await, Some(next.value));
        assert_eq!(fixture.store.delete(&key).await, Ok(true));
    }
}

async fn names_may_be_anything_and_none_is_another(fixture: Fixture) {
    let long = |n: usize, end: &str| format!("{}{end}", "n".repeat(n));
    let mut names = vec![long(199, "a"), long(199, "b"), long(200, "a"), long(200, "b")];
    names.extend([long(5_000, "a"), long(5_000, "b"), "sha256:x".to_owned()]);
    names.extend(
        ["", " ", "*", "m", "M", "m:", "[a-z]", "'", "%", "_", "名", "\u{0}", "\n"]
            .map(str::to_owned),
    );
    let keys = |kind| names.iter().map(move |name| RecordKey::new(kind, name));
    let all: Vec<RecordKey> = keys("lease").chain(keys("bucket")).collect();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    for (n, key) in all.iter().enumerate() {
        assert!(fixture.add(key, &n.to_string()).await, "{key:?}");
    }
    for (n, key) in all.iter().enumerate() {
        assert_eq!(fixture.get(key).await, Some(n.to_string()), "{key:?}");
        assert_eq!(fixture.store.delete(key).await, Ok(true), "{key:?}");
    }
}

async fn of_two_hundred_writers_at_once_exactly_one_is_first(fixture: Fixture) {
    for round in 0..3 {
        let read = fixture.store.get(&key("n")).await.expect("get");
        let writing: Vec<_> = (0..200)
            .map(|n| {
                let (store, read) = (fixture.either(n), read.clone());
                tokio::spawn(async move {
                    let record = record(&format!("{round}.{n}"), 100);
                    store.compare_and_set(&key("n"), read.as_ref(), &record).await
                })
            })
            .collect();
        let mut first = Vec::new();
        for (n, task) in writing.into_iter().enumerate() {
            if task.await.expect("task").expect("compare_and_set") {
                first.push(format!("{round}.{n}"));
            }
        }
        assert_eq!(first.len(), 1, "{first:?}");
        assert_eq!(fixture.get(&key("n")).await, first.pop());
    }
}

async fn a_thousand_are_added_at_once(fixture: Fixture) {
    let adding: Vec<_> = (0..1_000)
        .map(|n| {
            let (store, key) = (fixture.either(n), key(&format!("m{n}")));
            tokio::spawn(async move { store.compare_and_set(&key, None, &record("x", 9)).await })
        })
        .collect();
    for task in adding {
        assert_eq!(task.await.expect("task"), Ok(true));
    }
}

async fn of_two_hundred_who_acquire_at_once_exactly_one_wins(fixture: Fixture) {
    let processes = [fixture.store, fixture.other].map(|store| process(store, PATIENCE).0);
    // One is over already, so that it has to be replaced.
    let over = processes[0].acquire("over", "x", at(0), at(10)).await;
    assert_eq!(over, Ok(Lease::Acquired));
    for name in ["new", "over"] {
        let acquiring: Vec<_> = (0..200)
            .map(|n| {
                let leases = processes[n % 2].clone();
                tokio::spawn(
                    async move { leases.acquire(name, &n.to_string(), at(10), at(99)).await },
                )
            })
            .collect();
        let (mut winners, mut losers) = (Vec::new(), Vec::new());
        for (n, task) in acquiring.into_iter().enumerate() {
            match task.await.expect("task").expect("acquire") {
                Lease::Acquired => winners.push(n.to_string()),
                Lease::Held(value) => losers.push(value),
            }
        }
        assert_eq!((winners.len(), losers.len()), (1, 199), "{name}");
        assert!(losers.iter().all(|value| *value == winners[0]), "{name}: {losers:?}");
    }
}

async fn of_two_hundred_who_take_at_once_as_many_get_one_as_there_are(fixture: Fixture) {
    let processes = [fixture.store, fixture.other].map(|store| process(store, PATIENCE).1);
    let taking: Vec<_> = (0..200)
        .map(|n| {
            let limits = processes[n % 2].clone();
            tokio::spawn(async move { limits.take("b", at(0), SECOND, 37).await })
        })
        .collect();
    let mut taken = 0;
    for task in taking {
        match task.await.expect("task").expect("take") {
            None => taken += 1,
            Some(wait) => assert_eq!(wait, SECOND),
        }
    }
    assert_eq!(taken, 37);
}

async fn of_two_hundred_attempts_at_once_as_many_count_as_may(fixture: Fixture) {
    let processes = [fixture.store, fixture.other].map(|store| process(store, PATIENCE).1);
    let recording: Vec<_> = (0..200)
        .map(|n| {
            let limits = processes[n % 2].clone();
            tokio::spawn(async move {
                let delays = [Duration::ZERO, Duration::ZERO, Duration::ZERO, SECOND];
                limits.record_failure("s", at(0), &delays, 60 * SECOND).await
            })
        })
        .collect();
    let mut counted = Vec::new();
    for task in recording {
        match task.await.expect("task").expect("record_failure") {
            Attempt::Counted(before) => counted.push(before),
            Attempt::Wait(wait) => assert_eq!(wait, SECOND),
        }
    }
    counted.sort_unstable();
    assert_eq!(counted, [0, 1, 2]);
}

async fn what_ended_is_purged_or_left_to_the_store(fixture: Fixture) {
    for n in 0..450 {
        assert!(fixture.add(&key(&format!("m{n}")), "x").await);
    }
    let (later, other) = (key("later"), RecordKey::new("bucket", "m7"));
    let store = &fixture.store;
    assert_eq!(store.compare_and_set(&later, None, &record("x", 101)).await, Ok(true));
    assert!(fixture.add(&other, "x").await);
    let purged = |n| Ok(if fixture.purges() { n } else { 0 });
    assert_eq!(store.purge(at(99)).await, Ok(0));
    assert_eq!(store.purge(at(100)).await, purged(451));
    assert_eq!(store.purge(at(100)).await, Ok(0));
    assert_eq!(fixture.get(&other).await.is_none(), fixture.purges());
    assert!(fixture.get(&later).await.is_some());
    assert_eq!(store.purge(at(101)).await, purged(1));
}

async fn it_answers_and_says_what_it_is(fixture: Fixture) {
    assert_eq!(fixture.store.ping().await, Ok(()));
    assert!(!fixture.store.describe().is_empty());
    assert_eq!(fixture.store.describe(), fixture.other.describe());
}
