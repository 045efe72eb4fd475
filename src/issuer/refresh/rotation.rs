//! Rotation: each refresh token works once and is replaced (RFC 9700, section 4.14.2).
//!
//! Two things decide, each one atomic step of a store:
//!
//! 1. The *claim*: a marker in the restriction store. Of any number of callers, on any number of
//!    processes, one sets it; the others wait a little for how that one fares, and are then told
//!    to come again. A claim that comes to nothing (a crash, a store that failed) is taken over
//!    when its lease is over.
//! 2. The *exchange*: the old token is marked as used and its successors are added, both or
//!    nothing. From then on whoever shows the old token is a thief, or was robbed: the family ends.
//!
//! With a grace the claim holds the answer, sealed by the old token, before the exchange makes it
//! true; so whoever lost the answer gets the same one, also after a crash.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::answer::Answer;
use super::{RefreshRequest, issued, lineage_of};
use crate::clock::UnixTime;
use crate::issuer::Issuance;
use crate::issuer::audit::Event;
use crate::issuer::error::IssueError;
use crate::issuer::issue::{Family, Issued, Lineage, digest_of};
use crate::issuer::sealed;
use crate::opaque::{Exchange, OpaqueToken, TokenDigest, TokenKind};
use crate::restrict::Claim;

/// How long anybody waits for another's rotation of the same token.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it is looked how another process' rotation fares.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// When to come again, at the soonest.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// The next tokens, before they are true.
struct Next {
    issued: Issued,
    records: Vec<OpaqueToken>,
}

/// How a claim ended.
enum Claimed {
    Won,
    /// Another holds it, until then at most; look again.
    Later(UnixTime),
}

/// How an attempt to rotate ended.
enum Tried {
    Done(Box<Issued>),
    /// Another is about it, until then at most.
    Later(UnixTime),
}

impl Issuance {
    /// Rotates a token. Who finds that another is about it waits a little, and is then told to come
    /// again: nobody is held for as long as a claim may last.
    pub(super) async fn rotate(
        &self,
        request: &RefreshRequest<'_>,
        digest: &TokenDigest,
    ) -> Result<Issued, IssueError> {
        let deadline = Instant::now() + PATIENCE;
        let mut turn = None;
        loop {
            let looked = self.clock.now();
            let old = self.presented(request, digest, TokenKind::Refresh).await?;
            if let Some(used) = old.used {
                // Those who wait for the turn have nothing more to wait for.
                drop(turn);
                return self.replayed(request, &old, used).await;
            }
            if turn.is_none() {
                match self.turns.take(digest) {
                    Ok(taken) => turn = Some(taken),
                    Err(taken) if taken.is_over_by(deadline).await => continue,
                    Err(_) => return Err(IssueError::UnderWay(COME_AGAIN)),
                }
            }
            match self.try_rotate(request, &old, looked).await? {
                Tried::Done(issued) => return Ok(*issued),
                Tried::Later(_) if Instant::now() + LOOK_EVERY < deadline => {
                    sleep(LOOK_EVERY).await;
                }
                Tried::Later(until) => {
                    let left = until.since(self.clock.now());
                    return Err(IssueError::UnderWay(left.max(COME_AGAIN)));
                }
            }
        }
    }

    /// One attempt to rotate a token that was not used when somebody `looked`.
    async fn try_rotate(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        looked: UnixTime,
    ) -> Result<Tried, IssueError> {
        let lineage = lineage_of(old)?;
        self.check_session(old).await?;
        let now = self.clock.now();
        let next = self.next(request, old, &lineage, now).await?;
        let answer = Answer::of(&next.issued, self.asked(request, &lineage));
        match self.claim(request.token, &old.digest, &answer, looked).await? {
            Claimed::Won => {
                let issued = self.exchange(request, old, next, now).await?;
                Ok(Tried::Done(Box::new(issued)))
            }
            Claimed::Later(until) => Ok(Tried::Later(until)),
        }
    }

    /// The next tokens of a family, made from what is true of its subject now.
    async fn next(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        lineage: &Lineage,
        now: UnixTime,
    ) -> Result<Next, IssueError> {
        let (subject, scopes) = self.renewed(request, old, lineage).await?;
        let client = old.client.as_deref();
        let audiences = self.audiences(request, lineage)?;
        let family = Family { session: &old.session, client, lineage, audiences };
        let access = self.access_token(&subject, &family, &scopes, now)?;
        let (refresh, record) = self.refresh_token(&subject.user, &family, now)?;
        let records = access.record.iter().cloned().chain([record]).collect();
        Ok(Next { issued: issued(old, access, Some(refresh), scopes), records })
    }

    /// Claims the rotation of a token which was not used when somebody `looked`. A claim whose
    /// lease was over by then came to nothing: later, its exchange may just have been overlooked.
    async fn claim(
        &self,
        token: &str,
        digest: &TokenDigest,
        answer: &Answer,
        looked: UnixTime,
    ) -> Result<Claimed, IssueError> {
        let name = rotation_marker(digest);
        let (value, until) = self.claiming(token, answer)?;
        match self.restrictions.claim(&name, &value, self.clock.now(), until).await? {
            Claim::Won => Ok(Claimed::Won),
            Claim::Held(held) => match lease_of(&held) {
                Some(lease) if looked <= lease => Ok(Claimed::Later(lease)),
                _ => {
                    // The answer took its time, which the lease is not for.
                    let (value, until) = self.claiming(token, answer)?;
                    let is_ours = self.restrictions.swap(&name, &held, &value, until).await?;
                    let now = self.clock.now();
                    Ok(if is_ours { Claimed::Won } else { Claimed::Later(now) })
                }
            },
        }
    }

    /// What a claim that is made now says, and until when it is kept: until when it is believed to
    /// be under way, something that makes it unlike any other, and with a grace the sealed answer.
    fn claiming(&self, token: &str, answer: &Answer) -> Result<(String, UnixTime), IssueError> {
        let now = self.clock.now();
        let mut nonce = [0; 8];
        self.random.fill(&mut nonce)?;
        let answer = if self.terms.grace.is_zero() {
            String::new()
        } else {
            sealed::seal(&answer.to_bytes()?, token, self.random.as_ref())?
        };
        let lease = now.after(self.terms.lease).as_millis();
        let value = format!("{lease}.{:016x}.{answer}", u64::from_be_bytes(nonce));
        let until = now.after(self.terms.restrict.max(self.terms.grace).max(self.terms.lease));
        Ok((value, until))
    }

    async fn exchange(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        next: Next,
        now: UnixTime,
    ) -> Result<Issued, IssueError> {
        // First, so that the session never ends before the tokens that are worth nothing without.
        let end = next.records.iter().map(|record| record.expires).max().unwrap_or(now);
        let end = end.max(next.issued.expires.after(Duration::from_secs(1)));
        if !self.sessions.renew(&old.session, end).await? {
            return Err(IssueError::InvalidGrant);
        }
        match self.tokens.exchange(&old.digest, now, &next.records).await {
            Ok(Exchange::Done) => Ok(next.issued),
            Ok(Exchange::Used) => self.replayed(request, old, now).await,
            Ok(Exchange::Unknown) => Err(IssueError::InvalidGrant),
            // It may have happened all the same. Told that it did not, the client would come again
            // with a token that is used by now, and be taken for a thief.
            Err(error) => {
                let came_true = self.successor(&next.issued).await?.is_some();
                came_true.then_some(next.issued).ok_or_else(|| error.into())
            }
        }
    }

    /// The refresh token of an answer as it is kept: it is, where the answer came true.
    async fn successor(&self, issued: &Issued) -> Result<Option<OpaqueToken>, IssueError> {
        match issued.refresh_token.as_ref().map(digest_of) {
            Some(successor) => Ok(self.tokens.find_out(&successor).await?),
            None => Ok(None),
        }
    }

    /// A token that was used before: within the grace the same answer, as long as nobody has used
    /// what it holds; else the end of its family.
    pub(super) async fn replayed(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        used: UnixTime,
    ) -> Result<Issued, IssueError> {
        if let Some(answer) = self.same_answer(request, old, used).await? {
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

    /// The answer that the rotation gave, where the grace is not over, the answer came true, and
    /// nobody has used its refresh token: who did was not in want of it.
    async fn same_answer(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        used: UnixTime,
    ) -> Result<Option<Issued>, IssueError> {
        let now = self.clock.now();
        if self.terms.grace.is_zero() || now > used.after(self.terms.grace) {
            return Ok(None);
        }
        let Some(marker) = self.restrictions.read(&rotation_marker(&old.digest), now).await? else {
            return Ok(None);
        };
        let Some(answer) = Answer::unsealed(marker_answer(&marker), request.token) else {
            return Ok(None);
        };
        let first = answer.asked.clone();
        let issued = answer.into_issued(old);
        self.check_session(old).await?;
        // A claim that was taken over holds an answer that never came true.
        if self.successor(&issued).await?.is_none_or(|successor| successor.used.is_some()) {
            return Ok(None);
        }
        if let Some(first) = first {
            self.asked(request, &lineage_of(old)?).check_same(&first)?;
        }
        Ok(Some(self.of_a_present_key(request, old, issued).await?))
    }
}

fn rotation_marker(digest: &TokenDigest) -> String {
    format!("rotation:{}", digest.name())
}

/// Until when a claim is believed to be under way.
fn lease_of(marker: &str) -> Option<UnixTime> {
    marker.split('.').next()?.parse().ok().map(UnixTime::from_millis)
}

fn marker_answer(marker: &str) -> &str {
    marker.splitn(3, '.').nth(2).unwrap_or_default()
}
