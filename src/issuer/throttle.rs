//! Against guessing: budgets by address, and delays that grow with the attempts on one account.
//!
//! An attempt is counted before it is checked and forgotten when it succeeds, so that many at once
//! cannot all slip through before the first one failed. Counts are kept in the restriction store,
//! so that all processes count together.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::error::IssueError;
use super::terms::Caller;
use crate::clock::Clock;
use crate::restrict::{Restrictions, Strike};

/// How many attempts go through without a delay.
const FREE_ATTEMPTS: u32 = 3;
/// The delay after these, and what it grows by each time.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const GROWTH: f64 = 1.5;

/// On what terms attempts are let through.
#[derive(Clone, Copy, Debug)]
pub struct ThrottleTerms {
    /// Whether there are limits at all.
    pub enabled: bool,
    /// Checks of a secret that one address may ask for in a minute, in the long run; half as many
    /// at once.
    pub per_minute: u32,
    /// After this many attempts without success the account's next ones are refused for
    /// `lock_time`.
    pub lock_tries: u32,
    /// For how long, and for how long failures are remembered.
    pub lock_time: Duration,
}

/// An account by the name that its attempts are counted under: its id where it exists, so that a
/// username and an e-mail are one; else what was written, in canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountName(String);

impl AccountName {
    /// A user who exists.
    pub fn user(id: &str) -> Self {
        Self(format!("user:{id}"))
    }

    /// Somebody who may not exist.
    pub fn unknown(canonical: &str) -> Self {
        Self(format!("login:{canonical}"))
    }

    /// The name, for the audit log.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an attempt turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Whether, if it fails, the account's next ones are refused for the lock time.
    pub is_last: bool,
}

/// The limits.
#[derive(Debug)]
pub struct Throttle {
    restrictions: Arc<Restrictions>,
    terms: ThrottleTerms,
    delays: Vec<Duration>,
    clock: Arc<dyn Clock>,
}

impl Throttle {
    /// Limits on these terms, counted in `restrictions`.
    pub fn new(
        restrictions: Arc<Restrictions>,
        terms: ThrottleTerms,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { restrictions, terms, delays: delays(&terms), clock }
    }

    /// What to answer to a check of something random that failed (a client's secret, a key, a
    /// refresh token): guessing is charged to the address, and whoever has the right one is never
    /// refused for the guesses of others.
    pub async fn failure(&self, refused: IssueError, caller: &Caller) -> IssueError {
        let is_guess = matches!(
            refused,
            IssueError::InvalidClient { .. } | IssueError::InvalidGrant | IssueError::InvalidToken
        );
        if !is_guess {
            return refused;
        }
        self.address(caller).await.err().unwrap_or(refused)
    }

    /// Takes one check of a secret from the address's budget.
    ///
    /// # Errors
    /// [`IssueError::SlowDown`] where it is used up.
    pub async fn address(&self, caller: &Caller) -> Result<(), IssueError> {
        if !self.terms.enabled {
            return Ok(());
        }
        let name = format!("address:{}", caller.address.map_or_else(String::new, network));
        let interval = Duration::from_secs(60) / self.terms.per_minute.max(1);
        let burst = (self.terms.per_minute / 2).max(1);
        match self.restrictions.spend(&name, self.clock.now(), interval, burst).await? {
            None => Ok(()),
            Some(wait) => Err(IssueError::SlowDown(wait)),
        }
    }

    /// Counts an attempt on an account, before it is checked.
    ///
    /// # Errors
    /// [`IssueError::SlowDown`] where it comes too early after those before it.
    pub async fn attempt(&self, account: &AccountName) -> Result<Attempt, IssueError> {
        if !self.terms.enabled {
            return Ok(Attempt { is_last: false });
        }
        let now = self.clock.now();
        let counted =
            self.restrictions.strike(&account.0, now, &self.delays, self.terms.lock_time).await?;
        match counted {
            Strike::Counted(before) => {
                Ok(Attempt { is_last: before.saturating_add(1) == self.terms.lock_tries })
            }
            Strike::Wait(wait) => Err(IssueError::SlowDown(wait)),
        }
    }

    /// Forgets the attempts on an account: the last one succeeded.
    pub async fn succeeded(&self, account: &AccountName) -> Result<(), IssueError> {
        if self.terms.enabled {
            self.restrictions.pardon(&account.0).await?;
        }
        Ok(())
    }
}

/// How long after the attempt before it the n-th may come.
fn delays(terms: &ThrottleTerms) -> Vec<Duration> {
    let delay = |n: u32| match n.checked_sub(FREE_ATTEMPTS) {
        None => Duration::ZERO,
        Some(later) => {
            let growth = GROWTH.powi(i32::try_from(later).unwrap_or(i32::MAX));
            let seconds = FIRST_DELAY.as_secs_f64() * growth;
            Duration::try_from_secs_f64(seconds).unwrap_or(terms.lock_time).min(terms.lock_time)
        }
    };
    (0..terms.lock_tries).map(delay).chain([terms.lock_time]).collect()
}

/// The network that one customer usually has: an IPv4 address, or 64 bits of IPv6.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_end_with_the_lock() {
        let terms = ThrottleTerms {
            enabled: true,
            per_minute: 60,
            lock_tries: 6,
            lock_time: Duration::from_secs(900),
        };
        let seconds: Vec<f64> = delays(&terms).iter().map(Duration::as_secs_f64).collect();
        assert_eq!(seconds, [0.0, 0.0, 0.0, 1.0, 1.5, 2.25, 900.0]);
    }

    #[test]
    fn an_ipv6_customer_is_one_network_and_a_mapped_address_is_the_mapped_one() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
    }
}
