//! The signed token that the application is given.

use std::time::Duration;

use portcullis::clock::UnixTime;
use portcullis::opaque::{OpaqueTokenStore as _, TokenDigest};
use serde_json::{Value, json};

use super::{NOW, STALENESS, Setup, UPSTREAM, claims, fixture, object, usual};

#[tokio::test]
async fn the_application_is_given_the_very_token_or_one_that_says_what_the_handle_stands_for() {
    let fixture = usual();
    let handle = fixture.handle(|_| {}).await;
    let jwt = fixture.signer.sign(&claims()).unwrap();
    assert_eq!(fixture.upstream(&jwt).await, jwt);
    let signed = fixture.upstream(&handle).await;
    for name in ["iss", "sub", "aud", "sid", "exp", "iat", "scope", "roles", "token_type"] {
        assert_eq!(fixture.claim(&signed, name), claims()[name], "{name}");
    }
    assert_eq!(fixture.upstream(&handle).await, signed);
    fixture.clock.advance(STALENESS);
    assert_eq!(fixture.upstream(&handle).await, signed, "asked again, not signed again");
    assert_eq!(fixture.upstream(&jwt).await, jwt);
    assert_eq!(fixture.reads(), 2);
    let (_, answer) = fixture.as_bearer("x").await;
    assert!(answer.headers().get(UPSTREAM).is_none(), "a refusal hands on nothing");
    let (verdict, _) = fixture.as_bearer(&handle).await;
    assert!(!format!("{verdict:?}").contains(&signed), "it is a credential, and not to be logged");
}

#[tokio::test]
async fn the_header_is_there_as_configured_and_empty_where_there_is_nothing() {
    let without_key = fixture(Setup { has_signer: false, ..Setup::default() });
    let handle = without_key.handle(|_| {}).await;
    assert_eq!(without_key.upstream(&handle).await, "");
    let off = fixture(Setup { upstream: false, ..Setup::default() });
    let handle = off.handle(|_| {}).await;
    let (verdict, answer) = off.as_bearer(&handle).await;
    assert_eq!(verdict.denied(), None);
    assert!(answer.headers().get(UPSTREAM).is_none());
}

#[tokio::test]
async fn no_token_is_handed_on_that_the_handle_stands_for_no_longer() {
    let fixture = usual();
    let handle = fixture.handle(|_| {}).await;
    let digest = TokenDigest::of(&handle);
    let first = fixture.upstream(&handle).await;
    let mut changed = claims();
    changed["scope"] = json!("user:read user:write");
    let end = UnixTime::from_secs(NOW + 700);
    assert!(fixture.guarded.extend(&digest, end, Some(object(&changed))).await.unwrap());
    let second = fixture.upstream(&handle).await;
    assert_ne!(first, second);
    assert_eq!(fixture.claim(&second, "scope"), changed["scope"]);
    assert_eq!(fixture.claim(&second, "exp"), json!(NOW + 700), "the handle's own end");
    // The claims stay, the end moves.
    let end = UnixTime::from_secs(NOW + 800);
    assert!(fixture.guarded.extend(&digest, end, None).await.unwrap());
    assert_eq!(fixture.claim(&fixture.upstream(&handle).await, "exp"), json!(NOW + 800));
    // Elsewhere: known at the bound.
    let end = UnixTime::from_secs(NOW + 900);
    assert!(fixture.tokens.inner.extend(&digest, end, None).await.unwrap());
    fixture.clock.advance(STALENESS);
    assert_eq!(fixture.claim(&fixture.upstream(&handle).await, "exp"), json!(NOW + 900));
}

/// The payload of a token that this service itself does not accept.
fn payload(token: &str) -> Value {
    crate::support::tokens::claims(token)
}

#[tokio::test]
async fn for_an_audience_the_application_is_given_a_token_of_ours_that_is_of_no_use_here() {
    let fixture = fixture(Setup { audience: Some(60), ..Setup::default() });
    let handle = fixture.handle(|_| {}).await;
    let jwt = fixture.signer.sign(&claims()).unwrap();
    for credential in [&jwt, &handle] {
        let token = fixture.upstream(credential).await;
        let expected = json!({
            "iss": "portcullis", "aud": "app", "iat": NOW, "exp": NOW + 60,
            "sub": "alice", "scope": "user:read", "roles": ["demo"], "sid": "s", "idp": "us",
        });
        assert_eq!(payload(&token), expected);
        let other = fixture.signer.sign_as("JWT", &json!({})).unwrap();
        assert_eq!(token.split('.').next(), other.split('.').next(), "typ and key");
        assert!(fixture.outcome(&token).await.is_err(), "it is no credential here");
    }
}

#[tokio::test]
async fn a_token_of_ours_is_signed_again_when_half_of_its_life_is_left() {
    let fixture = fixture(Setup {
        audience: Some(60),
        staleness: Duration::from_secs(1_000),
        ..Setup::default()
    });
    let jwt = fixture.signer.sign(&claims()).unwrap();
    fixture.handle(|_| {}).await;
    let first = fixture.upstream(&jwt).await;
    fixture.clock.advance(Duration::from_secs(29));
    assert_eq!(fixture.upstream(&jwt).await, first);
    fixture.clock.advance(Duration::from_secs(1));
    let second = fixture.upstream(&jwt).await;
    assert_eq!(payload(&second)["exp"], json!(NOW + 90));
    // It never outlives the token that it is made from, leeway included.
    fixture.clock.advance(Duration::from_secs(600 + 600 - 30 - 20));
    assert_eq!(payload(&fixture.upstream(&jwt).await)["exp"], json!(NOW + 1_200));
}
