//! Limits: guesses are slowed down by name and by address.

use super::start;
use crate::support::{
    issuer::{ALICE, DEMO, text},
    realm::Realm,
};

#[test]
fn guessing_is_slowed_down_whatever_name_is_used() {
    let realm =
        Realm::issuing().with("RATE_LIMITS", "true").with("RATE_LIMIT_PER_MINUTE", "100000");
    let realm = realm.with("LOCK_TRIES", "3").with("LOCK_TIME", "600");
    let (realm, issuer, _) = start(realm);
    let try_as = |name: &str, password: &str| issuer.by_password(name, password, &[]);
    // The account's name in one canonical form: neither case nor blanks dodge the count.
    for name in ["alice", "ALICE", " Alice "] {
        assert_eq!(try_as(name, "wrong").status, 400, "{name:?}");
    }
    let locked = try_as("alice", ALICE.1);
    assert_eq!((locked.status, text(&locked.json(), "error")), (429, "slow_down"));
    let wait: u64 = locked.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((500..=600).contains(&wait), "{wait}");
    for _ in 0..3 {
        assert_eq!(try_as("nobody", "wrong").status, 400);
    }
    assert_eq!(try_as("nobody", "wrong").status, 429, "a name that nobody has is no different");
    let audit = realm.audit_log();
    let locks = realm.events().iter().filter(|event| event["event"] == "temporary_lock").count();
    assert_eq!(locks, 2, "{audit}");
    assert!(!audit.contains("wrong") && !audit.contains(ALICE.1), "{audit}");
}

#[test]
fn one_address_has_a_budget() {
    let realm = Realm::issuing().with("RATE_LIMITS", "true").with("RATE_LIMIT_PER_MINUTE", "10");
    let (_realm, issuer, _) = start(realm);
    let from = |address: &str| {
        let line = format!("X-Forwarded-For: {address}");
        issuer.form("/token", &[("grant_type", "refresh_token"), ("refresh_token", "x")], &[&line])
    };
    for _ in 0..5 {
        assert_eq!(from("203.0.113.7").status, 400);
    }
    let refused = from("203.0.113.7");
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert_eq!(from("203.0.113.8").status, 400, "another address has its own");
    assert_eq!(
        from("203.0.113.8, 203.0.113.7").status,
        429,
        "what the client wrote does not count"
    );
}

#[test]
fn a_client_is_never_refused_for_the_guesses_of_others() {
    let realm = Realm::issuing().with("RATE_LIMITS", "true").with("RATE_LIMIT_PER_MINUTE", "10");
    let (_realm, issuer, secret) = start(realm);
    let ask = |secret: &str| {
        let form =
            [("grant_type", "client_credentials"), ("client_id", DEMO), ("client_secret", secret)];
        issuer.form("/token", &form, &[]).status
    };
    for _ in 0..5 {
        assert_eq!(ask("wrong"), 401);
    }
    assert_eq!(ask("wrong"), 429);
    for _ in 0..20 {
        assert_eq!(ask(&secret), 200);
    }
}
