//! Accounts as they are stored: users, API keys, and the clients of OAuth.

use std::time::Duration;

use serde_json::{Map, Value};

use super::key_bounds::KeyBounds;
use super::name::Login;
use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::session::{SessionId, UserId};

/// A user: a person or a program that can log in.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// A token's `sub`. Never changes, is never used again.
    pub id: UserId,
    /// The name that it logs in with, unique in its canonical form.
    pub username: Login,
    /// Its e-mail, with which it can log in too; unique among all usernames and e-mails.
    pub email: Option<Login>,
    /// True where the e-mail was shown to be the user's.
    pub email_verified: bool,
    /// The name that people use for it.
    pub full_name: Option<String>,
    /// The kind of user.
    pub kind: UserKind,
    /// The right to log in, or not.
    pub state: UserState,
    /// Its roles, for applications.
    pub roles: Vec<String>,
    /// The most scopes that it may be granted.
    pub scopes: Vec<String>,
    /// More claims for its tokens.
    pub claims: Map<String, Value>,
    /// Notes of applications about it, and its own about itself; never claims of its tokens.
    pub properties: Map<String, Value>,
    /// The hash of its password in PHC or modular-crypt form; `None`: it cannot log in by password.
    pub password: Option<Secret>,
    /// The time at which it was made.
    pub created: UnixTime,
    /// The time of its last change.
    pub updated: UnixTime,
    /// The time of its last login.
    pub last_login: Option<UnixTime>,
    /// The time at which it was last sent a link that verifies its e-mail.
    pub verification_sent: Option<UnixTime>,
    /// The time at which it was last sent a link that resets its password.
    pub reset_sent: Option<UnixTime>,
}

impl User {
    /// A person of that name, who may log in but has no password yet, no scopes and no roles.
    pub fn new(id: UserId, username: Login, created: UnixTime) -> Self {
        Self {
            id,
            username,
            email: None,
            email_verified: false,
            full_name: None,
            kind: UserKind::Person,
            state: UserState::Active,
            roles: Vec::new(),
            scopes: Vec::new(),
            claims: Map::new(),
            properties: Map::new(),
            password: None,
            created,
            updated: created,
            last_login: None,
            verification_sent: None,
            reset_sent: None,
        }
    }

    /// All that it is called, which its password must not be like.
    pub fn names(&self) -> Vec<&str> {
        let email = self.email.as_ref().map(Login::as_str);
        let names = [Some(self.username.as_str()), email, self.full_name.as_deref()];
        names.into_iter().flatten().collect()
    }
}

/// The kind of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserKind {
    /// A person.
    #[default]
    Person,
    /// A program.
    Service,
    /// No person in particular; never logs in by password.
    Anonymous,
}

impl UserKind {
    /// Its name in stores and commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
            Self::Anonymous => "anonymous",
        }
    }

    /// Reads the text that `as_str` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Person, Self::Service, Self::Anonymous];
        all.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The right of a user to log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserState {
    /// It may log in.
    #[default]
    Active,
    /// It signed up, and has not yet shown that its e-mail is its own: it may not log in.
    Unverified,
    /// An administrator locked it.
    Locked,
}

impl UserState {
    /// Its name in stores and commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Unverified => "unverified",
            Self::Locked => "locked",
        }
    }

    /// Reads the text that `as_str` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Unverified, Self::Locked]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// A mail with a one-time link, of which a user's record keeps the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentMail {
    /// One that verifies the e-mail.
    Verification,
    /// One that resets the password.
    Reset,
}

/// The prefix of keys that are made here, so that people and scanners recognise one anywhere. No
/// other service may choose such a key.
pub const KEY_PREFIX: &str = "pk_";
/// The prefix of the tokens by which such keys are refreshed. They are never taken for keys.
pub const KEY_REFRESH_PREFIX: &str = "pr_";

/// A key that a program logs in with. The key itself is shown once and never kept.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKey {
    /// Its name, for people and commands; holds nothing of the key.
    pub id: String,
    /// Its owner.
    pub user: UserId,
    /// The digest of the key that it is found by.
    pub digest: KeyDigest,
    /// The name that people use for it.
    pub label: Option<String>,
    /// The most scopes that it may be granted; empty: all of its user's.
    pub scopes: Vec<String>,
    /// The session that it ends with; `None`: it stands by itself.
    pub session: Option<SessionId>,
    /// Its other bounds.
    pub bounds: KeyBounds,
    /// The version of the application's interface that it was made for. Nothing is decided by it.
    pub version: Option<String>,
    /// The time at which it was made.
    pub created: UnixTime,
    /// The time from which it can be used; `None`: at once.
    pub not_before: Option<UnixTime>,
    /// The time from which it cannot be used; `None`: never.
    pub expires: Option<UnixTime>,
    /// The time of its last use.
    pub last_used: Option<UnixTime>,
    /// Its refresh token, where it has one.
    pub refresh: Option<KeyRefresh>,
    /// The id of the key that took its place when it was refreshed.
    pub replaced_by: Option<String>,
}

/// The refresh token of an API key. It works once: another key, with another refresh token, takes
/// the place of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRefresh {
    /// The digest of the token that it is found by.
    pub digest: KeyDigest,
    /// The id of the first of all keys that were refreshed from one. They end together.
    pub family: String,
    /// The time from which it works; `None`: at once.
    pub not_before: Option<UnixTime>,
    /// The time from which it does not work.
    pub expires: UnixTime,
}

/// The reason why an API key cannot be used at some moment, whatever the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyUnusable {
    /// Another key took its place.
    #[error("the API key was refreshed: another one took its place")]
    Replaced,
    /// It may be used later.
    #[error("the API key may not be used yet")]
    NotYetValid,
    /// It is over.
    #[error("the API key has expired")]
    Expired,
}

/// The digest of an API key: the hash's name and lower-case hex, as in `sha512:9b71d2...`. Keys are
/// long and random, so one round of a plain hash is enough, and jwthenticator's can be taken over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyDigest(String);

impl KeyDigest {
    /// The digest of a key: jwthenticator's, SHA-512 over its UTF-8.
    pub fn of(key: &Secret) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, key.expose());
        Self::from_sha512_hex(&hex(digest.as_ref()))
    }

    /// The digest from jwthenticator's database. Any text may stand there; one that is no digest
    /// fits no key.
    pub fn from_sha512_hex(hex: &str) -> Self {
        Self(format!("sha512:{}", hex.to_ascii_lowercase()))
    }

    /// Its text, as stores keep it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the text of a store.
    pub fn from_store(text: String) -> Self {
        Self(text)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A program that asks for tokens (RFC 6749, section 2).
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Its `client_id`: printable ASCII, at most 128 bytes.
    pub id: String,
    /// The name that people use for it.
    pub label: Option<String>,
    /// The digests of its secrets; two while one is being replaced. Secrets are made here, long and
    /// random, so they are hashed as API keys are. Empty: a public client, or one with a key.
    pub secrets: Vec<ClientSecret>,
    /// The public keys (a JWK Set) by which it signs assertions (RFC 7523).
    pub jwks: Option<Value>,
    /// The grants that it may use, as in `grant_type`.
    pub grants: Vec<String>,
    /// The most scopes that it may be granted.
    pub scopes: Vec<String>,
    /// The audiences that its tokens may have, beside the usual one.
    pub audiences: Vec<String>,
    /// True where it may introspect any token (RFC 7662).
    pub introspects: bool,
    /// The time at which it was made.
    pub created: UnixTime,
}

/// One secret of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSecret {
    /// Its digest.
    pub digest: KeyDigest,
    /// The time from which it cannot be used; `None`: never.
    pub expires: Option<UnixTime>,
}

impl Client {
    /// Returns whether it can keep a secret, and so show who it is (RFC 6749, section 2.1).
    pub fn is_confidential(&self) -> bool {
        !self.secrets.is_empty() || self.jwks.is_some()
    }

    /// Returns whether it may use this grant.
    pub fn may_use(&self, grant: &str) -> bool {
        self.grants.iter().any(|own| own == grant)
    }
}

impl ClientSecret {
    /// Returns whether it can be used at `now`.
    pub fn is_live(&self, now: UnixTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl ApiKey {
    /// A key without label, bounds, end and refresh token, for all that its user may do.
    pub fn new(id: String, user: UserId, digest: KeyDigest, created: UnixTime) -> Self {
        Self {
            id,
            user,
            digest,
            label: None,
            scopes: Vec::new(),
            session: None,
            bounds: KeyBounds::default(),
            version: None,
            created,
            not_before: None,
            expires: None,
            last_used: None,
            refresh: None,
            replaced_by: None,
        }
    }

    /// The scopes that it may be granted of those of its user.
    pub fn narrow(&self, mut of_user: Vec<String>) -> Vec<String> {
        of_user.retain(|scope| self.scopes.is_empty() || self.scopes.contains(scope));
        of_user
    }

    /// Checks that it can be used at `now`.
    ///
    /// # Errors
    /// The reason why it cannot.
    pub fn check_usable(&self, now: UnixTime) -> Result<(), KeyUnusable> {
        if self.replaced_by.is_some() {
            Err(KeyUnusable::Replaced)
        } else if self.not_before.is_some_and(|not_before| now < not_before) {
            Err(KeyUnusable::NotYetValid)
        } else if self.expires.is_some_and(|expires| expires <= now) {
            Err(KeyUnusable::Expired)
        } else {
            Ok(())
        }
    }
}

/// The usual time for which an old client secret stays good beside its successor.
pub const SECRET_OVERLAP: Duration = Duration::from_secs(24 * 3_600);
