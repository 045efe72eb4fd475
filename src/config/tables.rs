//! `[[issuers]]` as it stands in the file.

use std::fmt::Display;
use std::path::PathBuf;

use serde::Deserialize;

/// One table, as it stands in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerTable {
    /// The name in logs; its `issuer` where it is not set.
    pub(super) name: Option<String>,
    /// The `iss` of its tokens.
    pub(super) issuer: String,
    /// The names of this service in `aud`.
    #[serde(default)]
    pub(super) audiences: Vec<String>,
    /// The algorithm of its key, and of published keys that name none.
    pub(super) algorithm: Option<String>,
    /// `required`, `when-present` or `ignored`.
    pub(super) session_rule: Option<String>,
    /// `any` or `at+jwt`.
    pub(super) access_token_type: Option<String>,
    /// The prefix of its users' names.
    pub(super) user_prefix: Option<String>,
    /// Its key, in PEM.
    pub(super) public_key: Option<String>,
    /// A file with its key.
    pub(super) public_key_file: Option<PathBuf>,
    /// A file with its shared secret.
    pub(super) secret_key_file: Option<PathBuf>,
    /// Its keys, where it has several.
    #[serde(default)]
    pub(super) keys: Vec<KeyTable>,
    /// A file with its published keys.
    pub(super) jwks_file: Option<PathBuf>,
    /// The URL where it publishes them.
    pub(super) jwks_url: Option<String>,
    /// The URL where it is asked about its tokens, which are opaque.
    pub(super) introspection_url: Option<String>,
    /// The client as which it is asked.
    pub(super) introspection_client_id: Option<String>,
    /// A file with that client's secret.
    pub(super) introspection_client_secret_file: Option<PathBuf>,
    /// The beginning of its opaque tokens.
    pub(super) token_prefix: Option<String>,
}

impl IssuerTable {
    /// Says whether it has keys, wherever they are.
    pub(super) fn has_keys(&self) -> bool {
        self.public_key.is_some()
            || self.public_key_file.is_some()
            || self.secret_key_file.is_some()
            || !self.keys.is_empty()
            || self.jwks_file.is_some()
            || self.jwks_url.is_some()
    }

    /// Says whether it has a part of what goes with `introspection_url`.
    pub(super) fn has_parts_of_introspection(&self) -> bool {
        self.token_prefix.is_some()
            || self.introspection_client_id.is_some()
            || self.introspection_client_secret_file.is_some()
    }
}

/// One of several keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyTable {
    /// The `kid` of its tokens; without it the key serves any.
    pub(super) kid: Option<String>,
    /// Its algorithm.
    pub(super) algorithm: String,
    /// The key, in PEM.
    pub(super) public_key: Option<String>,
    /// A file with the key.
    pub(super) public_key_file: Option<PathBuf>,
    /// A file with the shared secret.
    pub(super) secret_key_file: Option<PathBuf>,
}

/// The value of a field; none where it is not there, or is a mistake, which is told behind `name`.
pub(super) fn field<T, E: Display>(
    text: Option<&str>,
    parse: impl Fn(&str) -> Result<T, E>,
    name: &str,
    wrong: &mut impl FnMut(String),
) -> Option<T> {
    let read = text.map(parse)?;
    read.map_err(|problem| wrong(format!("{name}{problem}"))).ok()
}
