//! One name of a subject throughout: rules by a user's id meet whatever he shows, and nothing else does.

use super::{
    add_rule, add_user, authorize, basic, log_in, question, status, with_rules, with_token,
};
use crate::policy_models::with_file;
use crate::support::{http::Client, issuer::Issuer, realm::Realm};

/// The credentials that alice may show, in this mode of tokens: with the user's name that an application is told.
fn shown(realm: &Realm, issuer: &Issuer) -> Vec<(String, String)> {
    let key = realm.ask(&["apikey", "add", "alice"]);
    let lines = [with_token(&log_in(issuer, "alice")), format!("X-Api-Key: {key}"), basic("alice")];
    let told = |line: String| {
        let answer = Client::connect(issuer.gate.address).exchange(question("/any", &line));
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.header("x-auth-user").expect("a user").to_owned(), line)
    };
    lines.into_iter().map(told).collect()
}

#[test]
fn a_rule_by_the_users_id_meets_tokens_handles_keys_and_passwords() {
    for (mode, prefix) in [("jwt", ""), ("opaque", "own:")] {
        let realm = with_rules(Realm::issuing())
            .with("ACCEPT_BASIC", "true")
            .with("TOKEN_MODE", mode)
            .with("USER_PREFIX", prefix);
        let id = add_user(&realm, "alice", &["reader"]);
        add_rule(&realm, &format!("p {prefix}{id} doc:own GET allow"));
        add_rule(&realm, "p reader doc:read GET allow");
        // Other names of hers, which are no subjects.
        let mut others = vec!["alice", "alice@example.com"];
        if !prefix.is_empty() {
            others.push(&id);
        }
        for other in others {
            add_rule(&realm, &format!("p {other} doc:other GET allow"));
        }
        let issuer = Issuer::start(&realm);
        for (user, line) in shown(&realm, &issuer) {
            assert_eq!(user, format!("{prefix}{id}"), "{line}");
            for (object, is_allowed) in [("own", true), ("read", true), ("other", false)] {
                let path = format!("/docs/{object}");
                let expected = if is_allowed { 200 } else { 403 };
                let place = format!("{mode} {object} {line:.24}");
                assert_eq!(status(issuer.gate.address, &path, &line), expected, "{place}");
                // And so says the issuer to an application that asks.
                let told = authorize(&issuer, &user, &format!("doc:{object}"), "GET");
                assert_eq!(told, (200, is_allowed.into()), "{place}");
            }
        }
        realm.ask(&["user", "lock", "alice"]);
        let told = authorize(&issuer, &format!("{prefix}{id}"), "doc:own", "GET");
        assert_eq!(told, (200, false.into()), "who is locked may do nothing");
    }
}

/// Whoever signs for another issuer writes what he likes into `roles`.
#[test]
fn roles_of_another_issuer_are_what_rules_say_and_not_its_tokens() {
    let theirs = Realm::new().with("ISSUER", "https://other.test");
    let table = "[[issuers]]\nissuer = \"https://other.test\"\nsession_rule = \"ignored\"\n\
        user_prefix = \"other:\"\n[[issuers.keys]]\nalgorithm = \"ES256\"\n\
        public_key_file = \"THEIRS\"\n";
    let key = theirs.folder().join("true.public.pem").display().to_string();
    let realm = with_file(Realm::new(), "CONFIG", "issuers.toml", &table.replace("THEIRS", &key));
    let own = ["PUBLIC_KEY_FILE", "PRIVATE_KEY_FILE", "ALGORITHM"];
    let realm = own.into_iter().fold(with_rules(realm), Realm::without);
    let realm = realm.with("ACCOUNTS_ISSUER", "accounts");
    for rule in ["p reader doc:1 GET allow", "g other:carol reader"] {
        add_rule(&realm, rule);
    }
    let mint = |user: &str| with_token(&theirs.mint(user, &["--role", "reader", "--no-session"]));
    let (dave, carol, gate) = (mint("dave"), mint("carol"), realm.gate());
    assert_eq!(status(gate.address, "/any", &dave), 200);
    assert_eq!(status(gate.address, "/docs/1", &dave), 403);
    assert_eq!(status(gate.address, "/docs/1", &carol), 200);
    // The same where nobody says whose users the accounts are.
    let gate = realm.without("ACCOUNTS_ISSUER").without("ACCEPT_API_KEYS").gate();
    assert_eq!(status(gate.address, "/docs/1", &dave), 403);
    assert_eq!(status(gate.address, "/docs/1", &carol), 200);
}
