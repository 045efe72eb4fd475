//! Sliding: the same token lives on and moves its own end and the session's, at most once a
//! window; tp-auth's way. Within the window the answer of who has it is given again.

use std::time::Duration;

use super::answer::{Answer, Asked, Slid};
use super::{RefreshRequest, issued, lineage_of};
use crate::clock::UnixTime;
use crate::issuer::Issuance;
use crate::issuer::error::IssueError;
use crate::issuer::issue::{Family, Issued, LINEAGE, Lineage};
use crate::issuer::sealed;
use crate::issuer::terms::Caller;
use crate::opaque::{OpaqueToken, TokenDigest, TokenKind};
use crate::restrict::Claim;
use crate::secret::Secret;

impl Issuance {
    /// tp-auth's `RefreshToken`: a handle of this user lives on, where handles slide. Says whether
    /// its end was moved; it is not where that was done within the window, which nobody is told.
    ///
    /// No budget is spent: tp-auth's resource servers ask at each request of their users. A handle
    /// that was issued to a client does not slide here, where no client shows who it is.
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
            Ok((issued, true)) => self.tell_of_refresh(&request, Ok(issued)),
            Ok((_, false)) => {}
            Err(error) => self.tell_of_refresh(&request, Err(error)),
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
            return self.replayed(request, &old, used).await;
        }
        let lineage = lineage_of(&old)?;
        self.check_session(&old).await?;
        let now = self.clock.now();
        let (subject, scopes) = self.renewed(request, &old, &lineage).await?;
        let client = old.client.as_deref();
        let audiences = self.audiences(request, &lineage)?;
        let family = Family { session: &old.session, client, lineage: &lineage, audiences };
        let access = self.access_token(&subject, &family, &scopes, now)?;
        let answer = issued(&old, access, Some(Secret::new(request.token)), scopes);
        let (end, window) =
            (now.after(self.terms.refresh_lifetime), now.after(self.terms.restrict));
        let slid = Slid { end: end.as_millis(), window: window.as_millis() };
        let asked = self.asked(request, &lineage);
        let kept = Answer::of(&answer, asked.clone()).and_slid(slid);
        let sealed = sealed::seal(&kept.to_bytes()?, request.token, self.random.as_ref())?;
        if let Claim::Held(held) = self.restrict_sliding(digest, &sealed, now).await? {
            let last = Answer::unsealed(&held, request.token);
            let last = self.last_answer(&asked, &old, last, now).await?;
            return self.of_a_present_key(request, &old, last).await;
        }
        let moved = self.move_end(&old, end, None).await;
        self.unless_moved(digest, moved).await.map(|()| answer)
    }

    /// What the refresh that has this window gave, as long as it is good; then nothing before its
    /// time.
    async fn last_answer(
        &self,
        asked: &Asked,
        old: &OpaqueToken,
        last: Option<Answer>,
        now: UnixTime,
    ) -> Result<Issued, IssueError> {
        let slid = last.as_ref().and_then(|last| last.slid);
        let window = slid.map(|slid| UnixTime::from_millis(slid.window).since(now));
        let last = last
            .filter(|last| now < last.expires())
            .ok_or(IssueError::SlowDown(window.unwrap_or(self.terms.restrict)))?;
        if let Some(first) = &last.asked {
            asked.check_same(first)?;
        }
        // Whoever claimed the window may have come to an end before it moved anything.
        if let Some(end) = slid.map(|slid| UnixTime::from_millis(slid.end))
            && old.expires < end
        {
            self.move_end(old, end, None).await?;
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
        let kept = old.claims.get(LINEAGE).cloned().ok_or(IssueError::InvalidGrant)?;
        let lineage: Lineage =
            serde_json::from_value(kept.clone()).map_err(|_| IssueError::Unavailable)?;
        self.check_session(&old).await?;
        let now = self.clock.now();
        let (subject, scopes) = self.renewed(request, &old, &lineage).await?;
        let client = old.client.as_deref();
        let audiences = self.audiences(request, &lineage)?;
        let asked = self.asked(request, &lineage);
        let marker = asked.to_text()?;
        if let Claim::Held(held) = self.restrict_sliding(digest, &marker, now).await? {
            let first = Asked::from_text(&held)
                .unwrap_or_else(|| Asked::all(&lineage, self.granted(&lineage)));
            let as_it_is = slid_handle(&old, request.token, old.expires, scopes_of(&old));
            return Ok((as_it_is, asked.check_same(&first)));
        }
        let family = Family { session: &old.session, client, lineage: &lineage, audiences };
        let expires = UnixTime::from_secs(now.after(self.terms.access_lifetime).as_secs());
        let mut claims = self.claims(&subject, &family, &scopes, now, expires)?;
        claims.insert(LINEAGE.to_owned(), kept);
        let moved = self.move_end(&old, expires, Some(&claims)).await;
        self.unless_moved(digest, moved).await?;
        Ok((slid_handle(&old, request.token, expires, scopes), Ok(())))
    }

    async fn move_end(
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
    async fn unless_moved(
        &self,
        digest: &TokenDigest,
        moved: Result<(), IssueError>,
    ) -> Result<(), IssueError> {
        if moved.is_err() {
            self.give_window_back(digest).await;
        }
        moved
    }

    async fn give_window_back(&self, digest: &TokenDigest) {
        if let Err(error) = self.restrictions.clear(&sliding_marker(digest)).await {
            tracing::warn!(%error, "the next refresh of this token has to wait for its window");
        }
    }

    /// Claims the one refresh of this window.
    pub(in crate::issuer) async fn restrict_sliding(
        &self,
        digest: &TokenDigest,
        value: &str,
        now: UnixTime,
    ) -> Result<Claim, IssueError> {
        if self.terms.restrict.is_zero() {
            return Ok(Claim::Won);
        }
        let until = now.after(self.terms.restrict);
        let claimed = self.restrictions.claim(&sliding_marker(digest), value, now, until).await;
        if claimed.is_err() {
            // It may be claimed all the same, by us who will do nothing with it.
            self.give_window_back(digest).await;
        }
        Ok(claimed?)
    }
}

fn sliding_marker(digest: &TokenDigest) -> String {
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
