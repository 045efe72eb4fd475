//! Many accounts at once.

use portcullis::account::{AccountError, ApiKey, User};

use super::super::{Fixture, id, key, key_names, login, names, user, whole_user};

async fn import(
    fixture: &Fixture,
    users: &[User],
    keys: &[ApiKey],
) -> (Result<(), AccountError>, usize) {
    let mut told = 0;
    let done = fixture.store.import(users, keys, &mut || told += 1).await;
    (done, told)
}

async fn all(fixture: &Fixture) -> (Vec<User>, Vec<ApiKey>) {
    let users = fixture.other.users(None, 1_000).await.expect("users");
    (users, fixture.other.keys(None, 1_000).await.expect("keys"))
}

pub(super) async fn many_are_added_with_their_keys_and_each_is_told(fixture: Fixture) {
    let mut users: Vec<User> = (0..300).map(|n| user(&format!("u{n:03}"))).collect();
    users.push(whole_user("whole"));
    let keys = [key("k1", "u000", 1), key("k2", "whole", 2)];
    assert_eq!(import(&fixture, &users, &keys).await, (Ok(()), 303));
    let (found, found_keys) = all(&fixture).await;
    assert_eq!(found, users);
    assert_eq!(key_names(&found_keys), ["k2", "k1"]);
    assert_eq!(fixture.by_login("J.ONeil@Example.com").await.as_deref(), Some("whole"));
    assert_eq!(import(&fixture, &[], &[]).await, (Ok(()), 0));
}

pub(super) async fn of_many_all_are_added_or_none(fixture: Fixture) {
    fixture.add(&user("there")).await;
    let good = [user("a"), user("b")];
    let same_id = User { username: login("x"), ..user("there") };
    let same_name = User { username: login("THERE"), ..user("x") };
    let taken = || Err(AccountError::Taken("id, name or key"));
    for (last, keys, expected) in [
        (same_id, vec![], taken()),
        (same_name, vec![], taken()),
        (user("c"), vec![key("k", "a", 1), key("k", "b", 1)], taken()),
        (user("c"), vec![key("k", "nobody", 1)], Err(AccountError::NoSuchUser)),
    ] {
        let users = [&good[..], &[last]].concat();
        assert_eq!(import(&fixture, &users, &keys).await.0, expected, "{users:?} {keys:?}");
        let (users, keys) = all(&fixture).await;
        assert_eq!((names(&users), keys.len()), (vec!["there"], 0));
    }
    assert_eq!(fixture.store.user(&id("a")).await, Ok(None));
    assert_eq!(import(&fixture, &good, &[]).await, (Ok(()), 2));
}
