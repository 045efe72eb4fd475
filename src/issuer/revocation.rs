//! Revocation (RFC 7009), logout, and the lists of sessions.

mod bearer;

use std::borrow::Cow;
use std::sync::Arc;

pub use bearer::Bearer;

use super::Dependencies;
use super::audit::{Audit, Event};
use super::caller::Caller;
use super::error::{Cause, IssueError};
use super::metrics::IssuerMetrics;
use super::policy::IssuancePolicy;
use crate::account::{self, AccountStore, Client, UserLookup};
use crate::clock::Clock;
use crate::opaque::{OpaqueToken, TokenDigest, Tokens};
use crate::session::{Filter, NotLive, Session, SessionId, Sessions, UserId};
use crate::token::{TokenError, Verified, Verifier};

/// Most sessions that are listed at once.
pub const MAX_LISTED: usize = 1000;

/// Ends sessions, and lists them.
#[derive(Debug)]
pub struct Revocation {
    policy: Arc<IssuancePolicy>,
    accounts: Arc<dyn AccountStore>,
    sessions: Arc<Sessions>,
    tokens: Arc<Tokens>,
    verifier: Arc<Verifier>,
    audit: Audit,
    metrics: IssuerMetrics,
    clock: Arc<dyn Clock>,
}

/// Owner of a token: its session, user and client.
struct TokenOwner {
    session: SessionId,
    user: UserId,
    client: Option<String>,
}

impl From<OpaqueToken> for TokenOwner {
    fn from(kept: OpaqueToken) -> Self {
        Self { session: kept.session, user: kept.user, client: kept.client }
    }
}

/// Users that an administrator names.
struct TargetUsers {
    /// The user of that name, and the user who has this name as id: users of the hook and clients
    /// may. No session of either may live on.
    users: Vec<UserId>,
    /// Error for a name without sessions; `None` where the user is known.
    not_found: Option<IssueError>,
}

impl TargetUsers {
    /// The answer about these users. Where sessions were found although the accounts did not
    /// answer, nobody is told of that error, so it is logged.
    fn answer<T>(self, found: T, is_empty: bool) -> Result<T, IssueError> {
        match self.not_found {
            Some(error) if is_empty => Err(error),
            Some(error) => {
                error.log();
                Ok(found)
            }
            None => Ok(found),
        }
    }
}

impl Revocation {
    pub(super) fn new(on: &Dependencies) -> Self {
        let Dependencies {
            policy,
            accounts,
            sessions,
            tokens,
            verifier,
            audit,
            metrics,
            clock,
            ..
        } = on.clone();
        Self { policy, accounts, sessions, tokens, verifier, audit, metrics, clock }
    }

    /// Checks that a bearer may manage other sessions than its own.
    pub(super) fn check_may_manage_sessions(&self, bearer: &Bearer) -> Result<(), IssueError> {
        if self.policy.may_manage(bearer.by_password, &bearer.scopes) {
            return Ok(());
        }
        Err(IssueError::Forbidden(
            "only a login by password, or the scope that is meant for it, reaches other sessions",
        ))
    }

    fn owner_of_jwt(&self, verified: &Verified) -> Option<TokenOwner> {
        // Sessions of other issuers are none of ours.
        if verified.claims.text("iss").ok().flatten().as_deref() != Some(self.policy.iss.as_str()) {
            return None;
        }
        let session = SessionId::parse(verified.session.as_deref()?).ok()?;
        let user = UserId::parse(&verified.subject).ok()?;
        let client = verified.claims.text("client_id").ok().flatten().map(Cow::into_owned);
        Some(TokenOwner { session, user, client })
    }

    /// Ends the session of a token, whichever kind it is (RFC 7009, section 2). A token that is
    /// not good is as good as revoked.
    ///
    /// # Errors
    /// [`IssueError::InvalidRequest`] and [`IssueError::Unavailable`] where the token could not be
    /// read, and so may be one of ours that lives on;
    /// [`IssueError::InvalidClient`] where the token is a client's that did not show who it is,
    /// [`IssueError::InvalidGrant`] where it is another's.
    pub async fn revoke(
        &self,
        token: &str,
        client: Option<&Client>,
        caller: &Caller,
    ) -> Result<(), IssueError> {
        let Some(owner) = self.owner_of(token).await? else {
            return Ok(());
        };
        match (owner.client.as_deref(), client) {
            (Some(id), Some(client)) if id != client.id => {
                return Err(IssueError::InvalidGrant);
            }
            (Some(_), None) => return Err(IssueError::InvalidClient { by_header: false }),
            _ => {}
        }
        self.end(&owner.session, "revoke", caller).await.map(drop)
    }

    /// The owner of a token of any kind, also of a used one.
    async fn owner_of(&self, token: &str) -> Result<Option<TokenOwner>, IssueError> {
        if token.contains('.') {
            // Also one that is for somebody else: we issued it.
            let verified = valid_token(self.verifier.verify_ignoring_audience(token))?;
            return Ok(verified.and_then(|verified| self.owner_of_jwt(&verified)));
        }
        let found = self.tokens.get_known(&TokenDigest::of(token)).await?;
        Ok(found.map(TokenOwner::from))
    }

    /// Ends a session; says whether there was one.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`]; then it may live on.
    pub async fn end(
        &self,
        session: &SessionId,
        reason: &'static str,
        caller: &Caller,
    ) -> Result<bool, IssueError> {
        let Some(user) = self.sessions.revoke(session).await? else {
            return Ok(false);
        };
        let ended = self.audit.event(Event::Revoke).user(user.as_str()).session(session);
        ended.reason(reason).address(caller.address).write();
        self.metrics.ended(reason);
        Ok(true)
    }

    /// Ends a session of the bearer's user: his own, or, where he may, another.
    ///
    /// # Errors
    /// [`IssueError::NotFound`] where it is not this user's; [`IssueError::Forbidden`].
    pub async fn end_own(
        &self,
        bearer: &Bearer,
        session: &SessionId,
        caller: &Caller,
    ) -> Result<(), IssueError> {
        if *session != bearer.session {
            self.check_may_manage_sessions(bearer)?;
        }
        match self.sessions.live(&bearer.user, session).await {
            Ok(_) | Err(NotLive::Ended(_)) => {}
            Err(NotLive::Unknown) => return Err(IssueError::NotFound),
            Err(NotLive::Store(error)) => return Err(error.into()),
        }
        self.end(session, "sessions", caller).await.map(drop)
    }

    /// Ends all sessions of the bearer's user.
    ///
    /// # Errors
    /// [`IssueError::Forbidden`] where he may end his own alone; [`IssueError::Unavailable`]: some
    /// may have ended, asking again ends the rest.
    pub async fn end_all_own(&self, bearer: &Bearer, caller: &Caller) -> Result<u64, IssueError> {
        self.check_may_manage_sessions(bearer)?;
        self.end_all(&bearer.user, caller).await
    }

    /// Ends all sessions of the user with this id.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`]: some may have ended, asking again ends the rest.
    pub async fn end_all(&self, user: &UserId, caller: &Caller) -> Result<u64, IssueError> {
        let ended = self.sessions.revoke_user(user).await?;
        self.audit_revoke_all(user, ended, caller);
        Ok(ended)
    }

    /// Ends all sessions of somebody whom an administrator names, by id, username or e-mail.
    ///
    /// # Errors
    /// [`IssueError::NotFound`] where there is nobody of that name; the others as above.
    pub async fn end_all_of(&self, name: &str, caller: &Caller) -> Result<u64, IssueError> {
        let target = self.target_users(name).await?;
        let mut ended = 0;
        for (place, user) in target.users.iter().enumerate() {
            let of_user = self.sessions.revoke_user(user).await?;
            // Whom the name stands for is always told; whose id it may also be, where he had any.
            if of_user > 0 || (place == 0 && target.not_found.is_none()) {
                self.audit_revoke_all(user, of_user, caller);
            }
            ended += of_user;
        }
        target.answer(ended, ended == 0)
    }

    fn audit_revoke_all(&self, user: &UserId, ended: u64, caller: &Caller) {
        let all = self.audit.event(Event::RevokeAll).user(user.as_str()).count(ended);
        all.address(caller.address).write();
        self.metrics.ended("all");
    }

    /// The users that an administrator names. Users of the hook and clients have sessions too, and
    /// are known by their ids alone; accounts that do not answer must not keep an id's sessions
    /// alive.
    async fn target_users(&self, name: &str) -> Result<TargetUsers, IssueError> {
        let not_found = match account::find_user(self.accounts.as_ref(), name).await {
            Ok(UserLookup::Found(user)) => {
                let by_id = UserId::parse(name).ok().filter(|id| *id != user.id);
                let users = [user.id].into_iter().chain(by_id).collect();
                return Ok(TargetUsers { users, not_found: None });
            }
            Ok(UserLookup::Ambiguous { .. }) => {
                return Err(IssueError::invalid_request(
                    "this is the id of one user and a name of another: name the first by username \
                     or e-mail, the second by id",
                ));
            }
            Ok(UserLookup::NotFound) => IssueError::NotFound,
            Err(error) => error.into(),
        };
        let Ok(user) = UserId::parse(name) else { return Err(not_found) };
        Ok(TargetUsers { users: vec![user], not_found: Some(not_found) })
    }

    /// Ends all sessions of the bearer's user but his own.
    ///
    /// # Errors
    /// [`IssueError::Forbidden`] where he may end his own alone; [`IssueError::Unavailable`]: some
    /// may have ended, asking again ends the rest.
    pub async fn end_others(&self, bearer: &Bearer, caller: &Caller) -> Result<u64, IssueError> {
        self.check_may_manage_sessions(bearer)?;
        self.end_all_but(&bearer.user, &bearer.session, caller).await
    }

    /// Ends all sessions of a user but one.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`]: some may have ended, asking again ends the rest.
    pub async fn end_all_but(
        &self,
        user: &UserId,
        kept: &SessionId,
        caller: &Caller,
    ) -> Result<u64, IssueError> {
        let mut ended = 0;
        loop {
            let listed = self.list(Some(user), MAX_LISTED).await?;
            let is_last = listed.len() < MAX_LISTED;
            for session in listed.iter().filter(|session| session.id != *kept) {
                ended += u64::from(self.end(&session.id, "others", caller).await?);
            }
            if is_last {
                return Ok(ended);
            }
        }
    }

    /// The live sessions of the bearer's user, newest first.
    ///
    /// # Errors
    /// [`IssueError::Forbidden`] where he may see his own alone; [`IssueError::Unavailable`].
    pub async fn list_own(&self, bearer: &Bearer) -> Result<Vec<Session>, IssueError> {
        self.check_may_manage_sessions(bearer)?;
        self.list(Some(&bearer.user), MAX_LISTED).await
    }

    /// The live sessions of somebody whom an administrator names, newest first.
    ///
    /// # Errors
    /// [`IssueError::NotFound`] where there is nobody of that name; [`IssueError::Unavailable`].
    pub async fn list_of(&self, name: &str) -> Result<Vec<Session>, IssueError> {
        let target = self.target_users(name).await?;
        let mut found = Vec::new();
        for user in &target.users {
            found.extend(self.list(Some(user), MAX_LISTED).await?);
        }
        let is_empty = found.is_empty();
        target.answer(found, is_empty)
    }

    /// The live sessions of a user, newest first, or of all users.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`].
    pub async fn list(
        &self,
        user: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Session>, IssueError> {
        let filter = Filter { user: user.cloned(), live_at: Some(self.clock.now()) };
        Ok(self.sessions.list(&filter, limit).await?)
    }
}

/// The token, if it is valid; `None` if it is not, whoever issued it.
///
/// # Errors
/// Where it could not be read, so that nothing is known of it.
pub(super) fn valid_token(
    found: Result<Verified, TokenError>,
) -> Result<Option<Verified>, IssueError> {
    match found {
        Ok(verified) => Ok(Some(verified)),
        Err(TokenError::TooLarge) => Err(IssueError::invalid_request(
            "the token is longer than MAX_TOKEN_BYTES, and was not read",
        )),
        Err(TokenError::KeysUnavailable) => Err(Cause::NoVerificationKeys.into()),
        Err(_) => Ok(None),
    }
}
