//! A real PostgreSQL of one's own: in a temporary folder, ended by its process id.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rcgen::{CertificateParams, KeyPair};

use super::free_address;
use super::process::Running;

/// The password of its only role, `portcullis`; as a URL has it.
pub(crate) const PASSWORD: &str = "of-nobody%40all";

/// The user who runs it where the tests are run by root, whom PostgreSQL refuses.
const UNPRIVILEGED: &str = "nobody";

/// A running server that takes connections on a port of 127.0.0.1, in the clear or with TLS.
pub(crate) struct PostgresServer {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    /// Nothing while it is stopped.
    running: Option<Running>,
}

impl PostgresServer {
    /// `None` where the machine has no PostgreSQL.
    pub(crate) fn start() -> Option<Self> {
        let programs = programs()?;
        let folder = tempfile::tempdir().expect("temporary folder");
        prepare(&programs, folder.path());
        let port = free_address().port();
        let running = Some(spawn(&programs, folder.path(), port));
        Some(Self { programs, folder, port, running })
    }

    /// One that tests which run at the same time share, each in a database of its own. The last of
    /// them ends it.
    pub(crate) fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// A new database; its URL.
    pub(crate) fn database(&self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.psql(&self.url(), &format!("CREATE DATABASE {name}"));
        self.url().replace("/postgres?", &format!("/{name}?"))
    }

    /// Its address, as `ACCOUNTS_URL` has it.
    pub(crate) fn url(&self) -> String {
        format!("postgres://portcullis:{PASSWORD}@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// The address on which it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The certificate that it shows, which is its own CA.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("server.pem")
    }

    /// Runs SQL as `psql` does; what it printed, without headers.
    pub(crate) fn psql(&self, url: &str, sql: &str) -> String {
        let output = Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v"])
            .args(["ON_ERROR_STOP=1", "--command", sql, url])
            .output()
            .expect("psql runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }

    /// Ends it as an operator does at once: its clients are cut off.
    pub(crate) fn stop(&mut self) {
        let mut running = self.running.take().expect("it runs");
        running.signal("INT");
        running.wait();
    }

    /// Starts it again where it was, with what it had on its disk.
    pub(crate) fn restart(&mut self) {
        self.running = Some(spawn(&self.programs, self.folder.path(), self.port));
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // INT is the stop that does not wait for clients; whatever is left is ended by `Running`.
        if let Some(running) = &self.running {
            running.signal("INT");
        }
    }
}

/// Debian keeps the server's programs by version, out of the way; the newest is taken.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = versions.map(|version| version.path().join("bin"));
    let mut found: Vec<_> = folders.filter(|bin| bin.join("initdb").is_file()).collect();
    found.sort();
    found.pop().or_else(|| super::require("initdb")?.parent().map(Path::to_path_buf))
}

/// A data folder with one role, and a certificate for 127.0.0.1.
fn prepare(programs: &Path, folder: &Path) {
    let key = KeyPair::generate().expect("key");
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = certificate.self_signed(&key).expect("certificate");
    std::fs::write(folder.join("server.pem"), certificate.pem()).expect("a writable folder");
    std::fs::write(folder.join("server.key"), key.serialize_pem()).expect("a writable folder");
    let password = PASSWORD.replace("%40", "@");
    std::fs::write(folder.join("password"), password).expect("a writable folder");
    std::fs::set_permissions(folder.join("server.key"), std::fs::Permissions::from_mode(0o600))
        .expect("mode");
    give_away(folder);
    let mut initdb = unprivileged(&programs.join("initdb"), folder);
    initdb.args(["--pgdata", "data", "--username", "portcullis", "--pwfile", "password"]);
    initdb.args(["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"]);
    let output = initdb.output().expect("initdb runs");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
}

fn spawn(programs: &Path, folder: &Path, port: u16) -> Running {
    let mut command = unprivileged(&programs.join("postgres"), folder);
    command.args(["-D", "data", "-p", &port.to_string(), "-k", "", "-h", "127.0.0.1"]);
    for option in [
        "ssl=on",
        "ssl_cert_file=../server.pem",
        "ssl_key_file=../server.key",
        // Nobody pulls the plug here.
        "fsync=off",
        "max_connections=200",
        "shared_buffers=16MB",
    ] {
        command.args(["-c", option]);
    }
    let mut running = Running::start(&mut command, &folder.join("log"));
    running.wait_until("postgres accepts connections", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok() && is_ready(programs, port)
    });
    running
}

fn is_ready(programs: &Path, port: u16) -> bool {
    let port = port.to_string();
    let asked = Command::new(programs.join("pg_isready"))
        .args(["--quiet", "--host", "127.0.0.1", "--port", &port])
        .status();
    asked.expect("pg_isready runs").success()
}

/// Gives a folder to whom the program will run as.
pub(super) fn give_away(folder: &Path) {
    if is_root() {
        let owner = format!("{UNPRIVILEGED}:");
        let status = Command::new("chown").args(["-R", &owner]).arg(folder).status();
        assert!(status.expect("chown").success(), "chown {}", folder.display());
    }
}

/// The program as somebody who is not root, in the folder. `setpriv` becomes the program itself,
/// so that its process id is the one to end.
pub(super) fn unprivileged(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        let group = "--regid=nogroup";
        command.arg(format!("--reuid={UNPRIVILEGED}")).args([group, "--clear-groups", "--"]);
        command.arg(program);
    } else {
        command = Command::new(program);
    }
    command.current_dir(folder).env("LC_ALL", "C");
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
