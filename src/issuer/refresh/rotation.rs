//! Rotation: each refresh token works once and is replaced (RFC 9700, section 4.14.2).
//!
//! Two things decide, each one atomic step of a store:
//!
//! 1. The *lease* in the limit store. Of any number of callers, on any number of processes, one
//!    acquires it; the others wait a little for how that one fares, and are then told to come
//!    again. Where its holder comes to nothing (a crash, a store that failed), it is taken over
//!    when it is over.
//! 2. The *commit*: the old token is marked as used and its successors are added, both or
//!    nothing. From then on whoever shows the old token is a thief, or was robbed: the family ends.
//!
//! With a grace the lease holds the answer, sealed by the old token, before the commit makes it
//! true; so whoever lost the answer gets the same one, also after a crash.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::answer::Answer;
use super::{RefreshRequest, grant_context_of, issued};
use crate::clock::UnixTime;
use crate::issuer::Issuance;
use crate::issuer::audit::Event;
use crate::issuer::error::IssueError;
use crate::issuer::issue::{Family, GrantContext, Issued, digest_of};
use crate::issuer::sealed;
use crate::lease::Lease;
use crate::opaque::{OpaqueToken, Rotation, TokenDigest, TokenKind};

/// The longest wait for another's rotation of the same token.
const WAIT_LIMIT: Duration = Duration::from_millis(500);
/// The interval at which the rotation of another process is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The shortest time after which a client is told to come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The next tokens, before they are committed.
struct NextTokens {
    issued: Issued,
    records: Vec<OpaqueToken>,
}

/// Outcome of asking for the lease.
enum LeaseAttempt {
    Acquired,
    /// Another holds it, until then at most; look again.
    HeldUntil(UnixTime),
}

/// Outcome of an attempt to rotate.
enum RotationAttempt {
    Rotated(Box<Issued>),
    /// Another is about it, until then at most.
    InProgress(UnixTime),
}

impl Issuance {
    /// Rotates a token. Who finds that another is about it waits a little, and is then told to come
    /// again: nobody is held for as long as a lease may last.
    pub(super) async fn rotate(
        &self,
        request: &RefreshRequest<'_>,
        digest: &TokenDigest,
    ) -> Result<Issued, IssueError> {
        let deadline = Instant::now() + WAIT_LIMIT;
        let mut lock = None;
        loop {
            let read_at = self.clock.now();
            let old = self.presented(request, digest, TokenKind::Refresh).await?;
            if let Some(used) = old.used {
                // Those who wait for the lock have nothing more to wait for.
                drop(lock);
                return self.handle_reuse(request, &old, used).await;
            }
            if lock.is_none() {
                match self.rotation_locks.try_lock(digest) {
                    Ok(guard) => lock = Some(guard),
                    Err(held) if held.is_released_by(deadline).await => continue,
                    Err(_) => return Err(IssueError::InProgress(RETRY_AFTER)),
                }
            }
            match self.try_rotate(request, &old, read_at).await? {
                RotationAttempt::Rotated(issued) => return Ok(*issued),
                RotationAttempt::InProgress(_) if Instant::now() + POLL_INTERVAL < deadline => {
                    sleep(POLL_INTERVAL).await;
                }
                RotationAttempt::InProgress(until) => {
                    let left = until.since(self.clock.now());
                    return Err(IssueError::InProgress(left.max(RETRY_AFTER)));
                }
            }
        }
    }

    /// One attempt to rotate a token that was not used at `read_at`.
    async fn try_rotate(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        read_at: UnixTime,
    ) -> Result<RotationAttempt, IssueError> {
        let context = grant_context_of(old)?;
        self.check_session(old).await?;
        let now = self.clock.now();
        let next = self.next_tokens(request, old, &context, now).await?;
        let answer = Answer::of(&next.issued, self.refresh_params(request, &context));
        match self.acquire_rotation_lease(request.token, &old.digest, &answer, read_at).await? {
            LeaseAttempt::Acquired => {
                let issued = self.commit_rotation(request, old, next, now).await?;
                Ok(RotationAttempt::Rotated(Box::new(issued)))
            }
            LeaseAttempt::HeldUntil(until) => Ok(RotationAttempt::InProgress(until)),
        }
    }

    /// The next tokens of a family, made from what is true of its subject now.
    async fn next_tokens(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        context: &GrantContext,
        now: UnixTime,
    ) -> Result<NextTokens, IssueError> {
        let (subject, scopes) = self.renewed(request, old, context).await?;
        let client = old.client.as_deref();
        let audiences = self.audiences(request, context)?;
        let family = Family { session: &old.session, client, context, audiences };
        let access = self.access_token(&subject, &family, &scopes, now)?;
        let (refresh, record) = self.refresh_token(&subject.user, &family, now)?;
        let records = access.record.iter().cloned().chain([record]).collect();
        Ok(NextTokens { issued: issued(old, access, Some(refresh), scopes), records })
    }

    /// Acquires the lease on the rotation of a token which was not used at `read_at`. A lease that
    /// was over by then came to nothing; of a later one the commit may just have been overlooked.
    async fn acquire_rotation_lease(
        &self,
        token: &str,
        digest: &TokenDigest,
        answer: &Answer,
        read_at: UnixTime,
    ) -> Result<LeaseAttempt, IssueError> {
        let name = rotation_lease_name(digest);
        let (value, until) = self.lease_value(token, answer)?;
        match self.leases.acquire(&name, &value, self.clock.now(), until).await? {
            Lease::Acquired => Ok(LeaseAttempt::Acquired),
            Lease::Held(held) => match lease_end(&held) {
                Some(lease) if read_at <= lease => Ok(LeaseAttempt::HeldUntil(lease)),
                _ => {
                    // The answer took its time, which the lease is not for.
                    let (value, until) = self.lease_value(token, answer)?;
                    let now = self.clock.now();
                    let is_ours = self.leases.replace(&name, &held, &value, now, until).await?;
                    let now = self.clock.now();
                    Ok(if is_ours { LeaseAttempt::Acquired } else { LeaseAttempt::HeldUntil(now) })
                }
            },
        }
    }

    /// The value of a lease that is acquired now, and until when it is kept. The value says until
    /// when the rotation is believed to be under way, something that makes it unlike any other, and
    /// with a grace the sealed answer.
    fn lease_value(&self, token: &str, answer: &Answer) -> Result<(String, UnixTime), IssueError> {
        let now = self.clock.now();
        let mut nonce = [0; 8];
        self.random.fill(&mut nonce)?;
        let answer = if self.policy.grace.is_zero() {
            String::new()
        } else {
            sealed::seal(&answer.to_bytes()?, token, self.random.as_ref())?
        };
        let lease = now.after(self.policy.lease).as_millis();
        let value = format!("{lease}.{:016x}.{answer}", u64::from_be_bytes(nonce));
        let until =
            now.after(self.policy.refresh_window.max(self.policy.grace).max(self.policy.lease));
        Ok((value, until))
    }

    async fn commit_rotation(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        next: NextTokens,
        now: UnixTime,
    ) -> Result<Issued, IssueError> {
        // First, so that the session never ends before the tokens that are worth nothing without.
        let end = next.records.iter().map(|record| record.expires).max().unwrap_or(now);
        let end = end.max(next.issued.expires.after(Duration::from_secs(1)));
        if !self.sessions.renew(&old.session, end).await? {
            return Err(IssueError::InvalidGrant);
        }
        match self.tokens.rotate(&old.digest, now, &next.records).await {
            Ok(Rotation::Rotated) => Ok(next.issued),
            Ok(Rotation::AlreadyUsed) => self.handle_reuse(request, old, now).await,
            Ok(Rotation::Unknown) => Err(IssueError::InvalidGrant),
            // It may have happened all the same. Told that it did not, the client would come again
            // with a token that is used by now, and be taken for a thief.
            Err(error) => {
                let was_committed = self.successor(&next.issued).await?.is_some();
                was_committed.then_some(next.issued).ok_or_else(|| error.into())
            }
        }
    }

    /// The refresh token of an answer as it is kept: it is, where the answer was
    /// committed.
    async fn successor(&self, issued: &Issued) -> Result<Option<OpaqueToken>, IssueError> {
        match issued.refresh_token.as_ref().map(digest_of) {
            Some(successor) => Ok(self.tokens.get_bypassing_breaker(&successor).await?),
            None => Ok(None),
        }
    }

    /// Handles a token that was used before: within the grace it gets the same answer, as long as
    /// nobody has used what it holds; else the end of its family.
    pub(super) async fn handle_reuse(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        used: UnixTime,
    ) -> Result<Issued, IssueError> {
        if let Some(answer) = self.repeated_answer(request, old, used).await? {
            return Ok(answer);
        }
        let ended = self.sessions.revoke(&old.session).await.map_err(IssueError::from);
        let reuse = || {
            let event = self.audit.event(Event::RefreshReuse).user(old.user.as_str());
            let event = event.session(&old.session).client(old.client.as_deref());
            event.address(request.caller.address)
        };
        match ended {
            Ok(None) => Err(IssueError::InvalidGrant),
            Ok(Some(_)) => {
                reuse().write();
                self.metrics.reuse();
                Err(IssueError::InvalidGrant)
            }
            // The family may have ended all the same; then nobody after us has anything to tell.
            Err(error) => {
                reuse().error(&error).write();
                Err(error)
            }
        }
    }

    /// The answer that the rotation gave, where the grace is not over, the answer was committed,
    /// and nobody has used its refresh token: who did was not in want of it.
    async fn repeated_answer(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        used: UnixTime,
    ) -> Result<Option<Issued>, IssueError> {
        let now = self.clock.now();
        if self.policy.grace.is_zero() || now > used.after(self.policy.grace) {
            return Ok(None);
        }
        let Some(lease) = self.leases.read(&rotation_lease_name(&old.digest), now).await? else {
            return Ok(None);
        };
        let Some(answer) = Answer::unsealed(sealed_answer(&lease), request.token) else {
            return Ok(None);
        };
        let first = answer.asked.clone();
        let issued = answer.into_issued(old);
        self.check_session(old).await?;
        // A lease that was taken over holds an answer that was never committed.
        if self.successor(&issued).await?.is_none_or(|successor| successor.used.is_some()) {
            return Ok(None);
        }
        if let Some(first) = first {
            self.refresh_params(request, &grant_context_of(old)?).check_same(&first)?;
        }
        Ok(Some(self.with_published_key(request, old, issued).await?))
    }
}

fn rotation_lease_name(digest: &TokenDigest) -> String {
    format!("rotation:{}", digest.name())
}

/// The moment until which a rotation is believed to be under way.
fn lease_end(lease: &str) -> Option<UnixTime> {
    lease.split('.').next()?.parse().ok().map(UnixTime::from_millis)
}

fn sealed_answer(lease: &str) -> &str {
    lease.splitn(3, '.').nth(2).unwrap_or_default()
}
