//! Leases on the refresh of a token: who may rotate it, and who moves its end in this window.

use std::sync::Arc;

use super::answer::Answer;
use crate::clock::{Clock, UnixTime};
use crate::issuer::Dependencies;
use crate::issuer::error::IssueError;
use crate::issuer::policy::IssuancePolicy;
use crate::issuer::sealed;
use crate::lease::{Lease, Leases};
use crate::opaque::TokenDigest;
use crate::secret::Random;

/// The leases, in the store that all processes share.
#[derive(Debug)]
pub(in crate::issuer) struct RefreshLeases {
    policy: Arc<IssuancePolicy>,
    leases: Leases,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// Outcome of asking for the lease on a rotation.
pub(super) enum LeaseAttempt {
    Acquired,
    /// Another holds it, until then at most; look again.
    HeldUntil(UnixTime),
}

/// Outcome of asking for the one refresh of a window.
pub(in crate::issuer) enum WindowAttempt {
    Acquired(WindowLease),
    /// Another has it, and said this.
    Held(String),
}

/// A lease on the refresh of a window, as its holder knows it.
pub(in crate::issuer) struct WindowLease {
    name: String,
    value: String,
}

impl RefreshLeases {
    pub(in crate::issuer) fn new(on: &Dependencies) -> Self {
        let Dependencies { policy, leases, clock, random, .. } = on.clone();
        Self { policy, leases, clock, random }
    }

    /// Acquires the lease on the rotation of a token which was not used at `read_at`. A lease that
    /// was over by then came to nothing; of a later one the commit may just have been overlooked.
    pub(super) async fn acquire_rotation(
        &self,
        token: &str,
        digest: &TokenDigest,
        answer: &Answer,
        read_at: UnixTime,
    ) -> Result<LeaseAttempt, IssueError> {
        let name = rotation_name(digest);
        let (value, until) = self.rotation_value(token, answer)?;
        match self.leases.acquire(&name, &value, self.clock.now(), until).await? {
            Lease::Acquired => Ok(LeaseAttempt::Acquired),
            Lease::Held(held) => match end_of_rotation(&held) {
                Some(lease) if read_at <= lease => Ok(LeaseAttempt::HeldUntil(lease)),
                _ => {
                    // The answer took its time, which the lease is not for.
                    let (value, until) = self.rotation_value(token, answer)?;
                    let now = self.clock.now();
                    let is_ours = self.leases.replace(&name, &held, &value, now, until).await?;
                    Ok(if is_ours { LeaseAttempt::Acquired } else { LeaseAttempt::HeldUntil(now) })
                }
            },
        }
    }

    /// The value of a lease that is acquired now, and until when it is kept. The value says until
    /// when the rotation is believed to be under way, something that makes it unlike any other, and
    /// with a grace the sealed answer.
    fn rotation_value(
        &self,
        token: &str,
        answer: &Answer,
    ) -> Result<(String, UnixTime), IssueError> {
        let (now, policy) = (self.clock.now(), &self.policy);
        let answer = if policy.grace.is_zero() { String::new() } else { self.seal(answer, token)? };
        let lease = now.after(policy.lease).as_millis();
        let value = format!("{lease}.{}.{answer}", self.nonce()?);
        let until = now.after(policy.refresh_window.max(policy.grace).max(policy.lease));
        Ok((value, until))
    }

    /// The answer of the last rotation that was begun, committed or not.
    pub(super) async fn rotation_answer(
        &self,
        digest: &TokenDigest,
        token: &str,
        now: UnixTime,
    ) -> Result<Option<Answer>, IssueError> {
        let lease = self.leases.read(&rotation_name(digest), now).await?;
        let sealed = lease.as_deref().and_then(|lease| lease.splitn(3, '.').nth(2));
        Ok(sealed.and_then(|sealed| Answer::unsealed(sealed, token)))
    }

    /// An answer that only this token opens.
    pub(super) fn seal(&self, answer: &Answer, token: &str) -> Result<String, IssueError> {
        Ok(sealed::seal(&answer.to_bytes()?, token, self.random.as_ref())?)
    }

    /// Acquires the lease on the one refresh of this window. `said` is for whoever comes within it.
    pub(in crate::issuer) async fn acquire_window(
        &self,
        digest: &TokenDigest,
        said: &str,
        now: UnixTime,
    ) -> Result<WindowAttempt, IssueError> {
        let (name, value) = (window_name(digest), format!("{}.{said}", self.nonce()?));
        let ours = WindowLease { name, value };
        if self.policy.refresh_window.is_zero() {
            return Ok(WindowAttempt::Acquired(ours));
        }
        let until = now.after(self.policy.refresh_window);
        match self.leases.acquire(&ours.name, &ours.value, now, until).await {
            Ok(Lease::Acquired) => Ok(WindowAttempt::Acquired(ours)),
            Ok(Lease::Held(held)) => {
                let said = held.split_once('.').map_or(held.as_str(), |(_, said)| said);
                Ok(WindowAttempt::Held(said.to_owned()))
            }
            Err(error) => {
                // It may be ours all the same, and we will do nothing with it.
                self.release_window(&ours).await;
                Err(error.into())
            }
        }
    }

    /// Releases it: a refresh that took no effect must not keep the next one from taking it.
    pub(super) async fn release_window(&self, ours: &WindowLease) {
        if let Err(error) = self.leases.release(&ours.name, &ours.value, self.clock.now()).await {
            tracing::warn!(%error, "the next refresh of this token has to wait for its window");
        }
    }

    /// Something that makes the value of a lease unlike any other.
    fn nonce(&self) -> Result<String, IssueError> {
        let mut nonce = [0; 8];
        self.random.fill(&mut nonce)?;
        Ok(format!("{:016x}", u64::from_be_bytes(nonce)))
    }
}

fn rotation_name(digest: &TokenDigest) -> String {
    format!("rotation:{}", digest.name())
}

fn window_name(digest: &TokenDigest) -> String {
    format!("sliding:{}", digest.name())
}

/// The moment until which a rotation is believed to be under way.
fn end_of_rotation(lease: &str) -> Option<UnixTime> {
    lease.split('.').next()?.parse().ok().map(UnixTime::from_millis)
}
