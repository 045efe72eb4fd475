//! Issuing: a session is opened, and the tokens that live and die with it are made.
//!
//! Everything is made before anything is stored, and whatever was stored is taken back where a
//! later step fails, so that nothing half-done stays behind and nobody holds a token for it.

mod replaced;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;

use super::Dependencies;
use super::audit::{Audit, Event};
use super::caller::Caller;
use super::error::IssueError;
use super::grant::{GrantContext, ORIGIN, Origin};
use super::issued::Issued;
use super::policy::IssuancePolicy;
use super::refresh::RefreshLeases;
use super::scopes::narrow;
use super::subject::Subject;
use super::subjects::Subjects;
use super::token_issuer::{Family, NewAccessToken, TokenIssuer};
use crate::account::{AccountStore, Client};
use crate::clock::{Clock, UnixTime};
use crate::opaque::{OpaqueToken, Tokens};
use crate::secret::{Random, Secret};
use crate::session::{Session, SessionId, Sessions};
use crate::store::StoreError;

/// The claim of a session that names the client by which it was opened.
pub const CLIENT_ID: &str = "client_id";
/// The claim of a session that names the API key by which it was opened.
const API_KEY_CLAIM: &str = "api_key";

/// Opens sessions with their first tokens, for all grants.
#[derive(Debug)]
pub(super) struct SessionOpener {
    policy: Arc<IssuancePolicy>,
    issuer: TokenIssuer,
    subjects: Subjects,
    leases: RefreshLeases,
    accounts: Arc<dyn AccountStore>,
    sessions: Arc<Sessions>,
    tokens: Arc<Tokens>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// Parameters that every grant takes.
#[derive(Clone, Debug, Default)]
pub struct GrantParams<'a> {
    /// The client, where it showed who it is.
    pub client: Option<&'a Client>,
    /// The scopes; `None`: all that may be had.
    pub scopes: Option<Vec<String>>,
    /// The audiences (RFC 8707); empty: the usual ones.
    pub audiences: Vec<String>,
}

/// Request for the first tokens of a session.
#[derive(Debug)]
pub(super) struct IssueRequest<'a> {
    /// The subject that was authenticated.
    pub(super) subject: &'a Subject,
    /// Client, scopes and audiences.
    pub(super) params: GrantParams<'a>,
    /// The grant, for the audit log.
    pub(super) grant: &'static str,
    /// The origin of the subject, where a refresh asks again.
    pub(super) origin: Origin,
    /// The id of the API key that was shown, if one was.
    pub(super) key: Option<&'a str>,
    /// jwthenticator's name for whom the tokens are about.
    pub(super) identifier: Option<String>,
    /// The hash of the password that was shown, where an account has it.
    pub(super) hash: Option<Secret>,
    /// The caller.
    pub(super) caller: &'a Caller,
}

/// A session and its tokens, before they are stored.
#[derive(Debug)]
struct NewSession<'a> {
    family: Family<'a>,
    key: Option<&'a str>,
    access: NewAccessToken,
    refresh: Option<(Secret, OpaqueToken)>,
    with_refresh: bool,
    hash: Option<Secret>,
}

impl NewSession<'_> {
    fn records(&self) -> impl Iterator<Item = &OpaqueToken> {
        self.access.record.iter().chain(self.refresh.as_ref().map(|(_, record)| record))
    }

    /// The session outlives its tokens by the second that was cut from the access token's end.
    fn expires(&self) -> UnixTime {
        let refresh = self.refresh.as_ref().map_or(UnixTime::EPOCH, |(_, record)| record.expires);
        self.access.expires.after(Duration::from_secs(1)).max(refresh)
    }

    fn session(&self, caller: &Caller) -> Session {
        let Family { subject, session, client, context, now, .. } = self.family;
        let mut claims = Map::new();
        claims.insert(ORIGIN.to_owned(), context.origin.name().into());
        if let Some(client) = client {
            claims.insert(CLIENT_ID.to_owned(), client.into());
        }
        if let Some(key) = self.key {
            claims.insert(API_KEY_CLAIM.to_owned(), key.into());
        }
        Session {
            device: caller.device(),
            claims,
            ..Session::new(session.clone(), subject.user.clone(), now, self.expires())
        }
    }
}

impl SessionOpener {
    pub(super) fn new(on: &Dependencies) -> Self {
        let Dependencies { policy, accounts, sessions, tokens, audit, clock, random, .. } =
            on.clone();
        Self {
            policy,
            accounts,
            sessions,
            tokens,
            audit,
            clock,
            random,
            issuer: TokenIssuer::new(on),
            subjects: Subjects::new(on),
            leases: RefreshLeases::new(on),
        }
    }

    /// Opens a session and issues its first tokens.
    ///
    /// # Errors
    /// [`IssueError`]; then there is no session.
    pub(super) async fn open(&self, request: IssueRequest<'_>) -> Result<Issued, IssueError> {
        let IssueRequest { subject, params, origin, key, identifier, hash, .. } = request;
        let told = self.sessions.binding().check_told(&request.caller.shown_client());
        told.map_err(|error| IssueError::invalid_request(error.to_string()))?;
        let GrantParams { client, scopes, audiences } = params;
        let client_scopes = client.map(|client| client.scopes.as_slice());
        let limits = [subject.scopes.as_deref(), client_scopes, self.policy.scopes.as_deref()];
        let scopes = narrow(scopes.as_deref(), &limits)?;
        // A client that may not use the refresh grant gets nothing for it.
        let with_refresh =
            origin != Origin::Client && client.is_none_or(|client| client.may_use("refresh_token"));
        let session = SessionId::generate(self.random.as_ref())?;
        let context = GrantContext { origin, scopes, audiences, identifier };
        let family = Family {
            subject,
            session: &session,
            client: client.map(|client| client.id.as_str()),
            context: &context,
            scopes: &context.scopes,
            audiences: context.audiences_or(&self.policy.audiences),
            now: self.clock.now(),
        };
        let access = self.issuer.access_token(&family)?;
        let refresh = if with_refresh && !self.policy.handle_is_refresh() {
            Some(self.issuer.refresh_token(&family)?)
        } else {
            None
        };
        let opened = NewSession { family, key, access, refresh, with_refresh, hash };
        self.store(&opened, request.caller).await?;
        let NewSession { access, refresh, .. } = opened;
        let of_login = self.audit.event(Event::Login).user(subject.user.as_str());
        let of_login = of_login.client(family.client).address(request.caller.address);
        of_login.session(&session).reason(request.grant).write();
        let refresh_token = match refresh {
            Some((token, _)) => Some(token),
            None if with_refresh => Some(access.token.clone()),
            None => None,
        };
        Ok(Issued {
            access_token: access.token,
            expires: access.expires,
            refresh_token,
            scopes: context.scopes,
            user: subject.user.clone(),
            session,
        })
    }

    /// Stores what was opened; where a step fails, what was stored is taken back.
    async fn store(&self, opened: &NewSession<'_>, caller: &Caller) -> Result<(), IssueError> {
        match self.sessions.put(&opened.session(caller)).await {
            Ok(()) => {}
            // It is another's, and stays.
            Err(error @ StoreError::Conflict(_)) => return Err(error.into()),
            // It may be there all the same.
            Err(error) => {
                self.roll_back_session(opened).await;
                return Err(error.into());
            }
        }
        let stored = self.store_tokens(opened, caller).await;
        if stored.is_err() {
            self.roll_back(opened).await;
        }
        stored
    }

    async fn store_tokens(
        &self,
        opened: &NewSession<'_>,
        caller: &Caller,
    ) -> Result<(), IssueError> {
        let Family { subject, client, context, now, .. } = opened.family;
        let records: Vec<OpaqueToken> = opened.records().cloned().collect();
        if !records.is_empty() {
            self.tokens.put(&records).await?;
        }
        if self.policy.handle_is_refresh()
            && opened.with_refresh
            && let Some(record) = &opened.access.record
        {
            // As with tp-auth, a login counts as a refresh.
            self.leases.acquire_window(&record.digest, "login", now).await?;
        }
        // Whoever was locked, lost a role, or was given another password while this one was hashed had
        // all sessions ended but this one.
        let (origin, hash) = (&context.origin, opened.hash.as_ref());
        let now = self.subjects.reload_with(&subject.user, origin, hash).await?;
        if now.is_some_and(|now| subject.has_lost_rights(&now)) {
            return Err(IssueError::InvalidGrant);
        }
        self.recheck_client(client).await?;
        // Last: nobody's session goes for a login that comes to nothing.
        self.replace_sessions_of_device(opened, caller).await?;
        self.enforce_session_limit(opened, caller).await
    }

    /// Checks that tokens may still be issued to the client. One that was deleted while it asked
    /// had all sessions ended but this one.
    async fn recheck_client(&self, id: Option<&str>) -> Result<(), IssueError> {
        let Some(id) = id else { return Ok(()) };
        let client = self.accounts.client(id).await?.filter(|client| !client.grants.is_empty());
        client.map(drop).ok_or(IssueError::InvalidClient { by_header: false })
    }

    /// Without a token for it nobody can use the session; it is ended all the same.
    async fn roll_back(&self, opened: &NewSession<'_>) {
        for record in opened.records() {
            if let Err(error) = self.tokens.remove(&record.digest).await {
                tracing::warn!(%error, "a token that nobody was given stays behind until it expires");
            }
        }
        self.roll_back_session(opened).await;
    }

    async fn roll_back_session(&self, opened: &NewSession<'_>) {
        if let Err(error) = self.sessions.revoke(opened.family.session).await {
            tracing::warn!(%error, "a session that nobody was given stays behind until it expires");
        }
    }
}
