//! Two gate processes on one store: what is revoked is refused by both within the staleness bound.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use crate::support::{
    gate::Gate,
    poll,
    prober::{Answer, Prober},
    realm::Realm,
    redis::{RedisServer, Transport},
};

/// `SESSION_STALENESS`: no request that is sent later than this after a revocation was acknowledged
/// gets a yes. Strictly: there is no allowance for a busy machine.
pub(crate) const BOUND: Duration = Duration::from_secs(1);

/// The time in which a gate learns of a revocation by invalidation (on SQLite, where it looks every so often), with room
/// for a machine that is busy.
pub(crate) const PUSH_BOUND: Duration = Duration::from_millis(500);

/// `SESSION_STALENESS` as it is where nobody sets it: long enough for a store to say meanwhile what changed.
const USUAL_BOUND: Duration = Duration::from_secs(5);

/// The number of measurements of each kind of revocation.
const ROUNDS: usize = 3;

#[test]
fn on_one_sqlite_file_a_revocation_reaches_both_gates_within_the_bound() {
    revocations_reach_both("SQLite", Realm::new());
}

#[test]
fn on_one_redis_a_revocation_reaches_both_gates_within_the_bound() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    revocations_reach_both("Redis", Realm::new().with("DB_URL", &server.url()));
}

fn revocations_reach_both(store: &str, realm: Realm) {
    // The store may take its time here: a 503 would be a refusal that nobody revoked.
    let bound = BOUND.as_secs().to_string();
    let realm = realm.with("SESSION_STALENESS", &bound).with("STORE_TIMEOUT", "10");
    let gates = [realm.gate(), realm.gate()];
    let within = if gates.iter().all(is_pushed) { PUSH_BOUND } else { BOUND };
    let bystander = realm.mint("bob", &[]);
    for (how, by_user) in [("--token", false), ("--user", true)].repeat(ROUNDS) {
        let tokens = [realm.mint("alice", &[]), realm.mint("alice", &[])];
        let probers: Vec<Prober> =
            gates.iter().map(|gate| Prober::start(gate.address, &tokens[0])).collect();
        poll("the first answers", crate::support::PATIENCE, || {
            probers.iter().all(|prober| prober.answered() > 30).then_some(())
        });
        realm.ask(&["session", "revoke", how, if by_user { "alice" } else { &tokens[0] }]);
        let acknowledged = Instant::now();
        // Well beyond the bound, so that a yes that comes too late is seen.
        poll("questions after the bound", BOUND * 20, || {
            probers
                .iter()
                .all(|prober| prober.last_sent() > acknowledged + BOUND * 3 / 2)
                .then_some(())
        });
        for (which, prober) in probers.into_iter().enumerate() {
            let place = format!("{store}, {how}, gate {}", which + 1);
            no_yes_after(within, &place, acknowledged, &prober.stop());
        }
        for gate in &gates {
            assert_eq!(gate.check(&tokens[0]).status, 401, "it came back");
            let other = gate.check(&tokens[1]).status;
            assert_eq!(other, if by_user { 401 } else { 200 }, "the user's other session");
            assert_eq!(gate.check(&bystander).status, 200, "another user's session");
        }
    }
    gates.iter().for_each(answers_from_memory);
}

#[test]
fn a_session_in_use_is_confirmed_by_what_the_store_says_and_over_when_it_ends() {
    let server = RedisServer::start_with(Transport::Tcp, &[]);
    let on_redis = server.as_ref().map(|server| Realm::new().with("DB_URL", &server.url()));
    for realm in [Some(Realm::new()), on_redis].into_iter().flatten() {
        let realm = realm.with("SESSION_STALENESS", &USUAL_BOUND.as_secs().to_string());
        let gate = realm.gate();
        let token = realm.mint("alice", &[]);
        poll("readings that the store confirms", crate::support::PATIENCE, || {
            assert_eq!(gate.check(&token).status, 200);
            (gate.counter("portcullis_cache_confirmations_total", &[]) >= 3.0).then_some(())
        });
        realm.revoke(&token);
        poll("a no", USUAL_BOUND, || (gate.check(&token).status == 401).then_some(()));
    }
}

/// True if the gate is told of changes, and does not only look again at the bound.
pub(crate) fn is_pushed(gate: &Gate) -> bool {
    let ready = gate.ready().json();
    ready["invalidation"].as_str().unwrap_or_else(|| panic!("no invalidation in {ready}"))
        != "bound"
}

pub(crate) fn no_yes_after(
    bound: Duration,
    place: &str,
    acknowledged: Instant,
    answers: &[Answer],
) {
    let odd = answers.iter().find(|answer| !matches!(answer.status, 200 | 401));
    assert!(odd.is_none(), "{place}: {odd:?}");
    let yes = answers.iter().filter(|answer| answer.status == 200);
    let last_yes = yes.map(|answer| answer.sent).max().expect("a yes before the revocation");
    let no = answers.iter().filter(|answer| answer.status == 401);
    let first_no = no.map(|answer| answer.sent).min().expect("a no after the revocation");
    let since = |sent: Instant| match sent.checked_duration_since(acknowledged) {
        Some(later) => format!("{} ms after", later.as_millis()),
        None => format!("{} ms before", (acknowledged - sent).as_millis()),
    };
    writeln!(
        std::io::stderr(),
        "{place}: of {} requests, the last that got a yes was sent {} the acknowledgement, the first that got a no {} it",
        answers.len(),
        since(last_yes),
        since(first_no)
    )
    .expect("stderr");
    assert!(
        last_yes < acknowledged + bound,
        "{place}: a request that was sent {} the acknowledgement got a yes",
        since(last_yes)
    );
    assert!(last_yes < first_no, "{place}: a yes after a no");
}

/// Only answers from the cache can be stale, so there must have been some.
pub(crate) fn answers_from_memory(gate: &Gate) {
    let hits = gate.counter("portcullis_cache_requests_total", &[("outcome", "hit")]);
    assert!(hits > 0.0, "{hits} answers from the cache: nothing was put to the test");
}
