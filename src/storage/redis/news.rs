//! What changes in Redis, told by the servers themselves.
//!
//! Each server that holds keys is followed by a *tracker* over a connection of its own, by the best
//! means that the server allows: it tracks the keys with certain prefixes for us, whoever changes
//! them (`CLIENT TRACKING`); or our processes tell each other of their changes on a channel; or
//! there are no news of it, and only the bound holds. The trackers report to one place, in order.
//!
//! A push goes from the connection through one queue to those who listen: no timer and no lock is on
//! its way, and the queue is emptied at once and has no end, so that nothing is dropped.

mod push;
mod tracker;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{info, warn};

use super::{Failure, Node, Redis};
use crate::storage::news::{Heard, Hears, Means, NewsSource, NewsState};
use tracker::Tracker;

/// How often the servers are asked for anew.
const SURVEY: Duration = Duration::from_secs(1);
/// How long that may take.
const SURVEY_LIMIT: Duration = Duration::from_secs(3);

/// News of the records in a Redis.
#[derive(Debug)]
pub struct RedisNews {
    redis: Redis,
    prefixes: Arc<[String]>,
}

impl RedisNews {
    /// Of the keys that begin with one of the prefixes, none of which begins with another.
    pub fn new(redis: Redis, prefixes: impl IntoIterator<Item = String>) -> Self {
        Self { redis, prefixes: prefixes.into_iter().collect() }
    }
}

#[async_trait]
impl NewsSource for RedisNews {
    async fn follow(&self, hears: &dyn Hears, state: &NewsState) {
        let (reports, mut queue) = mpsc::unbounded_channel();
        let mut desk = Desk::new(self, reports, hears, state);
        let survey = survey(self.redis.clone(), desk.reports.clone(), Arc::clone(&desk.lost));
        desk.tasks.spawn(survey);
        loop {
            tokio::select! {
                biased;
                Some(report) = queue.recv() => desk.take(report),
                Some(ended) = desk.tasks.join_next() => {
                    // None ends by itself; what panicked must not be missing in silence.
                    if let Err(error) = ended && let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        }
    }
}

/// What is reported to the desk.
#[derive(Debug)]
enum Report {
    /// Records under these keys were changed.
    Changed(Vec<Vec<u8>>),
    /// Something may have been missed.
    Missed,
    /// By these means a server is followed from now on, and why not by better ones.
    Follows { node: Arc<str>, means: Means, why: String },
    /// These are the servers now.
    Nodes(Vec<Node>),
    /// Nobody says which are the servers.
    NoNodes(Failure),
}

/// Where all reports come together.
struct Desk<'f> {
    source: &'f RedisNews,
    hears: &'f dyn Hears,
    state: &'f NewsState,
    reports: mpsc::UnboundedSender<Report>,
    /// A server was lost: others may stand in for it.
    lost: Arc<Notify>,
    tasks: JoinSet<()>,
    followed: HashMap<Arc<str>, Followed>,
    sight: Sight,
}

/// Whether it is known which are the servers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    NotYet,
    Clear,
    Lost,
}

/// A server that is followed.
struct Followed {
    tracker: AbortHandle,
    /// `None` until something was said about it.
    means: Option<Means>,
}

impl<'f> Desk<'f> {
    fn new(
        source: &'f RedisNews,
        reports: mpsc::UnboundedSender<Report>,
        hears: &'f dyn Hears,
        state: &'f NewsState,
    ) -> Self {
        let (lost, tasks, followed) = (Arc::default(), JoinSet::new(), HashMap::new());
        Self { source, hears, state, reports, lost, tasks, followed, sight: Sight::NotYet }
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Changed(keys) => {
                for key in keys {
                    self.hears.hear(Heard::Changed(&key));
                }
            }
            Report::Missed => self.hears.hear(Heard::Missed),
            Report::Follows { node, means, why } => self.note(&node, means, &why),
            Report::Nodes(nodes) => self.follow(nodes),
            Report::NoNodes(failure) => self.lose_sight(&failure),
        }
    }

    /// One is followed by other means than before.
    fn note(&mut self, node: &Arc<str>, means: Means, why: &str) {
        // A last word of one that is not followed any more says nothing.
        let Some(followed) = self.followed.get_mut(node) else { return };
        if followed.means.replace(means) == Some(means) {
            return;
        }
        self.show_means();
        match means {
            Means::Tracking => info!(server = &**node, %means, "changes are told by the server"),
            Means::Bound => {
                let hint =
                    "no news of changes by others; SESSION_STALENESS bounds how late they are seen";
                warn!(server = &**node, %means, why, "{hint}");
            }
            _ => info!(server = &**node, %means, why, "our processes tell each other of changes"),
        }
    }

    /// Follows these servers and no others. What happened while it was others is not known.
    fn follow(&mut self, nodes: Vec<Node>) {
        let was_empty = self.followed.is_empty();
        if std::mem::replace(&mut self.sight, Sight::Clear) == Sight::Lost {
            info!("it is known again which servers hold the keys");
        }
        self.followed.retain(|name, followed| {
            let stays = nodes.iter().any(|node| node.name() == name);
            if !stays {
                followed.tracker.abort();
                info!(server = &**name, "it holds no keys any more");
            }
            stays
        });
        for node in nodes {
            if !self.followed.contains_key(node.name()) {
                let name = Arc::clone(node.name());
                let tracker = self.tasks.spawn(self.tracker(node).run());
                self.followed.insert(name, Followed { tracker, means: None });
            }
        }
        if !was_empty {
            self.hears.hear(Heard::Missed);
        }
        self.show_means();
    }

    fn tracker(&self, node: Node) -> Tracker {
        let (reports, lost) = (self.reports.clone(), Arc::clone(&self.lost));
        let prefixes = Arc::clone(&self.source.prefixes);
        Tracker::new(node, prefixes, Arc::clone(&self.source.redis.channel.name), reports, lost)
    }

    fn lose_sight(&mut self, failure: &Failure) {
        if std::mem::replace(&mut self.sight, Sight::Lost) != Sight::Lost {
            warn!(why = %failure, "it is not known which servers hold the keys");
        }
        self.show_means();
        self.hears.hear(Heard::Missed);
    }

    /// The chain is as good as its weakest link.
    fn show_means(&self) {
        let mut means = self.followed.values().map(|followed| followed.means);
        let is_followed = self.sight == Sight::Clear && !self.followed.is_empty();
        let weakest = match means.try_fold(Means::Tracking, weaker) {
            Some(weakest) if is_followed => weakest,
            _ => Means::Bound,
        };
        if self.state.means() != weakest {
            self.state.set_means(weakest);
        }
    }
}

/// `None` where one of them is not known.
fn weaker(one: Means, other: Option<Means>) -> Option<Means> {
    let strength = |means| match means {
        Means::Tracking => 2,
        Means::PubSub => 1,
        _ => 0,
    };
    other.map(|other| if strength(other) < strength(one) { other } else { one })
}

/// Reports which are the servers, whenever it is others; asks about every second, and when one was
/// lost.
async fn survey(redis: Redis, reports: mpsc::UnboundedSender<Report>, lost: Arc<Notify>) {
    let mut known: Option<Vec<Node>> = None;
    loop {
        let asked = tokio::time::timeout(SURVEY_LIMIT, redis.primaries()).await;
        let news = match asked.unwrap_or(Err(Failure::TimedOut)) {
            Err(failure) => {
                known = None;
                Some(Report::NoNodes(failure))
            }
            Ok(nodes) if known.as_ref().is_some_and(|known| same(known, &nodes)) => None,
            Ok(nodes) => {
                known = Some(nodes.clone());
                Some(Report::Nodes(nodes))
            }
        };
        // Nobody takes it any more only where we are about to be dropped.
        let _nobody_listens = news.map(|news| reports.send(news));
        let _early = tokio::time::timeout(SURVEY, lost.notified()).await;
    }
}

/// Whether they are the same, in whatever order.
fn same(known: &[Node], nodes: &[Node]) -> bool {
    known.len() == nodes.len() && nodes.iter().all(|node| known.contains(node))
}
