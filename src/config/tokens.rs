//! What is configured about tokens, before the keys are brought to life.

use std::path::PathBuf;
use std::time::Duration;

use crate::token::jwks::Source;
use crate::token::{SessionRule, SigningKey, VerifyingKey};

/// An issuer, before its keys are brought to life.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// How logs call it.
    pub name: String,
    /// The `iss` of its tokens; `None`: not checked.
    pub iss: Option<String>,
    /// The names of this service in `aud`.
    pub audiences: Vec<String>,
    /// What `aud` may hold where no audience is named.
    pub default_audience: Option<String>,
    /// Whether its tokens must declare that they are access tokens.
    pub at_jwt_only: bool,
    /// What stands before its users' names.
    pub user_prefix: String,
    /// By how much clocks may differ.
    pub leeway: Duration,
    /// What `sid` means.
    pub sessions: SessionRule,
    /// Where its keys are.
    pub keys: KeysConfig,
}

/// Where keys are.
#[derive(Clone, Debug)]
pub enum KeysConfig {
    /// In the configuration.
    Fixed(Vec<VerifyingKey>),
    /// Published.
    Published(Source),
    /// In the file of [`TokenConfig::ring`], private halves and all.
    Ring,
}

/// What clients are given for an access token.
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
    /// What may be written instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "jwt" => Ok(Self::Jwt),
            "opaque" => Ok(Self::Opaque),
            _ => Err("write `jwt` or `opaque`"),
        }
    }
}

/// What the settings and tables say about tokens.
#[derive(Debug, Default)]
pub struct TokenConfig {
    /// What clients are given.
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
