//! Issuance: people and programs log in, tokens are issued, refreshed and revoked.
//!
//! [`Issuance`] is the whole of it in parts, over the stores' traits, knowing nothing of HTTP or
//! gRPC: [`login`] and [`client_auth`] find out who asks, [`issue`] opens a session, [`refresh`]
//! makes the next tokens, [`revocation`] ends them, [`introspection`] describes them. The two ways
//! in, [`http`] and [`grpc`], read a request, ask the part that it is for, and render what it says.
//!
//! It never judges requests for applications: that is the gate's, which it shares sessions with,
//! so that what ends here is refused there at once.

pub mod api_keys;
pub mod audit;
pub mod authnzerver;
pub mod caller;
pub mod client_auth;
pub mod error;
mod grant;
pub mod grpc;
pub mod hook;
pub mod http;
pub mod introspection;
pub mod issue;
pub mod issued;
pub mod keys;
pub mod login;
pub mod metrics;
pub mod permission_check;
pub mod policy;
mod read_only;
pub mod readiness;
pub mod refresh;
pub mod revocation;
pub mod roles;
pub mod rules;
mod scopes;
mod sealed;
pub mod self_service;
pub mod subject;
mod subjects;
pub mod tasks;
pub mod throttle;
pub mod tickets;
mod token_issuer;
pub mod users;

use std::sync::Arc;

use api_keys::ApiKeys;
use audit::Audit;
use client_auth::ClientAuthentication;
use introspection::Introspection;
use keys::KeyRegistration;
use login::{Login, PasswordCheck};
use metrics::IssuerMetrics;
use permission_check::PermissionCheck;
use policy::IssuancePolicy;
use readiness::Readiness;
use refresh::Refresh;
use revocation::Revocation;
use roles::Roles;
use rules::{PolicyAccess, Rules};
use self_service::{Mailer, SelfService, SelfServiceConfig};
use tasks::Tasks;
use throttle::Throttle;
use tickets::TicketIssuer;
use users::Users;
use users::password_rules::PasswordRules;

use crate::account::AccountStore;
use crate::account::password::Passwords;
use crate::clock::Clock;
use crate::lease::Leases;
use crate::opaque::Tokens;
use crate::policy::permissions::PermissionsInForce;
use crate::secret::Random;
use crate::session::Sessions;
use crate::store::records::Records;
use crate::token::{SigningRing, Verifier};

/// Parts that issuance is built of.
#[derive(Clone, Debug)]
pub struct Dependencies {
    /// The operator's decisions about tokens.
    pub policy: Arc<IssuancePolicy>,
    /// Users, keys and clients.
    pub accounts: Arc<dyn AccountStore>,
    /// The hashing of passwords.
    pub passwords: Arc<Passwords>,
    /// The rules of new passwords.
    pub password_rules: PasswordRules,
    /// The operator's decisions about self-service.
    pub self_service: SelfServiceConfig,
    /// The way to the mail server, if there is one.
    pub mailer: Option<Mailer>,
    /// The place where passwords are checked.
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
    /// authnzerver's model of permissions, if there is one.
    pub permissions: PermissionsInForce,
    /// Casbin's rules.
    pub rules: PolicyAccess,
    /// The audit log.
    pub audit: Audit,
    /// The metrics.
    pub metrics: IssuerMetrics,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
}

/// Everything that issues tokens, in parts.
#[derive(Debug)]
pub struct Issuance {
    /// Logging in.
    pub login: Login,
    /// New tokens for refresh tokens.
    pub refresh: Refresh,
    /// The end of sessions, and their lists.
    pub revocation: Revocation,
    /// Tickets for web sockets.
    pub tickets: TicketIssuer,
    /// Introspection of tokens.
    pub introspection: Introspection,
    /// Authentication of clients.
    pub clients: ClientAuthentication,
    /// Users of the built-in accounts.
    pub users: Users,
    /// Accounts in their owners' own hands.
    pub self_service: SelfService,
    /// API keys.
    pub api_keys: ApiKeys,
    /// Keys in jwthenticator's way.
    pub keys: KeyRegistration,
    /// Checks of permissions and limits by authnzerver's model.
    pub permissions: PermissionCheck,
    /// The roles of users.
    pub roles: Roles,
    /// Casbin's rules, and checks by them.
    pub rules: Rules,
    /// Readiness of the stores.
    pub readiness: Readiness,
    /// The limits, for secrets that a way in checks itself.
    pub throttle: Throttle,
    /// The audit log, for refusals of a way in.
    pub audit: Audit,
    /// The keys that are published.
    pub signers: Arc<SigningRing>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    policy: Arc<IssuancePolicy>,
    tasks: Tasks,
}

impl Issuance {
    /// Issuance in all its parts.
    pub fn new(on: &Dependencies) -> Self {
        let Dependencies { policy, throttle, audit, signers, clock, random, .. } = on.clone();
        let users = Users::of_issuer(on);
        Self {
            login: Login::new(on),
            refresh: Refresh::new(on),
            revocation: Revocation::new(on),
            tickets: TicketIssuer::new(on),
            introspection: Introspection::new(on),
            clients: ClientAuthentication::new(on),
            self_service: SelfService::new(on, users.clone()),
            users,
            api_keys: ApiKeys::new(on),
            keys: KeyRegistration::new(on),
            permissions: PermissionCheck::new(on),
            roles: Roles::of(on),
            rules: Rules::of(on),
            readiness: Readiness::new(on),
            throttle,
            audit,
            signers,
            clock,
            random,
            policy,
            tasks: Tasks::new(),
        }
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
