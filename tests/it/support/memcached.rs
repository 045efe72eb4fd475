//! A real memcached of one's own: on a free port, ended by its process id.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{free_address, require};

/// A running server. It keeps nothing over [`MemcachedServer::kill`].
pub struct MemcachedServer {
    program: PathBuf,
    address: SocketAddr,
    extra: Vec<String>,
    child: Child,
}

impl MemcachedServer {
    /// `None` where the machine has no memcached.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// With more of the server's options, as in `["-m", "64"]`.
    pub fn start_with(extra: &[&str]) -> Option<Self> {
        let program = require("memcached")?;
        let extra: Vec<String> = extra.iter().map(|option| (*option).to_owned()).collect();
        // The free port may be taken by somebody else before the server binds it.
        for _ in 0..5 {
            let address = free_address();
            let mut child = spawn(&program, address, &extra);
            if wait_until_ready(&mut child, address) {
                return Some(Self { program, address, extra, child });
            }
        }
        panic!("memcached does not start");
    }

    /// Host and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's address, as `DB_URL` has it.
    pub fn url(&self) -> String {
        format!("memcached://{}", self.address)
    }

    /// The lines of the answer to a command as an administrator types it.
    pub fn ask(&self, command: &str) -> Vec<String> {
        ask(self.address, command).expect("an answer")
    }

    /// Forgets everything, as `flush_all` does.
    pub fn flush(&self) {
        assert_eq!(self.ask("flush_all"), ["OK"]);
    }

    /// Forgets one record, as when its room is needed.
    ///
    /// # Panics
    ///
    /// When there is no such record: nothing would be tested.
    pub fn forget(&self, key: &str) {
        assert_eq!(self.ask(&format!("delete {key}")), ["DELETED"], "{key}");
    }

    /// The value of a record.
    pub fn value(&self, key: &str) -> Option<String> {
        self.ask(&format!("get {key}")).get(1).cloned()
    }

    /// Puts a record there, whoever wrote it before.
    pub fn set(&self, key: &str, value: &str) {
        let length = value.len();
        assert_eq!(self.ask(&format!("set {key} 0 0 {length}\r\n{value}")), ["STORED"], "{key}");
    }

    /// Fills the server with records of about the size of this one until it had to go, which nobody
    /// asked for.
    ///
    /// # Panics
    ///
    /// When it stays.
    pub fn crowd_out(&self, key: &str) {
        let value = self.value(key).unwrap_or_else(|| panic!("no {key}"));
        let crowd = |round: usize| {
            let mut stream = TcpStream::connect(self.address).expect("memcached listens");
            let mut lines = Vec::new();
            for n in 0..20_000 {
                let name = format!("crowd:{round}:{n}:{key}");
                let (name, length) = (&name[..key.len().max(24).min(name.len())], value.len());
                lines.extend(format!("set {name} 0 0 {length} noreply\r\n{value}\r\n").bytes());
            }
            lines.extend(b"mn\r\n");
            stream.write_all(&lines).expect("it reads");
            let mut answer = [0; 4];
            std::io::Read::read_exact(&mut stream, &mut answer).expect("it has read all");
        };
        let gone = (0..20).any(|round| {
            crowd(round);
            // Unlike `get`, this is no use of it.
            self.ask(&format!("me {key}")) == ["EN"]
        });
        assert!(gone, "{key} is still there: see the option -m");
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Starts it again where it was, empty.
    pub fn restart(&mut self) {
        self.child = spawn(&self.program, self.address, &self.extra);
        assert!(wait_until_ready(&mut self.child, self.address), "memcached does not start again");
    }

    /// Stops it as SIGSTOP does: it keeps its connections and answers nothing. Returns when all of
    /// its threads stand still; until the first has heard of it, the others go on.
    pub fn pause(&self) {
        self.signal("STOP");
        super::poll("memcached stands still", super::PATIENCE, || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
            let mut states = tasks.expect("Linux").map(|task| {
                let status = task.expect("a thread").path().join("status");
                std::fs::read_to_string(status).unwrap_or_default()
            });
            states.all(|status| status.contains("State:\tT")).then_some(())
        });
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &command]).status().expect("sh");
        assert!(status.success(), "{command}");
    }
}

impl Drop for MemcachedServer {
    fn drop(&mut self) {
        let _already_dead = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn spawn(program: &PathBuf, address: SocketAddr, extra: &[String]) -> Child {
    let mut command = Command::new(program);
    command.args(["-l", &address.ip().to_string(), "-p", &address.port().to_string(), "-U", "0"]);
    // It refuses to run as root, as which tests may run.
    command.args(["-u", "nobody", "-t", "2"]).args(extra);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("memcached starts")
}

fn ask(address: SocketAddr, command: &str) -> std::io::Result<Vec<String>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(super::PATIENCE))?;
    write!(stream, "{command}\r\nmn\r\n")?;
    let is_all = |line: &std::io::Result<String>| line.as_ref().is_ok_and(|line| line == "MN");
    BufReader::new(stream).lines().take_while(|line| !is_all(line)).collect()
}

/// True once it answers; false where it ended instead, as when the port is somebody else's.
fn wait_until_ready(child: &mut Child, address: SocketAddr) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if child.try_wait().expect("status").is_some() {
            return false;
        }
        let own = format!("STAT pid {}", child.id());
        if ask(address, "stats").is_ok_and(|stats| stats.contains(&own)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}
