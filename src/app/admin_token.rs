//! The administrator's token of who set none: made once, and kept in a file for its owner alone,
//! where commands and people of this host find it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::config::MIN_TOKEN_BYTES;
use crate::opaque;
use crate::secret::{Random, Secret};

/// The token in this file, which is made where it is missing.
///
/// # Errors
/// Where it can be neither read nor made, and where others than its owner could have read it.
pub(super) fn read_or_make(path: &Path, random: &dyn Random) -> anyhow::Result<Secret> {
    if !path.exists() {
        let made = opaque::generate(random)?;
        let way_out = "or name another by ADMIN_TOKEN_FILE";
        make(path, &made).with_context(|| format!("cannot make {}, {way_out}", path.display()))?;
    }
    read(path).with_context(|| format!("cannot use {} as ADMIN_TOKEN", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Secret> {
    if path.metadata()?.permissions().mode() & 0o077 != 0 {
        bail!("others than its owner can read or write it: chmod 600, or remove it for a new one");
    }
    let text = Secret::new(fs::read(path)?);
    let token = Secret::new(text.expose().trim_ascii());
    if token.expose().len() < MIN_TOKEN_BYTES {
        bail!("it has less than {MIN_TOKEN_BYTES} bytes: remove it for a new one");
    }
    Ok(token)
}

/// Written aside and put in its place whole, so that no other process reads half of it. Where two
/// are as quick, the first one's stays.
fn make(path: &Path, token: &Secret) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let aside = path.with_extension(format!("new-{}", std::process::id()));
    let written = write_new(&aside, token).and_then(|()| match fs::hard_link(&aside, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    });
    let _ = fs::remove_file(&aside);
    written
}

fn write_new(path: &Path, token: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(token.expose())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemRandom;

    #[test]
    fn it_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data").join("admin-token");
        let made = read_or_make(&path, &SystemRandom).expect("made");
        assert_eq!(made.expose().len(), 43);
        assert_eq!(path.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(read_or_make(&path, &SystemRandom).expect("read"), made);
        let files = fs::read_dir(path.parent().expect("a folder")).expect("a list").count();
        assert_eq!(files, 1, "nothing else stays behind");
    }

    #[test]
    fn what_others_can_read_or_nobody_wrote_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin-token");
        fs::write(&path, "a long token that somebody chose himself\n").expect("written");
        for (mode, is_good) in [(0o600, true), (0o400, true), (0o640, false), (0o602, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            assert_eq!(read_or_make(&path, &SystemRandom).is_ok(), is_good, "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        for short in ["\n", "hunter2\n"] {
            fs::write(&path, short).expect("written");
            assert!(read_or_make(&path, &SystemRandom).is_err(), "{short:?}");
        }
    }
}
