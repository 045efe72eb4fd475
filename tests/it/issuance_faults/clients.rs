//! Keys that are registered, and clients that show who they are.

use portcullis::account::AccountStore as _;
use portcullis::account::KeyDigest;
use portcullis::clock::Clock as _;
use portcullis::issuer::client_auth::ClientCredentials;
use portcullis::issuer::error::IssueError;
use portcullis::secret::Secret;
use serde_json::json;

use super::{FAILURES, InjectedFault, with_each_fault};
use crate::support::issuance::{DEMO, Fixture, ISS, Setup, id};

/// The name of a service that registers keys.
const SERVICE: &str = "9a1c1f0e-3a51-4d57-bd4c-4f7e1e0ad9f1";

async fn register(fixture: &Fixture, key: &str) -> Result<(), IssueError> {
    fixture.issuance.keys.register_key(&Secret::new(key), SERVICE, &fixture.caller).await
}

async fn has_key(fixture: &Fixture, key: &str) -> bool {
    let digest = KeyDigest::of(&Secret::new(key));
    fixture.accounts.inner.key(&digest).await.expect("the file answers").is_some()
}

async fn has_service(fixture: &Fixture) -> bool {
    fixture.accounts.inner.user(&id(SERVICE)).await.expect("the file answers").is_some()
}

#[tokio::test]
async fn a_key_whose_registration_failed_is_not_registered_and_no_user_is_made_for_it() {
    let act = async |fixture: &Fixture, _: &()| register(fixture, "new").await;
    let check = async |fixture: Fixture, (): (), injected: InjectedFault| {
        assert!(!has_key(&fixture, "new").await, "{injected:?}");
        assert!(!has_service(&fixture).await, "{injected:?}: a user without a key");
        assert_eq!(register(&fixture, "new").await, Ok(()), "{injected:?}");
        assert!(has_key(&fixture, "new").await && has_service(&fixture).await, "{injected:?}");
    };
    with_each_fault("register_key", &FAILURES, Setup::default, async |_| (), act, check).await;

    // A service that has a key keeps it, whatever becomes of its second one.
    let first = async |fixture: &Fixture| register(fixture, "first").await.expect("a key");
    let check = async |fixture: Fixture, (): (), injected: InjectedFault| {
        assert!(!has_key(&fixture, "new").await, "{injected:?}");
        assert!(has_key(&fixture, "first").await && has_service(&fixture).await, "{injected:?}");
        assert_eq!(register(&fixture, "new").await, Ok(()), "{injected:?}");
        assert!(has_key(&fixture, "new").await, "{injected:?}");
    };
    with_each_fault("register_key, second", &FAILURES, Setup::default, first, act, check).await;

    let known = async |fixture: &Fixture| register(fixture, "new").await.expect("a key");
    let check = async |fixture: Fixture, (): (), injected: InjectedFault| {
        assert!(has_key(&fixture, "new").await && has_service(&fixture).await, "{injected:?}");
        assert_eq!(register(&fixture, "new").await, Ok(()), "{injected:?}");
    };
    with_each_fault("register_key, renewed", &FAILURES, Setup::default, known, act, check).await;
}

fn assertion(fixture: &Fixture, jti: &str) -> ClientCredentials {
    let now = fixture.clock.now().as_secs();
    let claims = json!({
        "iss": DEMO.0, "sub": DEMO.0, "aud": ISS, "iat": now, "exp": now + 60, "jti": jti,
    });
    let assertion = Secret::new(fixture.demo_key.sign(&claims).expect("a signature"));
    ClientCredentials::Assertion { id: None, assertion }
}

/// Whoever sees an assertion on its way cannot use it again (CVE-2020-15222, CVE-2020-5300).
#[tokio::test]
async fn an_assertion_is_good_once() {
    let fixture = Fixture::usual().await;
    let authenticate = async |shown: &ClientCredentials| {
        fixture.issuance.clients.authenticate(shown, &fixture.caller).await.map(drop)
    };
    let (first, second) = (assertion(&fixture, "first"), assertion(&fixture, "second"));
    assert_eq!(authenticate(&first).await, Ok(()));
    for _ in 0..2 {
        let again = authenticate(&first).await;
        assert!(matches!(again, Err(IssueError::InvalidClient { .. })), "{again:?}");
    }
    let unnamed = authenticate(&assertion(&fixture, "")).await;
    assert!(matches!(unnamed, Err(IssueError::InvalidClient { .. })), "{unnamed:?}");
    assert_eq!(authenticate(&second).await, Ok(()));
    // Until its very end, and then it is over.
    fixture.wait(59);
    assert!(authenticate(&first).await.is_err());
    fixture.wait(3_600);
    assert!(authenticate(&first).await.is_err());
}

#[tokio::test]
async fn a_client_is_never_believed_where_a_store_failed() {
    let secret = |_: &Fixture, _: &str| ClientCredentials::Secret {
        id: DEMO.0.to_owned(),
        secret: Secret::new(DEMO.1),
        by_header: true,
    };
    let public = |_: &Fixture, _: &str| ClientCredentials::Public {
        id: "public".to_owned(),
        by_header: false,
    };
    type MakeCredentials = fn(&Fixture, &str) -> ClientCredentials;
    let ways: [(&str, MakeCredentials); 3] =
        [("secret", secret), ("assertion", assertion), ("public", public)];
    for (name, shown) in ways {
        let prepare = async |fixture: &Fixture| {
            let mut public = fixture.demo.clone();
            (public.id, public.secrets, public.jwks) = ("public".to_owned(), Vec::new(), None);
            fixture.accounts.inner.add_client(&public).await.expect("a public client");
            shown(fixture, "first")
        };
        let act = async |fixture: &Fixture, shown: &ClientCredentials| {
            fixture.issuance.clients.authenticate(shown, &fixture.caller).await.map(drop)
        };
        let check = async |fixture: Fixture, _: ClientCredentials, injected: InjectedFault| {
            // An assertion is good once; whether it was used up is not known.
            let next = shown(&fixture, "second");
            let client = fixture.issuance.clients.authenticate(&next, &fixture.caller).await;
            assert!(client.is_ok(), "{injected:?}: {client:?}");
        };
        let name = format!("client by {name}");
        with_each_fault(&name, &FAILURES, Setup::default, prepare, act, check).await;
    }
}
