//! A policy that changes while a gate runs: all of its files take effect, or none of them does.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::support::gate::Gate;
use crate::support::http::{Client, bearer, request};
use crate::support::realm::Realm;
use crate::support::{PATIENCE, poll};

/// A policy by which alice alone, or bob alone, may read `/page`.
fn for_user(name: &str) -> String {
    format!(
        "[[route]]\nname = \"page\"\npath = \"/page\"\nrequire = {{ claims = {{ sub = \"{name}\" }} }}\n"
    )
}

/// The question of nginx about `GET /page/1` or another path.
fn question(path: &str, token: &str) -> Vec<u8> {
    let lines = [
        "X-Original-Method: GET",
        "X-Original-Proto: https",
        "X-Original-Host: app.test",
        &format!("X-Original-URI: {path}"),
        &bearer(token),
    ];
    request("GET", "/validate_request", &lines, b"")
}

fn status(gate: &Gate, path: &str, token: &str) -> u16 {
    Client::connect(gate.address).exchange(question(path, token)).status
}

/// The value of a metric without labels.
fn metric(gate: &Gate, name: &str) -> f64 {
    let metrics = gate.metrics();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().expect("a number")
}

fn reloads(gate: &Gate) -> f64 {
    metric(gate, "portcullis_policy_reloads_total")
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    poll(what, PATIENCE, || holds().then_some(()));
}

/// Puts a file in place of another at once.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("writable");
    fs::rename(&new, path).expect("renamed");
}

/// A realm with one policy file, and the file.
fn realm_with(policy: &str) -> (Realm, PathBuf) {
    let realm = Realm::new().with_policy(policy);
    let file = realm.folder().join("policy.toml");
    (realm, file)
}

#[test]
fn a_policy_that_changed_is_soon_in_force() {
    let (realm, file) = realm_with(&for_user("alice"));
    let (alice, bob) = (realm.mint("alice", &[]), realm.mint("bob", &[]));
    let gate = realm.gate();
    let both = || (status(&gate, "/page", &alice), status(&gate, "/page", &bob));
    assert_eq!(both(), (200, 403));
    replace(&file, &for_user("bob"));
    until("the new policy", || both() == (403, 200));
    // Written in place, as an editor may do.
    fs::write(&file, for_user("alice")).expect("writable");
    until("the policy after it", || both() == (200, 403));
    assert_eq!((reloads(&gate), metric(&gate, "portcullis_policy_is_current")), (2.0, 1.0));
    assert_eq!(metric(&gate, "portcullis_policy_routes"), 1.0);
}

#[test]
fn sighup_has_the_policy_read_again() {
    let (realm, file) = realm_with(&for_user("alice"));
    let (alice, bob) = (realm.mint("alice", &[]), realm.mint("bob", &[]));
    let gate = realm.gate();
    gate.signal("HUP");
    until("the same file again", || reloads(&gate) == 1.0);
    assert_eq!(status(&gate, "/page", &alice), 200);
    replace(&file, &for_user("bob"));
    gate.signal("HUP");
    until("the new file", || reloads(&gate) >= 2.0);
    assert_eq!((status(&gate, "/page", &alice), status(&gate, "/page", &bob)), (403, 200));
}

#[test]
fn a_gate_without_a_policy_survives_sighup() {
    let realm = Realm::new();
    let alice = realm.mint("alice", &[]);
    let gate = realm.gate();
    gate.signal("HUP");
    gate.wait_for_log("SIGHUP: these are read again");
    assert_eq!(gate.check(&alice).status, 200);
}

#[test]
fn a_file_with_a_mistake_leaves_the_policy_in_force_and_is_loud() {
    let (realm, file) = realm_with(&for_user("alice"));
    let (alice, bob) = (realm.mint("alice", &[]), realm.mint("bob", &[]));
    let gate = realm.gate();
    let good = for_user("bob");
    let bad = [
        "default = \"public\"\n[[route]]\npath = \"/page\"\nrequire = \"noting\"\n".to_owned(),
        format!("{good}\n[[route]]\npath = \"page\"\n"),
        good[..good.len() - 4].to_owned(),
    ];
    for (count, text) in bad.iter().enumerate() {
        replace(&file, text);
        let failures = || metric(&gate, "portcullis_policy_reload_failures_total");
        until("the failure", || failures() == count as f64 + 1.0);
        assert_eq!(metric(&gate, "portcullis_policy_is_current"), 0.0);
        assert_eq!((status(&gate, "/page", &alice), status(&gate, "/page", &bob)), (200, 403));
        assert_eq!(status(&gate, "/other", &alice), 403, "the default of a bad file");
    }
    fs::remove_file(&file).expect("removed");
    until("the missing file", || {
        metric(&gate, "portcullis_policy_reload_failures_total") == bad.len() as f64 + 1.0
    });
    assert_eq!(status(&gate, "/page", &alice), 200);
    for words in ["policy.toml, line 4 (route 1): require", "cannot read it", "stays in force"] {
        gate.wait_for_log_line(&["ERROR", words]);
    }
    assert_eq!(reloads(&gate), 0.0);
    replace(&file, &good);
    until("the repaired file", || metric(&gate, "portcullis_policy_is_current") == 1.0);
    assert_eq!((status(&gate, "/page", &alice), status(&gate, "/page", &bob)), (403, 200));
}

const CASBIN_MODEL: &str = "[request_definition]\nr = sub, obj, act\n\
    [policy_definition]\np = sub, obj, act\n[role_definition]\ng = _, _\n\
    [policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\n\
    m = g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && r.act == p.act\n";

/// A folder with the files of a policy, by its version: its route asks Casbin about `v1:..` or
/// `v2:..`, and its rules let alice do that. The rules let bob do the other, so that the routes of
/// one version and the rules of another would let in bob and keep out alice.
fn write_version(folder: &Path, version: usize) -> PathBuf {
    let (own, other) = if version % 2 == 1 { ("v1", "v2") } else { ("v2", "v1") };
    let folder = folder.join(format!("version-{version}"));
    fs::create_dir(&folder).expect("a new folder");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("writable");
    write("model.conf", CASBIN_MODEL);
    write(
        "rules.csv",
        &format!("p, reader, {own}:*, GET\np, bob, {other}:*, GET\ng, alice, reader\n"),
    );
    let route = format!(
        "[[route]]\nname = \"page\"\npath = \"/page/{{id}}\"\n\
         require = {{ casbin = {{ object = \"{own}:{{id}}\", action = \"{{method}}\" }} }}\n"
    );
    write("policy.toml", &route);
    folder
}

/// A realm whose policy is in a folder behind a link, as orchestrators lay it.
fn realm_behind_link() -> (Realm, PathBuf) {
    let realm = Realm::new().with("SESSION_STALENESS", "5");
    let link = realm.folder().join("current");
    symlink(write_version(realm.folder(), 1), &link).expect("a link");
    let files = [
        ("POLICY_FILE", "policy.toml"),
        ("CASBIN_MODEL", "model.conf"),
        ("CASBIN_POLICY", "rules.csv"),
    ];
    let realm = files.into_iter().fold(realm, |realm, (setting, name)| {
        realm.with(setting, &link.join(name).display().to_string())
    });
    (realm, link)
}

/// Points the link elsewhere at once.
fn point(link: &Path, to: &Path) {
    let new = link.with_extension("new");
    symlink(to, &new).expect("a link");
    fs::rename(&new, link).expect("renamed");
}

#[test]
fn casbins_files_are_a_part_of_the_policy() {
    let (realm, link) = realm_behind_link();
    let (alice, bob) = (realm.mint("alice", &[]), realm.mint("bob", &[]));
    let gate = realm.gate();
    let both = || (status(&gate, "/page/1", &alice), status(&gate, "/page/1", &bob));
    assert_eq!(both(), (200, 403));
    // Only the rules change, and what was remembered of them goes.
    let rules = link.join("rules.csv");
    replace(&rules, "p, bob, v1:*, GET\n");
    until("the new rules", || both() == (403, 200));
    // A rule that Casbin would pass over, beside routes that are good.
    replace(&rules, "p, alice, v1:*, GET\np, bob, v1:*\n");
    replace(&link.join("policy.toml"), "default = \"public\"\n");
    let failures = || metric(&gate, "portcullis_policy_reload_failures_total");
    until("the failure", || failures() >= 1.0);
    assert_eq!((both(), status(&gate, "/other", &alice)), ((403, 200), 403));
    gate.wait_for_log("rules.csv, line 2: \"p\" has 3 values, not 2");
    replace(&rules, "p, alice, v1:*, GET\n");
    until("both files", || status(&gate, "/other", &alice) == 200);
}

/// Somebody who asks about one page again and again, and keeps each answer that is not the one
/// expected.
struct Asker {
    thread: JoinHandle<Vec<u16>>,
    answered: Arc<AtomicUsize>,
}

impl Asker {
    fn start(gate: &Gate, token: &str, expected: u16, stop: &Arc<AtomicBool>) -> Self {
        let (address, question) = (gate.address, question("/page/1", token));
        let (answered, stop) = (Arc::<AtomicUsize>::default(), Arc::clone(stop));
        let count = Arc::clone(&answered);
        let thread = std::thread::spawn(move || {
            let (mut client, mut others) = (Client::connect(address), Vec::new());
            while !stop.load(Ordering::Acquire) {
                let status = client.exchange(&question).status;
                if status != expected {
                    others.push(status);
                }
                count.fetch_add(1, Ordering::AcqRel);
            }
            others
        });
        Self { thread, answered }
    }
}

#[test]
fn under_full_load_no_request_is_lost_and_none_is_judged_by_half_a_policy() {
    let (realm, link) = realm_behind_link();
    let (alice, bob) = (realm.mint("alice", &[]), realm.mint("bob", &[]));
    let gate = realm.gate();
    let stop = Arc::<AtomicBool>::default();
    let people = [(&alice, 200), (&bob, 403), (&alice, 200), (&bob, 403)];
    let askers = people.map(|(token, expected)| Asker::start(&gate, token, expected, &stop));
    let counts = || askers.each_ref().map(|asker| asker.answered.load(Ordering::Acquire));
    for version in 2..=30 {
        let before = (counts(), reloads(&gate));
        point(&link, &write_version(realm.folder(), version));
        // Every tenth is found without being told of.
        if version % 10 != 0 {
            gate.signal("HUP");
        }
        until("the next policy, and answers by it", || {
            let is_asked = counts().iter().zip(before.0).all(|(now, then)| *now >= then + 5);
            is_asked && reloads(&gate) > before.1
        });
    }
    stop.store(true, Ordering::Release);
    let total: usize = counts().iter().sum();
    for (asker, (_, expected)) in askers.into_iter().zip(people) {
        let others = asker.thread.join().expect("every question got an answer");
        assert!(others.is_empty(), "{expected} was expected of {total}: {others:?}");
    }
    assert_eq!(metric(&gate, "portcullis_policy_reload_failures_total"), 0.0);
    assert!(reloads(&gate) >= 29.0 && total >= 29 * 4 * 5, "{total} answers");
}
