//! Issuing: a session is opened, and the tokens that live and die with it are made.
//!
//! Everything is made before anything is stored, and whatever was stored is taken back where a
//! later step fails, so that nothing half-done stays behind and nobody holds a token for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::Issuance;
use super::audit::Event;
use super::error::IssueError;
use super::scopes::narrow;
use super::subject::{AccessTerms, Subject, access_claims};
use super::terms::{Caller, RefreshPolicy};
use crate::account::Client;
use crate::clock::UnixTime;
use crate::opaque::{self, OpaqueToken, TokenDigest, TokenKind};
use crate::secret::Secret;
use crate::session::{Filter, Session, SessionId, StoreError, UserId};

/// The claim of a session that says how it was opened, as [`Origin::name`] has it. No token says it.
pub(super) const ORIGIN: &str = "origin";
/// The claim of a session that names the client by which it was opened.
pub const CLIENT_ID: &str = "client_id";
/// How many sessions beyond the limit are looked at at once.
const LOOK_BEYOND: usize = 10_000;

/// Who is to get tokens, and which.
#[derive(Debug)]
pub struct Wish<'a> {
    /// Who showed who he is.
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
    /// For how long the access token is good, in whole seconds as its own claims count them.
    pub fn lasts(&self, now: UnixTime) -> u64 {
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

/// What a refresh token remembers of its family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Lineage {
    pub(super) origin: Origin,
    /// The scopes that were granted at login; no refresh goes beyond (RFC 6749, section 6).
    pub(super) scopes: Vec<String>,
    pub(super) audiences: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identifier: Option<String>,
}

/// The claim of a session that names the API key by which it was opened.
const OF_KEY: &str = "api_key";

/// The claim of a handle's record in which its lineage is kept under the sliding policy, where the
/// handle is its own refresh token. No token says it.
pub(super) const LINEAGE: &str = "portcullis:lineage";

/// An access token before it is stored or handed out.
#[derive(Debug)]
pub(super) struct Access {
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
    pub(super) lineage: &'a Lineage,
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
        wish: Wish<'_>,
        identifier: Option<String>,
    ) -> Result<Issued, IssueError> {
        let now = self.clock.now();
        let client_scopes = wish.client.map(|client| client.scopes.as_slice());
        let limits = [wish.subject.scopes.as_deref(), client_scopes, self.terms.scopes.as_deref()];
        let scopes = narrow(wish.scopes.as_deref(), &limits)?;
        let with_refresh = wish.origin != Origin::Client && may_refresh(wish.client);
        let session = SessionId::generate(self.random.as_ref())?;
        let audiences = wish.audiences;
        let lineage = Lineage { origin: wish.origin, scopes, audiences, identifier };
        let client = wish.client.map(|client| client.id.as_str());
        let audiences = match lineage.audiences.as_slice() {
            [] => self.terms.audiences.as_slice(),
            asked => asked,
        };
        let family = Family { session: &session, client, lineage: &lineage, audiences };
        let access = self.access_token(wish.subject, &family, &lineage.scopes, now)?;
        let refresh = if with_refresh && !self.handle_is_refresh() {
            Some(self.refresh_token(&wish.subject.user, &family, now)?)
        } else {
            None
        };
        let (subject, origin) = (wish.subject, &lineage.origin);
        let key = wish.key;
        let opened = Opened { session, subject, origin, key, access, refresh, with_refresh, now };
        self.store(&opened, wish.caller, client).await?;
        let Opened { session, access, refresh, .. } = opened;
        let of_login = self.audit.event(Event::Login).user(wish.subject.user.as_str());
        of_login
            .client(client)
            .address(wish.caller.address)
            .session(&session)
            .reason(wish.grant)
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
            scopes: lineage.scopes,
            user: wish.subject.user.clone(),
            session,
        })
    }

    /// Whether handles are their own refresh tokens: tp-auth's one token.
    pub(super) fn handle_is_refresh(&self) -> bool {
        self.terms.opaque && self.terms.policy == RefreshPolicy::Sliding
    }

    /// An access token, or the handle that stands for it.
    pub(super) fn access_token(
        &self,
        subject: &Subject,
        family: &Family<'_>,
        scopes: &[String],
        now: UnixTime,
    ) -> Result<Access, IssueError> {
        let expires = UnixTime::from_secs(now.after(self.terms.access_lifetime).as_secs());
        let mut claims = self.claims(subject, family, scopes, now, expires)?;
        if !self.terms.opaque {
            let Some(signer) = self.signers.signing(now) else {
                tracing::error!(
                    "there is no key that signs now: `portcullis key rotate` makes one"
                );
                return Err(IssueError::Unavailable);
            };
            let token = self.acceptable(signer.sign(&claims)?, subject)?;
            return Ok(Access { token, expires, record: None });
        }
        if self.handle_is_refresh() {
            claims.insert(LINEAGE.to_owned(), to_json(family.lineage)?);
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
        Ok(Access { token, expires, record: Some(record) })
    }

    /// A token that is not too long to be read by those who have to accept it, and to end it.
    fn acceptable(&self, token: String, subject: &Subject) -> Result<Secret, IssueError> {
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
        let terms = AccessTerms {
            iss: &self.terms.iss,
            audiences: family.audiences,
            client: family.client,
            session: family.session,
            scopes,
            identifier: family.lineage.identifier.as_deref(),
            issued: now,
            expires,
            id: &id,
        };
        Ok(access_claims(subject, &terms))
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
            claims: match to_json(family.lineage)? {
                serde_json::Value::Object(lineage) => lineage,
                _ => return Err(IssueError::Unavailable),
            },
            issued: now,
            expires: now.after(self.terms.refresh_lifetime),
            used: None,
        };
        Ok((token, record))
    }

    /// Stores what was opened; where a step fails, what was stored is taken back.
    async fn store(
        &self,
        opened: &Opened<'_>,
        caller: &Caller,
        client: Option<&str>,
    ) -> Result<(), IssueError> {
        let mut claims = Map::new();
        claims.insert(ORIGIN.to_owned(), opened.origin.name().into());
        if let Some(client) = client {
            claims.insert(CLIENT_ID.to_owned(), client.into());
        }
        if let Some(key) = opened.key {
            claims.insert(OF_KEY.to_owned(), key.into());
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
                self.take_back_session(opened).await;
                return Err(error.into());
            }
        }
        let stored = self.store_tokens(opened, caller, client).await;
        if stored.is_err() {
            self.take_back(opened).await;
        }
        stored
    }

    async fn store_tokens(
        &self,
        opened: &Opened<'_>,
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
            self.restrict_sliding(&record.digest, "login", opened.now).await?;
        }
        // Whoever was locked while the password was hashed had all sessions ended but this one.
        self.subject_again(&opened.subject.user, opened.origin).await?;
        self.check_client_again(client).await?;
        // Last: nobody's session goes for a login that comes to nothing.
        self.make_room(opened, caller).await
    }

    /// Whether the client may still be issued to. One that was deleted while it asked had all
    /// sessions ended but this one.
    async fn check_client_again(&self, id: Option<&str>) -> Result<(), IssueError> {
        let Some(id) = id else { return Ok(()) };
        let client = self.accounts.client(id).await?.filter(|client| !client.grants.is_empty());
        client.map(drop).ok_or(IssueError::InvalidClient { by_header: false })
    }

    /// Without a token for it nobody can use the session; it is ended all the same.
    async fn take_back(&self, opened: &Opened<'_>) {
        for record in opened.records() {
            if let Err(error) = self.tokens.remove(&record.digest).await {
                tracing::warn!(%error, "a token that nobody was given stays behind until it expires");
            }
        }
        self.take_back_session(opened).await;
    }

    async fn take_back_session(&self, opened: &Opened<'_>) {
        if let Err(error) = self.sessions.revoke(&opened.session).await {
            tracing::warn!(%error, "a session that nobody was given stays behind until it expires");
        }
    }

    /// Ends the least recently seen sessions where there are too many; never the new one. Those
    /// that people opened themselves, and those of each API key, are counted apart: a program does
    /// not log its owner out.
    async fn make_room(&self, opened: &Opened<'_>, caller: &Caller) -> Result<(), IssueError> {
        let is_login = opened.subject.is_person && opened.key.is_none();
        let most = if is_login { self.terms.max_sessions } else { self.terms.max_key_sessions };
        if most == 0 {
            return Ok(());
        }
        let user = &opened.subject.user;
        let filter = Filter { user: Some(user.clone()), live_at: Some(opened.now) };
        let mut live = self.sessions.list(&filter, most.saturating_add(LOOK_BEYOND)).await?;
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
    session.claims.get(OF_KEY).and_then(|key| key.as_str())
}

/// What is about to be stored.
#[derive(Debug)]
struct Opened<'a> {
    session: SessionId,
    subject: &'a Subject,
    origin: &'a Origin,
    key: Option<&'a str>,
    access: Access,
    refresh: Option<(Secret, OpaqueToken)>,
    with_refresh: bool,
    now: UnixTime,
}

impl Opened<'_> {
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
    client.is_none_or(|client| client.grants.iter().any(|grant| grant == "refresh_token"))
}

pub(super) fn digest_of(token: &Secret) -> TokenDigest {
    // Ours are base64url; what is no text is found by no store.
    TokenDigest::of(token.expose_str().unwrap_or_default())
}

fn to_json(lineage: &Lineage) -> Result<serde_json::Value, IssueError> {
    serde_json::to_value(lineage).map_err(|_| IssueError::Unavailable)
}
