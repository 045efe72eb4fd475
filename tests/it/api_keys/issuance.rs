//! Keys at the issuer alone, on a clock that is moved: their times, their rotation, and whom they are good for.

use std::time::Duration;

use portcullis::account::{AccountStore as _, User, UserState};
use portcullis::issuer::api_keys::{IssuedKey, KeyRequest, KeyTerms, RefreshTerms};
use portcullis::issuer::caller::Caller;
use portcullis::issuer::error::IssueError;
use portcullis::secret::Secret;

use crate::support::faulty_store::injector::Fault;
use crate::support::issuance::{ALICE_ID, Fixture, SCOPES, id, shown};

const NO: IssueError = IssueError::InvalidGrant;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A key that is good for a minute, with a refresh token for two.
fn usual() -> KeyRequest {
    let refresh = RefreshTerms { not_before: Duration::ZERO, lifetime: seconds(120) };
    let terms =
        KeyTerms { lifetime: Some(seconds(60)), refresh: Some(refresh), ..KeyTerms::default() };
    KeyRequest { terms, ..KeyRequest::default() }
}

async fn issue(fixture: &Fixture, request: &KeyRequest) -> IssuedKey {
    let (keys, alice) = (&fixture.issuance.api_keys, id(ALICE_ID));
    keys.issue(&alice, None, request, &fixture.caller).await.expect("a key")
}

async fn scopes(fixture: &Fixture, key: &Secret) -> Result<Vec<String>, IssueError> {
    let verified = fixture.issuance.api_keys.verify(key, &fixture.caller).await;
    verified.map(|verified| verified.scopes())
}

async fn refresh(fixture: &Fixture, issued: &IssuedKey) -> Result<IssuedKey, IssueError> {
    let token = issued.refresh_token.as_ref().expect("a refresh token");
    fixture.issuance.api_keys.refresh(token, None, &fixture.caller).await
}

fn all() -> Vec<String> {
    SCOPES.map(str::to_owned).to_vec()
}

#[tokio::test]
async fn a_key_that_has_expired_is_refreshed_while_its_refresh_token_lives() {
    let fixture = Fixture::usual().await;
    let first = issue(&fixture, &usual()).await;
    fixture.wait(59);
    assert_eq!(scopes(&fixture, &first.key).await, Ok(all()));
    fixture.wait(1);
    assert_eq!(scopes(&fixture, &first.key).await, Err(NO));
    fixture.wait(59);
    let second = refresh(&fixture, &first).await.expect("one second before its end");
    fixture.wait(59);
    assert_eq!(scopes(&fixture, &second.key).await, Ok(all()), "the same minute, from then on");
    fixture.wait(61);
    assert_eq!(refresh(&fixture, &second).await, Err(NO), "at its end it is over");
}

#[tokio::test]
async fn what_comes_too_early_is_refused_and_nothing_is_used_up() {
    let fixture = Fixture::usual().await;
    let refresh_terms = RefreshTerms { not_before: seconds(20), lifetime: seconds(120) };
    let terms = KeyTerms { not_before: seconds(10), lifetime: None, refresh: Some(refresh_terms) };
    let first = issue(&fixture, &KeyRequest { terms, ..KeyRequest::default() }).await;
    fixture.wait(9);
    assert_eq!(scopes(&fixture, &first.key).await, Err(NO));
    fixture.wait(1);
    assert_eq!(scopes(&fixture, &first.key).await, Ok(all()));
    fixture.wait(9);
    assert_eq!(refresh(&fixture, &first).await, Err(NO));
    fixture.wait(1);
    let second = refresh(&fixture, &first).await.expect("its time has come");
    assert_eq!(scopes(&fixture, &second.key).await, Ok(all()), "the next is good at once");
    assert_eq!(refresh(&fixture, &second).await, Err(NO), "its token waits as long as the first");
    let earlier = KeyTerms { refresh: None, ..usual().terms };
    fixture.wait(20);
    let token = second.refresh_token.as_ref().expect("a token");
    let third = fixture.issuance.api_keys.refresh(token, Some(earlier), &fixture.caller).await;
    let third = third.expect("other times").record;
    let family =
        |issued: &IssuedKey| issued.record.refresh.clone().expect("a refresh token").family;
    assert_eq!(third.refresh.expect("never without").family, family(&first));
}

#[tokio::test]
async fn scopes_are_never_more_than_the_users_and_a_locked_one_has_none() {
    let fixture = Fixture::usual().await;
    let wide = KeyRequest { scopes: vec![SCOPES[0].to_owned(), "admin".to_owned()], ..usual() };
    let key = issue(&fixture, &wide).await;
    assert_eq!(scopes(&fixture, &key.key).await, Ok(vec![SCOPES[0].to_owned()]));
    let accounts = &fixture.accounts.inner;
    let alice = accounts.user(&id(ALICE_ID)).await.expect("an answer").expect("alice");
    let fewer = User { scopes: vec![SCOPES[1].to_owned()], ..alice.clone() };
    accounts.change_user(&fewer, alice.updated).await.expect("changed");
    assert_eq!(scopes(&fixture, &key.key).await, Ok(vec![]));
    for (state, expected) in [(UserState::Locked, Err(NO)), (UserState::Active, Ok(vec![]))] {
        accounts.set_state(&alice.id, state, alice.created).await.expect("set");
        assert_eq!(scopes(&fixture, &key.key).await, expected, "{state:?}");
    }
    accounts.set_state(&alice.id, UserState::Locked, alice.created).await.expect("set");
    assert_eq!(refresh(&fixture, &key).await, Err(NO));
    let none = fixture.issuance.api_keys.issue(&alice.id, None, &usual(), &fixture.caller).await;
    assert!(matches!(none, Err(IssueError::Forbidden(_))), "{none:?}");
    accounts.set_state(&alice.id, UserState::Active, alice.created).await.expect("set");
    refresh(&fixture, &key).await.expect("a refused refresh used nothing up");
}

#[tokio::test]
async fn of_two_who_refresh_at_one_moment_one_wins_and_the_family_goes_on() {
    let fixture = Fixture::usual().await;
    let first = issue(&fixture, &usual()).await;
    // Both have read the key before either changes it.
    fixture.faults.hold("key_by_refresh");
    let (one, other, ()) =
        tokio::join!(refresh(&fixture, &first), refresh(&fixture, &first), async {
            fixture.faults.held().await;
            fixture.faults.held().await;
            fixture.faults.recover();
        });
    let (winner, loser) = if one.is_ok() { (one, other) } else { (other, one) };
    assert_eq!(loser, Err(NO));
    let winner = winner.expect("one of them");
    assert_eq!(scopes(&fixture, &winner.key).await, Ok(all()));
    let next = refresh(&fixture, &winner).await.expect("it goes on");
    // Whoever comes later shows a used token.
    assert_eq!(refresh(&fixture, &first).await, Err(NO));
    assert_eq!(scopes(&fixture, &next.key).await, Err(NO));
    let events = fixture.into_events();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((of("key_refreshed"), of("refresh_reuse"), of("refresh_refused")), (2, 1, 2));
}

#[tokio::test]
async fn a_refresh_whose_answer_was_lost_is_not_given_again() {
    let fixture = Fixture::usual().await;
    let first = issue(&fixture, &usual()).await;
    // The reading of the key, of its user, then the change.
    fixture.faults.plan(3, Fault::AnswerLost);
    let lost = refresh(&fixture, &first).await;
    assert!(matches!(lost, Err(IssueError::Unavailable(_))), "{lost:?}");
    assert_eq!(fixture.faults.calls().last(), Some(&"replace_key"));
    fixture.faults.reset();
    assert_eq!(refresh(&fixture, &first).await, Err(NO));
    assert_eq!(fixture.accounts.inner.keys(Some(&id(ALICE_ID)), 9).await, Ok(vec![]));
}

#[tokio::test]
async fn a_refresh_token_is_good_for_the_addresses_of_its_key_alone() {
    let fixture = Fixture::usual().await;
    let request = KeyRequest { address: Some("192.0.2.0/28".to_owned()), ..usual() };
    let first = issue(&fixture, &request).await;
    let token = first.refresh_token.as_ref().expect("a refresh token");
    for address in [None, Some([198, 51, 100, 1].into())] {
        let caller = Caller { address, ..Caller::default() };
        let refused = fixture.issuance.api_keys.refresh(token, None, &caller).await;
        assert_eq!(refused, Err(NO), "{address:?}");
    }
    refresh(&fixture, &first).await.expect("from where it was made for");
}

#[tokio::test]
async fn a_key_that_is_bound_to_a_session_ends_with_it_whoever_asks() {
    let fixture = Fixture::usual().await;
    let login = fixture.login().await;
    let keys = &fixture.issuance.api_keys;
    let bound = keys.issue(&login.user, Some(&login.session), &usual(), &fixture.caller).await;
    let bound = bound.expect("a key");
    let free = issue(&fixture, &usual()).await;
    let second = refresh(&fixture, &bound).await.expect("its session lives");
    assert_eq!(second.record.session.as_ref(), Some(&login.session));
    assert_eq!(keys.list(&login.user).await.expect("a list").len(), 2);
    fixture
        .issuance
        .revocation
        .end(&login.session, "logout", &fixture.caller)
        .await
        .expect("ended");
    assert_eq!(scopes(&fixture, &second.key).await, Err(NO));
    assert_eq!(refresh(&fixture, &second).await, Err(NO));
    let left = keys.list(&login.user).await.expect("a list");
    assert_eq!(left, std::slice::from_ref(&free.record));
    assert_eq!(scopes(&fixture, &free.key).await, Ok(all()));
    let none = keys.issue(&login.user, Some(&login.session), &usual(), &fixture.caller).await;
    assert_eq!(none, Err(IssueError::NotFound));
}

#[tokio::test]
async fn what_a_token_could_not_keep_to_is_not_exchanged_for_one() {
    let fixture = Fixture::usual().await;
    let login = fixture.login().await;
    let keys = &fixture.issuance.api_keys;
    let to = |change: fn(&mut KeyRequest)| {
        let mut request = usual();
        change(&mut request);
        request
    };
    for (request, is_exchanged) in [
        (to(|_| ()), true),
        (to(|it| it.subject = Some(ALICE_ID.to_owned())), true),
        (to(|it| it.issuer = Some(crate::support::issuance::ISS.to_owned())), true),
        (to(|it| it.audience = Some("api.test".to_owned())), false),
        (to(|it| it.subject = Some("/reports".to_owned())), false),
        (to(|it| it.address = Some("192.0.2.1".to_owned())), false),
        (to(|it| it.subject = Some("robot".to_owned())), false),
        (to(|it| it.issuer = Some("https://elsewhere.test".to_owned())), false),
        (to(|it| it.terms.not_before = seconds(5)), false),
    ] {
        let issued = issue(&fixture, &request).await;
        let exchanged = fixture.log_in_by_key(shown(&issued.key)).await;
        assert_eq!(exchanged.is_ok(), is_exchanged, "{request:?}: {exchanged:?}");
    }
    let bound = keys.issue(&login.user, Some(&login.session), &usual(), &fixture.caller).await;
    let exchanged = fixture.log_in_by_key(shown(&bound.expect("a key").key)).await;
    assert!(matches!(exchanged, Err(IssueError::Forbidden(_))), "{exchanged:?}");
    // A session that a key opened is not refreshed when the key was replaced.
    let issued = issue(&fixture, &usual()).await;
    let session = fixture.log_in_by_key(shown(&issued.key)).await.expect("exchanged");
    refresh(&fixture, &issued).await.expect("refreshed");
    let token = session.refresh_token.expect("a refresh token");
    assert_eq!(fixture.refresh(&token).await, Err(NO));
}

#[tokio::test]
async fn nobody_makes_keys_without_end_for_himself() {
    let fixture = Fixture::usual().await;
    let token = fixture.login().await.access_token;
    let bearer = fixture.issuance.revocation.bearer(shown(&token)).await.expect("alice");
    let keys = &fixture.issuance.api_keys;
    for _ in 0..99 {
        issue(&fixture, &usual()).await;
    }
    let last = keys.issue_own(&bearer, false, usual(), &fixture.caller).await.expect("the 100th");
    let more = keys.issue_own(&bearer, false, usual(), &fixture.caller).await;
    assert!(matches!(more, Err(IssueError::Forbidden(_))), "{more:?}");
    // What was replaced does not count.
    refresh(&fixture, &last).await.expect("refreshed");
    keys.revoke_own(&bearer, &last.record.id, &fixture.caller).await.expect("with its successor");
    keys.issue_own(&bearer, false, usual(), &fixture.caller).await.expect("there is room again");
}

#[tokio::test]
async fn a_refresh_token_opens_no_session_and_a_key_gets_no_next_one() {
    let fixture = Fixture::usual().await;
    let issued = issue(&fixture, &usual()).await;
    let token = issued.refresh_token.clone().expect("a refresh token");
    assert_eq!(scopes(&fixture, &token).await, Err(NO));
    assert_eq!(fixture.log_in_by_key(shown(&token)).await, Err(NO));
    let by_key = fixture.issuance.api_keys.refresh(&issued.key, None, &fixture.caller).await;
    assert_eq!(by_key, Err(NO));
    assert_eq!(fixture.refresh(&token).await, Err(NO), "it is of another kind");
    refresh(&fixture, &issued).await.expect("none of this used it up");
}
