//! The contract of every store: each case runs on SQLite and on a real PostgreSQL, straight and by way
//! of pgbouncer.

mod import;
mod key_rotation;
mod keys_and_clients;

use import::{many_are_added_with_their_keys_and_each_is_told, of_many_all_are_added_or_none};
use key_rotation::{
    a_key_goes_with_its_family_and_no_other, a_key_is_got_back_with_all_that_it_is_bound_to,
    a_key_that_is_deleted_while_it_is_replaced_leaves_none,
    all_keys_of_a_user_go_and_those_of_others_stay, of_many_who_replace_a_key_one_does,
    what_is_of_no_use_any_more_is_purged,
};
use keys_and_clients::{
    a_key_is_renewed_by_its_digest, a_key_needs_a_user_and_goes_with_it,
    clients_are_got_back_changed_and_forgotten, keys_are_got_back_listed_and_forgotten,
    times_at_the_end_of_the_range_are_kept,
};
use portcullis::account::{AccountError, SentMail, User, UserKind, UserState};
use proptest::prelude::*;

use super::{Fixture, at, client, id, key, login, names, secret, user, whole_user};
use crate::contract::contract;

contract! {
    on_databases:
    a_user_is_got_back_whole
    any_name_and_claim_is_got_back
    a_user_is_found_by_either_name_however_it_is_written
    ids_and_names_are_used_once
    a_username_that_is_the_own_e_mail_is_no_clash
    a_user_that_was_refused_left_nothing_behind
    users_are_listed_by_id_page_by_page
    changing_a_user_moves_its_names
    a_change_that_is_refused_changes_nothing
    a_change_spares_the_password_and_what_is_only_noted
    a_change_undoes_no_other
    changing_nobody_says_so
    a_rehash_does_not_undo_a_new_password
    notes_never_move_back
    a_number_is_given_once_whoever_asks
    no_user_is_given_the_number_of_another_who_is_there_or_was
    keys_are_got_back_listed_and_forgotten
    a_key_needs_a_user_and_goes_with_it
    a_key_is_renewed_by_its_digest
    a_key_is_got_back_with_all_that_it_is_bound_to
    of_many_who_replace_a_key_one_does
    a_key_goes_with_its_family_and_no_other
    a_key_that_is_deleted_while_it_is_replaced_leaves_none
    all_keys_of_a_user_go_and_those_of_others_stay
    what_is_of_no_use_any_more_is_purged
    clients_are_got_back_changed_and_forgotten
    many_are_added_with_their_keys_and_each_is_told
    of_many_all_are_added_or_none
    times_at_the_end_of_the_range_are_kept
    of_many_who_want_one_name_one_has_it
    two_who_want_each_others_names_both_get_an_answer
    two_handles_see_each_other
    it_answers_until_it_is_closed
}

async fn a_number_is_given_once_whoever_asks(fixture: Fixture) {
    let (one, two) = (&fixture.store, &fixture.other);
    let ask = async || {
        let asked = tokio::join!(one.next_user_number(), two.next_user_number());
        [asked.0.expect("a number"), asked.1.expect("a number")]
    };
    let mut given = Vec::new();
    for _ in 0..5 {
        given.extend(ask().await);
    }
    given.sort_unstable();
    assert_eq!(given, (4..14).collect::<Vec<u64>>());
}

async fn no_user_is_given_the_number_of_another_who_is_there_or_was(fixture: Fixture) {
    let numbered = |ids: &[&str]| ids.iter().map(|id| user(id)).collect::<Vec<User>>();
    let import = async |ids: &[&str]| fixture.store.import(&numbered(ids), &[], &mut || ()).await;
    let next = async || fixture.other.next_user_number().await;
    let delete = async |name: &str| fixture.store.delete_user(&id(name)).await;
    // Longer ones, and what is no number, do not count.
    let others = ["9999999999999999", "1234x", "0x7fff", "0-900", "9.9", "alice"];
    assert_eq!(import(&others).await, Ok(()));
    assert_eq!(next().await, Ok(4));
    assert_eq!(import(&["1", "4", "9", "100"]).await, Ok(()));
    assert_eq!(delete("4").await, Ok(true));
    assert_eq!(next().await, Ok(101), "above all that were imported");
    fixture.add(&user("200")).await;
    assert_eq!(delete("200").await, Ok(true));
    assert_eq!(next().await, Ok(201), "above the highest, which is gone");
    assert_eq!(delete("300").await, Ok(false));
    assert_eq!(delete("9999999999999999").await, Ok(true));
    assert_eq!(next().await, Ok(202), "whatever was not there to be deleted");
    fixture.add(&user("999999999999999")).await;
    assert_eq!(next().await, Ok(1_000_000_000_000_000));
}

async fn a_user_is_got_back_whole(fixture: Fixture) {
    for user in [whole_user("whole"), user("bare")] {
        fixture.add(&user).await;
        let found = fixture.user(user.id.as_str()).await.expect("a user");
        assert_eq!(found, user);
        // Logins are equal where their canonical forms are.
        assert_eq!(found.username.as_str(), user.username.as_str());
        let written = |user: &User| user.email.as_ref().map(|email| email.as_str().to_owned());
        assert_eq!(written(&found), written(&user));
        assert_eq!(found.password, user.password);
    }
    assert_eq!(fixture.user("nobody").await, None);
}

async fn any_name_and_claim_is_got_back(fixture: Fixture) {
    let strings = proptest::collection::vec("[^\\pC]{1,40}", 0..4);
    let input = ("[^\\pC ]{1,60}", "[^\\pC]{1,60}", strings, any::<Option<i64>>());
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..48 {
        let tree = input.new_tree(&mut runner).expect("values");
        let (name, full_name, roles, claim) = proptest::strategy::ValueTree::current(&tree);
        let Ok(username) = portcullis::account::Login::parse(&name) else { continue };
        let claims = [(full_name.clone(), serde_json::json!({ "n": claim, "s": name }))];
        let user = User {
            id: id(&name),
            username,
            full_name: Some(full_name),
            roles,
            claims: claims.into_iter().collect(),
            ..user("x")
        };
        fixture.add(&user).await;
        assert_eq!(fixture.user(&name).await, Some(user.clone()));
        assert_eq!(fixture.by_login(&name).await.as_deref(), Some(name.as_str()));
        assert_eq!(fixture.store.delete_user(&user.id).await, Ok(true));
    }
}

async fn a_user_is_found_by_either_name_however_it_is_written(fixture: Fixture) {
    fixture.add(&whole_user("u1")).await;
    fixture.add(&user("other")).await;
    for name in ["Jürgen O'Neil", " JÜRGEN o'neil ", "j.oneil@example.COM", "Ju\u{308}rgen O'Neil"]
    {
        assert_eq!(fixture.by_login(name).await.as_deref(), Some("u1"), "{name}");
    }
    for name in ["u1", "jurgen o'neil", "example.com", "%"] {
        assert_eq!(fixture.by_login(name).await, None, "{name}");
    }
}

async fn ids_and_names_are_used_once(fixture: Fixture) {
    let alice = User { email: Some(login("alice@example.com")), ..user("alice") };
    fixture.add(&alice).await;
    let bob = |username: &str, email: &str| User {
        username: login(username),
        email: Some(login(email)),
        ..user("bob")
    };
    for (second, taken) in [
        (User { username: login("x"), ..user("alice") }, "user id"),
        (bob("ALICE", "b@example.com"), "username"),
        (bob("bob", "Alice@Example.com"), "e-mail"),
        (bob("alice@example.com", "b@example.com"), "username"),
        (bob("bob", "alice"), "e-mail"),
    ] {
        let refused = fixture.store.add_user(&second).await;
        assert_eq!(refused, Err(AccountError::Taken(taken)), "{second:?}");
    }
    fixture.add(&bob("bob", "b@example.com")).await;
}

async fn a_username_that_is_the_own_e_mail_is_no_clash(fixture: Fixture) {
    let name = login("alice@example.com");
    let alice =
        User { username: name.clone(), email: Some(login("Alice@Example.com")), ..user("alice") };
    fixture.add(&alice).await;
    assert_eq!(fixture.by_login("ALICE@example.com").await.as_deref(), Some("alice"));
    assert_eq!(fixture.store.change_user(&alice, at(0)).await, Ok(true));
    assert_eq!(fixture.store.user_by_login(&name).await.expect("user"), Some(alice));
}

async fn a_user_that_was_refused_left_nothing_behind(fixture: Fixture) {
    fixture.add(&user("alice")).await;
    let refused = User { username: login("zoe"), email: Some(login("alice")), ..user("zoe") };
    assert_eq!(fixture.store.add_user(&refused).await, Err(AccountError::Taken("e-mail")));
    assert_eq!(fixture.user("zoe").await, None);
    assert_eq!(fixture.by_login("zoe").await, None);
    fixture.add(&user("zoe")).await;
}

async fn users_are_listed_by_id_page_by_page(fixture: Fixture) {
    // By their bytes, whatever the language of the database.
    let sorted = ["A", "B", "a", "b", "z", "Ä", "ä", "名"];
    for name in ["z", "ä", "B", "a", "名", "A", "b", "Ä"] {
        let username = login(&format!("user of {}", name.escape_unicode()));
        fixture.add(&User { username, ..user(name) }).await;
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = fixture.store.users(after.as_ref(), 3).await.expect("users");
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        listed.extend(page);
    }
    assert_eq!(names(&listed), sorted);
    assert_eq!(fixture.store.users(None, 0).await.expect("users"), []);
    assert_eq!(fixture.store.users(None, usize::MAX).await.expect("users").len(), 8);
}

async fn changing_a_user_moves_its_names(fixture: Fixture) {
    let alice = User { email: Some(login("alice@example.com")), ..user("alice") };
    fixture.add(&alice).await;
    let changed = User {
        username: login("liddell"),
        email: Some(login("alice")),
        roles: vec!["queen".to_owned()],
        updated: at(5),
        ..alice
    };
    assert_eq!(fixture.store.change_user(&changed, at(0)).await, Ok(true));
    assert_eq!(fixture.user("alice").await, Some(changed));
    for (name, expected) in
        [("liddell", Some("alice")), ("alice", Some("alice")), ("alice@example.com", None)]
    {
        assert_eq!(fixture.by_login(name).await.as_deref(), expected, "{name}");
    }
    fixture.add(&User { email: Some(login("alice@example.com")), ..user("bob") }).await;
}

async fn a_change_that_is_refused_changes_nothing(fixture: Fixture) {
    fixture.add(&user("alice")).await;
    fixture.add(&user("bob")).await;
    for (change, taken) in [
        (User { username: login("Alice"), ..user("bob") }, "username"),
        (User { username: login("zoe"), email: Some(login("ALICE")), ..user("bob") }, "e-mail"),
    ] {
        let refused = fixture.store.change_user(&change, at(0)).await;
        assert_eq!(refused, Err(AccountError::Taken(taken)));
        assert_eq!(fixture.user("bob").await, Some(user("bob")));
        assert_eq!(fixture.by_login("bob").await.as_deref(), Some("bob"));
        assert_eq!(fixture.by_login("zoe").await, None);
    }
}

async fn a_change_spares_the_password_and_what_is_only_noted(fixture: Fixture) {
    let before = whole_user("alice");
    fixture.add(&before).await;
    let change = User {
        password: Some(secret("another")),
        created: at(100),
        last_login: None,
        verification_sent: None,
        reset_sent: Some(at(101)),
        kind: UserKind::Person,
        updated: at(7),
        ..before.clone()
    };
    assert_eq!(fixture.store.change_user(&change, at(2)).await, Ok(true));
    let expected = User { kind: UserKind::Person, updated: at(7), ..before };
    assert_eq!(fixture.user("alice").await, Some(expected));
}

async fn a_change_undoes_no_other(fixture: Fixture) {
    fixture.add(&user("alice")).await;
    let alice = id("alice");
    let named = |name: &str, when| User {
        username: login(name),
        full_name: Some(name.to_owned()),
        updated: at(when),
        ..user("alice")
    };
    assert_eq!(fixture.store.change_user(&named("first", 1), at(0)).await, Ok(true));
    assert_eq!(fixture.other.change_user(&named("late", 2), at(0)).await, Ok(false));
    assert_eq!(fixture.user("alice").await, Some(named("first", 1)));
    for (name, expected) in [("first", Some("alice")), ("late", None), ("alice", None)] {
        assert_eq!(fixture.by_login(name).await.as_deref(), expected, "{name}");
    }
    // Within the same millisecond too: a lock, or a new password, is a change that others see.
    assert_eq!(fixture.store.set_state(&alice, UserState::Locked, at(1)).await, Ok(true));
    assert_eq!(fixture.other.change_user(&named("late", 3), at(1)).await, Ok(false));
    assert_eq!(fixture.store.set_password(&alice, &secret("x"), None, at(0)).await, Ok(true));
    assert_eq!(fixture.other.change_user(&named("late", 3), at(2)).await, Ok(false));
    let found = fixture.user("alice").await.expect("alice");
    assert_eq!((found.state, found.updated), (UserState::Locked, at(3)));
}

async fn changing_nobody_says_so(fixture: Fixture) {
    let (store, nobody) = (&fixture.store, id("nobody"));
    assert_eq!(store.change_user(&user("nobody"), at(0)).await, Ok(false));
    assert_eq!(store.set_state(&nobody, UserState::Locked, at(1)).await, Ok(false));
    assert_eq!(store.set_password(&nobody, &secret("x"), None, at(1)).await, Ok(false));
    assert_eq!(store.record_login(&nobody, at(1)).await, Ok(()));
    assert_eq!(store.record_sent(&nobody, SentMail::Reset, at(1)).await, Ok(()));
    assert_eq!(store.delete_user(&nobody).await, Ok(false));
    assert_eq!(store.record_key_use("nothing", at(1)).await, Ok(()));
    assert_eq!(store.delete_key("nothing").await, Ok(false));
    assert_eq!(store.change_client(&client("nothing")).await, Ok(false));
    assert_eq!(store.delete_client("nothing").await, Ok(false));
    assert_eq!(fixture.user("nobody").await, None);
    assert_eq!(fixture.by_login("nobody").await, None);
    fixture.add(&user("nobody")).await;
}

async fn a_rehash_does_not_undo_a_new_password(fixture: Fixture) {
    fixture.add(&User { password: Some(secret("old hash")), ..user("alice") }).await;
    let alice = id("alice");
    let set = async |hash: &str, instead_of: Option<&str>, when| {
        let instead_of = instead_of.map(secret);
        let set =
            fixture.store.set_password(&alice, &secret(hash), instead_of.as_ref(), at(when)).await;
        let now = fixture.user("alice").await.expect("alice");
        (set, now.password.expect("a hash"), now.updated)
    };
    assert_eq!(set("rehashed", Some("old hash"), 1).await, (Ok(true), secret("rehashed"), at(1)));
    assert_eq!(set("changed", None, 2).await, (Ok(true), secret("changed"), at(2)));
    assert_eq!(set("late", Some("rehashed"), 3).await, (Ok(false), secret("changed"), at(2)));
    fixture.add(&user("bob")).await;
    let bob = id("bob");
    let none = fixture.store.set_password(&bob, &secret("x"), Some(&secret("y")), at(1)).await;
    assert_eq!(none, Ok(false));
    assert_eq!(fixture.store.set_password(&bob, &secret("x"), None, at(1)).await, Ok(true));
}

async fn notes_never_move_back(fixture: Fixture) {
    fixture.add(&user("alice")).await;
    fixture.store.add_key(&key("k", "alice", 1)).await.expect("key");
    for (when, expected) in [(5, 5), (3, 5), (9, 9)] {
        fixture.store.record_login(&id("alice"), at(when)).await.expect("note");
        fixture.store.record_key_use("k", at(when)).await.expect("note");
        fixture.store.record_sent(&id("alice"), SentMail::Reset, at(when)).await.expect("note");
        let alice = fixture.user("alice").await.expect("alice");
        assert_eq!((alice.last_login, alice.updated), (Some(at(expected)), at(0)));
        assert_eq!((alice.reset_sent, alice.verification_sent), (Some(at(expected)), None));
        let keys = fixture.store.keys(None, 9).await.expect("keys");
        assert_eq!(keys[0].last_used, Some(at(expected)));
    }
}

async fn of_many_who_want_one_name_one_has_it(fixture: Fixture) {
    let adding: Vec<_> = (0..16)
        .map(|n| {
            let store = if n % 2 == 0 { &fixture.store } else { &fixture.other };
            let store = std::sync::Arc::clone(store);
            let username = login(if n % 3 == 0 { "Alice" } else { "alice" });
            let user = User { username, ..user(&format!("u{n}")) };
            tokio::spawn(async move { store.add_user(&user).await })
        })
        .collect();
    let mut added = 0;
    for outcome in adding {
        match outcome.await.expect("task") {
            Ok(()) => added += 1,
            Err(error) => assert_eq!(error, AccountError::Taken("username")),
        }
    }
    assert_eq!(added, 1);
    assert_eq!(fixture.store.users(None, 99).await.expect("users").len(), 1);
}

async fn two_who_want_each_others_names_both_get_an_answer(fixture: Fixture) {
    for round in 0..8 {
        let [one, two] = [("x", "y"), ("y", "x")].map(|(username, email)| User {
            username: login(&format!("{username}{round}")),
            email: Some(login(&format!("{email}{round}"))),
            ..user(&format!("{username}-{round}"))
        });
        let (one, two) = tokio::join!(fixture.store.add_user(&one), fixture.other.add_user(&two));
        let outcomes = [one, two];
        let added = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let taken = |outcome: &&_| matches!(outcome, Err(AccountError::Taken(_)));
        let refused = outcomes.iter().filter(taken).count();
        assert_eq!((added, refused), (1, 1), "{outcomes:?}");
    }
}

async fn two_handles_see_each_other(fixture: Fixture) {
    fixture.add(&user("alice")).await;
    let locked = fixture.other.set_state(&id("alice"), UserState::Locked, at(4)).await;
    assert_eq!(locked, Ok(true));
    let alice = fixture.user("alice").await.expect("alice");
    assert_eq!((alice.state, alice.updated), (UserState::Locked, at(4)));
    assert_eq!(fixture.other.delete_user(&id("alice")).await, Ok(true));
    assert_eq!(fixture.user("alice").await, None);
}

async fn it_answers_until_it_is_closed(fixture: Fixture) {
    assert_eq!(fixture.store.ping().await, Ok(()));
    fixture.store.close().await;
    assert!(matches!(fixture.store.ping().await, Err(AccountError::Unavailable(_))));
    assert_eq!(fixture.other.ping().await, Ok(()));
}
