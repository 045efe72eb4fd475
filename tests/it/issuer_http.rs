//! The issuer over HTTP, byte by byte: statuses, headers and bodies that clients go by, and what is never let in.

mod cookies;
mod csrf;
mod grants;
mod hook;
mod introspection;
mod limits;
mod routes;
mod sessions;

use crate::support::{issuer::Issuer, realm::Realm};

const ADMIN: &str = "an administrator's token, 32 bytes";
const UUID: &str = "9a1c1f0e-3a51-4d57-bd4c-4f7e1e0ad9f1";

/// An issuer with alice and the client demo, whose secret it also gives.
fn start(realm: Realm) -> (Realm, Issuer, String) {
    let secret = realm.with_alice_and_demo();
    let issuer = Issuer::start(&realm);
    (realm, issuer, secret)
}
