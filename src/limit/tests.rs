//! The rules of limits, over a store in memory. What many do at once is for the stores' contract,
//! and the numbers are for `arithmetic.rs`.

use std::sync::Arc;

use super::*;
use crate::clock::SystemClock;
use crate::store::records::MemoryRecordStore;
use crate::store::{CHANGE_TIMEOUT, StoreKind, StoreMetrics};

const SECOND: Duration = Duration::from_secs(1);
const NOW: UnixTime = UnixTime::from_millis(1_800_000_000_000);

fn limits() -> Limits {
    let (store, clock) = (Arc::new(MemoryRecordStore::new()), Arc::new(SystemClock::new()));
    let metrics = StoreMetrics::unregistered(StoreKind::Limits);
    Limits::new(Records::new(store, CHANGE_TIMEOUT, clock, metrics))
}

impl Limits {
    /// Takes one of three, of which one comes back each second; how long to wait, in milliseconds.
    async fn takes(&self, name: &str) -> u128 {
        let wait = self.take(name, NOW, SECOND, 3).await.expect("take");
        wait.map_or(0, |wait| wait.as_millis())
    }

    /// The first two at once, all others after a second; forgotten after a minute.
    async fn fails(&self, name: &str) -> Attempt {
        let delays = [Duration::ZERO, Duration::ZERO, SECOND];
        self.record_failure(name, NOW, &delays, 60 * SECOND).await.expect("record_failure")
    }
}

#[tokio::test]
async fn what_is_put_back_can_be_taken_again_and_no_more() {
    let limits = limits();
    let refund = async |name| limits.refund(name, NOW, SECOND).await.expect("refund");
    refund("never").await;
    for expected in [0, 0, 0, 1_000] {
        assert_eq!(limits.takes("b").await, expected);
    }
    refund("b").await;
    assert_eq!((limits.takes("b").await, limits.takes("b").await), (0, 1_000));
    // A full bucket holds no more than its burst.
    for _ in 0..9 {
        refund("b").await;
    }
    for expected in [0, 0, 0, 1_000] {
        assert_eq!(limits.takes("b").await, expected);
    }
    assert_eq!(limits.take("none", NOW, SECOND, 0).await, Ok(Some(SECOND)));
}

#[tokio::test]
async fn a_failure_that_is_undone_was_never_recorded() {
    let limits = limits();
    let undo = async |name| limits.undo_failure(name, NOW).await.expect("undo_failure");
    undo("never").await;
    assert_eq!(limits.fails("never").await, Attempt::Counted(0));
    for expected in [Attempt::Counted(0), Attempt::Counted(1), Attempt::Wait(SECOND)] {
        assert_eq!(limits.fails("s").await, expected);
    }
    undo("s").await;
    assert_eq!(limits.fails("s").await, Attempt::Counted(1), "the others are still counted");
    for _ in 0..9 {
        undo("s").await;
    }
    // Nothing is left, not even the time of an attempt that has to be waited for.
    let recorded = limits.record_failure("s", NOW, &[60 * SECOND; 2], 60 * SECOND).await;
    assert_eq!(recorded, Ok(Attempt::Counted(0)));
}

#[tokio::test]
async fn a_reset_forgets_all_failures_of_a_name_and_nothing_else() {
    let limits = limits();
    for name in ["s", "t"] {
        assert_eq!(limits.fails(name).await, Attempt::Counted(0));
        assert_eq!(limits.fails(name).await, Attempt::Counted(1));
    }
    for expected in [0, 0, 0, 1_000] {
        assert_eq!(limits.takes("s").await, expected);
    }
    limits.reset_failures("s").await.expect("reset_failures");
    limits.reset_failures("never").await.expect("reset_failures");
    assert_eq!(limits.fails("s").await, Attempt::Counted(0));
    assert_eq!(limits.fails("t").await, Attempt::Wait(SECOND));
    assert_eq!(limits.takes("s").await, 1_000);
}

#[tokio::test]
async fn moments_that_make_no_sense_are_survived() {
    let limits = limits();
    let (delays, century) = ([Duration::ZERO, Duration::MAX], Duration::MAX);
    for (name, when) in [("first", UnixTime::EPOCH), ("last", UnixTime::from_millis(u64::MAX))] {
        assert_eq!(limits.take(name, when, century, 1).await, Ok(None), "{name}");
        let wait = limits.take(name, when, century, u32::MAX).await.expect("take");
        assert!(wait.is_some_and(|wait| wait > 86_400 * SECOND), "{wait:?}");
        let recorded = limits.record_failure(name, when, &delays, century).await;
        assert_eq!(recorded, Ok(Attempt::Counted(0)), "{name}");
        let recorded = limits.record_failure(name, when, &delays, century).await;
        assert!(matches!(recorded, Ok(Attempt::Wait(wait)) if wait > SECOND), "{recorded:?}");
    }
}
