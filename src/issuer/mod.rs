//! Issuance: people and programs log in, tokens are issued, refreshed and revoked.
//!
//! [`Issuance`] is the whole of it, over the stores' traits, knowing nothing of HTTP or gRPC:
//! [`login`] and [`client_auth`] find out who asks, [`issue`] opens a session and makes tokens,
//! [`refresh`] makes the next ones, [`revocation`] ends them, [`introspection`] describes them. The
//! two ways in, [`http`] and [`grpc`], read a request, ask it, and render what it says.
//!
//! It never judges requests for applications: that is the gate's, which it shares sessions with,
//! so that what ends here is refused there at once.

pub mod audit;
pub mod caller;
pub mod client_auth;
pub mod error;
pub mod grpc;
pub mod hook;
pub mod http;
pub mod introspection;
pub mod issue;
pub mod keys;
pub mod login;
pub mod metrics;
pub mod policy;
pub mod refresh;
pub mod revocation;
mod scopes;
mod sealed;
pub mod subject;
pub mod tasks;
pub mod throttle;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use audit::Audit;
use login::PasswordCheck;
use metrics::IssuerMetrics;
use policy::IssuancePolicy;
use refresh::KeyedLocks;
use tasks::Tasks;
use throttle::Throttle;

use crate::account::AccountStore;
use crate::account::password::Passwords;
use crate::clock::Clock;
use crate::lease::Leases;
use crate::opaque::Tokens;
use crate::secret::Random;
use crate::session::Sessions;
use crate::store::records::Records;
use crate::token::{SigningRing, Verifier};

/// What issuance stands on.
#[derive(Debug)]
pub struct Parts {
    /// Users, keys and clients.
    pub accounts: Arc<dyn AccountStore>,
    /// Who hashes passwords.
    pub passwords: Arc<Passwords>,
    /// Who checks them.
    pub password_check: PasswordCheck,
    /// Refresh tokens and handles.
    pub tokens: Arc<Tokens>,
    /// Leases on rotations, and on assertions that were seen.
    pub leases: Leases,
    /// The store of leases and limits.
    pub records: Records,
    /// The limits.
    pub throttle: Throttle,
    /// The sessions, shared with the gate of this process.
    pub sessions: Arc<Sessions>,
    /// The keys that sign.
    pub signers: Arc<SigningRing>,
    /// Checks access tokens, as the gate does.
    pub verifier: Arc<Verifier>,
    /// Where events are told.
    pub audit: Audit,
    /// Where they are counted.
    pub metrics: IssuerMetrics,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
}

/// Everything that issues tokens.
#[derive(Debug)]
pub struct Issuance {
    parts: Parts,
    policy: IssuancePolicy,
    rotation_locks: KeyedLocks,
    tasks: Tasks,
    /// True while the account store fails to record logins.
    recording_fails: AtomicBool,
}

impl Issuance {
    /// Issuance under this policy.
    pub fn new(parts: Parts, policy: IssuancePolicy) -> Self {
        let (rotation_locks, tasks) = (KeyedLocks::default(), Tasks::new());
        Self { parts, policy, rotation_locks, tasks, recording_fails: AtomicBool::new(false) }
    }

    /// The policy that tokens are issued under.
    pub fn policy(&self) -> &IssuancePolicy {
        &self.policy
    }

    /// In what tasks requests run: whoever asks for a change asks within one, so that the change
    /// does not depend on his patience.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }
}

impl std::ops::Deref for Issuance {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}
