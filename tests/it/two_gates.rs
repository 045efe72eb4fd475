//! Two gate processes on one store: what is revoked is refused by both within the staleness bound.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use crate::support::{
    poll,
    realm::Realm,
    redis::{Reach, RedisServer},
};

/// The bound that is promised with `SESSION_STALENESS=1`.
const BOUND: Duration = Duration::from_secs(1);

/// What a busy machine with two cores may add between two looks at the gate.
const NOISE: Duration = Duration::from_millis(750);

#[test]
fn on_one_sqlite_file_a_revocation_reaches_both_gates_within_the_bound() {
    revocations_reach_both("SQLite", &Realm::new().with("SESSION_STALENESS", "1"));
}

#[test]
fn on_one_redis_a_revocation_reaches_both_gates_within_the_bound() {
    let Some(server) = RedisServer::start_with(Reach::Tcp, &[]) else { return };
    let realm = Realm::new().with("SESSION_STALENESS", "1").with("DB_URL", &server.url());
    revocations_reach_both("Redis", &realm);
}

fn revocations_reach_both(store: &str, realm: &Realm) {
    let gates = [realm.gate(), realm.gate()];
    let bystander = realm.mint("bob", &[]);
    for (how, by_user) in [("--token", false), ("--user", true)] {
        let tokens = [realm.mint("alice", &[]), realm.mint("alice", &[])];
        for token in &tokens {
            // Twice: the second answer comes from the cache, which is what could go stale.
            for gate in gates.iter().chain(&gates) {
                assert_eq!(gate.check(token).status, 200);
            }
        }
        realm.ask(&["session", "revoke", how, if by_user { "alice" } else { &tokens[0] }]);
        let acknowledged = Instant::now();
        let mut refused = [None; 2];
        // Both are asked all the time, so that no answer grows old for want of questions.
        let ((), _) = poll("the refusal by both", BOUND * 10, || {
            for (gate, refused) in gates.iter().zip(&mut refused) {
                if refused.is_none() && gate.check(&tokens[0]).status == 401 {
                    *refused = Some(acknowledged.elapsed());
                }
            }
            refused.iter().all(Option::is_some).then_some(())
        });
        let slowest = refused.into_iter().flatten().max().expect("two gates");
        writeln!(
            std::io::stderr(),
            "{store}: revoked by {how}, refused by both gates {slowest:?} later"
        )
        .expect("stderr");
        assert!(slowest < BOUND + NOISE, "{store}, {how}: a gate said yes for {slowest:?}");
        for gate in &gates {
            assert_eq!(gate.check(&tokens[0]).status, 401, "it came back");
            assert_eq!(
                gate.check(&tokens[1]).status,
                if by_user { 401 } else { 200 },
                "the user's other session"
            );
            assert_eq!(gate.check(&bystander).status, 200, "another user's session");
        }
    }
}
