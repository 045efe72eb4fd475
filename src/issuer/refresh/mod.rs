//! Refreshing: one rotation for `POST /refresh`, the `refresh_token` grant and gRPC.
//!
//! `rotation.rs` replaces a token at each use, `sliding.rs` moves its end; a reusable one is dealt
//! with here. What all of them have in common: the token is kept, its client's, and in time; its
//! session lives; its subject is asked after again. An answer that is given again (`answer.rs`)
//! is one to the same question.

mod answer;
mod keyed_locks;
mod published_key;
mod rotation;
mod sliding;

pub(super) use keyed_locks::KeyedLocks;

use answer::RefreshParams;

use super::Issuance;
use super::audit::Event;
use super::caller::Caller;
use super::error::IssueError;
use super::issue::{Family, GrantContext, Issued, NewAccessToken, Origin};
use super::policy::RefreshPolicy;
use super::scopes::narrow;
use super::subject::Subject;
use crate::account::{Client, UserState};
use crate::opaque::{OpaqueToken, TokenDigest, TokenKind};
use crate::secret::Secret;
use crate::session::{NotLive, SessionId, UserId};

/// Who shows which refresh token.
#[derive(Clone, Copy, Debug)]
pub struct RefreshRequest<'a> {
    /// The token.
    pub token: &'a str,
    /// The client that shows it, where it showed who it is.
    pub client: Option<&'a Client>,
    /// The scopes of the new access token, at most those granted at login.
    pub scopes: Option<&'a [String]>,
    /// Whom the new access token is for, among those named at login; empty: all of those.
    pub audiences: &'a [String],
    /// Where the request came from.
    pub caller: &'a Caller,
}

impl Issuance {
    /// New tokens for a refresh token.
    ///
    /// # Errors
    /// [`IssueError::InvalidGrant`] where it is not good; one that was used before has then ended
    /// its whole family.
    pub async fn refresh(&self, request: RefreshRequest<'_>) -> Result<Issued, IssueError> {
        let outcome = match self.refresh_by_policy(&request).await {
            Err(error) => Err(self.throttle.failure(error, request.caller).await),
            issued => issued,
        };
        self.audit_refresh(&request, outcome.as_ref());
        outcome
    }

    fn audit_refresh(&self, request: &RefreshRequest<'_>, outcome: Result<&Issued, &IssueError>) {
        let client = request.client.map(|client| client.id.as_str());
        match outcome {
            Ok(issued) => {
                let event = self.audit.event(Event::Refresh).user(issued.user.as_str());
                event
                    .session(&issued.session)
                    .client(client)
                    .address(request.caller.address)
                    .write();
            }
            Err(error) if error.is_audited() => {
                let event = self.audit.event(Event::RefreshRefused).error(error);
                event.client(client).address(request.caller.address).write();
            }
            Err(_) => {}
        }
        self.metrics.issued("refresh_token", outcome.err());
    }

    async fn refresh_by_policy(&self, request: &RefreshRequest<'_>) -> Result<Issued, IssueError> {
        let digest = TokenDigest::of(request.token);
        match self.policy.refresh_policy {
            RefreshPolicy::Rotate => self.rotate(request, &digest).await,
            RefreshPolicy::Sliding => self.slide(request, &digest).await,
            RefreshPolicy::Reusable => self.reuse(request, &digest).await,
        }
    }

    /// The token as it is kept, if it is of this kind, this client's, and not expired.
    async fn presented(
        &self,
        request: &RefreshRequest<'_>,
        digest: &TokenDigest,
        kind: TokenKind,
    ) -> Result<OpaqueToken, IssueError> {
        let found = self.tokens.get(digest).await?.ok_or(IssueError::InvalidGrant)?;
        let is_callers = found
            .client
            .as_deref()
            .is_none_or(|owner| request.client.is_some_and(|client| client.id == owner));
        if found.kind == kind && is_callers && self.clock.now() < found.expires {
            Ok(found)
        } else {
            Err(IssueError::InvalidGrant)
        }
    }

    /// A token is worth nothing without its session.
    async fn check_session(&self, token: &OpaqueToken) -> Result<(), IssueError> {
        match self.sessions.live(&token.user, &token.session).await {
            Ok(_) => Ok(()),
            Err(NotLive::Store(error)) => Err(error.into()),
            Err(NotLive::Unknown | NotLive::Ended(_)) => Err(IssueError::InvalidGrant),
        }
    }

    /// Whom the next access token is for (RFC 8707, section 2.2): those named at login, or some of
    /// them, as far as the client may still have tokens for them.
    fn audiences<'a>(
        &'a self,
        request: &RefreshRequest<'a>,
        context: &'a GrantContext,
    ) -> Result<&'a [String], IssueError> {
        let granted = self.granted(context);
        let asked = if request.audiences.is_empty() { granted } else { request.audiences };
        if asked.iter().any(|name| !granted.contains(name)) {
            return Err(IssueError::InvalidTarget);
        }
        self.check_audiences(request.client, asked)?;
        Ok(asked)
    }

    /// The audiences that a family was granted.
    fn granted<'a>(&'a self, context: &'a GrantContext) -> &'a [String] {
        match context.audiences.as_slice() {
            [] => self.policy.audiences.as_slice(),
            named => named,
        }
    }

    fn refresh_params(
        &self,
        request: &RefreshRequest<'_>,
        context: &GrantContext,
    ) -> RefreshParams {
        RefreshParams::of(request, context, self.granted(context))
    }

    /// Who the subject of a family is now, and what the next access token allows.
    async fn renewed(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        context: &GrantContext,
    ) -> Result<(Subject, Vec<String>), IssueError> {
        let subject = self.reload_subject(&old.user, &context.origin).await?;
        let subject = subject.ok_or(IssueError::InvalidGrant)?;
        let asked = request.scopes.unwrap_or(&context.scopes);
        if asked.iter().any(|scope| !context.scopes.contains(scope)) {
            return Err(IssueError::InvalidScope);
        }
        let of_client = request.client.map(|client| client.scopes.as_slice());
        let limits = [subject.scopes.as_deref(), of_client, self.policy.scopes.as_deref()];
        let asked = Some(asked).filter(|asked| !asked.is_empty());
        let scopes = match asked {
            Some(asked) => narrow(Some(asked), &limits)?,
            None => Vec::new(),
        };
        Ok((subject, scopes))
    }

    /// The subject as he is now; `None` for a client, which is its own. Deleted and locked users get
    /// nothing more, nor does who came by a key that is deleted or over.
    pub(super) async fn reload_subject(
        &self,
        user: &UserId,
        origin: &Origin,
    ) -> Result<Option<Subject>, IssueError> {
        match origin {
            Origin::Client => return Ok(None),
            Origin::Hook { subject } => return Ok(Some(subject.clone())),
            Origin::Account => {}
            Origin::Key { digest } => {
                let digest = crate::account::KeyDigest::from_store(digest.clone());
                let key = self.accounts.key(&digest).await?;
                let now = self.clock.now();
                let is_good = key.is_some_and(|key| key.user == *user && key.is_live(now));
                if !is_good {
                    return Err(IssueError::InvalidGrant);
                }
            }
        }
        let user = self.accounts.user(user).await?.ok_or(IssueError::InvalidGrant)?;
        if user.state != UserState::Active {
            return Err(IssueError::InvalidGrant);
        }
        Ok(Some(Subject::of_user(&user)))
    }

    /// Reusable: a new access token, and nothing else changes.
    async fn reuse(
        &self,
        request: &RefreshRequest<'_>,
        digest: &TokenDigest,
    ) -> Result<Issued, IssueError> {
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
        if let Some(record) = &access.record {
            self.put_handle(record).await?;
        }
        Ok(issued(&old, access, None, scopes))
    }

    /// Adds a handle; where it cannot be known whether it was added, it is taken back.
    async fn put_handle(&self, record: &OpaqueToken) -> Result<(), IssueError> {
        let put = self.tokens.put(std::slice::from_ref(record)).await;
        if put.is_err()
            && let Err(error) = self.tokens.remove(&record.digest).await
        {
            tracing::warn!(%error, "a handle that nobody was given stays behind until it expires");
        }
        Ok(put?)
    }
}

fn issued(
    old: &OpaqueToken,
    access: NewAccessToken,
    refresh_token: Option<Secret>,
    scopes: Vec<String>,
) -> Issued {
    Issued {
        access_token: access.token,
        expires: access.expires,
        refresh_token,
        scopes,
        user: old.user.clone(),
        session: old.session.clone(),
    }
}

fn grant_context_of(token: &OpaqueToken) -> Result<GrantContext, IssueError> {
    serde_json::from_value(serde_json::Value::Object(token.claims.clone())).map_err(|_| {
        let session = &token.session;
        IssueError::unavailable(format!(
            "the record of a token of session {session} is not legible"
        ))
    })
}

/// Owner of a token: its session, user and client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenOwner {
    pub(super) session: SessionId,
    pub(super) user: UserId,
    pub(super) client: Option<String>,
}
