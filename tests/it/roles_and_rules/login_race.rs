//! A login beside a role that is taken away, or a password that is changed: it gives no token that
//! says otherwise.

use std::sync::Arc;
use std::time::Duration;

use portcullis::account::AccountStore as _;
use portcullis::account::password::{HashConfig, Passwords};
use portcullis::clock::UnixTime;
use portcullis::issuer::error::IssueError;
use portcullis::secret::{Secret, SystemRandom};
use portcullis::session::UserId;

use crate::support::issuance::{CHEAP, Fixture};

const BOB: (&str, &str) = ("bob", "the builder and his cat");

#[tokio::test]
async fn a_login_that_read_the_user_before_a_right_was_taken_away_comes_to_nothing() {
    for (what, takes_role) in [("role", true), ("scope", false), ("nothing", false)] {
        let fixture = Fixture::usual().await;
        fixture.add_user(BOB, |bob| bob.roles = vec!["a".to_owned(), "b".to_owned()]).await;
        let id = UserId::parse(BOB.0).expect("an id");
        fixture.faults.hold("user_by_login");
        let take = async {
            fixture.faults.held().await;
            let mut bob = fixture.accounts.inner.user(&id).await.expect("bob").expect("bob");
            if takes_role {
                bob.roles.retain(|role| role != "a");
            } else if what == "scope" {
                bob.scopes.retain(|scope| scope != "user:write");
            } else {
                bob.roles.push("c".to_owned());
            }
            let changed = fixture.accounts.inner.change_user(&bob, bob.updated).await;
            assert_eq!(changed, Ok(true));
            fixture.dependencies.sessions.revoke_user(&id).await.expect("ended");
            // What is opened from now on is younger than what was ended.
            fixture.clock.advance(Duration::from_secs(1));
            fixture.faults.recover();
        };
        let (login, ()) = tokio::join!(fixture.log_in_as(BOB.0, BOB.1), take);
        if what == "nothing" {
            login.expect("he lost nothing");
        } else {
            assert_eq!(login.err(), Some(IssueError::InvalidGrant), "{what}");
            let live = fixture.live().await;
            assert!(live.iter().all(|session| session.user != id), "{what}: {live:?}");
        }
    }
}

#[tokio::test]
async fn a_login_by_a_password_that_is_changed_meanwhile_comes_to_nothing() {
    let former = HashConfig { passes: 2, ..CHEAP };
    let former = Passwords::new(former, Arc::new(SystemRandom)).expect("valid parameters");
    let old_hash = former.hash(&Secret::new(BOB.1)).await.expect("a hash");
    let another = "no cat, and nothing built";
    for (what, bobs, now, is_let_in) in [
        ("changed", None, another, false),
        ("changed before it is hashed anew", Some(&old_hash), another, false),
        ("hashed anew by another login", Some(&old_hash), BOB.1, true),
    ] {
        let fixture = Fixture::usual().await;
        fixture.add_user(BOB, |bob| bob.password = bobs.cloned().or(bob.password.take())).await;
        let id = UserId::parse(BOB.0).expect("an id");
        fixture.faults.hold("user_by_login");
        let change = async {
            fixture.faults.held().await;
            let hash = fixture.dependencies.passwords.hash(&Secret::new(now)).await;
            let (accounts, hash) = (&fixture.accounts.inner, hash.expect("a hash"));
            let set = accounts.set_password(&id, &hash, None, UnixTime::EPOCH).await;
            assert_eq!(set, Ok(true));
            fixture.dependencies.sessions.revoke_user(&id).await.expect("ended");
            fixture.clock.advance(Duration::from_secs(1));
            fixture.faults.recover();
        };
        let (login, ()) = tokio::join!(fixture.log_in_as(BOB.0, BOB.1), change);
        let expected = if is_let_in { None } else { Some(IssueError::InvalidGrant) };
        assert_eq!(login.err(), expected, "{what}");
        let live = fixture.live().await;
        assert_eq!(live.iter().any(|session| session.user == id), is_let_in, "{what}: {live:?}");
    }
}
