//! A file that is imported, or standard input in its place.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;

use super::super::Failure;

/// The text of a file; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(path).map(|content| text = content)
    };
    read.with_context(|| format!("cannot read {}", path.display()))
        .map_err(Failure::unavailable)?;
    Ok(text)
}
