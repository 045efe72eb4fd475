//! The gateways, each as a real program with the same routes that asks the same judge.

mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod traefik;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::client::Addresses;
use super::recorder::Recorder;
use crate::support::{free_address, http, process::Running};

/// One configuration of a gateway.
pub struct Gateway {
    /// Its name, in reports.
    pub name: &'static str,
    /// The flag by which it tells its version.
    version: &'static str,
    /// Writes the configuration; the command that starts the program, `None` where there is none on this machine.
    configure: fn(&Site) -> Option<Command>,
}

/// The folder, the addresses and the neighbours of a gateway.
struct Site {
    folder: TempDir,
    addresses: Addresses,
    judge: SocketAddr,
    applications: HashMap<&'static str, SocketAddr>,
}

/// A gateway that runs; dropping it ends it.
pub struct Started {
    /// Its addresses.
    pub addresses: Addresses,
    /// Its version.
    pub version: String,
    _process: Running,
    _site: Site,
}

/// The number of [`GATEWAYS`].
pub const COUNT: usize = 9;

/// All of them. A second configuration of a program normalizes more of the path, or less.
pub static GATEWAYS: [Gateway; COUNT] = [
    Gateway::new("nginx", "-v", |site| nginx::configure(site, "on")),
    Gateway::new("nginx unmerged", "-v", |site| nginx::configure(site, "off")),
    Gateway::new("Traefik", "version", |site| traefik::configure(site, true)),
    Gateway::new("Traefik unsanitized", "version", |site| traefik::configure(site, false)),
    Gateway::new("Caddy", "version", caddy::configure),
    Gateway::new("HAProxy", "-v", |site| haproxy::configure(site, false)),
    Gateway::new("HAProxy normalized", "-v", |site| haproxy::configure(site, true)),
    Gateway::new("Envoy", "--version", |site| envoy::configure(site, false)),
    Gateway::new("Envoy hardened", "--version", |site| envoy::configure(site, true)),
];

impl Gateway {
    const fn new(
        name: &'static str,
        version: &'static str,
        configure: fn(&Site) -> Option<Command>,
    ) -> Self {
        Self { name, version, configure }
    }

    /// Starts it in front of the applications, and waits until it lets a plain request pass.
    pub fn start(&self, recorder: &Recorder) -> Option<Started> {
        let site = Site {
            folder: tempfile::tempdir().expect("a temporary folder"),
            addresses: Addresses { http1: free_address(), http2: free_address() },
            judge: recorder.judge,
            applications: recorder.applications.clone(),
        };
        let mut command = (self.configure)(&site)?;
        command.current_dir(site.folder.path());
        let version = version_of(&command, self.version);
        let mut process = Running::start(&mut command, &site.folder.path().join("log"));
        let addresses = site.addresses;
        let lines = ["Host: app.test", "Connection: close"];
        process.wait_until(self.name, || {
            let listens = |address| TcpStream::connect(address).is_ok();
            listens(addresses.http1)
                && listens(addresses.http2)
                && http::get(addresses.http1, "/exact", &lines).status == 200
        });
        Some(Started { addresses, version, _process: process, _site: site })
    }
}

/// The version that the program tells: of all words the first that begins with a number and a dot.
fn version_of(command: &Command, flag: &str) -> String {
    let output = Command::new(command.get_program()).arg(flag).output().expect("the program runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let mut words = text.split([' ', '/', '\n']).map(|word| word.trim_start_matches('v'));
    let number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    let found = words.find(number).unwrap_or_else(|| panic!("no version in {text:?}"));
    found.split(['-', '+']).next().unwrap_or(found).to_owned()
}

impl Site {
    /// Writes a file of the configuration.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a writable folder");
        path
    }

    /// The application of a route.
    fn application(&self, route: &str) -> SocketAddr {
        self.applications[route]
    }
}
