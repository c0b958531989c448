//! A new file that has no name before it is whole, so that a process that dies leaves nothing of it: `O_TMPFILE`, and a
//! link in the end (open(2)). Where the file system has no such files, a temporary file stands in.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use tempfile::NamedTempFile;

use super::{AtPath, Result, temp_file};

/// A file that is being written.
#[derive(Debug)]
pub enum NewFile {
    /// Without a name.
    Unnamed(File),
    /// With a name for the time being.
    Named(NamedTempFile),
}

impl NewFile {
    /// Begins one in a directory, with the usual mode (0666 less the umask).
    ///
    /// # Errors
    /// The directory is missing or cannot be written.
    pub fn begin(directory: &Path) -> Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
        // its name is given by way of /proc, which may be missing
        if Path::new("/proc/self/fd").is_dir()
            && let Ok(file) = rustix::fs::open(directory, flags, mode)
        {
            return Ok(Self::Unnamed(File::from(file)));
        }
        temp_file(directory).map(Self::Named)
    }

    /// The file, to be written.
    pub fn file(&mut self) -> &mut File {
        match self {
            Self::Unnamed(file) => file,
            Self::Named(file) => file.as_file_mut(),
        }
    }

    /// Makes its content durable and gives it its name; if that is there already, it may stay what it is.
    ///
    /// # Errors
    /// It cannot be synced, or not be named so.
    pub fn keep(self, path: &Path) -> Result<()> {
        match self {
            Self::Unnamed(file) => {
                file.sync_data().at("sync", path)?;
                let handle = format!("/proc/self/fd/{}", file.as_raw_fd());
                match rustix::fs::linkat(CWD, handle, CWD, path, AtFlags::SYMLINK_FOLLOW) {
                    Err(rustix::io::Errno::EXIST) => Ok(()),
                    linked => linked.at("name a new file", path),
                }
            }
            Self::Named(file) => {
                file.as_file().sync_data().at("sync", path)?;
                let kept = file.persist(path).map(drop).map_err(|error| error.error);
                kept.at("rename a temporary file to", path)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn it_is_not_to_be_seen_before_it_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let names = || std::fs::read_dir(directory.path()).unwrap().count();
        let path = directory.path().join("f");
        let mut file = NewFile::begin(directory.path()).unwrap();
        file.file().write_all(b"whole").unwrap();
        assert!(names() == 0 || matches!(file, NewFile::Named(_)));
        file.keep(&path).unwrap();
        assert_eq!(
            (names(), super::super::read_limited(&path, 9).unwrap()),
            (1, b"whole".to_vec())
        );
        drop(NewFile::begin(directory.path()).unwrap());
        assert_eq!(names(), 1);
    }
}
