//! Rate limits against guessing: token buckets by address, and delays that grow with the failed
//! attempts on one name.
//!
//! An attempt is recorded as a failure before it is checked, so that many at once cannot all slip
//! through before the first one failed. Only a refusal stays recorded: success forgets the
//! failures, and what was not checked after all (a store, the hook or the hashing did not answer)
//! is taken back. So the check itself is handed over as a future, and nobody who counts can forget
//! to settle. Counts are kept in the limit store, so that all processes count together.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::caller::Caller;
use super::error::IssueError;
use crate::account::Login;
use crate::clock::Clock;
use crate::limit::{Attempt, Limits};
use crate::store::StoreError;

/// Number of attempts that go through without a delay.
const FREE_ATTEMPTS: u32 = 3;
/// The delay after these, and what it grows by each time.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const GROWTH: f64 = 1.5;
/// Mails that one e-mail may be sent at once on a stranger's word, and the time that one takes to come
/// back.
const MAILS_AT_ONCE: u32 = 4;
const MAIL_INTERVAL: Duration = Duration::from_secs(300);

/// Limits on attempts.
#[derive(Clone, Copy, Debug)]
pub struct ThrottleConfig {
    /// False if there are no limits.
    pub enabled: bool,
    /// Checks of a secret that one address may ask for in a minute, in the long run; half as many
    /// at once.
    pub per_minute: u32,
    /// After this many refused attempts on a name, or on the account that it names, the next ones
    /// are refused for `lock_time`.
    pub lock_tries: u32,
    /// The time of a lock, for which failures are remembered too.
    pub lock_time: Duration,
}

/// The name under which failed attempts are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptName(String);

impl AttemptName {
    /// The name that somebody wrote, in canonical form: the same whether it is anybody's or not.
    pub fn written(canonical: &str) -> Self {
        Self(format!("name:{canonical}"))
    }

    /// A user who exists, whichever of the names was written.
    pub fn user(id: &str) -> Self {
        Self(format!("user:{id}"))
    }

    /// The user whom a name would have, where it has none.
    pub fn nobody(canonical: &str) -> Self {
        Self(format!("login:{canonical}"))
    }

    /// The name, for the audit log.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Treatment of an attempt that comes too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooEarly {
    /// It is not checked; the answer says when to come again.
    RetryAfter,
    /// It is checked like any other, and refused as what is wrong: several names share the count,
    /// and a caller who was told of it would learn that they are one user's, and somebody's at all.
    RefusedAsWrong,
}

/// Outcome of a check of a secret.
#[derive(Debug)]
pub struct Counted<T> {
    /// The outcome of the check.
    pub outcome: Result<T, IssueError>,
    /// True for the failure after which the next ones are refused for the lock time.
    pub locks: bool,
}

/// Price of a check of the right secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// It takes one from the bucket too: a check is dear.
    Costs,
    /// The check that it took is put back.
    IsFree,
}

/// The rate limits, over the store that all processes share.
#[derive(Clone, Debug)]
pub struct Throttle {
    limits: Limits,
    config: ThrottleConfig,
    delays: Vec<Duration>,
    clock: Arc<dyn Clock>,
}

impl Throttle {
    /// Limits of this configuration, counted in `limits`.
    pub fn new(limits: Limits, config: ThrottleConfig, clock: Arc<dyn Clock>) -> Self {
        Self { limits, config, delays: delays(&config), clock }
    }

    /// The answer to a failed check of something random (a client's secret, a key, a
    /// refresh token): guessing is charged to the address, and whoever has the right one is never
    /// refused for the guesses of others.
    pub async fn failure(&self, refused: IssueError, caller: &Caller) -> IssueError {
        if !is_refusal(&refused) || !self.config.enabled {
            return refused;
        }
        self.take_from_bucket(caller).await.err().unwrap_or(refused)
    }

    /// Checks a secret that a program shows. One that `is_random`, of 256 bits that were made here,
    /// is not to be guessed: only failures are charged. What somebody may have chosen is compared
    /// within the budget of the address, right or wrong; the right one is given its share back.
    ///
    /// # Errors
    /// Those of the check; [`IssueError::SlowDown`] where the budget is used up.
    pub async fn secret<T>(
        &self,
        is_random: bool,
        caller: &Caller,
        check: impl Future<Output = Result<T, IssueError>>,
    ) -> Result<T, IssueError> {
        if !is_random {
            return self.within_budget(caller, Success::IsFree, check).await;
        }
        match check.await {
            Err(error) => Err(self.failure(error, caller).await),
            right => right,
        }
    }

    /// Checks a secret within the budget of the address.
    ///
    /// # Errors
    /// Those of the check; [`IssueError::SlowDown`], unchecked, where the budget is used up.
    pub async fn within_budget<T>(
        &self,
        caller: &Caller,
        success: Success,
        check: impl Future<Output = Result<T, IssueError>>,
    ) -> Result<T, IssueError> {
        if !self.config.enabled {
            return check.await;
        }
        self.take_from_bucket(caller).await?;
        let outcome = check.await;
        match &outcome {
            Ok(_) if success == Success::IsFree => self.refund(caller).await?,
            // Whoever comes too early has asked all the same.
            Err(IssueError::SlowDown(_)) => {}
            Err(error) if !is_refusal(error) => {
                if let Err(error) = self.refund(caller).await {
                    tracing::warn!(%error, "a check that was not made stays counted");
                }
            }
            _ => {}
        }
        outcome
    }

    /// Takes one check of a secret from the address's token bucket.
    async fn take_from_bucket(&self, caller: &Caller) -> Result<(), IssueError> {
        let burst = (self.config.per_minute / 2).max(1);
        let (name, now) = (bucket_name(caller), self.clock.now());
        match self.limits.take(&name, now, self.interval(), burst).await? {
            None => Ok(()),
            Some(wait) => Err(IssueError::SlowDown(wait)),
        }
    }

    async fn refund(&self, caller: &Caller) -> Result<(), StoreError> {
        self.limits.refund(&bucket_name(caller), self.clock.now(), self.interval()).await
    }

    /// The time that one check takes to come back.
    fn interval(&self) -> Duration {
        Duration::from_secs(60) / self.config.per_minute.max(1)
    }

    /// Takes one mail from those that an e-mail may be sent on a stranger's word, whether it has an
    /// account or not.
    ///
    /// # Errors
    /// [`IssueError::SlowDown`].
    pub async fn mail(&self, email: &Login) -> Result<(), IssueError> {
        if !self.config.enabled {
            return Ok(());
        }
        let (name, now) = (format!("mail:{}", email.canonical()), self.clock.now());
        match self.limits.take(&name, now, MAIL_INTERVAL, MAILS_AT_ONCE).await? {
            None => Ok(()),
            Some(wait) => Err(IssueError::SlowDown(wait)),
        }
    }

    /// Forgets the failures that were counted under these names.
    ///
    /// # Errors
    /// The store did not answer; some may be forgotten.
    pub async fn forget(&self, names: &[AttemptName]) -> Result<(), StoreError> {
        for name in names {
            self.limits.reset_failures(&name.0).await?;
        }
        Ok(())
    }

    /// Counts an attempt under a name, has it checked, and settles: what was refused stays counted.
    pub async fn counted<T>(
        &self,
        name: &AttemptName,
        too_early: TooEarly,
        check: impl Future<Output = Result<T, IssueError>>,
    ) -> Counted<T> {
        if !self.config.enabled {
            return Counted { outcome: check.await, locks: false };
        }
        let failed = |error| Counted { outcome: Err(error), locks: false };
        let (now, memory) = (self.clock.now(), self.config.lock_time);
        let before = match self.limits.record_failure(&name.0, now, &self.delays, memory).await {
            Ok(Attempt::Counted(before)) => before,
            Ok(Attempt::Wait(wait)) if too_early == TooEarly::RetryAfter => {
                return failed(IssueError::SlowDown(wait));
            }
            // Whatever the check says: a right secret is refused as a wrong one is.
            Ok(Attempt::Wait(_)) => {
                let outcome = check.await.and(Err(IssueError::InvalidGrant));
                return Counted { outcome, locks: false };
            }
            Err(error) => return failed(error.into()),
        };
        let outcome = check.await;
        let settled = match &outcome {
            Ok(_) => self.limits.reset_failures(&name.0).await,
            Err(error) if is_refusal(error) => Ok(()),
            Err(_) => self.limits.undo_failure(&name.0, self.clock.now()).await,
        };
        match (outcome, settled) {
            (Ok(_), Err(error)) => failed(error.into()),
            (outcome, settled) => {
                if let Err(error) = settled {
                    tracing::warn!(%error, "an attempt that was not checked stays counted");
                }
                let is_last = before.saturating_add(1) == self.config.lock_tries;
                let locks = is_last && outcome.as_ref().err().is_some_and(is_refusal);
                Counted { outcome, locks }
            }
        }
    }
}

/// True where a secret was found wrong. Whatever else went wrong, nobody learnt anything of it.
fn is_refusal(error: &IssueError) -> bool {
    matches!(
        error,
        IssueError::InvalidClient { .. }
            | IssueError::InvalidGrant
            | IssueError::InvalidToken
            | IssueError::InvalidLink
    )
}

fn bucket_name(caller: &Caller) -> String {
    format!("address:{}", caller.address.map_or_else(String::new, network))
}

/// The delays after which the n-th attempt may follow the one before it.
fn delays(config: &ThrottleConfig) -> Vec<Duration> {
    let delay = |n: u32| match n.checked_sub(FREE_ATTEMPTS) {
        None => Duration::ZERO,
        Some(later) => {
            let growth = GROWTH.powi(i32::try_from(later).unwrap_or(i32::MAX));
            let seconds = FIRST_DELAY.as_secs_f64() * growth;
            Duration::try_from_secs_f64(seconds).unwrap_or(config.lock_time).min(config.lock_time)
        }
    };
    (0..config.lock_tries).map(delay).chain([config.lock_time]).collect()
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
mod tests;
