//! Gates and an issuer whose sessions are in memcached: what they do, what they refuse, and what
//! they say of it.

use std::time::{Duration, Instant};

use portcullis::issuer::grpc::generated::v1::ListSessionsRequest;
use portcullis::issuer::grpc::generated::v1::token_service_client::TokenServiceClient;
use serde_json::Value;
use tonic::transport::Endpoint;

use crate::support::{
    PATIENCE,
    http::{Response, bearer},
    issuer::{ALICE, Issuer, SCOPES},
    memcached::MemcachedServer,
    poll,
    prober::Prober,
    realm::Realm,
    topology::runtime,
};

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

/// Checks that it was refused since there is nothing that could list.
#[track_caller]
fn is_not_implemented(answer: &Response) {
    assert_eq!(answer.status, 501, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["error"], "not_implemented", "{body}");
    assert!(text(&body, "error_description").contains("memcached"), "{body}");
}

#[test]
fn tokens_are_minted_checked_and_revoked() {
    let Some(server) = MemcachedServer::start() else { return };
    let realm = Realm::new().with("DB_URL", &server.url());
    let gate = realm.gate();
    poll("a word in the log", PATIENCE, || {
        gate.log().contains("sessions are in memcached").then_some(())
    });
    let ready = gate.ready();
    assert_eq!((ready.status, ready.json()["invalidation"].as_str()), (200, Some("bound")));
    let [one, two, three] = [(); 3].map(|()| realm.mint("alice", &[]));
    let bobs = realm.mint("bob", &[]);
    for token in [&one, &two, &three, &bobs] {
        assert_eq!(gate.check(token).status, 200);
    }
    realm.revoke(&one);
    assert_eq!(gate.check(&one).status, 401);
    assert_eq!(gate.check(&two).status, 200);
    let ended = realm.exits(0, &["session", "revoke", "--user", "alice"], "");
    assert!(ended.errors.contains("all are over"), "{ended:?}");
    for (token, status) in [(&two, 401), (&three, 401), (&bobs, 200)] {
        assert_eq!(gate.check(token).status, status);
    }
    let again = realm.run(&["session", "revoke", "--user", "alice"]);
    assert_eq!(again.code, 1, "there is nothing left to end");
    assert_eq!(gate.check(&realm.mint("alice", &[])).status, 200, "she may come back");
    server.flush();
    assert_eq!(gate.check(&bobs).status, 401, "what was forgotten is over");
}

/// Nobody tells a gate of what others end, so that the bound alone holds.
#[test]
fn two_gates_learn_of_a_revocation_within_the_bound() {
    const BOUND: Duration = Duration::from_secs(1);
    let Some(server) = MemcachedServer::start() else { return };
    let realm = Realm::new().with("DB_URL", &server.url()).with("SESSION_STALENESS", "1");
    let gates = [realm.gate(), realm.gate()];
    for by_user in [false, true] {
        let token = realm.mint("alice", &[]);
        let probers = gates.each_ref().map(|gate| Prober::start(gate.address, &token));
        poll("the first answers", PATIENCE, || {
            probers.iter().all(|prober| prober.answered() > 1).then_some(())
        });
        let (how, whom) = if by_user { ("--user", "alice") } else { ("--token", &*token) };
        realm.ask(&["session", "revoke", how, whom]);
        let ended = Instant::now();
        poll("questions after the bound", BOUND * 20, || {
            probers.iter().all(|prober| prober.last_sent() > ended + BOUND * 3 / 2).then_some(())
        });
        for answers in probers.map(Prober::stop) {
            let odd = answers.iter().find(|answer| !matches!(answer.status, 200 | 401));
            assert!(odd.is_none(), "{how}: {odd:?}");
            let yes = answers.iter().filter(|answer| answer.status == 200);
            let last_yes = yes.map(|answer| answer.sent).max().expect("a yes before");
            assert!(last_yes < ended + BOUND, "{how}: {:?} after", last_yes - ended);
            assert_eq!(answers.last().map(|answer| answer.status), Some(401), "{how}");
        }
    }
    for gate in &gates {
        let hits = gate.counter("portcullis_cache_requests_total", &[("outcome", "hit")]);
        assert!(hits > 0.0, "{hits} answers from the cache: nothing was put to the test");
    }
}

#[test]
fn without_its_server_the_gate_says_503_and_afterwards_401() {
    let Some(mut server) = MemcachedServer::start() else { return };
    let realm = Realm::new().with("DB_URL", &server.url()).with("STORE_TIMEOUT", "0.5");
    let gate = realm.gate();
    let token = realm.mint("alice", &[]);
    poll("a yes", PATIENCE, || (gate.check(&token).status == 200).then_some(()));
    server.pause();
    assert_eq!(gate.check(&token).status, 503, "it is frozen");
    server.resume();
    poll("a yes again", PATIENCE, || (gate.check(&token).status == 200).then_some(()));
    server.kill();
    assert_eq!(gate.check(&token).status, 503);
    assert_eq!(gate.ready().status, 503);
    server.restart();
    poll("a no", PATIENCE, || match gate.check(&token).status {
        401 => Some(()),
        503 => None,
        other => panic!("{other} for a session that nobody knows any more"),
    });
}

#[test]
fn what_needs_lists_is_refused_with_a_word_of_why_and_the_rest_works() {
    let Some(server) = MemcachedServer::start() else { return };
    let realm = Realm::issuing().with("DB_URL", &server.url()).with("REFRESH_POLICY", "rotate");
    realm.add_user(ALICE.0, ALICE.1, &SCOPES);
    let issuer = Issuer::start(&realm);
    let [one, two, three] = [(); 3].map(|()| issuer.log_in());
    let access = |login: &Value| text(login, "access_token");
    let ask = |method: &str, path: &str, login: &Value| {
        issuer.send(method, path, &[&bearer(&access(login))], b"")
    };
    is_not_implemented(&ask("GET", "/sessions", &one));
    is_not_implemented(&ask("DELETE", "/sessions?except=current", &one));
    is_not_implemented(&issuer.as_admin("GET", "/admin/sessions", b""));
    let user = text(&one, "user_id");
    is_not_implemented(&issuer.as_admin("GET", &format!("/admin/users/{user}/sessions"), b""));
    let status = listed_by_grpc(&issuer, &access(&one)).expect_err("a refusal");
    assert_eq!(status.code(), tonic::Code::Unimplemented);
    assert!(status.message().contains("memcached"), "{status:?}");
    for command in [&["session", "list"][..], &["session", "list", "--user", "alice", "--json"]] {
        let listed = realm.exits(64, command, "");
        assert!(listed.printed.is_empty(), "an empty list would lie: {listed:?}");
        assert!(listed.errors.contains("memcached"), "{listed:?}");
    }
    for login in [&one, &two, &three] {
        assert_eq!(issuer.check(&access(login)), 200, "nothing of that ended anything");
    }

    let refresh = |token: &str| {
        issuer.form("/token", &[("grant_type", "refresh_token"), ("refresh_token", token)], &[])
    };
    let next = refresh(&text(&one, "refresh_token"));
    assert_eq!(next.status, 200, "{}", next.text());
    assert_eq!(issuer.check(&access(&next.json())), 200);
    // Its reuse ends the family, and no other.
    assert_eq!(refresh(&text(&one, "refresh_token")).status, 400);
    assert_eq!(issuer.check(&access(&next.json())), 401);
    assert_eq!(refresh(&text(&next.json(), "refresh_token")).status, 400);
    assert_eq!(issuer.check(&access(&two)), 200);

    assert_eq!(ask("POST", "/logout", &two).status, 200);
    assert_eq!(issuer.check(&access(&two)), 401);
    assert_eq!(issuer.check(&access(&three)), 200);
    let four = issuer.log_in();
    assert_eq!(ask("DELETE", "/sessions", &three).status, 200);
    for login in [&three, &four] {
        assert_eq!(issuer.check(&access(login)), 401);
        assert_eq!(refresh(&text(login, "refresh_token")).status, 400);
    }
    assert_eq!(issuer.check(&access(&issuer.log_in())), 200);
}

fn listed_by_grpc(issuer: &Issuer, token: &str) -> Result<usize, tonic::Status> {
    runtime().block_on(async {
        let url = format!("http://{}", issuer.grpc);
        let channel = Endpoint::from_shared(url).expect("a URL").connect().await;
        let mut client = TokenServiceClient::new(channel.expect("a connection"));
        let mut request = tonic::Request::new(ListSessionsRequest { user_id: String::new() });
        let value = format!("Bearer {token}").parse().expect("ASCII");
        request.metadata_mut().insert("authorization", value);
        let listed = client.list_sessions(request).await?;
        Ok(listed.into_inner().sessions.len())
    })
}

#[test]
fn an_issuer_that_should_count_sessions_does_not_start() {
    let realm = Realm::issuing().with("DB_URL", "memcached://127.0.0.1:1");
    realm.exits(0, &["check-config"], "");
    let realm = realm.without("MAX_SESSIONS_PER_USER").with("LEEWAY", "no number");
    let stderr = realm.exits(64, &["serve"], "").errors;
    assert!(stderr.contains("MAX_SESSIONS_PER_USER") && stderr.contains("set it to 0"), "{stderr}");
    assert!(stderr.contains("LEEWAY"), "with all other mistakes: {stderr}");
}
