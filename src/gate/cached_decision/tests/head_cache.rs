//! Heads that were let pass: known by all their bytes but the id, and let pass again for as long as what let them pass holds.

use std::collections::HashSet;

use super::*;
use crate::gate::credential::Cookies;
use crate::gate::gateway_proof::Peer;
use crate::gate::metrics::EntryPoint;
use crate::gate::policy_in_force::PolicyGeneration;
use crate::gate::verdict::Verdict;
use crate::gate::{Dialect, Gate};
use crate::policy::{Access, Policy, Requirement};
use crate::secret::fingerprint::Fingerprint;
use crate::wire::connection::Connection;
use crate::wire::whole_head::WholeHead;

const NGINX: EntryPoint = EntryPoint::Nginx;

fn policy() -> PolicyGeneration {
    PolicyGeneration::default()
}

fn peer(address: Option<&str>, is_certified: bool) -> Peer {
    let address = address.map(|address| address.parse().expect("an address"));
    Peer::new(Connection::accepted(address), is_certified)
}

impl Fixture {
    fn head(&self, peer: Peer, head: &str) -> Option<Fingerprint> {
        self.decisions.head_fingerprint(peer, &WholeHead::of(head.as_bytes()).expect("a head"))
    }

    /// A head that was let pass by the decision about this token.
    fn remembered(&self, token: &str) -> Fingerprint {
        let now = self.decisions.moment();
        let decision = self.decisions.recall(token.as_bytes(), now).expect("it is in memory");
        let head = format!("GET / HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n");
        let head = self.head(peer(None, false), &head).expect("a cache of heads");
        self.decisions.remember_head(head, &decision, policy(), NGINX);
        assert_eq!(self.entry_point(head), Some(NGINX));
        head
    }

    fn entry_point(&self, head: Fingerprint) -> Option<EntryPoint> {
        let found = self.decisions.recall_head(head, policy(), self.decisions.moment());
        found.map(|(_, entry_point)| entry_point)
    }
}

#[test]
fn a_head_is_known_by_all_its_bytes_but_the_id_and_by_its_sender() {
    let fixture = usual();
    let here = peer(Some("192.0.2.1"), false);
    let head = "GET /a HTTP/1.1\r\nHost: b\r\nX-Request-Id: 1\r\nAuthorization: Bearer c\r\n\r\n";
    let known = fixture.head(here, head);
    assert!(known.is_some());
    assert_eq!(fixture.head(peer(Some("192.0.2.1"), false), head), known, "another connection");
    for id in ["", "2", "a-longer-one"] {
        let head = head.replace("Id: 1", &format!("Id: {id}"));
        assert_eq!(fixture.head(here, &head), known, "{id}");
    }
    let others = [
        peer(Some("192.0.2.2"), false),
        peer(Some("::ffff:192.0.2.1"), false),
        peer(Some("192.0.2.1"), true),
        peer(None, false),
        peer(None, true),
        peer(Some("0.0.0.0"), false),
        peer(Some("::"), false),
    ];
    let mut seen: HashSet<_> =
        others.iter().map(|peer| format!("{:?}", fixture.head(*peer, head))).collect();
    assert!(seen.insert(format!("{known:?}")));
    assert_eq!(seen.len(), others.len() + 1);
    let id_at = head.find("Id: 1").expect("an id") + 4;
    // Another first byte would be no method.
    for at in (1..head.len() - 4).filter(|at| *at != id_at) {
        let other = format!("{}#{}", &head[..at], &head[at + 1..]);
        assert!(seen.insert(format!("{:?}", fixture.head(here, &other))), "{other:?}");
    }
}

#[tokio::test]
async fn a_head_passes_again_while_the_decision_is_valid_and_no_longer() {
    let fixture = usual();
    let [aged, renewed, revoked, told, renamed, lost] =
        ["aged", "renewed", "revoked", "told", "renamed", "lost"];
    let mut tokens = Vec::new();
    for id in [aged, renewed, revoked, told, renamed, lost] {
        tokens.push(fixture.cached(id, 600).await);
    }
    let heads: Vec<_> = tokens.iter().map(|token| fixture.remembered(token)).collect();
    let passes = |at: usize| fixture.entry_point(heads[at]).is_some();
    fixture.decisions.sessions().revoke(&Fixture::id(revoked)).await.unwrap();
    assert!(!passes(2));
    fixture.on_invalidation(InvalidationEvent::Changed(b"session:told"));
    assert!(!passes(3), "its session has to be read again");
    assert_eq!(fixture.outcome(&tokens[3]).await, Ok(()));
    assert!(passes(3), "it says the same");
    fixture.rename(renamed, "Alice").await;
    fixture.on_invalidation(InvalidationEvent::Changed(b"session:renamed"));
    for _ in 0..2 {
        assert_eq!(fixture.outcome(&tokens[4]).await, Ok(()));
    }
    assert!(!passes(4), "the decision is another one, which may say something else");
    fixture.on_invalidation(InvalidationEvent::Lost);
    assert!([0, 1, 5].iter().all(|at| !passes(*at)));
    for at in [0, 1] {
        assert_eq!(fixture.outcome(&tokens[at]).await, Ok(()));
    }
    assert!(passes(0) && passes(1) && !passes(5));
    fixture.clock.advance(STALENESS);
    assert!(!passes(0) && !passes(1));
    assert_eq!(fixture.outcome(&tokens[1]).await, Ok(()));
    assert!(!passes(0) && passes(1));
    fixture.clock.advance(Duration::from_secs(600));
    assert!(!passes(1), "the token is over");
}

#[tokio::test]
async fn a_head_outlives_neither_its_policy_nor_the_keys_nor_its_decision() {
    let fixture = usual();
    let token = fixture.cached("s", 600).await;
    let head = fixture.remembered(&token);
    let gate = Gate::new(fixture.decisions.clone(), Cookies::default());
    assert_eq!(gate.policy_generation(), policy());
    let other = Policy::compile(vec![], Access::Denied, false, vec![]).unwrap();
    gate.set_policy(Arc::new(other));
    let now = fixture.decisions.moment();
    assert!(fixture.decisions.recall_head(head, gate.policy_generation(), now).is_none());
    assert!(fixture.entry_point(head).is_none(), "it was forgotten then");
    let head = fixture.remembered(&token);
    fixture.ring.replace(vec![], UsableUntil::FOR_EVER);
    assert!(fixture.entry_point(head).is_none(), "its key is gone");
    let head = {
        let fixture = fixture_behind(Duration::ZERO, config(STALENESS));
        let head = fixture.remembered(&fixture.cached("s", 600).await);
        fixture.decisions.cache.invalidate_all();
        fixture.decisions.cache.run_pending_tasks();
        fixture.entry_point(head)
    };
    assert_eq!(head, None, "the cache dropped its decision");
}

#[tokio::test]
async fn heads_take_a_part_of_the_room_and_none_where_they_are_not_remembered() {
    let tables = |remembers_heads| {
        let fixture = fixture(CacheConfig { remembers_heads, ..config(STALENESS) });
        (fixture.decisions.size().1, fixture.head(peer(None, false), "GET / HTTP/1.1\r\n\r\n"))
    };
    let ((with, known), (without, unknown)) = (tables(true), tables(false));
    assert_eq!((with, without), (CACHE_BYTES / 16, CACHE_BYTES / 32));
    assert!(known.is_some() && unknown.is_none());
}

/// A policy that lets all pass alternates with one that lets nobody pass. Whatever a request that is judged meanwhile
/// remembers, under the second one it passes no more.
#[tokio::test]
async fn no_head_that_was_judged_by_a_policy_before_passes_under_the_one_after_it() {
    let fixture = usual();
    let token = fixture.cached("s", 600).await;
    let gate = Gate::new(fixture.decisions.clone(), Cookies::default());
    let policy = |access| Arc::new(Policy::compile(vec![], access, false, vec![]).unwrap());
    let (open, shut) = (policy(Access::Required(Requirement::default())), policy(Access::Denied));
    let question = {
        let mut question = http::Request::get("/validate_request");
        for (name, value) in [
            ("authorization", format!("Bearer {token}").as_str()),
            ("x-original-method", "GET"),
            ("x-original-proto", "https"),
            ("x-original-host", "app.test"),
            ("x-original-uri", "/page"),
        ] {
            question = question.header(name, value);
        }
        question.body(()).unwrap().into_parts().0
    };
    let head = fixture.head(peer(None, false), "GET / HTTP/1.1\r\n\r\n").expect("a cache of heads");
    let is_over = AtomicBool::new(false);
    let (passed, rounds) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let verdict = gate.check_now(&Dialect::Nginx.read(&question));
                if let Some(Verdict::Allow(grant)) = verdict
                    && let Some((decision, policy)) = grant.repeatable()
                {
                    fixture.decisions.remember_head(head, decision, policy, NGINX);
                    passed.fetch_add(1, Ordering::Relaxed);
                }
                rounds.fetch_add(1, Ordering::Release);
            }
        });
        let passes = || {
            let (policy, now) = (gate.policy_generation(), fixture.decisions.moment());
            fixture.decisions.recall_head(head, policy, now).is_some()
        };
        let waits_for = |is_so: &dyn Fn() -> bool| {
            (0..10_000_000).any(|_| {
                std::thread::yield_now();
                is_so()
            })
        };
        let late = (0..20_000).find(|_| {
            gate.set_policy(Arc::clone(&open));
            gate.set_policy(Arc::clone(&shut));
            // What was being judged meanwhile is remembered by then.
            let begun = rounds.load(Ordering::Acquire);
            !waits_for(&|| rounds.load(Ordering::Acquire) >= begun + 2) || passes()
        });
        gate.set_policy(open);
        let has_passed = waits_for(&|| passed.load(Ordering::Relaxed) > 0);
        // Before the check, or the other thread would go on for ever.
        is_over.store(true, Ordering::Relaxed);
        assert!(has_passed, "nothing was remembered");
        assert_eq!(late, None, "the round in which an old yes passed");
    });
}
