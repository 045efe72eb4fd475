//! Judgements from memory alone: the same verdict as any other, or none and nothing begun.

use http::Request;
use http::header::AUTHORIZATION;
use serde_json::Value;

use super::*;
use crate::gate::credential::Cookies;
use crate::gate::verdict::Verdict;
use crate::gate::{Dialect, Gate};
use crate::policy::requirement::Condition;
use crate::policy::{Access, Policy, Requirement};
use crate::token::Thumbprint;

fn asked(token: &str) -> http::request::Parts {
    let request = Request::get("/validate_request?scope=read");
    let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    request.body(()).unwrap().into_parts().0
}

#[tokio::test]
async fn from_memory_alone_the_verdict_is_the_same_or_none_and_nothing_is_begun() {
    let fixture = usual();
    let gate = Gate::new(fixture.decisions.clone(), Cookies::default());
    fixture.token("s", 600).await;
    let signed = |claims: Value| fixture.signer.sign(&claims).unwrap();
    let exp = NOW + 600;
    let good = signed(json!({"sub": "alice", "sid": "s", "exp": exp, "scope": "read"}));
    let poor = signed(json!({"sub": "alice", "sid": "s", "exp": exp, "scope": "write"}));
    let bound = signed(json!({"sub": "alice", "exp": exp, "scope": "read", "cnf": {"jkt": "x"}}));
    let now = |token: &str| {
        let verdict = gate.check_now(&Dialect::Nginx.read(&asked(token)));
        verdict.map(|verdict| verdict.denied())
    };
    let check = async |token: &str| {
        let question = asked(token);
        gate.check(&Dialect::Nginx.read(&question)).await.denied()
    };
    for token in [&good, &poor, &bound, "no.to.ken"] {
        assert_eq!(now(token), None, "it is not in memory");
    }
    assert_eq!((fixture.reads(), fixture.decisions.metrics.looked_up()), (0, (0, 0, 0)));
    for token in [&good, &poor, &bound] {
        // At the second time it comes into the first level.
        assert_eq!(check(token).await, check(token).await);
    }
    let (reads, (hits, rechecks, misses)) =
        (fixture.reads(), fixture.decisions.metrics.looked_up());
    assert_eq!(now(&good), Some(None));
    assert_eq!(now(&poor), Some(Some(DenialCode::InsufficientScope)));
    assert_eq!(fixture.decisions.metrics.looked_up(), (hits + 2, rechecks, misses));
    assert_eq!(now(&bound), Some(check(&bound).await), "there is nobody who judges its proof");
    let looked_up = fixture.decisions.metrics.looked_up();
    assert_eq!(now("no.to.ken"), None, "what is no good is not remembered");
    fixture.clock.advance(STALENESS);
    assert_eq!(now(&good), None, "its session has to be read again");
    assert_eq!(fixture.decisions.metrics.looked_up(), looked_up);
    assert_eq!(fixture.reads(), reads);
    let nothing = Request::get("/validate_request").body(()).unwrap().into_parts().0;
    let verdict = gate.check_now(&Dialect::Nginx.read(&nothing));
    assert_eq!(verdict.and_then(|it| it.denied()), Some(DenialCode::MissingCredentials));
    assert_eq!(check(&good).await, None, "whoever may wait is answered");
}

#[tokio::test]
async fn a_yes_is_repeatable_unless_the_time_or_a_proof_decided_it() {
    let fixture = usual();
    let gate = Gate::new(fixture.decisions.clone(), Cookies::default());
    let thumbprint = "A".repeat(43);
    let shown = Thumbprint::from_base64url(&thumbprint).unwrap();
    let claims = json!({"sub": "alice", "exp": NOW + 600, "scope": "read", "auth_time": NOW});
    let mut bound = claims.clone();
    bound["cnf"] = json!({ "x5t#S256": thumbprint });
    let [good, bound] = [claims, bound].map(|claims| fixture.signer.sign(&claims).unwrap());
    for token in [&good, &bound] {
        // At the second time it comes into the first level.
        assert_eq!([fixture.outcome(token).await, fixture.outcome(token).await], [Ok(()); 2]);
    }
    let is_repeatable = |token: &str| {
        let mut parts = asked(token);
        for (name, value) in [
            ("x-original-method", "GET"),
            ("x-original-proto", "https"),
            ("x-original-host", "app.test"),
            ("x-original-uri", "/page"),
        ] {
            parts.headers.insert(name, value.parse().unwrap());
        }
        let mut inquiry = Dialect::Nginx.read(&parts);
        inquiry.certificates.client = Ok(Some(shown));
        match gate.check_now(&inquiry) {
            Some(Verdict::Allow(grant)) => grant.repeatable().is_some(),
            other => panic!("no yes from memory: {other:?}"),
        }
    };
    assert!(is_repeatable(&good));
    assert!(!is_repeatable(&bound), "its proof is looked at each time");
    let age = || Condition::MaxLoginAge(Duration::from_secs(300));
    let scope = || Condition::AllScopes(vec!["read".to_owned()]);
    for (conditions, expected) in [
        (vec![scope()], true),
        (vec![scope(), age()], false),
        (vec![Condition::AnyOf(vec![Requirement::all(vec![age()])])], false),
    ] {
        let access = Access::Required(Requirement::all(conditions));
        let policy = Policy::compile(vec![], access, false, vec![]).unwrap();
        gate.set_policy(Arc::new(policy));
        assert_eq!(is_repeatable(&good), expected);
    }
}
