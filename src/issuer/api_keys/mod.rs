//! API keys: made, verified, refreshed and revoked. The command line, HTTP and authnzerver's wire
//! all come here.
//!
//! A key stands by itself, or is bound to a session, with which it ends. It may be bound to an issuer,
//! a service, a path, a user and addresses; the gate compares all of them. A key never has more
//! scopes than its user, whatever was asked when it was made.

mod key_request;
mod refresh;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

pub use key_request::{IssuedKey, KeyRequest, KeyTerms, RefreshTerms, new_key_id};
pub use refresh::is_generated_key_refresh;

use super::Dependencies;
use super::audit::{Audit, Event};
use super::caller::Caller;
use super::error::IssueError;
use super::keys::is_generated_key;
use super::policy::IssuancePolicy;
use super::revocation::Bearer;
use super::scopes::narrow;
use super::throttle::Throttle;
use crate::account::{AccountError, AccountStore, ApiKey, KeyDigest, User, UserState};
use crate::clock::{Clock, UnixTime};
use crate::secret::{Random, Secret};
use crate::session::{NotLive, Session, SessionId, Sessions, UserId};

/// The most keys that are listed at once.
pub const MAX_LISTED: usize = 1_000;
/// The most keys that somebody may make for himself.
const MAX_OWN: usize = 100;
/// The least time between two notes of the use of one key.
const USE_INTERVAL: Duration = Duration::from_secs(60);

/// API keys.
#[derive(Debug)]
pub struct ApiKeys {
    policy: Arc<IssuancePolicy>,
    accounts: Arc<dyn AccountStore>,
    sessions: Arc<Sessions>,
    throttle: Throttle,
    audit: Audit,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// A key that is good now, as far as it can be told without the request that it is used in.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedKey {
    /// The key, with the bounds that remain to be compared with a request.
    pub key: ApiKey,
    /// Its user.
    pub user: User,
}

impl VerifiedKey {
    /// The scopes that it grants now.
    pub fn scopes(&self) -> Vec<String> {
        self.key.narrow(self.user.scopes.clone())
    }
}

impl ApiKeys {
    pub(super) fn new(on: &Dependencies) -> Self {
        let Dependencies { policy, accounts, sessions, throttle, audit, clock, random, .. } =
            on.clone();
        Self { policy, accounts, sessions, throttle, audit, clock, random }
    }

    /// Makes a key of a user, bound to a session of his where one is named.
    ///
    /// # Errors
    /// [`IssueError`]; then there is no key. [`IssueError::NotFound`] where there is no such user, or
    /// the user has no such session.
    pub async fn issue(
        &self,
        user: &UserId,
        session: Option<&SessionId>,
        request: &KeyRequest,
        caller: &Caller,
    ) -> Result<IssuedKey, IssueError> {
        let user = self.accounts.user(user).await?.ok_or(IssueError::NotFound)?;
        let session = match session {
            Some(id) => Some(self.live(&user.id, id).await?.ok_or(IssueError::NotFound)?),
            None => None,
        };
        self.issue_to(&user, session.as_ref(), request, caller).await
    }

    async fn issue_to(
        &self,
        user: &User,
        session: Option<&Session>,
        request: &KeyRequest,
        caller: &Caller,
    ) -> Result<IssuedKey, IssueError> {
        if user.state != UserState::Active {
            return Err(IssueError::Forbidden("a user who may not log in is given no keys"));
        }
        let issued = request.prepare(user, session, self.clock.now(), self.random.as_ref())?;
        let key = &issued.record;
        match self.accounts.add_key(key).await {
            Ok(()) => {}
            Err(AccountError::NoSuchUser) => return Err(IssueError::NotFound),
            Err(error) => {
                // It may be there all the same.
                if let Err(error) = self.accounts.delete_key(&key.id).await {
                    tracing::warn!(%error, "a key that nobody was given stays behind");
                }
                return Err(error.into());
            }
        }
        let made = self.audit.event(Event::KeyMade).user(key.user.as_str()).reason(&key.id);
        let made = made.address(caller.address);
        match &key.session {
            Some(session) => made.session(session).write(),
            None => made.write(),
        }
        Ok(issued)
    }

    /// Makes a key for whoever asks, of at most what his token may do.
    ///
    /// # Errors
    /// [`IssueError`]; then there is no key. [`IssueError::Forbidden`] for whoever came by a key, and
    /// who may not manage what else is the user's.
    pub async fn issue_own(
        &self,
        bearer: &Bearer,
        is_bound_to_session: bool,
        request: KeyRequest,
        caller: &Caller,
    ) -> Result<IssuedKey, IssueError> {
        self.check_may_manage(bearer)?;
        // Anybody who is known here, but no user of the hook and no client, has an account.
        let user = self.accounts.user(&bearer.user).await?;
        let user =
            user.ok_or(IssueError::Forbidden("only a user of the accounts here has keys"))?;
        if self.accounts.keys(Some(&user.id), MAX_OWN).await?.len() >= MAX_OWN {
            return Err(IssueError::Forbidden("there are 100 keys already; revoke some"));
        }
        let scopes = own_scopes(&request.scopes, bearer, &user)?;
        let session = if is_bound_to_session {
            let live = self.live(&user.id, &bearer.session).await?;
            Some(live.ok_or(IssueError::InvalidToken)?)
        } else {
            None
        };
        let request = KeyRequest { scopes, ..request };
        self.issue_to(&user, session.as_ref(), &request, caller).await
    }

    /// A key that is good now, with its session where it has one, and its user. Its other bounds are
    /// not compared here, but by whoever knows what it is used for.
    ///
    /// # Errors
    /// [`IssueError::InvalidGrant`] where it is not good, whatever the reason;
    /// [`IssueError::SlowDown`] where too many were guessed from this address.
    pub async fn verify(&self, key: &Secret, caller: &Caller) -> Result<VerifiedKey, IssueError> {
        let check = self.check(key);
        let found = self.throttle.secret(is_generated_key(key), caller, check).await?;
        let now = self.clock.now();
        if found.key.last_used.is_none_or(|used| now.since(used) >= USE_INTERVAL)
            && let Err(error) = self.accounts.record_key_use(&found.key.id, now).await
        {
            tracing::warn!(%error, "the use of an API key could not be noted");
        }
        Ok(found)
    }

    async fn check(&self, key: &Secret) -> Result<VerifiedKey, IssueError> {
        let key = self.accounts.key(&KeyDigest::of(key)).await?.ok_or(IssueError::InvalidGrant)?;
        key.check_usable(self.clock.now()).map_err(|_| IssueError::InvalidGrant)?;
        let (user, _) = self.owner(&key).await?;
        Ok(VerifiedKey { key, user })
    }

    /// The user of a key who may log in, and the session that it is bound to, where it is and lives.
    async fn owner(&self, key: &ApiKey) -> Result<(User, Option<Session>), IssueError> {
        let user = self.accounts.user(&key.user).await?;
        let user = user.filter(|user| user.state == UserState::Active);
        let user = user.ok_or(IssueError::InvalidGrant)?;
        let session = match &key.session {
            Some(id) => Some(self.live(&user.id, id).await?.ok_or(IssueError::InvalidGrant)?),
            None => None,
        };
        Ok((user, session))
    }

    /// The user's session of that id, if it lives.
    async fn live(&self, user: &UserId, id: &SessionId) -> Result<Option<Session>, IssueError> {
        match self.sessions.live(user, id).await {
            Ok(session) => Ok(Some(session)),
            Err(NotLive::Unknown | NotLive::Ended(_)) => Ok(None),
            Err(NotLive::Store(error)) => Err(error.into()),
        }
    }

    /// The keys of a user, newest first, without those that ended with their sessions.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`].
    pub async fn list(&self, user: &UserId) -> Result<Vec<ApiKey>, IssueError> {
        let mut keys = self.accounts.keys(Some(user), MAX_LISTED).await?;
        let named: HashSet<_> = keys.iter().filter_map(|key| key.session.clone()).collect();
        let mut over = HashSet::new();
        for session in named {
            if self.live(user, &session).await?.is_none() {
                over.insert(session);
            }
        }
        keys.retain(|key| key.session.as_ref().is_none_or(|session| !over.contains(session)));
        Ok(keys)
    }

    /// The bearer's own keys.
    ///
    /// # Errors
    /// [`IssueError::Forbidden`] where he may not look after them; [`IssueError::Unavailable`].
    pub async fn list_own(&self, bearer: &Bearer) -> Result<Vec<ApiKey>, IssueError> {
        self.check_may_manage(bearer)?;
        self.list(&bearer.user).await
    }

    /// Revokes a key by its id, of that user where one is named, and all that were refreshed from one
    /// with it.
    ///
    /// # Errors
    /// [`IssueError::NotFound`] where there is none; [`IssueError::Unavailable`]: it may live on.
    pub async fn revoke(
        &self,
        id: &str,
        user: Option<&UserId>,
        caller: &Caller,
    ) -> Result<(), IssueError> {
        let key = self.accounts.key_by_id(id).await?;
        let key = key.filter(|key| user.is_none_or(|user| *user == key.user));
        let key = key.ok_or(IssueError::NotFound)?;
        if !self.accounts.delete_key(id).await? {
            return Err(IssueError::NotFound);
        }
        let revoked = self.audit.event(Event::KeyRevoked).user(key.user.as_str());
        revoked.reason(id).address(caller.address).write();
        Ok(())
    }

    /// Revokes a key of the bearer's.
    ///
    /// # Errors
    /// [`IssueError::Forbidden`] where he may not look after keys; the others as above.
    pub async fn revoke_own(
        &self,
        bearer: &Bearer,
        id: &str,
        caller: &Caller,
    ) -> Result<(), IssueError> {
        self.check_may_manage(bearer)?;
        self.revoke(id, Some(&bearer.user), caller).await
    }

    /// Revokes all keys of a user. Returns their number.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`]: some may live on, asking again revokes the rest.
    pub async fn revoke_all(&self, user: &UserId, caller: &Caller) -> Result<u64, IssueError> {
        let revoked = self.accounts.delete_keys(user).await?;
        let all = self.audit.event(Event::KeysRevoked).user(user.as_str()).count(revoked);
        all.address(caller.address).write();
        Ok(revoked)
    }

    /// Revokes all keys of the bearer's.
    ///
    /// # Errors
    /// [`IssueError::Forbidden`] where he may not look after keys; [`IssueError::Unavailable`].
    pub async fn revoke_all_own(
        &self,
        bearer: &Bearer,
        caller: &Caller,
    ) -> Result<u64, IssueError> {
        self.check_may_manage(bearer)?;
        self.revoke_all(&bearer.user, caller).await
    }

    /// Checks that a bearer may look after all keys of its user: as for sessions, but a key makes no
    /// keys, whatever its scopes are.
    fn check_may_manage(&self, bearer: &Bearer) -> Result<(), IssueError> {
        if bearer.by_key {
            return Err(IssueError::Forbidden("a session that a key opened has no say about keys"));
        }
        if self.policy.may_manage(bearer.by_password, &bearer.scopes) {
            return Ok(());
        }
        Err(IssueError::Forbidden(
            "only a login by password, or the scope that is meant for it, looks after keys",
        ))
    }

    fn now(&self) -> UnixTime {
        self.clock.now()
    }
}

/// The scopes of a key that somebody makes for himself: what was asked for, of those that his token
/// grants. Where that is nothing a key for all of its user's would be made, so none is.
fn own_scopes(asked: &[String], bearer: &Bearer, user: &User) -> Result<Vec<String>, IssueError> {
    let asked = Some(asked).filter(|asked| !asked.is_empty());
    let granted: Vec<String> = bearer.scopes.iter().map(str::to_owned).collect();
    let scopes = narrow(asked, &[Some(&granted), Some(&user.scopes)])?;
    if scopes.is_empty() && !user.scopes.is_empty() {
        return Err(IssueError::InvalidScope);
    }
    Ok(scopes)
}
