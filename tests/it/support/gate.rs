//! `portcullis serve`, as an operator would start it.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use super::{
    free_address,
    http::{self, Response},
    process::Running,
    realm::PORTCULLIS,
};

/// A gate in a process of its own.
pub struct Gate {
    /// The address that gateways ask.
    pub address: SocketAddr,
    /// The address of `/metrics`.
    pub metrics: SocketAddr,
    settings: BTreeMap<String, String>,
    log: PathBuf,
    process: Running,
}

impl Gate {
    /// Starts it on free ports with these settings and no other environment, and waits until it answers.
    /// What the settings say of `LISTEN` comes on top of the free port.
    pub fn start(folder: &Path, settings: &BTreeMap<String, String>) -> Self {
        let (address, metrics) = (free_address(), free_address());
        let mut settings = settings.clone();
        let more = settings.get("LISTEN").map(|more| format!(",{more}")).unwrap_or_default();
        settings.insert("LISTEN".to_owned(), format!("{address}{more}"));
        settings.insert("METRICS_LISTEN".to_owned(), metrics.to_string());
        let log = folder.join(format!("gate-{}.log", address.port()));
        let process = spawn(&settings, &log, address, metrics);
        Self { address, metrics, settings, log, process }
    }

    /// Its standard error so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until its log holds this: lines are written behind its back.
    pub fn wait_for_log(&self, text: &str) {
        self.wait_for_log_line(&[text]);
    }

    /// Waits until one line of its log holds all of these.
    pub fn wait_for_log_line(&self, parts: &[&str]) {
        let is_it = |line: &str| parts.iter().all(|part| line.contains(part));
        let found = || self.log().lines().any(is_it).then_some(());
        super::poll(&format!("{parts:?} in the log"), super::PATIENCE, found);
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.signal("TERM");
        self.process.wait()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for the end that was asked for.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again where it was, with the same settings.
    pub fn restart(&mut self) {
        self.process = spawn(&self.settings, &self.log, self.address, self.metrics);
    }

    /// The answer to the question of nginx, without nginx.
    pub fn check(&self, token: &str) -> Response {
        http::get(self.address, "/validate_request", &[&http::bearer(token)])
    }

    /// The answer to a probe: whether it can judge.
    pub fn ready(&self) -> Response {
        http::get(self.metrics, "/ready", &[])
    }

    /// The text of `/metrics`.
    pub fn metrics(&self) -> String {
        http::get(self.metrics, "/metrics", &[]).text()
    }

    /// The sum of all series of `name` in `/metrics` that carry these labels.
    ///
    /// # Panics
    ///
    /// When there is no such series: a counter that is never shown counts nothing.
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let metrics = self.metrics();
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let series: Vec<f64> = metrics
            .lines()
            .filter_map(|line| line.strip_prefix(name))
            .filter_map(|shown| match shown.strip_prefix('{') {
                Some(labelled) => labelled.split_once("} "),
                None => shown.strip_prefix(' ').map(|value| ("", value)),
            })
            .filter(|(shown, _)| labels.iter().all(|label| shown.split(',').any(|s| s == label)))
            .map(|(_, value)| value.parse().expect("a number"))
            .collect();
        assert!(!series.is_empty(), "no {name} with {labels:?} in\n{metrics}");
        series.into_iter().sum()
    }
}

fn spawn(
    settings: &BTreeMap<String, String>,
    log: &Path,
    address: SocketAddr,
    metrics: SocketAddr,
) -> Running {
    let folder = log.parent().expect("a log has a folder");
    let mut command = Command::new(PORTCULLIS);
    command.env_clear().envs(hot_loop()).envs(settings).arg("serve").current_dir(folder);
    let mut process = Running::start(&mut command, log);
    process.wait_until("portcullis serve", || {
        [address, metrics].into_iter().all(|address| TcpStream::connect(address).is_ok())
            && http::get(metrics, "/health", &[]).status == 200
    });
    process
}

/// The setting `HOT_LOOP` of every gate whose settings do not say it, where this run is asked for one.
pub fn hot_loop() -> Option<(&'static str, String)> {
    std::env::var("PORTCULLIS_TEST_HOT_LOOP").ok().map(|value| ("HOT_LOOP", value))
}
