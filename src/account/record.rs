//! Accounts as they are kept: users, API keys, and the clients of OAuth.

use std::time::Duration;

use serde_json::{Map, Value};

use super::name::Login;
use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::session::UserId;

/// Somebody, or something, that can log in.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// A token's `sub`. Never changes, is never used again.
    pub id: UserId,
    /// The name that it logs in with, unique in its canonical form.
    pub username: Login,
    /// Its e-mail, with which it can log in too; unique among all usernames and e-mails.
    pub email: Option<Login>,
    /// Whether the e-mail was shown to be the user's.
    pub email_verified: bool,
    /// What people call it.
    pub full_name: Option<String>,
    /// What kind of user.
    pub kind: UserKind,
    /// Whether it may log in.
    pub state: UserState,
    /// What it is, for the applications.
    pub roles: Vec<String>,
    /// What it may be granted at most.
    pub scopes: Vec<String>,
    /// What else tokens say of it.
    pub claims: Map<String, Value>,
    /// The hash of its password in PHC or modular-crypt form; `None`: it cannot log in by password.
    pub password: Option<Secret>,
    /// When it was made.
    pub created: UnixTime,
    /// When anything of it was changed.
    pub updated: UnixTime,
    /// When it last logged in.
    pub last_login: Option<UnixTime>,
}

/// What kind of user it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserKind {
    /// Somebody.
    #[default]
    Person,
    /// A program.
    Service,
    /// Nobody in particular; never logs in by password.
    Anonymous,
}

impl UserKind {
    /// How stores and commands write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
            Self::Anonymous => "anonymous",
        }
    }

    /// What `as_str` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Person, Self::Service, Self::Anonymous];
        all.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Whether a user may log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserState {
    /// It may.
    #[default]
    Active,
    /// An administrator said no.
    Locked,
}

impl UserState {
    /// How stores and commands write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Locked => "locked",
        }
    }

    /// What `as_str` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Locked].into_iter().find(|state| state.as_str() == text)
    }
}

/// What the keys that are made here start with, so that people and scanners know one where they find
/// it. No other service may choose such a key.
pub const KEY_PREFIX: &str = "pk_";

/// A key that a program logs in with. The key itself is shown once and never kept.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKey {
    /// Its name, for people and commands; holds nothing of the key.
    pub id: String,
    /// Whose it is.
    pub user: UserId,
    /// The digest of the key that it is found by.
    pub digest: KeyDigest,
    /// What people call it.
    pub label: Option<String>,
    /// What it may be granted at most; empty: whatever its user may.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created: UnixTime,
    /// From this moment on it is of no use; `None`: never.
    pub expires: Option<UnixTime>,
    /// When it was last used.
    pub last_used: Option<UnixTime>,
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

    /// The digest that jwthenticator's database holds. Anything may stand there; what is no digest
    /// is found by no key.
    pub fn from_sha512_hex(hex: &str) -> Self {
        Self(format!("sha512:{}", hex.to_ascii_lowercase()))
    }

    /// As it is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a store has it.
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
    /// What people call it.
    pub label: Option<String>,
    /// The digests of its secrets; two while one is being replaced. Secrets are ours, long and
    /// random, so they are hashed as API keys are. Empty: a public client, or one with a key.
    pub secrets: Vec<ClientSecret>,
    /// The public keys (a JWK Set) by which it signs assertions (RFC 7523).
    pub jwks: Option<Value>,
    /// Which grants it may use, as in `grant_type`.
    pub grants: Vec<String>,
    /// What it may be granted at most.
    pub scopes: Vec<String>,
    /// Whom its tokens may be for, beside the usual audience.
    pub audiences: Vec<String>,
    /// Whether it may ask what any token is (RFC 7662).
    pub introspects: bool,
    /// When it was made.
    pub created: UnixTime,
}

/// One secret of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSecret {
    /// Its digest.
    pub digest: KeyDigest,
    /// From this moment on it is of no use; `None`: never.
    pub expires: Option<UnixTime>,
}

impl ClientSecret {
    /// Whether it is of use at `now`.
    pub fn is_live(&self, now: UnixTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl ApiKey {
    /// Whether it is of use at `now`.
    pub fn is_live(&self, now: UnixTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// How long an old client secret stays good beside its successor where nothing else is said.
pub const SECRET_OVERLAP: Duration = Duration::from_secs(24 * 3_600);
