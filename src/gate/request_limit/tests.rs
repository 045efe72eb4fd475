//! Requests that are counted in a store in memory, by a clock that is moved.

use std::time::Duration;

use super::*;
use crate::clock::{ManualClock, UnixTime};
use crate::policy::Period;
use crate::store::records::{MemoryRecordStore, Records};
use crate::store::{StoreKind, StoreMetrics};

struct Fixture {
    limits: RequestLimits,
    clock: Arc<ManualClock>,
}

fn fixture() -> Fixture {
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_800_000_000)));
    let metrics = StoreMetrics::unregistered(StoreKind::Limits);
    let store = Arc::new(MemoryRecordStore::new());
    let records = Records::new(store, Duration::from_secs(60), clock.clone(), metrics);
    Fixture { limits: RequestLimits::new(Limits::new(records), clock.clone()), clock }
}

fn limit(name: &str, period: Period) -> RequestLimit {
    RequestLimit { name: name.to_owned(), period }
}

fn sender(user: Option<&str>, address: &str) -> Sender {
    Sender { user: user.map(str::to_owned), address: address.parse().ok() }
}

impl Fixture {
    /// Counts a request of whoever may send this many; the code and the wait of a denial.
    async fn count(
        &self,
        limit: &RequestLimit,
        requests: Option<u32>,
        sender: &Sender,
    ) -> Result<(), (DenialCode, Option<u64>)> {
        let allowance = Allowance { requests, is_by_address: sender.user.is_none() };
        let counted = self.limits.count(limit, allowance, sender).await;
        counted.map_err(|denial| (denial.code, denial.retry_after))
    }
}

fn over(seconds: u64) -> Result<(), (DenialCode, Option<u64>)> {
    Err((DenialCode::TooManyRequests, Some(seconds)))
}

#[tokio::test]
async fn as_many_as_the_limit_pass_and_the_next_waits_until_one_comes_back() {
    let (fixture, limit) = (fixture(), limit("max", Period::Minute));
    let alice = sender(Some("alice"), "");
    let count = async || fixture.count(&limit, Some(3), &alice).await;
    for _ in 0..3 {
        assert_eq!(count().await, Ok(()));
    }
    assert_eq!(count().await, over(20));
    fixture.clock.advance(Duration::from_millis(19_500));
    assert_eq!(count().await, over(1), "a part of a second is a second");
    fixture.clock.advance(Duration::from_millis(500));
    assert_eq!(count().await, Ok(()));
    assert_eq!(count().await, over(20), "what is refused costs nothing, and one came back");
    fixture.clock.advance(Duration::from_secs(3_600));
    for _ in 0..3 {
        assert_eq!(count().await, Ok(()), "never more than the limit is saved up");
    }
    assert_eq!(count().await, over(20));
}

#[tokio::test]
async fn a_limit_of_none_counts_nothing_and_a_limit_of_zero_is_no_permission() {
    let (fixture, limit) = (fixture(), limit("max", Period::Day));
    let alice = sender(Some("alice"), "");
    for _ in 0..9 {
        assert_eq!(fixture.count(&limit, None, &alice).await, Ok(()));
        let none = fixture.count(&limit, Some(0), &alice).await;
        assert_eq!(none, Err((DenialCode::PermissionDenied, None)));
    }
    assert_eq!(fixture.count(&limit, Some(1), &alice).await, Ok(()));
    assert_eq!(fixture.count(&limit, Some(1), &alice).await, over(86_400));
}

#[tokio::test]
async fn each_user_each_limit_and_each_customer_has_a_count_of_his_own() {
    let fixture = fixture();
    let (minute, hour) = (limit("a", Period::Minute), limit("a", Period::Hour));
    let (other, joined) = (limit("b", Period::Minute), limit("a:minute:user:x", Period::Minute));
    let senders = [
        sender(Some("alice"), "192.0.2.1"),
        sender(Some("Alice"), "192.0.2.1"),
        sender(Some("x:minute:user:alice"), "192.0.2.1"),
        sender(None, "192.0.2.1"),
        sender(None, "192.0.2.2"),
        sender(None, "2001:db8::1"),
        sender(None, "nowhere"),
    ];
    for limit in [&minute, &hour, &other, &joined] {
        for sender in &senders {
            assert_eq!(fixture.count(limit, Some(1), sender).await, Ok(()), "{limit:?} {sender:?}");
        }
    }
    // The address of a user who is known, and the rest of a customer's addresses, change nothing.
    for again in [
        sender(Some("alice"), "198.51.100.7"),
        sender(None, "::ffff:192.0.2.1"),
        sender(None, "2001:db8::ffff"),
        sender(None, "nobody knows"),
    ] {
        let code = fixture.count(&minute, Some(1), &again).await.map_err(|(code, _)| code);
        assert_eq!(code, Err(DenialCode::TooManyRequests), "{again:?}");
    }
}

/// A user's roles, or the model, may change; what was sent stays sent.
#[tokio::test]
async fn another_limit_of_the_same_user_goes_on_with_what_was_sent() {
    let (fixture, limit) = (fixture(), limit("max", Period::Day));
    let alice = sender(Some("alice"), "");
    let count = async |requests| fixture.count(&limit, Some(requests), &alice).await.is_ok();
    assert_eq!([count(2).await, count(2).await, count(2).await], [true, true, false]);
    let mut passed = 0;
    for _ in 0..20 {
        // A smaller limit beside the larger one gives nothing, and takes nothing back.
        assert!(!count(2).await);
        passed += u32::from(count(10).await);
    }
    assert_eq!(passed, 8, "two were sent before");
}
