//! The coordinator, told by hand.

use std::sync::Mutex;

use super::*;
use crate::secret::Secret;
use crate::store::redis::Options;

/// A listener that notes when it was said that all was told of, and when it was asked again.
#[derive(Debug, Default)]
struct Rounds(Mutex<String>);

impl InvalidationListener for Rounds {
    fn on_invalidation(&self, event: InvalidationEvent<'_>) {
        self.0.lock().unwrap().push(match event {
            InvalidationEvent::Changed(_) => 'C',
            InvalidationEvent::Lost => 'L',
            InvalidationEvent::Asked => '?',
            InvalidationEvent::Complete => '!',
        });
    }
}

/// A server that nobody has to reach.
fn at(port: u16) -> Redis {
    let url = Secret::new(format!("redis://127.0.0.1:{port}"));
    Redis::new(&url, &Options::default()).unwrap()
}

async fn node(port: u16) -> Node {
    at(port).primaries().await.unwrap().nodes.remove(0)
}

#[tokio::test]
async fn a_round_ends_when_all_have_confirmed_it_who_are_followed_then() {
    let (listener, state) = (Rounds::default(), InvalidationState::new(DeliveryMode::Bound));
    let source = RedisInvalidation::new(at(1), []);
    let (reports, _queue) = mpsc::unbounded_channel();
    let mut coordinator = Coordinator::new(&source, reports, &listener, &state);
    let (one, other) = (node(1).await, node(2).await);
    let tracked = |node: &Node| Report::Mode {
        node: Arc::clone(node.name()),
        mode: DeliveryMode::Tracking,
        why: String::new(),
    };
    let confirmed = |node: &Node, round| Report::Confirmed { node: Arc::clone(node.name()), round };
    let said = |coordinator: &mut Coordinator<'_>, reports: Vec<Report>| {
        for report in reports {
            coordinator.apply(report);
        }
        std::mem::take(&mut *listener.0.lock().unwrap())
    };
    coordinator.begin_round();
    let first = *coordinator.round.borrow();
    let second = first.next();
    let nodes = vec![one.clone(), other.clone()];
    let begin = vec![Report::Nodes(nodes), tracked(&one), Report::NodesConfirmed(first)];
    assert_eq!(said(&mut coordinator, begin), "?");
    // One of two, and one whose mode is not known.
    assert_eq!(said(&mut coordinator, vec![confirmed(&one, first), confirmed(&other, first)]), "");
    assert_eq!(said(&mut coordinator, vec![tracked(&other), confirmed(&other, first)]), "!?");
    // In another round, and twice.
    let late = vec![confirmed(&one, first), confirmed(&one, second), confirmed(&other, first)];
    assert_eq!(said(&mut coordinator, late), "");
    // Nobody said in this round who holds the keys.
    assert_eq!(said(&mut coordinator, vec![confirmed(&other, second)]), "");
    assert_eq!(said(&mut coordinator, vec![Report::NodesConfirmed(second)]), "!?");
    let third = second.next();
    // Whoever leaves need not confirm it, and who comes has to.
    let leaves = vec![
        confirmed(&one, third),
        Report::NodesConfirmed(third),
        Report::Nodes(vec![one.clone()]),
    ];
    assert_eq!(said(&mut coordinator, leaves), "L");
    assert_eq!(said(&mut coordinator, vec![confirmed(&one, third)]), "!?");
    let fourth = third.next();
    let comes = vec![Report::Nodes(vec![one.clone(), other.clone()]), tracked(&other)];
    assert_eq!(said(&mut coordinator, comes), "L");
    let without = vec![Report::NodesConfirmed(fourth), confirmed(&one, fourth)];
    assert_eq!(said(&mut coordinator, without), "");
    assert_eq!(said(&mut coordinator, vec![confirmed(&other, fourth)]), "!?");
}
