//! Warnings about files that others on this host should not read, or not replace.
//!
//! It is a warning and no mistake: Kubernetes and Docker mount secrets readable by all, in a
//! container where there is nobody else.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::mistakes::Mistakes;
use super::settings::{Entry, Kind};

/// The bits of a mode by which all users may read, and write.
const READ: u32 = 0o004;
const WRITE: u32 = 0o002;

/// Warns where others may read a setting's file, or replace it.
pub(super) fn warn(mistakes: &mut Mistakes, setting: &Entry, place: &str, path: &Path) {
    // The URL of a store may hold a password.
    if setting.kind == Kind::Secret || setting.value == "URL" {
        warn_of_secret(mistakes, place, path);
    } else {
        warn_of_public(mistakes, place, path);
    }
}

/// Warns of a file with a secret that all users of this host may read or write.
pub(super) fn warn_of_secret(mistakes: &mut Mistakes, place: &str, path: &Path) {
    if let Some(mode) = mode(path).filter(|mode| mode & (READ | WRITE) != 0) {
        let problem =
            format!("every user of this host can read this secret (mode {mode:o}): chmod 600");
        mistakes.warn(place, problem);
    }
}

/// Warns of a file with a public key that all users of this host may replace by their own.
pub(super) fn warn_of_public(mistakes: &mut Mistakes, place: &str, path: &Path) {
    if let Some(mode) = mode(path).filter(|mode| mode & WRITE != 0) {
        let problem =
            format!("every user of this host can replace this key (mode {mode:o}): chmod 644");
        mistakes.warn(place, problem);
    }
}

fn mode(path: &Path) -> Option<u32> {
    let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    Some(metadata.permissions().mode() & 0o777)
}
