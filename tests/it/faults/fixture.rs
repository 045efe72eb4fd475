//! The fixture: two gates and an issuer on a real store; with one server, a proxy in front of it that the issuer does not
//! use.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::support::{
    PATIENCE,
    gate::Gate,
    issuer::{ALICE, Issuer, SCOPES},
    poll,
    proxy::Proxy,
    realm::Realm,
    redis::{RedisServer, Transport},
    tokens,
};

/// `SESSION_STALENESS` of most gates: short, so that the tests are.
pub(super) const BOUND: Duration = Duration::from_secs(1);

/// Settings of gates that wait for a machine that has much else to do: where the server itself is well, no 503 is excused.
pub(super) const PATIENT: [(&str, &str); 1] = [("STORE_TIMEOUT", "5")];

/// The processes that use the store: two gates, or more, and an issuer.
pub(super) struct Fixture {
    /// First, so that they end first.
    pub(super) gates: Vec<Gate>,
    pub(super) issuer: Issuer,
    /// `SESSION_STALENESS` of the gates.
    pub(super) bound: Duration,
    /// Last, since its folder goes with it.
    _realm: Realm,
}

/// A fixture with one server, which the gates reach through a proxy.
pub(super) struct ProxiedFixture {
    fixture: Fixture,
    pub(super) proxy: Arc<Proxy>,
    server: Mutex<RedisServer>,
}

/// An open session.
#[derive(Clone, Debug)]
pub(super) struct OpenSession {
    pub(super) token: String,
    pub(super) id: String,
}

/// Settings beyond those of all tests here.
type Settings<'s> = &'s [(&'s str, &'s str)];

impl ProxiedFixture {
    /// Two gates with this bound and all else as by default; `None` where the machine has no redis-server.
    pub(super) fn start() -> Option<Self> {
        Self::with(&[], &[&[], &[]])
    }

    /// With more settings for all, and of each gate.
    pub(super) fn with(all: Settings<'_>, gates: &[Settings<'_>]) -> Option<Self> {
        let server = RedisServer::start_with(Transport::Tcp, &[])?;
        let proxy = Proxy::start(server.address());
        let to_proxy = format!("redis://{}", proxy.address);
        let fixture = Fixture::start(&server.url(), &to_proxy, BOUND, all, gates);
        Some(Self { fixture, proxy: Arc::new(proxy), server: Mutex::new(server) })
    }

    /// The server, for whoever kills it or asks it.
    pub(super) fn server(&self) -> MutexGuard<'_, RedisServer> {
        self.server.lock().expect("no panic under the lock")
    }
}

impl Deref for ProxiedFixture {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        &self.fixture
    }
}

impl Fixture {
    /// Gates and issuer of one store, which they may reach by different ways.
    pub(super) fn start(
        url_of_issuer: &str,
        url_of_gates: &str,
        bound: Duration,
        all: Settings<'_>,
        gates: &[Settings<'_>],
    ) -> Self {
        let mut realm = Realm::issuing()
            .with("DB_URL", url_of_issuer)
            .with("SESSION_STALENESS", &bound.as_secs().to_string());
        for (name, value) in all {
            realm = realm.with(name, value);
        }
        realm.add_user(ALICE.0, ALICE.1, &SCOPES);
        let issuer = Issuer::start(&realm);
        let gates = gates.iter().map(|more| gate(&realm, url_of_gates, more)).collect();
        Self { gates, issuer, bound, _realm: realm }
    }

    /// Alice logs in.
    pub(super) fn open(&self) -> OpenSession {
        let answer = self.issuer.log_in();
        let token = answer["access_token"].as_str().expect("a token").to_owned();
        let id = tokens::claims(&token)["sid"].as_str().expect("a session").to_owned();
        OpenSession { token, id }
    }

    /// An administrator ends a session through the issuer; when that was acknowledged.
    pub(super) fn revoke(&self, session: &OpenSession) -> Instant {
        let (status, acknowledged) = self.try_to_revoke(session);
        assert_eq!(status, 200);
        acknowledged
    }

    /// The same, again and again until it is acknowledged.
    pub(super) fn revoke_with_retries(&self, session: &OpenSession) -> Instant {
        let (acknowledged, _) = poll("a revocation", PATIENCE, || {
            let (status, answered) = self.try_to_revoke(session);
            assert!(matches!(status, 200 | 404 | 503), "{status}");
            // There is none any more where an attempt that was not acknowledged had its effect.
            (status != 503).then_some(answered)
        });
        acknowledged
    }

    fn try_to_revoke(&self, session: &OpenSession) -> (u16, Instant) {
        let path = format!("/admin/sessions/{}", session.id);
        let answer = self.issuer.as_admin("DELETE", &path, b"");
        (answer.status, Instant::now())
    }

    /// Waits until every gate lets this session pass, ten times in a row.
    pub(super) fn wait_until_recovered(&self, living: &OpenSession) {
        for gate in &self.gates {
            poll("all is well", PATIENCE, || {
                (0..10).all(|_| gate.check(&living.token).status == 200).then_some(())
            });
        }
    }
}

/// A gate of the realm without the issuer, on that store.
fn gate(realm: &Realm, url: &str, more: Settings<'_>) -> Gate {
    let mut settings = realm.settings().clone();
    for name in ["AUTHORIZATION_SERVER", "ISSUER_LISTEN", "INTERNAL_LISTEN", "GRPC_LISTEN"] {
        settings.remove(name);
    }
    settings.remove("PRIVATE_KEY_FILE");
    // With the default, so that a server in trouble is given up long before the bound.
    settings.remove("STORE_TIMEOUT");
    settings.insert("DB_URL".to_owned(), url.to_owned());
    settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Gate::start(realm.folder(), &settings)
}
