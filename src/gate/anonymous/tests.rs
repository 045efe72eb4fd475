//! Nothing that is demanded, and nothing that was sent, gets in as nobody.

use std::time::Duration;

use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderName, Request};
use proptest::prelude::*;

use super::*;
use crate::clock::{ManualClock, UnixTime};
use crate::gate::cached_decision::{CacheConfig, DecisionCache};
use crate::gate::denial::DenialCode;
use crate::gate::identity::IdentityHeaders;
use crate::gate::metrics::GateMetrics;
use crate::gate::verdict::{Identity, Verdict};
use crate::gate::{Dialect, Gate};
use crate::opaque::CookiePair;
use crate::policy::ReadOnlyRoles;
use crate::session::{MemoryStore, SessionPolicy, Sessions};
use crate::store::StoreMetrics;
use crate::token::Verifier;

/// A gate that knows no issuer, so that no credential is good.
fn gate() -> Gate {
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_000)));
    let policy = SessionPolicy::default();
    let store = Arc::new(MemoryStore::new());
    let sessions = Sessions::new(store, policy, clock.clone(), StoreMetrics::default());
    let decisions = DecisionCache::new(
        Arc::new(Verifier::new(Vec::new(), 8_192, clock.clone())),
        Arc::new(sessions),
        IdentityHeaders::default(),
        CacheConfig::with_staleness(Duration::ZERO),
        clock,
        GateMetrics::default(),
    );
    Gate::new(decisions, Cookies { single: Some("t".to_owned()), pair: Some(CookiePair::HOST) })
}

fn asked(query: &str, lines: &[(&str, &str)]) -> Parts {
    let mut request = Request::get(format!("/validate_request{query}")).body(()).unwrap();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    request.into_parts().0
}

async fn check(gate: &Gate, query: &str, lines: &[(&str, &str)]) -> Verdict {
    gate.check(&Dialect::Nginx.read(&asked(query, lines))).await
}

#[tokio::test]
async fn who_sends_nothing_passes_for_nobody_where_the_operator_says_so() {
    let denied = check(&gate(), "", &[]).await;
    assert_eq!(denied.denied(), Some(DenialCode::MissingCredentials));
    let gate = gate().admitting_anonymous();
    for lines in [&[][..], &[("cookie", "t=; other=1; __Host-user_id=alice")]] {
        let verdict = check(&gate, "", lines).await;
        let Verdict::Allow(grant) = &verdict else { panic!("{verdict:?}") };
        assert!(matches!(grant.identity, Identity::Anonymous(_)));
        assert_eq!(grant.user(), None);
        for (name, value) in [
            ("x-auth-user", ""),
            ("x-auth-username", ""),
            ("x-auth-issuer", ""),
            ("x-auth-session", ""),
            ("x-auth-scopes", ""),
            ("x-auth-roles", "anonymous"),
        ] {
            assert_eq!(grant.headers().get(name).unwrap(), value, "{name}");
        }
    }
}

#[tokio::test]
async fn who_may_only_read_does_so_without_a_credential_too() {
    let roles = vec![ROLE.to_owned()];
    let read_only = ReadOnlyRoles::new(roles, IdentityHeaders::default().roles());
    let gate = gate().admitting_anonymous().with_read_only(read_only);
    for (method, code) in [
        (Some("GET"), None),
        (Some("HEAD"), None),
        (Some("POST"), Some(DenialCode::ReadOnlyUser)),
        (None, Some(DenialCode::ReadOnlyUser)),
    ] {
        let lines: Vec<_> =
            method.map(|method| ("x-original-method", method)).into_iter().collect();
        assert_eq!(check(&gate, "", &lines).await.denied(), code, "{method:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The gate knows no good credential: so a request passes where nothing is sent and nothing is
    /// demanded, and nowhere else.
    #[test]
    fn no_credential_and_no_demand_is_passed_over(
        name in prop::sample::select(vec!["authorization", "x-api-key", "dpop", "cookie", "x-other"]),
        value in prop_oneof![
            Just(String::new()),
            "[ -~]{0,40}",
            "(Bearer|bearer|Basic|DPoP|Digest|Negotiate)[ ]?[!-~]{0,20}",
            "(t|__Host-access_token|__Host-user_id|other)=[!-:<-~]{0,20}",
            "pk_[A-Za-z0-9_-]{43}",
        ],
        demand in prop_oneof![Just(""), Just("?scope=a"), Just("?scope="), Just("?role=a"), Just("?x")],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let gate = gate().admitting_anonymous();
        let verdict = runtime.block_on(check(&gate, demand, &[(name, &value)]));
        let carries = |pair: &str| {
            let carried = pair.trim().split_once('=').filter(|(_, value)| !value.is_empty());
            carried.is_some_and(|(name, _)| ["t", "__Host-access_token"].contains(&name))
        };
        let sends = match name {
            "x-other" => false,
            name if name == COOKIE.as_str() => value.split(';').any(carries),
            _ => true,
        };
        prop_assert_eq!(verdict.denied().is_none(), !sends && demand.is_empty());
    }
}
