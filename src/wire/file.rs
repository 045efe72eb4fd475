//! Files that are read again while the process runs. Only regular files will do: a pipe gives its
//! content once, and who opens one waits until somebody writes.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// The largest file that is read, in bytes.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// The version of a file: it differs where the file was replaced or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion {
    inode: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileVersion {
    /// The version of the present file, if there is one.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::from(&metadata))
    }
}

impl From<&Metadata> for FileVersion {
    fn from(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Opens a file for reading; beside it what it is.
///
/// # Errors
/// An [`io::Error`]: there is none, it may not be read, or it is no regular file.
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok((file, metadata))
}

/// Reads the rest of a file that was opened.
///
/// # Errors
/// An [`io::Error`], also where it is larger than [`MAX_BYTES`].
pub(crate) fn read_all(file: &File, metadata: &Metadata) -> io::Result<Vec<u8>> {
    read_bounded(file, metadata, MAX_BYTES)
}

fn read_bounded(file: &File, metadata: &Metadata, max_bytes: u64) -> io::Result<Vec<u8>> {
    // Allocated at once: a buffer that grows would leave copies of a secret behind.
    let room = usize::try_from(metadata.len().min(max_bytes)).unwrap_or_default() + 1;
    let mut content = Vec::with_capacity(room);
    file.take(max_bytes + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max_bytes {
        return Err(io::Error::other(format!("it is larger than {} MiB", max_bytes >> 20)));
    }
    Ok(content)
}

/// Reads a file.
///
/// # Errors
/// As [`open`] and [`read_all`].
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let (file, metadata) = open(path)?;
    read_all(&file, &metadata)
}

/// Reads a file of at most so many bytes.
///
/// # Errors
/// As [`read`], with another bound.
pub(crate) fn read_large(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let (file, metadata) = open(path)?;
    read_bounded(&file, &metadata, max_bytes)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[test]
    fn only_a_regular_file_of_at_most_1_mib_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let [file, pipe] = ["file", "pipe"].map(|name| folder.path().join(name));
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        for path in [&pipe, folder.path(), Path::new("/dev/zero")] {
            let error = read(path).unwrap_err().to_string();
            assert_eq!(error, "it is not a regular file", "{}", path.display());
        }
        for (length, is_read) in [(0, true), (1 << 20, true), ((1 << 20) + 1, false)] {
            std::fs::write(&file, vec![b'a'; length]).unwrap();
            assert_eq!(read(&file).ok(), is_read.then(|| vec![b'a'; length]), "{length}");
        }
        assert_eq!(read(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
