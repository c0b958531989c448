//! The archive's state, below `+b/db`. What must survive is in immutable objects and in the journal; lookup tables
//! follow them and can be made anew. Readers take a [`Snapshot`]; the one writer takes the lock and opens the [`Store`].
//!
//! A change is: objects, one sync, a journal line (the commit), tables. A crash between any two leaves garbage, or
//! tables that are brought up to the journal when the store is opened next.

pub mod blocks;
mod dump;
mod dumps;
pub mod edit;
mod error;
mod extras;
mod file_lists;
mod frame;
mod garbage;
mod journal;
mod keys;
pub mod objects;
mod open;
mod rebuild;
mod records;
mod sled_db;
mod snapshot;
mod tables;
mod txn;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::fsio::lock::Lock;
use crate::fsio::{self, AtPath};
use crate::model::{ArchivePath, Codename, Sha256};

pub use blocks::{BlockId, RootId};
pub use dump::{Dumped, read_dump};
pub use dumps::{SavedDump, saved_dumps};
pub use error::{Error, Result};
pub use garbage::Collected;
pub use journal::{HeadChange, Line, Provenance};
pub use keys::HeadId;
pub use open::{PoolRecord, Reference, Store};
pub use rebuild::{Rebuilt, Remains};
pub use snapshot::{EntryReader, Snapshot};
pub use txn::{Commit, WriteTxn};

use file_lists::FileLists;
use journal::{Journal, Position, State};
use objects::Objects;
use tables::Tables;

const FORMAT: &str = "1";
const UPDATE_LOCK: &str = "update.lock";
/// How long a command waits for another process's short look into the tables.
const TABLES_PATIENCE: Duration = Duration::from_secs(30);

/// A database directory, `+b/db`. Making one of these opens nothing and creates nothing.
#[derive(Debug, Clone)]
pub struct Database {
    directory: PathBuf,
    objects: Objects,
    journal: Journal,
    file_lists: FileLists,
}

impl Database {
    /// The database in a directory; one that is missing or empty is an empty archive.
    ///
    /// # Errors
    /// The directory is of another format version, of reprepro, or of something else.
    pub fn at(directory: &Path) -> Result<Self> {
        check_format(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            objects: Objects::at(directory),
            journal: Journal::at(directory),
            file_lists: FileLists::at(directory),
        })
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes the right to write, waiting for up to `patience`. Makes the directory if need be.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process holds it, or the directory cannot be written.
    pub fn lock(&self, command: &str, patience: Duration) -> Result<WriteGuard> {
        fsio::create_dir_all(&self.directory)?;
        let lock = Lock::take(&self.directory.join("lock"), command, patience)?;
        check_format(&self.directory)?;
        let version = self.directory.join("version");
        if !version.exists() {
            fsio::write_atomic(&version, format!("{FORMAT}\n").as_bytes())?;
        }
        Ok(WriteGuard {
            database: self.clone(),
            lock: Arc::new(lock),
            command: command.to_owned(),
            repairs: Mutex::default(),
        })
    }

    /// Takes the right to follow upstreams, which one process has at a time beside the one that writes, waiting for up to
    /// `patience`. Makes the directory if need be.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process holds it, or the directory cannot be written.
    pub fn lock_updates(&self, command: &str, patience: Duration) -> Result<Lock> {
        fsio::create_dir_all(&self.directory)?;
        let lock = Lock::take(&self.directory.join(UPDATE_LOCK), command, patience)?;
        if lock.was_left() {
            // the lists that a writer is just making are taken along; it then reads them from the .debs again
            fsio::remove_temporary_files(self.file_lists.directory())?;
        }
        Ok(lock)
    }

    /// The state as it is now. Needs no lock, waits for nobody and writes nothing.
    ///
    /// # Errors
    /// The journal is damaged or cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let (state, _) = self.journal.state()?;
        Ok(Snapshot::new(&state, self.objects.clone()))
    }

    /// The state as it was after the change of that number; none if there was no such change. Its objects may have been
    /// collected since.
    ///
    /// # Errors
    /// The journal is damaged or cannot be read.
    pub fn snapshot_at(&self, sequence: u64) -> Result<Option<Snapshot>> {
        let state = self.journal.state_at(sequence)?;
        Ok(state.map(|state| Snapshot::new(&state, self.objects.clone())))
    }

    /// Calls `each` for every change since the archive was made, oldest first. Every line is checked on the way.
    ///
    /// # Errors
    /// The journal is damaged or cannot be read, or `each` fails.
    pub fn history(&self, mut each: impl FnMut(Line) -> Result<()>) -> Result<()> {
        self.journal.read(&Position::origin(), |_, line| each(line)).map(drop)
    }

    /// What the publisher recorded of a distribution.
    ///
    /// # Errors
    /// The record is damaged.
    pub fn published(&self, codename: &Codename) -> Result<Option<Vec<u8>>> {
        Ok(records::read_published(&self.directory, codename)?.map(|published| published.record))
    }

    /// Paths in a .deb, each without leading `/` or `./`, as bytes, sorted; none if they are not known.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn file_list(&self, deb: &Sha256) -> Result<Option<Vec<Vec<u8>>>> {
        self.file_lists.get(deb)
    }

    /// Adds the paths in a .deb. They are kept with [`Database::keep_file_lists`], or once one is asked for. Needs no
    /// lock: a list whose .deb does not come into the pool is collected, and one that is lost is read from the .deb
    /// again.
    ///
    /// # Errors
    /// The list cannot be written.
    pub fn put_file_list(&self, deb: &Sha256, paths: &[Vec<u8>]) -> Result<()> {
        self.file_lists.put(deb, paths)
    }

    /// Keeps the file lists that were put.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn keep_file_lists(&self) -> Result<()> {
        self.file_lists.keep()
    }

    /// All files of the pool for a reader, sorted by path. Waits for a writer that has the tables open.
    ///
    /// # Errors
    /// The tables stay in use, or cannot be read; [`ErrorKind::Denied`](crate::model::ErrorKind::Denied) if this user
    /// may not open them.
    pub fn pool_files(&self) -> Result<Vec<(ArchivePath, PoolRecord)>> {
        if !tables::were_ever(&self.directory) {
            return Ok(Vec::new());
        }
        let lock = tables::lock(&self.directory, "reading the pool", TABLES_PATIENCE)?;
        // looked for under the lock: a writer may be making them anew
        if !tables::exist(&self.directory) {
            return Ok(Vec::new());
        }
        open::pool_files(&Tables::open(&self.directory, &lock)?)
    }
}

fn check_format(directory: &Path) -> Result<()> {
    let path = || directory.to_owned();
    // reprepro has a file `version` too
    if ["packages.db", "packagenames.db", "references.db", "checksums.db"]
        .iter()
        .any(|name| directory.join(name).exists())
    {
        return Err(Error::Reprepro { path: path() });
    }
    // listed before `version` is read: what another command makes in between comes after its `version`
    let is_foreign = match fs::read_dir(directory).at("read the directory", directory) {
        Err(error) if error.is_not_found() => false,
        Err(error) => return Err(error.into()),
        Ok(entries) => entries
            .flatten()
            .any(|entry| !is_there_before_version(&entry.file_name())),
    };
    let version = fsio::read_if_there(&directory.join("version"), 4096)?;
    let Some(version) = version else {
        return match is_foreign {
            true => Err(Error::NoDatabase { path: path() }),
            false => Ok(()),
        };
    };
    let found = String::from_utf8_lossy(&version);
    match found.trim_end() {
        FORMAT => Ok(()),
        // a later format will be another number
        found if !found.parse().is_ok_and(|format: u32| format > 0) => Err(Error::Damaged {
            path: directory.join("version"),
            problem: "it holds no number of a format".into(),
        }),
        found => Err(Error::Version {
            path: path(),
            found: found.chars().take(40).flat_map(char::escape_default).collect(),
            known: FORMAT,
        }),
    }
}

/// Our own locks, the version on its way, what an update has brought in without a lock, and the lock file that reprepro leaves when it was killed.
fn is_there_before_version(name: &OsStr) -> bool {
    name == "lock"
        || name == UPDATE_LOCK
        || name == extras::TOP
        || name == "lockfile"
        || name.as_encoded_bytes().starts_with(fsio::TEMPORARY_PREFIX.as_bytes())
}

/// The right to write, until it and all that was opened with it are dropped.
#[derive(Debug)]
pub struct WriteGuard {
    database: Database,
    lock: Arc<Lock>,
    command: String,
    repairs: Mutex<Vec<String>>,
}

impl WriteGuard {
    /// The database that is locked.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Whether the last writer died with the lock. Its temporary files may be lying about; see [`WriteGuard::clear_up`].
    #[must_use]
    pub fn was_left(&self) -> bool {
        self.lock.was_left()
    }

    /// Tells the next writer that this one could not clear up.
    pub fn leave(&self) {
        self.lock.leave();
    }

    /// Removes the temporary files in the database that a dead writer left.
    ///
    /// # Errors
    /// One of them cannot be removed.
    pub fn clear_up(&self) -> Result<()> {
        let directory = &self.database.directory;
        let places = [
            directory.clone(),
            self.database.objects.directory().to_owned(),
            self.database.file_lists.directory().to_owned(),
            records::published_directory(directory),
            extras::records(directory),
        ];
        Ok(places
            .iter()
            .try_for_each(|place| fsio::remove_temporary_files(place))?)
    }

    /// Keeps the file lists that were put, and tidies up among them.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn keep_file_lists(&self) -> Result<()> {
        self.database.file_lists.merge()
    }

    /// Keeps the publisher's own record of a distribution, durable at return, with all objects put before. `keeps` are
    /// the roots that the record names, which garbage collection must keep.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn set_published(&self, codename: &Codename, record: &[u8], keeps: &[RootId]) -> Result<()> {
        let Database { directory, objects, .. } = &self.database;
        fsio::create_dir_all(objects.directory())?;
        objects.sync()?;
        records::write_published(directory, codename, record, keeps)
    }

    /// Forgets that a distribution was ever published.
    ///
    /// # Errors
    /// The record cannot be removed.
    pub fn forget_published(&self, codename: &Codename) -> Result<()> {
        records::remove_published(&self.database.directory, codename)
    }

    /// Opens the store, with the tables brought up to the journal, or made anew if they are damaged or do not fit it.
    /// Hold it only as long as it is needed: readers of the pool wait for it.
    ///
    /// # Errors
    /// The journal or an object is damaged, or a reader does not let go of the tables.
    pub fn open(&self) -> Result<Store> {
        let Database { directory, journal, .. } = &self.database;
        let (state, is_torn) = journal.state()?;
        fsio::remove_if_there(&directory.join(garbage::UNREFERENCED))?;
        let lock = tables::lock(directory, &self.command, TABLES_PATIENCE)?;
        if is_torn {
            journal.cut(&state.position, reached(directory, &lock).as_ref())?;
            self.repaired(format!(
                "`{}`: cut off the line after change {}, which a crash left half written, and put it into `journal.torn`; \
                 that change never happened",
                journal.path().display(),
                state.position.sequence
            ));
        }
        let tables = match self.open_tables(&state, &lock) {
            Err(error) if is_of_tables(&error) => {
                tables::put_aside(directory)?;
                self.repaired(format!(
                    "{error}; made them anew, the damaged ones are in `sled.damaged` beside them"
                ));
                self.open_tables(&state, &lock)?
            }
            other => other?,
        };
        Ok(Store::new(directory, state, tables, Arc::clone(&self.lock)))
    }

    fn open_tables(&self, state: &State, lock: &Arc<Lock>) -> Result<Tables> {
        let Database {
            directory,
            objects,
            journal,
            ..
        } = &self.database;
        let tables = Tables::open(directory, lock)?;
        let reached = tables.position()?;
        if reached == Some(state.position) {
            return Ok(tables);
        }
        if let Some(reached) = reached {
            journal.must_reach(state, reached.sequence)?;
            let mut lines = Vec::new();
            let end = journal.read(&reached, |_, line| {
                lines.push(line);
                Ok(())
            })?;
            // an older line's objects may be gone, and its changes were undone since: then all is read anew
            let follows = end == journal::End::Whole(state.position)
                && lines
                    .iter()
                    .all(|line| tables.apply(objects, &state.heads, line).is_ok());
            if follows {
                tables.reach(&state.position)?;
                return Ok(tables);
            }
            self.repaired(format!(
                "the tables were at change {} of another journal; made them anew from change {}",
                reached.sequence, state.position.sequence
            ));
        } else if state.position.sequence > 0 {
            self.repaired(format!(
                "there were no tables in `{}`; made them anew from change {}; `aptrepo check` registers pool files that \
                 nothing refers to",
                directory.display(),
                state.position.sequence
            ));
        }
        tables.refill(objects, &state.heads, state.unix_seconds)?;
        tables.reach(&state.position)?;
        Ok(tables)
    }

    fn repaired(&self, message: String) {
        // a panic elsewhere cannot leave this list half changed
        self.repairs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(message);
    }

    /// What opening the store had to repair since this was last asked, for the user.
    #[must_use]
    pub fn take_repairs(&self) -> Vec<String> {
        std::mem::take(&mut *self.repairs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The line that the tables have reached, if they can say.
fn reached(directory: &Path, lock: &Arc<Lock>) -> Option<Position> {
    Tables::open(directory, lock).ok()?.position().ok()?
}

/// Whether making the tables anew can help.
fn is_of_tables(error: &Error) -> bool {
    matches!(
        error,
        Error::Tables { .. } | Error::TablesUnusable { .. } | Error::Codec { .. }
    )
}

#[cfg(test)]
mod tests;
