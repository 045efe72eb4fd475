//! `Revoke` and `ListSessions`.

use portcullis::issuer::grpc::generated::v1::revoke_request::Target;
use portcullis::issuer::grpc::generated::v1::{
    AllSessions, ClientCredentials, ListSessionsRequest, RevokeRequest,
};
use tonic::{Code, Request};

use super::{ADMIN_TOKEN, Server, check_refused, with_bearer};
use crate::support::issuance::{ALICE, ALICE_ID, DEMO, Fixture, START, id, text};

const BOB: (&str, &str) = ("bob", "builder-of-things");

fn revoke(target: Target) -> RevokeRequest {
    RevokeRequest { target: Some(target), client: None }
}

fn one(id: impl ToString) -> RevokeRequest {
    revoke(Target::SessionId(id.to_string()))
}

fn all(user_id: &str, except_current: bool) -> RevokeRequest {
    revoke(Target::All(AllSessions { user_id: user_id.to_owned(), except_current }))
}

fn list(user_id: &str) -> ListSessionsRequest {
    ListSessionsRequest { user_id: user_id.to_owned() }
}

async fn live(fixture: &Fixture) -> usize {
    fixture.issuance.revocation.list(None, 100).await.expect("a list").len()
}

#[tokio::test]
async fn a_token_ends_its_own_session_and_needs_nothing_else() {
    let fixture = Fixture::usual().await;
    let server = Server::start(&fixture).await;
    let mut client = server.tokens().await;
    let (first, second) = (fixture.login().await, fixture.login().await);
    let tokens = [text(&first.access_token), text(&second.refresh_token.expect("one"))];
    for (token, left) in tokens.iter().zip([1, 0]) {
        for _ in 0..2 {
            let answer = client.revoke(revoke(Target::Token(token.clone()))).await;
            assert_eq!(answer.expect("an answer").get_ref().ended, 0);
            assert_eq!(live(&fixture).await, left);
        }
    }
    let rubbish = client.revoke(revoke(Target::Token("rubbish".to_owned()))).await;
    assert_eq!(rubbish.expect("as good as revoked").get_ref().ended, 0);
}

#[tokio::test]
async fn the_token_of_a_client_is_ended_by_that_client() {
    let fixture = Fixture::usual().await;
    let server = Server::start(&fixture).await;
    let mut client = server.tokens().await;
    let token = fixture.login_by_demo().await.refresh_token.expect("one");
    let target = Target::Token(text(&token));
    let refused = client.revoke(revoke(target.clone())).await;
    check_refused(refused, Code::Unauthenticated, "invalid_client");
    assert_eq!(live(&fixture).await, 1);
    let shown =
        ClientCredentials { client_id: DEMO.0.to_owned(), client_secret: DEMO.1.to_owned() };
    let by_client = RevokeRequest { target: Some(target), client: Some(shown) };
    client.revoke(by_client).await.expect("ended");
    assert_eq!(live(&fixture).await, 0);
}

#[tokio::test]
async fn somebody_sees_and_ends_his_own_sessions_and_nobody_elses() {
    let fixture = Fixture::usual().await;
    fixture.add_user(BOB, |bob| bob.id = id("bob-id")).await;
    let server = Server::start(&fixture).await;
    let mut client = server.tokens().await;
    let bobs = fixture.log_in_as(BOB.0, BOB.1).await.expect("bob logs in");
    let (current, other) = (fixture.login().await, fixture.login().await);
    let (token, bobs_token) = (text(&current.access_token), text(&bobs.access_token));

    for user in ["", ALICE_ID] {
        let listed = client.list_sessions(with_bearer(&token, list(user))).await.expect("a list");
        let listed = listed.into_inner().sessions;
        assert_eq!(listed.len(), 2);
        assert!(listed.iter().all(|session| session.user_id == ALICE_ID));
        let mine = listed.iter().find(|session| session.current).expect("the one that asks");
        assert_eq!(mine.id, current.session.as_str());
        let created = mine.created.expect("a time").seconds;
        assert_eq!(u64::try_from(created), Ok(START.as_secs()));
    }
    let refused = client.list_sessions(with_bearer(&token, list("bob-id"))).await;
    check_refused(refused, Code::PermissionDenied, "access_denied");
    for (request, code, error) in [
        (one(&bobs.session), Code::NotFound, "not_found"),
        (one("rubbish"), Code::NotFound, "not_found"),
        (all("bob-id", false), Code::PermissionDenied, "access_denied"),
        (RevokeRequest::default(), Code::InvalidArgument, "invalid_request"),
        (revoke(Target::Token(String::new())), Code::InvalidArgument, "invalid_request"),
    ] {
        check_refused(client.revoke(with_bearer(&token, request)).await, code, error);
    }
    assert_eq!(live(&fixture).await, 3);

    let ended = client.revoke(with_bearer(&token, one(&other.session))).await.expect("ended");
    assert_eq!(ended.get_ref().ended, 1);
    fixture.login().await;
    for (request, ended, left) in [(all("", true), 1, 2), (all(ALICE_ID, false), 1, 1)] {
        let answer = client.revoke(with_bearer(&token, request)).await.expect("ended");
        assert_eq!((answer.get_ref().ended, live(&fixture).await), (ended, left));
    }
    let gone = client.list_sessions(with_bearer(&token, list(""))).await;
    check_refused(gone, Code::Unauthenticated, "invalid_token");
    let listed = client.list_sessions(with_bearer(&bobs_token, list(""))).await.expect("a list");
    assert_eq!(listed.get_ref().sessions.len(), 1);
    let refusals = fixture.into_events();
    let refusals = refusals.iter().filter(|event| event["event"] == "admin_refused").count();
    assert_eq!(refusals, 2, "of those who asked about others");
}

#[tokio::test]
async fn the_administrator_sees_and_ends_anybodys_sessions() {
    let fixture = Fixture::usual().await;
    fixture.add_user(BOB, |bob| bob.id = id("bob-id")).await;
    let server = Server::start(&fixture).await;
    let mut client = server.tokens().await;
    let bobs = fixture.log_in_as(BOB.0, BOB.1).await.expect("bob logs in");
    for _ in 0..2 {
        fixture.login().await;
    }
    for (user, expected) in [("", 3), (ALICE_ID, 2), (ALICE.0, 2), ("bob-id", 1), (BOB.0, 1)] {
        let listed = client.list_sessions(with_bearer(ADMIN_TOKEN, list(user))).await;
        assert_eq!(listed.expect("a list").get_ref().sessions.len(), expected, "{user:?}");
    }
    let nobody = client.list_sessions(with_bearer(ADMIN_TOKEN, list("nobody"))).await;
    check_refused(nobody, Code::NotFound, "not_found");
    for (request, code, error) in [
        (all("", false), Code::InvalidArgument, "invalid_request"),
        (all("nobody", false), Code::NotFound, "not_found"),
        (all(ALICE_ID, true), Code::InvalidArgument, "invalid_request"),
        (one("rubbish"), Code::NotFound, "not_found"),
    ] {
        check_refused(client.revoke(with_bearer(ADMIN_TOKEN, request)).await, code, error);
    }
    for (request, ended) in
        [(one(&bobs.session), 1), (all(ALICE_ID, false), 2), (all(ALICE_ID, false), 0)]
    {
        let answer = client.revoke(with_bearer(ADMIN_TOKEN, request)).await.expect("ended");
        assert_eq!(answer.get_ref().ended, ended);
    }
    let gone = client.revoke(with_bearer(ADMIN_TOKEN, one(&bobs.session))).await;
    check_refused(gone, Code::NotFound, "not_found");
}

#[tokio::test]
async fn without_a_good_token_nobody_sees_or_ends_a_session() {
    let fixture = Fixture::usual().await;
    let server = Server::start(&fixture).await;
    let mut client = server.tokens().await;
    let issued = fixture.login().await;
    let refresh = text(&issued.refresh_token.expect("a refresh token"));
    for token in ["", "rubbish", "an administrator's token, 32 bytet", &refresh] {
        let refused = client.list_sessions(with_bearer(token, list(ALICE_ID))).await;
        check_refused(refused, Code::Unauthenticated, "invalid_token");
        let refused = client.revoke(with_bearer(token, all(ALICE_ID, false))).await;
        check_refused(refused, Code::Unauthenticated, "invalid_token");
        let refused = client.revoke(with_bearer(token, one(&issued.session))).await;
        check_refused(refused, Code::Unauthenticated, "invalid_token");
    }
    let refused = client.list_sessions(Request::new(list(""))).await;
    check_refused(refused, Code::Unauthenticated, "invalid_token");
    assert_eq!(live(&fixture).await, 1);
}

#[tokio::test]
async fn the_administrator_is_never_refused_for_the_guesses_of_others() {
    let fixture = Fixture::new(|setup| setup.throttle.per_minute = 4).await;
    let server = Server::start(&fixture).await;
    let mut client = server.tokens().await;
    for _ in 0..2 {
        let refused = client.list_sessions(with_bearer("a guess", list(""))).await;
        check_refused(refused, Code::Unauthenticated, "invalid_token");
    }
    for _ in 0..60 {
        let refused = client.list_sessions(with_bearer("a guess", list(""))).await;
        check_refused(refused, Code::ResourceExhausted, "slow_down");
    }
    client.list_sessions(with_bearer(ADMIN_TOKEN, list(""))).await.expect("the right one");
}
