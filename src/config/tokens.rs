//! Configuration of tokens, before the keys are loaded.

use std::path::PathBuf;
use std::time::Duration;

use crate::token::jwks::Source;
use crate::token::{SessionRule, SigningKey, VerifyingKey};

/// An issuer, before its keys are loaded.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// The name in logs.
    pub name: String,
    /// The `iss` of its tokens; `None`: not checked.
    pub iss: Option<String>,
    /// The names of this service in `aud`.
    pub audiences: Vec<String>,
    /// The audience where none is named.
    pub default_audience: Option<String>,
    /// Says whether its tokens must declare that they are access tokens.
    pub at_jwt_only: bool,
    /// The prefix of its users' names.
    pub user_prefix: String,
    /// The time by which clocks may differ.
    pub leeway: Duration,
    /// The rule for `sid`.
    pub sessions: SessionRule,
    /// The place of its keys.
    pub keys: KeysConfig,
}

/// A place of keys.
#[derive(Clone, Debug)]
pub enum KeysConfig {
    /// In the configuration.
    Fixed(Vec<VerifyingKey>),
    /// Published.
    Published(Source),
    /// In the file of [`TokenConfig::ring`], private halves and all.
    Ring,
}

/// The kind of access tokens that clients are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenMode {
    /// The signed token itself.
    #[default]
    Jwt,
    /// A handle; the token never leaves the server.
    Opaque,
}

impl TokenMode {
    /// Reads the setting.
    ///
    /// # Errors
    /// The words that may be written instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "jwt" => Ok(Self::Jwt),
            "opaque" => Ok(Self::Opaque),
            _ => Err("write `jwt` or `opaque`"),
        }
    }
}

/// The section of tokens.
#[derive(Debug, Default)]
pub struct TokenConfig {
    /// The kind of access tokens that clients are given.
    pub mode: TokenMode,
    /// The issuers.
    pub issuers: Vec<IssuerConfig>,
    /// The key that signs; `None` also where there is a ring.
    pub signing: Option<SigningKey>,
    /// The file of our own keys, which rotate. It could be read.
    pub ring: Option<PathBuf>,
    /// The keys of our own issuer, which `/jwks` publishes.
    pub own_keys: Vec<VerifyingKey>,
}
