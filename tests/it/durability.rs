//! kill -9 during writes: whatever was acknowledged is there afterwards.

use std::{
    io::{Read as _, Write as _},
    process::{Child, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crate::support::{poll, realm::Realm, tokens};

const ROUNDS: usize = 5;
const WRITERS: usize = 3;

/// Several processes open sessions without a pause, a gate reads and touches them, and then all are killed at once,
/// at another moment of the work in each round.
#[test]
fn every_acknowledged_session_survives_kill_9() {
    let realm = Arc::new(Realm::new());
    let mut gate = realm.gate();
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let writers: Vec<Writer> = (0..WRITERS).map(|_| Writer::start(&realm)).collect();
        let enough = acknowledged.len() + 4 + 3 * round;
        poll("some sessions", Duration::from_secs(60), || {
            let written: Vec<String> =
                writers.iter().flat_map(|writer| writer.acknowledged()).collect();
            if let Some(token) = written.last() {
                assert_eq!(gate.check(token).status, 200, "acknowledged and not good");
            }
            (acknowledged.len() + written.len() >= enough).then_some(())
        });
        gate.kill();
        acknowledged.extend(writers.into_iter().flat_map(Writer::kill));
        gate.restart();
        let listed = realm.ask(&["session", "list", "--json"]);
        for token in &acknowledged {
            let sid = tokens::claims(token)["sid"].as_str().expect("a session").to_owned();
            assert!(listed.contains(&sid), "round {round}: the session {sid} is lost");
            assert_eq!(
                gate.check(token).status,
                200,
                "round {round}: the session {sid} is not good"
            );
        }
    }
    assert!(acknowledged.len() >= ROUNDS * 4);
    writeln!(
        std::io::stderr(),
        "kill -9 in {ROUNDS} rounds: {} acknowledged sessions, all there",
        acknowledged.len()
    )
    .expect("stderr is open");
}

/// What was revoked stays revoked.
#[test]
fn an_acknowledged_revocation_survives_kill_9() {
    let realm = Realm::new();
    let mut gate = realm.gate();
    let (ended, living) = (realm.mint("alice", &[]), realm.mint("alice", &[]));
    assert_eq!(gate.check(&ended).status, 200);
    realm.revoke(&ended);
    gate.kill();
    gate.restart();
    assert_eq!(gate.check(&ended).status, 401);
    assert_eq!(gate.check(&living).status, 200);
}

/// Opens one session after the other, each in a process that can be killed in the middle of it.
struct Writer {
    current: Arc<Mutex<Option<Child>>>,
    stopped: Arc<AtomicBool>,
    written: Arc<Mutex<Vec<String>>>,
    thread: JoinHandle<()>,
}

impl Writer {
    fn start(realm: &Arc<Realm>) -> Self {
        let realm = Arc::clone(realm);
        let (current, stopped) =
            (Arc::<Mutex<Option<Child>>>::default(), Arc::<AtomicBool>::default());
        let written = Arc::<Mutex<Vec<String>>>::default();
        let (child, stop, tokens) =
            (Arc::clone(&current), Arc::clone(&stopped), Arc::clone(&written));
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Acquire) {
                let mut mint = realm.command(&["token", "mint", "--user", "alice"]);
                let process = mint
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .expect("portcullis runs");
                *child.lock().expect("no panic under the lock") = Some(process);
                let (token, good) = finish(&child);
                if good {
                    tokens
                        .lock()
                        .expect("no panic under the lock")
                        .push(token.trim_end().to_owned());
                } else {
                    assert!(stop.load(Ordering::Acquire), "a session could not be opened");
                }
            }
        });
        Self { current, stopped, written, thread }
    }

    /// The tokens whose session was acknowledged: printed by a process that ended well.
    fn acknowledged(&self) -> Vec<String> {
        self.written.lock().expect("no panic under the lock").clone()
    }

    /// kill -9 for whatever is under way; the tokens that were acknowledged before.
    fn kill(self) -> Vec<String> {
        self.stopped.store(true, Ordering::Release);
        if let Some(child) = self.current.lock().expect("no panic under the lock").as_mut() {
            let _ = child.kill();
        }
        self.thread.join().expect("the writer does not panic");
        self.written.lock().expect("no panic under the lock").clone()
    }
}

/// Waits for the end of the process without holding the lock, so that it can be killed meanwhile.
fn finish(child: &Mutex<Option<Child>>) -> (String, bool) {
    let mut output = child
        .lock()
        .expect("a lock")
        .as_mut()
        .and_then(|child| child.stdout.take())
        .expect("a pipe");
    let mut token = String::new();
    let read = output.read_to_string(&mut token).is_ok();
    let mut process = child.lock().expect("a lock").take().expect("the process that was started");
    let status = process.wait().expect("own child");
    (token, read && status.success())
}
