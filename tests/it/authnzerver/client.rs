//! Clients in Python: one of our own, and authnzerver's, unmodified, where its checkout is named.

use std::collections::BTreeSet;

use serde_json::json;

use super::access::with_permissions;
use crate::support::{
    authnzerver::{KEY, start},
    realm::Realm,
    say,
    script::{self, Interpreter},
};

/// The requests that succeed, and the refusals.
pub const STEPS: [&str; 37] = [
    "apikey-new",
    "apikey-new-nosession",
    "apikey-refresh-nosession",
    "apikey-revoke",
    "apikey-revoke-nosession",
    "apikey-revokeall-nosession",
    "apikey-verify",
    "apikey-verify-nosession",
    "internal-session-edit",
    "internal-user-delete",
    "internal-user-edit",
    "internal-user-lock",
    "refusals",
    "session-delete",
    "session-delete-userid",
    "session-exists",
    "session-new",
    "user-changepass",
    "user-changepass-nosession",
    "user-check-access",
    "user-check-limit",
    "user-delete",
    "user-edit",
    "user-list",
    "user-lock",
    "user-login",
    "user-logout",
    "user-lookup-email",
    "user-lookup-match",
    "user-new",
    "user-passcheck",
    "user-passcheck-nosession",
    "user-resetpass",
    "user-resetpass-nosession",
    "user-set-emailsent",
    "user-set-emailverified",
    "user-validatepass",
];

fn takes_all_steps(checkout: Option<&str>) {
    let (realm, issuer, frontend) = start(with_permissions(Realm::issuing()));
    let mut parts = json!({ "wire": format!("http://{}/", frontend.address), "key": KEY });
    if let Some(checkout) = checkout {
        parts["authnzerver"] = checkout.into();
    }
    let name = "authnzerver_client.py";
    let Some(steps) = script::steps(Interpreter::Python, name, parts, realm.folder()) else {
        return;
    };
    let steps: BTreeSet<_> = steps.iter().map(String::as_str).collect();
    assert_eq!(steps, BTreeSet::from(STEPS), "{}", issuer.gate.log());
}

#[test]
fn a_client_in_python_goes_every_way() {
    takes_all_steps(None);
}

#[test]
fn authnzervers_own_client_goes_every_way() {
    match std::env::var("PORTCULLIS_TEST_AUTHNZERVER") {
        Ok(checkout) => takes_all_steps(Some(&checkout)),
        Err(_) => {
            say("NOT RUN: authnzerver's own client; PORTCULLIS_TEST_AUTHNZERVER names no checkout")
        }
    }
}
