//! The lookup tables, kept in sled: what refers to which source's files, and what the pool holds.
//!
//! Tables follow the journal and can be made anew from it, so nothing here is believed: they say which line they have
//! reached, every line can be applied twice, and tables that cannot be opened, or do not fit the journal, are put
//! aside. sled's `flush` does not reach the disk before an fsync of its file. A lock of our own is held around it, since
//! sled's gives up at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::fsio::lock::Lock;
use crate::fsio::{self, AtPath};
use crate::model::{ArchivePath, FileDigests, PoolFile, Sha256};

use super::edit::Change;
use super::error::{Error, Result};
use super::journal::{Heads, Line, Position};
use super::keys::{self, HeadId, Listed};
use super::objects::Objects;
use super::sled_db::{self, LastHandle};

/// Longer values are left out and looked up in the index: sled is not good at them.
const MAX_VALUE_BYTES: usize = 7000;
/// A file beside sled's own that says that something could not be read.
const DAMAGED: &str = "damaged";
const POSITION_KEY: &[u8] = b"position";

/// The open tables. Dropping them writes and closes them.
#[derive(Debug)]
pub(super) struct Tables {
    path: PathBuf,
    db: sled::Db,
    /// `source NUL head NUL item key` → the item's values, empty if they are long.
    sources: sled::Tree,
    /// Path → size and digests.
    pool: sled::Tree,
    /// Path → since when nothing refers to it.
    unreferenced: sled::Tree,
    // after the tables, and before the lock: fields are dropped in this order
    _last: LastHandle,
    _lock: Arc<Lock>,
}

/// How many rows are put in order at a time: a first mirror would fill the memory with them.
const BATCH_ROWS: usize = 8192;

/// What a part of a line's changes adds to the tables.
#[derive(Default)]
struct Batch {
    rows: Rows,
    added: Files,
}

fn directory(database: &Path) -> PathBuf {
    database.join("sled")
}

/// Whether there are tables to open.
pub(super) fn exist(database: &Path) -> bool {
    directory(database).join("db").exists()
}

/// Whether anybody ever made tables.
pub(super) fn were_ever(database: &Path) -> bool {
    lock_file(database).exists()
}

fn lock_file(database: &Path) -> PathBuf {
    database.join("sled.lock")
}

/// Takes the lock that is held while the tables are open, or made anew: waits for up to `patience` for another process.
pub(super) fn lock(database: &Path, command: &str, patience: Duration) -> Result<Arc<Lock>> {
    Ok(Arc::new(Lock::take(&lock_file(database), command, patience)?))
}

/// Puts tables that are of no use out of the way, in place of those that were put there before.
pub(super) fn put_aside(database: &Path) -> Result<()> {
    let (from, to) = (directory(database), database.join("sled.damaged"));
    fsio::remove_tree(&to)?;
    fs::rename(&from, &to).at("put aside", &from)?;
    // from here on their time runs
    Ok(fsio::touch(&to)?)
}

/// Removes tables that were put aside before `old`, in Unix seconds: whoever wanted to look at them has.
pub(super) fn remove_put_aside(database: &Path, old: i64) -> Result<()> {
    let path = database.join("sled.damaged");
    if fs::metadata(&path).is_ok_and(|found| found.mtime() < old) {
        fsio::remove_tree(&path)?;
    }
    Ok(())
}

impl Tables {
    /// Opens the tables under their [`lock`].
    pub(super) fn open(database: &Path, lock: &Arc<Lock>) -> Result<Self> {
        let path = directory(database);
        if path.join(DAMAGED).exists() {
            return Err(Error::TablesUnusable {
                path,
                problem: "they were found damaged before".into(),
            });
        }
        let (db, last) = sled_db::open(&path)?;
        let tree = |name: &str| {
            let opened = db.open_tree(name);
            opened.map_err(|source| sled_db::error("open the tables in", &path, source))
        };
        let (sources, pool, unreferenced) = (tree("sources")?, tree("pool")?, tree("unreferenced")?);
        Ok(Self {
            path,
            _last: last,
            db,
            sources,
            pool,
            unreferenced,
            _lock: Arc::clone(lock),
        })
    }

    /// Gives an error of sled its words. Damage is noted down, for the next command to make the tables anew.
    fn cannot(&self, doing: &'static str) -> impl Fn(sled::Error) -> Error + Copy + '_ {
        move |source| {
            if matches!(source, sled::Error::Corruption { .. }) {
                // it is there already, or the damage will be found again
                drop(fsio::write_new(&self.path.join(DAMAGED), b""));
            }
            sled_db::error(doing, &self.path, source)
        }
    }

    /// The line of the journal that the tables have reached; none if they are new, or it cannot be read.
    pub(super) fn position(&self) -> Result<Option<Position>> {
        let value = self.db.get(POSITION_KEY).map_err(self.cannot("read the tables in"))?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    /// Makes all changes durable.
    pub(super) fn flush(&self) -> Result<()> {
        self.db.flush().map_err(self.cannot("write the tables in"))?;
        let file = self.path.join("db");
        File::open(&file).and_then(|file| file.sync_all()).at("sync", &file)?;
        Ok(())
    }

    /// Says which line the tables have reached, once all before it is durable. It need not be durable itself: a line
    /// can be applied twice.
    pub(super) fn reach(&self, position: &Position) -> Result<()> {
        self.flush()?;
        let value = serde_json::to_vec(position)
            .map_err(std::io::Error::from)
            .at("write", &self.path)?;
        self.db
            .insert(POSITION_KEY, value)
            .map_err(self.cannot("write the tables in"))
            .map(drop)
    }

    /// Brings the tables from the state before a line to the state after it, which has `heads`.
    pub(super) fn apply(&self, objects: &Objects, heads: &Heads, line: &Line) -> Result<()> {
        let mut batch = Batch::default();
        let mut dropped = Files::new();
        for (head, change) in &line.heads {
            objects.diff_tables(change.old, change.new, |change| {
                let (old, new) = match change {
                    Change::Added(new) => (None, Some(new)),
                    Change::Removed(old) => (Some(old), None),
                    Change::Replaced { old, new } => (Some(old), Some(new)),
                };
                if let Some(old) = old {
                    let listed = Listed::decode(head, old.key, old.meta)?;
                    let rows = keys::source_rows(head, old.key, &listed);
                    batch.rows.extend(rows.map(|row| (row, None)));
                    dropped.extend(files_of(&listed));
                }
                if let Some(new) = new {
                    let listed = Listed::decode(head, new.key, new.meta)?;
                    let rows = keys::source_rows(head, new.key, &listed);
                    batch.rows.extend(rows.map(|row| (row, row_value(new.meta))));
                    batch.added.extend(files_of(&listed));
                }
                if batch.rows.len() < BATCH_ROWS {
                    return Ok(());
                }
                self.write_batch(std::mem::take(&mut batch))
            })?;
        }
        self.write_batch(batch)?;
        // what is left of a source is read once for all its files that are dropped
        let mut by_source: BTreeMap<&str, Files> = BTreeMap::new();
        for (path, content) in &dropped {
            let files = by_source.entry(keys::source_directory(path)).or_default();
            files.insert(path.clone(), *content);
        }
        for (source, mut files) in by_source {
            for (_, listed) in self.by_source(objects, heads, source)? {
                for file in listed.files() {
                    files.remove(&file.path);
                }
            }
            for (path, content) in &files {
                self.insert_pool_row(path, content)?;
                self.mark_unreferenced(path, line.provenance.unix_seconds)?;
            }
        }
        Ok(())
    }

    fn write_batch(&self, batch: Batch) -> Result<()> {
        self.write_rows(&batch.rows)?;
        for (path, content) in &batch.added {
            self.insert_pool_row(path, content)?;
            self.mark_referenced(path)?;
        }
        Ok(())
    }

    /// Fills the tables anew from the heads. Pool files that nothing refers to are kept, unreferenced since `now`.
    pub(super) fn refill(&self, objects: &Objects, heads: &Heads, now: i64) -> Result<()> {
        self.sources.clear().map_err(self.cannot("write the tables in"))?;
        let mut referenced = Files::new();
        for (head, root) in heads {
            let mut rows = Rows::new();
            for at in objects.root(*root)?.blocks() {
                for row in objects.block_table(&at.block)? {
                    let listed = Listed::decode(head, &row.key, &row.meta)?;
                    rows.extend(keys::source_rows(head, &row.key, &listed).map(|key| (key, row_value(&row.meta))));
                    referenced.extend(files_of(&listed));
                }
            }
            self.write_rows(&rows)?;
        }
        for (path, content) in &referenced {
            self.insert_pool_row(path, content)?;
            self.mark_referenced(path)?;
        }
        for (path, _) in self.pool_rows()? {
            if !referenced.contains_key(&path) {
                self.mark_unreferenced(&path, now)?;
            }
        }
        Ok(())
    }

    /// Writes rows of the table by source, or removes them. In order, which is much faster in sled.
    fn write_rows(&self, rows: &Rows) -> Result<()> {
        for (key, value) in rows {
            let written = match value {
                Some(value) => self.sources.insert(key, value.as_slice()),
                None => self.sources.remove(key),
            };
            written.map_err(self.cannot("write the tables in"))?;
        }
        Ok(())
    }

    /// All that is listed under a source: what is of this source, and what has files in its pool directory.
    pub(super) fn by_source(&self, objects: &Objects, heads: &Heads, source: &str) -> Result<Vec<(HeadId, Listed)>> {
        let mut found = Vec::new();
        for row in self.sources.scan_prefix(keys::source_prefix(source)) {
            let (key, value) = row.map_err(self.cannot("read the tables in"))?;
            let (head, item_key) = keys::split_source_row(&key)?;
            let listed = if value.is_empty() {
                read_listed(objects, heads, &head, item_key)?
            } else {
                Some(Listed::decode(&head, item_key, &value)?)
            };
            found.extend(listed.map(|listed| (head, listed)));
        }
        Ok(found)
    }

    /// The items of a head that are here whole, by key. Those with long values are not.
    pub(super) fn items_of(&self, head: &HeadId) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let mut items = BTreeMap::new();
        for row in &self.sources {
            let (key, value) = row.map_err(self.cannot("read the tables in"))?;
            let (of, item_key) = keys::split_source_row(&key)?;
            if of == *head && !value.is_empty() {
                items.insert(item_key.to_vec(), value.to_vec());
            }
        }
        Ok(items)
    }

    /// What refers to a pool file.
    pub(super) fn references(
        &self,
        objects: &Objects,
        heads: &Heads,
        path: &ArchivePath,
    ) -> Result<Vec<(HeadId, Listed)>> {
        let mut found = self.by_source(objects, heads, keys::source_directory(path))?;
        found.retain(|(_, listed)| listed.files().iter().any(|file| file.path == *path));
        Ok(found)
    }

    fn insert_pool_row(&self, path: &ArchivePath, content: &FileDigests) -> Result<()> {
        let known = self.pool_content(path)?;
        let is_same = known.is_some_and(|known| known.digests.sha256 == content.digests.sha256);
        if !is_same {
            self.pool
                .insert(path.as_str(), keys::encode_content(content)?)
                .map_err(self.cannot("write the tables in"))?;
        }
        Ok(())
    }

    fn mark_referenced(&self, path: &ArchivePath) -> Result<()> {
        // most files are referenced, and looking is cheaper than removing
        if self.unreferenced_since(path)?.is_some() {
            self.unreferenced
                .remove(path.as_str())
                .map_err(self.cannot("write the tables in"))?;
        }
        Ok(())
    }

    fn mark_unreferenced(&self, path: &ArchivePath, since: i64) -> Result<()> {
        if self.unreferenced_since(path)?.is_none() {
            self.unreferenced
                .insert(path.as_str(), &since.to_be_bytes())
                .map_err(self.cannot("write the tables in"))?;
        }
        Ok(())
    }

    /// Since when nothing refers to a pool file; none while something does, or if it is not known.
    pub(super) fn unreferenced_since(&self, path: &ArchivePath) -> Result<Option<i64>> {
        let value = self
            .unreferenced
            .get(path.as_str())
            .map_err(self.cannot("read the tables in"))?;
        Ok(value.map(|value| keys::decode_time(&value)).transpose()?)
    }

    /// Size and digests of a pool file.
    pub(super) fn pool_content(&self, path: &ArchivePath) -> Result<Option<FileDigests>> {
        let value = self
            .pool
            .get(path.as_str())
            .map_err(self.cannot("read the tables in"))?;
        Ok(value.map(|value| keys::decode_content(&value)).transpose()?)
    }

    /// All pool files.
    pub(super) fn pool_rows(&self) -> Result<Vec<(ArchivePath, FileDigests)>> {
        let row = |row: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, value) = row.map_err(self.cannot("read the tables in"))?;
            Ok((keys::decode_path(&key)?, keys::decode_content(&value)?))
        };
        self.pool.iter().map(row).collect()
    }

    /// The SHA-256 of every pool file.
    pub(super) fn pool_digests(&self) -> Result<BTreeSet<Sha256>> {
        let digest = |value: sled::Result<sled::IVec>| {
            let value = value.map_err(self.cannot("read the tables in"))?;
            Ok(keys::decode_content(&value)?.digests.sha256)
        };
        self.pool.iter().values().map(digest).collect()
    }

    /// All pool files that nothing refers to, and since when.
    pub(super) fn unreferenced_rows(&self) -> Result<BTreeMap<ArchivePath, i64>> {
        let row = |row: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, value) = row.map_err(self.cannot("read the tables in"))?;
            Ok((keys::decode_path(&key)?, keys::decode_time(&value)?))
        };
        self.unreferenced.iter().map(row).collect()
    }

    /// Registers a file that nothing refers to yet. One that is referred to stays as it is.
    pub(super) fn announce(&self, file: &PoolFile, now: i64) -> Result<()> {
        let is_new = self.pool_content(&file.path)?.is_none();
        self.check_content(file)?;
        self.insert_pool_row(&file.path, &file.content)?;
        if is_new || self.unreferenced_since(&file.path)?.is_some() {
            self.unreferenced
                .insert(file.path.as_str(), &now.to_be_bytes())
                .map_err(self.cannot("write the tables in"))?;
        }
        Ok(())
    }

    /// Refuses a file of which the pool has another content.
    pub(super) fn check_content(&self, file: &PoolFile) -> Result<()> {
        match self.pool_content(&file.path)? {
            Some(known) if known.digests.sha256 != file.content.digests.sha256 => Err(Error::Conflict {
                path: file.path.clone(),
                known: known.digests.sha256.to_string(),
                given: file.content.digests.sha256.to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// Drops a pool file's rows.
    pub(super) fn forget(&self, path: &ArchivePath) -> Result<()> {
        self.pool
            .remove(path.as_str())
            .map_err(self.cannot("write the tables in"))?;
        self.mark_referenced(path)
    }
}

/// Rows of the table by source to be written, or removed.
type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;
/// Pool files by path.
type Files = BTreeMap<ArchivePath, FileDigests>;

fn row_value(meta: &[u8]) -> Option<Vec<u8>> {
    let value = if meta.len() > MAX_VALUE_BYTES { &[] } else { meta };
    Some(value.to_vec())
}

fn files_of(listed: &Listed) -> impl Iterator<Item = (ArchivePath, FileDigests)> {
    let files = listed.files().into_iter();
    files.map(|file| (file.path.clone(), file.content))
}

/// Reads an item from the index that lists it; none if that has changed since.
fn read_listed(objects: &Objects, heads: &Heads, head: &HeadId, key: &[u8]) -> Result<Option<Listed>> {
    let Some(root) = heads.get(head) else {
        return Ok(None);
    };
    let root = objects.root(*root)?;
    let Some(at) = root.block_of(key) else {
        return Ok(None);
    };
    let rows = objects.block_table(&at.block)?;
    let row = rows.iter().find(|row| row.key == key);
    Ok(row.map(|row| Listed::decode(head, key, &row.meta)).transpose()?)
}
