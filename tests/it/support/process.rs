//! A child process that is ended by its id, with its output in a file.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use super::{PATIENCE, poll};

/// A running program. Dropping it ends it.
pub struct Running {
    child: Child,
    log: PathBuf,
    ended: bool,
}

impl Running {
    /// Starts it with standard output and error in `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        Self { child, log: log.to_owned(), ended: false }
    }

    /// Waits until `ready` says so.
    ///
    /// # Panics
    ///
    /// With what the program printed, when it ends before or takes too long.
    pub fn wait_until(&mut self, what: &str, mut ready: impl FnMut() -> bool) {
        poll(what, PATIENCE, || {
            if let Some(status) = self.child.try_wait().expect("own child") {
                panic!("{what}: ended with {status}\n{}", self.log());
            }
            ready().then_some(())
        });
    }

    /// Its output so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill`: there is one everywhere, and no unsafe code here.
        let status =
            Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.id())).status();
        assert!(status.expect("sh").success(), "kill -{name} {}", self.id());
    }

    /// kill -9, and no zombie left.
    pub fn kill(&mut self) {
        self.ended = true;
        self.child.kill().expect("own child");
        self.child.wait().expect("own child");
    }

    /// Waits for the end that was asked for.
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_at_most(PATIENCE)
    }

    /// Waits for the end, also of what takes longer.
    ///
    /// # Panics
    ///
    /// With what it has printed, when it takes longer than `limit`.
    pub fn wait_at_most(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("own child") {
                self.ended = true;
                return status;
            }
            assert!(start.elapsed() < limit, "not ended within {limit:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended || matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // TERM first: nginx ends its workers only when it is asked to.
        let asked =
            Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.id())).status().is_ok();
        for _ in 0..if asked { 400 } else { 0 } {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
