//! ACCOUNTS_URL, and the rules of passwords.

use std::fmt;
use std::path::PathBuf;

use super::reader::Reader;
use super::settings::{self, Setting};
use super::store::{EMBEDDED_FILE, StoreConfig, sqlite_path, url};
use super::tokens::{OWN_NAME, TokenConfig};
use crate::account::password::HashConfig;
use crate::account::policy::PasswordPolicy;
use crate::issuer::users::breaches::{BreachConfig, Breaches};
use crate::issuer::users::password_rules::PasswordRules;
use crate::secret::Secret;

/// The accounts' section.
#[derive(Clone, Debug)]
pub struct AccountsConfig {
    /// The store.
    pub store: AccountStoreConfig,
    /// The folder that may be made for them.
    pub data_dir: PathBuf,
    /// The cost of a password's hash.
    pub hashing: HashConfig,
    /// The rules of new passwords.
    pub policy: PasswordPolicy,
    /// The hosts of this service, which a new password must not be like.
    pub hosts: Vec<String>,
    /// The list of stolen passwords, if one is asked.
    pub breaches: Option<BreachConfig>,
}

impl AccountsConfig {
    /// The rules of new passwords, and the hosts that they must not be like.
    ///
    /// # Errors
    /// The system has no certificate authorities by which the list of stolen passwords is known.
    pub fn password_rules(&self) -> std::io::Result<PasswordRules> {
        let breaches = self.breaches.clone().map(Breaches::new).transpose()?;
        Ok(PasswordRules { policy: self.policy, hosts: self.hosts.clone(), breaches })
    }
}

/// The issuer whose users the accounts are, for the gate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountsIssuer {
    /// Its name.
    pub iss: String,
    /// The prefix of its users' names.
    pub user_prefix: String,
}

/// A store of accounts.
#[derive(Clone, Debug)]
pub enum AccountStoreConfig {
    /// A file on this host, which several processes, and the sessions, may share.
    Sqlite(PathBuf),
    /// A PostgreSQL database; its URL, with its credentials.
    Postgres(Secret),
}

impl fmt::Display for AccountStoreConfig {
    /// Its kind and its place, without the credentials of its URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite {}", path.display()),
            Self::Postgres(url) => {
                f.write_str(&crate::store::postgres::check(url).unwrap_or_default())
            }
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, sessions: &StoreConfig) -> AccountsConfig {
    AccountsConfig {
        store: store(reader, sessions),
        data_dir: reader.get(settings::DATA_DIR),
        hashing: hashing(reader),
        policy: password_policy(reader),
        hosts: hosts(reader),
        breaches: breaches(reader),
    }
}

/// The list of stolen passwords. The prefix is the last part of its path.
fn breaches(reader: &mut Reader<'_>) -> Option<BreachConfig> {
    let url = reader.get(settings::PASSWORD_BREACH_URL)?;
    Some(BreachConfig {
        url: format!("{}/", url.as_str().trim_end_matches('/')),
        least: reader.get(settings::PASSWORD_BREACH_MIN),
        timeout: reader.get(settings::PASSWORD_BREACH_TIMEOUT),
        is_required: reader.get(settings::PASSWORD_BREACH_REQUIRED),
    })
}

/// The rules in force: by settings of their own, or by authnzerver's, which has all of them.
fn password_policy(reader: &mut Reader<'_>) -> PasswordPolicy {
    let all = reader.get(settings::AUTHNZERVER_PASSPOLICY).unwrap_or_default();
    let (similarity, frequency) = (all.max_similarity_percent, all.max_character_frequency);
    PasswordPolicy {
        min_length: agreed(reader, settings::PASSWORD_MIN_LENGTH, all.min_length),
        max_similarity_percent: agreed(reader, settings::PASSWORD_MAX_SIMILARITY, similarity),
        max_character_frequency: agreed(reader, settings::PASSWORD_MAX_CHAR_FREQUENCY, frequency),
    }
}

/// The value that was set, in whichever of two ways; where in both, it must be the same.
fn agreed<T: Default + PartialEq>(
    reader: &mut Reader<'_>,
    setting: Setting<T>,
    other: Option<T>,
) -> T {
    let own = reader.get(setting);
    let Some(other) = other else { return own };
    if reader.is_set(setting) && own != other {
        reader.wrong(setting, "disagrees with AUTHNZERVER_PASSPOLICY; set one of them");
    }
    other
}

/// The hosts that PUBLIC_URL and ISSUER name. An address is in no password.
fn hosts(reader: &mut Reader<'_>) -> Vec<String> {
    let named = [reader.get(settings::PUBLIC_URL), reader.if_set(settings::ISSUER).flatten()];
    let urls = named.iter().flatten().filter_map(|text| url::Url::parse(text).ok());
    let mut hosts: Vec<String> = urls.filter_map(|url| url.domain().map(str::to_owned)).collect();
    hosts.dedup();
    hosts
}

/// The issuer whose users the accounts are: a configured one, this service itself, or one of a name of
/// its own. A user of the accounts must not be taken for one of another issuer.
pub(super) fn issuer(
    reader: &mut Reader<'_>,
    tokens: &TokenConfig,
    issued: Option<&str>,
    is_asked_for: bool,
) -> AccountsIssuer {
    let own = tokens.own_issuer().map(|own| own.iss.as_deref().unwrap_or(OWN_NAME));
    let named = reader.get(settings::ACCOUNTS_ISSUER);
    let Some(iss) = named.as_deref().or(issued).or(own) else {
        if is_asked_for {
            let problem = "say whose users the accounts are: the name of the issuer whose accounts \
                           they are, or another name for them";
            reader.wrong(settings::ACCOUNTS_ISSUER, problem);
        }
        return AccountsIssuer::default();
    };
    let iss = iss.to_owned();
    let configured = tokens.issuers.iter().find(|it| it.iss.as_deref().unwrap_or(OWN_NAME) == iss);
    let user_prefix = match configured {
        Some(issuer) => issuer.user_prefix.clone(),
        None => reader.get(settings::ACCOUNTS_USER_PREFIX),
    };
    let others = tokens.issuers.iter().map(|issuer| &issuer.user_prefix);
    let is_alike =
        |other: &String| other.starts_with(&user_prefix) || user_prefix.starts_with(other.as_str());
    if is_asked_for && configured.is_none() && { others }.any(is_alike) {
        reader.warn(
            settings::ACCOUNTS_USER_PREFIX,
            "users of the accounts may be named as those of another issuer, and X-Auth-User does not \
             tell them apart: give both prefixes of which none is the beginning of the other",
        );
    }
    AccountsIssuer { iss, user_prefix }
}

/// Marks the issuer whose users the accounts are: only its word on roles is that of the accounts. Where
/// several issuers are accepted, one of them is it only where it is said which.
pub(super) fn mark_issuer(
    reader: &Reader<'_>,
    tokens: &mut TokenConfig,
    accounts: &AccountsIssuer,
    issues: bool,
) {
    let is_said = issues || reader.is_set(settings::ACCOUNTS_ISSUER);
    if !is_said && !reader.sources().issuers.is_empty() {
        return;
    }
    for issuer in &mut tokens.issuers {
        issuer.has_accounts = issuer.iss.as_deref().unwrap_or(OWN_NAME) == accounts.iss;
    }
}

fn store(reader: &mut Reader<'_>, sessions: &StoreConfig) -> AccountStoreConfig {
    let embedded = AccountStoreConfig::Sqlite(match sessions {
        StoreConfig::Sqlite(path) => path.clone(),
        StoreConfig::Redis { .. } | StoreConfig::Memcached(_) | StoreConfig::Memory => {
            reader.get(settings::DATA_DIR).join(EMBEDDED_FILE)
        }
    });
    let Some(url) = url(reader, settings::ACCOUNTS_URL) else {
        return embedded;
    };
    match url.expose_str().unwrap_or_default().split_once(':') {
        Some(("sqlite", path)) => {
            AccountStoreConfig::Sqlite(sqlite_path(reader, settings::ACCOUNTS_URL, path))
        }
        Some(("postgres" | "postgresql", _)) => {
            reader.good(settings::ACCOUNTS_URL, crate::store::postgres::check(&url));
            AccountStoreConfig::Postgres(url)
        }
        _ => {
            reader.wrong(
                settings::ACCOUNTS_URL,
                "is of no kind that is known; write sqlite:PATH, or \
                 postgres://USER:PASSWORD@HOST:PORT/DATABASE",
            );
            embedded
        }
    }
}

fn hashing(reader: &mut Reader<'_>) -> HashConfig {
    let lanes = reader.get(settings::PASSWORD_LANES);
    let memory_kib = reader.get(settings::PASSWORD_MEMORY_KIB);
    if memory_kib < 8 * lanes {
        let problem = "is less than 8 KiB for each of PASSWORD_LANES";
        reader.wrong(settings::PASSWORD_MEMORY_KIB, problem);
    }
    let threads = reader.get(settings::PASSWORD_THREADS);
    HashConfig {
        memory_kib,
        passes: reader.get(settings::PASSWORD_PASSES),
        lanes,
        threads: if threads == 0 { HashConfig::default().threads } else { threads },
        queue: reader.get(settings::PASSWORD_QUEUE),
    }
}
