//! Refreshing: one rotation for `POST /refresh`, the `refresh_token` grant and gRPC.
//!
//! Under the rotate policy two things decide, each one atomic step of a store:
//!
//! 1. The *claim*: a marker in the restriction store. Of any number of callers, on any number of
//!    processes, one sets it; the others wait until it is known how that one fared. A claim that
//!    comes to nothing (a crash, a store that failed) is taken over when its lease is over.
//! 2. The *exchange*: the old token is marked as used and its successors are added, both or
//!    nothing. From then on whoever shows the old token is a thief, or was robbed: the family ends.
//!
//! With a grace the claim holds the answer, sealed by the old token, before the exchange makes it
//! true; so whoever lost the answer gets the same one, also after a crash.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Issuance;
use super::audit::Event;
use super::error::IssueError;
use super::issue::{Access, Family, Issued, LINEAGE, Lineage, Origin, digest_of};
use super::scopes::narrow;
use super::sealed;
use super::subject::Subject;
use super::terms::{Caller, RefreshPolicy};
use crate::account::{Client, UserState};
use crate::clock::UnixTime;
use crate::opaque::{Exchange, OpaqueToken, TokenDigest, TokenKind};
use crate::restrict::Claim;
use crate::secret::Secret;
use crate::session::{NotLive, SessionId, UserId};

/// How often it is looked how another process' rotation fares.
const LOOK_EVERY: Duration = Duration::from_millis(20);

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

/// The next tokens, before they are true.
struct Next {
    issued: Issued,
    records: Vec<OpaqueToken>,
}

/// How a claim ended.
enum Claimed {
    Won,
    /// Another holds it; look again.
    Later,
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
        self.tell_of_refresh(&request, outcome.as_ref());
        outcome
    }

    fn tell_of_refresh(&self, request: &RefreshRequest<'_>, outcome: Result<&Issued, &IssueError>) {
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
            Err(error) if error.is_told() => {
                let event = self.audit.event(Event::RefreshRefused).error(error);
                event.client(client).address(request.caller.address).write();
            }
            Err(_) => {}
        }
        self.metrics.issued("refresh_token", outcome.err());
    }

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
        let issued = self.slide_handle(request, &digest).await?;
        let is_moved = issued.expires > old.expires;
        Ok((issued, is_moved))
    }

    async fn refresh_by_policy(&self, request: &RefreshRequest<'_>) -> Result<Issued, IssueError> {
        let digest = TokenDigest::of(request.token);
        match self.terms.policy {
            RefreshPolicy::Rotate => self.rotate(request, &digest).await,
            RefreshPolicy::Sliding => self.slide(request, &digest).await,
            RefreshPolicy::Reusable => self.reuse(request, &digest).await,
        }
    }

    async fn rotate(
        &self,
        request: &RefreshRequest<'_>,
        digest: &TokenDigest,
    ) -> Result<Issued, IssueError> {
        // Within this process those who show the same token stand in line, so that only one of
        // them asks the stores for more than the token.
        let _turn = self.turns.of(digest).lock().await;
        loop {
            let looked = self.clock.now();
            let old = self.presented(request, digest, TokenKind::Refresh).await?;
            if let Some(used) = old.used {
                return self.replayed(request, &old, used).await;
            }
            let lineage = lineage_of(&old)?;
            self.check_session(&old).await?;
            let now = self.clock.now();
            let next = self.next(request, &old, &lineage, now).await?;
            match self.claim(request.token, digest, &next.issued, looked).await? {
                Claimed::Won => return self.exchange(request, &old, next, now).await,
                Claimed::Later => tokio::time::sleep(LOOK_EVERY).await,
            }
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

    /// Whom the next access token is for (RFC 8707, section 2.2): those named at login, or some of
    /// them, as far as the client may still have tokens for them.
    fn audiences<'a>(
        &'a self,
        request: &RefreshRequest<'a>,
        lineage: &'a Lineage,
    ) -> Result<&'a [String], IssueError> {
        let granted = match lineage.audiences.as_slice() {
            [] => self.terms.audiences.as_slice(),
            named => named,
        };
        let asked = if request.audiences.is_empty() { granted } else { request.audiences };
        if asked.iter().any(|name| !granted.contains(name)) {
            return Err(IssueError::InvalidTarget);
        }
        self.check_audiences(request.client, asked)?;
        Ok(asked)
    }

    /// Who the subject of a family is now, and what the next access token allows.
    async fn renewed(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        lineage: &Lineage,
    ) -> Result<(Subject, Vec<String>), IssueError> {
        let subject = self.subject_again(&old.user, &lineage.origin).await?;
        let subject = subject.ok_or(IssueError::InvalidGrant)?;
        let asked = request.scopes.unwrap_or(&lineage.scopes);
        if asked.iter().any(|scope| !lineage.scopes.contains(scope)) {
            return Err(IssueError::InvalidScope);
        }
        let of_client = request.client.map(|client| client.scopes.as_slice());
        let limits = [subject.scopes.as_deref(), of_client, self.terms.scopes.as_deref()];
        let asked = Some(asked).filter(|asked| !asked.is_empty());
        let scopes = match asked {
            Some(asked) => narrow(Some(asked), &limits)?,
            None => Vec::new(),
        };
        Ok((subject, scopes))
    }

    /// The subject as he is now; `None` for a client, which is its own. Deleted and locked users get
    /// nothing more, nor does who came by a key that is deleted or over.
    pub(super) async fn subject_again(
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

    /// Claims the rotation of a token which was not used when somebody `looked`. A claim whose
    /// lease was over by then came to nothing: later, its exchange may just have been overlooked.
    async fn claim(
        &self,
        token: &str,
        digest: &TokenDigest,
        issued: &Issued,
        looked: UnixTime,
    ) -> Result<Claimed, IssueError> {
        let name = rotation_marker(digest);
        let (value, until) = self.claiming(token, issued)?;
        match self.restrictions.claim(&name, &value, self.clock.now(), until).await? {
            Claim::Won => Ok(Claimed::Won),
            Claim::Held(held) if lease_of(&held).is_some_and(|lease| looked <= lease) => {
                Ok(Claimed::Later)
            }
            Claim::Held(held) => {
                // The answer took its time, which the lease is not for.
                let (value, until) = self.claiming(token, issued)?;
                let is_ours = self.restrictions.swap(&name, &held, &value, until).await?;
                Ok(if is_ours { Claimed::Won } else { Claimed::Later })
            }
        }
    }

    /// What a claim that is made now says, and until when it is kept: until when it is believed to
    /// be under way, something that makes it unlike any other, and with a grace the sealed answer.
    fn claiming(&self, token: &str, issued: &Issued) -> Result<(String, UnixTime), IssueError> {
        let now = self.clock.now();
        let mut nonce = [0; 8];
        self.random.fill(&mut nonce)?;
        let answer = if self.terms.grace.is_zero() {
            String::new()
        } else {
            sealed::seal(&Answer::of(issued).to_bytes()?, token, self.random.as_ref())?
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
                let came_true = self.came_true(&next.issued).await?;
                came_true.then_some(next.issued).ok_or_else(|| error.into())
            }
        }
    }

    /// Whether these tokens were exchanged for.
    async fn came_true(&self, issued: &Issued) -> Result<bool, IssueError> {
        match issued.refresh_token.as_ref().map(digest_of) {
            Some(successor) => Ok(self.tokens.find_out(&successor).await?.is_some()),
            None => Ok(false),
        }
    }

    /// A token that was used before: within the grace the same answer, else the end of its family.
    async fn replayed(
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

    /// The answer that the rotation gave, where the grace is not over and the answer came true.
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
        let issued = answer.into_issued(old);
        self.check_session(old).await?;
        // A claim that was taken over holds an answer that never came true.
        Ok(self.came_true(&issued).await?.then_some(issued))
    }

    /// Sliding: the token lives on, and moves its own end and the session's.
    async fn slide(
        &self,
        request: &RefreshRequest<'_>,
        digest: &TokenDigest,
    ) -> Result<Issued, IssueError> {
        if self.handle_is_refresh() {
            return self.slide_handle(request, digest).await;
        }
        let _turn = self.turns.of(digest).lock().await;
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
        let end = now.after(self.terms.refresh_lifetime);
        let kept = Answer { end: Some(end.as_millis()), ..Answer::of(&answer) };
        let sealed = sealed::seal(&kept.to_bytes()?, request.token, self.random.as_ref())?;
        if let Claim::Held(held) = self.restrict_sliding(digest, &sealed, now).await? {
            return self.last_answer(request, &old, &held, now).await;
        }
        let moved = self.move_end(&old, end, None).await;
        self.unless_moved(digest, moved).await.map(|()| answer)
    }

    /// What the refresh that has this window gave, as long as it is good; then nothing before its
    /// time.
    async fn last_answer(
        &self,
        request: &RefreshRequest<'_>,
        old: &OpaqueToken,
        held: &str,
        now: UnixTime,
    ) -> Result<Issued, IssueError> {
        let last = Answer::unsealed(held, request.token)
            .filter(|last| now < UnixTime::from_millis(last.expires))
            .ok_or(IssueError::SlowDown(self.terms.restrict))?;
        // Whoever claimed the window may have come to an end before it moved anything.
        if let Some(end) = last.end.map(UnixTime::from_millis)
            && old.expires < end
        {
            self.move_end(old, end, None).await?;
        }
        Ok(last.into_issued(old))
    }

    /// tp-auth's way: the handle itself is shown, and lives on with new claims.
    async fn slide_handle(
        &self,
        request: &RefreshRequest<'_>,
        digest: &TokenDigest,
    ) -> Result<Issued, IssueError> {
        let _turn = self.turns.of(digest).lock().await;
        let old = self.presented(request, digest, TokenKind::Handle).await?;
        let lineage = old.claims.get(LINEAGE).cloned().ok_or(IssueError::InvalidGrant)?;
        let lineage: Lineage =
            serde_json::from_value(lineage).map_err(|_| IssueError::Unavailable)?;
        self.check_session(&old).await?;
        let now = self.clock.now();
        let (subject, scopes) = self.renewed(request, &old, &lineage).await?;
        let token = Secret::new(request.token);
        let answer = |expires| Issued {
            access_token: token.clone(),
            expires,
            refresh_token: Some(token.clone()),
            scopes: scopes.clone(),
            user: old.user.clone(),
            session: old.session.clone(),
        };
        if let Claim::Held(_) = self.restrict_sliding(digest, "refreshed", now).await? {
            return Ok(answer(old.expires));
        }
        let client = old.client.as_deref();
        let audiences = self.audiences(request, &lineage)?;
        let family = Family { session: &old.session, client, lineage: &lineage, audiences };
        let expires = UnixTime::from_secs(now.after(self.terms.access_lifetime).as_secs());
        let mut claims = self.claims(&subject, &family, &scopes, now, expires)?;
        if let Some(lineage) = old.claims.get(LINEAGE) {
            claims.insert(LINEAGE.to_owned(), lineage.clone());
        }
        let moved = self.move_end(&old, expires, Some(&claims)).await;
        self.unless_moved(digest, moved).await.map(|()| answer(expires))
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
    pub(super) async fn restrict_sliding(
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

    /// Reusable: a new access token, and nothing else changes.
    async fn reuse(
        &self,
        request: &RefreshRequest<'_>,
        digest: &TokenDigest,
    ) -> Result<Issued, IssueError> {
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
    access: Access,
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

fn lineage_of(token: &OpaqueToken) -> Result<Lineage, IssueError> {
    serde_json::from_value(serde_json::Value::Object(token.claims.clone())).map_err(|_| {
        tracing::error!(session = %token.session, "the record of a refresh token cannot be read");
        IssueError::Unavailable
    })
}

fn rotation_marker(digest: &TokenDigest) -> String {
    format!("rotation:{}", digest.name())
}

fn sliding_marker(digest: &TokenDigest) -> String {
    format!("sliding:{}", digest.name())
}

/// Until when a claim is believed to be under way.
fn lease_of(marker: &str) -> Option<UnixTime> {
    marker.split('.').next()?.parse().ok().map(UnixTime::from_millis)
}

fn marker_answer(marker: &str) -> &str {
    marker.splitn(3, '.').nth(2).unwrap_or_default()
}

/// An answer as it is sealed. Its family is that of the token that opens it.
#[derive(Serialize, Deserialize)]
struct Answer {
    access: String,
    refresh: Option<String>,
    expires: u64,
    scopes: Vec<String>,
    /// Sliding: to where the ends of token and session are moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<u64>,
}

impl Answer {
    fn of(issued: &Issued) -> Self {
        let text = |secret: &Secret| secret.expose_str().unwrap_or_default().to_owned();
        Self {
            access: text(&issued.access_token),
            refresh: issued.refresh_token.as_ref().map(text),
            expires: issued.expires.as_millis(),
            scopes: issued.scopes.clone(),
            end: None,
        }
    }

    fn to_bytes(&self) -> Result<Vec<u8>, IssueError> {
        serde_json::to_vec(self).map_err(|_| IssueError::Unavailable)
    }

    fn unsealed(sealed: &str, token: &str) -> Option<Self> {
        serde_json::from_slice(&sealed::open(sealed, token)?).ok()
    }

    fn into_issued(self, old: &OpaqueToken) -> Issued {
        Issued {
            access_token: Secret::new(self.access),
            expires: UnixTime::from_millis(self.expires),
            refresh_token: self.refresh.map(Secret::new),
            scopes: self.scopes,
            user: old.user.clone(),
            session: old.session.clone(),
        }
    }
}

/// One lock for a few tokens each, so that those who show the same token stand in line.
#[derive(Debug)]
pub(super) struct Turns(Vec<tokio::sync::Mutex<()>>);

impl Turns {
    /// Enough that two tokens rarely share one.
    const COUNT: usize = 256;

    pub(super) fn new() -> Self {
        Self((0..Self::COUNT).map(|_| tokio::sync::Mutex::default()).collect())
    }

    fn of(&self, digest: &TokenDigest) -> &tokio::sync::Mutex<()> {
        // Any byte is as random as another.
        &self.0[usize::from(digest.as_bytes()[0]) % Self::COUNT]
    }
}

/// Whose session a token is of, as far as revoking needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Belonging {
    pub(super) session: SessionId,
    pub(super) user: UserId,
    pub(super) client: Option<String>,
}
