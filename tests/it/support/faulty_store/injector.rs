//! The calls of all stores of a fixture together: counted, and made to fail, to wait, or to end whoever asked.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use portcullis::{account::AccountError, store::StoreError};
use tokio::sync::{Notify, watch};

/// The way in which a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happened.
    NotDone,
    /// It happened, and nobody was told.
    AnswerLost,
    /// Nothing happened, and whoever asked was killed while it waited.
    KilledBefore,
    /// It happened, and whoever asked was killed before it was told.
    KilledAfter,
    /// The caller of the operation goes away; then it happens.
    CallerLeaves,
}

/// The call, of all stores together, that fails, and the calls so far.
#[derive(Debug, Default)]
pub struct FaultInjector {
    plan: Mutex<Option<(usize, Fault)>>,
    calls: Mutex<Vec<&'static str>>,
    injected: AtomicUsize,
    killed: Notify,
    left: Notify,
    /// The beginning of the names of calls that all fail.
    failing: Mutex<Option<&'static str>>,
    /// The beginning of the names of calls that keep their answers.
    held: watch::Sender<Option<&'static str>>,
    answered: Notify,
}

impl FaultInjector {
    /// Counts from here on, and makes the n-th call (from 1) fail.
    pub fn plan(&self, nth: usize, fault: Fault) {
        self.reset();
        *self.plan.lock().expect("never poisoned") = Some((nth, fault));
    }

    /// Counts from here on; nothing fails.
    pub fn reset(&self) {
        *self.plan.lock().expect("never poisoned") = None;
        self.calls.lock().expect("never poisoned").clear();
        self.injected.store(0, Ordering::SeqCst);
    }

    /// Makes every call fail whose name begins so.
    pub fn fail(&self, names: &'static str) {
        *self.failing.lock().expect("never poisoned") = Some(names);
    }

    /// Has calls whose names begin so take effect, and keep their answers.
    pub fn hold(&self, names: &'static str) {
        self.held.send_replace(Some(names));
    }

    /// Ends what [`Self::fail`] and [`Self::hold`] began.
    pub fn recover(&self) {
        *self.failing.lock().expect("never poisoned") = None;
        self.held.send_replace(None);
    }

    /// Waits until an answer is held.
    pub async fn held(&self) {
        self.answered.notified().await;
    }

    /// The calls since then, in their order.
    pub fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().expect("never poisoned").clone()
    }

    /// The number of them that were made to fail.
    pub fn injected(&self) -> usize {
        self.injected.load(Ordering::SeqCst)
    }

    /// Runs an operation to its end, or to where it is killed: then there is no outcome, and it did nothing any more.
    pub async fn run<T>(&self, operation: impl Future<Output = T>) -> Option<T> {
        let outcome = tokio::select! {
            biased;
            outcome = operation => Some(outcome),
            () = self.killed.notified() => None,
        };
        self.left.notify_one();
        outcome
    }

    /// Kills the operation. A task of its own that waits here ends with it.
    async fn killed<T, E: Failure>(&self) -> Result<T, E> {
        self.killed.notify_one();
        self.left.notified().await;
        Err(E::timed_out())
    }

    pub(super) async fn call<T, E: Failure>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let nth = {
            let mut calls = self.calls.lock().expect("never poisoned");
            calls.push(name);
            calls.len()
        };
        let is_meant = |names: &Option<&str>| names.is_some_and(|names| name.starts_with(names));
        if is_meant(&self.failing.lock().expect("never poisoned")) {
            return Err(E::unavailable());
        }
        if is_meant(&self.held.borrow()) {
            let outcome = call.await;
            self.answered.notify_one();
            let _ = self.held.subscribe().wait_for(|held| !is_meant(held)).await;
            return outcome;
        }
        let plan = *self.plan.lock().expect("never poisoned");
        match plan.filter(|(planned, _)| *planned == nth) {
            None => call.await,
            Some((_, fault)) => {
                self.injected.fetch_add(1, Ordering::SeqCst);
                match fault {
                    Fault::NotDone => Err(E::unavailable()),
                    Fault::AnswerLost => call.await.and_then(|_| Err(E::timed_out())),
                    Fault::KilledBefore => self.killed().await,
                    Fault::CallerLeaves => {
                        self.killed.notify_one();
                        self.left.notified().await;
                        call.await
                    }
                    Fault::KilledAfter => {
                        let _ = call.await;
                        self.killed().await
                    }
                }
            }
        }
    }
}

/// An error that says that something failed.
pub(super) trait Failure {
    fn unavailable() -> Self;
    fn timed_out() -> Self;
}

impl Failure for StoreError {
    fn unavailable() -> Self {
        Self::Unavailable("made to fail".to_owned())
    }
    fn timed_out() -> Self {
        Self::TimedOut
    }
}

impl Failure for AccountError {
    fn unavailable() -> Self {
        Self::Unavailable("made to fail".to_owned())
    }
    fn timed_out() -> Self {
        Self::TimedOut
    }
}
