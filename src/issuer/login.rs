//! Logging in: by password, by API key, and clients for themselves.
//!
//! An unknown user, a wrong password and a locked account cost the same questions and the same
//! hash, and get the same answer.

use std::net::IpAddr;

use uuid::Uuid;

use super::Issuance;
use super::audit::Event;
use super::error::IssueError;
use super::hook::{Asked, HookAnswer};
use super::issue::{Issued, Origin, Wish};
use super::subject::Subject;
use super::terms::Caller;
use super::throttle::{AccountName, Attempt};
use crate::account::password::{Checked, PasswordError};
use crate::account::{Client, KeyDigest, Login, User, UserKind, UserState};
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
    Hook(super::hook::Hook),
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
        self.throttle.address(caller).await?;
        let login = Login::parse(login).map_err(|_| IssueError::InvalidGrant)?;
        let (subject, origin) = match &self.password_check {
            PasswordCheck::Accounts => {
                let user = self.check_password(&login, password, caller).await?;
                (Subject::of_user(&user), Origin::Account)
            }
            PasswordCheck::Hook(hook) => {
                let account = AccountName::unknown(login.canonical());
                let attempt = self.throttle.attempt(&account).await?;
                let asked = Asked {
                    username: login.as_str(),
                    password,
                    scopes: asking.scopes.as_deref(),
                    client: asking.client.map(|client| client.id.as_str()),
                    caller,
                };
                let subject = match hook.ask(&asked, self.clock.now()).await? {
                    HookAnswer::Granted(subject) => subject,
                    HookAnswer::Refused => {
                        return Err(self.failed(&account, attempt, caller.address));
                    }
                };
                self.throttle.succeeded(&account).await?;
                (subject.clone(), Origin::Hook { subject })
            }
        };
        self.open(wish(&subject, asking, origin, "password", caller), None).await
    }

    /// The user of that name and password, if he may log in.
    async fn check_password(
        &self,
        login: &Login,
        password: &Secret,
        caller: &Caller,
    ) -> Result<User, IssueError> {
        let user = self.accounts.user_by_login(login).await?;
        let account = match &user {
            Some(user) => AccountName::user(user.id.as_str()),
            None => AccountName::unknown(login.canonical()),
        };
        // Before the attempt is counted: nothing would have been checked.
        if self.passwords.is_busy() {
            return Err(IssueError::Busy);
        }
        let attempt = self.throttle.attempt(&account).await?;
        let hash = user.as_ref().and_then(|user| user.password.as_ref());
        let checked = self.passwords.check(password, hash).await?;
        let may_log_in =
            |user: &User| user.state == UserState::Active && user.kind != UserKind::Anonymous;
        let user = match (user, checked) {
            (Some(user), Checked::Right | Checked::RightButOutdated) if may_log_in(&user) => user,
            _ => return Err(self.failed(&account, attempt, caller.address)),
        };
        if checked == Checked::RightButOutdated {
            self.rehash(&user, password).await?;
        }
        self.accounts.note_login(&user.id, self.clock.now()).await?;
        self.throttle.succeeded(&account).await?;
        Ok(user)
    }

    /// Makes the hash anew while the password is at hand; another time, where too many wait.
    async fn rehash(&self, user: &User, password: &Secret) -> Result<(), IssueError> {
        let hash = match self.passwords.hash(password).await {
            Err(PasswordError::Busy) => return Ok(()),
            hash => hash?,
        };
        let (old, now) = (user.password.as_ref(), self.clock.now());
        self.accounts.set_password(&user.id, &hash, old, now).await?;
        Ok(())
    }

    /// Tells of a lock that this failure began, and refuses.
    fn failed(
        &self,
        account: &AccountName,
        attempt: Attempt,
        address: Option<IpAddr>,
    ) -> IssueError {
        if attempt.is_last {
            self.audit.event(Event::TemporaryLock).login(account.as_str()).address(address).write();
        }
        IssueError::InvalidGrant
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
        let outcome = match self.api_key_unaudited(key, asking, caller).await {
            Err(error) => Err(self.throttle.failure(error, caller).await),
            issued => issued,
        };
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
        let digest = KeyDigest::of(key);
        let now = self.clock.now();
        let key = self.accounts.key(&digest).await?.filter(|key| key.is_live(now));
        let key = key.ok_or(IssueError::InvalidGrant)?;
        let user = self.accounts.user(&key.user).await?;
        let user =
            user.filter(|user| user.state == UserState::Active).ok_or(IssueError::InvalidGrant)?;
        self.accounts.note_key_use(&key.id, now).await?;
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
        self.open(wish(&subject, asking, origin, "api_key", caller), identifier).await
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
        caller,
    }
}
