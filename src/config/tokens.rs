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

/// What the settings and tables say about tokens.
#[derive(Debug, Default)]
pub struct TokenConfig {
    /// The issuers.
    pub issuers: Vec<IssuerConfig>,
    /// The key that signs; `None` also where there is a ring.
    pub signing: Option<SigningKey>,
    /// The file of our own keys, which rotate. It could be read.
    pub ring: Option<PathBuf>,
    /// The keys of our own issuer, which `/jwks` publishes.
    pub own_keys: Vec<VerifyingKey>,
}
