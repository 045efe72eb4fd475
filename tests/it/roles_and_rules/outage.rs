//! A database that is away, and a rule in it that no model understands: nothing is decided by what was.

use super::{add_rule, add_user, authorize, log_in, status, with_rules, with_token};
use crate::support::{
    PATIENCE, issuer::Issuer, poll, postgres::PostgresServer, realm::Realm, stores,
    topology::runtime,
};

#[test]
fn without_the_database_of_the_rules_what_asks_casbin_is_503_and_the_rest_goes_on() {
    let Some(mut server) = PostgresServer::start() else { return };
    let realm = with_rules(Realm::issuing()).with("ACCOUNTS_URL", &server.url());
    let id = add_user(&realm, "alice", &[]);
    add_rule(&realm, &format!("p {id} doc:1 GET allow"));
    let issuer = Issuer::start(&realm);
    let (gate, token) = (issuer.gate.address, with_token(&log_in(&issuer, "alice")));
    // Until the rules are read, nothing is decided by them.
    poll("a yes", PATIENCE, || (status(gate, "/docs/1", &token) == 200).then_some(()));
    assert_eq!(status(gate, "/docs/2", &token), 403);
    server.stop();
    // Neither a yes nor a no is a word of a database that is away.
    for path in ["/docs/1", "/docs/2"] {
        poll("503", PATIENCE, || (status(gate, path, &token) == 503).then_some(()));
    }
    assert_eq!(status(gate, "/any", &token), 200, "sessions are elsewhere");
    assert_eq!(authorize(&issuer, "somebody", "doc:1", "GET").0, 503);
    issuer.gate.wait_for_log("the rules of the database cannot be read");
    server.restart();
    poll("a yes again", PATIENCE, || (status(gate, "/docs/1", &token) == 200).then_some(()));
    assert_eq!(status(gate, "/docs/2", &token), 403);
}

#[test]
fn a_rule_that_no_model_understands_stops_all_that_asks_until_it_is_gone() {
    let realm = with_rules(Realm::issuing());
    let id = add_user(&realm, "alice", &[]);
    add_rule(&realm, &format!("p {id} doc:1 GET allow"));
    let issuer = Issuer::start(&realm);
    let (gate, token) = (issuer.gate.address, with_token(&log_in(&issuer, "alice")));
    assert_eq!(status(gate, "/docs/1", &token), 200);
    // By the commands and the API it could not be there.
    runtime().block_on(async {
        let raw = stores::raw_sqlite(realm.folder()).await;
        for sql in [
            "INSERT INTO policy_rules VALUES ('p', '[\"alice\",\"doc:1\",\"GET\"]', 9, 0, '?')",
            "UPDATE policy_version SET version = version + 1",
        ] {
            sqlx::raw_sql(sql).execute(&raw).await.expect(sql);
        }
        raw.close().await;
    });
    poll("503", PATIENCE, || (status(gate, "/docs/1", &token) == 503).then_some(()));
    let metrics = issuer.gate.metrics();
    assert!(metrics.contains("portcullis_policy_rules_are_current 0"), "{metrics}");
    issuer.gate.wait_for_log("a rule of the database cannot be used");
    // It is in force nowhere, so a process that starts does not answer either; and it starts.
    let beside = realm.clone().without("AUTHORIZATION_SERVER").gate();
    assert_eq!(status(beside.address, "/docs/1", &token), 503);
    realm.ask(&["policy", "rule", "remove", "p", "alice", "doc:1", "GET"]);
    for gate in [gate, beside.address] {
        poll("a yes again", PATIENCE, || (status(gate, "/docs/1", &token) == 200).then_some(()));
    }
}
