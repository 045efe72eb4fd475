//! The cases about API keys and clients.

use portcullis::account::{AccountError, ApiKey, Client, KeyDigest};
use portcullis::clock::UnixTime;

use crate::account_store::{Fixture, at, client, id, key, key_names, secret, user};

pub(super) async fn keys_are_got_back_listed_and_forgotten(fixture: Fixture) {
    for name in ["alice", "bob"] {
        fixture.add(&user(name)).await;
    }
    let whole = ApiKey {
        label: Some("O'Neil's \"build\" $1".to_owned()),
        scopes: vec!["a".to_owned(), "b c".to_owned()],
        expires: Some(at(99)),
        last_used: Some(at(4)),
        ..key("k2", "alice", 2)
    };
    for key in [&key("k1", "alice", 1), &whole, &key("k3", "alice", 3), &key("k4", "bob", 4)] {
        fixture.store.add_key(key).await.expect("key");
    }
    assert_eq!(fixture.store.key(&whole.digest).await, Ok(Some(whole.clone())));
    assert_eq!(fixture.store.key(&KeyDigest::of(&secret("other"))).await, Ok(None));
    let listed = async |owner: Option<&str>, limit| {
        let owner = owner.map(id);
        let keys = fixture.store.keys(owner.as_ref(), limit).await.expect("keys");
        key_names(&keys).join(" ")
    };
    assert_eq!(listed(Some("alice"), 9).await, "k3 k2 k1");
    assert_eq!(listed(Some("alice"), 2).await, "k3 k2");
    assert_eq!(listed(None, 9).await, "k4 k3 k2 k1");
    assert_eq!(listed(None, 1).await, "k4");
    assert_eq!(listed(Some("nobody"), 9).await, "");
    for twice in [
        ApiKey { id: "k9".to_owned(), ..whole.clone() },
        ApiKey { digest: KeyDigest::of(&secret("new")), ..whole.clone() },
    ] {
        let refused = fixture.store.add_key(&twice).await;
        assert_eq!(refused, Err(AccountError::Taken("API key")));
    }
    assert_eq!(fixture.store.delete_key("k2").await, Ok(true));
    assert_eq!(fixture.store.delete_key("k2").await, Ok(false));
    assert_eq!(fixture.store.key(&whole.digest).await, Ok(None));
}

pub(super) async fn a_key_needs_a_user_and_goes_with_it(fixture: Fixture) {
    let key = key("k", "alice", 1);
    assert_eq!(fixture.store.add_key(&key).await, Err(AccountError::NoSuchUser));
    fixture.add(&user("alice")).await;
    fixture.store.add_key(&key).await.expect("key");
    assert_eq!(fixture.store.delete_user(&id("alice")).await, Ok(true));
    assert_eq!(fixture.store.key(&key.digest).await, Ok(None));
    assert_eq!(fixture.by_login("alice").await, None);
    fixture.add(&user("alice")).await;
    assert_eq!(fixture.store.keys(Some(&id("alice")), 9).await, Ok(Vec::new()));
}

pub(super) async fn a_key_is_renewed_by_its_digest(fixture: Fixture) {
    fixture.add(&user("alice")).await;
    let key = key("k", "alice", 1);
    fixture.store.add_key(&key).await.expect("key");
    for expires in [Some(at(7)), Some(at(3)), None] {
        assert_eq!(fixture.store.renew_key(&key.digest, expires).await, Ok(true));
        let found = fixture.store.key(&key.digest).await.expect("key").expect("a key");
        assert_eq!(found.expires, expires);
    }
    let other = KeyDigest::of(&secret("other"));
    assert_eq!(fixture.store.renew_key(&other, None).await, Ok(false));
}

pub(super) async fn clients_are_got_back_changed_and_forgotten(fixture: Fixture) {
    let bare = Client {
        label: None,
        secrets: Vec::new(),
        jwks: None,
        grants: Vec::new(),
        scopes: Vec::new(),
        audiences: Vec::new(),
        introspects: false,
        ..client("b")
    };
    for client in [&client("c"), &bare, &client("B")] {
        fixture.store.add_client(client).await.expect("client");
    }
    let refused = fixture.store.add_client(&bare).await;
    assert_eq!(refused, Err(AccountError::Taken("client id")));
    assert_eq!(fixture.store.client("c").await, Ok(Some(client("c"))));
    assert_eq!(fixture.store.client("C").await, Ok(None));
    let listed = fixture.store.clients().await.expect("clients");
    assert_eq!(listed, [client("B"), bare.clone(), client("c")]);
    let changed = Client { created: at(77), ..client("b") };
    assert_eq!(fixture.store.change_client(&changed).await, Ok(true));
    // When it was made does not change.
    assert_eq!(fixture.store.client("b").await, Ok(Some(client("b"))));
    assert_eq!(fixture.store.delete_client("b").await, Ok(true));
    assert_eq!(fixture.store.client("b").await, Ok(None));
}

pub(super) async fn times_at_the_end_of_the_range_are_kept(fixture: Fixture) {
    let end = UnixTime::from_millis(i64::MAX.unsigned_abs());
    let beyond = UnixTime::from_secs(u64::MAX);
    fixture.add(&user("alice")).await;
    let key = ApiKey { expires: Some(beyond), ..key("k", "alice", 1) };
    fixture.store.add_key(&key).await.expect("key");
    let found = fixture.store.key(&key.digest).await.expect("key").expect("a key");
    assert_eq!(found.expires, Some(end));
}
