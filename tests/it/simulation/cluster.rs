//! The state that all processes of a run share, and the observers of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use portcullis::{
    clock::Clock,
    opaque::MemoryTokenStore,
    session::{MemoryStore, Session, SessionId},
    store::records::MemoryRecordStore,
};

use tokio::sync::watch;

use super::{
    fault_injection::{FaultInjector, FaultPlan},
    invalidation::Channel,
    mutation::Mutation,
    oracle::Oracle,
    rng::SeededRng,
    time::{SimClock, Timestamp},
    trace::Trace,
};

/// A cluster of so many processes and one store.
#[derive(Debug)]
pub struct ClusterState {
    pub clock: Arc<SimClock>,
    pub rng: Arc<SeededRng>,
    pub trace: Trace,
    pub injector: FaultInjector,
    pub mutation: Mutation,
    pub channels: Vec<Channel>,
    pub store: StoreState,
    pub oracle: Oracle,
    /// By process: the number of requests that it has sent and of answers that it has got.
    pub steps: Vec<watch::Sender<u64>>,
}

/// The contents of the store.
#[derive(Debug, Default)]
pub struct StoreState {
    pub sessions: MemoryStore,
    pub tokens: MemoryTokenStore,
    pub records: MemoryRecordStore,
    /// Sessions that a mutation brings back.
    pub deleted: Mutex<HashMap<SessionId, Session>>,
}

impl ClusterState {
    /// To be made on a runtime whose time is paused.
    pub fn new(
        rng: Arc<SeededRng>,
        processes: usize,
        fault_plan: FaultPlan,
        mutation: Mutation,
        with_text: bool,
        oracle: Oracle,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock: Arc::new(SimClock::start()),
            rng,
            trace: Trace::new(with_text),
            injector: FaultInjector::new(fault_plan, processes),
            mutation,
            channels: (0..processes).map(|_| Channel::default()).collect(),
            store: StoreState::default(),
            oracle,
            steps: (0..processes).map(|_| watch::Sender::new(0)).collect(),
        })
    }

    /// This moment.
    pub fn stamp(&self) -> Timestamp {
        self.clock.monotonic()
    }

    /// Adds an event to the trace.
    pub fn record(&self, process: usize, what: &str, of: &str) {
        self.trace.record(self.stamp(), process, what, of);
    }

    /// Counts a request to the store, or an answer.
    pub fn step(&self, process: usize) {
        self.steps[process].send_modify(|steps| *steps += 1);
    }

    /// Waits until a process has made so many more steps.
    pub async fn after_steps(&self, process: usize, steps: u64) {
        let mut made = self.steps[process].subscribe();
        let until = *made.borrow() + steps;
        made.wait_for(|made| *made >= until).await.expect("the cluster lasts");
    }

    /// Waits for so long, and ends before or after others that end in the same millisecond.
    pub async fn travel(&self, takes: Duration) {
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        for _ in 0..self.rng.below(4) {
            tokio::task::yield_now().await;
        }
    }

    /// The store tells every process of a changed record.
    pub fn changed(&self, key: &str) {
        for channel in &self.channels {
            if self.mutation == Mutation::ChangeNotSent && self.rng.percent(20) {
                continue;
            }
            channel.send(
                Some(key.as_bytes()),
                self.rng.millis(self.injector.plan.invalidation_latency.clone()),
            );
        }
    }
}
