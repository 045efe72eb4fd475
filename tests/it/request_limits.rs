//! Limits on requests by the role of a user, through real gates: how many pass, who is counted together, and what the next one
//! is told.

mod gateways;

use std::net::SocketAddr;

use crate::policy_models::{with_file, with_permissions};
use crate::support::{
    PATIENCE, free_address,
    gate::Gate,
    http::{self, bearer},
    page::Page,
    poll,
    realm::Realm,
    redis::{RedisServer, Transport},
};

/// The lead of the model in the documents: what `authenticated` may, per day, so that nothing comes back meanwhile.
const LIMIT: &str = "limit = { name = \"max_requests\", per = \"day\" }";

const PAGE: &str = "docs/how-to/limit-requests.md";

/// A realm where `authenticated` has 5 requests a day, `staff` 50, `anonymous` 2, `locked` none and `superuser` any number.
fn realm() -> Realm {
    with_limits(Realm::new())
}

fn with_limits(realm: Realm) -> Realm {
    let role = |limit: &str| {
        format!(
            "{{\"limits\": {{{limit}}}, \"can_own_items\": [], \"allowed_actions_for_owned\": [], \
             \"allowed_actions_for_other\": {{}}}}"
        )
    };
    let most = |n: u32| role(&format!("\"max_requests\": {{\"type\": \"max\", \"limit\": {n}}}"));
    let model = format!(
        "{{\"roles\": [\"superuser\", \"staff\", \"authenticated\", \"anonymous\", \"locked\"], \
         \"items\": [], \"actions\": [], \"visibilities\": [], \"item_policy\": {{}}, \"limits\": \
         {{\"max\": {{\"type\": \"int\", \"operator\": \"lt\"}}}}, \"role_policy\": {{\"superuser\": \
         {}, \"staff\": {}, \"authenticated\": {}, \"anonymous\": {}, \"locked\": {}}}}}",
        role(""),
        most(50),
        most(5),
        most(2),
        most(0),
    );
    let realm = with_file(realm, "PERMISSIONS_FILE", "permissions.json", &model);
    let routes = format!(
        "[[route]]\npath = \"/limited/*\"\n{LIMIT}\n[[route]]\npath = \"/admin/*\"\nrequire = {{ roles = \
         [\"admin\"] }}\n{LIMIT}\n[[route]]\npath = \"/grpc.health.v1.Health/Check\"\n{LIMIT}\n[[route]]\npath = \"/open/*\"\nrequire = \"nothing\"\n{LIMIT}\n\
         [[route]]\npath = \"/free/*\"\n"
    );
    with_file(realm, "POLICY_FILE", "policy.toml", &routes)
}

fn mint(realm: &Realm, user: &str, role: &str) -> String {
    realm.mint(user, &["--role", role])
}

/// The answer to Traefik's question about a request of a client at this address.
fn ask_from(client: &str, gate: SocketAddr, path: &str, token: Option<&str>) -> http::Response {
    let (uri, client) = (format!("X-Forwarded-Uri: {path}"), format!("X-Forwarded-For: {client}"));
    let credential = token.map(bearer);
    let lines =
        ["X-Forwarded-Method: GET", "X-Forwarded-Proto: https", "X-Forwarded-Host: app.test"];
    let more = [uri.as_str(), client.as_str()].into_iter().chain(credential.as_deref());
    let lines: Vec<_> = lines.into_iter().chain(more).collect();
    http::get(gate, "/validate_request/traefik", &lines)
}

fn ask(gate: &Gate, path: &str, token: &str) -> http::Response {
    ask_from("192.0.2.1", gate.address, path, Some(token))
}

fn statuses(gate: &Gate, path: &str, token: &str, times: usize) -> Vec<u16> {
    (0..times).map(|_| ask(gate, path, token).status).collect()
}

fn is_over(what: &str, response: &http::Response) {
    assert_eq!(response.status, 429, "{what}: {response:?}");
    let wait: u64 = response.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=86_400).contains(&wait), "{what}: {wait}");
}

#[test]
fn each_user_has_the_requests_of_the_best_of_his_roles() {
    let realm = realm();
    let alice = mint(&realm, "alice", "authenticated");
    let both = realm.mint("bob", &["--role", "authenticated", "--role", "staff"]);
    let root = mint(&realm, "root", "superuser");
    let locked = realm.mint("lou", &["--role", "staff", "--role", "locked"]);
    let nobody = realm.mint("mallory", &["--role", "editor"]);
    let gate = realm.gate();
    assert_eq!(statuses(&gate, "/limited/1", &alice, 6), [200, 200, 200, 200, 200, 429]);
    let over = ask(&gate, "/limited/2", &alice);
    is_over("alice", &over);
    assert!(over.text().contains("too_many_requests"), "{}", over.text());
    assert_eq!(over.header("www-authenticate"), None);
    // Another session of the same user is the same user; another user is another one.
    assert_eq!(ask(&gate, "/limited/1", &mint(&realm, "alice", "authenticated")).status, 429);
    assert_eq!(statuses(&gate, "/limited/1", &both, 50), [200; 50]);
    assert_eq!(ask(&gate, "/limited/1", &both).status, 429);
    assert_eq!(statuses(&gate, "/limited/1", &root, 60), [200; 60]);
    assert_eq!(statuses(&gate, "/limited/1", &nobody, 3), [200, 200, 429]);
    let never = ask(&gate, "/limited/1", &locked);
    assert_eq!((never.status, never.header("retry-after")), (403, None), "waiting would not help");
    // A route without a limit counts nothing and knows no limit.
    assert_eq!(statuses(&gate, "/free/1", &alice, 3), [200; 3]);
    let denied = [("verdict", "deny"), ("code", "too_many_requests")];
    assert_eq!(gate.counter("portcullis_requests_total", &denied), 5.0);
    gate.wait_for_log("too_many_requests");
}

#[test]
fn what_is_denied_for_another_reason_is_not_counted_and_routes_share_a_limit() {
    let realm = realm();
    let alice = mint(&realm, "alice", "authenticated");
    let admin = realm.mint("alice", &["--role", "authenticated", "--role", "admin"]);
    let gate = realm.gate();
    assert_eq!(statuses(&gate, "/admin/1", &alice, 9), [403; 9]);
    assert_eq!(statuses(&gate, "/limited/1", "rubbish", 9), [401; 9]);
    let url = "https://app.test/limited/1";
    for _ in 0..9 {
        let told = realm.exits(0, &["explain", "--url", url, "--token", &alice], "").printed;
        assert!(told.contains("max_requests allows 5 requests a day, counted by user"), "{told}");
    }
    assert_eq!(statuses(&gate, "/limited/1", &alice, 3), [200; 3]);
    assert_eq!(statuses(&gate, "/admin/1", &admin, 3), [200, 200, 429]);
}

#[test]
fn who_shows_no_credential_is_counted_by_his_address() {
    let realm = realm();
    let stranger = mint(&realm, "guest-1", "anonymous");
    let gate = realm.gate();
    let from = |client: &str, token: Option<&str>| {
        let path = if token.is_some() { "/limited/1" } else { "/open/1" };
        ask_from(client, gate.address, path, token).status
    };
    assert_eq!([(); 3].map(|()| from("198.51.100.7", None)), [200, 200, 429]);
    assert_eq!(from("203.0.113.9", None), 200, "another address is another customer");
    let v6 = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:1::1"];
    assert_eq!(v6.map(|client| from(client, None)), [200, 200, 429, 200]);
    // Sessions that everybody gets for the asking make nobody somebody else.
    assert_eq!(from("198.51.100.7", Some(&stranger)), 429);
    assert_eq!(from("192.0.2.77", Some(&stranger)), 200);
}

/// The number of requests that pass, of so many at once at several gates.
fn passed(gates: &[&Gate], path: &'static str, token: &str, each: usize) -> usize {
    let asking: Vec<_> = gates
        .iter()
        .flat_map(|gate| std::iter::repeat_n(gate.address, 8))
        .map(|address| {
            let token = token.to_owned();
            std::thread::spawn(move || {
                let ask = |_| ask_from("192.0.2.1", address, path, Some(&token)).status;
                (0..each).map(ask).collect::<Vec<_>>()
            })
        })
        .collect();
    let told: Vec<u16> =
        asking.into_iter().flat_map(|asking| asking.join().expect("no panic")).collect();
    assert!(told.iter().all(|status| [200, 429].contains(status)), "{told:?}");
    told.iter().filter(|status| **status == 200).count()
}

/// Whatever is sent to whichever process at once: as many pass as the limit says, and not one more.
fn is_shared(realm: &Realm) {
    let bob = mint(realm, "bob", "staff");
    let gates = [realm.gate(), realm.gate()];
    assert_eq!(passed(&[&gates[0], &gates[1]], "/limited/1", &bob, 6), 50);
    for gate in &gates {
        is_over("bob", &ask(gate, "/limited/1", &bob));
    }
    // A process that starts later knows it too.
    is_over("bob", &ask(&realm.gate(), "/limited/1", &bob));
}

#[test]
fn two_processes_on_one_sqlite_file_share_a_limit() {
    is_shared(&realm());
}

#[test]
fn two_processes_on_one_redis_share_a_limit() {
    let Some(server) = RedisServer::start_with(Transport::Tcp, &[]) else { return };
    is_shared(&realm().with("DB_URL", &server.url()));
}

#[test]
fn where_requests_cannot_be_counted_nobody_passes() {
    let realm = realm().with("DB_URL", &format!("redis://{}", free_address()));
    let realm = realm.with("SESSION_RULE", "ignored").with("STORE_TIMEOUT", "0.15");
    let gate = realm.gate();
    let response = ask_from("192.0.2.1", gate.address, "/open/1", None);
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.text().contains("request_limit_unavailable"), "{}", response.text());
}

#[test]
fn a_limit_that_cannot_be_meant_so_is_a_mistake() {
    for (limit, has_model, told) in [
        ("\"max_requests\"", true, "say the period of \"max_requests\""),
        ("\"max_requests_per_minute\"", true, "no role of the model has a limit"),
        ("{ name = \"max_requests\", per = \"week\" }", true, "limit"),
        ("{ name = \"max_requests\" }", true, "say the period"),
        ("{ name = \"max_per_hour\", per = \"day\" }", true, "is by its name for a hour"),
        ("{ name = \"max_requests\", per = \"day\" }", false, "set PERMISSIONS_FILE"),
        ("5", true, "limit"),
    ] {
        let route = format!("[[route]]\npath = \"/*\"\nlimit = {limit}\n");
        let realm = if has_model { with_permissions(Realm::new()) } else { Realm::new() };
        let realm = with_file(realm, "POLICY_FILE", "policy.toml", &route);
        let ended = realm.exits(64, &["check-config"], "");
        assert!(ended.errors.contains(told), "{limit}: {}", ended.errors);
    }
    let never = format!("[[route]]\npath = \"/*\"\nrequire = \"never\"\n{LIMIT}\n");
    let realm = with_file(with_permissions(Realm::new()), "POLICY_FILE", "policy.toml", &never);
    let ended = realm.exits(64, &["check-config"], "");
    assert!(ended.errors.contains("nobody passes here"), "{}", ended.errors);
}

/// A changed model counts from the next request on, in the counts that there are.
#[test]
fn a_model_that_changes_counts_at_once() {
    let realm = realm();
    let alice = mint(&realm, "alice", "authenticated");
    let gate = realm.gate();
    assert_eq!(statuses(&gate, "/limited/1", &alice, 6), [200, 200, 200, 200, 200, 429]);
    let file = realm.setting("PERMISSIONS_FILE").expect("set").to_owned();
    let model = std::fs::read_to_string(&file).expect("the model");
    assert_eq!(model.matches("\"limit\": 5}").count(), 1, "{model}");
    std::fs::write(&file, model.replace("\"limit\": 5}", "\"limit\": 500}")).expect("writable");
    poll("the new limit", PATIENCE, || {
        (ask(&gate, "/limited/1", &alice).status == 200).then_some(())
    });
}

#[test]
fn the_examples_of_the_page_are_accepted() {
    let page = Page::read(PAGE);
    let (routes, model) = (page.blocks("toml"), page.blocks("json").concat());
    assert!(!routes.is_empty() && !model.is_empty());
    for routes in routes {
        let realm = with_file(Realm::new(), "PERMISSIONS_FILE", "permissions.json", &model);
        with_file(realm, "POLICY_FILE", "policy.toml", routes).exits(0, &["check-config"], "");
    }
}
