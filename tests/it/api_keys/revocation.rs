//! Two gate processes: a key that is revoked is refused by both within the staleness bound, one whose session ends at
//! once.

use std::time::Instant;

use super::{bob, realm};
use crate::support::{
    PATIENCE, poll, postgres::PostgresServer, prober::Prober, realm::Realm, tokens,
};
use crate::two_gates::{BOUND, PUSH_BOUND, answers_from_memory, is_pushed, no_yes_after};

#[test]
fn on_one_sqlite_file_a_key_that_ends_is_refused_by_both_gates_within_the_bound() {
    ends_at_both("SQLite", realm());
}

#[test]
fn on_postgresql_a_key_that_ends_is_refused_by_both_gates_within_the_bound() {
    let Some(server) = PostgresServer::shared() else { return };
    ends_at_both("PostgreSQL", realm().with("ACCOUNTS_URL", &server.database()));
}

fn ends_at_both(store: &str, realm: Realm) {
    let bound = BOUND.as_secs().to_string();
    let realm = realm.with("SESSION_STALENESS", &bound).with("STORE_TIMEOUT", "10");
    bob(&realm);
    let user = realm.ask_json(&["user", "show", "bob", "--json"])["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let gates = [realm.gate(), realm.gate()];
    let pushed = if gates.iter().all(is_pushed) { PUSH_BOUND } else { BOUND };
    for how in ["revoke", "revoke --all", "end of the session", "lock"] {
        let token = realm.mint(&user, &[]);
        let session = tokens::claims(&token)["sid"].as_str().expect("a session").to_owned();
        let flags: &[&str] =
            if how == "end of the session" { &["--session", &session] } else { &[] };
        let made = realm.ask_json(&[&["apikey", "add", "bob", "--json"], flags].concat());
        let (key, id) = (made["key"].as_str().expect("a key"), made["id"].as_str().expect("an id"));
        let probers: Vec<Prober> =
            gates.iter().map(|gate| Prober::start(gate.address, key)).collect();
        poll("the first answers", PATIENCE, || {
            probers.iter().all(|prober| prober.answered() > 30).then_some(())
        });
        match how {
            "revoke" => realm.ask(&["apikey", "revoke", id]),
            "revoke --all" => realm.ask(&["apikey", "revoke", "--all", "bob"]),
            "lock" => realm.ask(&["user", "lock", "bob"]),
            _ => realm.ask(&["session", "revoke", "--token", &token]),
        };
        let acknowledged = Instant::now();
        let within = if how == "end of the session" { pushed } else { BOUND };
        poll("questions after the bound", BOUND * 20, || {
            let late = acknowledged + BOUND * 3 / 2;
            probers.iter().all(|prober| prober.last_sent() > late).then_some(())
        });
        for (which, prober) in probers.into_iter().enumerate() {
            let place = format!("{store}, {how}, gate {}", which + 1);
            no_yes_after(within, &place, acknowledged, &prober.stop());
        }
    }
    gates.iter().for_each(answers_from_memory);
}
