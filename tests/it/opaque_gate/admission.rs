//! Handles that are let in, and those that are refused with a reason.

use http::StatusCode;
use http::header::{AUTHORIZATION, COOKIE};
use portcullis::gate::Dialect;
use portcullis::gate::credential::Cookies;
use portcullis::gate::denial::DenialCode;
use portcullis::gate::explain::explain;
use portcullis::opaque::{CookiePair, OpaqueToken, TokenKind};
use portcullis::session::SessionId;
use serde_json::{Value, json};

use super::{Fixture, Setup, claims, fixture, new_handle, usual};

#[tokio::test]
async fn a_good_handle_is_let_in_and_says_who_it_is() {
    let fixture = usual();
    let handle = fixture.handle(|_| {}).await;
    for _ in 0..3 {
        let (verdict, answer) = fixture.as_bearer(&handle).await;
        assert_eq!(verdict.denied(), None);
        assert_eq!(answer.status(), StatusCode::OK);
        for (header, value) in [
            ("x-auth-user", "alice"),
            ("x-auth-session", "s"),
            ("x-auth-scopes", "user:read"),
            ("x-auth-roles", "demo"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.headers()[header], value, "{header}");
        }
    }
    assert_eq!(fixture.reads(), 1, "two of them were answered from memory");
    let bearer = [(AUTHORIZATION, format!("Bearer {handle}"))];
    for (scope, expected) in
        [("user:read", None), ("user:write", Some(DenialCode::InsufficientScope))]
    {
        let uri = format!("/validate_request?scope={scope}");
        assert_eq!(fixture.ask(&uri, &bearer).await.0.denied(), expected, "{scope}");
    }
}

#[tokio::test]
async fn a_handle_that_is_not_good_is_refused_and_says_why() {
    type Change = Box<dyn FnOnce(&mut OpaqueToken)>;
    let set = |token: &mut OpaqueToken, name: &str, value: Value| {
        token.claims.insert(name.to_owned(), value);
    };
    let cases: [(&str, Change, DenialCode); 9] = [
        ("used", Box::new(|t| t.used = Some(t.issued)), DenialCode::HandleUnknown),
        ("refresh", Box::new(|t| t.kind = TokenKind::Refresh), DenialCode::WrongType),
        ("expired", Box::new(|t| t.expires = t.issued), DenialCode::TokenExpired),
        ("sub", Box::new(move |t| set(t, "sub", json!("bob"))), DenialCode::BadClaim),
        ("sid", Box::new(move |t| set(t, "sid", json!("t"))), DenialCode::BadClaim),
        ("iss", Box::new(move |t| set(t, "iss", json!("them"))), DenialCode::UnknownIssuer),
        ("aud", Box::new(move |t| set(t, "aud", json!("them"))), DenialCode::WrongAudience),
        ("use", Box::new(move |t| set(t, "token_type", json!("id"))), DenialCode::WrongType),
        (
            "session",
            Box::new(|t| {
                t.session = SessionId::parse("none").unwrap();
                t.claims.remove("sid");
            }),
            DenialCode::SessionUnknown,
        ),
    ];
    for (case, change, code) in cases {
        let fixture = usual();
        let handle = fixture.handle(change).await;
        for _ in 0..2 {
            let (verdict, answer) = fixture.as_bearer(&handle).await;
            assert_eq!(verdict.denied(), Some(code), "{case}");
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{case}");
            let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
            assert!(challenge.contains("error=\"invalid_token\""), "{case}: {challenge}");
        }
    }
}

#[tokio::test]
async fn what_is_no_handle_is_refused_as_a_bad_token() {
    let fixture = usual();
    let handle = fixture.handle(|_| {}).await;
    let unknown = new_handle();
    assert_eq!(fixture.outcome(&unknown).await, Err(DenialCode::HandleUnknown));
    for rubbish in [&handle[1..], &format!("{handle}A"), &handle.replace(&handle[..1], "+"), "x"] {
        assert_eq!(fixture.outcome(rubbish).await, Err(DenialCode::TokenMalformed), "{rubbish}");
    }
    assert_eq!(fixture.reads(), 1, "rubbish costs the store nothing");
    let without = fixture_without_handles();
    let handle = without.handle(|_| {}).await;
    assert_eq!(without.outcome(&handle).await, Err(DenialCode::TokenMalformed));
}

fn fixture_without_handles() -> Fixture {
    fixture(Setup { has_handles: false, ..Setup::default() })
}

#[tokio::test]
async fn cookies_are_good_in_pairs_alone() {
    let host = CookiePair::HOST;
    let setup = || Setup {
        cookies: Cookies { single: None, pair: Some(CookiePair::HOST) },
        ..Setup::default()
    };
    let fixture = fixture(setup());
    let handle = fixture.handle(|_| {}).await;
    let jwt = fixture.signer.sign(&claims()).unwrap();
    let (unauthorized, mismatch) = (StatusCode::UNAUTHORIZED, Some(DenialCode::CookieMismatch));
    for credential in [&handle, &jwt] {
        let cookie = |name: &str, value: &str| (COOKIE, format!("{name}={value}"));
        let token = || cookie(host.token, credential);
        for (lines, code, status) in [
            (vec![token(), cookie(host.user, "alice")], None, StatusCode::OK),
            (vec![token(), cookie(host.user, "bob")], mismatch, unauthorized),
            (vec![token(), cookie(host.user, "")], mismatch, unauthorized),
            (vec![token()], mismatch, unauthorized),
            (vec![token(), cookie("user_id", "alice")], mismatch, unauthorized),
            (
                // The operator of this gate wants 403 where there are no credentials.
                vec![cookie(host.user, "alice")],
                Some(DenialCode::MissingCredentials),
                StatusCode::FORBIDDEN,
            ),
            (
                vec![token(), cookie(host.user, "alice"), cookie(host.user, "bob")],
                Some(DenialCode::MalformedCredentials),
                StatusCode::FORBIDDEN,
            ),
            (
                vec![(AUTHORIZATION, format!("Bearer {credential}")), cookie(host.token, "x")],
                mismatch,
                unauthorized,
            ),
            (
                vec![
                    (AUTHORIZATION, format!("Bearer {credential}")),
                    cookie(host.token, "x"),
                    cookie(host.user, "alice"),
                ],
                Some(DenialCode::SeveralCredentials),
                unauthorized,
            ),
            (
                vec![
                    (AUTHORIZATION, format!("Bearer {credential}")),
                    token(),
                    cookie(host.user, "alice"),
                ],
                None,
                StatusCode::OK,
            ),
        ] {
            let (verdict, answer) = fixture.ask("/validate_request", &lines).await;
            assert_eq!(verdict.denied(), code, "{lines:?}");
            assert_eq!(answer.status(), status, "{lines:?}");
        }
    }
}

#[tokio::test]
async fn an_identity_and_its_token_that_do_not_fit_together_are_refused() {
    let fixture = usual();
    let long = |bytes: usize| {
        move |token: &mut OpaqueToken| {
            token.claims.insert("long".to_owned(), "x".repeat(bytes).into());
        }
    };
    let fits = fixture.handle(long(11_000)).await;
    assert_eq!(fixture.outcome(&fits).await, Ok(()));
    let does_not = fixture.handle(long(12_500)).await;
    assert_eq!(fixture.outcome(&does_not).await, Err(DenialCode::IdentityTooLarge));
}

#[tokio::test]
async fn an_explanation_says_that_it_is_a_handle_and_whether_it_is_known() {
    let fixture = usual();
    let known = fixture.handle(|_| {}).await;
    let unknown = new_handle();
    for (handle, is_known, last, finding) in [
        (&known, true, "scopes", "known, issuer us; good for another 600 s"),
        (&unknown, false, "handle", "the handle is not known"),
    ] {
        let request = http::Request::get("/validate_request")
            .header(AUTHORIZATION, format!("Bearer {handle}"))
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let inquiry = Dialect::Nginx.read(&request);
        let explanation = explain(&fixture.gate, &inquiry, None, fixture.clock.as_ref()).await;
        assert_eq!(explanation.verdict.denied().is_none(), is_known);
        let step = |name: &str| {
            explanation.steps.iter().find(|step| step.step == name).expect("a step of that name")
        };
        assert_eq!(step("credential").finding, "a handle of 43 bytes in the Authorization header");
        assert!(step("handle").finding.starts_with(finding), "{}", step("handle").finding);
        assert_eq!(step("handle").passed, is_known);
        assert_eq!(explanation.steps.last().expect("steps").step, last);
        let all = format!("{:?}", explanation.steps);
        assert!(!all.contains(handle.as_str()), "an explanation holds no credential");
    }
}
