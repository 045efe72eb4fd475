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
use super::lease::LeaseAttempt;
use super::{Refresh, RefreshRequest};
use crate::clock::UnixTime;
use crate::issuer::error::IssueError;
use crate::issuer::grant::GrantContext;
use crate::issuer::issued::Issued;
use crate::issuer::token_issuer::digest_of;
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

/// Outcome of an attempt to rotate.
enum RotationAttempt {
    Rotated(Box<Issued>),
    /// Another is about it, until then at most.
    InProgress(UnixTime),
}

impl Refresh {
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
                match self.locks.try_lock(digest) {
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
        let renewal = self.renew(request, old, GrantContext::of(old, false)?).await?;
        let family = renewal.family(old);
        let access = self.issuer.access_token(&family)?;
        let (refresh, record) = self.issuer.refresh_token(&family)?;
        let issued = renewal.issued(old, &access, Some(refresh));
        let answer = Answer::of(&issued, renewal.asked.clone());
        let next =
            NextTokens { issued, records: access.record.into_iter().chain([record]).collect() };
        match self.leases.acquire_rotation(request.token, &old.digest, &answer, read_at).await? {
            LeaseAttempt::Acquired => {
                let issued = self.commit_rotation(request, old, next, renewal.now).await?;
                Ok(RotationAttempt::Rotated(Box::new(issued)))
            }
            LeaseAttempt::HeldUntil(until) => Ok(RotationAttempt::InProgress(until)),
        }
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

    /// The refresh token of an answer as it is kept: it is, where the answer was committed.
    pub(super) async fn successor(
        &self,
        issued: &Issued,
    ) -> Result<Option<OpaqueToken>, IssueError> {
        match issued.refresh_token.as_ref().map(digest_of) {
            Some(successor) => Ok(self.tokens.get_bypassing_breaker(&successor).await?),
            None => Ok(None),
        }
    }
}
