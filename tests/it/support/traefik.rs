//! Real Traefik with the configuration of examples/traefik.

use std::{
    net::{SocketAddr, TcpStream},
    process::Command,
};

use tempfile::TempDir;

use super::{free_address, http, page::Page, process::Running, require, substituted};

/// Traefik with a folder of its own.
pub struct Traefik {
    /// The address to which clients connect.
    pub address: SocketAddr,
    _process: Running,
    _folder: TempDir,
}

/// Changes of a test: in the static half, and in the dynamic half.
#[derive(Default, Clone, Copy)]
pub struct Edits<'a> {
    /// `(times, from, to)` in traefik.yml.
    pub fixed: &'a [(usize, &'a str, &'a str)],
    /// `(times, from, to)` in dynamic.yml.
    pub routes: &'a [(usize, &'a str, &'a str)],
}

impl Traefik {
    /// Starts it in front of `app`, asking `gate`; `None` where there is no Traefik.
    pub fn start(gate: SocketAddr, app: SocketAddr, edits: Edits<'_>) -> Option<Self> {
        let (ask, serve) =
            (format!("http://{gate}/validate_request"), format!("url: http://{app}"));
        let dynamic = [
            &[
                (2, "http://127.0.0.1:8080/validate_request", ask.as_str()),
                (1, "url: http://127.0.0.1:8091", &serve),
            ],
            edits.routes,
        ];
        let routes = substituted("examples/traefik/dynamic.yml", &dynamic.concat());
        Self::run(edits.fixed, &routes, "/public/ready", 200)
    }

    /// Starts it with the lines of the README, and nothing else but the entry point's own protection.
    pub fn start_by_readme(gate: SocketAddr, app: SocketAddr) -> Option<Self> {
        let readme = Page::read("README.md");
        let [lines] = readme.blocks("yaml")[..] else { panic!("the README shows Traefik once") };
        let (ask, serve) = (gate.to_string(), app.to_string());
        let routes = lines.replace("127.0.0.1:8080", &ask).replace("127.0.0.1:8091", &serve);
        assert!(routes.contains(&ask) && routes.contains(&serve), "{routes}");
        let fixed = [(1, "middlewares: [no-overrides@file]", "")];
        Self::run(&fixed, &routes, "/", 401)
    }

    /// Starts it with these routes, and waits until it answers `path` with `status`.
    fn run(fixed: &[(usize, &str, &str)], routes: &str, path: &str, status: u16) -> Option<Self> {
        let program = require("traefik")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (address, file) = (free_address(), folder.path().join("dynamic.yml"));
        std::fs::write(&file, routes).expect("writable");
        let (listen, named) =
            (format!("address: {address}"), format!("filename: {}", file.display()));
        let own = [
            (1, "address: 127.0.0.1:8090", listen.as_str()),
            (1, "filename: examples/traefik/dynamic.yml", &named),
        ];
        let main = folder.path().join("traefik.yml");
        std::fs::write(&main, substituted("examples/traefik/traefik.yml", &[&own, fixed].concat()))
            .expect("writable");
        let mut command = Command::new(program);
        command
            .env_clear()
            .arg(format!("--configFile={}", main.display()))
            .current_dir(folder.path());
        let mut process = Running::start(&mut command, &folder.path().join("stderr"));
        // It listens before it knows its routes; until then everything is 404.
        process.wait_until("traefik", || {
            TcpStream::connect(address).is_ok() && http::get(address, path, &[]).status == status
        });
        Some(Self { address, _process: process, _folder: folder })
    }
}
