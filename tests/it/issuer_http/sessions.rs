//! Sessions: listed and ended by their owner and the administrator, and no more of them than allowed.

use serde_json::{Value, json};

use super::{ADMIN, start};
use crate::support::{http, issuer::text, realm::Realm};

#[test]
fn sessions_are_listed_and_ended_by_who_has_them() {
    let (_realm, issuer, _) = start(Realm::issuing());
    let logins: Vec<Value> = (0..4).map(|_| issuer.log_in()).collect();
    let tokens: Vec<&str> = logins.iter().map(|login| text(login, "access_token")).collect();
    let alive = || -> Vec<u16> { tokens.iter().map(|it| issuer.gate.check(it).status).collect() };

    let list = issuer.with_bearer("GET", "/sessions", tokens[0]).json();
    let list = list["sessions"].as_array().expect("a list");
    assert_eq!(list.len(), 4);
    assert_eq!(list.iter().filter(|session| session["current"] == true).count(), 1);
    assert_eq!(list[0]["device"]["address"], "127.0.0.1");

    let newest = text(&list[0], "id");
    assert_eq!(issuer.with_bearer("DELETE", &format!("/sessions/{newest}"), tokens[0]).status, 200);
    assert_eq!(alive(), [200, 200, 200, 401]);
    assert_eq!(issuer.with_bearer("DELETE", "/sessions/someone-elses", tokens[0]).status, 404);

    let logout = issuer.with_bearer("POST", "/logout", tokens[2]);
    assert_eq!((logout.status, logout.json()), (200, json!({"status": 200})));
    assert_eq!(alive(), [200, 200, 401, 401]);
    assert_eq!(issuer.with_bearer("POST", "/logout", tokens[2]).status, 401);

    let others = issuer.with_bearer("DELETE", "/sessions?except=current", tokens[0]);
    assert_eq!((others.status, others.json()), (200, json!({"ended": 1})));
    assert_eq!(alive(), [200, 401, 401, 401]);
    assert_eq!(issuer.with_bearer("DELETE", "/sessions?except=all", tokens[0]).status, 400);
    let all = issuer.with_bearer("DELETE", "/sessions", tokens[0]);
    assert_eq!((all.status, all.json()), (200, json!({"ended": 1})));
    assert_eq!(alive(), [401, 401, 401, 401]);
    for (method, path) in [("GET", "/sessions"), ("DELETE", "/sessions"), ("POST", "/logout")] {
        assert_eq!(issuer.send(method, path, &[], b"").status, 401, "{method} {path}");
    }
}

#[test]
fn the_least_recently_seen_session_goes_for_a_newer_one() {
    let (_realm, issuer, _) = start(Realm::issuing().with("MAX_SESSIONS_PER_USER", "2"));
    let logins: Vec<Value> = (0..4).map(|_| issuer.log_in()).collect();
    let check = |login: &Value| issuer.gate.check(text(login, "access_token")).status;
    assert_eq!(logins.iter().map(check).collect::<Vec<_>>(), [401, 401, 200, 200]);
}

#[test]
fn the_administrator_lists_and_ends_sessions_where_nobody_else_comes() {
    let (_realm, issuer, _) = start(Realm::issuing().with("ADMIN_TOKEN", ADMIN));
    let login = issuer.log_in();
    let list = format!("/admin/users/{}/sessions", text(&login, "user_id"));
    for path in [list.as_str(), "/register_key", "/admin/sessions"] {
        assert_eq!(http::get(issuer.public, path, &[]).status, 404, "{path} is not public");
    }
    let ended = issuer.as_admin("DELETE", &list, b"");
    assert_eq!((ended.status, ended.json()), (200, json!({"ended": 1})));
    assert_eq!(issuer.gate.check(text(&login, "access_token")).status, 401);
    assert_eq!(issuer.as_admin("DELETE", "/admin/sessions/none", b"").status, 404);
}
