//! A full run at the most talkative settings, and nothing secret in what was written.

use crate::support::{
    free_address, h2c,
    http::{self, Client, bearer, request},
    realm::Realm,
    redis::{RedisServer, Transport},
    tokens,
};

const SECRET: &str = "an-hmac-secret-that-nobody-may-ever-see-in-a-log";
const PASSWORD: &str = "a-database-password-for-nobodys-eyes";

#[test]
fn no_log_line_or_metric_holds_a_token_or_a_key() {
    let realm = Realm::new()
        .with("LOG_LEVEL", "trace")
        .with("ACCESS_LOG", "all")
        .with("TOKEN_COOKIE", "session");
    let mut gate = realm.gate();
    let good = realm.mint("alice", &["--scope", "user:read"]);
    let mut sent = vec![good.clone()];
    sent.extend(
        tokens::bad(&realm, &good)
            .into_iter()
            .map(|(_, token)| token)
            .filter(|token| token.len() > 20),
    );
    for token in &sent {
        let cookie = format!("Cookie: session={token}; other=1");
        let basic = format!("Authorization: Basic {token}");
        for path in [
            "/validate_request",
            "/validate_request/traefik?scope=user:write",
            "/validate_request?nonsense=1",
            "/nowhere",
        ] {
            for line in [bearer(token), cookie.clone(), basic.clone()] {
                http::get(gate.address, path, &[&line]);
            }
        }
        let value = format!("Bearer {token}");
        h2c::get(
            gate.address,
            "/validate_request",
            &[("authorization", &value), ("cookie", &cookie["Cookie: ".len()..])],
        );
        let body = serde_json::json!({ "jwt": token }).to_string();
        let lines = ["Content-Type: application/json"];
        Client::connect(gate.address).exchange(request(
            "POST",
            "/validate",
            &lines,
            body.as_bytes(),
        ));
        Client::connect(gate.address).exchange(request(
            "POST",
            "/validate",
            &lines,
            &body.as_bytes()[..30],
        ));
        realm.run(&["explain", "--token", token]);
    }
    realm.revoke(&good);
    assert_eq!(gate.check(&good).status, 401);
    let metrics = gate.metrics();
    assert!(metrics.lines().count() > 3, "{metrics}");
    gate.stop();

    let log = gate.log();
    assert!(log.lines().count() > 20, "the run left no log to look at:\n{log}");
    let mut secrets: Vec<String> =
        sent.iter().flat_map(|token| token.split('.')).map(str::to_owned).collect();
    secrets.extend(pem_lines(&realm.private_pem()));
    secrets.retain(|secret| secret.len() >= 16);
    assert!(secrets.len() > 20, "too little to look for");
    for (what, text) in [("log", &log), ("metrics", &metrics)] {
        holds_none_of(what, text, &secrets);
    }
}

#[test]
fn no_command_prints_a_shared_secret_or_a_token_on_its_error_output() {
    let realm = Realm::new()
        .without("PUBLIC_KEY_FILE")
        .without("PRIVATE_KEY_FILE")
        .with("LOG_LEVEL", "trace");
    let realm =
        realm.with("ALGORITHM", "HS256").with("SECRET_KEY", SECRET).with("ACCESS_LOG", "all");
    let mut gate = realm.gate();
    let token = realm.mint("alice", &[]);
    assert_eq!(gate.check(&token).status, 200);
    gate.stop();
    let mut text = gate.log();
    for arguments in [
        &["token", "mint", "--user", "bob"][..],
        &["token", "inspect", &token],
        &["explain", "--token", &token],
        &["session", "list"],
        &["session", "revoke", "--token", &token],
        &["check-config"],
        &["check-config", "--algorithm", "nonsense"],
    ] {
        text.push_str(&realm.run(arguments).errors);
    }
    let mut secrets: Vec<String> = token.split('.').map(str::to_owned).collect();
    secrets.push(SECRET.to_owned());
    holds_none_of("log and error output", &text, &secrets);
}

#[test]
fn a_store_that_cannot_be_reached_is_named_without_its_password() {
    let nobody = free_address();
    let realm = Realm::new()
        .with("LOG_LEVEL", "trace")
        .with("DB_URL", &format!("redis://keeper:{PASSWORD}@{nobody}"));
    for arguments in [&["session", "list"][..], &["token", "mint", "--user", "alice"]] {
        let output = realm.exits(69, arguments, "");
        let text = [output.printed, output.errors].concat();
        assert!(!text.is_empty(), "{arguments:?}: not a word");
        holds_none_of("output", &text, &[PASSWORD.to_owned()]);
    }
    let output = realm.exits(64, &["check-config", "--session-staleness", "nonsense"], "");
    holds_none_of("output", &output.errors, &[PASSWORD.to_owned()]);
}

#[test]
fn a_gate_on_a_store_with_a_password_does_not_write_it_down() {
    let Some(mut server) = RedisServer::start_with(Transport::Tcp, &["--requirepass", PASSWORD])
    else {
        return;
    };
    let url = server.url().replacen("redis://", &format!("redis://:{PASSWORD}@"), 1);
    let realm =
        Realm::new().with("LOG_LEVEL", "trace").with("ACCESS_LOG", "all").with("DB_URL", &url);
    let mut gate = realm.gate();
    let token = realm.mint("alice", &[]);
    assert_eq!(gate.check(&token).status, 200);
    server.kill();
    assert_eq!(gate.check(&token).status, 503, "a store that is down is no yes");
    let metrics = gate.metrics();
    gate.stop();
    holds_none_of("log", &gate.log(), &[PASSWORD.to_owned()]);
    holds_none_of("metrics", &metrics, &[PASSWORD.to_owned()]);
}

/// The lines of a PEM between its marks, and all of them as one.
fn pem_lines(pem: &str) -> Vec<String> {
    let lines: Vec<String> =
        pem.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned).collect();
    let whole = lines.concat();
    [lines, vec![whole]].concat()
}

/// Says which secret it was without showing it again.
fn holds_none_of(what: &str, text: &str, secrets: &[String]) {
    for (index, secret) in secrets.iter().enumerate() {
        if let Some(line) = text.lines().find(|line| line.contains(secret.as_str())) {
            panic!(
                "{what}: secret {index} of {} stands in: {}",
                secrets.len(),
                line.replace(secret.as_str(), "<HERE>")
            );
        }
    }
}
