//! Issuing: a session is opened, and the tokens that live and die with it are made.
//!
//! Everything is made before anything is stored, and whatever was stored is taken back where a
//! later step fails, so that nothing half-done stays behind and nobody holds a token for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::Issuance;
use super::audit::Event;
use super::caller::Caller;
use super::error::IssueError;
use super::policy::RefreshPolicy;
use super::scopes::narrow;
use super::subject::{AccessTokenParams, Subject, access_claims};
use crate::account::Client;
use crate::clock::UnixTime;
use crate::opaque::{self, OpaqueToken, TokenDigest, TokenKind};
use crate::secret::Secret;
use crate::session::{Filter, Session, SessionId, UserId};
use crate::store::StoreError;

/// The claim of a session that says how it was opened, as [`Origin::name`] has it. No token says it.
pub(super) const ORIGIN: &str = "origin";
/// The claim of a session that names the client by which it was opened.
pub const CLIENT_ID: &str = "client_id";
/// Number of sessions beyond the limit that are read at once.
const MAX_EXCESS_READ: usize = 10_000;

/// Request for the first tokens of a session.
#[derive(Debug)]
pub struct IssueRequest<'a> {
    /// The subject that was authenticated.
    pub subject: &'a Subject,
    /// The client that asks for him.
    pub client: Option<&'a Client>,
    /// The scopes that were asked for.
    pub scopes: Option<Vec<String>>,
    /// The audiences that were asked for; empty: the usual ones.
    pub audiences: Vec<String>,
    /// By which grant, for the audit log.
    pub grant: &'static str,
    /// What a refresh has to look at again.
    pub origin: Origin,
    /// The id of the API key that was shown, if one was.
    pub key: Option<&'a str>,
    /// Where the request came from.
    pub caller: &'a Caller,
}

/// What was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// A JWT, or the handle that stands for one.
    pub access_token: Secret,
    /// When it ends.
    pub expires: UnixTime,
    /// What gets the next one; `None`: nothing does, or the one at hand still will.
    pub refresh_token: Option<Secret>,
    /// What it allows.
    pub scopes: Vec<String>,
    /// Whose it is.
    pub user: UserId,
    /// The session that it lives and dies with.
    pub session: SessionId,
}

impl Issued {
    /// Lifetime that is left to the access token, in whole seconds as its own claims count them.
    pub fn expires_in(&self, now: UnixTime) -> u64 {
        self.expires.as_secs().saturating_sub(now.as_secs())
    }
}

/// Where the subject of a session comes from, and so where a refresh asks after him.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Origin {
    /// The built-in accounts.
    Account,
    /// An API key, by its digest.
    Key {
        /// The digest.
        digest: String,
    },
    /// The hook, which is not asked again: what it said at login holds.
    Hook {
        /// What it said.
        subject: Subject,
    },
    /// A client that acts for itself; it gets no refresh token.
    Client,
}

impl Origin {
    /// Its name in the record of a session.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Account => ACCOUNT,
            Self::Key { .. } => "key",
            Self::Hook { .. } => HOOK,
            Self::Client => "client",
        }
    }
}

const ACCOUNT: &str = "account";
const HOOK: &str = "hook";

/// Whether somebody showed a password when this session was opened. One that does not say how it
/// was opened, as those of `token mint`, was not.
pub(super) fn is_by_password(session: &Session) -> bool {
    let origin = session.claims.get(ORIGIN).and_then(|origin| origin.as_str());
    matches!(origin, Some(ACCOUNT | HOOK))
}

/// Grant of a token family, as its refresh token keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct GrantContext {
    pub(super) origin: Origin,
    /// The scopes that were granted at login; no refresh goes beyond (RFC 6749, section 6).
    pub(super) scopes: Vec<String>,
    pub(super) audiences: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identifier: Option<String>,
}

/// Claim of a session that names the API key by which it was opened.
const API_KEY_CLAIM: &str = "api_key";

/// Claim of a handle's record that keeps its grant context under the sliding policy, where the
/// handle is its own refresh token. No token says it.
pub(super) const GRANT_CONTEXT: &str = "portcullis:lineage";

/// An access token before it is stored or handed out.
#[derive(Debug)]
pub(super) struct NewAccessToken {
    pub(super) token: Secret,
    pub(super) expires: UnixTime,
    /// What is kept of it, where it is a handle.
    pub(super) record: Option<OpaqueToken>,
}

/// Tokens for one family.
#[derive(Debug)]
pub(super) struct Family<'a> {
    pub(super) session: &'a SessionId,
    pub(super) client: Option<&'a str>,
    pub(super) context: &'a GrantContext,
    /// Whom access tokens are for.
    pub(super) audiences: &'a [String],
}

impl Issuance {
    /// Opens a session and issues its first tokens.
    ///
    /// # Errors
    /// [`IssueError`]; then there is no session.
    pub(super) async fn open(
        &self,
        request: IssueRequest<'_>,
        identifier: Option<String>,
    ) -> Result<Issued, IssueError> {
        let now = self.clock.now();
        let client_scopes = request.client.map(|client| client.scopes.as_slice());
        let limits =
            [request.subject.scopes.as_deref(), client_scopes, self.policy.scopes.as_deref()];
        let scopes = narrow(request.scopes.as_deref(), &limits)?;
        let with_refresh = request.origin != Origin::Client && may_refresh(request.client);
        let session = SessionId::generate(self.random.as_ref())?;
        let audiences = request.audiences;
        let context = GrantContext { origin: request.origin, scopes, audiences, identifier };
        let client = request.client.map(|client| client.id.as_str());
        let audiences = match context.audiences.as_slice() {
            [] => self.policy.audiences.as_slice(),
            asked => asked,
        };
        let family = Family { session: &session, client, context: &context, audiences };
        let access = self.access_token(request.subject, &family, &context.scopes, now)?;
        let refresh = if with_refresh && !self.handle_is_refresh() {
            Some(self.refresh_token(&request.subject.user, &family, now)?)
        } else {
            None
        };
        let (subject, origin) = (request.subject, &context.origin);
        let key = request.key;
        let opened =
            NewSession { session, subject, origin, key, access, refresh, with_refresh, now };
        self.store(&opened, request.caller, client).await?;
        let NewSession { session, access, refresh, .. } = opened;
        let of_login = self.audit.event(Event::Login).user(request.subject.user.as_str());
        of_login
            .client(client)
            .address(request.caller.address)
            .session(&session)
            .reason(request.grant)
            .write();
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
            user: request.subject.user.clone(),
            session,
        })
    }

    /// Whether handles are their own refresh tokens: tp-auth's one token.
    pub(super) fn handle_is_refresh(&self) -> bool {
        self.policy.opaque && self.policy.refresh_policy == RefreshPolicy::Sliding
    }

    /// An access token, or the handle that stands for it.
    pub(super) fn access_token(
        &self,
        subject: &Subject,
        family: &Family<'_>,
        scopes: &[String],
        now: UnixTime,
    ) -> Result<NewAccessToken, IssueError> {
        let expires = UnixTime::from_secs(now.after(self.policy.access_lifetime).as_secs());
        let mut claims = self.claims(subject, family, scopes, now, expires)?;
        if !self.policy.opaque {
            let Some(signer) = self.signers.signing(now) else {
                let missing = "there is no key that signs now: `portcullis key rotate` makes one";
                return Err(IssueError::unavailable(missing));
            };
            let token = self.check_length(signer.sign(&claims)?, subject)?;
            return Ok(NewAccessToken { token, expires, record: None });
        }
        if self.handle_is_refresh() {
            claims.insert(GRANT_CONTEXT.to_owned(), to_json(family.context)?);
        }
        let token = opaque::generate(self.random.as_ref())?;
        let record = OpaqueToken {
            digest: digest_of(&token),
            kind: TokenKind::Handle,
            session: family.session.clone(),
            user: subject.user.clone(),
            client: family.client.map(str::to_owned),
            claims,
            issued: now,
            expires,
            used: None,
        };
        Ok(NewAccessToken { token, expires, record: Some(record) })
    }

    /// Refuses a token that is too long to be read by those who have to accept it, and to end it.
    fn check_length(&self, token: String, subject: &Subject) -> Result<Secret, IssueError> {
        let (length, most) = (token.len(), self.verifier.max_token_bytes());
        if length <= most {
            return Ok(Secret::new(token));
        }
        let user = subject.user.as_str();
        tracing::error!(user, length, most, "the claims make a token longer than MAX_TOKEN_BYTES");
        Err(IssueError::TokenTooLong)
    }

    /// The claims of an access token.
    pub(super) fn claims(
        &self,
        subject: &Subject,
        family: &Family<'_>,
        scopes: &[String],
        now: UnixTime,
        expires: UnixTime,
    ) -> Result<Map<String, serde_json::Value>, IssueError> {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes)?;
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid().to_string();
        let params = AccessTokenParams {
            iss: &self.policy.iss,
            audiences: family.audiences,
            client: family.client,
            session: family.session,
            scopes,
            identifier: family.context.identifier.as_deref(),
            issued: now,
            expires,
            id: &id,
        };
        Ok(access_claims(subject, &params))
    }

    /// A new refresh token, and what is kept of it.
    pub(super) fn refresh_token(
        &self,
        user: &UserId,
        family: &Family<'_>,
        now: UnixTime,
    ) -> Result<(Secret, OpaqueToken), IssueError> {
        let token = opaque::generate(self.random.as_ref())?;
        let record = OpaqueToken {
            digest: digest_of(&token),
            kind: TokenKind::Refresh,
            session: family.session.clone(),
            user: user.clone(),
            client: family.client.map(str::to_owned),
            claims: match to_json(family.context)? {
                serde_json::Value::Object(context) => context,
                _ => return Err(IssueError::unavailable("a grant is no object")),
            },
            issued: now,
            expires: now.after(self.policy.refresh_lifetime),
            used: None,
        };
        Ok((token, record))
    }

    /// Stores what was opened; where a step fails, what was stored is taken back.
    async fn store(
        &self,
        opened: &NewSession<'_>,
        caller: &Caller,
        client: Option<&str>,
    ) -> Result<(), IssueError> {
        let mut claims = Map::new();
        claims.insert(ORIGIN.to_owned(), opened.origin.name().into());
        if let Some(client) = client {
            claims.insert(CLIENT_ID.to_owned(), client.into());
        }
        if let Some(key) = opened.key {
            claims.insert(API_KEY_CLAIM.to_owned(), key.into());
        }
        let session = Session {
            id: opened.session.clone(),
            user: opened.subject.user.clone(),
            created: opened.now,
            last_seen: opened.now,
            expires: opened.expires(),
            device: caller.device(),
            claims,
            not_before: UnixTime::EPOCH,
        };
        match self.sessions.put(&session).await {
            Ok(()) => {}
            // It is another's, and stays.
            Err(error @ StoreError::Conflict(_)) => return Err(error.into()),
            // It may be there all the same.
            Err(error) => {
                self.roll_back_session(opened).await;
                return Err(error.into());
            }
        }
        let stored = self.store_tokens(opened, caller, client).await;
        if stored.is_err() {
            self.roll_back(opened).await;
        }
        stored
    }

    async fn store_tokens(
        &self,
        opened: &NewSession<'_>,
        caller: &Caller,
        client: Option<&str>,
    ) -> Result<(), IssueError> {
        let records: Vec<OpaqueToken> = opened.records().cloned().collect();
        if !records.is_empty() {
            self.tokens.put(&records).await?;
        }
        if self.handle_is_refresh()
            && opened.with_refresh
            && let Some(record) = &opened.access.record
        {
            // As with tp-auth, a login counts as a refresh.
            self.acquire_window(&record.digest, "login", opened.now).await?;
        }
        // Whoever was locked while the password was hashed had all sessions ended but this one.
        self.reload_subject(&opened.subject.user, opened.origin).await?;
        self.recheck_client(client).await?;
        // Last: nobody's session goes for a login that comes to nothing.
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
        if let Err(error) = self.sessions.revoke(&opened.session).await {
            tracing::warn!(%error, "a session that nobody was given stays behind until it expires");
        }
    }

    /// Ends the least recently seen sessions where there are too many; never the new one. Those
    /// that people opened themselves, and those of each API key, are counted apart: a program does
    /// not log its owner out.
    async fn enforce_session_limit(
        &self,
        opened: &NewSession<'_>,
        caller: &Caller,
    ) -> Result<(), IssueError> {
        let is_login = opened.subject.is_person && opened.key.is_none();
        let most = if is_login { self.policy.max_sessions } else { self.policy.max_key_sessions };
        if most == 0 {
            return Ok(());
        }
        let user = &opened.subject.user;
        let filter = Filter { user: Some(user.clone()), live_at: Some(opened.now) };
        let mut live = self.sessions.list(&filter, most.saturating_add(MAX_EXCESS_READ)).await?;
        live.retain(|session| key_of(session) == opened.key);
        // In the same order for everybody who logs in at this moment, so that two do not end each
        // other's session.
        live.sort_by_key(|session| (session.last_seen, session.created, session.id.clone()));
        let excess = live.len().saturating_sub(most);
        for session in live.iter().take(excess).filter(|session| session.id != opened.session) {
            if self.sessions.revoke(&session.id).await?.is_some() {
                let replaced = self.audit.event(Event::SessionReplaced).user(user.as_str());
                replaced.session(&session.id).address(caller.address).write();
            }
        }
        Ok(())
    }
}

/// The API key that a session was opened by, if one was.
fn key_of(session: &Session) -> Option<&str> {
    session.claims.get(API_KEY_CLAIM).and_then(|key| key.as_str())
}

/// A session and its tokens, before they are stored.
#[derive(Debug)]
struct NewSession<'a> {
    session: SessionId,
    subject: &'a Subject,
    origin: &'a Origin,
    key: Option<&'a str>,
    access: NewAccessToken,
    refresh: Option<(Secret, OpaqueToken)>,
    with_refresh: bool,
    now: UnixTime,
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
}

/// A client that may not use the refresh grant gets nothing for it.
fn may_refresh(client: Option<&Client>) -> bool {
    client.is_none_or(|client| client.may_use("refresh_token"))
}

pub(super) fn digest_of(token: &Secret) -> TokenDigest {
    // Ours are base64url; what is no text is found by no store.
    TokenDigest::of(token.expose_str().unwrap_or_default())
}

fn to_json(context: &GrantContext) -> Result<serde_json::Value, IssueError> {
    serde_json::to_value(context).map_err(IssueError::unavailable)
}
