//! Fault injection: latency, loss, the state of each link to the store, and processes that stand still.

use std::{
    ops::RangeInclusive,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{rng::SeededRng, time::Timestamp};

/// The state of the link between a process and the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    Healthy,
    /// Everything takes long.
    Slow,
    /// Changes take long, nearly as long as anybody waits for them.
    SlowWrites,
    /// Every request is refused at once.
    Refusing,
    /// Requests wait until this state ends and are served then, also if their sender has left.
    Hanging,
}

/// The faults that may occur in a run.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    /// Milliseconds in each direction, as long as nothing is wrong.
    pub latency: RangeInclusive<u64>,
    /// Milliseconds in each direction where the link is slow.
    pub slow_latency: RangeInclusive<u64>,
    /// Milliseconds in both directions of a change together, where writes are slow: nobody waits for more than two seconds.
    pub slow_write_latency: RangeInclusive<u64>,
    /// Milliseconds that an invalidation takes.
    pub invalidation_latency: RangeInclusive<u64>,
    /// Messages that are lost, of a hundred.
    pub loss_percent: u64,
    /// True where the store, asked what has changed, says all of it.
    pub tells_all: bool,
    /// Milliseconds that a fault lasts.
    pub fault_duration: RangeInclusive<u64>,
    /// The kinds of fault.
    pub faults: Vec<Fault>,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The store, for everybody.
    StoreDegraded,
    /// One process' link to it.
    LinkDegraded,
    /// An invalidation channel breaks, which is noticed later.
    ChannelBroken,
    /// An invalidation channel stands still, for longer or shorter than its heartbeat bears.
    ChannelFrozen,
    /// A process stands still.
    ProcessStalled,
}

/// The latency and the loss of one request and its answer.
#[derive(Clone, Copy, Debug)]
pub struct RoundTrip {
    pub request_latency: Duration,
    pub response_latency: Duration,
    pub loss: Option<Loss>,
}

/// A lost message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The request; otherwise the answer.
    pub is_request: bool,
    /// Nobody says so; otherwise the connection is seen to break.
    pub is_silent: bool,
}

/// A kind of read that a gate waits for. Each kind has a circuit breaker of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadKind {
    Sessions,
    Tokens,
}

/// The state of one process and of its link.
#[derive(Clone, Debug)]
struct ProcessState {
    link: LinkState,
    stalled_until: Option<Instant>,
    /// The last moment at which something went wrong between it and the store.
    last_fault: Option<Timestamp>,
    /// By kind of read.
    reads: [Reads; 2],
}

/// The history of the reads of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Reads in a row that got no answer.
    pub failed: u32,
    /// The moment of the first of them.
    pub since: Timestamp,
    /// The moment of the last answer.
    pub answered: Option<Timestamp>,
}

/// The fault injector of a run.
#[derive(Debug)]
pub struct FaultInjector {
    pub plan: FaultPlan,
    states: Mutex<Vec<ProcessState>>,
    recovered: Notify,
    is_lossless: AtomicBool,
}

impl FaultInjector {
    /// All links healthy, for so many processes.
    pub fn new(plan: FaultPlan, processes: usize) -> Self {
        let reads = [Reads::default(); 2];
        let healthy =
            ProcessState { link: LinkState::Healthy, stalled_until: None, last_fault: None, reads };
        Self {
            plan,
            states: Mutex::new(vec![healthy; processes]),
            recovered: Notify::new(),
            is_lossless: AtomicBool::new(false),
        }
    }

    fn with<T>(&self, process: usize, apply: impl FnOnce(&mut ProcessState) -> T) -> T {
        apply(&mut self.states.lock().expect("never poisoned")[process])
    }

    /// Draws the latency and the loss of a request that is sent now.
    pub fn round_trip(&self, process: usize, is_read: bool, rng: &SeededRng) -> RoundTrip {
        let (request_latency, response_latency) = match self.with(process, |state| state.link) {
            LinkState::Slow => (
                rng.millis(self.plan.slow_latency.clone()),
                rng.millis(self.plan.slow_latency.clone()),
            ),
            LinkState::SlowWrites if !is_read => {
                let both = rng.within(self.plan.slow_write_latency.clone());
                let request = rng.within(0..=both);
                (Duration::from_millis(request), Duration::from_millis(both - request))
            }
            _ => (rng.millis(self.plan.latency.clone()), rng.millis(self.plan.latency.clone())),
        };
        let is_lossy = self.plan.loss_percent > 0 && !self.is_lossless.load(Ordering::Relaxed);
        let loss = (is_lossy && rng.percent(self.plan.loss_percent))
            .then(|| Loss { is_request: rng.percent(50), is_silent: rng.percent(50) });
        RoundTrip { request_latency, response_latency, loss }
    }

    /// Stops losing messages.
    pub fn stop_losing(&self) {
        self.is_lossless.store(true, Ordering::Relaxed);
    }

    /// Waits for as long as nobody is served; then says whether this one is.
    pub async fn is_served(&self, process: usize) -> bool {
        loop {
            match self.with(process, |state| state.link) {
                LinkState::Healthy | LinkState::Slow | LinkState::SlowWrites => return true,
                LinkState::Refusing => return false,
                LinkState::Hanging => self.recovered.notified().await,
            }
        }
    }

    /// Sets the state of a process' link.
    pub fn set(&self, process: usize, link: LinkState, now: Timestamp) {
        self.with(process, |state| (state.link, state.last_fault) = (link, Some(now)));
        self.recovered.notify_waiters();
    }

    /// Notes that something went wrong.
    pub fn record_fault(&self, process: usize, now: Timestamp) {
        self.with(process, |state| state.last_fault = state.last_fault.max(Some(now)));
    }

    /// A process stands still until then.
    pub fn stall(&self, process: usize, until: Instant, until_stamp: Timestamp) {
        self.with(process, |state| {
            state.stalled_until = state.stalled_until.max(Some(until));
            state.last_fault = state.last_fault.max(Some(until_stamp));
        });
    }

    /// The end of a process' standstill, if it stands still.
    pub fn stalled_until(&self, process: usize) -> Option<Instant> {
        self.with(process, |state| state.stalled_until).filter(|until| *until > Instant::now())
    }

    /// Notes that a read was answered, or was not.
    pub fn record_read(
        &self,
        process: usize,
        kind: Option<ReadKind>,
        asked: Timestamp,
        now: Option<Timestamp>,
    ) {
        self.with(process, |state| {
            let Some(kind) = kind else { return };
            let reads = &mut state.reads[kind as usize];
            match now {
                Some(now) => *reads = Reads { answered: Some(now), ..Reads::default() },
                None => {
                    reads.since = if reads.failed == 0 { asked } else { reads.since };
                    reads.failed += 1;
                }
            }
        });
    }

    /// The history of the reads of a kind.
    pub fn reads(&self, process: usize, kind: ReadKind) -> Reads {
        self.with(process, |state| state.reads[kind as usize])
    }

    /// The moment since which nothing is wrong between a process and the store; `None`: something is now.
    pub fn healthy_since(&self, process: usize) -> Option<Timestamp> {
        let is_stalled = self.stalled_until(process).is_some();
        self.with(process, |state| match state.link {
            LinkState::Healthy if !is_stalled => Some(state.last_fault.unwrap_or_default()),
            _ => None,
        })
    }
}
