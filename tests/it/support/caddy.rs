//! Real Caddy with the configuration of examples/caddy.

use std::{
    net::{SocketAddr, TcpStream},
    process::Command,
};

use tempfile::TempDir;

use super::{free_address, process::Running, require, substituted};

/// Changes of a test to the example besides the addresses: `(times, from, to)`.
pub type Edits<'a> = &'a [(usize, &'a str, &'a str)];

/// Caddy with a folder of its own for what it writes.
pub struct Caddy {
    /// The address to which clients connect.
    pub address: SocketAddr,
    /// The address of the example's own app.
    pub stand_in: SocketAddr,
    _process: Running,
    _folder: TempDir,
}

impl Caddy {
    /// Starts it in front of `app`, asking `gate`; `None` where there is no Caddy.
    pub fn start(gate: SocketAddr, app: SocketAddr, edits: Edits<'_>) -> Option<Self> {
        let program = require("caddy")?;
        let (address, stand_in) = (free_address(), free_address());
        let (ask, serve) = (format!("forward_auth {gate}"), format!("reverse_proxy {app}"));
        let [web, behind] =
            [address, stand_in].map(|address| format!("http://:{}", address.port()));
        let own = [
            (1, "forward_auth 127.0.0.1:8080", ask.as_str()),
            (1, "reverse_proxy 127.0.0.1:8093", &serve),
            (1, "http://:8092", &web),
            (1, "http://:8093", &behind),
        ];
        let text = substituted("examples/caddy/Caddyfile", &[&own, edits].concat());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("Caddyfile");
        std::fs::write(&file, text).expect("writable");
        let mut command = Command::new(program);
        command.env_clear().env("HOME", folder.path()).current_dir(folder.path());
        command.arg("run").arg("--config").arg(file);
        let mut process = Running::start(&mut command, &folder.path().join("stderr"));
        let listens = |address: SocketAddr| TcpStream::connect(address).is_ok();
        process.wait_until("caddy", || listens(address) && listens(stand_in));
        Some(Self { address, stand_in, _process: process, _folder: folder })
    }
}
