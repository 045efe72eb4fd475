//! Faults of the network between the gates and the server. The issuer reaches it, so sessions end meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    fixture::{PATIENT, ProxiedFixture},
    monitor::{Monitor, Observations},
};
use crate::support::proxy::{Close, Connections, Fault, Flow, Proxy};

/// The number of sessions that end, one after the other, while the fault lasts.
const VICTIMS: usize = 3;
/// The time between two of those ends.
const APART: Duration = Duration::from_millis(150);

#[test]
fn without_a_fault_a_revocation_reaches_both_gates_by_push() {
    // By age alone nobody would be refused before the test gives up.
    let gates = [[PATIENT[0], ("SESSION_STALENESS", "600")].as_slice(); 2];
    let Some(fixture) = ProxiedFixture::with(&[], &gates) else { return };
    let mut monitor = Monitor::start("no fault", &fixture, VICTIMS);
    for _ in 0..VICTIMS {
        monitor.revoke_next();
        monitor.wait_until_recovered(Instant::now());
    }
    assert_eq!(monitor.stop().count(503), 0, "nothing was the matter");
}

#[test]
fn invalidation_that_is_cut_off_again_and_again_costs_nothing_but_questions() {
    let gates = [PATIENT.as_slice(); 2];
    let Some(fixture) = ProxiedFixture::with(&[], &gates) else { return };
    let _cuts = PeriodicCuts::start(&fixture.proxy, Connections::Invalidation);
    let observed = sessions_end_during("invalidation cut every 300 ms", &fixture, Fault::NONE);
    assert_eq!(observed.count(503), 0, "the store itself was there all the time");
}

#[test]
fn connections_that_are_cut_again_and_again_are_made_anew() {
    let Some(fixture) = ProxiedFixture::start() else { return };
    let _cuts = PeriodicCuts::start(&fixture.proxy, Connections::All);
    sessions_end_during("everything cut every 300 ms", &fixture, Fault::NONE);
}

#[test]
fn a_server_that_answers_50_ms_late_is_waited_for() {
    let Some(fixture) = ProxiedFixture::start() else { return };
    let late = Flow::Delay(Duration::from_millis(50));
    sessions_end_during("50 ms late", &fixture, Fault::to_client(late));
}

#[test]
fn a_half_open_connection_is_no_yes_beyond_the_bound() {
    let Some(fixture) = ProxiedFixture::start() else { return };
    for (name, fault) in [
        ("nothing comes from the server", Fault::to_client(Flow::Swallow)),
        ("nothing reaches the server", Fault::to_server(Flow::Swallow)),
        ("all is held up and comes later", Fault::both(Flow::Stall)),
    ] {
        let observed = sessions_end_during(name, &fixture, fault);
        assert!(observed.count(503) > 0, "{name}: who had no answer in time said so");
    }
}

#[test]
fn invalidation_that_falls_silent_is_not_trusted() {
    let Some(fixture) = ProxiedFixture::start() else { return };
    let mut monitor = Monitor::start("silent invalidation", &fixture, VICTIMS);
    fixture.proxy.set(Connections::Invalidation, Fault::to_client(Flow::Swallow));
    for _ in 0..VICTIMS {
        monitor.revoke_next();
    }
    monitor.wait_beyond_the_bound();
    recovers(monitor, &fixture);
}

#[test]
fn garbage_is_never_a_yes() {
    let Some(fixture) = ProxiedFixture::start() else { return };
    sessions_end_during("garbage", &fixture, Fault::to_client(Flow::Garbage));
}

#[test]
fn answers_that_come_byte_by_byte_are_given_up() {
    let Some(fixture) = ProxiedFixture::start() else { return };
    let drip = Flow::Drip(Duration::from_millis(2));
    sessions_end_during("slow drip", &fixture, Fault::to_client(drip));
}

#[test]
fn a_server_that_refuses_connections_is_found_again() {
    let Some(fixture) = ProxiedFixture::start() else { return };
    let mut monitor = Monitor::start("refused", &fixture, 1);
    fixture.proxy.refuse(true);
    fixture.proxy.cut(Connections::All, Close::Rst);
    monitor.revoke_next();
    monitor.wait_beyond_the_bound();
    fixture.proxy.refuse(false);
    let observed = recovers(monitor, &fixture);
    assert!(observed.count(503) > 0, "nobody could know");
}

/// Sessions end one after the other while the fault lasts; then all is well again.
fn sessions_end_during(name: &'static str, fixture: &ProxiedFixture, fault: Fault) -> Observations {
    let mut monitor = Monitor::start(name, fixture, VICTIMS);
    fixture.proxy.set(Connections::All, fault);
    for _ in 0..VICTIMS {
        std::thread::sleep(APART);
        monitor.revoke_next();
    }
    monitor.wait_beyond_the_bound();
    recovers(monitor, fixture)
}

fn recovers(monitor: Monitor<'_>, fixture: &ProxiedFixture) -> Observations {
    fixture.proxy.set(Connections::All, Fault::NONE);
    monitor.wait_until_recovered(Instant::now());
    let observed = monitor.stop();
    observed.holds_the_bound();
    observed
}

/// Cuts connections every 300 ms for as long as it lives, by turns as a peer that closes and as one that has forgotten.
struct PeriodicCuts {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PeriodicCuts {
    fn start(proxy: &Arc<Proxy>, which: Connections) -> Self {
        let (is_over, proxy) = (Arc::<AtomicBool>::default(), Arc::clone(proxy));
        let stop = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            for how in [Close::Rst, Close::Fin].into_iter().cycle() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                proxy.cut(which, how);
                std::thread::sleep(Duration::from_millis(300));
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for PeriodicCuts {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        let _ = self.thread.take().expect("dropped once").join();
    }
}
