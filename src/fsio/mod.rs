//! Files as the archive needs them: size limits, temporary file and rename, one durable sync for a batch, directory
//! swap, lock file. Every error names its path; nothing here knows what a package is.

pub mod lock;
pub mod process;
pub mod unnamed;
mod writeback;

pub use writeback::EarlyWriter;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags};

use crate::model::{ErrorKind, FileDigests, Hasher};

/// An operation on a file failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} `{path}`", path = path.display())]
pub struct Error {
    /// Completes the sentence "cannot … `path`".
    pub doing: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl Error {
    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self.source.kind() {
            io::ErrorKind::NotFound => ErrorKind::FileMissing,
            io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            _ => ErrorKind::General,
        }
    }

    /// Whether the file was simply not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// What the user can do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        room_hint(self)
    }
}

/// What the user can do if a full disk is among the causes of an error.
#[must_use]
pub fn room_hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let is_full = |cause: &(dyn std::error::Error + 'static)| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    };
    let mut causes = std::iter::successors(Some(error), |cause| cause.source());
    let hint = "make room there, then run it again: even removing packages needs some";
    causes.any(is_full).then(|| hint.into())
}

/// The result of a file operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Gives an I/O result its path: `fs::read(p).at("read", p)?`.
pub trait AtPath<T> {
    /// The same result, the error with what was tried and where.
    ///
    /// # Errors
    /// The error that was there.
    fn at(self, doing: &'static str, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> AtPath<T> for std::result::Result<T, E> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error {
            doing,
            path: path.to_owned(),
            source: source.into(),
        })
    }
}

/// Opens a regular file to read it. A pipe that nobody writes to is refused, and waits for nobody.
///
/// # Errors
/// It cannot be opened, or is something else.
pub fn open_regular(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).at("open", path)?);
    if file.metadata().at("read", path)?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("not a regular file")).at("read", path)
}

/// Reads a whole file that must not be longer than `limit_bytes`.
///
/// # Errors
/// The file cannot be read, is no regular one, or is longer; a longer file is never cut.
pub fn read_limited(path: &Path, limit_bytes: u64) -> Result<Vec<u8>> {
    let file = open_regular(path)?;
    let mut bytes = Vec::new();
    file.take(limit_bytes + 1).read_to_end(&mut bytes).at("read", path)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(io::Error::other(format!("longer than {limit_bytes} bytes"))).at("read", path);
    }
    Ok(bytes)
}

/// The size and digests of a file.
///
/// # Errors
/// The file cannot be read, or is no regular one.
pub fn digest_file(path: &Path) -> Result<FileDigests> {
    digest_file_with(path, Hasher::default())
}

/// The size of a file, and those digests that `hasher` takes.
///
/// # Errors
/// As [`digest_file`].
pub fn digest_file_with(path: &Path, mut hasher: Hasher) -> Result<FileDigests> {
    let mut file = open_regular(path)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).at("read", path)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(buffer.get(..length).unwrap_or_default()),
        }
    }
}

/// Reads a file that may be missing.
///
/// # Errors
/// As [`read_limited`], but for a file that is not there.
pub fn read_if_there(path: &Path, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
    match read_limited(path, limit_bytes) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// How the names of temporary files begin: with a word that no other program uses, as those left over are deleted.
pub const TEMPORARY_PREFIX: &str = ".aptrepo-tmp-";

/// A new file of a name that nobody has yet in `directory`, with the usual mode (0666 less the umask).
///
/// # Errors
/// The directory is missing or cannot be written.
pub fn temp_file(directory: &Path) -> Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(directory)
        .at("create a temporary file in", directory)
}

/// Writes a file durably and in one step: whoever opens `path` sees the old content or the new.
///
/// # Errors
/// The directory is missing or full, or cannot be written; `path` is then what it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = parent(path);
    let mut file = temp_file(directory)?;
    file.write_all(bytes).at("write", path)?;
    file.as_file().sync_data().at("sync", path)?;
    file.persist(path)
        .map_err(|error| error.error)
        .at("rename a temporary file to", path)?;
    sync_dir(directory)
}

/// Writes a new file into a directory that nobody reads yet; durable only after a [`sync_filesystem`].
///
/// # Errors
/// The file exists, or cannot be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .at("create", path)?;
    file.write_all(bytes).at("write", path)
}

/// The directory that holds `path`.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a directory and those above it.
///
/// # Errors
/// One of them cannot be made.
pub fn create_dir_all(path: &Path) -> Result<()> {
    fs::create_dir_all(path).at("create the directory", path)
}

/// Makes a directory that only its owner can enter, and those above it with the usual mode. One that is there already
/// is closed to others.
///
/// # Errors
/// One of them cannot be made, or this one is somebody else's.
pub fn create_private_dir(path: &Path) -> Result<()> {
    create_dir_all(parent(path))?;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).at("set the mode of", path)
        }
        made => made.at("create the directory", path),
    }
}

/// Makes the names in a directory durable.
///
/// # Errors
/// The directory cannot be opened or synced.
pub fn sync_dir(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .at("sync the directory", path)
}

/// Makes everything durable that was written to the file system of `directory`: one call for a whole batch.
///
/// # Errors
/// The directory cannot be opened, or the file system reports an error.
pub fn sync_filesystem(directory: &Path) -> Result<()> {
    let handle = File::open(directory).at("open", directory)?;
    rustix::fs::syncfs(&handle).at("sync the file system of", directory)
}

/// Whether two directories are of one file system, so that a [`sync_filesystem`] of one is a sync of the other.
///
/// # Errors
/// One of them is not there.
pub fn same_filesystem(one: &Path, other: &Path) -> Result<bool> {
    let device = |path: &Path| fs::metadata(path).at("read", path).map(|found| found.dev());
    Ok(device(one)? == device(other)?)
}

/// The room in a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSpace {
    /// What a user without privileges may still write, in bytes.
    pub free_bytes: u64,
    /// What a file takes at least, in bytes.
    pub block_bytes: u64,
}

/// The room in the file system that `path` is of.
///
/// # Errors
/// It is not there, or does not tell.
pub fn free_space(path: &Path) -> Result<FreeSpace> {
    let found = rustix::fs::statvfs(path).at("ask the free space of", path)?;
    Ok(FreeSpace {
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        block_bytes: found.f_frsize,
    })
}

/// Sets when a file says that it was last changed, in Unix seconds.
///
/// # Errors
/// The file is not there, or not ours.
pub fn set_modified(path: &Path, unix_seconds: i64) -> Result<()> {
    set_times(path, (unix_seconds, 0))
}

/// Makes a file or directory say that it was changed just now.
///
/// # Errors
/// It is not there, or not ours.
pub fn touch(path: &Path) -> Result<()> {
    set_times(path, (0, rustix::fs::UTIME_NOW))
}

fn set_times(path: &Path, (tv_sec, tv_nsec): (i64, i64)) -> Result<()> {
    let time = rustix::fs::Timespec { tv_sec, tv_nsec };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, rustix::fs::AtFlags::empty()).at("set the time of", path)
}

/// Gives the file `from` the second name `to`, or copies it where the file system cannot link.
///
/// # Errors
/// Neither is possible.
pub fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error).at("link", from),
        Err(_) => copied(fs::copy(from, to), from, to),
    }
}

/// Gives what became of a copy its path: the one of the two files that is at fault, as far as can be told.
///
/// # Errors
/// The error that was there.
pub fn copied(result: io::Result<u64>, from: &Path, to: &Path) -> Result<()> {
    let is_of_target = |error: &io::Error| {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
    };
    match result {
        Err(error) if is_of_target(&error) => Err(error).at("write", to),
        other => other.map(drop).at("copy", from),
    }
}

/// How a directory came into its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swapped {
    /// There was none before.
    Placed,
    /// The old one now has the new one's former name.
    Exchanged,
    /// The file system cannot exchange two names: nothing was done.
    NotPossible,
}

/// Puts the directory `new` into the place of `live` in one step.
///
/// # Errors
/// The system refuses for another reason than that it cannot exchange.
pub fn swap_directory(new: &Path, live: &Path) -> Result<Swapped> {
    match rustix::fs::renameat_with(CWD, new, CWD, live, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(Swapped::Exchanged),
        Err(rustix::io::Errno::NOENT) => {
            fs::rename(new, live).at("put a new directory at", live)?;
            Ok(Swapped::Placed)
        }
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {
            Ok(Swapped::NotPossible)
        }
        Err(error) => Err(error).at("exchange the directory", live),
    }
}

/// Removes a file that may be gone already.
///
/// # Errors
/// The file is there and cannot be removed.
pub fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

/// Removes a directory with all in it; it may be gone already.
///
/// # Errors
/// Something in it cannot be removed.
pub fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove the directory", path),
        _ => Ok(()),
    }
}

/// Removes the temporary files in `directory` that a dead process left; the directory may be missing.
///
/// # Errors
/// The directory cannot be read, or one of them cannot be removed.
pub fn remove_temporary_files(directory: &Path) -> Result<()> {
    let entries = match fs::read_dir(directory).at("read the directory", directory) {
        Err(error) if error.is_not_found() => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry.at("read the directory", directory)?;
        if entry.file_name().as_bytes().starts_with(TEMPORARY_PREFIX.as_bytes()) {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes `directory` and those above it, up to but not including `stop`, as long as they are empty.
pub fn remove_empty_parents(directory: &Path, stop: &Path) {
    let mut at = directory;
    while at.starts_with(stop) && at != stop && fs::remove_dir(at).is_ok() {
        at = parent(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_holds_nobody_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for error in [digest_file(&path).unwrap_err(), read_limited(&path, 5).unwrap_err()] {
            assert_eq!(error.source.to_string(), "not a regular file");
        }
    }

    #[test]
    fn only_our_own_temporary_files_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let ours = temp_file(directory.path()).unwrap().keep().unwrap().1;
        let theirs = directory.path().join(".tmp-notes");
        write_new(&theirs, b"").unwrap();
        remove_temporary_files(directory.path()).unwrap();
        assert!(!ours.exists());
        assert!(theirs.exists());
    }

    #[test]
    fn a_private_directory_is_closed_to_others_and_its_parents_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pool/spool");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for _ in 0..2 {
            create_private_dir(&path).unwrap();
            assert_eq!(mode(&path), 0o700);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert_ne!(mode(parent(&path)), 0o700);
    }

    #[test]
    fn a_full_disk_has_a_hint() {
        let error = |errno: rustix::io::Errno| Err::<(), _>(errno).at("write", Path::new("/f")).unwrap_err();
        assert!(error(rustix::io::Errno::NOSPC).hint().is_some());
        assert!(error(rustix::io::Errno::DQUOT).hint().is_some());
        assert_eq!(error(rustix::io::Errno::ACCESS).hint(), None);
    }

    #[test]
    fn a_longer_file_is_refused_not_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        write_new(&path, b"12345").unwrap();
        assert_eq!(read_limited(&path, 5).unwrap(), b"12345");
        let error = read_limited(&path, 4).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read `{}`", path.display()));
        assert_eq!(error.source.to_string(), "longer than 4 bytes");
    }

    #[test]
    fn directories_are_swapped_in_one_step() {
        let directory = tempfile::tempdir().unwrap();
        let (new, live) = (directory.path().join("new"), directory.path().join("live"));
        fs::create_dir(&new).unwrap();
        assert_eq!(swap_directory(&new, &live).unwrap(), Swapped::Placed);
        fs::create_dir(&new).unwrap();
        write_new(&new.join("second"), b"").unwrap();
        assert_eq!(swap_directory(&new, &live).unwrap(), Swapped::Exchanged);
        assert!(live.join("second").exists());
        assert!(!new.join("second").exists());
    }
}
