//! A real pgbouncer before a PostgreSQL: each transaction may run on another of its few connections.

use std::net::TcpStream;

use super::free_address;
use super::postgres::{PASSWORD, PostgresServer, give_away, unprivileged};
use super::process::Running;

/// A running pgbouncer in transaction mode, which hands on every database of its server.
pub(crate) struct PgBouncer {
    port: u16,
    server_port: u16,
    _running: Running,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    /// `None` where the machine has no pgbouncer.
    pub(crate) fn before(server: &PostgresServer) -> Option<Self> {
        let program = super::require("pgbouncer")?;
        let folder = tempfile::tempdir().expect("temporary folder");
        let port = free_address().port();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = users\npool_mode = transaction\n\
             default_pool_size = 3\nserver_tls_sslmode = disable\n",
            server.port()
        );
        let user = format!("\"portcullis\" \"{}\"\n", PASSWORD.replace("%40", "@"));
        for (name, content) in [("settings.ini", settings), ("users", user)] {
            std::fs::write(folder.path().join(name), content).expect("a writable folder");
        }
        give_away(folder.path());
        let mut command = unprivileged(&program, folder.path());
        let mut running = Running::start(command.arg("settings.ini"), &folder.path().join("log"));
        running.wait_until("pgbouncer accepts connections", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(Self { port, server_port: server.port(), _running: running, _folder: folder })
    }

    /// The address of a database of the server, by way of it.
    pub(crate) fn url(&self, direct: &str) -> String {
        let (from, to) = (format!(":{}/", self.server_port), format!(":{}/", self.port));
        direct.replace(&from, &to)
    }
}
