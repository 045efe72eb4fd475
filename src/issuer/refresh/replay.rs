//! Tokens and answers that come again: a used refresh token gets its answer again within the grace,
//! and ends its family after it.

use super::answer::RefreshParams;
use super::{Refresh, RefreshRequest};
use crate::clock::UnixTime;
use crate::issuer::audit::Event;
use crate::issuer::error::IssueError;
use crate::issuer::grant::GrantContext;
use crate::issuer::issued::Issued;
use crate::opaque::OpaqueToken;

impl Refresh {
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
        let answer = self.leases.rotation_answer(&old.digest, request.token, now).await?;
        let Some(answer) = answer else { return Ok(None) };
        let first = answer.asked.clone();
        let issued = answer.into_issued(old);
        self.check_session(old, request.caller).await?;
        // A lease that was taken over holds an answer that was never committed.
        if self.successor(&issued).await?.is_none_or(|successor| successor.used.is_some()) {
            return Ok(None);
        }
        if let Some(first) = first {
            let context = GrantContext::of(old, false)?;
            let granted = context.audiences_or(&self.policy.audiences);
            RefreshParams::of(request, &context, granted).check_same(&first)?;
        }
        Ok(Some(self.with_published_key(request, old, issued).await?))
    }

    /// The same answer, with an access token of a key that is still published. Where the key that
    /// signed it was dropped, a new one is made, from what is true of its subject now.
    pub(super) async fn with_published_key(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        answer: Issued,
    ) -> Result<Issued, IssueError> {
        if self.issuer.is_of_published_key(&answer.access_token, self.clock.now()) {
            return Ok(answer);
        }
        let renewal = self.renew(request, old, GrantContext::of(old, false)?).await?;
        let access = self.issuer.access_token(&renewal.family(old))?;
        Ok(renewal.issued(old, &access, answer.refresh_token))
    }
}
