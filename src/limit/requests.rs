//! Limits on requests: so many in each period, counted by name.
//!
//! It is a token bucket that holds all requests of a period. So they may come at once, and then as
//! evenly as the period gives them back: in the long run never more than the limit, and in any one
//! period less than twice as many.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Limits;
use super::arithmetic::{self, Bucket, MICROS, Rate, TOLERANCE, moment};
use crate::clock::UnixTime;
use crate::store::records::Record;
use crate::store::{Operation, StoreError};

/// The bucket of whoever sent requests, as it is kept.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct RequestBucket {
    /// The moment at which it is full again, in microseconds.
    full_at_us: u64,
    /// The time that one takes to come back, in microseconds.
    interval_us: u64,
}

impl RequestBucket {
    /// The bucket as this rate has it. Where the limit was another one, what has not come back counts as
    /// so many requests of this one.
    fn at_rate(self, rate: Rate, at_us: u64) -> Bucket {
        if self.interval_us == rate.interval {
            return Bucket { full_at: self.full_at_us };
        }
        let sent = self.full_at_us.saturating_sub(at_us).div_ceil(self.interval_us.max(1));
        Bucket { full_at: at_us + sent.saturating_mul(rate.interval).min(rate.depth) }
    }
}

impl Record for RequestBucket {
    const KIND: &'static str = "requests";
    const MARGIN: Duration = Duration::from_millis(TOLERANCE);

    fn end(&self) -> UnixTime {
        UnixTime::from_millis(self.full_at_us.div_ceil(MICROS))
    }
}

impl Limits {
    /// Counts a request under this name, of at most `requests` in each `period`. `None`: it is within
    /// the limit. Otherwise how long to wait for the next one; it was not counted. Of no requests at
    /// all nothing is within the limit.
    pub async fn count_request(
        &self,
        name: &str,
        at: UnixTime,
        requests: u32,
        period: Duration,
    ) -> Result<Option<Duration>, StoreError> {
        if requests == 0 {
            return Ok(Some(period));
        }
        let (at_us, rate) = (moment(at) * MICROS, Rate::of_requests(requests, period));
        let decide = move |kept: Option<RequestBucket>| {
            let bucket = kept.map(|kept| kept.at_rate(rate, at_us));
            let (wait, left) = arithmetic::take(bucket, at_us, rate);
            let interval_us = rate.interval;
            (wait, left.map(|left| RequestBucket { full_at_us: left.full_at, interval_us }))
        };
        let wait = self.records.change(Operation::Take, name, at, decide).await?;
        Ok((wait > 0).then(|| Duration::from_micros(wait)))
    }
}
