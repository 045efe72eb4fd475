//! The rules of leases, over a store in memory. What many do at once is for the stores' contract.

use std::sync::Arc;

use super::*;
use crate::clock::SystemClock;
use crate::store::records::MemoryRecordStore;
use crate::store::{CHANGE_TIMEOUT, StoreKind, StoreMetrics};

fn leases() -> Leases {
    let (store, clock) = (Arc::new(MemoryRecordStore::new()), Arc::new(SystemClock::new()));
    let metrics = StoreMetrics::unregistered(StoreKind::Limits);
    Leases::new(Records::new(store, CHANGE_TIMEOUT, clock, metrics))
}

fn at(millis: u64) -> UnixTime {
    UnixTime::from_millis(millis)
}

impl Leases {
    async fn acquires(&self, value: &str, when: u64, until: u64) -> Result<(), String> {
        match self.acquire("m", value, at(when), at(until)).await.expect("acquire") {
            Lease::Acquired => Ok(()),
            Lease::Held(held) => Err(held),
        }
    }

    async fn replaces(&self, expected: &str, value: &str, until: u64) -> bool {
        self.replace("m", expected, value, at(0), at(until)).await.expect("replace")
    }

    async fn holds(&self, when: u64) -> Option<String> {
        self.read("m", at(when)).await.expect("read")
    }
}

#[tokio::test]
async fn a_lease_is_acquired_once_until_it_is_over_and_tells_what_it_holds() {
    let leases = leases();
    assert_eq!(leases.acquires("first", 0, 100).await, Ok(()));
    for (value, when, until) in [("first", 0, 100), ("later", 99, 999), ("earlier", 50, 60)] {
        assert_eq!(leases.acquires(value, when, until).await, Err("first".to_owned()), "{value}");
    }
    assert_eq!(leases.acquire("n", "other", at(0), at(100)).await, Ok(Lease::Acquired));
    assert_eq!(leases.acquires("second", 100, 300).await, Ok(()));
    assert_eq!(leases.acquires("third", 299, 400).await, Err("second".to_owned()));
    assert_eq!(leases.acquires("third", 1_000_000, u64::MAX).await, Ok(()));
    assert_eq!(leases.acquires("fourth", u64::MAX - 1, 0).await, Err("third".to_owned()));
}

#[tokio::test]
async fn a_value_is_replaced_only_where_it_is_the_expected_one() {
    let leases = leases();
    assert!(!leases.replaces("", "x", 100).await, "there is none");
    assert_eq!(leases.holds(0).await, None);
    assert_eq!(leases.acquires("one", 0, 100).await, Ok(()));
    for expected in ["", "One", "one ", "on", "two", "%"] {
        assert!(!leases.replaces(expected, "x", 999).await, "{expected}");
        assert_eq!(leases.holds(99).await.as_deref(), Some("one"));
    }
    assert!(leases.replaces("one", "two", 200).await);
    assert!(!leases.replaces("one", "three", 300).await);
    assert_eq!(leases.holds(199).await.as_deref(), Some("two"));
    // It may also live shorter; one that is over is still there.
    assert!(leases.replaces("two", "three", 50).await);
    assert_eq!(leases.holds(50).await, None);
    assert!(leases.replaces("three", "four", 60).await);
    assert_eq!(leases.acquires("five", 60, 100).await, Ok(()));
}

#[tokio::test]
async fn a_lease_is_read_while_it_lives() {
    let leases = leases();
    assert_eq!(leases.acquires("value", 10, 100).await, Ok(()));
    for (when, lives) in [(10, true), (99, true), (100, false), (101, false), (0, true)] {
        assert_eq!(leases.holds(when).await, lives.then(|| "value".to_owned()), "at {when}");
    }
    assert_eq!(leases.read("never", at(10)).await, Ok(None));
}

#[tokio::test]
async fn a_lease_is_released_once_by_who_holds_it_and_can_be_acquired_again() {
    let leases = leases();
    let release = async |value: &str, when| leases.release("m", value, at(when)).await;
    assert_eq!(release("one", 0).await, Ok(false), "there is none");
    assert_eq!(leases.acquires("one", 0, 100).await, Ok(()));
    assert_eq!(release("two", 0).await, Ok(false));
    assert_eq!(release("one", 100).await, Ok(false), "it is over");
    assert_eq!(leases.holds(1).await.as_deref(), Some("one"));
    assert_eq!(release("one", 0).await, Ok(true));
    assert_eq!(release("one", 0).await, Ok(false));
    assert_eq!(leases.holds(0).await, None);
    assert!(!leases.replaces("one", "two", 100).await);
    assert_eq!(leases.acquires("two", 0, 100).await, Ok(()));
    assert_eq!(release("one", 0).await, Ok(false));
    assert_eq!(leases.holds(0).await.as_deref(), Some("two"), "another's lease stays");
}
