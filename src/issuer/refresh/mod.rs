//! Refreshing: one rotation for `POST /refresh`, the `refresh_token` grant and gRPC.
//!
//! `rotate.rs` replaces a token at each use, `slide.rs` moves its end; a reusable one is dealt with
//! here. What all of them have in common is `Refresh::renew`: the session lives, and its subject
//! is asked after again. `lease.rs` decides between those who come at once, `replay.rs` is about
//! tokens that come again, and `answer.rs` about answers that are given again.

mod answer;
mod keyed_locks;
mod lease;
mod replay;
mod rotate;
mod slide;

use std::sync::Arc;

pub(super) use lease::RefreshLeases;

use answer::RefreshParams;
use keyed_locks::KeyedLocks;

use super::Dependencies;
use super::audit::{Audit, Event};
use super::caller::Caller;
use super::error::IssueError;
use super::grant::GrantContext;
use super::issued::Issued;
use super::metrics::IssuerMetrics;
use super::policy::{IssuancePolicy, RefreshPolicy};
use super::scopes::narrow;
use super::subject::Subject;
use super::subjects::Subjects;
use super::throttle::Throttle;
use super::token_issuer::{Family, NewAccessToken, TokenIssuer};
use crate::account::Client;
use crate::clock::{Clock, UnixTime};
use crate::opaque::{OpaqueToken, TokenDigest, TokenKind, Tokens};
use crate::secret::Secret;
use crate::session::{NotLive, Sessions};

/// A request for new tokens.
#[derive(Clone, Copy, Debug)]
pub struct RefreshRequest<'a> {
    /// The token.
    pub token: &'a str,
    /// The client that shows it, where it showed who it is.
    pub client: Option<&'a Client>,
    /// The scopes of the new access token, at most those granted at login.
    pub scopes: Option<&'a [String]>,
    /// The audiences of the new access token, among those named at login; empty: all of those.
    pub audiences: &'a [String],
    /// The caller.
    pub caller: &'a Caller,
}

/// New tokens for refresh tokens.
#[derive(Debug)]
pub struct Refresh {
    policy: Arc<IssuancePolicy>,
    issuer: TokenIssuer,
    subjects: Subjects,
    leases: RefreshLeases,
    locks: KeyedLocks,
    sessions: Arc<Sessions>,
    tokens: Arc<Tokens>,
    throttle: Throttle,
    audit: Audit,
    metrics: IssuerMetrics,
    clock: Arc<dyn Clock>,
}

/// A family that goes on: its subject as he is now, and what a request may have for him.
struct Renewal {
    subject: Subject,
    context: GrantContext,
    scopes: Vec<String>,
    audiences: Vec<String>,
    asked: RefreshParams,
    now: UnixTime,
}

impl Renewal {
    fn family<'a>(&'a self, old: &'a OpaqueToken) -> Family<'a> {
        Family {
            subject: &self.subject,
            session: &old.session,
            client: old.client.as_deref(),
            context: &self.context,
            scopes: &self.scopes,
            audiences: &self.audiences,
            now: self.now,
        }
    }

    fn issued(
        &self,
        old: &OpaqueToken,
        access: &NewAccessToken,
        refresh_token: Option<Secret>,
    ) -> Issued {
        Issued {
            access_token: access.token.clone(),
            expires: access.expires,
            refresh_token,
            scopes: self.scopes.clone(),
            user: old.user.clone(),
            session: old.session.clone(),
        }
    }
}

impl Refresh {
    pub(super) fn new(on: &Dependencies) -> Self {
        let Dependencies { policy, sessions, tokens, throttle, audit, metrics, clock, .. } =
            on.clone();
        Self {
            policy,
            sessions,
            tokens,
            throttle,
            audit,
            metrics,
            clock,
            issuer: TokenIssuer::new(on),
            subjects: Subjects::new(on),
            leases: RefreshLeases::new(on),
            locks: KeyedLocks::default(),
        }
    }

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
        let event = match outcome {
            Ok(issued) => {
                let event = self.audit.event(Event::Refresh).user(issued.user.as_str());
                event.session(&issued.session)
            }
            Err(error) => self.audit.event(Event::RefreshRefused).error(error),
        };
        let client = request.client.map(|client| client.id.as_str());
        event.client(client).address(request.caller.address).write();
        self.metrics.issued("refresh_token", outcome.err());
    }

    async fn refresh_by_policy(&self, request: &RefreshRequest<'_>) -> Result<Issued, IssueError> {
        let digest = TokenDigest::of(request.token);
        let policy = self.policy.refresh_policy;
        if policy == RefreshPolicy::Rotate {
            return self.rotate(request, &digest).await;
        }
        if self.policy.handle_is_refresh() {
            let (issued, asked) = self.slide_handle(request, &digest).await?;
            return asked.map(|()| issued);
        }
        let old = self.presented(request, &digest, TokenKind::Refresh).await?;
        // Rotated before the policy was changed.
        if let Some(used) = old.used {
            return self.handle_reuse(request, &old, used).await;
        }
        let renewal = self.renew(request, &old, GrantContext::of(&old, false)?).await?;
        let access = self.issuer.access_token(&renewal.family(&old))?;
        if policy == RefreshPolicy::Sliding {
            return self.slide(request, &old, &renewal, &access).await;
        }
        // Reusable: nothing else changes.
        if let Some(record) = &access.record {
            self.put_handle(record).await?;
        }
        Ok(renewal.issued(&old, &access, None))
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

    /// Renews a family: its session lives, its subject is still somebody, and the request asks for
    /// no more than was granted at login and may still be had.
    async fn renew(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        context: GrantContext,
    ) -> Result<Renewal, IssueError> {
        self.check_session(old, request.caller).await?;
        let now = self.clock.now();
        let subject = self.subjects.reload(&old.user, &context.origin).await?;
        let subject = subject.ok_or(IssueError::InvalidGrant)?;
        let scopes = request.scopes.unwrap_or(&context.scopes);
        if scopes.iter().any(|scope| !context.scopes.contains(scope)) {
            return Err(IssueError::InvalidScope);
        }
        let of_client = request.client.map(|client| client.scopes.as_slice());
        let limits = [subject.scopes.as_deref(), of_client, self.policy.scopes.as_deref()];
        let scopes = if scopes.is_empty() { Vec::new() } else { narrow(Some(scopes), &limits)? };
        // Some of those named at login (RFC 8707, section 2.2).
        let granted = context.audiences_or(&self.policy.audiences);
        let audiences = if request.audiences.is_empty() { granted } else { request.audiences };
        if audiences.iter().any(|name| !granted.contains(name)) {
            return Err(IssueError::InvalidTarget);
        }
        self.policy.check_audiences(request.client, audiences)?;
        let audiences = audiences.to_vec();
        let asked = RefreshParams::of(request, &context, granted);
        Ok(Renewal { subject, context, scopes, audiences, asked, now })
    }

    /// A token is worth nothing without its session, nor in the hands of another client than the one
    /// that sessions are bound to.
    async fn check_session(&self, token: &OpaqueToken, caller: &Caller) -> Result<(), IssueError> {
        match self.sessions.live(&token.user, &token.session).await {
            Ok(session) => {
                let bound = self.sessions.binding().check(&session.device, &caller.shown_client());
                bound.map_err(|_| IssueError::InvalidGrant)
            }
            Err(NotLive::Store(error)) => Err(error.into()),
            Err(NotLive::Unknown | NotLive::Ended(_)) => Err(IssueError::InvalidGrant),
        }
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
