//! Configuration of tokens, before the keys are loaded.

use std::path::PathBuf;

use crate::gate::introspection::IntrospectedIssuer;
use crate::token::jwks::Source;
use crate::token::{Issuer, SigningKey, VerifyingKey};

/// The name of this service as an issuer where nobody gave it one.
pub(crate) const OWN_NAME: &str = "portcullis";

/// An issuer, before its keys are loaded.
pub type IssuerConfig = Issuer<KeysConfig>;

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
    /// The issuers that are asked about their tokens.
    pub introspected: Vec<IntrospectedIssuer>,
    /// The key that signs; `None` also where there is a ring.
    pub signing: Option<SigningKey>,
    /// The file of our own keys, which rotate. It could be read.
    pub ring: Option<PathBuf>,
    /// The keys of our own issuer, which `/jwks` publishes.
    pub own_keys: Vec<VerifyingKey>,
}

impl TokenConfig {
    /// The issuer whose keys were given to this service. One that publishes its keys is another service.
    pub fn own_issuer(&self) -> Option<&IssuerConfig> {
        self.issuers.iter().find(|issuer| !matches!(issuer.keys, KeysConfig::Published(_)))
    }
}
