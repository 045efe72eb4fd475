//! Bounds of what an issuer gives: no tokens too long to be read, no sessions without end.

use portcullis::{
    account::{AccountStore as _, User, UserKind, UserState},
    issuer::{error::IssueError, issued::Issued, login::GrantParams},
    session::Session,
};
use serde_json::json;

use crate::support::issuance::{ALICE_ID, API_KEY, Fixture, START, Setup, id, shown, user};
use crate::support::tokens;

/// Somebody who loses what he had, and the password.
const BOB: (&str, &str) = ("bob", "a looking-glass");

/// The longest token that the verifier of the fixture reads.
const MAX_TOKEN_BYTES: usize = 8192;

/// Somebody whose claims make a token of more than so many bytes, and the password.
const VERBOSE: (&str, &str) = ("verbose", "a long story");

async fn with_verbose(length: usize) -> Fixture {
    let fixture = Fixture::usual().await;
    let story = json!("x".repeat(length));
    let change = |verbose: &mut User| drop(verbose.claims.insert("story".to_owned(), story));
    fixture.add_user(VERBOSE, change).await;
    fixture
}

#[tokio::test]
async fn a_token_that_nobody_would_accept_is_not_issued() {
    let fixture = with_verbose(MAX_TOKEN_BYTES).await;
    assert_eq!(fixture.log_in_as(VERBOSE.0, VERBOSE.1).await, Err(IssueError::TokenTooLong));
    assert!(fixture.live().await.is_empty() && fixture.tokens.kept().await.is_empty());
    let fixture = with_verbose(4_000).await;
    let issued = fixture.log_in_as(VERBOSE.0, VERBOSE.1).await.expect("tokens");
    let token = shown(&issued.access_token);
    assert!(token.len() <= MAX_TOKEN_BYTES, "{}", token.len());
    assert!(fixture.issuance.introspection.introspect(token).await.expect("an answer").is_some());
}

#[tokio::test]
async fn claims_that_grow_stop_the_next_refresh_and_end_nothing() {
    let fixture = with_verbose(1).await;
    let issued = fixture.log_in_as(VERBOSE.0, VERBOSE.1).await.expect("tokens");
    let mut verbose = user(VERBOSE.0, UserKind::Person, None);
    verbose.claims.insert("story".to_owned(), json!("x".repeat(MAX_TOKEN_BYTES)));
    assert_eq!(fixture.accounts.inner.change_user(&verbose, START).await, Ok(true));
    let token = issued.refresh_token.expect("a refresh token");
    assert_eq!(fixture.refresh(&token).await, Err(IssueError::TokenTooLong));
    verbose.claims.clear();
    assert_eq!(fixture.accounts.inner.change_user(&verbose, START).await, Ok(true));
    fixture.refresh(&token).await.expect("the token was not used up");
}

#[tokio::test]
async fn what_cannot_be_read_is_not_said_to_be_revoked() {
    let fixture = Fixture::usual().await;
    let revoke =
        async |token: &str| fixture.issuance.revocation.revoke(token, None, &fixture.caller).await;
    let long = format!("a.{}.c", "b".repeat(MAX_TOKEN_BYTES));
    let refused = revoke(&long).await.expect_err("it was not read");
    assert!(matches!(&refused, IssueError::InvalidRequest(why) if why.contains("MAX_TOKEN_BYTES")));
    // RFC 7009, section 2.2: what is none of ours is of no use already.
    for token in ["a.b.c", "x", ".."] {
        assert_eq!(revoke(token).await, Ok(()), "{token}");
    }
    assert_eq!(
        fixture.issuance.introspection.introspect(&long).await,
        Ok(None),
        "nobody accepts it"
    );
    assert_eq!(
        fixture.issuance.revocation.bearer(&long).await.err(),
        Some(IssueError::InvalidToken)
    );
}

/// Roles and scopes stand in a token as they were when it was made, and so for its lifetime at most.
#[tokio::test]
async fn whoever_lost_a_role_or_a_scope_is_without_it_from_the_next_refresh_on() {
    let fixture = Fixture::usual().await;
    let make_admin = |bob: &mut User| bob.roles = vec!["admin".to_owned(), "editor".to_owned()];
    fixture.add_user(BOB, make_admin).await;
    let login = fixture.log_in_as(BOB.0, BOB.1).await.expect("tokens");
    let may = |issued: &Issued| {
        let claims = tokens::claims(shown(&issued.access_token));
        (claims["roles"].clone(), claims["scope"].clone())
    };
    assert_eq!(may(&login), (json!(["admin", "editor"]), json!("user:read user:write")));
    let mut bob = fixture.accounts.inner.user(&id(BOB.0)).await.expect("an answer").expect("bob");
    bob.roles = vec!["editor".to_owned()];
    bob.scopes = vec!["user:read".to_owned()];
    assert_eq!(fixture.accounts.inner.change_user(&bob, START).await, Ok(true));
    let token = login.refresh_token.expect("a refresh token");
    let refreshed = fixture.refresh(&token).await.expect("tokens");
    assert_eq!(may(&refreshed), (json!(["editor"]), json!("user:read")));
}

#[tokio::test]
async fn whoever_is_locked_gets_in_by_no_grant() {
    let fixture = Fixture::usual().await;
    fixture.add_user(BOB, |_| {}).await;
    fixture.add_key(BOB.0, "a key of bob").await;
    let by_password = fixture.log_in_as(BOB.0, BOB.1).await.expect("tokens");
    fixture.log_in_by_key("a key of bob").await.expect("tokens");
    let locked = fixture.accounts.inner.set_state(&id(BOB.0), UserState::Locked, START).await;
    assert_eq!(locked, Ok(true));
    let token = by_password.refresh_token.expect("a refresh token");
    for outcome in [
        fixture.log_in_as(BOB.0, BOB.1).await,
        fixture.log_in_by_key("a key of bob").await,
        fixture.refresh(&token).await,
    ] {
        assert_eq!(outcome, Err(IssueError::InvalidGrant));
    }
}

/// Alice's own key.
const HERS: &str = "a key of alice";

async fn with_limits() -> Fixture {
    let fixture = Fixture::of(Setup::with(|policy| {
        policy.max_sessions = 2;
        policy.max_key_sessions = 3;
    }))
    .await;
    fixture.add_key(ALICE_ID, HERS).await;
    fixture
}

async fn by_key(fixture: &Fixture, key: &str) {
    fixture.wait(1);
    fixture.log_in_by_key(key).await.expect("tokens");
}

async fn live_of(fixture: &Fixture, user: &str) -> Vec<Session> {
    fixture.live().await.into_iter().filter(|session| session.user == id(user)).collect()
}

#[tokio::test]
async fn a_key_has_no_more_sessions_than_it_may_and_pushes_its_owner_out_of_none() {
    let fixture = with_limits().await;
    let first = fixture.login().await;
    fixture.wait(1);
    let second = fixture.login().await;
    for _ in 0..9 {
        by_key(&fixture, HERS).await;
        by_key(&fixture, API_KEY).await;
    }
    let lives =
        |live: &[Session], issued: &Issued| live.iter().any(|session| session.id == issued.session);
    let live = live_of(&fixture, ALICE_ID).await;
    assert_eq!(live.len(), 2 + 3, "{live:?}");
    assert!(lives(&live, &first) && lives(&live, &second));
    assert_eq!(live_of(&fixture, "robot").await.len(), 3);
    // Nor does she push the key's out.
    fixture.wait(1);
    let third = fixture.login().await;
    let live = live_of(&fixture, ALICE_ID).await;
    assert_eq!(live.len(), 2 + 3, "{live:?}");
    assert!(!lives(&live, &first) && lives(&live, &second) && lives(&live, &third));
}

#[tokio::test]
async fn a_client_that_acts_for_itself_has_no_more_sessions_than_it_may() {
    let fixture = with_limits().await;
    for _ in 0..9 {
        let params = GrantParams { client: Some(&fixture.demo), ..GrantParams::default() };
        let issued =
            fixture.issuance.login.client_credentials(&fixture.demo, params, &fixture.caller);
        issued.await.expect("tokens");
        fixture.wait(1);
    }
    assert_eq!(live_of(&fixture, "client:demo").await.len(), 3);
}
