//! `refresh.RefreshService`, as tp-auth's resource servers call it.

use std::time::Duration;

use portcullis::issuer::grpc::generated::tp_auth::refresh_service_client::RefreshServiceClient;
use portcullis::issuer::grpc::generated::tp_auth::{RefreshRequest, RefreshResponse};
use portcullis::issuer::policy::RefreshPolicy;
use tonic::transport::Channel;

use super::Server;
use crate::support::issuance::{ALICE_ID, Fixture, Setup, text};

/// tp-auth's one token.
fn as_tp_auth(setup: &mut Setup) {
    setup.policy.opaque = true;
    setup.policy.refresh_policy = RefreshPolicy::Sliding;
}

/// Asks, and is answered with nothing, as always.
async fn call(client: &mut RefreshServiceClient<Channel>, user: &str, token: &str) {
    let request = RefreshRequest { user_id: user.to_owned(), token: token.to_owned() };
    let answer = client.refresh_token(request).await.expect("always OK");
    assert_eq!(answer.into_inner(), RefreshResponse {});
}

async fn is_live(fixture: &Fixture, token: &str) -> bool {
    fixture.issuance.revocation.bearer(token).await.is_ok()
}

#[tokio::test]
async fn a_handle_lives_on_while_it_is_in_use() {
    let fixture = Fixture::new(as_tp_auth).await;
    let server = Server::start(&fixture).await;
    let mut client = RefreshServiceClient::new(server.channel().await);
    let token = text(&fixture.login().await.access_token);
    // 15 minutes at a time.
    for _ in 0..5 {
        fixture.clock.advance(Duration::from_secs(600));
        call(&mut client, ALICE_ID, &token).await;
        assert!(is_live(&fixture, &token).await);
    }
    fixture.clock.advance(Duration::from_secs(900));
    assert!(!is_live(&fixture, &token).await);
    call(&mut client, ALICE_ID, &token).await;
    assert!(!is_live(&fixture, &token).await, "what is over stays so");
    let events = fixture.into_events();
    let count = |name| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((count("refresh"), count("refresh_refused")), (5, 1));
}

#[tokio::test]
async fn a_handle_slides_once_in_a_window_and_a_login_begins_one() {
    let fixture = Fixture::new(|setup| {
        as_tp_auth(setup);
        setup.policy.refresh_window = Duration::from_secs(800);
    })
    .await;
    let server = Server::start(&fixture).await;
    let mut client = RefreshServiceClient::new(server.channel().await);
    let token = text(&fixture.login().await.access_token);
    fixture.clock.advance(Duration::from_secs(799));
    call(&mut client, ALICE_ID, &token).await;
    fixture.clock.advance(Duration::from_secs(101));
    assert!(!is_live(&fixture, &token).await, "the login began the window");
    assert!(fixture.into_events().iter().all(|event| event["event"] == "login"));
}

#[tokio::test]
async fn what_may_not_slide_does_not_and_is_answered_alike() {
    let fixture = Fixture::new(as_tp_auth).await;
    let server = Server::start(&fixture).await;
    let mut client = RefreshServiceClient::new(server.channel().await);
    let own = text(&fixture.login().await.access_token);
    let demos = text(&fixture.login_by_demo().await.access_token);
    fixture.clock.advance(Duration::from_secs(600));
    let cases =
        [("bob-id", &*own), ("", &own), (ALICE_ID, "rubbish"), (ALICE_ID, ""), (ALICE_ID, &demos)];
    for (user, token) in cases {
        call(&mut client, user, token).await;
    }
    fixture.faults.fail("records.");
    call(&mut client, ALICE_ID, &own).await;
    fixture.clock.advance(Duration::from_secs(300));
    for token in [&own, &demos] {
        assert!(!is_live(&fixture, token).await, "nothing of that moved its end");
    }
}

#[tokio::test]
async fn where_handles_do_not_slide_nothing_happens() {
    for (opaque, policy) in [
        (false, RefreshPolicy::Sliding),
        (true, RefreshPolicy::Rotate),
        (true, RefreshPolicy::Reusable),
    ] {
        let fixture = Fixture::new(|setup| {
            setup.policy.opaque = opaque;
            setup.policy.refresh_policy = policy;
        })
        .await;
        let server = Server::start(&fixture).await;
        let mut client = RefreshServiceClient::new(server.channel().await);
        let token = text(&fixture.login().await.access_token);
        fixture.clock.advance(Duration::from_secs(600));
        call(&mut client, ALICE_ID, &token).await;
        fixture.clock.advance(Duration::from_secs(300));
        assert!(!is_live(&fixture, &token).await, "{opaque} {policy:?}");
    }
}
