//! The lock that one writing command holds: `flock` on a file that says who holds it, so that the lock ends with its
//! holder, however that ends. A holder that comes to its end clears the file; what is left in it tells the next holder
//! that there may be something to clear up.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use super::{AtPath, Error};

/// The lock was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("the lock `{path}` is held by {holder}", path = path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Process id and command of the holder, as it wrote them.
        holder: String,
    },
    /// The lock file cannot be made or locked.
    #[error(transparent)]
    File(#[from] Error),
}

/// The held lock; dropping it, or dying, releases it.
#[derive(Debug)]
pub struct Lock {
    file: File,
    was_left: bool,
    /// Whether this holder, too, leaves something.
    leaves: AtomicBool,
}

impl Lock {
    /// Takes the lock, waiting for up to `patience` while another process holds it.
    ///
    /// # Errors
    /// [`LockError::Held`] with the holder, if it still holds the lock after that time.
    pub fn take(path: &Path, command: &str, patience: Duration) -> Result<Self, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .at("open the lock file", path)?;
        let start = Instant::now();
        let mut pause = Duration::from_millis(5);
        while let Err(errno) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if errno != rustix::io::Errno::WOULDBLOCK && errno != rustix::io::Errno::INTR {
                Err(errno).at("lock", path)?;
            }
            let waited = start.elapsed();
            if waited >= patience {
                return Err(LockError::Held {
                    path: path.to_owned(),
                    holder: holder(&mut file),
                });
            }
            std::thread::sleep(pause.min(patience - waited));
            pause = (pause * 2).min(Duration::from_millis(200));
        }
        let was_left = file.metadata().at("read", path)?.len() > 0;
        file.set_len(0).at("write", path)?;
        writeln!(file, "process {}: {command}", std::process::id()).at("write", path)?;
        Ok(Self {
            file,
            was_left,
            leaves: AtomicBool::new(false),
        })
    }

    /// Whether the last holder died with the lock, or could not clear up after itself.
    #[must_use]
    pub fn was_left(&self) -> bool {
        self.was_left
    }

    /// Tells the next holder that there is something to clear up.
    pub fn leave(&self) {
        self.leaves.store(true, Ordering::Relaxed);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if !*self.leaves.get_mut() {
            // if this fails, the next holder looks for what a dead one leaves, and finds nothing
            let _ = self.file.set_len(0);
        }
    }
}

fn holder(file: &mut File) -> String {
    let mut text = Vec::new();
    let read = file.rewind().and_then(|()| file.take(500).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    match text.lines().next() {
        Some(line) if read.is_ok() => line.chars().filter(|c| !c.is_control()).collect(),
        _ => "a process that has not said which".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_the_first_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = Lock::take(&path, "aptrepo update", Duration::ZERO).unwrap();
        let error = Lock::take(&path, "aptrepo list", Duration::from_millis(20)).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with(&format!("process {}: aptrepo update", std::process::id())),
            "{error}"
        );
        drop(first);
        // a process that another test just forked has the file open until it starts its program
        let next = Lock::take(&path, "aptrepo list", Duration::from_secs(10)).unwrap();
        assert!(!next.was_left());
    }

    #[test]
    fn a_holder_that_died_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        super::super::write_new(&path, b"process 1: aptrepo include\n").unwrap();
        let next = Lock::take(&path, "aptrepo list", Duration::from_secs(10)).unwrap();
        assert!(next.was_left());
    }
}
