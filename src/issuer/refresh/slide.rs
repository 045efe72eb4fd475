//! Sliding: the same token lives on and moves its own end and the session's, at most once a
//! window; tp-auth's way. Within the window the answer of who has it is given again.

use std::time::Duration;

use serde_json::{Map, Value};

use super::answer::{Answer, RefreshParams, SlidingWindow};
use super::lease::{WindowAttempt, WindowLease};
use super::{Refresh, RefreshRequest, Renewal};
use crate::clock::UnixTime;
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::grant::{GRANT_CONTEXT, GrantContext};
use crate::issuer::issued::Issued;
use crate::issuer::token_issuer::NewAccessToken;
use crate::opaque::{OpaqueToken, TokenDigest, TokenKind};
use crate::secret::Secret;

impl Refresh {
    /// tp-auth's `RefreshToken`: a handle of this user lives on, where handles slide. Says whether
    /// its end was moved; it is not where that was done within the window, which nobody is told.
    ///
    /// Nothing is taken from a bucket: tp-auth's resource servers ask at each request of their
    /// users. A handle that was issued to a client does not slide here, where no client shows who
    /// it is.
    ///
    /// # Errors
    /// [`IssueError::InvalidGrant`] where it is not good, or not this user's.
    pub async fn slide_for_tp_auth(
        &self,
        user: &str,
        token: &str,
        caller: &Caller,
    ) -> Result<bool, IssueError> {
        if !self.policy.handle_is_refresh() {
            return Ok(false);
        }
        let request = RefreshRequest { token, client: None, scopes: None, audiences: &[], caller };
        let outcome = self.slide_handle_of(user, &request).await;
        match &outcome {
            Ok((issued, true)) => self.audit_refresh(&request, Ok(issued)),
            Ok((_, false)) => {}
            Err(error) => self.audit_refresh(&request, Err(error)),
        }
        outcome.map(|(_, is_moved)| is_moved)
    }

    async fn slide_handle_of(
        &self,
        user: &str,
        request: &RefreshRequest<'_>,
    ) -> Result<(Issued, bool), IssueError> {
        let digest = TokenDigest::of(request.token);
        let old = self.presented(request, &digest, TokenKind::Handle).await?;
        if old.user.as_str() != user {
            return Err(IssueError::InvalidGrant);
        }
        // Nothing was asked for but that it lives on.
        let (issued, _) = self.slide_handle(request, &digest).await?;
        let is_moved = issued.expires > old.expires;
        Ok((issued, is_moved))
    }

    /// Sliding: the token lives on, and moves its own end and the session's.
    pub(super) async fn slide(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        renewal: &Renewal,
        access: &NewAccessToken,
    ) -> Result<Issued, IssueError> {
        let now = renewal.now;
        let answer = renewal.issued(old, access, Some(Secret::new(request.token)));
        let end = now.after(self.policy.refresh_lifetime);
        let window = now.after(self.policy.refresh_window).as_millis();
        let kept = Answer::of(&answer, renewal.asked.clone())
            .with_window(SlidingWindow { end: end.as_millis(), window });
        let sealed = self.leases.seal(&kept, request.token)?;
        match self.leases.acquire_window(&old.digest, &sealed, now).await? {
            WindowAttempt::Acquired(ours) => {
                self.extend_or_release(old, end, None, &ours).await.map(|()| answer)
            }
            WindowAttempt::Held(said) => {
                let last = Answer::unsealed(&said, request.token);
                let last = self.last_answer(&renewal.asked, old, last, now).await?;
                self.with_published_key(request, old, last).await
            }
        }
    }

    /// The answer of the refresh that has this window, as long as it is good; then nothing before the
    /// window is over.
    async fn last_answer(
        &self,
        asked: &RefreshParams,
        old: &OpaqueToken,
        last: Option<Answer>,
        now: UnixTime,
    ) -> Result<Issued, IssueError> {
        let slid = last.as_ref().and_then(|last| last.slid);
        let window = slid.map(|slid| UnixTime::from_millis(slid.window).since(now));
        let last = last
            .filter(|last| now < last.expires())
            .ok_or(IssueError::SlowDown(window.unwrap_or(self.policy.refresh_window)))?;
        if let Some(first) = &last.asked {
            asked.check_same(first)?;
        }
        // Whoever acquired the window may have come to an end before it moved anything.
        if let Some(end) = slid.map(|slid| UnixTime::from_millis(slid.end))
            && old.expires < end
        {
            self.extend_family(old, end, None).await?;
        }
        Ok(last.into_issued(old))
    }

    /// tp-auth's way: the handle itself is shown, and lives on with new claims. Beside it: whether
    /// that is an answer to what was asked for, which it may not be where another has the window.
    pub(super) async fn slide_handle(
        &self,
        request: &RefreshRequest<'_>,
        digest: &TokenDigest,
    ) -> Result<(Issued, Result<(), IssueError>), IssueError> {
        let old = self.presented(request, digest, TokenKind::Handle).await?;
        let renewal = self.renew(request, &old, GrantContext::of(&old, true)?).await?;
        let asked = &renewal.asked;
        let attempt = self.leases.acquire_window(digest, &asked.to_text()?, renewal.now).await?;
        let answer = |expires, scopes| {
            let (token, refresh_token) = (Secret::new(request.token), Secret::new(request.token));
            let access = NewAccessToken { token, expires, record: None };
            Issued { scopes, ..renewal.issued(&old, &access, Some(refresh_token)) }
        };
        match attempt {
            WindowAttempt::Acquired(ours) => {
                let (mut claims, expires) = self.issuer.claims(&renewal.family(&old))?;
                // Its grant stays as it was kept.
                claims.extend(
                    old.claims
                        .get(GRANT_CONTEXT)
                        .map(|kept| (GRANT_CONTEXT.to_owned(), kept.clone())),
                );
                self.extend_or_release(&old, expires, Some(&claims), &ours).await?;
                Ok((answer(expires, renewal.scopes.clone()), Ok(())))
            }
            WindowAttempt::Held(said) => {
                let granted = renewal.context.audiences_or(&self.policy.audiences);
                let first = RefreshParams::from_text(&said)
                    .unwrap_or_else(|| RefreshParams::all(&renewal.context, granted));
                Ok((answer(old.expires, scopes_of(&old)), asked.check_same(&first)))
            }
        }
    }

    async fn extend_family(
        &self,
        old: &OpaqueToken,
        end: UnixTime,
        claims: Option<&Map<String, Value>>,
    ) -> Result<(), IssueError> {
        if !self.sessions.renew(&old.session, end.after(Duration::from_secs(1))).await?
            || !self.tokens.extend(&old.digest, end, claims).await?
        {
            return Err(IssueError::InvalidGrant);
        }
        Ok(())
    }

    /// Extends the family, or gives the window back.
    async fn extend_or_release(
        &self,
        old: &OpaqueToken,
        end: UnixTime,
        claims: Option<&Map<String, Value>>,
        ours: &WindowLease,
    ) -> Result<(), IssueError> {
        let extended = self.extend_family(old, end, claims).await;
        if extended.is_err() {
            self.leases.release_window(ours).await;
        }
        extended
    }
}

/// The scopes that a handle has.
fn scopes_of(handle: &OpaqueToken) -> Vec<String> {
    let scopes = handle.claims.get("scope").and_then(|scope| scope.as_str()).unwrap_or_default();
    scopes.split_ascii_whitespace().map(str::to_owned).collect()
}
