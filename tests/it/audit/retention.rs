//! Retention: a server deletes by itself what is older than it is told to keep.

use std::time::Duration;

use portcullis::account::{AuditEvent, AuditStore as _, SqliteAccounts};
use portcullis::clock::{Clock as _, SystemClock};
use serde_json::Value;

use crate::support::{PATIENCE, issuer::Issuer, poll, realm::Realm, stores, topology::runtime};

/// Events of so many days ago, with the days as their ids.
fn with_events_of(realm: &Realm, days: &[u64]) {
    let now = SystemClock::new().now();
    let events: Vec<_> = days
        .iter()
        .map(|days| AuditEvent {
            time: now.before(Duration::from_secs(days * 86_400 + 3_600)),
            ..super::event(&days.to_string(), 0)
        })
        .collect();
    runtime().block_on(async {
        let store = SqliteAccounts::new(stores::sqlite(realm.folder()).await, PATIENCE);
        store.add_events(&events).await.expect("added");
    });
}

fn kept(issuer: &Issuer) -> Vec<String> {
    let answer = issuer.as_admin("GET", "/admin/audit?kind=login", b"").json();
    let events = answer["events"].as_array().expect("events").iter();
    events.filter_map(|event| Value::as_str(&event["id"]).map(str::to_owned)).collect()
}

#[test]
fn a_server_deletes_what_is_older_than_it_is_told_to_keep() {
    for (setting, left) in [
        (None, &["1", "6", "89"][..]),
        (Some("7"), &["1", "6"]),
        (Some("0"), &["1", "6", "89", "90", "400"]),
    ] {
        let mut realm = Realm::issuing();
        if let Some(days) = setting {
            realm = realm.with("AUDIT_RETENTION", days);
        }
        with_events_of(&realm, &[1, 6, 89, 90, 400]);
        let issuer = Issuer::start(&realm);
        let is_so = || (kept(&issuer) == left).then_some(());
        poll(&format!("AUDIT_RETENTION={setting:?}"), PATIENCE, is_so);
    }
}
