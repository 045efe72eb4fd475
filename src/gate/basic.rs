//! HTTP Basic (RFC 7617): a user of the built-in accounts shows name and password in every request.
//!
//! A password is hashed once, not for every request: what was found good is cached under a keyed
//! digest of name and password, and is good as long as the user and the stored hash are the same.
//! The key is random and of this process alone, so that nothing in its memory lets anybody guess
//! passwords faster than by the hash itself. No password is kept.
//!
//! Guessing is limited where passwords are checked, as at a login: see [`PasswordVerifier`].

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::account::identity;
use super::denial::{Denial, DenialCode};
use crate::account::{AccountError, AccountStore, Login, User, UserKind, UserState};
use crate::secret::{Random, RandomFailed, Secret};
use crate::session::UserId;
use crate::token::{Issuer, TokenError, Verified};

/// The most users that are read again at once.
const MAX_READS: usize = 64;

/// The check of passwords, which counts every attempt as one at a login.
#[async_trait]
pub trait PasswordVerifier: Send + Sync + fmt::Debug {
    /// The user of that name and password, if he may log in. `client` is the address whose attempts
    /// are counted.
    ///
    /// # Errors
    /// [`PasswordRefused`]; the same, after the same time, for an unknown user, a wrong password and
    /// a locked user.
    async fn verify(
        &self,
        login: &str,
        password: &Secret,
        client: Option<IpAddr>,
    ) -> Result<User, PasswordRefused>;
}

/// The reason why a password is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRefused {
    /// It is wrong, or there is no such user, or he may not log in.
    #[error("the user name or the password is wrong, or the user may not log in")]
    Wrong,
    /// Too much was tried by this address, or under this name.
    #[error("too much was tried; wait {retry_after} s")]
    TooMany {
        /// The seconds after which trying again may help.
        retry_after: u64,
    },
    /// Too many passwords are being checked.
    #[error("too many passwords are being checked")]
    Busy,
    /// A store did not answer.
    #[error("it cannot be checked now")]
    Unavailable,
}

/// A name and a password, as a client sent them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicCredentials {
    login: String,
    password: Secret,
}

impl BasicCredentials {
    /// Reads what stands behind the scheme: base64 of UTF-8 with a colon behind the name, and
    /// without control characters (RFC 7617, section 2). The password may hold more colons.
    ///
    /// # Errors
    /// [`DenialCode::MalformedCredentials`] for anything else.
    pub fn parse(encoded: &str) -> Result<Self, DenialCode> {
        let malformed = DenialCode::MalformedCredentials;
        let decoded = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| malformed)?);
        let text = std::str::from_utf8(&decoded).map_err(|_| malformed)?;
        let (login, password) = text.split_once(':').ok_or(malformed)?;
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(malformed);
        }
        Ok(Self { login: login.to_owned(), password: Secret::new(password) })
    }
}

/// The evidence by which a password counts as right until something changes: the user, and a keyed
/// digest of the hash that it was compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordEvidence {
    user: UserId,
    hash: [u8; 32],
}

/// The accounts whose users may send their passwords.
pub struct BasicAccounts {
    accounts: Arc<dyn AccountStore>,
    passwords: Arc<dyn PasswordVerifier>,
    /// The issuer that stands for the accounts: its name, and the prefix of its users.
    issuer: Arc<Issuer>,
    key: hmac::Key,
    reads: Semaphore,
}

impl fmt::Debug for BasicAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAccounts").field("accounts", &self.accounts).finish_non_exhaustive()
    }
}

/// The reason why a name and a password are not good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BasicError {
    /// The check refused them, or could not be made.
    #[error(transparent)]
    Refused(#[from] PasswordRefused),
    /// What is kept about the user is no identity.
    #[error(transparent)]
    Claims(#[from] TokenError),
    /// The store cannot say; this is never a yes.
    #[error(transparent)]
    Store(#[from] AccountError),
    /// Too many users are read already, or the store takes too long.
    #[error("the account store did not answer in time, or too many wait for it")]
    Busy,
}

impl BasicAccounts {
    /// The users of these accounts, whose passwords are checked by `passwords`.
    ///
    /// # Errors
    /// [`RandomFailed`] where there is no key for the digests.
    pub fn new(
        accounts: Arc<dyn AccountStore>,
        passwords: Arc<dyn PasswordVerifier>,
        issuer: Arc<Issuer>,
        random: &dyn Random,
    ) -> Result<Self, RandomFailed> {
        let mut bytes = Zeroizing::new([0; 32]);
        random.fill(&mut *bytes)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*bytes);
        Ok(Self { accounts, passwords, issuer, key, reads: Semaphore::new(MAX_READS) })
    }

    /// The digest of name and password, under which they are cached and asked about once.
    pub(super) fn digest(&self, credentials: &BasicCredentials) -> [u8; 32] {
        self.keyed(&[credentials.login.as_bytes(), credentials.password.expose()])
    }

    /// The identity of the user with that name and password, which are checked now.
    ///
    /// # Errors
    /// The reason why they are not good.
    pub async fn verify(
        &self,
        credentials: &BasicCredentials,
        client: Option<IpAddr>,
    ) -> Result<(Verified, PasswordEvidence), BasicError> {
        let BasicCredentials { login, password } = credentials;
        let user = self.passwords.verify(login, password, client).await?;
        let hash = user.password.as_ref().map(Secret::expose).unwrap_or_default();
        let evidence = PasswordEvidence { user: user.id.clone(), hash: self.keyed(&[hash]) };
        Ok((self.identity(&user)?, evidence))
    }

    /// The identity as it is now of a user whose password was found right before: he is read again,
    /// and nothing is hashed. `None` where the password must be checked anew, since the name is
    /// another user's or nobody's, the user may not log in, or his stored hash is another one.
    ///
    /// # Errors
    /// The store does not say within `timeout`, the wait for a turn to ask included.
    pub(super) async fn recheck(
        &self,
        credentials: &BasicCredentials,
        evidence: &PasswordEvidence,
        timeout: Duration,
    ) -> Result<Option<Verified>, BasicError> {
        let Ok(login) = Login::parse(&credentials.login) else { return Ok(None) };
        let read = async {
            let _permit = self.reads.acquire().await.map_err(|_| BasicError::Busy)?;
            Ok::<_, BasicError>(self.accounts.user_by_login(&login).await?)
        };
        let found = tokio::time::timeout(timeout, read).await.map_err(|_| BasicError::Busy)??;
        let same = found.filter(|user| may_log_in(user) && self.is_evidence_of(evidence, user));
        same.map(|user| self.identity(&user)).transpose().map_err(BasicError::from)
    }

    fn is_evidence_of(&self, evidence: &PasswordEvidence, user: &User) -> bool {
        let hash = user.password.as_ref().map(Secret::expose);
        evidence.user == user.id && hash.is_some_and(|hash| self.keyed(&[hash]) == evidence.hash)
    }

    fn identity(&self, user: &User) -> Result<Verified, TokenError> {
        identity(&self.issuer, user, &user.scopes, None)
    }

    /// The keyed digest of these parts. Each stands behind its length, so that no two lists of parts
    /// are one text.
    fn keyed(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

fn may_log_in(user: &User) -> bool {
    user.state == UserState::Active && user.kind != UserKind::Anonymous
}

impl From<BasicError> for Denial {
    fn from(error: BasicError) -> Self {
        match error {
            BasicError::Refused(PasswordRefused::Wrong) => DenialCode::WrongPassword.into(),
            BasicError::Refused(PasswordRefused::TooMany { retry_after }) => {
                Self { retry_after: Some(retry_after), ..DenialCode::TooManyAttempts.into() }
            }
            BasicError::Refused(PasswordRefused::Busy) => DenialCode::PasswordsBusy.into(),
            BasicError::Claims(error) => DenialCode::from(error).into(),
            BasicError::Refused(PasswordRefused::Unavailable)
            | BasicError::Store(_)
            | BasicError::Busy => DenialCode::StoreUnavailable.into(),
        }
    }
}

#[cfg(test)]
mod tests;
