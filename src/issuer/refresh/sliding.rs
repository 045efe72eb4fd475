//! Sliding: the same token lives on and moves its own end and the session's, at most once a
//! window; tp-auth's way. Within the window the answer of who has it is given again.

use std::time::Duration;

use super::answer::{Answer, RefreshParams, SlidingWindow};
use super::{RefreshRequest, grant_context_of, issued};
use crate::clock::UnixTime;
use crate::issuer::Issuance;
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::issue::{Family, GRANT_CONTEXT, GrantContext, Issued};
use crate::issuer::sealed;
use crate::lease::Lease;
use crate::opaque::{OpaqueToken, TokenDigest, TokenKind};
use crate::secret::Secret;

impl Issuance {
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
        if !self.handle_is_refresh() {
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
        digest: &TokenDigest,
    ) -> Result<Issued, IssueError> {
        if self.handle_is_refresh() {
            let (issued, asked) = self.slide_handle(request, digest).await?;
            return asked.map(|()| issued);
        }
        let old = self.presented(request, digest, TokenKind::Refresh).await?;
        // Rotated before the policy was changed.
        if let Some(used) = old.used {
            return self.handle_reuse(request, &old, used).await;
        }
        let context = grant_context_of(&old)?;
        self.check_session(&old).await?;
        let now = self.clock.now();
        let (subject, scopes) = self.renewed(request, &old, &context).await?;
        let client = old.client.as_deref();
        let audiences = self.audiences(request, &context)?;
        let family = Family { session: &old.session, client, context: &context, audiences };
        let access = self.access_token(&subject, &family, &scopes, now)?;
        let answer = issued(&old, access, Some(Secret::new(request.token)), scopes);
        let (end, window) =
            (now.after(self.policy.refresh_lifetime), now.after(self.policy.refresh_window));
        let slid = SlidingWindow { end: end.as_millis(), window: window.as_millis() };
        let asked = self.refresh_params(request, &context);
        let kept = Answer::of(&answer, asked.clone()).with_window(slid);
        let sealed = sealed::seal(&kept.to_bytes()?, request.token, self.random.as_ref())?;
        if let Lease::Held(held) = self.acquire_window(digest, &sealed, now).await? {
            let last = Answer::unsealed(&held, request.token);
            let last = self.last_answer(&asked, &old, last, now).await?;
            return self.with_published_key(request, &old, last).await;
        }
        let moved = self.extend_family(&old, end, None).await;
        self.release_unless_extended(digest, moved).await.map(|()| answer)
    }

    /// What the refresh that has this window gave, as long as it is good; then nothing before its
    /// time.
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
    async fn slide_handle(
        &self,
        request: &RefreshRequest<'_>,
        digest: &TokenDigest,
    ) -> Result<(Issued, Result<(), IssueError>), IssueError> {
        let old = self.presented(request, digest, TokenKind::Handle).await?;
        let kept = old.claims.get(GRANT_CONTEXT).cloned().ok_or(IssueError::InvalidGrant)?;
        let context: GrantContext = serde_json::from_value(kept.clone())
            .map_err(|_| IssueError::unavailable("the record of a handle cannot be read"))?;
        self.check_session(&old).await?;
        let now = self.clock.now();
        let (subject, scopes) = self.renewed(request, &old, &context).await?;
        let client = old.client.as_deref();
        let audiences = self.audiences(request, &context)?;
        let asked = self.refresh_params(request, &context);
        let value = asked.to_text()?;
        if let Lease::Held(held) = self.acquire_window(digest, &value, now).await? {
            let first = RefreshParams::from_text(&held)
                .unwrap_or_else(|| RefreshParams::all(&context, self.granted(&context)));
            let as_it_is = slid_handle(&old, request.token, old.expires, scopes_of(&old));
            return Ok((as_it_is, asked.check_same(&first)));
        }
        let family = Family { session: &old.session, client, context: &context, audiences };
        let expires = UnixTime::from_secs(now.after(self.policy.access_lifetime).as_secs());
        let mut claims = self.claims(&subject, &family, &scopes, now, expires)?;
        claims.insert(GRANT_CONTEXT.to_owned(), kept);
        let moved = self.extend_family(&old, expires, Some(&claims)).await;
        self.release_unless_extended(digest, moved).await?;
        Ok((slid_handle(&old, request.token, expires, scopes), Ok(())))
    }

    async fn extend_family(
        &self,
        old: &OpaqueToken,
        end: UnixTime,
        claims: Option<&serde_json::Map<String, serde_json::Value>>,
    ) -> Result<(), IssueError> {
        if !self.sessions.renew(&old.session, end.after(Duration::from_secs(1))).await?
            || !self.tokens.extend(&old.digest, end, claims).await?
        {
            return Err(IssueError::InvalidGrant);
        }
        Ok(())
    }

    /// A refresh that took no effect must not keep the next one from taking it.
    async fn release_unless_extended(
        &self,
        digest: &TokenDigest,
        moved: Result<(), IssueError>,
    ) -> Result<(), IssueError> {
        if moved.is_err() {
            self.release_window(digest).await;
        }
        moved
    }

    async fn release_window(&self, digest: &TokenDigest) {
        if let Err(error) = self.leases.release(&sliding_lease_name(digest)).await {
            tracing::warn!(%error, "the next refresh of this token has to wait for its window");
        }
    }

    /// Acquires the lease on the one refresh of this window.
    pub(in crate::issuer) async fn acquire_window(
        &self,
        digest: &TokenDigest,
        value: &str,
        now: UnixTime,
    ) -> Result<Lease, IssueError> {
        if self.policy.refresh_window.is_zero() {
            return Ok(Lease::Acquired);
        }
        let until = now.after(self.policy.refresh_window);
        let acquired = self.leases.acquire(&sliding_lease_name(digest), value, now, until).await;
        if acquired.is_err() {
            // It may be ours all the same, and we will do nothing with it.
            self.release_window(digest).await;
        }
        Ok(acquired?)
    }
}

fn sliding_lease_name(digest: &TokenDigest) -> String {
    format!("sliding:{}", digest.name())
}

/// The answer that is the handle itself.
fn slid_handle(old: &OpaqueToken, token: &str, expires: UnixTime, scopes: Vec<String>) -> Issued {
    Issued {
        access_token: Secret::new(token),
        expires,
        refresh_token: Some(Secret::new(token)),
        scopes,
        user: old.user.clone(),
        session: old.session.clone(),
    }
}

/// The scopes that a handle has.
fn scopes_of(handle: &OpaqueToken) -> Vec<String> {
    let scopes = handle.claims.get("scope").and_then(|scope| scope.as_str()).unwrap_or_default();
    scopes.split_ascii_whitespace().map(str::to_owned).collect()
}
