//! The contract of every store of rules: each case runs on SQLite and on a real PostgreSQL, straight and by
//! way of pgbouncer.

use portcullis::account::{AccountError, RuleSet, RuleStore, StoredRule};

use super::{at, open_sqlite, user};
use crate::contract::contract;
use crate::support::stores;

type Fixture = stores::Fixture<dyn RuleStore>;

contract! {
    on_databases:
    rules_are_got_back_in_the_order_in_which_they_were_added
    a_rule_is_there_once_and_keeps_its_place
    every_change_advances_the_version_for_every_process
    of_rules_that_are_removed_the_others_stay
    many_who_add_at_once_all_get_their_place
}

fn rule(values: &[&str]) -> StoredRule {
    let mut values = values.iter().map(|value| (*value).to_owned());
    StoredRule {
        kind: values.next().expect("a kind"),
        fields: values.collect(),
        created: at(1),
        created_by: "command".to_owned(),
    }
}

async fn listed(store: &dyn RuleStore) -> Vec<StoredRule> {
    store.rules().await.expect("rules").rules
}

async fn rules_are_got_back_in_the_order_in_which_they_were_added(fixture: Fixture) {
    assert_eq!(fixture.store.rules().await, Ok(RuleSet::default()));
    let first = [
        rule(&["p", "zoë", "data:1, \"two\"", "read", ""]),
        rule(&["g", "alice", "$1 ?1 '; DROP TABLE users; --"]),
    ];
    let second = [rule(&["p", "a", "b", "c"]), rule(&["p2", "a", "b", "c"])];
    assert_eq!(fixture.store.add_rules(&first).await, Ok(2));
    assert_eq!(fixture.other.add_rules(&second).await, Ok(2));
    assert_eq!(listed(&*fixture.other).await, [first, second].concat());
}

async fn a_rule_is_there_once_and_keeps_its_place(fixture: Fixture) {
    let (one, two, three) = (rule(&["p", "1"]), rule(&["p", "2"]), rule(&["p", "3"]));
    fixture.store.add_rules(&[one.clone(), two.clone()]).await.expect("added");
    let again = StoredRule { created: at(9), created_by: "another".to_owned(), ..one.clone() };
    let added = fixture.other.add_rules(&[again, three.clone(), three.clone()]).await;
    assert_eq!(added, Ok(1));
    assert_eq!(listed(&*fixture.store).await, [one, two, three]);
}

async fn every_change_advances_the_version_for_every_process(fixture: Fixture) {
    let version = async || fixture.other.rules_version().await.expect("a version");
    let mut before = version().await;
    for step in 0..4 {
        let rules = [rule(&["p", "alice"])];
        match step {
            0 | 2 => assert_eq!(fixture.store.add_rules(&rules).await, Ok(1)),
            _ => assert_eq!(fixture.store.remove_rules(&rules).await, Ok(1)),
        }
        let after = version().await;
        assert!(after > before, "{step}: {after}");
        assert_eq!(fixture.other.rules().await.expect("rules").version, after);
        before = after;
    }
}

async fn of_rules_that_are_removed_the_others_stay(fixture: Fixture) {
    let rules = [rule(&["p", "a", "b"]), rule(&["p", "a"]), rule(&["g", "a", "b"])];
    fixture.store.add_rules(&rules).await.expect("added");
    assert_eq!(fixture.store.remove_rules(&[rule(&["p", "b", "a"])]).await, Ok(0));
    let [first, second, third] = rules;
    assert_eq!(fixture.store.remove_rules(&[third, first, rule(&["p", "x"])]).await, Ok(2));
    assert_eq!(listed(&*fixture.store).await, [second]);
}

async fn many_who_add_at_once_all_get_their_place(fixture: Fixture) {
    let before = fixture.store.rules_version().await.expect("a version");
    let adding: Vec<_> = (0..12)
        .map(|n| {
            let store = fixture.either(n);
            tokio::spawn(async move { store.add_rules(&[rule(&["p", &n.to_string()])]).await })
        })
        .collect();
    for added in adding {
        assert_eq!(added.await.expect("a task"), Ok(1));
    }
    let found = fixture.store.rules().await.expect("rules");
    assert_eq!(found.rules.len(), 12);
    assert!(found.version >= before + 12, "{before} {}", found.version);
    // No two share a place, so the order is the same for everybody.
    assert_eq!(found, fixture.other.rules().await.expect("rules"));
}

#[tokio::test]
async fn roles_are_counted_by_groups_of_users() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open_sqlite(folder.path()).await;
    for (name, roles) in [("a", &["x", "y"][..]), ("b", &["x", "y"]), ("c", &["y"]), ("d", &[])] {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let user = portcullis::account::User { roles, ..user(name) };
        portcullis::account::AccountStore::add_user(&store, &user).await.expect("added");
    }
    let mut groups = store.role_groups().await.expect("groups");
    groups.sort_by_key(|group| group.roles.len());
    let groups: Vec<_> = groups.iter().map(|group| (group.roles.join(" "), group.users)).collect();
    assert_eq!(groups, [(String::new(), 1), ("y".to_owned(), 1), ("x y".to_owned(), 2)]);
}

/// A rule that is left out may be a denial, and a version that is gone hides every change.
#[tokio::test]
async fn what_is_damaged_is_never_left_out() {
    for damage in [
        "UPDATE policy_rules SET fields = 'no json' WHERE kind = 'g'",
        "UPDATE policy_rules SET fields = '[1]' WHERE kind = 'g'",
        "UPDATE policy_rules SET created = -1 WHERE kind = 'g'",
        "UPDATE policy_version SET version = -1",
        "DELETE FROM policy_version",
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let store = open_sqlite(folder.path()).await;
        let rules = [rule(&["p", "a"]), rule(&["g", "a", "b"])];
        store.add_rules(&rules).await.expect("added");
        let before = store.rules_version().await.expect("a version");
        let raw = stores::raw_sqlite(folder.path()).await;
        sqlx::raw_sql(damage).execute(&raw).await.expect(damage);
        let found = store.rules().await;
        assert!(matches!(found, Err(AccountError::Corrupt { .. })), "{damage}: {found:?}");
        let is_of_version = damage.contains("policy_version");
        match store.rules_version().await {
            Ok(after) => assert!(!is_of_version && after > before, "a change by hand: {damage}"),
            Err(_) => assert!(is_of_version, "{damage}"),
        }
        raw.close().await;
    }
}
