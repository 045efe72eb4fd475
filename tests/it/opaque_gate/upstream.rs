//! The signed token that the application is given.

use portcullis::clock::UnixTime;
use portcullis::opaque::{OpaqueTokenStore as _, TokenDigest};
use serde_json::json;

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
