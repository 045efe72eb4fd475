//! The contract of every store: each case runs on memory, on SQLite, on a real Redis, on one that
//! real sentinels watch over, on a real cluster, and on a real memcached.
//! Those about lists run where there are any; of the others it is seen that they say so.

mod lists;

use std::net::IpAddr;
use std::time::Duration;

use portcullis::clock::UnixTime;
use portcullis::session::{Device, DeviceId, DeviceName, Ended, Filter, Session};
use portcullis::store::StoreError;
use serde_json::{Map, Value, json};

use lists::{
    a_list_has_a_limit, a_list_holds_what_passes_its_filter, it_refuses_to_list,
    many_sessions_are_listed_ended_and_purged_in_batches,
};

use super::{Fixture, at, id, of, session, user};
use crate::contract::contract;

contract! {
    what_was_put_is_got_back_whole
    a_session_without_a_device_is_got_back_whole
    another_users_session_is_not_found
    many_are_found_in_the_order_of_the_question
    an_id_is_used_once
    touch_moves_forward_only
    touch_never_brings_a_session_back
    renewing_moves_the_end_forward_only_and_nothing_else
    renewing_never_brings_a_session_back
    revoking_one_names_its_owner_and_spares_the_others
    revoking_a_user_ends_what_was_created_until_then
    a_session_that_is_put_late_is_over_all_the_same
    not_before_never_moves_back
    no_put_that_races_with_a_revocation_lives
    purge_forgets_what_expired_and_nothing_else
    expiry_is_ours_and_not_the_stores
    two_handles_see_each_other
    many_callers_at_once_do_not_disturb_each_other
    names_that_look_like_patterns_or_queries_are_just_names
    it_answers_and_says_what_it_is;
    not_on_memcached:
    a_list_holds_what_passes_its_filter
    a_list_has_a_limit
    many_sessions_are_listed_ended_and_purged_in_batches;
    on_memcached:
    it_refuses_to_list
}

async fn what_was_put_is_got_back_whole(fixture: Fixture) {
    let whole = Session {
        last_seen: at(5),
        device: Device {
            id: DeviceId::parse("device-1~A.z_9").ok(),
            name: DeviceName::parse("Jürgen's \"Tablet\"; 名 %00").ok(),
            ..Device::new(
                Some("Mozilla/5.0 (\"quoted\"; größer; 名)\t%00"),
                Some("2001:db8::7".parse::<IpAddr>().expect("address")),
            )
        },
        claims: claims(json!({
            "": "", "float": 0.1, "small": -2.5e-8, "whole": 3.0, "max": u64::MAX, "min": i64::MIN,
            "none": null, "yes": true, "empty": [], "void": {}, "nested": {"a": [1, [2, {"b": []}]]},
            "quotes \" ' \\": "it's \"so\"; DROP TABLE sessions; --", "名前": "Jürgen 🦀\u{0}\n",
        })),
        ..session("whole", "Jürgen O'Neil", 1)
    };
    fixture.put(&whole).await;
    assert_eq!(fixture.get("Jürgen O'Neil", "whole").await, Some(whole.clone()));
    if fixture.store.lists() {
        assert_eq!(fixture.list(&of("Jürgen O'Neil"), 10).await, std::slice::from_ref(&whole));
        assert_eq!(fixture.list(&Filter::default(), 10).await, [whole]);
    }
}

async fn a_session_without_a_device_is_got_back_whole(fixture: Fixture) {
    let v4 = Device::new(None, Some("192.0.2.1".parse().expect("address")));
    let bare = session("bare", "alice", 1);
    let partly = Session { device: v4, ..session("partly", "alice", 2) };
    fixture.put(&bare).await;
    fixture.put(&partly).await;
    assert_eq!(fixture.get("alice", "bare").await, Some(bare));
    assert_eq!(fixture.get("alice", "partly").await, Some(partly));
}

async fn another_users_session_is_not_found(fixture: Fixture) {
    fixture.put(&session("s1", "alice", 1)).await;
    assert_eq!(fixture.get("bob", "s1").await, None);
    assert_eq!(fixture.get("Alice", "s1").await, None);
    assert_eq!(fixture.get("alice", "S1").await, None);
    assert_eq!(fixture.get("alice", "s2").await, None);
    assert!(fixture.get("alice", "s1").await.is_some());
}

async fn many_are_found_in_the_order_of_the_question(fixture: Fixture) {
    for (name, owner, created) in [("s1", "alice", 1), ("s2", "bob", 2), ("s3", "alice", 3)] {
        fixture.put(&session(name, owner, created)).await;
    }
    fixture.store.touch(&[(id("s3"), at(9))]).await.expect("touch");
    // Nobody's, another's, and one of them twice.
    let asked = [("alice", "s3"), ("bob", "s2"), ("alice", "s4"), ("bob", "s1"), ("alice", "s3")];
    let keys = asked.map(|(owner, name)| (user(owner), id(name)));
    let third = || Some(Session { last_seen: at(9), ..session("s3", "alice", 3) });
    let found = [third(), Some(session("s2", "bob", 2)), None, None, third()].map(Ok);
    assert_eq!(fixture.store.get_many(&keys).await, Ok(found.to_vec()));
    assert_eq!(fixture.store.get_many(&[]).await, Ok(Vec::new()));
    fixture.ends("bob", 2, 1).await;
    assert_eq!(fixture.store.get_many(&keys[1..2]).await, Ok(vec![Ok(None)]));
    let sessions = (0..300).map(|n| session(&format!("many-{n}"), &format!("u{}", n % 7), n));
    let mut keys = Vec::new();
    for session in sessions {
        fixture.put(&session).await;
        keys.push((session.user, session.id));
    }
    let found = fixture.store.get_many(&keys).await.expect("get");
    for ((_, name), found) in keys.iter().zip(&found) {
        assert_eq!(found.as_ref().expect("readable").as_ref().map(|it| &it.id), Some(name));
    }
    assert_eq!(found.len(), keys.len());
}

async fn an_id_is_used_once(fixture: Fixture) {
    let first = session("s1", "alice", 1);
    fixture.put(&first).await;
    for second in [
        first.clone(),
        session("s1", "bob", 1),
        Session { expires: at(9_999_999), ..first.clone() },
    ] {
        assert_eq!(fixture.store.put(&second).await, Err(StoreError::Conflict("s1".to_owned())));
    }
    assert_eq!(fixture.get("alice", "s1").await, Some(first));
    assert_eq!(fixture.get("bob", "s1").await, None);
    fixture.lists(&of("bob"), &[]).await;
}

async fn touch_moves_forward_only(fixture: Fixture) {
    let first = session("s1", "alice", 1);
    fixture.put(&first).await;
    for (touched, expected) in [(100, 100), (50, 100), (101, 101), (101, 101)] {
        fixture.store.touch(&[(id("s1"), at(touched))]).await.expect("touch");
        let seen = Session { last_seen: at(expected), ..first.clone() };
        assert_eq!(fixture.get("alice", "s1").await, Some(seen), "touched at {touched}");
    }
}

async fn touch_never_brings_a_session_back(fixture: Fixture) {
    fixture.put(&session("s1", "alice", 1)).await;
    fixture.put(&session("s2", "alice", 1)).await;
    fixture.store.revoke(&id("s1")).await.expect("revoke");
    fixture.store.revoke_user(&user("alice"), at(2)).await.expect("revoke_user");
    for name in ["s1", "s2", "never"] {
        fixture.store.touch(&[(id(name), at(3))]).await.expect("touch");
        assert_eq!(fixture.get("alice", name).await, None, "{name}");
    }
    fixture.lists(&Filter::default(), &[]).await;
}

async fn renewing_moves_the_end_forward_only_and_nothing_else(fixture: Fixture) {
    let first = session("s1", "alice", 1);
    fixture.put(&first).await;
    fixture.put(&session("s2", "alice", 1)).await;
    for (renewed, expected) in [(90_000, 90_000), (80_000, 90_000), (0, 90_000), (90_001, 90_001)] {
        assert_eq!(fixture.other.renew(&id("s1"), at(renewed)).await, Ok(true));
        let longer = Session { expires: at(expected), ..first.clone() };
        assert_eq!(fixture.get("alice", "s1").await, Some(longer), "renewed to {renewed}");
    }
    assert_eq!(fixture.get("alice", "s2").await, Some(session("s2", "alice", 1)));
    fixture.purges(90_000, 1).await;
    fixture.lists(&of("alice"), &["s1"]).await;
}

async fn renewing_never_brings_a_session_back(fixture: Fixture) {
    for name in ["s1", "s2"] {
        fixture.put(&session(name, "alice", 1)).await;
    }
    fixture.store.revoke(&id("s1")).await.expect("revoke");
    fixture.store.revoke_user(&user("alice"), at(2)).await.expect("revoke_user");
    for name in ["s1", "s2", "never"] {
        assert_eq!(fixture.store.renew(&id(name), at(99_999)).await, Ok(false), "{name}");
        assert_eq!(fixture.get("alice", name).await, None, "{name}");
    }
    fixture.lists(&Filter::default(), &[]).await;
    // One that was put late is there, and is over all the same.
    fixture.put(&session("late", "alice", 2)).await;
    assert_eq!(fixture.store.renew(&id("late"), at(99_999)).await, Ok(true));
    let late = fixture.get("alice", "late").await.expect("late");
    assert_eq!(late.ended(at(3), None), Some(Ended::Revoked));
}

async fn revoking_one_names_its_owner_and_spares_the_others(fixture: Fixture) {
    for name in ["s1", "s2"] {
        fixture.put(&session(name, "alice", 1)).await;
    }
    assert_eq!(fixture.store.revoke(&id("s1")).await, Ok(Some(user("alice"))));
    assert_eq!(fixture.get("alice", "s1").await, None);
    assert_eq!(fixture.store.revoke(&id("s1")).await, Ok(None));
    assert_eq!(fixture.store.revoke(&id("never")).await, Ok(None));
    fixture.lists(&of("alice"), &["s2"]).await;
    let left = fixture.get("alice", "s2").await.expect("s2");
    assert_eq!(left.ended(at(2), None), None);
}

async fn revoking_a_user_ends_what_was_created_until_then(fixture: Fixture) {
    for (name, owner, created) in
        [("before", "alice", 99), ("then", "alice", 100), ("after", "alice", 101), ("s", "bob", 1)]
    {
        fixture.put(&session(name, owner, created)).await;
    }
    fixture.ends("alice", 100, 2).await;
    assert_eq!(fixture.get("alice", "before").await, None);
    assert_eq!(fixture.get("alice", "then").await, None);
    let after = fixture.get("alice", "after").await;
    if fixture.store.lists() {
        let after = after.expect("after");
        assert_eq!((after.not_before, after.ended(at(200), None)), (at(100), None));
    } else {
        assert_eq!(after, None, "nobody could have named it");
    }
    let bobs = fixture.get("bob", "s").await.expect("bob's");
    assert_eq!((bobs.not_before, bobs.ended(at(200), None)), (UnixTime::EPOCH, None));
    fixture.ends("alice", 100, 0).await;
    fixture.ends("nobody", 100, 0).await;
}

async fn a_session_that_is_put_late_is_over_all_the_same(fixture: Fixture) {
    fixture.store.revoke_user(&user("alice"), at(100)).await.expect("revoke_user");
    fixture.put(&session("late", "alice", 100)).await;
    fixture.put(&session("new", "alice", 101)).await;
    let late = fixture.get("alice", "late").await.expect("late");
    assert_eq!(late.ended(at(100), None), Some(Ended::Revoked));
    assert_eq!(fixture.get("alice", "new").await.expect("new").ended(at(101), None), None);
    for filter in [
        Filter { user: Some(user("alice")), live_at: Some(at(102)) },
        Filter { user: None, live_at: Some(at(102)) },
    ] {
        fixture.lists(&filter, &["new"]).await;
    }
    fixture.lists(&of("alice"), &["new", "late"]).await;
}

async fn not_before_never_moves_back(fixture: Fixture) {
    fixture.store.revoke_user(&user("alice"), at(100)).await.expect("revoke_user");
    fixture.put(&session("late", "alice", 80)).await;
    fixture.put(&session("new", "alice", 101)).await;
    fixture.ends("alice", 50, 1).await;
    assert_eq!(fixture.get("alice", "late").await, None);
    if !fixture.store.lists() {
        assert_eq!(fixture.get("alice", "new").await, None, "nobody could have named it");
        fixture.put(&session("newer", "alice", 101)).await;
    }
    let new = if fixture.store.lists() { "new" } else { "newer" };
    let new = fixture.get("alice", new).await.expect("new");
    assert_eq!((new.not_before, new.ended(at(102), None)), (at(100), None));
    fixture.ends("alice", 101, 1).await;
    fixture.put(&session("later", "alice", 101)).await;
    let later = fixture.get("alice", "later").await.expect("later");
    assert_eq!(later.ended(at(102), None), Some(Ended::Revoked));
}

async fn no_put_that_races_with_a_revocation_lives(fixture: Fixture) {
    let putting: Vec<_> = (0..40)
        .map(|n| {
            let store = fixture.store.clone();
            tokio::spawn(async move { store.put(&session(&format!("s{n}"), "alice", 100)).await })
        })
        .collect();
    fixture.other.revoke_user(&user("alice"), at(100)).await.expect("revoke_user");
    for put in putting {
        put.await.expect("task").expect("put");
    }
    let live = Filter { user: Some(user("alice")), live_at: Some(at(101)) };
    fixture.lists(&live, &[]).await;
    for n in 0..40 {
        let found = fixture.get("alice", &format!("s{n}")).await;
        let ended = found.map(|session| session.ended(at(101), None));
        assert!(matches!(ended, None | Some(Some(Ended::Revoked))), "s{n}: {ended:?}");
    }
}

async fn purge_forgets_what_expired_and_nothing_else(fixture: Fixture) {
    for (name, expires) in [("s1", 99), ("s2", 100), ("s3", 101)] {
        fixture.put(&Session { expires: at(expires), ..session(name, "alice", 1) }).await;
    }
    fixture.store.revoke_user(&user("bob"), at(1_000)).await.expect("revoke_user");
    fixture.purges(100, 2).await;
    fixture.purges(100, 0).await;
    fixture.lists(&Filter::default(), &["s3"]).await;
    fixture.lists(&of("alice"), &["s3"]).await;
    fixture.put(&session("late", "bob", 1_000)).await;
    let late = fixture.get("bob", "late").await.expect("late");
    assert_eq!(late.ended(at(1_001), None), Some(Ended::Revoked), "purge forgot a not-before");
}

async fn expiry_is_ours_and_not_the_stores(fixture: Fixture) {
    // By the machine's clock these ended long ago, or will in an age.
    let old = Session {
        created: UnixTime::from_secs(1),
        last_seen: UnixTime::from_secs(1),
        expires: UnixTime::from_secs(2),
        ..session("old", "alice", 0)
    };
    let endless =
        Session { expires: UnixTime::from_millis(i64::MAX as u64), ..session("s", "alice", 0) };
    for session in [old, endless] {
        fixture.put(&session).await;
        let found = fixture.get("alice", session.id.as_str()).await;
        assert_eq!(found.as_ref(), Some(&session));
        let before = session.expires.before(Duration::from_millis(1));
        assert_eq!(session.ended(before, None), None);
        assert_eq!(session.ended(session.expires, None), Some(Ended::Expired));
    }
}

async fn two_handles_see_each_other(fixture: Fixture) {
    let (one, two) = (&fixture.store, &fixture.other);
    let first = session("s1", "alice", 1);
    one.put(&first).await.expect("put");
    assert_eq!(two.get(&user("alice"), &id("s1")).await, Ok(Some(first)));
    two.touch(&[(id("s1"), at(7))]).await.expect("touch");
    let seen = one.get(&user("alice"), &id("s1")).await.expect("get").expect("s1");
    assert_eq!(seen.last_seen, at(7));
    assert_eq!(two.put(&session("s1", "bob", 1)).await, Err(StoreError::Conflict("s1".to_owned())));
    assert_eq!(two.revoke(&id("s1")).await, Ok(Some(user("alice"))));
    assert_eq!(one.get(&user("alice"), &id("s1")).await, Ok(None));
    one.put(&session("s2", "alice", 2)).await.expect("put");
    assert_eq!(two.revoke_user(&user("alice"), at(2)).await, Ok(1));
    assert_eq!(one.get(&user("alice"), &id("s2")).await, Ok(None));
    fixture.lists(&of("alice"), &[]).await;
}

async fn many_callers_at_once_do_not_disturb_each_other(fixture: Fixture) {
    let working: Vec<_> = (0..64)
        .map(|n| {
            let store = if n % 2 == 0 { fixture.store.clone() } else { fixture.other.clone() };
            tokio::spawn(async move {
                let owner = format!("user{}", n % 8);
                let own = session(&format!("s{n}"), &owner, n);
                store.put(&own).await.expect("put");
                store.touch(&[(own.id.clone(), at(1_000 + n))]).await.expect("touch");
                let seen = Session { last_seen: at(1_000 + n), ..own.clone() };
                assert_eq!(store.get(&own.user, &own.id).await, Ok(Some(seen)));
                if n % 4 == 0 {
                    assert_eq!(store.revoke(&own.id).await, Ok(Some(own.user)));
                }
            })
        })
        .collect();
    for task in working {
        task.await.expect("task");
    }
    if fixture.store.lists() {
        assert_eq!(fixture.list(&Filter::default(), 100).await.len(), 48);
    }
    // Of sixteen that revoke one session, one did it.
    let revoking: Vec<_> = (0..16)
        .map(|n| {
            let store = if n % 2 == 0 { fixture.store.clone() } else { fixture.other.clone() };
            tokio::spawn(async move { store.revoke(&id("s1")).await.expect("revoke") })
        })
        .collect();
    let mut owners = Vec::new();
    for task in revoking {
        owners.extend(task.await.expect("task"));
    }
    assert_eq!(owners, [user("user1")]);
}

async fn names_that_look_like_patterns_or_queries_are_just_names(fixture: Fixture) {
    let odd = ["*", "a:b", "a", "user:a", "' OR 1=1 --", "[a-z]", "%", "_", "名 \u{1f980}"];
    for (n, owner) in odd.iter().enumerate() {
        fixture.put(&session(&format!("s{n}"), owner, 1)).await;
    }
    for (n, owner) in odd.iter().enumerate() {
        fixture.lists(&of(owner), &[&format!("s{n}")]).await;
        assert!(fixture.get(owner, &format!("s{n}")).await.is_some(), "{owner}");
    }
    for (n, owner) in odd.iter().enumerate() {
        fixture.ends(owner, 1, 1).await;
        for (m, owner) in odd.iter().enumerate() {
            let found = fixture.get(owner, &format!("s{m}")).await;
            assert_eq!(found.is_some(), m > n, "{owner}");
        }
    }
}

async fn it_answers_and_says_what_it_is(fixture: Fixture) {
    assert_eq!(fixture.store.ping().await, Ok(()));
    assert!(!fixture.store.describe().is_empty());
    assert_eq!(fixture.store.describe(), fixture.other.describe());
}

fn claims(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(claims) => claims,
        other => panic!("{other} is no object"),
    }
}
