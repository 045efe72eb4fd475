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
    scene::{PATIENT, Proxied},
    watch::{Seen, Watch},
};
use crate::support::proxy::{Cut, Fault, Flow, Proxy, Which};

/// How many sessions end, one after the other, while the fault lasts.
const VICTIMS: usize = 3;
/// The time between two of those ends.
const APART: Duration = Duration::from_millis(150);

#[test]
fn without_a_fault_a_revocation_reaches_both_gates_by_push() {
    // By age alone nobody would be refused before the test gives up.
    let gates = [[PATIENT[0], ("SESSION_STALENESS", "600")].as_slice(); 2];
    let Some(scene) = Proxied::with(&[], &gates) else { return };
    let mut watch = Watch::start("no fault", &scene, VICTIMS);
    for _ in 0..VICTIMS {
        watch.revoke_next();
        watch.wait_until_well(Instant::now());
    }
    assert_eq!(watch.stop().count(503), 0, "nothing was the matter");
}

#[test]
fn news_that_are_cut_off_again_and_again_cost_nothing_but_questions() {
    let gates = [PATIENT.as_slice(); 2];
    let Some(scene) = Proxied::with(&[], &gates) else { return };
    let _cutting = Cutting::start(&scene.proxy, Which::News);
    let seen = sessions_end_during("news cut every 300 ms", &scene, Fault::NONE);
    assert_eq!(seen.count(503), 0, "the store itself was there all the time");
}

#[test]
fn connections_that_are_cut_again_and_again_are_made_anew() {
    let Some(scene) = Proxied::start() else { return };
    let _cutting = Cutting::start(&scene.proxy, Which::All);
    sessions_end_during("everything cut every 300 ms", &scene, Fault::NONE);
}

#[test]
fn a_server_that_answers_50_ms_late_is_waited_for() {
    let Some(scene) = Proxied::start() else { return };
    let late = Flow::Delay(Duration::from_millis(50));
    sessions_end_during("50 ms late", &scene, Fault::to_client(late));
}

#[test]
fn a_half_open_connection_is_no_yes_beyond_the_bound() {
    let Some(scene) = Proxied::start() else { return };
    for (name, fault) in [
        ("nothing comes from the server", Fault::to_client(Flow::Swallow)),
        ("nothing reaches the server", Fault::to_server(Flow::Swallow)),
        ("all is held up and comes later", Fault::both(Flow::Stall)),
    ] {
        let seen = sessions_end_during(name, &scene, fault);
        assert!(seen.count(503) > 0, "{name}: who had no answer in time said so");
    }
}

#[test]
fn news_that_fall_silent_are_not_trusted() {
    let Some(scene) = Proxied::start() else { return };
    let mut watch = Watch::start("silent news", &scene, VICTIMS);
    scene.proxy.set(Which::News, Fault::to_client(Flow::Swallow));
    for _ in 0..VICTIMS {
        watch.revoke_next();
    }
    watch.wait_beyond_the_bound();
    ends_well(watch, &scene);
}

#[test]
fn garbage_is_never_a_yes() {
    let Some(scene) = Proxied::start() else { return };
    sessions_end_during("garbage", &scene, Fault::to_client(Flow::Garbage));
}

#[test]
fn answers_that_come_byte_by_byte_are_given_up() {
    let Some(scene) = Proxied::start() else { return };
    let drip = Flow::Drip(Duration::from_millis(2));
    sessions_end_during("slow drip", &scene, Fault::to_client(drip));
}

#[test]
fn a_server_that_refuses_connections_is_found_again() {
    let Some(scene) = Proxied::start() else { return };
    let mut watch = Watch::start("refused", &scene, 1);
    scene.proxy.refuse(true);
    scene.proxy.cut(Which::All, Cut::Rst);
    watch.revoke_next();
    watch.wait_beyond_the_bound();
    scene.proxy.refuse(false);
    let seen = ends_well(watch, &scene);
    assert!(seen.count(503) > 0, "nobody could know");
}

/// Sessions end one after the other while the fault lasts; then all is well again.
fn sessions_end_during(name: &'static str, scene: &Proxied, fault: Fault) -> Seen {
    let mut watch = Watch::start(name, scene, VICTIMS);
    scene.proxy.set(Which::All, fault);
    for _ in 0..VICTIMS {
        std::thread::sleep(APART);
        watch.revoke_next();
    }
    watch.wait_beyond_the_bound();
    ends_well(watch, scene)
}

fn ends_well(watch: Watch<'_>, scene: &Proxied) -> Seen {
    scene.proxy.set(Which::All, Fault::NONE);
    watch.wait_until_well(Instant::now());
    let seen = watch.stop();
    seen.holds_the_promise();
    seen
}

/// Cuts connections every 300 ms for as long as it lives, by turns as a peer that closes and as one that has forgotten.
struct Cutting {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Cutting {
    fn start(proxy: &Arc<Proxy>, which: Which) -> Self {
        let (is_over, proxy) = (Arc::<AtomicBool>::default(), Arc::clone(proxy));
        let stop = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            for how in [Cut::Rst, Cut::Fin].into_iter().cycle() {
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

impl Drop for Cutting {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        let _ = self.thread.take().expect("dropped once").join();
    }
}
