//! The cases about API keys that are bound, replaced and forgotten.

use portcullis::account::{ApiKey, KeyBounds, KeyDigest, KeyRefresh};
use portcullis::session::SessionId;

use crate::account_store::{Fixture, at, id, key, key_names, secret, user};

fn session(text: &str) -> SessionId {
    SessionId::parse(text).expect(text)
}

/// A key with a refresh token in this family, which ends at that time.
fn refreshable(name: &str, owner: &str, family: &str, refresh_expires: u64) -> ApiKey {
    let refresh = KeyRefresh {
        digest: KeyDigest::of(&secret(&format!("refresh of {name}"))),
        family: family.to_owned(),
        not_before: None,
        expires: at(refresh_expires),
    };
    ApiKey { refresh: Some(refresh), ..key(name, owner, 1) }
}

pub(super) async fn a_key_is_got_back_with_all_that_it_is_bound_to(fixture: Fixture) {
    fixture.add(&user("alice")).await;
    for (name, address) in [("k1", "192.0.2.0/24"), ("k2", "2001:db8::1")] {
        let bounds = KeyBounds {
            issuer: Some("https://us.example".to_owned()),
            audience: Some("api.example.com".to_owned()),
            subject: Some("/reports/'$1'/名前".to_owned()),
            address: Some(address.parse().expect("a range")),
        };
        let whole = ApiKey {
            session: Some(session("s1")),
            bounds,
            version: Some("2".to_owned()),
            not_before: Some(at(3)),
            ..refreshable(name, "alice", "first", 9)
        };
        let refresh = whole.refresh.clone().map(|it| KeyRefresh { not_before: Some(at(4)), ..it });
        let whole = ApiKey { refresh, ..whole };
        fixture.store.add_key(&whole).await.expect("key");
        assert_eq!(fixture.store.key(&whole.digest).await, Ok(Some(whole.clone())));
        assert_eq!(fixture.store.key_by_id(name).await, Ok(Some(whole.clone())));
        let by_refresh = &whole.refresh.as_ref().expect("a refresh token").digest;
        assert_eq!(fixture.store.key_by_refresh(by_refresh).await, Ok(Some(whole.clone())));
        // The one is never found as the other.
        assert_eq!(fixture.store.key(by_refresh).await, Ok(None));
        assert_eq!(fixture.store.key_by_refresh(&whole.digest).await, Ok(None));
    }
    assert_eq!(fixture.store.key_by_id("k3").await, Ok(None));
}

pub(super) async fn of_many_who_replace_a_key_one_does(fixture: Fixture) {
    fixture.add(&user("alice")).await;
    let old = refreshable("old", "alice", "old", 9);
    fixture.store.add_key(&old).await.expect("key");
    let new = |n: u8| refreshable(&format!("new{n}"), "alice", "old", 9);
    let tries = (0..6).map(|n| {
        let (store, new) = (fixture.store.clone(), new(n));
        tokio::spawn(async move { store.replace_key("old", &new).await.expect("an answer") })
    });
    let mut winners = Vec::new();
    for (n, attempt) in tries.collect::<Vec<_>>().into_iter().enumerate() {
        if attempt.await.expect("no panic") {
            winners.push(format!("new{n}"));
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    let listed = fixture.store.keys(Some(&id("alice")), 9).await.expect("keys");
    assert_eq!(key_names(&listed), winners, "what was replaced is not listed");
    let old = fixture.store.key_by_id("old").await.expect("key").expect("it is remembered");
    assert_eq!(old.replaced_by, Some(winners[0].clone()));
    let refused = fixture.store.replace_key("nothing", &new(7)).await;
    assert_eq!((refused, fixture.store.key_by_id("new7").await), (Ok(false), Ok(None)));
}

pub(super) async fn a_key_goes_with_its_family_and_no_other(fixture: Fixture) {
    fixture.add(&user("alice")).await;
    for key in [
        refreshable("a1", "alice", "a1", 9),
        refreshable("b1", "alice", "b1", 9),
        key("c1", "alice", 2),
        key("d1", "alice", 3),
    ] {
        fixture.store.add_key(&key).await.expect("key");
    }
    for (old, new) in [("a1", "a2"), ("a2", "a3")] {
        let new = refreshable(new, "alice", "a1", 9);
        assert_eq!(fixture.store.replace_key(old, &new).await, Ok(true));
    }
    // By the name of any of them: who has the list from before the rotation means this one.
    assert_eq!(fixture.store.delete_key("a1").await, Ok(true));
    assert_eq!(fixture.store.delete_key("c1").await, Ok(true));
    assert_eq!(fixture.store.delete_key("a3").await, Ok(false));
    let left = fixture.store.keys(None, 9).await.expect("keys");
    assert_eq!(key_names(&left), ["d1", "b1"], "keys without a family share none");
}

pub(super) async fn a_key_that_is_deleted_while_it_is_replaced_leaves_none(fixture: Fixture) {
    fixture.add(&user("alice")).await;
    for round in 0..20 {
        let name = move |n: u8| format!("{round}-{n}");
        fixture.store.add_key(&refreshable(&name(0), "alice", &name(0), 9)).await.expect("key");
        let store = fixture.store.clone();
        let rotations = tokio::spawn(async move {
            for n in 0..4 {
                let new = refreshable(&name(n + 1), "alice", &name(0), 9);
                if store.replace_key(&name(n), &new).await != Ok(true) {
                    break;
                }
            }
        });
        let deleted = if round % 2 == 0 {
            fixture.store.delete_key(&format!("{round}-0")).await.map(u64::from)
        } else {
            fixture.store.delete_keys(&id("alice")).await
        };
        rotations.await.expect("no panic");
        let left = fixture.store.keys(None, 9).await.expect("keys");
        assert_eq!((key_names(&left), deleted), (vec![], Ok(1)), "round {round}");
    }
}

pub(super) async fn all_keys_of_a_user_go_and_those_of_others_stay(fixture: Fixture) {
    for name in ["alice", "bob"] {
        fixture.add(&user(name)).await;
        fixture.store.add_key(&key(&format!("{name}-1"), name, 1)).await.expect("key");
        let of = refreshable(&format!("{name}-2"), name, &format!("{name}-2"), 9);
        fixture.store.add_key(&of).await.expect("key");
        let next = refreshable(&format!("{name}-3"), name, &format!("{name}-2"), 9);
        assert_eq!(fixture.store.replace_key(&of.id, &next).await, Ok(true));
    }
    assert_eq!(fixture.store.delete_keys(&id("alice")).await, Ok(2), "one was replaced");
    assert_eq!(fixture.store.delete_keys(&id("alice")).await, Ok(0));
    let left = fixture.store.keys(None, 9).await.expect("keys");
    assert_eq!(key_names(&left), ["bob-3", "bob-1"]);
    assert!(fixture.store.key_by_id("alice-2").await.expect("an answer").is_none());
}

pub(super) async fn what_is_of_no_use_any_more_is_purged(fixture: Fixture) {
    fixture.add(&user("alice")).await;
    let of_session = |name: &str, expires| ApiKey {
        session: Some(session("s1")),
        expires: Some(at(expires)),
        ..key(name, "alice", 1)
    };
    for key in [
        refreshable("replaced-early", "alice", "f1", 5),
        refreshable("replaced-late", "alice", "f2", 50),
        ApiKey { expires: Some(at(5)), ..key("over-alone", "alice", 1) },
        of_session("over-session", 5),
        of_session("live-session", 50),
        ApiKey {
            session: Some(session("s1")),
            expires: Some(at(5)),
            ..refreshable("refreshes", "alice", "f3", 50)
        },
    ] {
        fixture.store.add_key(&key).await.expect("key");
    }
    for (old, family) in [("replaced-early", "f1"), ("replaced-late", "f2")] {
        let new = refreshable(&format!("{old}-next"), "alice", family, 5);
        assert_eq!(fixture.store.replace_key(old, &new).await, Ok(true));
    }
    assert_eq!(fixture.store.purge_keys(at(5)).await, Ok(0), "at its end it is not over long");
    assert_eq!(fixture.store.purge_keys(at(10)).await, Ok(2));
    for (name, stays) in [
        ("replaced-early", false),
        ("replaced-early-next", true),
        ("replaced-late", true),
        ("over-alone", true),
        ("over-session", false),
        ("live-session", true),
        ("refreshes", true),
    ] {
        let found = fixture.store.key_by_id(name).await.expect("an answer");
        assert_eq!(found.is_some(), stays, "{name}");
    }
}
