//! Two gates and one issuer: what is taken away is refused at each of them within the bound, whatever the
//! credential.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{add_rule, add_user, basic, log_in, question, with_rules, with_token};
use crate::support::{
    PATIENCE,
    gate::Gate,
    issuer::Issuer,
    poll,
    postgres::PostgresServer,
    prober::Prober,
    realm::Realm,
    redis::{RedisServer, Transport},
};

/// `SESSION_STALENESS`: no request that is sent later than this after a change was acknowledged gets a yes.
const BOUND: Duration = Duration::from_secs(1);

#[test]
fn on_sqlite_whatever_is_taken_away_is_refused_at_both_gates_within_the_bound() {
    whatever_is_taken_away_is_refused(Realm::issuing());
}

#[test]
fn on_postgresql_and_redis_whatever_is_taken_away_is_refused_at_both_gates_within_the_bound() {
    let Some(postgres) = PostgresServer::shared() else { return };
    let Some(redis) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    let realm = Realm::issuing().with("ACCOUNTS_URL", &postgres.database());
    whatever_is_taken_away_is_refused(realm.with("DB_URL", &redis.url()));
}

/// One issuer with a gate of its own, and two gates beside it.
struct Stage {
    realm: Realm,
    issuer: Issuer,
    gates: [Gate; 2],
}

impl Stage {
    fn of(realm: Realm) -> Self {
        // The store may take its time here: a 503 would be a refusal that nobody ordered.
        let realm = with_rules(realm)
            .with("SESSION_STALENESS", &BOUND.as_secs().to_string())
            .with("STORE_TIMEOUT", "10");
        let issuer = Issuer::start(&realm.clone().with("ACCEPT_BASIC", "true"));
        let beside = realm.clone().without("AUTHORIZATION_SERVER");
        let gates = [beside.gate(), beside.gate()];
        Self { realm, issuer, gates }
    }

    fn all(&self) -> [SocketAddr; 3] {
        [self.gates[0].address, self.gates[1].address, self.issuer.gate.address]
    }

    /// Asks everywhere about a path with these credentials, changes something, and sees that none of them
    /// gets a yes any more, but this status.
    fn is_refused(&self, path: &str, credentials: &[(&str, u16)], change: impl FnOnce()) {
        let asked = credentials.iter().flat_map(|(credential, refused)| {
            // Passwords are taken where they are checked.
            let is_everywhere = !credential.contains("Basic");
            let at = if is_everywhere { self.all().to_vec() } else { self.all()[2..].to_vec() };
            at.into_iter().map(|gate| (gate, *credential, *refused)).collect::<Vec<_>>()
        });
        let probers: Vec<_> = asked
            .map(|(gate, credential, refused)| {
                (Prober::asking(gate, question(path, credential)), credential, refused)
            })
            .collect();
        for (prober, credential, _) in &probers {
            poll("a yes", PATIENCE, || {
                prober.last().is_some_and(|answer| answer.status == 200).then_some(())
            });
            assert!(prober.answered() > 0, "{path} {credential}");
        }
        change();
        let acknowledged = Instant::now();
        poll("questions after the bound", PATIENCE, || {
            let is_past = |prober: &Prober| prober.last_sent() > acknowledged + BOUND * 3 / 2;
            probers.iter().all(|(prober, ..)| is_past(prober)).then_some(())
        });
        for (prober, credential, refused) in probers {
            let answers = prober.stop();
            let place = format!("{path} {credential:.30}");
            let late_yes = answers
                .iter()
                .find(|answer| answer.sent > acknowledged + BOUND && answer.status == 200);
            assert!(late_yes.is_none(), "{place}: {late_yes:?}, acknowledged {acknowledged:?}");
            // What was given right before may not be known everywhere at the first question.
            let known = answers.iter().skip_while(|answer| answer.status != 200);
            let known: Vec<u16> = known.map(|answer| answer.status).collect();
            let last_yes = known.iter().rposition(|status| *status == 200);
            let first_no = known.iter().position(|status| *status == refused);
            assert!(first_no.is_some(), "{place}: no {refused} at all");
            assert!(last_yes < first_no, "{place}: a yes after a no");
        }
    }
}

fn whatever_is_taken_away_is_refused(realm: Realm) {
    let stage = Stage::of(realm);
    let Stage { realm, issuer, .. } = &stage;
    let bob = add_user(realm, "bob", &[]);
    add_user(realm, "alice", &["staff"]);
    add_user(realm, "carol", &["staff"]);
    add_user(realm, "dave", &["staff"]);
    add_rule(realm, "p staff doc:* GET allow");
    add_rule(realm, &format!("p {bob} doc:* GET allow"));
    let token = |name: &str| with_token(&log_in(issuer, name));
    let key = |name: &str| format!("X-Api-Key: {}", realm.ask(&["apikey", "add", name]));

    // A rule: of a user, whose credentials stay good.
    let of_bob = [token("bob"), key("bob"), basic("bob")];
    let of_bob = of_bob.each_ref().map(|credential| (credential.as_str(), 403));
    stage.is_refused("/docs/1", &of_bob, || {
        realm.ask(&["policy", "rule", "remove", "p", &bob, "doc:*", "GET", "allow"]);
    });

    // A role: tokens end with their sessions, keys and passwords stay good for what is left.
    let of_alice = [token("alice"), key("alice"), basic("alice")];
    let refused = [(&of_alice[0], 401), (&of_alice[1], 403), (&of_alice[2], 403)];
    let refused = refused.map(|(credential, status)| (credential.as_str(), status));
    stage.is_refused("/staff", &refused, || {
        let done = issuer.as_admin("DELETE", "/admin/users/alice/roles/staff", b"");
        assert_eq!((done.status, done.json()["changed"].as_bool()), (200, Some(true)));
    });
    for gate in stage.all() {
        assert_eq!(super::status(gate, "/docs/1", &of_alice[1]), 403, "Casbin knows it too");
        assert_eq!(super::status(gate, "/any", &of_alice[1]), 200);
    }

    // A role by the command, where rules ask for it.
    let of_dave = [(token("dave"), 401), (key("dave"), 403)];
    let of_dave = of_dave.each_ref().map(|(credential, status)| (credential.as_str(), *status));
    stage.is_refused("/docs/2", &of_dave, || {
        realm.ask(&["role", "revoke", "dave", "staff"]);
    });

    // An account.
    let of_carol = [token("carol"), key("carol"), basic("carol")];
    let of_carol = of_carol.each_ref().map(|credential| (credential.as_str(), 401));
    stage.is_refused("/docs/3", &of_carol, || {
        realm.ask(&["user", "lock", "carol"]);
    });

    // A key.
    let of_bob = key("bob");
    stage.is_refused("/any", &[(&of_bob, 401)], || {
        let keys = realm.ask_json(&["apikey", "list", "bob", "--json"]);
        let newest = keys[0]["id"].as_str().expect("an id").to_owned();
        realm.ask(&["apikey", "revoke", &newest]);
    });
}
