//! Replacing the file: one writer at a time, completely or not at all, and with the same readers as
//! before.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use super::{FOR_OTHERS, KeyFileError};

/// The lock on a ring's file: while this value lives, nobody else rotates it.
pub(super) struct LockedFile {
    path: PathBuf,
    /// The folder, which is locked and synchronised. A lock on the file itself would be lost with
    /// its rename.
    folder: File,
}

impl LockedFile {
    /// Waits for other rotations in the same folder.
    pub(super) fn lock(path: &Path) -> Result<Self, KeyFileError> {
        // Where the path is a link, its target is replaced, and the link stays.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = File::open(folder).map_err(KeyFileError::Write)?;
        folder.lock().map_err(KeyFileError::Write)?;
        Ok(Self { path, folder })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the file by `content`, durably.
    pub(super) fn replace(&self, content: &[u8]) -> Result<(), KeyFileError> {
        let aside = self.aside()?;
        let outcome = self.write(&aside, content).and_then(|()| {
            fs::rename(&aside, &self.path)
                .and_then(|()| self.folder.sync_all())
                .map_err(KeyFileError::Write)
        });
        if outcome.is_err() {
            // It holds private keys; where it cannot be removed, the error says enough.
            let _ = fs::remove_file(&aside);
        }
        outcome
    }

    /// The file that is written first. It has one name, under the lock, so that a file left by a
    /// killed process is found again.
    fn aside(&self) -> Result<PathBuf, KeyFileError> {
        let mut name = std::ffi::OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(".new");
        let aside = self.path.with_file_name(name);
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(KeyFileError::Write(error))
            }
            _ => Ok(aside),
        }
    }

    fn write(&self, aside: &Path, content: &[u8]) -> Result<(), KeyFileError> {
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(aside)
            .map_err(KeyFileError::Write)?;
        if let Ok(present) = fs::metadata(&self.path) {
            let own = file.metadata().map_err(KeyFileError::Write)?;
            // An operator may rotate as root, while the service reads the file as another user.
            if (own.uid(), own.gid()) != (present.uid(), present.gid()) {
                fchown(&file, Some(present.uid()), Some(present.gid()))
                    .map_err(KeyFileError::Owner)?;
            }
            let mode = present.mode() & 0o777 & !FOR_OTHERS;
            file.set_permissions(Permissions::from_mode(mode)).map_err(KeyFileError::Write)?;
        }
        file.write_all(content).and_then(|()| file.sync_all()).map_err(KeyFileError::Write)
    }
}
