//! Real HAProxy with the configuration and the script of examples/haproxy.

use std::{
    net::{SocketAddr, TcpStream},
    process::Command,
};

use tempfile::TempDir;

use super::{free_address, process::Running, require, substituted};

/// Changes of a test: in the configuration, and in the script; each `(times, from, to)`.
#[derive(Default, Clone, Copy)]
pub struct Edits<'a> {
    /// In haproxy.cfg, besides the addresses.
    pub rules: &'a [(usize, &'a str, &'a str)],
    /// In portcullis.lua.
    pub script: &'a [(usize, &'a str, &'a str)],
    /// The secret in its environment.
    pub secret: Option<&'a str>,
}

/// HAProxy with a folder of its own.
pub struct Haproxy {
    /// The address to which clients connect.
    pub address: SocketAddr,
    /// The address of the example's own app.
    pub stand_in: SocketAddr,
    process: Running,
    _folder: TempDir,
}

impl Haproxy {
    /// Starts it in front of `app`, asking `gate`; `None` where there is no HAProxy.
    pub fn start(gate: SocketAddr, app: SocketAddr, edits: Edits<'_>) -> Option<Self> {
        let program = require("haproxy")?;
        let (address, stand_in) = (free_address(), free_address());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (script, rules) =
            (folder.path().join("portcullis.lua"), folder.path().join("haproxy.cfg"));
        let [ask, serve] = [format!("server gate {gate}"), format!("server app {app}")];
        let asked = free_address().to_string();
        let [web, behind] = [address, stand_in].map(|address| format!("bind {address}"));
        let path = script.display().to_string();
        let own = [
            (1, "server gate 127.0.0.1:8080", ask.as_str()),
            (3, "127.0.0.1:8096", &asked),
            (1, "server app 127.0.0.1:8095", &serve),
            (1, "bind 127.0.0.1:8094", &web),
            (1, "bind 127.0.0.1:8095", &behind),
            (1, "examples/haproxy/portcullis.lua", &path),
        ];
        let text = substituted("examples/haproxy/haproxy.cfg", &[&own, edits.rules].concat());
        std::fs::write(&rules, text).expect("writable");
        let text = substituted("examples/haproxy/portcullis.lua", edits.script);
        std::fs::write(&script, text).expect("writable");
        let mut command = Command::new(program);
        command.env_clear().current_dir(folder.path()).arg("-db").arg("-f").arg(rules);
        command.envs(edits.secret.map(|secret| ("GATEWAY_SECRET", secret)));
        let mut process = Running::start(&mut command, &folder.path().join("stderr"));
        process.wait_until("haproxy", || TcpStream::connect(address).is_ok());
        Some(Self { address, stand_in, process, _folder: folder })
    }

    /// Waits until its log holds this.
    pub fn wait_for_log(&self, text: &str) {
        let found = || self.process.log().contains(text).then_some(());
        super::poll(&format!("{text:?} in the log"), super::PATIENCE, found);
    }
}
