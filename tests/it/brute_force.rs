//! Guessing of passwords and keys: its cost to the attacker, none to anybody else, and no information in the answers.

use std::time::Duration;

use portcullis::{
    account::{AccountStore as _, Login, UserState},
    issuer::{caller::Caller, error::IssueError, login::GrantParams},
    opaque,
    secret::{Secret, SystemRandom},
    store::StoreError,
};

use crate::support::{
    faulty_store::injector::Fault,
    issuance::{API_KEY, Fixture, START, id},
};

/// Bob's names, and his password.
const BOB: &str = "bob";
const MAIL: &str = "bob@example.com";
const PASSWORD: &str = "a looking-glass";
/// The half of the minute's budget that can be had at once.
const BURST: usize = 30;

/// An issuer with the usual limits.
async fn limited() -> Fixture {
    Fixture::new(|setup| setup.throttle.per_minute = 60).await
}

async fn with_bob() -> Fixture {
    let fixture = limited().await;
    let mail = Login::parse(MAIL).expect("a name");
    fixture.add_user((BOB, PASSWORD), |bob| bob.email = Some(mail)).await;
    fixture
}

/// The outcomes of logins with these names in turn; a wait only as that.
async fn outcomes(fixture: &Fixture, tries: &[(&str, &str)]) -> Vec<&'static str> {
    let mut outcomes = Vec::new();
    for (name, password) in tries {
        outcomes.push(match fixture.log_in_as(name, password).await {
            Ok(_) => "ok",
            Err(error) => error.code(),
        });
    }
    outcomes
}

#[tokio::test]
async fn a_count_that_two_names_share_does_not_tell_that_they_are_one_users() {
    let tries = |one, other| {
        [one, one, one, other, other, other, other, one].map(|name: &'static str| (name, "wrong"))
    };
    let expected = [["invalid_grant"; 6].as_slice(), ["slow_down"; 2].as_slice()].concat();
    for (one, other) in [
        (BOB, MAIL),
        (MAIL, BOB),
        ("nobody", "nobody@example.com"),
        (BOB, "nobody@example.com"),
        ("nobody", MAIL),
    ] {
        let fixture = with_bob().await;
        assert_eq!(outcomes(&fixture, &tries(one, other)).await, expected, "{one}, then {other}");
    }
}

#[tokio::test]
async fn names_give_no_more_tries_than_their_user_has() {
    let fixture = with_bob().await;
    outcomes(&fixture, &[(BOB, "wrong"); 3]).await;
    // The fourth is too early: the right password is refused as a wrong one is.
    assert_eq!(outcomes(&fixture, &[(MAIL, PASSWORD)]).await, ["invalid_grant"]);
    fixture.wait(2);
    assert_eq!(outcomes(&fixture, &[(MAIL, PASSWORD)]).await, ["ok"]);
    // What was counted of the user is forgotten; under the other name its own.
    assert_eq!(
        outcomes(&fixture, &[(MAIL, "wrong"), (BOB, PASSWORD)]).await,
        ["invalid_grant", "ok"]
    );
}

#[tokio::test]
async fn a_login_that_was_not_checked_counts_for_nothing() {
    let fixture = with_bob().await;
    outcomes(&fixture, &[(BOB, "wrong"); 2]).await;
    for (call, nth) in [("user_by_login", 5), ("records.get", 6), ("failures.set", 7)] {
        for _ in 0..40 {
            fixture.faults.reset();
            // The budget, the name, each in two calls, the user, the account in two.
            fixture.faults.plan(nth, Fault::NotDone);
            let outcome = fixture.log_in_as(BOB, "wrong").await;
            assert_eq!(
                outcome,
                Err(IssueError::from(StoreError::TimedOut)),
                "{:?}",
                fixture.faults.calls()
            );
            let calls = fixture.faults.calls();
            assert!(calls[nth - 1].ends_with(call), "{calls:?}");
            let after = |name| calls[nth..].iter().filter(|call| **call == name).count();
            assert_eq!((after("failures.set"), after("bucket.set")), (1, 1), "{calls:?}");
        }
    }
    fixture.faults.reset();
    // The third is still free, and one more is not: the two that were refused are still counted.
    let tries = [(BOB, "wrong"), (BOB, PASSWORD)];
    assert_eq!(outcomes(&fixture, &tries).await, ["invalid_grant", "slow_down"]);
}

async fn by_key(fixture: &Fixture, key: &str, caller: &Caller) -> Result<(), IssueError> {
    let key = Secret::new(key);
    fixture.issuance.login.api_key(&key, GrantParams::default(), caller).await.map(drop)
}

fn is_slow_down(outcome: &Result<(), IssueError>) -> bool {
    matches!(outcome, Err(IssueError::SlowDown(_)))
}

/// A key as `apikey add` makes it.
async fn random_key(fixture: &Fixture) -> String {
    let random = opaque::generate(&SystemRandom).expect("chance");
    let key = format!("pk_{}", random.expose_str().expect("text"));
    fixture.add_key("robot", &key).await;
    key
}

#[tokio::test]
async fn a_key_that_somebody_chose_is_guessed_within_the_budget_of_an_address_only() {
    let fixture = limited().await;
    let (random, near) = (random_key(&fixture).await, fixture.caller.clone());
    let far = Caller { address: Some([198, 51, 100, 7].into()), ..Caller::default() };
    for _ in 0..3 * BURST {
        assert_eq!(by_key(&fixture, API_KEY, &near).await, Ok(()), "what is right costs nothing");
    }
    for guess in 0..BURST {
        let outcome = by_key(&fixture, &format!("guess {guess}"), &near).await;
        assert_eq!(outcome, Err(IssueError::InvalidGrant));
    }
    assert!(is_slow_down(&by_key(&fixture, "one more", &near).await));
    assert!(is_slow_down(&by_key(&fixture, API_KEY, &near).await), "nor is the right one told");
    let asked = fixture.issuance.keys.is_key_registered(&Secret::new(API_KEY), &near).await;
    assert!(matches!(asked, Err(IssueError::SlowDown(_))), "nor there: {asked:?}");
    assert_eq!(by_key(&fixture, API_KEY, &far).await, Ok(()), "others go on");
    assert_eq!(by_key(&fixture, &random, &near).await, Ok(()), "nobody guesses 256 bits");
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(by_key(&fixture, API_KEY, &near).await, Ok(()));
}

#[tokio::test]
async fn a_key_that_looks_like_ours_is_registered_by_nobody_else() {
    const SERVICE: &str = "9a1c1f0e-3a51-4d57-bd4c-4f7e1e0ad9f1";
    let fixture = limited().await;
    let random = opaque::generate(&SystemRandom).expect("chance");
    let ours = format!("pk_{}", random.expose_str().expect("text"));
    for (key, is_taken) in [(ours.as_str(), false), ("pk_short", true), ("x", true)] {
        let key = Secret::new(key);
        let outcome = fixture.issuance.keys.register_key(&key, SERVICE, &fixture.caller).await;
        assert_eq!(outcome.is_ok(), is_taken, "{outcome:?}");
        let registered = fixture.issuance.keys.is_key_registered(&key, &fixture.caller).await;
        assert_eq!(registered, Ok(is_taken));
    }
}

/// The time that it takes is measured by `benches/login_timing`; that every check hashes the same, whoever is named, is a test of
/// the passwords themselves.
#[tokio::test]
async fn a_refused_login_asks_the_same_whoever_is_named() {
    let fixture = with_bob().await;
    fixture.add_user(("locked", PASSWORD), |_| {}).await;
    let locked = fixture.accounts.inner.set_state(&id("locked"), UserState::Locked, START).await;
    assert_eq!(locked, Ok(true));
    let mut asked = Vec::new();
    for (name, password) in
        [("nobody", "wrong"), (BOB, "wrong"), (MAIL, "wrong"), ("locked", PASSWORD)]
    {
        fixture.faults.reset();
        assert_eq!(
            fixture.log_in_as(name, password).await,
            Err(IssueError::InvalidGrant),
            "{name}"
        );
        asked.push(fixture.faults.calls());
    }
    assert!(asked.windows(2).all(|two| two[0] == two[1]), "{asked:?}");
}
