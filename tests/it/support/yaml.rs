//! YAML as JSON, read by the YAML reader that tests/run installs.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{found_or_skipped, require};

const READ: &str =
    "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)";

/// The documents in a text; `None` after a visible word where nothing reads YAML here.
///
/// # Panics
///
/// When the text is no YAML.
pub fn documents(text: &str) -> Option<Vec<Value>> {
    let python = require("python3")?;
    let has_reader = Command::new(&python).args(["-c", "import yaml"]).output();
    let has_reader = has_reader.is_ok_and(|output| output.status.success());
    found_or_skipped("PyYAML", has_reader.then_some(()))?;
    let mut child = Command::new(&python)
        .args(["-c", READ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads all");
    let output = child.wait_with_output().expect("Python ends");
    assert!(output.status.success(), "no YAML: {text}");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}
