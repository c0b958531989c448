//! Opening and closing sled. sled 0.34 needs precautions: a half-written snapshot (`snap.*.generating`) keeps it from
//! opening and is deleted first; it may panic on a damaged file, and when its last sync fails.

use std::fs;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Once;
use std::time::{Duration, Instant};

use crate::fsio::{self, AtPath};

use super::error::{Error, Result};

const CACHE_BYTES: u64 = 16 << 20;
/// sled collects its garbage in this rhythm, for half of the time at most, and closing waits for that.
const FLUSH_MILLISECONDS: u64 = 1000;

/// Closes sled, which panics if its last sync fails. Nothing is lost then that was flushed before.
#[derive(Debug)]
pub(super) struct LastHandle(Option<sled::Db>);

impl Drop for LastHandle {
    fn drop(&mut self) {
        let last = self.0.take();
        // what is not written is found out by the next opening
        let _ = std::panic::catch_unwind(AssertUnwindSafe(|| drop(last)));
    }
}

/// sled's panics are caught here or end one of its threads: what they say is nothing for the user.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_sled = panic.location().is_some_and(|at| at.file().contains("/sled-"));
            if !is_sled {
                usual(panic);
            }
        }));
    });
}

/// Deletes what a kill can leave of a snapshot; the older snapshot is still there then.
fn remove_half_snapshots(path: &Path) -> Result<()> {
    let entries = match fs::read_dir(path).at("read the directory", path) {
        Err(error) if error.is_not_found() => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry.at("read the directory", path)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fsio::remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

/// Opens the database in a directory, and gives the handle that is to be dropped last.
pub(super) fn open(path: &Path) -> Result<(sled::Db, LastHandle)> {
    remove_half_snapshots(path)?;
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_MILLISECONDS));
    silence_panics();
    let start = Instant::now();
    loop {
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| config.open()));
        let problem = match opened {
            Ok(Ok(db)) => return Ok((db.clone(), LastHandle(Some(db)))),
            // in a process that had it open just now, its threads may still hold it
            Ok(Err(error))
                if error.to_string().contains("could not acquire lock") && start.elapsed() < Duration::from_secs(5) =>
            {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            Ok(Err(sled::Error::Io(error))) if error.raw_os_error().is_some() => {
                return Ok(Err(error).at("open the tables in", path)?);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "sled gave up on them".into(),
        };
        return Err(Error::TablesUnusable {
            path: path.to_owned(),
            problem,
        });
    }
}

/// Gives an error of sled its words: one of the file system is no damage.
pub(super) fn error(doing: &'static str, path: &Path, source: sled::Error) -> Error {
    match source {
        sled::Error::Io(source) if is_of_system(&source) => Error::File(fsio::Error {
            doing,
            path: path.to_owned(),
            source,
        }),
        source => Error::Tables {
            doing,
            path: path.to_owned(),
            source,
        },
    }
}

/// Whether the system said so, even if sled has made a copy of what it said.
fn is_of_system(error: &io::Error) -> bool {
    let kinds = [
        io::ErrorKind::StorageFull,
        io::ErrorKind::QuotaExceeded,
        io::ErrorKind::ReadOnlyFilesystem,
        io::ErrorKind::PermissionDenied,
    ];
    error.raw_os_error().is_some() || kinds.contains(&error.kind())
}
