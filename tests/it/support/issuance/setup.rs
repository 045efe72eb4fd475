//! The parameters of an issuer, and their usual values.

use std::{sync::Arc, time::Duration};

use portcullis::{
    account::password::HashConfig,
    clock::Clock,
    issuer::{
        policy::{IssuancePolicy, RefreshPolicy},
        self_service::{Mailer, SelfServiceConfig},
        throttle::ThrottleConfig,
    },
    token::{Issuer, KeyRing, SessionRule, SigningKey, Verifier},
};

use super::{CHEAP, ISS};

/// The usual defaults of the settings, for an issuer of that name.
pub fn usual_policy(iss: &str, lease: Duration) -> IssuancePolicy {
    IssuancePolicy {
        iss: iss.to_owned(),
        audiences: vec![iss.to_owned()],
        access_lifetime: Duration::from_secs(900),
        refresh_lifetime: Duration::from_secs(604_800),
        key_lifetime: Duration::from_secs(172_800),
        refresh_policy: RefreshPolicy::Rotate,
        refresh_window: Duration::from_secs(120),
        grace: Duration::ZERO,
        lease,
        opaque: false,
        scopes: None,
        max_sessions: 10,
        max_key_sessions: 10,
        replaces_device_sessions: false,
        ticket_lifetime: Duration::from_secs(10),
        sessions_scope: None,
        own_urls: vec![iss.to_owned()],
    }
}

/// Parameters of an issuer.
pub struct Setup {
    /// The decisions about tokens: the usual ones.
    pub policy: IssuancePolicy,
    /// The cost of passwords' hashes: [`CHEAP`].
    pub hashing: HashConfig,
    /// The cost of the hash of alice's, where it is another.
    pub hashed: Option<HashConfig>,
    /// The difference that is allowed for between clocks: none.
    pub leeway: Duration,
    /// The limits: 600 a minute, so that only a test of the limits meets them.
    pub throttle: ThrottleConfig,
    /// The decisions about self-service: nobody signs up.
    pub self_service: SelfServiceConfig,
    /// The mail server: none.
    pub mailer: Option<Mailer>,
}

impl Setup {
    /// The usual issuer under another policy.
    pub fn with(change: impl FnOnce(&mut IssuancePolicy)) -> Self {
        let mut setup = Self::default();
        change(&mut setup.policy);
        setup
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            policy: usual_policy(ISS, Duration::from_secs(5)),
            hashing: CHEAP,
            hashed: None,
            leeway: Duration::ZERO,
            throttle: ThrottleConfig {
                enabled: true,
                per_minute: 600,
                lock_tries: 10,
                lock_time: Duration::from_secs(900),
            },
            self_service: SelfServiceConfig::default(),
            mailer: None,
        }
    }
}

/// A verifier of the tokens that an issuer of that name signs by this key, for itself.
pub fn verifier(iss: &str, key: &SigningKey, leeway: Duration, clock: Arc<dyn Clock>) -> Verifier {
    let issuer = Issuer {
        name: "own".into(),
        iss: Some(iss.to_owned()),
        audiences: vec![iss.to_owned()],
        leeway,
        sessions: SessionRule::Required,
        keys: Arc::new(KeyRing::fixed(vec![key.verifying().clone()])),
        ..Issuer::default()
    };
    Verifier::new(vec![Arc::new(issuer)], 8192, clock)
}
