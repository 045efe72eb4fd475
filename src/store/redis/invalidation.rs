//! Invalidation by Redis: the servers themselves send the changes.
//!
//! Each server that holds keys has a subscription, over a connection of its own, in the best mode
//! that the server allows: it tracks the keys with certain prefixes for us, whoever changes them
//! (`CLIENT TRACKING`); or our processes publish their changes on a channel; or there are no
//! events, and only the bound holds. The subscriptions report to one coordinator, in order.
//!
//! A push goes from the connection through one queue to the listener. There is no timer and no lock
//! on the way. The queue is emptied at once and is unbounded, so that nothing is dropped.
//!
//! Rounds say up to which moment every change was told of, where all servers track: one begins with a question, and is over
//! once it is known anew which servers hold the keys, and each of them has confirmed it.

mod confirmation;
mod push;
mod subscription;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{info, warn};

use super::{Failure, Node, Primaries, Redis};
use crate::store::invalidation::{
    DeliveryMode, InvalidationEvent, InvalidationListener, InvalidationSource, InvalidationState,
};
use confirmation::Round;
use subscription::NodeSubscription;

/// The interval at which the topology is asked for.
const TOPOLOGY_INTERVAL: Duration = Duration::from_secs(1);
/// The time that the question may take.
const TOPOLOGY_TIMEOUT: Duration = Duration::from_secs(3);

/// A source of invalidation events for the records in a Redis.
#[derive(Debug)]
pub struct RedisInvalidation {
    redis: Redis,
    prefixes: Arc<[String]>,
}

impl RedisInvalidation {
    /// A source for the keys that begin with one of the prefixes; no prefix begins with another.
    pub fn new(redis: Redis, prefixes: impl IntoIterator<Item = String>) -> Self {
        Self { redis, prefixes: prefixes.into_iter().collect() }
    }
}

#[async_trait]
impl InvalidationSource for RedisInvalidation {
    async fn follow(&self, listener: &dyn InvalidationListener, state: &InvalidationState) {
        let (reports, mut queue) = mpsc::unbounded_channel();
        let mut coordinator = Coordinator::new(self, reports, listener, state);
        let watch_topology = watch_topology(
            self.redis.clone(),
            coordinator.reports.clone(),
            Arc::clone(&coordinator.lost),
            coordinator.round.subscribe(),
        );
        coordinator.begin_round();
        coordinator.tasks.spawn(watch_topology);
        loop {
            tokio::select! {
                biased;
                Some(report) = queue.recv() => coordinator.apply(report),
                Some(ended) = coordinator.tasks.join_next() => {
                    // No task ends by itself; a panic must not go unnoticed.
                    if let Err(error) = ended && let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        }
    }
}

/// A report to the coordinator.
#[derive(Debug)]
enum Report {
    /// Records under these keys were changed.
    Changed(Vec<Vec<u8>>),
    /// Events may have been lost.
    Lost,
    /// The mode in which a server is followed from now on, and the reason why in no better one.
    Mode { node: Arc<str>, mode: DeliveryMode, why: String },
    /// The present servers.
    Nodes(Vec<Node>),
    /// The servers are not known.
    NoTopology(Failure),
    /// It was asked after this round had begun which servers hold the keys, and they are those of the last report.
    NodesConfirmed(Round),
    /// This server told of every change that it had made before this round began.
    Confirmed { node: Arc<str>, round: Round },
}

/// The coordinator, to which all subscriptions report.
struct Coordinator<'f> {
    source: &'f RedisInvalidation,
    listener: &'f dyn InvalidationListener,
    state: &'f InvalidationState,
    reports: mpsc::UnboundedSender<Report>,
    /// A server was lost; another may have replaced it.
    lost: Arc<Notify>,
    tasks: JoinSet<()>,
    followed: HashMap<Arc<str>, FollowedNode>,
    topology: TopologyState,
    /// The round that is under way.
    round: watch::Sender<Round>,
    /// The last round for which the topology was asked for.
    nodes_confirmed: Round,
}

/// The state of the topology: known or not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TopologyState {
    Pending,
    Known,
    Unknown,
}

/// A server that is followed, with its subscription.
struct FollowedNode {
    subscription: AbortHandle,
    /// `None` until its subscription has reported a mode.
    mode: Option<DeliveryMode>,
    /// The last round that it confirmed.
    confirmed: Round,
}

impl<'f> Coordinator<'f> {
    fn new(
        source: &'f RedisInvalidation,
        reports: mpsc::UnboundedSender<Report>,
        listener: &'f dyn InvalidationListener,
        state: &'f InvalidationState,
    ) -> Self {
        let (lost, tasks, followed) = (Arc::default(), JoinSet::new(), HashMap::new());
        Self {
            source,
            listener,
            state,
            reports,
            lost,
            tasks,
            followed,
            topology: TopologyState::Pending,
            round: watch::Sender::default(),
            nodes_confirmed: Round::default(),
        }
    }

    fn apply(&mut self, report: Report) {
        match report {
            Report::Changed(keys) => {
                for key in keys {
                    self.listener.on_invalidation(InvalidationEvent::Changed(&key));
                }
            }
            Report::Lost => self.listener.on_invalidation(InvalidationEvent::Lost),
            Report::Mode { node, mode, why } => self.set_node_mode(&node, mode, &why),
            Report::Nodes(nodes) => self.follow(nodes),
            Report::NoTopology(failure) => self.lose_topology(&failure),
            Report::NodesConfirmed(round) => {
                self.nodes_confirmed = round;
                self.end_round();
            }
            Report::Confirmed { node, round } => {
                if let Some(followed) = self.followed.get_mut(&node) {
                    followed.confirmed = round;
                }
                self.end_round();
            }
        }
    }

    /// Begins a round: what is asked from now on is asked in it.
    fn begin_round(&mut self) {
        self.listener.on_invalidation(InvalidationEvent::Asked);
        self.round.send_modify(|round| *round = round.next());
    }

    /// Ends the round, and begins the next one, if all have confirmed it. Whatever was lost meanwhile: what was read before a loss
    /// is suspect, and what was read behind it is younger than the round.
    fn end_round(&mut self) {
        let round = *self.round.borrow();
        let is_confirmed = self.state.mode() == DeliveryMode::Tracking
            && self.nodes_confirmed == round
            && self.followed.values().all(|followed| followed.confirmed == round);
        if is_confirmed {
            self.listener.on_invalidation(InvalidationEvent::Complete);
            self.begin_round();
        }
    }

    /// Sets the mode of a followed server.
    fn set_node_mode(&mut self, node: &Arc<str>, mode: DeliveryMode, why: &str) {
        // A late report of a server that is not followed any more is ignored.
        let Some(followed) = self.followed.get_mut(node) else { return };
        if followed.mode.replace(mode) == Some(mode) {
            return;
        }
        self.show_mode();
        match mode {
            DeliveryMode::Tracking => info!(server = &**node, %mode, "the server tracks the keys"),
            DeliveryMode::Bound => {
                let hint =
                    "no invalidation events; SESSION_STALENESS bounds how late changes are seen";
                warn!(server = &**node, %mode, why, "{hint}");
            }
            _ => info!(server = &**node, %mode, why, "our processes tell each other of changes"),
        }
    }

    /// Follows these servers and no others. Events of the time with other servers may be lost.
    fn follow(&mut self, nodes: Vec<Node>) {
        let was_empty = self.followed.is_empty();
        if std::mem::replace(&mut self.topology, TopologyState::Known) == TopologyState::Unknown {
            info!("it is known again which servers hold the keys");
        }
        self.followed.retain(|name, followed| {
            let stays = nodes.iter().any(|node| node.name() == name);
            if !stays {
                followed.subscription.abort();
                info!(server = &**name, "it holds no keys any more");
            }
            stays
        });
        for node in nodes {
            if !self.followed.contains_key(node.name()) {
                let name = Arc::clone(node.name());
                let subscription = self.tasks.spawn(self.subscription(node).run());
                let followed =
                    FollowedNode { subscription, mode: None, confirmed: Round::default() };
                self.followed.insert(name, followed);
            }
        }
        if !was_empty {
            self.listener.on_invalidation(InvalidationEvent::Lost);
        }
        self.show_mode();
    }

    fn subscription(&self, node: Node) -> NodeSubscription {
        let (reports, lost) = (self.reports.clone(), Arc::clone(&self.lost));
        let prefixes = Arc::clone(&self.source.prefixes);
        NodeSubscription::new(
            node,
            prefixes,
            Arc::clone(&self.source.redis.channel.name),
            reports,
            lost,
            self.round.subscribe(),
        )
    }

    fn lose_topology(&mut self, failure: &Failure) {
        if std::mem::replace(&mut self.topology, TopologyState::Unknown) != TopologyState::Unknown {
            warn!(why = %failure, "it is not known which servers hold the keys");
        }
        self.show_mode();
        self.listener.on_invalidation(InvalidationEvent::Lost);
    }

    /// Shows the weakest mode of all servers: a change may be on any of them.
    fn show_mode(&self) {
        let mut modes = self.followed.values().map(|followed| followed.mode);
        let is_followed = self.topology == TopologyState::Known && !self.followed.is_empty();
        let weakest = match modes.try_fold(DeliveryMode::Tracking, weaker) {
            Some(weakest) if is_followed => weakest,
            _ => DeliveryMode::Bound,
        };
        if self.state.mode() != weakest {
            self.state.set_mode(weakest);
        }
    }
}

/// The weaker one of two modes; `None` where one of them is not known.
fn weaker(one: DeliveryMode, other: Option<DeliveryMode>) -> Option<DeliveryMode> {
    let strength = |mode| match mode {
        DeliveryMode::Tracking => 2,
        DeliveryMode::PubSub => 1,
        _ => 0,
    };
    other.map(|other| if strength(other) < strength(one) { other } else { one })
}

/// Reports the topology whenever it changes, and each time whether it was asked for in this round; asks about every second,
/// and when a server was lost.
async fn watch_topology(
    redis: Redis,
    reports: mpsc::UnboundedSender<Report>,
    lost: Arc<Notify>,
    round: watch::Receiver<Round>,
) {
    let mut known: Option<Vec<Node>> = None;
    // The receiver is gone only where this task is about to be dropped.
    let report = |report| drop(reports.send(report));
    loop {
        let now = *round.borrow();
        let asked = tokio::time::timeout(TOPOLOGY_TIMEOUT, redis.primaries()).await;
        match asked.unwrap_or(Err(Failure::TimedOut)) {
            Err(failure) => {
                known = None;
                report(Report::NoTopology(failure));
            }
            Ok(Primaries { nodes, is_confirmed }) => {
                if !known.as_ref().is_some_and(|known| same(known, &nodes)) {
                    known = Some(nodes.clone());
                    report(Report::Nodes(nodes));
                }
                if is_confirmed {
                    report(Report::NodesConfirmed(now));
                }
            }
        }
        let _early = tokio::time::timeout(TOPOLOGY_INTERVAL, lost.notified()).await;
    }
}

/// Returns whether they are the same, in any order.
fn same(known: &[Node], nodes: &[Node]) -> bool {
    known.len() == nodes.len() && nodes.iter().all(|node| known.contains(node))
}

#[cfg(test)]
mod tests;
