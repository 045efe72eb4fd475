//! Logging in: by password, by API key, and clients for themselves.
//!
//! An unknown user, a wrong password, a locked account and one on which too much was tried under
//! another name cost the same questions and the same hash, and get the same answer.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use uuid::Uuid;

use super::Issuance;
use super::audit::Event;
use super::error::IssueError;
use super::hook::{Asked, HookAnswer};
use super::issue::{Issued, Origin, Wish};
use super::keys::is_generated_key;
use super::subject::Subject;
use super::terms::Caller;
use super::throttle::{AttemptName, Counted, Success, TooEarly};
use crate::account::password::Checked;
use crate::account::{AccountError, Client, KeyDigest, Login, User, UserKind, UserState};
use crate::secret::Secret;

/// What every grant may ask for.
#[derive(Clone, Debug, Default)]
pub struct Asking<'a> {
    /// The client, where it showed who it is.
    pub client: Option<&'a Client>,
    /// The scopes.
    pub scopes: Option<Vec<String>>,
    /// The audiences (RFC 8707).
    pub audiences: Vec<String>,
}

/// Who checks passwords.
#[derive(Debug)]
pub enum PasswordCheck {
    /// The built-in accounts.
    Accounts,
    /// The application.
    Hook(Box<super::hook::Hook>),
}

/// Somebody whose password was right.
struct Known {
    user: User,
    /// Whether the hash of it should be made anew.
    is_outdated: bool,
}

impl Issuance {
    /// The `password` grant (RFC 6749, section 4.3).
    ///
    /// # Errors
    /// [`IssueError`]; the same for an unknown user, a wrong password and a locked account.
    pub async fn password(
        &self,
        login: &str,
        password: &Secret,
        asking: Asking<'_>,
        caller: &Caller,
    ) -> Result<Issued, IssueError> {
        let outcome = self.password_unaudited(login, password, asking, caller).await;
        if let Some(error) = outcome.as_ref().err().filter(|error| error.is_told()) {
            let refused = self.audit.event(Event::LoginRefused).login(login).error(error);
            refused.reason("password").address(caller.address).write();
        }
        self.metrics.issued("password", outcome.as_ref().err());
        outcome
    }

    async fn password_unaudited(
        &self,
        login: &str,
        password: &Secret,
        asking: Asking<'_>,
        caller: &Caller,
    ) -> Result<Issued, IssueError> {
        self.check_target(&asking)?;
        // First, and whoever is named: in a flood nothing is asked of any store.
        if matches!(self.password_check, PasswordCheck::Accounts) && self.passwords.is_busy() {
            return Err(IssueError::Busy);
        }
        let check = async {
            let login = Login::parse(login).map_err(|_| IssueError::InvalidGrant)?;
            self.check_password(&login, password, &asking, caller).await
        };
        let (subject, origin) = self.throttle.within_budget(caller, Success::Costs, check).await?;
        self.open(wish(&subject, asking, origin, "password", caller), None).await
    }

    /// Whose name and password these are, if he may log in. Attempts are counted under what was
    /// written, of which anybody is told alike.
    async fn check_password(
        &self,
        login: &Login,
        password: &Secret,
        asking: &Asking<'_>,
        caller: &Caller,
    ) -> Result<(Subject, Origin), IssueError> {
        let name = AttemptName::written(login.canonical());
        match &self.password_check {
            PasswordCheck::Accounts => {
                let check = self.check_account(login, password, caller);
                let user = self.throttle.counted(&name, TooEarly::Told, check).await.outcome?;
                self.note_login(&user, password).await;
                Ok((Subject::of_user(&user.user), Origin::Account))
            }
            PasswordCheck::Hook(hook) => {
                let asked = Asked {
                    username: login.as_str(),
                    password,
                    scopes: asking.scopes.as_deref(),
                    client: asking.client.map(|client| client.id.as_str()),
                    caller,
                };
                let check = async {
                    match hook.ask(&asked, self.clock.now()).await? {
                        HookAnswer::Granted(subject) => Ok(subject),
                        HookAnswer::Refused => Err(IssueError::InvalidGrant),
                    }
                };
                let counted = self.throttle.counted(&name, TooEarly::Told, check).await;
                let subject = self.settled(counted, &name, caller.address)?;
                Ok((subject.clone(), Origin::Hook { subject }))
            }
        }
    }

    /// The user of that name and password, if he may log in. Attempts are counted under the user
    /// too, so that several names give no more of them; of that nobody is told.
    async fn check_account(
        &self,
        login: &Login,
        password: &Secret,
        caller: &Caller,
    ) -> Result<Known, IssueError> {
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
                    Ok(Known { user, is_outdated: false })
                }
                (Some(user), Checked::RightButOutdated) if may_log_in(&user) => {
                    Ok(Known { user, is_outdated: true })
                }
                _ => Err(IssueError::InvalidGrant),
            }
        };
        let counted = self.throttle.counted(&account, TooEarly::AsWrong, check).await;
        self.settled(counted, &account, caller.address)
    }

    async fn note_login(&self, known: &Known, password: &Secret) {
        if known.is_outdated {
            self.noted(self.rehash(&known.user, password).await);
        }
        self.noted(self.accounts.note_login(&known.user.id, self.clock.now()).await);
    }

    /// What is only noted about a login must not refuse it: a database may be read, and take no
    /// writes. It is told once, and again after it has worked.
    fn noted(&self, outcome: Result<(), AccountError>) {
        let were_lost = self.notes_are_lost.swap(outcome.is_err(), Ordering::Relaxed);
        if let (Err(error), false) = (outcome, were_lost) {
            tracing::warn!(%error, "logins go on, but when they were cannot be noted");
        }
    }

    /// Makes the hash anew while the password is at hand; another time, where that does not work.
    async fn rehash(&self, user: &User, password: &Secret) -> Result<(), AccountError> {
        let Ok(hash) = self.passwords.hash(password).await else { return Ok(()) };
        let (old, now) = (user.password.as_ref(), self.clock.now());
        self.accounts.set_password(&user.id, &hash, old, now).await.map(drop)
    }

    /// Tells of a lock that this failure began.
    fn settled<T>(
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
        asking: Asking<'_>,
        caller: &Caller,
    ) -> Result<Issued, IssueError> {
        let outcome = self.api_key_unaudited(key, asking, caller).await;
        if let Some(error) = outcome.as_ref().err().filter(|error| error.is_told()) {
            let refused = self.audit.event(Event::LoginRefused).error(error);
            refused.reason("api_key").address(caller.address).write();
        }
        self.metrics.issued("api_key", outcome.as_ref().err());
        outcome
    }

    async fn api_key_unaudited(
        &self,
        key: &Secret,
        asking: Asking<'_>,
        caller: &Caller,
    ) -> Result<Issued, IssueError> {
        self.check_target(&asking)?;
        let (digest, now) = (KeyDigest::of(key), self.clock.now());
        let check = async {
            let key = self.accounts.key(&digest).await?.filter(|key| key.is_live(now));
            let key = key.ok_or(IssueError::InvalidGrant)?;
            let user = self.accounts.user(&key.user).await?;
            let user = user.filter(|user| user.state == UserState::Active);
            Ok((key, user.ok_or(IssueError::InvalidGrant)?))
        };
        let (key, user) = self.throttle.secret(is_generated_key(key), caller, check).await?;
        self.noted(self.accounts.note_key_use(&key.id, now).await);
        let mut subject = Subject::of_user(&user);
        if !key.scopes.is_empty() {
            let of_user = subject.scopes.take().unwrap_or_default();
            let both = of_user.into_iter().filter(|scope| key.scopes.contains(scope)).collect();
            subject.scopes = Some(both);
        }
        let origin = Origin::Key { digest: digest.as_str().to_owned() };
        // jwthenticator writes whatever the caller says he is; here it is who the key was
        // registered for, by the same name.
        let identifier = Uuid::parse_str(user.id.as_str()).ok().map(|id| id.to_string());
        let wish = Wish { key: Some(&key.id), ..wish(&subject, asking, origin, "api_key", caller) };
        self.open(wish, identifier).await
    }

    /// The `client_credentials` grant (RFC 6749, section 4.4), for a client that showed who it is.
    ///
    /// # Errors
    /// [`IssueError`], where the scopes or the audience are not the client's.
    pub async fn client_credentials(
        &self,
        client: &Client,
        asking: Asking<'_>,
        caller: &Caller,
    ) -> Result<Issued, IssueError> {
        let issue = async {
            self.check_target(&asking)?;
            let subject = Subject::of_client(client)?;
            let wish = wish(&subject, asking, Origin::Client, "client_credentials", caller);
            self.open(wish, None).await
        };
        let outcome = issue.await;
        if let Some(error) = outcome.as_ref().err().filter(|error| error.is_told()) {
            let refused = self.audit.event(Event::LoginRefused).client(Some(&client.id));
            refused.reason("client_credentials").error(error).address(caller.address).write();
        }
        self.metrics.issued("client_credentials", outcome.as_ref().err());
        outcome
    }

    fn check_target(&self, asking: &Asking<'_>) -> Result<(), IssueError> {
        self.check_audiences(asking.client, &asking.audiences)
    }

    /// Whether tokens for these audiences may be issued to this client.
    pub(super) fn check_audiences(
        &self,
        client: Option<&Client>,
        audiences: &[String],
    ) -> Result<(), IssueError> {
        let of_client = client.map_or(&[][..], |client| client.audiences.as_slice());
        let is_known =
            |name: &String| self.terms.audiences.contains(name) || of_client.contains(name);
        if audiences.iter().all(is_known) { Ok(()) } else { Err(IssueError::InvalidTarget) }
    }
}

fn wish<'a>(
    subject: &'a Subject,
    asking: Asking<'a>,
    origin: Origin,
    grant: &'static str,
    caller: &'a Caller,
) -> Wish<'a> {
    Wish {
        subject,
        client: asking.client,
        scopes: asking.scopes,
        audiences: asking.audiences,
        grant,
        origin,
        key: None,
        caller,
    }
}
