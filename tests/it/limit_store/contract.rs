//! The contract of every store: each case runs on memory, on SQLite, on a real Redis, on one that
//! real sentinels watch over, on a real cluster, and on a real memcached.
//! Those about purging run where the store does not make room by itself.

use std::time::Duration;

use portcullis::clock::UnixTime;
use portcullis::limit::{Attempt, Lease};

use super::{Fixture, SECOND, at, held};

macro_rules! contract {
    ($($case:ident)*; where_it_purges: $($purging:ident)*) => {
        mod on_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::limit_store::Fixture::memory().await.expect("memory")).await;
            })*
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $purging() {
                super::$purging(crate::limit_store::Fixture::memory().await.expect("memory")).await;
            })*
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::limit_store::Fixture::sqlite().await.expect("sqlite")).await;
            })*
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $purging() {
                super::$purging(crate::limit_store::Fixture::sqlite().await.expect("sqlite")).await;
            })*
        }
        mod on_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let Some(fixture) = crate::limit_store::Fixture::redis().await else { return };
                super::$case(fixture).await;
            })*
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $purging() {
                let Some(fixture) = crate::limit_store::Fixture::redis().await else { return };
                super::$purging(fixture).await;
            })*
        }
        mod on_memcached {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let Some(fixture) = crate::limit_store::Fixture::memcached().await else { return };
                super::$case(fixture).await;
            })*
            #[tokio::test]
            async fn purging_is_left_to_it() {
                let Some(fixture) = crate::limit_store::Fixture::memcached().await else { return };
                super::purging_is_left_to_it(fixture).await;
            }
        }
        // One setup for all cases, each in a database of its own.
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn it_holds_on_what_sentinels_watch_over() {
            let Some(sentinel) = crate::support::redis_sentinel::RedisSentinel::start(&[]).await else {
                return;
            };
            let mut database = 0;
            $(
                eprintln!("{}", stringify!($case));
                database += 1;
                $case(Fixture::of_redis(&sentinel.url(), database)).await;
            )*
            $(
                eprintln!("{}", stringify!($purging));
                database += 1;
                $purging(Fixture::of_redis(&sentinel.url(), database)).await;
            )*
        }
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn it_holds_on_a_cluster() {
            let Some(cluster) = crate::support::redis_cluster::RedisCluster::start().await else {
                return;
            };
            let mut database = 0;
            $(
                eprintln!("{}", stringify!($case));
                database += 1;
                $case(Fixture::of_redis(&cluster.url(), database)).await;
            )*
            $(
                eprintln!("{}", stringify!($purging));
                database += 1;
                $purging(Fixture::of_redis(&cluster.url(), database)).await;
            )*
        }
    };
}

contract! {
    a_lease_is_acquired_once_and_tells_what_it_holds
    a_lease_that_is_over_can_be_acquired_again
    of_two_hundred_who_acquire_at_once_exactly_one_wins
    a_thousand_leases_are_acquired_at_once
    a_value_is_replaced_only_where_it_is_the_expected_one
    of_two_hundred_replacements_at_once_exactly_one_is_done
    a_lease_is_read_while_it_lives
    a_lease_is_released_once_and_can_be_acquired_again
    a_lease_holds_any_text
    names_may_be_anything_and_none_is_another
    what_bears_one_name_does_not_mix
    a_bucket_fills_evenly_and_never_beyond_its_burst
    of_two_hundred_who_take_at_once_as_many_get_one_as_there_are
    each_attempt_waits_for_its_delay
    of_two_hundred_attempts_at_once_as_many_count_as_may
    what_is_put_back_can_be_taken_again_and_no_more
    a_failure_that_is_undone_was_never_recorded
    a_reset_forgets_all_failures
    a_clock_that_goes_back_gives_nothing_and_does_not_lock_for_ever
    moments_that_make_no_sense_are_survived
    it_answers_and_says_what_it_is;
    where_it_purges:
    purge_forgets_what_is_over_and_nothing_else
    many_are_purged_in_batches
}

async fn a_lease_is_acquired_once_and_tells_what_it_holds(fixture: Fixture) {
    assert_eq!(fixture.acquire_lease("m", "first", 0, 100).await, Lease::Acquired);
    for (value, when, until) in
        [("second", 0, 100), ("first", 0, 100), ("later", 99, 999), ("earlier", 50, 60)]
    {
        assert_eq!(fixture.acquire_lease("m", value, when, until).await, held("first"), "{value}");
    }
    assert_eq!(fixture.other.acquire_lease("m", "x", at(1), at(2)).await, Ok(held("first")));
    assert_eq!(fixture.read_lease("m", 99).await.as_deref(), Some("first"));
    assert_eq!(fixture.acquire_lease("n", "other", 0, 100).await, Lease::Acquired);
}

async fn a_lease_that_is_over_can_be_acquired_again(fixture: Fixture) {
    assert_eq!(fixture.acquire_lease("m", "first", 0, 100).await, Lease::Acquired);
    assert_eq!(fixture.acquire_lease("m", "second", 99, 300).await, held("first"));
    assert_eq!(fixture.acquire_lease("m", "second", 100, 300).await, Lease::Acquired);
    assert_eq!(fixture.acquire_lease("m", "third", 299, 400).await, held("second"));
    assert_eq!(fixture.acquire_lease("m", "third", 1_000_000, 1_000_001).await, Lease::Acquired);
}

async fn of_two_hundred_who_acquire_at_once_exactly_one_wins(fixture: Fixture) {
    // One is over already, so that some may have to replace it.
    assert_eq!(fixture.acquire_lease("over", "x", 0, 10).await, Lease::Acquired);
    for name in ["new", "over"] {
        let acquiring: Vec<_> = (0..200)
            .map(|n| {
                let store = fixture.either(n);
                tokio::spawn(async move {
                    store.acquire_lease(name, &n.to_string(), at(10), at(99)).await
                })
            })
            .collect();
        let (mut winners, mut losers) = (Vec::new(), Vec::new());
        for (n, task) in acquiring.into_iter().enumerate() {
            match task.await.expect("task").expect("acquire_lease") {
                Lease::Acquired => winners.push(n.to_string()),
                Lease::Held(value) => losers.push(value),
            }
        }
        assert_eq!((winners.len(), losers.len()), (1, 199), "{name}");
        assert!(losers.iter().all(|value| *value == winners[0]), "{name}: {losers:?}");
    }
}

async fn a_thousand_leases_are_acquired_at_once(fixture: Fixture) {
    let acquiring: Vec<_> = (0..1_000)
        .map(|n| {
            let store = fixture.either(n);
            tokio::spawn(
                async move { store.acquire_lease(&format!("m{n}"), "", at(0), at(9)).await },
            )
        })
        .collect();
    for task in acquiring {
        assert_eq!(task.await.expect("task"), Ok(Lease::Acquired));
    }
}

async fn a_value_is_replaced_only_where_it_is_the_expected_one(fixture: Fixture) {
    assert!(!fixture.replace_lease("m", "", "x", 100).await, "there is none");
    assert_eq!(fixture.read_lease("m", 0).await, None);
    fixture.acquire_lease("m", "one", 0, 100).await;
    for expected in ["", "One", "one ", "on", "two", "%"] {
        assert!(!fixture.replace_lease("m", expected, "x", 999).await, "{expected}");
        assert_eq!(fixture.read_lease("m", 99).await.as_deref(), Some("one"));
        assert_eq!(fixture.read_lease("m", 100).await, None);
    }
    assert!(fixture.replace_lease("m", "one", "two", 200).await);
    assert!(!fixture.replace_lease("m", "one", "three", 300).await);
    assert_eq!(fixture.read_lease("m", 199).await.as_deref(), Some("two"));
    assert_eq!(fixture.read_lease("m", 200).await, None);
    // It may also live shorter.
    assert!(fixture.replace_lease("m", "two", "three", 50).await);
    assert_eq!(fixture.read_lease("m", 50).await, None);
    assert_eq!(fixture.acquire_lease("m", "four", 50, 100).await, Lease::Acquired);
}

async fn of_two_hundred_replacements_at_once_exactly_one_is_done(fixture: Fixture) {
    fixture.acquire_lease("m", "old", 0, 100).await;
    let replacing: Vec<_> = (0..200)
        .map(|n| {
            let store = fixture.either(n);
            tokio::spawn(async move {
                store.replace_lease("m", "old", &format!("new{n}"), at(200)).await
            })
        })
        .collect();
    let mut done = Vec::new();
    for (n, task) in replacing.into_iter().enumerate() {
        if task.await.expect("task").expect("replace_lease") {
            done.push(format!("new{n}"));
        }
    }
    assert_eq!(done.len(), 1, "{done:?}");
    assert_eq!(fixture.read_lease("m", 150).await, done.pop());
}

async fn a_lease_is_read_while_it_lives(fixture: Fixture) {
    fixture.acquire_lease("m", "value", 10, 100).await;
    for (when, lives) in [(10, true), (99, true), (100, false), (101, false), (0, true)] {
        let expected = lives.then(|| "value".to_owned());
        assert_eq!(fixture.read_lease("m", when).await, expected, "at {when}");
    }
    assert_eq!(fixture.read_lease("never", 10).await, None);
}

async fn a_lease_is_released_once_and_can_be_acquired_again(fixture: Fixture) {
    fixture.acquire_lease("m", "one", 0, 100).await;
    assert_eq!(fixture.other.release_lease("m").await, Ok(true));
    assert_eq!(fixture.store.release_lease("m").await, Ok(false));
    assert_eq!(fixture.read_lease("m", 1).await, None);
    assert!(!fixture.replace_lease("m", "one", "two", 100).await);
    assert_eq!(fixture.acquire_lease("m", "two", 1, 100).await, Lease::Acquired);
}

async fn a_lease_holds_any_text(fixture: Fixture) {
    let texts = ["", "0", "{\"a\": [1]}", "'; DROP TABLE markers; --", "größer 名 🦀\u{0}\r\n"];
    let long = "x".repeat(8 * 1_024);
    for (n, text) in texts.into_iter().chain([long.as_str()]).enumerate() {
        let name = format!("m{n}");
        assert_eq!(fixture.acquire_lease(&name, text, 0, 100).await, Lease::Acquired);
        assert_eq!(fixture.acquire_lease(&name, "x", 0, 100).await, held(text));
        assert!(fixture.replace_lease(&name, text, &format!("{text}+"), 100).await, "{n}");
        assert_eq!(fixture.read_lease(&name, 0).await, Some(format!("{text}+")));
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
    for name in &names {
        assert_eq!(fixture.acquire_lease(name, name, 0, 100).await, Lease::Acquired, "{name:?}");
        assert_eq!(fixture.record_failure(name, 0).await, Attempt::Counted(0), "{name:?}");
        assert_eq!(fixture.store.take(name, at(0), SECOND, 1).await, Ok(None), "{name:?}");
    }
    for name in &names {
        assert_eq!(fixture.read_lease(name, 0).await.as_ref(), Some(name));
        assert_eq!(fixture.record_failure(name, 0).await, Attempt::Counted(1), "{name:?}");
        assert_eq!(fixture.store.release_lease(name).await, Ok(true), "{name:?}");
    }
}

async fn what_bears_one_name_does_not_mix(fixture: Fixture) {
    assert_eq!(fixture.take("n", 0).await, 0);
    assert_eq!(fixture.record_failure("n", 0).await, Attempt::Counted(0));
    assert_eq!(fixture.acquire_lease("n", "v", 0, 100).await, Lease::Acquired);
    assert_eq!(fixture.record_failure("n", 0).await, Attempt::Counted(1));
    assert_eq!((fixture.take("n", 0).await, fixture.take("n", 0).await), (0, 0));
    fixture.store.reset_failures("n").await.expect("reset_failures");
    assert_eq!(fixture.read_lease("n", 0).await.as_deref(), Some("v"));
    assert_eq!(fixture.store.release_lease("n").await, Ok(true));
    assert_eq!(fixture.take("n", 0).await, 1_000);
    assert_eq!(fixture.record_failure("n", 0).await, Attempt::Counted(0));
}

async fn a_bucket_fills_evenly_and_never_beyond_its_burst(fixture: Fixture) {
    for (n, (when, expected)) in [
        (0, 0),
        (0, 0),
        (0, 0),
        (0, 1_000),
        (1, 999),
        (999, 1),
        (1_000, 0),
        (1_000, 1_000),
        (3_500, 0),
        (3_500, 0),
        (3_500, 500),
        (86_400_000, 0),
        (86_400_000, 0),
        (86_400_000, 0),
        (86_400_000, 1_000),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(fixture.take("b", when).await, expected, "the {n}th, at {when}");
    }
    assert_eq!(fixture.take("another", 0).await, 0);
    let nothing = fixture.store.take("none", at(0), SECOND, 0).await;
    assert_eq!(nothing, Ok(Some(SECOND)));
}

async fn of_two_hundred_who_take_at_once_as_many_get_one_as_there_are(fixture: Fixture) {
    let taking: Vec<_> = (0..200)
        .map(|n| {
            let store = fixture.either(n);
            tokio::spawn(async move { store.take("b", at(0), SECOND, 37).await })
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

async fn each_attempt_waits_for_its_delay(fixture: Fixture) {
    let wait = |millis| Attempt::Wait(Duration::from_millis(millis));
    for (n, (when, expected)) in [
        (0, Attempt::Counted(0)),
        (0, Attempt::Counted(1)),
        (0, wait(1_000)),
        (999, wait(1)),
        (1_000, Attempt::Counted(2)),
        (1_000, wait(5_000)),
        (5_999, wait(1)),
        (6_000, Attempt::Counted(3)),
        (6_001, wait(4_999)),
        // The last delay holds for all later ones.
        (11_000, Attempt::Counted(4)),
        (11_001, wait(4_999)),
        // A minute after the last one that counted, not after those that had to wait.
        (70_999, Attempt::Counted(5)),
        (130_998, Attempt::Counted(6)),
        (190_998, Attempt::Counted(0)),
        (190_998, Attempt::Counted(1)),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(fixture.record_failure("s", when).await, expected, "the {n}th, at {when}");
    }
    for n in 0..3 {
        let free = fixture.store.record_failure("free", at(0), &[], SECOND).await;
        assert_eq!(free, Ok(Attempt::Counted(n)), "without delays");
    }
}

async fn of_two_hundred_attempts_at_once_as_many_count_as_may(fixture: Fixture) {
    let recording: Vec<_> = (0..200)
        .map(|n| {
            let store = fixture.either(n);
            tokio::spawn(async move {
                let delays = [Duration::ZERO, Duration::ZERO, Duration::ZERO, SECOND];
                store.record_failure("s", at(0), &delays, 60 * SECOND).await
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

async fn what_is_put_back_can_be_taken_again_and_no_more(fixture: Fixture) {
    let refund = async |name| fixture.other.refund(name, SECOND).await.expect("refund");
    refund("never").await;
    for _ in 0..3 {
        assert_eq!(fixture.take("b", 0).await, 0);
    }
    assert_eq!(fixture.take("b", 0).await, 1_000);
    refund("b").await;
    assert_eq!(fixture.take("b", 0).await, 0);
    assert_eq!(fixture.take("b", 0).await, 1_000);
    // A full bucket holds no more than its burst.
    for _ in 0..9 {
        refund("b").await;
    }
    for expected in [0, 0, 0, 1_000] {
        assert_eq!(fixture.take("b", 0).await, expected);
    }
    assert_eq!(fixture.record_failure("b", 0).await, Attempt::Counted(0));
}

async fn a_failure_that_is_undone_was_never_recorded(fixture: Fixture) {
    let undo_failure = async |name| fixture.other.undo_failure(name).await.expect("undo_failure");
    undo_failure("never").await;
    assert_eq!(fixture.record_failure("never", 0).await, Attempt::Counted(0));
    assert_eq!(fixture.record_failure("s", 0).await, Attempt::Counted(0));
    assert_eq!(fixture.record_failure("s", 0).await, Attempt::Counted(1));
    assert_eq!(fixture.record_failure("s", 0).await, Attempt::Wait(SECOND));
    undo_failure("s").await;
    assert_eq!(
        fixture.record_failure("s", 0).await,
        Attempt::Counted(1),
        "the others are still counted"
    );
    for _ in 0..9 {
        undo_failure("s").await;
    }
    // Nothing is left, not even the time of an attempt that has to be waited for.
    let patient = [60 * SECOND, 60 * SECOND];
    let recorded = fixture.store.record_failure("s", at(1), &patient, 60 * SECOND).await;
    assert_eq!(recorded, Ok(Attempt::Counted(0)));
}

async fn a_reset_forgets_all_failures(fixture: Fixture) {
    for name in ["s", "t"] {
        assert_eq!(fixture.record_failure(name, 0).await, Attempt::Counted(0));
        assert_eq!(fixture.record_failure(name, 0).await, Attempt::Counted(1));
    }
    fixture.other.reset_failures("s").await.expect("reset_failures");
    fixture.other.reset_failures("never").await.expect("reset_failures");
    assert_eq!(fixture.record_failure("s", 0).await, Attempt::Counted(0));
    assert_eq!(fixture.record_failure("t", 0).await, Attempt::Wait(SECOND));
}

async fn a_clock_that_goes_back_gives_nothing_and_does_not_lock_for_ever(fixture: Fixture) {
    const HOUR: u64 = 3_600_000;
    for _ in 0..3 {
        assert_eq!(fixture.take("b", HOUR).await, 0);
    }
    // By seconds: whoever is behind waits until its clock has come so far.
    assert_eq!(fixture.take("b", HOUR - 5_000).await, 6_000);
    assert_eq!(fixture.take("b", HOUR).await, 1_000);
    // By an hour: the bucket is empty from then on, and fills.
    assert_eq!(fixture.take("b", 0).await, 1_000);
    assert_eq!(fixture.take("b", 1_000).await, 0);
    assert_eq!(fixture.take("b", 1_000).await, 1_000);
    for _ in 0..2 {
        fixture.record_failure("s", HOUR).await;
    }
    let wait = |millis| Attempt::Wait(Duration::from_millis(millis));
    assert_eq!(fixture.record_failure("s", HOUR - 5_000).await, wait(6_000));
    assert_eq!(fixture.record_failure("s", 0).await, wait(1_000));
    assert_eq!(fixture.record_failure("s", 1_000).await, Attempt::Counted(2));
}

async fn purge_forgets_what_is_over_and_nothing_else(fixture: Fixture) {
    // Each is over at 61,000, or a millisecond later.
    fixture.acquire_lease("m", "v", 0, 61_000).await;
    fixture.acquire_lease("later", "v", 0, 61_001).await;
    fixture.take("b", 60_000).await;
    fixture.take("later", 60_001).await;
    fixture.record_failure("s", 1_000).await;
    fixture.record_failure("later", 1_001).await;
    assert_eq!(fixture.store.purge(at(60_999)).await, Ok(0));
    assert_eq!(fixture.store.purge(at(61_000)).await, Ok(3));
    assert_eq!(fixture.store.purge(at(61_000)).await, Ok(0));
    assert_eq!(fixture.store.release_lease("m").await, Ok(false));
    assert_eq!(fixture.store.release_lease("later").await, Ok(true));
    assert_eq!(fixture.store.purge(at(61_001)).await, Ok(2));
}

async fn many_are_purged_in_batches(fixture: Fixture) {
    for n in 0..450 {
        fixture.acquire_lease(&format!("m{n}"), "", 0, 100).await;
    }
    assert_eq!(fixture.store.purge(at(100)).await, Ok(450));
    assert_eq!(fixture.acquire_lease("m7", "", 0, 100).await, Lease::Acquired);
}

async fn purging_is_left_to_it(fixture: Fixture) {
    fixture.acquire_lease("m", "v", 0, 100).await;
    assert_eq!(fixture.store.purge(at(99_999)).await, Ok(0));
    assert_eq!(fixture.read_lease("m", 0).await.as_deref(), Some("v"));
}

async fn moments_that_make_no_sense_are_survived(fixture: Fixture) {
    let end = UnixTime::from_millis(u64::MAX);
    let store = &fixture.store;
    assert_eq!(store.acquire_lease("m", "v", UnixTime::EPOCH, end).await, Ok(Lease::Acquired));
    assert_eq!(store.acquire_lease("m", "w", at(0), end).await, Ok(held("v")));
    let delays = [Duration::ZERO, Duration::MAX];
    for (name, when) in [("first", UnixTime::EPOCH), ("last", end)] {
        assert_eq!(store.take(name, when, Duration::MAX, 1).await, Ok(None), "{name}");
        let wait = store.take(name, when, Duration::MAX, u32::MAX).await.expect("take");
        assert!(wait.is_some_and(|wait| wait > Duration::from_secs(86_400)), "{wait:?}");
        let recorded = store.record_failure(name, when, &delays, Duration::MAX).await;
        assert_eq!(recorded, Ok(Attempt::Counted(0)), "{name}");
        let recorded =
            store.record_failure(name, when, &delays, Duration::MAX).await.expect("record_failure");
        assert!(matches!(recorded, Attempt::Wait(wait) if wait > SECOND), "{recorded:?}");
    }
}

async fn it_answers_and_says_what_it_is(fixture: Fixture) {
    assert_eq!(fixture.store.ping().await, Ok(()));
    assert!(!fixture.store.describe().is_empty());
    assert_eq!(fixture.store.describe(), fixture.other.describe());
}
