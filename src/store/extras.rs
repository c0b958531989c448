//! Files of upstreams that are no packages, below `db/extras`: each once, in `files/` under its SHA-256, and for each
//! distribution a record of which it has, in `records/`. What is on its way waits in `partial/`.
//!
//! Lost, they are fetched again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::fsio::{self, AtPath};
use crate::model::{Codename, Sha256};

use super::blocks;
use super::error::Result;
use super::garbage::files_in;
use super::records::{read, seal};
use super::{Database, WriteGuard};

/// The directory of all this.
pub(super) const TOP: &str = "extras";

/// What a distribution has of these files.
struct Record {
    /// The files that it needs.
    keeps: Vec<Sha256>,
    /// The owner's bytes.
    bytes: Vec<u8>,
}

/// The directory of the files.
pub(super) fn files(database: &Path) -> PathBuf {
    database.join(TOP).join("files")
}

/// The directory of the records.
pub(super) fn records(database: &Path) -> PathBuf {
    database.join(TOP).join("records")
}

fn room(database: &Path) -> PathBuf {
    database.join(TOP).join("partial")
}

fn file_path(database: &Path, content: &Sha256) -> PathBuf {
    let name = content.to_string();
    let (shard, rest) = name.split_at(2);
    files(database).join(shard).join(rest)
}

fn record_path(database: &Path, codename: &Codename) -> PathBuf {
    // a codename has no percent sign
    records(database).join(codename.as_str().replace('/', "%"))
}

fn read_record(path: &Path) -> Result<Option<Record>> {
    let Some(sealed) = read(path)? else {
        return Ok(None);
    };
    let (keeps, bytes): (Vec<[u8; 32]>, &[u8]) = blocks::decode("record of other files", &sealed)?;
    Ok(Some(Record {
        keeps: keeps.into_iter().map(Sha256::from_bytes).collect(),
        bytes: bytes.to_vec(),
    }))
}

/// The files that any distribution needs.
///
/// # Errors
/// A record is damaged: nobody knows what it needs.
pub(super) fn kept(database: &Path) -> Result<BTreeSet<Sha256>> {
    let mut kept = BTreeSet::new();
    for entry in files_in(&records(database))? {
        kept.extend(read_record(&entry.path())?.into_iter().flat_map(|record| record.keeps));
    }
    Ok(kept)
}

impl Database {
    /// The record of the upstreams' other files that a distribution has.
    ///
    /// # Errors
    /// The record is damaged.
    pub fn extras(&self, codename: &Codename) -> Result<Option<Vec<u8>>> {
        let record = read_record(&record_path(self.directory(), codename))?;
        Ok(record.map(|record| record.bytes))
    }

    /// The distributions that have such a record, in no order.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn with_extras(&self) -> Result<Vec<Codename>> {
        let entries = files_in(&records(self.directory()))?;
        let codename = |name: String| Codename::new(&name.replace('%', "/")).ok();
        Ok(entries
            .iter()
            .filter_map(|entry| codename(entry.file_name().into_string().ok()?))
            .collect())
    }

    /// Where such a file is, if it is there.
    #[must_use]
    pub fn extra_file(&self, content: &Sha256) -> PathBuf {
        file_path(self.directory(), content)
    }

    /// The directory where such files wait until they are whole; it is made. The caller holds the lock of
    /// [`Database::lock_updates`].
    ///
    /// # Errors
    /// It cannot be made.
    pub fn extras_room(&self) -> Result<PathBuf> {
        let room = room(self.directory());
        fsio::create_dir_all(&room)?;
        Ok(room)
    }

    /// Removes what still waits there.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn clear_extras_room(&self) -> Result<()> {
        Ok(fsio::remove_tree(&room(self.directory()))?)
    }

    /// Takes in a file from [`Self::extras_room`], whose content the caller has checked. Not durable yet; what no record
    /// names a day later is collected.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn put_extra(&self, file: &Path, content: &Sha256) -> Result<()> {
        let place = file_path(self.directory(), content);
        fsio::create_dir_all(fsio::parent(&place))?;
        Ok(std::fs::rename(file, &place).at("put a new file at", &place)?)
    }
}

impl WriteGuard {
    /// Keeps the record of a distribution, durable at return, with all files put before. `keeps` are the files that it
    /// names, which garbage collection must keep.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn set_extras(&self, codename: &Codename, record: &[u8], keeps: &[Sha256]) -> Result<()> {
        let database = self.database().directory();
        let directory = records(database);
        fsio::create_dir_all(&directory)?;
        fsio::sync_filesystem(&directory)?;
        let keeps: Vec<[u8; 32]> = keeps.iter().map(|content| *content.as_bytes()).collect();
        let path = record_path(database, codename);
        let bytes = blocks::encode("record of other files", &(keeps, record))?;
        Ok(fsio::write_atomic(&path, &seal(&bytes, &path)?)?)
    }

    /// Forgets which of these files a distribution has.
    ///
    /// # Errors
    /// The record cannot be removed.
    pub fn forget_extras(&self, codename: &Codename) -> Result<()> {
        Ok(fsio::remove_if_there(&record_path(
            self.database().directory(),
            codename,
        ))?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A time by which all that nobody keeps is old enough to go.
    const LATER: i64 = 4_102_444_800;

    fn put(database: &Database, content: &[u8]) -> Sha256 {
        let file = database.extras_room().unwrap().join("f");
        fsio::write_new(&file, content).unwrap();
        let digest = Sha256::of(content);
        database.put_extra(&file, &digest).unwrap();
        digest
    }

    #[test]
    fn what_no_record_names_is_collected() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::at(directory.path()).unwrap();
        let guard = database.lock("test", Duration::ZERO).unwrap();
        let codename = Codename::new("a/b").unwrap();
        let (kept, unwanted) = (put(&database, b"kept"), put(&database, b"unwanted"));
        guard.set_extras(&codename, b"record", &[kept]).unwrap();
        let collected = guard.open().unwrap().collect_objects(LATER, LATER).unwrap();
        assert_eq!(collected.extras, 1);
        assert!(database.extra_file(&kept).exists() && !database.extra_file(&unwanted).exists());
        assert_eq!(database.extras(&codename).unwrap().unwrap(), b"record");
        assert_eq!(database.with_extras().unwrap(), std::slice::from_ref(&codename));

        // of a damaged record nobody knows what it names
        let path = record_path(directory.path(), &codename);
        fsio::write_atomic(&path, b"damaged").unwrap();
        assert!(database.extras(&codename).is_err());
        let collected = guard.open().unwrap().collect_objects(LATER, LATER).unwrap();
        assert_eq!(collected.extras, 0);

        guard.forget_extras(&codename).unwrap();
        let collected = guard.open().unwrap().collect_objects(LATER, LATER).unwrap();
        assert_eq!(collected.extras, 1);
        assert!(!database.extra_file(&kept).exists());
    }

    #[test]
    fn what_an_update_brought_in_stays_for_a_while_before_it_is_recorded() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::at(directory.path()).unwrap();
        let guard = database.lock("test", Duration::ZERO).unwrap();
        let new = put(&database, b"new");
        let file = database.extra_file(&new);
        fsio::set_modified(&file, LATER - 3600).unwrap();
        let _ = guard.open().unwrap().collect_objects(LATER, LATER).unwrap();
        assert!(file.exists());
    }
}
