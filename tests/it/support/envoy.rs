//! Real Envoy with the configurations of examples/envoy.

use std::{
    net::{SocketAddr, TcpStream},
    process::Command,
};

use tempfile::TempDir;

use super::{free_address, http, process::Running, require, substituted};

/// Changes of a test: `(times, from, to)`.
pub type Edits<'e> = &'e [(usize, &'e str, &'e str)];

/// The way in which it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The gate's own listener.
    Http,
    /// The listener of ext_authz.
    Grpc,
}

/// Envoy with a folder of its own.
pub struct Envoy {
    /// The address to which clients connect.
    pub address: SocketAddr,
    process: Running,
    _folder: TempDir,
}

impl Envoy {
    /// Starts it in front of `app`, asking `gate`; `None` where there is no Envoy.
    pub fn start(
        protocol: Protocol,
        gate: SocketAddr,
        app: SocketAddr,
        edits: Edits<'_>,
    ) -> Option<Self> {
        let program = require("envoy")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = free_address();
        let (example, asked) = match protocol {
            Protocol::Http => ("examples/envoy/envoy-http.yaml", "port_value: 8080"),
            Protocol::Grpc => ("examples/envoy/envoy-grpc.yaml", "port_value: 9001"),
        };
        let port = |at: SocketAddr| format!("port_value: {}", at.port());
        let (own, gate, app) = (port(address), port(gate), port(app));
        let all = [
            &[
                (1, "port_value: 8094", own.as_str()),
                (1, asked, gate.as_str()),
                (1, "port_value: 8091", app.as_str()),
            ],
            edits,
        ];
        let file = folder.path().join("envoy.yaml");
        std::fs::write(&file, substituted(example, &all.concat())).expect("writable");
        let mut command = Command::new(program);
        command
            .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning", "-c"])
            .arg(&file)
            .current_dir(folder.path());
        let mut process = Running::start(&mut command, &folder.path().join("log"));
        process.wait_until("envoy", || {
            TcpStream::connect(address).is_ok()
                && http::get(address, "/public/ready", &[]).status == 200
        });
        Some(Self { address, process, _folder: folder })
    }

    /// Its log and its access log so far.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
