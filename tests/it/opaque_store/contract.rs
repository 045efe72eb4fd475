//! The contract of every store: each case runs on memory, on SQLite, on a real Redis, on one that
//! real sentinels watch over, on a real cluster, and on a real memcached.
//! Those about purging run where the store does not make room by itself.

use portcullis::clock::UnixTime;
use portcullis::opaque::{OpaqueToken, Rotation, TokenKind};
use portcullis::session::{SessionId, UserId};
use portcullis::store::StoreError;
use serde_json::{Map, Value, json};

use super::{Fixture, at, digest, token};
use crate::contract::contract;

contract! {
    what_was_put_is_got_back_whole
    an_unknown_token_is_not_found
    tokens_are_put_all_or_none
    a_rotation_uses_the_old_token_and_adds_its_successors
    a_used_token_stays_used_and_brings_nothing_more
    an_unknown_token_brings_nothing
    a_rotation_that_cannot_add_uses_nothing
    of_two_hundred_rotations_at_once_exactly_one_wins
    an_end_moves_forward_and_never_back
    claims_are_replaced_only_where_given
    what_is_not_there_is_neither_extended_nor_removed
    a_token_is_removed_once
    expired_and_used_tokens_are_handed_out_and_rotated_all_the_same
    it_answers_and_says_what_it_is;
    not_on_memcached:
    purge_forgets_what_expired_used_or_not_and_nothing_else
    many_tokens_are_purged_in_batches;
    on_memcached:
    purging_is_left_to_it
}

fn claims(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

async fn what_was_put_is_got_back_whole(fixture: Fixture) {
    let bare = token("bare");
    let whole = OpaqueToken {
        kind: TokenKind::Handle,
        session: SessionId::parse("other._~-").expect("id"),
        user: UserId::parse("Jürgen O'Neil; DROP TABLE opaque_tokens; --").expect("user"),
        client: Some("client".to_owned()),
        claims: claims(json!({
            "": "", "float": 0.1, "max": u64::MAX, "min": i64::MIN, "none": null, "empty": [],
            "nested": {"a": [1, {"b": {}}]}, "名前": "\"quoted\" ' \\ 🦀\u{0}\n",
        })),
        used: Some(at(7)),
        ..token("whole")
    };
    fixture.put(&[bare.clone(), whole.clone()]).await;
    assert_eq!(fixture.get("bare").await, Some(bare));
    assert_eq!(fixture.get("whole").await, Some(whole));
    let unnamed = OpaqueToken { client: Some(String::new()), ..token("unnamed") };
    fixture.put(std::slice::from_ref(&unnamed)).await;
    assert_eq!(fixture.get("unnamed").await, Some(unnamed));
}

async fn an_unknown_token_is_not_found(fixture: Fixture) {
    fixture.put(&[token("a")]).await;
    fixture.put(&[]).await;
    for name in ["", "b", "A", "*"] {
        assert_eq!(fixture.get(name).await, None, "{name}");
    }
}

async fn tokens_are_put_all_or_none(fixture: Fixture) {
    let first = token("first");
    fixture.put(std::slice::from_ref(&first)).await;
    let thief = OpaqueToken { user: UserId::parse("bob").expect("user"), ..first.clone() };
    for tokens in [
        vec![token("new"), thief.clone()],
        vec![thief, token("new")],
        vec![token("new"), token("new")],
    ] {
        let refused = fixture.store.put(&tokens).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert_eq!(fixture.get("new").await, None);
        assert_eq!(fixture.get("first").await, Some(first.clone()));
    }
    fixture.put(&[token("new")]).await;
}

async fn a_rotation_uses_the_old_token_and_adds_its_successors(fixture: Fixture) {
    fixture.put(&[token("old"), token("bystander")]).await;
    let handle = OpaqueToken { kind: TokenKind::Handle, ..token("handle") };
    let successors = [token("next"), handle.clone()];
    let outcome = fixture.store.rotate(&digest("old"), at(5), &successors).await;
    assert_eq!(outcome, Ok(Rotation::Rotated));
    assert_eq!(fixture.get("old").await, Some(OpaqueToken { used: Some(at(5)), ..token("old") }));
    assert_eq!(fixture.get("next").await, Some(token("next")));
    assert_eq!(fixture.get("handle").await, Some(handle));
    assert_eq!(fixture.get("bystander").await, Some(token("bystander")));
    assert_eq!(fixture.store.rotate(&digest("next"), at(6), &[]).await, Ok(Rotation::Rotated));
}

async fn a_used_token_stays_used_and_brings_nothing_more(fixture: Fixture) {
    fixture.put(&[token("old")]).await;
    let rotate = async |when, name: &str| {
        fixture.other.rotate(&digest("old"), at(when), &[token(name)]).await
    };
    assert_eq!(rotate(5, "first").await, Ok(Rotation::Rotated));
    for (when, name) in [(5, "second"), (4, "third"), (99_999, "fourth"), (6, "first")] {
        assert_eq!(rotate(when, name).await, Ok(Rotation::AlreadyUsed), "{name}");
    }
    fixture.store.extend(&digest("old"), at(70_000), None).await.expect("extend");
    assert_eq!(rotate(7, "fifth").await, Ok(Rotation::AlreadyUsed));
    for name in ["second", "third", "fourth", "fifth"] {
        assert_eq!(fixture.get(name).await, None, "{name}");
    }
    assert_eq!(fixture.get("old").await.expect("old").used, Some(at(5)));
}

async fn an_unknown_token_brings_nothing(fixture: Fixture) {
    let outcome = fixture.store.rotate(&digest("never"), at(1), &[token("next")]).await;
    assert_eq!(outcome, Ok(Rotation::Unknown));
    assert_eq!(fixture.get("next").await, None);
    assert_eq!(fixture.get("never").await, None);
}

async fn a_rotation_that_cannot_add_uses_nothing(fixture: Fixture) {
    fixture.put(&[token("old"), token("there")]).await;
    for successors in [
        vec![token("next"), token("there")],
        vec![token("there"), token("next")],
        vec![token("next"), token("next")],
        vec![token("next"), token("old")],
    ] {
        let refused = fixture.store.rotate(&digest("old"), at(1), &successors).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert_eq!(fixture.get("old").await, Some(token("old")));
        assert_eq!(fixture.get("next").await, None);
    }
    let outcome = fixture.store.rotate(&digest("old"), at(1), &[token("next")]).await;
    assert_eq!(outcome, Ok(Rotation::Rotated));
}

async fn of_two_hundred_rotations_at_once_exactly_one_wins(fixture: Fixture) {
    fixture.put(&[token("old")]).await;
    let rotating: Vec<_> = (0..200)
        .map(|n| {
            let store = fixture.either(n);
            tokio::spawn(async move {
                let next = token(&format!("next{n}"));
                store.rotate(&digest("old"), at(n as u64), &[next]).await
            })
        })
        .collect();
    let mut winners = Vec::new();
    for (n, task) in rotating.into_iter().enumerate() {
        match task.await.expect("task") {
            Ok(Rotation::Rotated) => winners.push(n),
            outcome => assert_eq!(outcome, Ok(Rotation::AlreadyUsed)),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    for n in 0..200 {
        let found = fixture.get(&format!("next{n}")).await;
        assert_eq!(found.is_some(), winners.contains(&n), "{n}");
    }
    let used = fixture.get("old").await.expect("old").used;
    assert_eq!(used, Some(at(winners[0] as u64)));
}

async fn an_end_moves_forward_and_never_back(fixture: Fixture) {
    fixture.put(&[token("t")]).await;
    for (expires, expected) in [(70_000, 70_000), (65_000, 70_000), (0, 70_000), (70_001, 70_001)] {
        assert_eq!(fixture.store.extend(&digest("t"), at(expires), None).await, Ok(true));
        let moved = OpaqueToken { expires: at(expected), ..token("t") };
        assert_eq!(fixture.get("t").await, Some(moved), "to {expires}");
    }
}

async fn claims_are_replaced_only_where_given(fixture: Fixture) {
    let first = OpaqueToken { claims: claims(json!({"a": 1, "b": 2})), ..token("t") };
    fixture.put(std::slice::from_ref(&first)).await;
    let extend = async |expires, claims: Option<Value>| {
        let claims = claims.map(self::claims);
        fixture.store.extend(&digest("t"), at(expires), claims.as_ref()).await.expect("extend")
    };
    assert!(extend(70_000, None).await);
    assert_eq!(fixture.get("t").await.expect("t").claims, first.claims);
    assert!(extend(1, Some(json!({"c": "3"}))).await);
    let found = fixture.get("t").await.expect("t");
    assert_eq!((found.expires, found.claims), (at(70_000), claims(json!({"c": "3"}))));
    assert!(extend(1, Some(json!({}))).await);
    assert_eq!(fixture.get("t").await.expect("t").claims, Map::new());
}

async fn what_is_not_there_is_neither_extended_nor_removed(fixture: Fixture) {
    let claims = claims(json!({"a": 1}));
    let extended = fixture.store.extend(&digest("never"), at(1), Some(&claims)).await;
    assert_eq!(extended, Ok(false));
    assert_eq!(fixture.store.remove(&digest("never")).await, Ok(false));
    assert_eq!(fixture.get("never").await, None);
}

async fn a_token_is_removed_once(fixture: Fixture) {
    fixture.put(&[token("t"), token("bystander")]).await;
    assert_eq!(fixture.store.remove(&digest("t")).await, Ok(true));
    assert_eq!(fixture.other.remove(&digest("t")).await, Ok(false));
    assert_eq!(fixture.get("t").await, None);
    let outcome = fixture.store.rotate(&digest("t"), at(1), &[]).await;
    assert_eq!(outcome, Ok(Rotation::Unknown));
    assert_eq!(fixture.store.extend(&digest("t"), at(99_999), None).await, Ok(false));
    assert!(fixture.get("bystander").await.is_some());
}

async fn purge_forgets_what_expired_used_or_not_and_nothing_else(fixture: Fixture) {
    let ending = |name: &str, expires, used: Option<u64>| OpaqueToken {
        expires: at(expires),
        used: used.map(at),
        ..token(name)
    };
    fixture
        .put(&[
            ending("before", 99, None),
            ending("used", 99, Some(1)),
            ending("then", 100, None),
            ending("after", 101, None),
            ending("used after", 101, Some(1)),
        ])
        .await;
    assert_eq!(fixture.store.purge(at(98)).await, Ok(0));
    assert_eq!(fixture.store.purge(at(100)).await, Ok(3));
    assert_eq!(fixture.store.purge(at(100)).await, Ok(0));
    for (name, stays) in
        [("before", false), ("used", false), ("then", false), ("after", true), ("used after", true)]
    {
        assert_eq!(fixture.get(name).await.is_some(), stays, "{name}");
    }
}

async fn many_tokens_are_purged_in_batches(fixture: Fixture) {
    let many: Vec<_> = (0..950).map(|n| token(&format!("t{n}"))).collect();
    fixture.put(&many).await;
    fixture.put(&[OpaqueToken { expires: at(60_001), ..token("last") }]).await;
    assert_eq!(fixture.store.purge(at(60_000)).await, Ok(950));
    assert!(fixture.get("last").await.is_some());
}

async fn purging_is_left_to_it(fixture: Fixture) {
    fixture.put(&[token("t")]).await;
    assert_eq!(fixture.store.purge(at(99_999)).await, Ok(0));
    assert!(fixture.get("t").await.is_some());
}

async fn expired_and_used_tokens_are_handed_out_and_rotated_all_the_same(fixture: Fixture) {
    // By the machine's clock these ended long ago, or will in an age.
    let old = OpaqueToken {
        issued: UnixTime::from_secs(1),
        expires: UnixTime::from_secs(2),
        ..token("old")
    };
    let endless =
        OpaqueToken { expires: UnixTime::from_millis(i64::MAX as u64), ..token("endless") };
    for token in [old, endless] {
        fixture.put(std::slice::from_ref(&token)).await;
        assert_eq!(fixture.other.get(&token.digest).await, Ok(Some(token.clone())));
        let outcome = fixture.store.rotate(&token.digest, at(99_999_999), &[]).await;
        assert_eq!(outcome, Ok(Rotation::Rotated));
    }
}

async fn it_answers_and_says_what_it_is(fixture: Fixture) {
    assert_eq!(fixture.store.ping().await, Ok(()));
    assert!(!fixture.store.describe().is_empty());
    assert_eq!(fixture.store.describe(), fixture.other.describe());
}
