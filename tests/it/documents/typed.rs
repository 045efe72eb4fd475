//! The commands of the pages, typed as they stand there, each page in one shell.

use crate::support::{
    app::App,
    demo::Demo,
    free_address,
    nginx::Nginx,
    page::{self, Page},
};

/// The pages whose commands are typed: here, and by the tests of the gateways and the key ring.
pub(super) const PAGES: [&str; 18] = [
    "README.md",
    "docs/how-to/audit.md",
    "docs/how-to/api-keys.md",
    "docs/how-to/devices.md",
    "docs/how-to/log-out-everywhere.md",
    "docs/how-to/production.md",
    "docs/how-to/roles-and-rules.md",
    "docs/how-to/rotate-keys.md",
    "docs/how-to/stolen-key.md",
    "docs/how-to/test-a-rule.md",
    "docs/how-to/users-and-clients.md",
    "docs/how-to/websocket-tickets.md",
    "docs/tutorial.md",
    "examples/caddy/README.md",
    "examples/envoy/README.md",
    "examples/haproxy/README.md",
    "examples/nginx/README.md",
    "examples/traefik/README.md",
];

/// Types a page beside `portcullis dev`, without a gateway.
fn beside_dev(name: &str) -> String {
    let demo = Demo::start();
    demo.addresses_of(Page::read(name)).type_in(&mut demo.shell(), "")
}

/// Types a page beside `portcullis dev` behind nginx; nothing where there is no nginx.
fn behind_nginx(name: &str) -> Option<String> {
    let (demo, app) = (Demo::start(), App::start());
    let issuer = format!("server {};", demo.issuer);
    let edits = [("server 127.0.0.1:8081;", issuer.as_str())];
    let nginx = Nginx::start(demo.gate, app.address, &edits)?;
    let page = demo.addresses_of(Page::read(name)).with("127.0.0.1:8088", nginx.address);
    Some(page.type_in(&mut demo.shell(), ""))
}

#[test]
fn the_quick_start_of_the_readme_can_be_typed() {
    behind_nginx("README.md");
}

#[test]
fn the_first_hour_can_be_typed() {
    let Some(shown) = behind_nginx("docs/tutorial.md") else { return };
    for told in ["x-auth-username: alice", "user:write", "user_locked", "portcullis_requests_total"]
    {
        assert!(shown.contains(told), "{told} is not in\n{shown}");
    }
}

#[test]
fn what_searches_the_audit_log_can_be_typed() {
    let shown = beside_dev("docs/how-to/audit.md");
    for told in ["login_refused", "refused logins by name:", "\"refused_addresses\""] {
        assert!(shown.contains(told), "{told} is not in\n{shown}");
    }
}

#[test]
fn what_shows_devices_can_be_typed() {
    let shown = beside_dev("docs/how-to/devices.md");
    assert!(shown.contains("Alice's tablet"), "{shown}");
}

#[test]
fn a_ticket_is_given_out_as_the_page_says() {
    let shown = beside_dev("docs/how-to/websocket-tickets.md");
    assert!(shown.contains("\"ticket\":\"pt_"), "{shown}");
}

#[test]
fn what_ends_sessions_can_be_typed() {
    let shown = beside_dev("docs/how-to/log-out-everywhere.md");
    assert!(shown.contains("\"active\":true"), "{shown}");
}

#[test]
fn a_rule_can_be_tested_as_the_page_says() {
    let shown = beside_dev("docs/how-to/test-a-rule.md");
    let told = [
        "NO  scopes       the token grants [user:read]; needed are [user:write]",
        "\"steps\"",
        "verdict: allow",
    ];
    told.iter().for_each(|told| assert!(shown.contains(told), "{told} is not in\n{shown}"));
}

#[test]
fn users_clients_and_api_keys_can_be_typed() {
    let shown = beside_dev("docs/how-to/users-and-clients.md");
    assert!(shown.contains("bob@example.com"), "{shown}");
}

#[test]
fn roles_and_rules_can_be_typed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut shell = page::shell(folder.path());
    shell.env("PASSWORD_MEMORY_KIB", "64");
    let shown = Page::read("docs/how-to/roles-and-rules.md").type_in(&mut shell, "");
    for told in ["p, editor, article:*, GET, allow", "editor  "] {
        assert!(shown.contains(told), "{told} is not in\n{shown}");
    }
}

#[test]
fn api_keys_can_be_made_and_refreshed_as_the_page_says() {
    let shown = beside_dev("docs/how-to/api-keys.md");
    for told in ["nightly build", "\"label\":\"ci\"", "invalid_grant", "\"revoked\":"] {
        assert!(shown.contains(told), "{told} is not in\n{shown}");
    }
}

#[test]
fn a_rotation_can_be_typed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut shell = page::shell(folder.path());
    shell.env("KEY_RING_FILE", "keys.json");
    let shown = Page::read("docs/how-to/rotate-keys.md").type_in(&mut shell, "");
    assert!(shown.contains("signing"), "{shown}");
}

#[test]
fn the_commands_for_production_work_in_one_shell() {
    let folder = tempfile::tempdir().expect("a folder");
    let gate = free_address().to_string();
    let page = Page::read("docs/how-to/production.md").with("127.0.0.1:8080", &gate);
    let mut shell = page::shell(folder.path());
    // What was typed before, for the accounts of `dev`.
    shell.env("ACCOUNTS_URL", "sqlite:portcullis-data/dev-accounts.db").env("LISTEN", &gate);
    for listener in ["METRICS_LISTEN", "ISSUER_LISTEN", "INTERNAL_LISTEN", "GRPC_LISTEN"] {
        shell.env(listener, free_address().to_string());
    }
    // A test machine is slow, and nobody types here: the store is asked at each request.
    shell.envs([("STORE_TIMEOUT", "3"), ("SESSION_STALENESS", "0"), ("PASSWORD_MEMORY_KIB", "64")]);
    page.type_in(&mut shell, "correct horse battery staple\n");
}
