//! kill -9 during writes: whatever was acknowledged is there afterwards.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    thread::JoinHandle,
    time::Duration,
};

use crate::support::{gate::Gate, poll, realm::Realm, tokens};

const ROUNDS: usize = 5;
const WRITERS: usize = 3;

/// Several processes open sessions without a pause, a gate reads and touches sessions, and then all are killed with
/// nothing waited for in between, at another moment of the work in each round.
#[test]
fn every_acknowledged_session_survives_kill_9() {
    // A gate notes the use of a session once a second with this limit.
    let realm = Arc::new(Realm::new().with("SESSION_INACTIVITY_TIMEOUT", "60"));
    let mut gate = realm.gate();
    let oldest = realm.mint("alice", &[]);
    let mut acknowledged = vec![oldest.clone()];
    for round in 0..ROUNDS {
        let writers: Vec<Writer> = (0..WRITERS).map(|_| Writer::start(&realm)).collect();
        let enough = 4 + 3 * round;
        poll("some sessions and a touch", Duration::from_secs(60), || {
            let written: Vec<String> =
                writers.iter().flat_map(|writer| writer.acknowledged()).collect();
            for token in written.last().into_iter().chain([&oldest]) {
                assert_eq!(gate.check(token).status, 200, "acknowledged and not good");
            }
            (written.len() >= enough && touches(&gate) > 0.0).then_some(())
        });
        writers.iter().for_each(Writer::kill);
        gate.kill();
        acknowledged.extend(writers.into_iter().flat_map(Writer::join));
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
    writeln!(
        std::io::stderr(),
        "kill -9 in {ROUNDS} rounds: {} acknowledged sessions, all there",
        acknowledged.len()
    )
    .expect("stderr is open");
}

/// The number of times that this process of the gate has noted that a session is in use.
fn touches(gate: &Gate) -> f64 {
    gate.counter("portcullis_store_seconds_count", &[("operation", "touch")])
}

/// A copy of the file misses nothing, once nobody uses it.
#[test]
fn a_gate_that_was_stopped_leaves_no_log_beside_the_file() {
    let realm = Realm::new();
    let mut gate = realm.gate();
    let token = realm.mint("alice", &[]);
    assert_eq!(gate.check(&token).status, 200);
    assert!(gate.stop().success());
    for suffix in ["wal", "shm"] {
        let left = realm.folder().join(format!("portcullis.db-{suffix}"));
        assert!(!left.exists(), "{}", left.display());
    }
}

/// Checks that a revoked session stays revoked.
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

/// Opens one session after the other, each in a process of its own.
struct Writer {
    work: Arc<Mutex<Work>>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Work {
    /// The last process that was started; it may have ended.
    process: Option<Child>,
    killed: bool,
    /// The tokens that were printed whole: a token is printed once its session is in the store.
    tokens: Vec<String>,
}

impl Writer {
    fn start(realm: &Arc<Realm>) -> Self {
        let (realm, work) = (Arc::clone(realm), Arc::<Mutex<Work>>::default());
        let shared = Arc::clone(&work);
        let thread = std::thread::spawn(move || {
            while let Some(output) = mint(&realm, &shared) {
                let mut line = String::new();
                // The lock is free while the process works, so that it can be killed meanwhile.
                let read = BufReader::new(output).read_line(&mut line);
                let mut work = lock(&shared);
                let process = work.process.as_mut().expect("the process that was started");
                let status = process.wait().expect("own child");
                assert!(status.success() || work.killed, "a session could not be opened: {status}");
                if read.is_ok() && line.ends_with('\n') {
                    work.tokens.push(line.trim_end().to_owned());
                }
            }
        });
        Self { work, thread }
    }

    /// The tokens that were printed so far.
    fn acknowledged(&self) -> Vec<String> {
        lock(&self.work).tokens.clone()
    }

    /// kill -9 for the process that is under way, and no other after it. Does not wait.
    fn kill(&self) {
        let mut work = lock(&self.work);
        work.killed = true;
        if let Some(process) = work.process.as_mut() {
            // Fails only where it has ended by itself.
            let _ = process.kill();
        }
    }

    /// Waits for its end; the tokens that were printed before the kill.
    fn join(self) -> Vec<String> {
        self.thread.join().expect("the writer does not panic");
        std::mem::take(&mut lock(&self.work).tokens)
    }
}

/// Starts a process that opens a session, unless the writer was killed; what it prints.
fn mint(realm: &Realm, work: &Mutex<Work>) -> Option<ChildStdout> {
    let mut work = lock(work);
    if work.killed {
        return None;
    }
    let mut command = realm.command(&["token", "mint", "--user", "alice"]);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
    let process = work.process.insert(command.spawn().expect("portcullis runs"));
    process.stdout.take()
}

fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().expect("no panic under the lock")
}
