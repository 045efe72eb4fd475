//! A realm: one key, one store, and the settings that its gates and its command line share.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};

use serde_json::Value;
use tempfile::TempDir;

use super::gate::Gate;

/// The program under test.
pub const PORTCULLIS: &str = env!("CARGO_BIN_EXE_portcullis");

/// Keys and settings in a folder of their own that goes when nobody has it any more.
#[derive(Clone)]
pub struct Realm {
    folder: Arc<TempDir>,
    settings: BTreeMap<String, String>,
}

impl Realm {
    /// An ES256 key, a SQLite store, and `SESSION_STALENESS=0`: what is revoked is refused at the next request.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (private, public) = key_pair(folder.path(), "true");
        let database = folder.path().join("portcullis.db");
        let settings = [
            ("ALGORITHM", "ES256".to_owned()),
            ("PRIVATE_KEY_FILE", private.display().to_string()),
            ("PUBLIC_KEY_FILE", public.display().to_string()),
            ("DATA_DIR", folder.path().display().to_string()),
            ("DB_URL", format!("sqlite:{}", database.display())),
            ("SESSION_STALENESS", "0".to_owned()),
            // A machine that builds and tests at once may be slow; what is tested here is not that.
            ("STORE_TIMEOUT", "3".to_owned()),
        ];
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { folder: Arc::new(folder), settings }
    }

    /// The same, whose passwords cost as little to hash as they can.
    pub fn hashing_little() -> Self {
        Self::new()
            .with("PASSWORD_MEMORY_KIB", "64")
            .with("PASSWORD_PASSES", "1")
            .with("PASSWORD_LANES", "1")
    }

    /// The same realm with one more setting, or another value of it.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same realm, whose gates judge by this policy: `policy.toml` in its folder.
    pub fn with_policy(self, policy: &str) -> Self {
        let file = self.folder().join("policy.toml");
        std::fs::write(&file, policy).expect("a writable folder");
        self.with("POLICY_FILE", &file.display().to_string())
    }

    /// The same realm without a setting.
    pub fn without(mut self, name: &str) -> Self {
        self.settings.remove(name);
        self
    }

    /// The value of a setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// All settings.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// Keeps the folder for a process that outlives this value.
    pub fn keep_folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    /// The folder of the keys, the store and the logs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The private key, PEM.
    pub fn private_pem(&self) -> String {
        std::fs::read_to_string(self.folder().join("true.private.pem")).expect("the private key")
    }

    /// The public key, PEM.
    pub fn public_pem(&self) -> String {
        std::fs::read_to_string(self.folder().join("true.public.pem")).expect("the public key")
    }

    /// A key that this realm has never heard of, PEM.
    pub fn foreign_pem(&self) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (private, _) = key_pair(folder.path(), "foreign");
        std::fs::read_to_string(private).expect("the foreign key")
    }

    /// A gate of this realm, ready to answer. It is given the public key alone: it has no use for the other one.
    pub fn gate(&self) -> Gate {
        let mut settings = self.settings.clone();
        settings.remove("PRIVATE_KEY_FILE");
        Gate::start(self.folder(), &settings)
    }

    /// The command line, with no other environment than the realm's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PORTCULLIS);
        command.env_clear().envs(&self.settings).args(arguments).current_dir(self.folder());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().expect("portcullis runs"))
    }

    /// The same, with something on its standard input.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("portcullis runs");
        // A command that refuses before it reads closes the pipe.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        Ended::of(child.wait_with_output().expect("portcullis ends"))
    }

    /// Runs a command that must end with this exit code.
    #[track_caller]
    pub fn exits(&self, code: i32, arguments: &[&str], input: &str) -> Ended {
        let ended = self.run_with(arguments, input);
        assert_eq!(ended.code, code, "portcullis {arguments:?}: {}", ended.errors);
        ended
    }

    /// Runs a command that must succeed; its standard output without the line end.
    #[track_caller]
    pub fn ask(&self, arguments: &[&str]) -> String {
        self.exits(0, arguments, "").printed
    }

    /// The same, of a command that prints JSON.
    #[track_caller]
    pub fn ask_json(&self, arguments: &[&str]) -> Value {
        self.exits(0, arguments, "").json()
    }

    /// The audit log so far.
    pub fn audit_log(&self) -> String {
        std::fs::read_to_string(self.folder().join("audit.jsonl")).unwrap_or_default()
    }

    /// Its events.
    pub fn events(&self) -> Vec<Value> {
        let log = self.audit_log();
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// A token with a session for `user`.
    pub fn mint(&self, user: &str, more: &[&str]) -> String {
        self.ask(&[&["token", "mint", "--user", user], more].concat())
    }

    /// Ends the session of a token.
    pub fn revoke(&self, token: &str) {
        self.ask(&["session", "revoke", "--token", token]);
    }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// Its standard output without the line end.
    pub printed: String,
    /// Its standard error.
    pub errors: String,
}

impl Ended {
    /// The end of a command that no signal ended.
    pub fn of(output: Output) -> Self {
        let printed = String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { code: output.status.code().expect("it ended by itself"), printed, errors }
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.printed).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Makes `NAME.private.pem` and `NAME.public.pem` in the folder.
fn key_pair(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (private, public) =
        (folder.join(format!("{name}.private.pem")), folder.join(format!("{name}.public.pem")));
    let run = |arguments: &[&str]| {
        let output =
            Command::new(PORTCULLIS).env_clear().args(arguments).output().expect("portcullis runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "portcullis {arguments:?}: {}\n{errors}", output.status);
        output.stdout
    };
    let file = private.display().to_string();
    run(&["key", "generate", "--algorithm", "ES256", "--out", &file]);
    std::fs::write(&public, run(&["key", "public", &file])).expect("a writable folder");
    (private, public)
}
