//! `Refresh` and `Validate`.

use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis::issuer::grpc::generated::v1::token_service_client::TokenServiceClient;
use portcullis::issuer::grpc::generated::v1::{
    ClientCredentials, RefreshRequest, ValidateRequest, ValidateResponse,
};
use portcullis::issuer::policy::RefreshPolicy;
use portcullis::opaque::TokenDigest;
use tonic::Code;

use super::{Server, check_refused};
use crate::support::issuance::{ALICE, ALICE_ID, DEMO, Fixture, START, text};

fn refresh(token: &str) -> RefreshRequest {
    RefreshRequest { refresh_token: token.to_owned(), ..RefreshRequest::default() }
}

fn by_client(token: &str, id: &str, secret: &str) -> RefreshRequest {
    let client = ClientCredentials { client_id: id.to_owned(), client_secret: secret.to_owned() };
    RefreshRequest { client: Some(client), ..refresh(token) }
}

fn validate(token: &str, required: &[&str]) -> ValidateRequest {
    let required_scopes = required.iter().map(|scope| (*scope).to_owned()).collect();
    ValidateRequest { token: token.to_owned(), required_scopes }
}

#[tokio::test]
async fn a_refresh_gives_the_next_tokens_and_a_second_one_ends_the_session() {
    let fixture = Fixture::usual().await;
    let server = Server::start(&fixture).await;
    let mut client = server.tokens().await;
    let first = fixture.login().await;
    let token = text(first.refresh_token.as_ref().expect("a refresh token"));

    let narrow = RefreshRequest { scope: "user:read".to_owned(), ..refresh(&token) };
    let next = client.refresh(narrow).await.expect("tokens").into_inner();
    assert_eq!((next.token_type.as_str(), next.expires_in), ("Bearer", 900));
    assert_eq!((next.scope.as_str(), next.user_id.as_str()), ("user:read", ALICE_ID));
    assert!(!next.refresh_token.is_empty() && next.refresh_token != token);
    let valid = client.validate(validate(&next.access_token, &[])).await.expect("an answer");
    assert!(valid.get_ref().active);

    let again = client.refresh(refresh(&token)).await;
    check_refused(again, Code::Unauthenticated, "invalid_grant");
    let thief = client.refresh(refresh(&next.refresh_token)).await;
    check_refused(thief, Code::Unauthenticated, "invalid_grant");
    let valid = client.validate(validate(&next.access_token, &[])).await.expect("an answer");
    assert_eq!(valid.into_inner(), ValidateResponse::default());
}

#[tokio::test]
async fn a_reusable_token_is_not_replaced() {
    let fixture = Fixture::new(|setup| setup.policy.refresh_policy = RefreshPolicy::Reusable).await;
    let server = Server::start(&fixture).await;
    let token = text(&fixture.login().await.refresh_token.expect("a refresh token"));
    for _ in 0..2 {
        let next = server.tokens().await.refresh(refresh(&token)).await.expect("tokens");
        assert_eq!(next.get_ref().refresh_token, "");
    }
}

#[tokio::test]
async fn a_refresh_that_cannot_be_is_refused_by_its_code() {
    let fixture = Fixture::usual().await;
    fixture.add_client(("other", "other-secret"), &["refresh_token"]).await;
    fixture.add_client(("once", "once-secret"), &["password"]).await;
    let server = Server::start(&fixture).await;
    let mut client = server.tokens().await;
    let own = fixture.login().await.refresh_token.expect("a refresh token");
    let demos = fixture.login_by_demo().await.refresh_token;
    let (own, demos) = (text(&own), text(&demos.expect("a refresh token")));
    let wider = RefreshRequest { scope: "user:read admin".to_owned(), ..refresh(&own) };
    let unreadable = RefreshRequest { scope: "\"".to_owned(), ..refresh(&own) };
    for (request, code, error) in [
        (refresh(""), Code::InvalidArgument, "invalid_request"),
        (refresh("rubbish"), Code::Unauthenticated, "invalid_grant"),
        (wider, Code::InvalidArgument, "invalid_scope"),
        (unreadable, Code::InvalidArgument, "invalid_scope"),
        (refresh(&demos), Code::Unauthenticated, "invalid_grant"),
        (by_client(&demos, "", "x"), Code::InvalidArgument, "invalid_request"),
        (by_client(&demos, "demo", "wrong"), Code::Unauthenticated, "invalid_client"),
        (by_client(&demos, "demo", ""), Code::Unauthenticated, "invalid_client"),
        (by_client(&demos, "nobody", "x"), Code::Unauthenticated, "invalid_client"),
        (by_client(&demos, "other", "other-secret"), Code::Unauthenticated, "invalid_grant"),
        (by_client(&demos, "once", "once-secret"), Code::PermissionDenied, "unauthorized_client"),
    ] {
        check_refused(client.refresh(request).await, code, error);
    }
    for request in [refresh(&own), by_client(&demos, DEMO.0, DEMO.1)] {
        client.refresh(request).await.expect("none of these used it up");
    }
}

#[tokio::test]
async fn a_good_access_token_is_described() {
    for opaque in [false, true] {
        let fixture = Fixture::new(|setup| setup.policy.opaque = opaque).await;
        let server = Server::start(&fixture).await;
        let issued = fixture.login_by_demo().await;
        let token = text(&issued.access_token);
        let request = validate(&token, &["user:write", "user:read"]);
        let answer = server.tokens().await.validate(request).await.expect("an answer").into_inner();
        assert!(answer.active, "opaque: {opaque}");
        assert_eq!((answer.user_id.as_str(), answer.client_id.as_str()), (ALICE_ID, DEMO.0));
        assert_eq!(answer.session_id, issued.session.as_str());
        assert_eq!(answer.scopes, ["user:read", "user:write"]);
        let expires = answer.expires.expect("an end");
        assert_eq!(u64::try_from(expires.seconds), Ok(START.as_secs() + 900));
        let claims = answer.claims.expect("claims").fields;
        let username = claims["username"].kind.clone();
        assert_eq!(username, Some(prost_types::value::Kind::StringValue(ALICE.0.to_owned())));
        assert!(claims.keys().all(|name| name != "active" && !name.starts_with("portcullis:")));
    }
}

#[tokio::test]
async fn what_is_not_good_for_access_is_not_active() {
    let fixture = Fixture::usual().await;
    let server = Server::start(&fixture).await;
    let mut client = server.tokens().await;
    let issued = fixture.login().await;
    let (access, refresh) = (text(&issued.access_token), text(&issued.refresh_token.unwrap()));
    let forged = format!("{}x", &access[..access.len() - 1]);
    for token in [refresh.as_str(), &forged, "rubbish", "a.b.c"] {
        let answer = client.validate(validate(token, &[])).await.expect("an answer");
        assert_eq!(answer.into_inner(), ValidateResponse::default(), "{token}");
    }
    let answer = client.validate(validate(&access, &["admin", "user:read", "root"])).await;
    let missing_scopes = vec!["admin".to_owned(), "root".to_owned()];
    let expected = ValidateResponse { missing_scopes, ..ValidateResponse::default() };
    assert_eq!(answer.expect("an answer").into_inner(), expected);
    for request in [validate("", &[]), validate(&access, &["two scopes"]), validate(&access, &[""])]
    {
        let refused = client.validate(request).await;
        check_refused(refused, Code::InvalidArgument, "invalid_request");
    }
    fixture.clock.advance(Duration::from_secs(900));
    let answer = client.validate(validate(&access, &[])).await.expect("an answer");
    assert_eq!(answer.into_inner(), ValidateResponse::default(), "expired");
}

#[tokio::test]
async fn too_many_attempts_are_told_when_to_come_again() {
    let fixture = Fixture::new(|setup| setup.throttle.per_minute = 2).await;
    let server = Server::start(&fixture).await;
    let mut client = server.tokens().await;
    check_refused(client.refresh(refresh("a")).await, Code::Unauthenticated, "invalid_grant");
    let status = client.refresh(refresh("b")).await.expect_err("no budget is left");
    assert_eq!(status.metadata().get("retry-after").expect("a wait"), "30");
    check_refused::<()>(Err(status), Code::ResourceExhausted, "slow_down");
    fixture.clock.advance(Duration::from_secs(30));
    check_refused(client.refresh(refresh("c")).await, Code::Unauthenticated, "invalid_grant");
}

#[tokio::test]
async fn a_store_that_fails_is_unavailable_and_nothing_was_issued() {
    let fixture = Fixture::usual().await;
    let server = Server::start(&fixture).await;
    let mut client = server.tokens().await;
    let token = text(&fixture.login().await.refresh_token.expect("a refresh token"));
    fixture.faults.fail("records.");
    let refused = client.refresh(refresh(&token)).await;
    check_refused(refused, Code::Unavailable, "temporarily_unavailable");
    fixture.faults.recover();
    client.refresh(refresh(&token)).await.expect("the token is still good");
}

#[tokio::test]
async fn a_call_ends_at_the_clients_deadline_and_what_it_began_comes_to_its_end() {
    let fixture = Fixture::usual().await;
    let server = Server::start(&fixture).await;
    // tonic's own channel would keep the deadline by itself; this one leaves it to the server.
    let channel = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let origin = format!("http://{}", server.address).parse().expect("a URL");
    let mut client = TokenServiceClient::with_origin(channel, origin);
    let first = text(&fixture.login().await.refresh_token.expect("a refresh token"));
    fixture.faults.hold("records.");
    let mut request = tonic::Request::new(refresh(&first));
    request.metadata_mut().insert("grpc-timeout", "100m".parse().expect("ASCII"));
    let status = client.refresh(request).await.expect_err("too late");
    // The store's own deadline would be `Unavailable`.
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    fixture.faults.recover();
    fixture.issuance.tasks().ended().await;
    let kept =
        fixture.dependencies.tokens.get(&TokenDigest::of(&first)).await.expect("memory answers");
    assert!(kept.expect("it is kept").used.is_some(), "it was rotated all the same");
    let events = fixture.into_events();
    assert_eq!(events.iter().filter(|event| event["event"] == "refresh").count(), 1, "{events:?}");
}
