//! Scripts in other languages, for clients that nobody here wrote: each prints one line of JSON for each step that went well.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use super::{found_or_skipped, in_repository, process::Running};

/// The time that a whole script may take: it starts an interpreter, and a machine that builds beside it is slow.
const SCRIPT_PATIENCE: Duration = Duration::from_secs(120);

/// The interpreter of a script, from where tests/run has put it.
#[derive(Debug, Clone, Copy)]
pub enum Interpreter {
    /// Python with most clients.
    Python,
    /// Python with jwthenticator, which does not go together with the others.
    Jwthenticator,
    /// Node.js with openid-client.
    Node,
}

impl Interpreter {
    /// The program and the folder of its packages, or `None` after a visible word that the test is skipped.
    fn find(self) -> Option<(PathBuf, PathBuf)> {
        let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let (program, packages, what) = match self {
            Self::Python => {
                ("bin/python", folder("PORTCULLIS_TEST_VENV"), "the Python of PORTCULLIS_TEST_VENV")
            }
            Self::Jwthenticator => (
                "bin/python",
                folder("PORTCULLIS_TEST_JWTHENTICATOR"),
                "the Python of PORTCULLIS_TEST_JWTHENTICATOR",
            ),
            Self::Node => ("bin/node", folder("PORTCULLIS_TEST_NODE"), "PORTCULLIS_TEST_NODE"),
        };
        let home = match self {
            Self::Node => folder("PORTCULLIS_TEST_VENV"),
            Self::Python | Self::Jwthenticator => packages.clone(),
        };
        let program = home.map(|home| home.join(program)).filter(|path| path.is_file());
        found_or_skipped(what, program.zip(packages))
    }
}

/// Runs `tests/it/clients/{name}` with a file of `parts`, which says where everything is, and gives the names of its steps.
/// `None` where its interpreter is not there. What it writes goes into `folder`.
///
/// # Panics
///
/// With all that it printed, when it fails.
pub fn steps(
    interpreter: Interpreter,
    name: &str,
    mut parts: Value,
    folder: &Path,
) -> Option<Vec<String>> {
    let (program, packages) = interpreter.find()?;
    parts["node"] = packages.display().to_string().into();
    let file = folder.join(format!("{name}.json"));
    std::fs::write(&file, parts.to_string()).expect("a writable folder");
    let mut command = Command::new(program);
    command
        .env_clear()
        // Node is started by a script that looks for Python.
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin")))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(in_repository("tests/it/clients").join(name))
        .arg(file)
        .current_dir(folder);
    let mut process = Running::start(&mut command, &folder.join(format!("{name}.log")));
    let status = process.wait_at_most(SCRIPT_PATIENCE);
    assert!(status.success(), "{name}: {status}\n{}", process.log());
    Some(process.log().lines().filter_map(step).collect())
}

fn step(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    line["step"].as_str().map(str::to_owned)
}
