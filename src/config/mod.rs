//! The configuration: file, environment and flags in, typed sections out, or every mistake at once.
//!
//! It imports the types of the domain and never the reverse, so that everything else can be
//! tested and embedded without a single environment variable.

mod accounts;
mod audit;
mod authnzerver;
mod authorizer;
mod casbin;
mod file_permissions;
mod gate;
mod hook;
mod introspection;
mod issuance;
mod issuer_conflicts;
mod issuers;
mod jwks;
mod key_material;
mod keys;
mod lifetimes;
mod listeners;
mod login_page;
mod mail;
mod mistakes;
mod names;
mod pass_policy;
mod policy;
mod policy_test;
mod reader;
mod refused;
mod sessions;
mod setting;
pub mod settings;
mod signer;
mod sources;
mod store;
mod tables;
mod texts;
mod tokens;
mod values;
mod web;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use accounts::{AccountStoreConfig, AccountsConfig, AccountsIssuer};
pub use audit::AuditConfig;
pub use authnzerver::WireConfig;
pub use gate::{DpopConfig, GateConfig};
pub use issuance::IssuanceConfig;
pub use lifetimes::RotationConfig;
pub use mail::MailConfig;
pub use mistakes::Mistakes;
pub use policy::{Expectation, ExpectedCase, PolicyConfig, PolicySet, PolicySource};
pub use policy_test::PolicyTest;
use reader::{Reader, load};
pub use sessions::SessionConfig;
pub use signer::{DEV_ISSUER_FILE, DEV_KEY_ALGORITHM, DEV_KEY_FILE};
pub use sources::Sources;
pub use store::StoreConfig;
pub(crate) use texts::MIN_TOKEN_BYTES;
pub(crate) use tokens::OWN_NAME;
pub use tokens::{IssuerConfig, KeysConfig, TokenConfig, TokenMode};

use crate::gate::cached_decision::CacheConfig;
use crate::policy::CasbinInForce;
use crate::secret::pseudonym::Pseudonyms;
use crate::server::{Limits, ListenerConfig};
use crate::telemetry::logs::LogConfig;

/// Everything that was configured, checked.
#[derive(Debug)]
pub struct Config {
    /// The accepted issuers, and the key that signs.
    pub tokens: TokenConfig,
    /// The longest token that is read, in bytes.
    pub max_token_bytes: usize,
    /// The store of sessions, and the rules by which they are read.
    pub sessions: SessionConfig,
    /// The store of users, API keys and clients, and the rules of passwords.
    pub accounts: AccountsConfig,
    /// The issuer whose users the accounts are.
    pub accounts_issuer: AccountsIssuer,
    /// Limits of the cache.
    pub cache: CacheConfig,
    /// The gate, and its addresses.
    pub gate: GateConfig,
    /// The listener of the metrics.
    pub metrics_listen: ListenerConfig,
    /// Limits of what clients may do.
    pub limits: Limits,
    /// The time that a stop waits.
    pub shutdown_grace: Duration,
    /// The log's format and filter.
    pub logs: LogConfig,
    /// The maker of what logs have in place of names and addresses.
    pub pseudonyms: Pseudonyms,
    /// The folder where `dev` and the embedded store keep files.
    pub data_dir: PathBuf,
    /// The issuer, where this process is one.
    pub issuance: Option<IssuanceConfig>,
    /// Warnings: what is allowed, but may not be meant; a line each.
    pub warnings: Vec<String>,
}

/// The use that a configuration is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A server. It never takes the key that `dev` made unasked, since everybody who tried `dev`
    /// here could sign with it.
    Serve,
    /// `dev`, which takes its own key where none is configured.
    Dev,
    /// A command that opens no listener; it may be used beside `dev`.
    Command,
}

/// Settings that `dev` looks at before everything is checked, since it makes what is missing.
#[derive(Clone, Debug)]
pub struct BeforeDev {
    /// The folder of its files.
    pub data_dir: PathBuf,
    /// Says whether no key is configured.
    pub needs_key: bool,
    /// Says whether the operator chose a staleness.
    pub has_staleness: bool,
    /// Says whether the operator has accounts somewhere.
    pub has_accounts: bool,
}

impl Config {
    /// Reads and checks everything for `serve`.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn load(sources: &Sources) -> Result<Self, Mistakes> {
        load(sources, |reader| Self::assemble(reader, Purpose::Serve))
    }

    /// The same for `dev`.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn load_dev(sources: &Sources) -> Result<Self, Mistakes> {
        load(sources, |reader| Self::assemble(reader, Purpose::Dev))
    }

    /// The same for a command that opens no listener.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn load_for_command(sources: &Sources) -> Result<Self, Mistakes> {
        load(sources, |reader| Self::assemble(reader, Purpose::Command))
    }

    /// Reads and checks what commands need that only look after sessions: no key, no address.
    ///
    /// # Errors
    /// All mistakes in these together.
    pub fn load_sessions(sources: &Sources) -> Result<SessionConfig, Mistakes> {
        load(sources, |reader| sessions::read(reader).0)
    }

    /// Reads and checks what concerns the rotation of keys, whatever keys there are now.
    ///
    /// # Errors
    /// All mistakes in these together.
    pub fn load_rotation(sources: &Sources) -> Result<RotationConfig, Mistakes> {
        load(sources, RotationConfig::read)
    }

    /// Reads and checks the policy, and the cases of a file that it is expected to decide.
    ///
    /// # Errors
    /// All mistakes in both together.
    pub fn load_policy_test(sources: &Sources, cases: &Path) -> Result<PolicyTest, Mistakes> {
        let (test, mistakes) = reader::read(sources, |reader| PolicyTest::read(reader, cases));
        test.filter(|_| mistakes.is_empty()).ok_or(mistakes)
    }

    /// Reads and checks what commands need that look after accounts, and end the sessions of some.
    ///
    /// # Errors
    /// All mistakes in these together.
    pub fn load_accounts(sources: &Sources) -> Result<(AccountsConfig, SessionConfig), Mistakes> {
        load(sources, |reader| {
            let (sessions, _) = sessions::read(reader);
            (accounts::read(reader, &sessions.store), sessions)
        })
    }

    /// Reads and checks what commands need that look after Casbin's rules in the database of accounts.
    ///
    /// # Errors
    /// All mistakes in these together.
    pub fn load_rules(
        sources: &Sources,
    ) -> Result<(AccountsConfig, Option<Arc<CasbinInForce>>), Mistakes> {
        load(sources, |reader| {
            let (sessions, _) = sessions::read(reader);
            (accounts::read(reader, &sessions.store), casbin::read(reader))
        })
    }

    /// The places where a command tells what it changed: the log, and the accounts, whose database
    /// has the table of events.
    ///
    /// # Errors
    /// All mistakes in these together.
    pub fn load_audit(sources: &Sources) -> Result<(AuditConfig, AccountsConfig), Mistakes> {
        load(sources, |reader| {
            let (sessions, _) = sessions::read(reader);
            (audit::read(reader), accounts::read(reader, &sessions.store))
        })
    }

    /// Reads what `dev` has to know beforehand. Mistakes are left for [`Config::load`] to tell.
    pub fn before_dev(sources: &Sources) -> BeforeDev {
        let before = |reader: &mut Reader<'_>| {
            let has_key = settings::KEY_SOURCES.iter().any(|source| reader.is_named(*source));
            BeforeDev {
                data_dir: reader.get(settings::DATA_DIR),
                needs_key: !has_key && reader.sources().issuers.is_empty(),
                has_staleness: reader.is_set(settings::SESSION_STALENESS),
                has_accounts: reader.is_set(settings::ACCOUNTS_URL),
            }
        };
        reader::read(sources, before).0
    }

    fn assemble(reader: &mut Reader<'_>, purpose: Purpose) -> Self {
        let data_dir = reader.get(settings::DATA_DIR);
        let (sessions, cache) = sessions::read(reader);
        let accounts = accounts::read(reader, &sessions.store);
        let gate = gate::read(reader, &sessions.store, cache.staleness);
        let metrics_listen = listeners::read(reader, &listeners::METRICS);
        let mut tokens = keys::read(reader, purpose != Purpose::Serve);
        gate::check_upstream_jwt(reader, &gate, &tokens);
        gate::check_client_certificate(reader, &gate);
        gate::warn_of_unproven_gateways(reader, &gate);
        gate::warn_of_unknown_clients(reader, &gate);
        gate::warn_of_anonymous(reader, &gate);
        gate::warn_of_binding(reader, &gate, sessions.policy.binding);
        let issuance = issuance::read(reader, &mut tokens, sessions.policy.timeout, &gate.listen);
        gate::warn_of_unknown_issuers(reader, &gate, &tokens);
        gate::check_basic(reader, &gate, issuance.as_ref());
        if let Some(issuance) = &issuance {
            store::check_lists(reader, &sessions.store, &issuance.policy);
            store::warn_of_unnamed_issuer(reader, &sessions.store);
            listeners::warn_of_open_issuer(reader, &gate.listen, &issuance.listen);
        }
        let issued = issuance.as_ref().map(|issuance| issuance.policy.iss.as_str());
        let accounts_issuer =
            accounts::issuer(reader, &tokens, issued, gate.accepts_api_keys || gate.accepts_basic);
        accounts::mark_issuer(reader, &mut tokens, &accounts_issuer, issuance.is_some());
        let mut opened = vec![
            (&listeners::GATE, &gate.listen),
            (&listeners::EXT_AUTHZ, &gate.ext_authz),
            (&listeners::METRICS, &metrics_listen),
        ];
        opened.extend(issuance.iter().flat_map(|it| {
            [
                (&listeners::ISSUER, &it.listen),
                (&listeners::INTERNAL, &it.internal),
                (&listeners::GRPC, &it.grpc),
            ]
        }));
        let wire = issuance.as_ref().and_then(|issuance| issuance.authnzerver.as_ref());
        opened.extend(wire.map(|wire| (&listeners::AUTHNZERVER, &wire.listen)));
        listeners::check_addresses(reader, &opened);
        if purpose != Purpose::Command {
            listeners::check_files(reader, &opened);
        }
        Self {
            issuance,
            tokens,
            max_token_bytes: reader.get(settings::MAX_TOKEN_BYTES),
            sessions,
            accounts,
            accounts_issuer,
            cache,
            gate,
            metrics_listen,
            limits: listeners::limits(reader),
            shutdown_grace: reader.get(settings::SHUTDOWN_GRACE),
            logs: LogConfig {
                format: reader.get(settings::LOG_FORMAT),
                filter: reader.get(settings::LOG_LEVEL),
            },
            pseudonyms: audit::pseudonyms(reader),
            data_dir,
            warnings: reader.mistakes.warnings(),
        }
    }
}

#[cfg(test)]
mod tests;
