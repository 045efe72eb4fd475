//! Logging in: by password, by API key, and clients for themselves.
//!
//! An unknown user, a wrong password, a locked account and one on which too much was tried under
//! another name cost the same questions and the same hash, and get the same answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

use super::Dependencies;
use super::api_keys::{ApiKeys, VerifiedKey};
use super::audit::{Audit, Entry, Event};
use super::caller::Caller;
use super::error::IssueError;
use super::grant::Origin;
use super::hook::{Hook, HookAnswer, HookRequest};
pub use super::issue::GrantParams;
use super::issue::{IssueRequest, SessionOpener};
use super::issued::Issued;
use super::metrics::IssuerMetrics;
use super::policy::IssuancePolicy;
use super::subject::Subject;
use super::throttle::{AttemptName, Counted, Success, Throttle, TooEarly};
use crate::account::password::{Checked, Passwords};
use crate::account::{
    AccountError, AccountStore, Client, Login as LoginName, User, UserKind, UserState,
};
use crate::clock::Clock;
use crate::secret::Secret;

/// Logging in.
#[derive(Debug)]
pub struct Login {
    policy: Arc<IssuancePolicy>,
    opener: SessionOpener,
    api_keys: ApiKeys,
    accounts: Arc<dyn AccountStore>,
    passwords: Arc<Passwords>,
    password_check: PasswordCheck,
    throttle: Throttle,
    audit: Audit,
    metrics: IssuerMetrics,
    clock: Arc<dyn Clock>,
    /// True while the account store fails to record logins.
    recording_fails: AtomicBool,
}

/// Place where passwords are checked.
#[derive(Clone, Debug)]
pub enum PasswordCheck {
    /// The built-in accounts.
    Accounts,
    /// The application.
    Hook(Arc<Hook>),
}

/// A user whose password was right.
struct VerifiedUser {
    user: User,
    /// True if the hash should be made anew.
    needs_rehash: bool,
}

impl Login {
    pub(super) fn new(on: &Dependencies) -> Self {
        let Dependencies {
            policy,
            accounts,
            passwords,
            password_check,
            throttle,
            audit,
            metrics,
            clock,
            ..
        } = on.clone();
        Self {
            policy,
            accounts,
            passwords,
            password_check,
            throttle,
            audit,
            metrics,
            clock,
            opener: SessionOpener::new(on),
            api_keys: ApiKeys::new(on),
            recording_fails: AtomicBool::new(false),
        }
    }

    /// The `password` grant (RFC 6749, section 4.3).
    ///
    /// # Errors
    /// [`IssueError`]; the same for an unknown user, a wrong password and a locked account.
    pub async fn password(
        &self,
        login: &str,
        password: &Secret,
        params: GrantParams<'_>,
        caller: &Caller,
    ) -> Result<Issued, IssueError> {
        let outcome = self.password_unaudited(login, password, params, caller).await;
        self.tell("password", &outcome, caller, |refused| refused.login(login));
        outcome
    }

    async fn password_unaudited(
        &self,
        login: &str,
        password: &Secret,
        params: GrantParams<'_>,
        caller: &Caller,
    ) -> Result<Issued, IssueError> {
        self.policy.check_audiences(params.client, &params.audiences)?;
        if matches!(self.password_check, PasswordCheck::Accounts) {
            self.check_has_room()?;
        }
        let check = async {
            let login = LoginName::parse(login).map_err(|_| IssueError::InvalidGrant)?;
            self.check_password(&login, password, &params, caller).await
        };
        let checked = self.throttle.within_budget(caller, Success::Costs, check).await?;
        let (subject, origin, hash) = checked;
        let (subject, grant) = (&subject, "password");
        let (key, identifier) = (None, None);
        let ask = IssueRequest { subject, params, grant, origin, key, identifier, hash, caller };
        self.opener.open(ask).await
    }

    /// Refuses while too many passwords wait to be checked. First, and whoever is named: in a flood
    /// nothing is asked of any store.
    fn check_has_room(&self) -> Result<(), IssueError> {
        if self.passwords.is_busy() { Err(IssueError::Busy) } else { Ok(()) }
    }

    /// The user of the built-in accounts with that name and password, for whoever needs no token
    /// (RFC 7617). It counts as a login, is limited as one, and opens no session. `by` is the way in,
    /// for the audit log.
    ///
    /// # Errors
    /// [`IssueError`]; the same for an unknown user, a wrong password and a locked account.
    pub async fn verify_password(
        &self,
        login: &str,
        password: &Secret,
        by: &'static str,
        caller: &Caller,
    ) -> Result<User, IssueError> {
        let check = async {
            let login = LoginName::parse(login).map_err(|_| IssueError::InvalidGrant)?;
            let name = AttemptName::written(login.canonical());
            self.counted_account(&name, &login, password, caller).await
        };
        let outcome = match self.check_has_room() {
            Ok(()) => self.throttle.within_budget(caller, Success::Costs, check).await,
            Err(busy) => Err(busy),
        };
        if let Err(error) = &outcome {
            let refused = self.audit.event(Event::LoginRefused).login(login).error(error);
            refused.reason(by).address(caller.address).write();
        }
        outcome
    }

    /// Finds the owner of a name and a password, if he may log in. Attempts are counted under what was
    /// written, of which anybody is told alike. An account's hash of the password comes with it.
    async fn check_password(
        &self,
        login: &LoginName,
        password: &Secret,
        params: &GrantParams<'_>,
        caller: &Caller,
    ) -> Result<(Subject, Origin, Option<Secret>), IssueError> {
        let name = AttemptName::written(login.canonical());
        match &self.password_check {
            PasswordCheck::Accounts => {
                let user = self.counted_account(&name, login, password, caller).await?;
                Ok((Subject::of_user(&user), Origin::Account, user.password))
            }
            PasswordCheck::Hook(hook) => {
                let asked = HookRequest {
                    username: login.as_str(),
                    password,
                    scopes: params.scopes.as_deref(),
                    client: params.client.map(|client| client.id.as_str()),
                    caller,
                };
                let check = async {
                    match hook.ask(&asked, self.clock.now()).await? {
                        HookAnswer::Granted(subject) => Ok(subject),
                        HookAnswer::Refused => Err(IssueError::InvalidGrant),
                    }
                };
                let counted = self.throttle.counted(&name, TooEarly::RetryAfter, check).await;
                let subject = self.audit_lock(counted, &name, caller.address)?;
                Ok((subject.clone(), Origin::Hook { subject }, None))
            }
        }
    }

    /// The user of that name and password, if he may log in; the login is recorded. Attempts are
    /// counted under the name.
    async fn counted_account(
        &self,
        name: &AttemptName,
        login: &LoginName,
        password: &Secret,
        caller: &Caller,
    ) -> Result<User, IssueError> {
        let check = self.check_account(login, password, caller);
        let user = self.throttle.counted(name, TooEarly::RetryAfter, check).await.outcome?;
        Ok(self.record_login(user, password).await)
    }

    /// The user of that name and password, if he may log in. Attempts are counted under the user
    /// too, so that several names give no more of them; of that nobody is told.
    async fn check_account(
        &self,
        login: &LoginName,
        password: &Secret,
        caller: &Caller,
    ) -> Result<VerifiedUser, IssueError> {
        let user = self.accounts.user_by_login(login).await?;
        let account = match &user {
            Some(user) => AttemptName::user(user.id.as_str()),
            None => AttemptName::nobody(login.canonical()),
        };
        let check = async {
            let hash = user.as_ref().and_then(|user| user.password.as_ref());
            let checked = self.passwords.check(password, hash).await?;
            let may_log_in =
                |user: &User| user.state == UserState::Active && user.kind != UserKind::Anonymous;
            match (user, checked) {
                (Some(user), Checked::Right) if may_log_in(&user) => {
                    Ok(VerifiedUser { user, needs_rehash: false })
                }
                (Some(user), Checked::NeedsRehash) if may_log_in(&user) => {
                    Ok(VerifiedUser { user, needs_rehash: true })
                }
                _ => Err(IssueError::InvalidGrant),
            }
        };
        let counted = self.throttle.counted(&account, TooEarly::RefusedAsWrong, check).await;
        self.audit_lock(counted, &account, caller.address)
    }

    /// Records the login. Returns the user with the hash that the password has now.
    async fn record_login(&self, verified: VerifiedUser, password: &Secret) -> User {
        let VerifiedUser { mut user, needs_rehash } = verified;
        if needs_rehash {
            user.password = self.rehash(&user, password).await;
        }
        self.best_effort(self.accounts.record_login(&user.id, self.clock.now()).await);
        user
    }

    /// Ignores a failed record of a login, which must not refuse the login: a database may be read,
    /// and take no writes. It is logged once, and again after it has worked.
    fn best_effort(&self, outcome: Result<(), AccountError>) {
        let failed_before = self.recording_fails.swap(outcome.is_err(), Ordering::Relaxed);
        if let (Err(error), false) = (outcome, failed_before) {
            tracing::warn!(%error, "logins go on, but when they were cannot be noted");
        }
    }

    /// Makes the hash anew while the password is at hand; another time, where that does not work.
    /// Returns the stored hash, as far as it is one of this password.
    async fn rehash(&self, user: &User, password: &Secret) -> Option<Secret> {
        let old = user.password.clone();
        let hash = self.passwords.hash(password).await.map_err(IssueError::from);
        let Ok(hash) = hash.inspect_err(IssueError::log) else { return old };
        let now = self.clock.now();
        let set = self.accounts.set_password(&user.id, &hash, old.as_ref(), now).await;
        let is_set = matches!(set, Ok(true));
        self.best_effort(set.map(drop));
        if is_set {
            return Some(hash);
        }
        // Another login may have made it anew; or this one did, and was not told.
        let Ok(Some(stored)) = self.accounts.user(&user.id).await else { return old };
        if stored.password == old {
            return old;
        }
        let checked = self.passwords.check(password, stored.password.as_ref()).await;
        let is_right = matches!(checked, Ok(Checked::Right | Checked::NeedsRehash));
        if is_right { stored.password } else { old }
    }

    /// Writes an audit event if this failure began a lock.
    fn audit_lock<T>(
        &self,
        counted: Counted<T>,
        name: &AttemptName,
        address: Option<IpAddr>,
    ) -> Result<T, IssueError> {
        if counted.locks {
            self.audit.event(Event::TemporaryLock).login(name.as_str()).address(address).write();
        }
        counted.outcome
    }

    /// The API-key grant: a key, and the user whose it is.
    ///
    /// # Errors
    /// [`IssueError::InvalidGrant`] where the key is unknown or over, or its user may not log in.
    pub async fn api_key(
        &self,
        key: &Secret,
        params: GrantParams<'_>,
        caller: &Caller,
    ) -> Result<Issued, IssueError> {
        let outcome = self.api_key_unaudited(key, params, caller).await;
        self.tell("api_key", &outcome, caller, |refused| refused);
        outcome
    }

    async fn api_key_unaudited(
        &self,
        key: &Secret,
        params: GrantParams<'_>,
        caller: &Caller,
    ) -> Result<Issued, IssueError> {
        self.policy.check_audiences(params.client, &params.audiences)?;
        let found = self.api_keys.verify(key, caller).await?;
        let VerifiedKey { key, user } = &found;
        let met = key.bounds.check_owner(&self.policy.iss, user.id.as_str());
        met.map_err(|_| IssueError::InvalidGrant)?;
        if key.session.is_some() || key.bounds.depend_on_request() {
            return Err(IssueError::Forbidden(
                "this API key is bound to a session, a service, a path or an address, as no token \
                 is: send the key itself",
            ));
        }
        let subject = Subject { scopes: Some(found.scopes()), ..Subject::of_user(user) };
        let origin = Origin::Key { digest: key.digest.as_str().to_owned() };
        // jwthenticator writes whatever the caller says he is; here it is who the key was
        // registered for, by the same name.
        let identifier = Uuid::parse_str(user.id.as_str()).ok().map(|id| id.to_string());
        let (subject, grant, key) = (&subject, "api_key", Some(key.id.as_str()));
        let hash = None;
        let ask = IssueRequest { subject, params, grant, origin, key, identifier, hash, caller };
        self.opener.open(ask).await
    }

    /// The `client_credentials` grant (RFC 6749, section 4.4), for a client that showed who it is.
    ///
    /// # Errors
    /// [`IssueError`], where the scopes or the audience are not the client's.
    pub async fn client_credentials(
        &self,
        client: &Client,
        params: GrantParams<'_>,
        caller: &Caller,
    ) -> Result<Issued, IssueError> {
        let issue = async {
            self.policy.check_audiences(params.client, &params.audiences)?;
            let (subject, origin) = (&Subject::of_client(client)?, Origin::Client);
            let (grant, key, identifier, hash) = ("client_credentials", None, None, None);
            let ask =
                IssueRequest { subject, params, grant, origin, key, identifier, hash, caller };
            self.opener.open(ask).await
        };
        let outcome = issue.await;
        self.tell("client_credentials", &outcome, caller, |refused| {
            refused.client(Some(&client.id))
        });
        outcome
    }

    /// Counts the outcome of a grant, and audits a refusal, with the name that was shown.
    fn tell(
        &self,
        grant: &'static str,
        outcome: &Result<Issued, IssueError>,
        caller: &Caller,
        name: impl FnOnce(Entry<'_>) -> Entry<'_>,
    ) {
        if let Err(error) = outcome {
            let refused = name(self.audit.event(Event::LoginRefused)).error(error);
            refused.reason(grant).address(caller.address).write();
        }
        self.metrics.issued(grant, outcome.as_ref().err());
    }
}
