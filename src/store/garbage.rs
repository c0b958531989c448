//! Removing objects and file lists that nothing names any more: mark from all that is kept, sweep the rest.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::fsio::{self, AtPath};
use crate::model::{PoolFile, Sha256};

use super::blocks::RootId;
use super::error::{Error, Result};
use super::extras;
use super::file_lists::FileLists;
use super::journal::Position;
use super::objects::write_unsynced;
use super::open::{PoolRecord, Store};
use super::records;
use super::tables;
use super::{Database, WriteGuard};

/// Younger files stay: they may be of work that is not committed yet.
const SAFETY_SECONDS: i64 = 15 * 60;
/// The same for what an update brings in long before it is recorded.
const EXTRAS_SAFETY_SECONDS: i64 = 86_400;
/// How long damaged tables stay that were put aside.
const ASIDE_SECONDS: i64 = 86_400;

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Object files.
    pub objects: u64,
    /// Their size on disk, in bytes.
    pub object_bytes: u64,
    /// File lists of .debs that are gone.
    pub file_lists: u64,
    /// Other files of upstreams that no distribution has any more.
    pub extras: u64,
}

/// Since when the oldest of the pool files that nothing refers to is, in Unix seconds. There while nobody has opened the
/// tables to write since that was noted.
pub(super) const UNREFERENCED: &str = "unreferenced";

impl Database {
    /// The earliest time at which something ceased to refer to a pool file, in Unix seconds, `i64::MAX` if all are
    /// referred to; none if the tables must be asked.
    #[must_use]
    pub fn noted_unreferenced(&self) -> Option<i64> {
        let text = fsio::read_if_there(&self.directory.join(UNREFERENCED), 100).ok()??;
        std::str::from_utf8(&text).ok()?.strip_suffix('\n')?.parse().ok()
    }
}

impl WriteGuard {
    /// Notes what [`Database::noted_unreferenced`] tells, to spare commands that change nothing the opening of the tables.
    /// To be called when nothing more is changed with this store.
    ///
    /// # Errors
    /// The tables cannot be read, or the note not be written.
    pub fn note_unreferenced(&self, store: &Store) -> Result<()> {
        let since = store.tables().unreferenced_rows()?.into_values().min();
        let text = format!("{}\n", since.unwrap_or(i64::MAX));
        let directory = self.database().directory();
        write_unsynced(directory, &directory.join(UNREFERENCED), &[text.as_bytes()])
    }
}

impl Store {
    /// Removes the objects that no head, no published record and no journal line since `keep_since` names, and the file
    /// lists of .debs that the pool no longer has. `now` and `keep_since` are Unix seconds; the objects of the last
    /// minutes' states stay in any case, for readers that hold one. Nothing is removed while a published record cannot
    /// be read, as nobody knows what it keeps. Reads every kept root, so it is not for every command.
    ///
    /// # Errors
    /// A kept root is damaged: then nothing is removed. Or a file cannot be removed.
    pub fn collect_objects(&self, now: i64, keep_since: i64) -> Result<Collected> {
        let old = now.saturating_sub(SAFETY_SECONDS);
        let mut collected = Collected::default();
        let Some(kept) = self.kept_objects(keep_since.min(old))? else {
            return Ok(collected);
        };
        sweep(self.objects().directory(), old, &kept, |size| {
            collected.objects += 1;
            collected.object_bytes += size;
        })?;
        tables::remove_put_aside(self.directory(), keep_since.min(now.saturating_sub(ASIDE_SECONDS)))?;
        let debs = self.tables().pool_digests()?;
        collected.file_lists = FileLists::at(self.directory()).sweep(old, &debs)?;
        match extras::kept(self.directory()) {
            Err(Error::Damaged { .. } | Error::Codec { .. }) => {}
            kept => {
                let old = now.saturating_sub(EXTRAS_SAFETY_SECONDS);
                sweep(&extras::files(self.directory()), old, &kept?, |_| collected.extras += 1)?;
            }
        }
        Ok(collected)
    }

    /// Begins the grace time of all files to which nothing refers anew, at `now` in Unix seconds: for when what named
    /// them was on show until now.
    ///
    /// # Errors
    /// The tables cannot be read or written.
    pub fn begin_grace_anew(&self, now: i64) -> Result<()> {
        for (path, PoolRecord { content, .. }) in self.unreferenced(now)? {
            self.tables().announce(&PoolFile { path, content }, now)?;
        }
        self.tables().flush()
    }

    /// The names of all objects to keep; None if that cannot be known today.
    fn kept_objects(&self, keep_since: i64) -> Result<Option<BTreeSet<Sha256>>> {
        let mut needed: BTreeSet<RootId> = self.all_roots();
        for path in files_in(&records::published_directory(self.directory()))? {
            match records::read_published_at(&path.path()) {
                Err(Error::Damaged { .. } | Error::Codec { .. }) => return Ok(None),
                published => needed.extend(published?.into_iter().flat_map(|published| published.keeps)),
            }
        }
        let mut wanted: BTreeSet<RootId> = BTreeSet::new();
        self.journal().read(&Position::origin(), |_, line| {
            if line.provenance.unix_seconds >= keep_since {
                wanted.extend(
                    line.heads
                        .values()
                        .flat_map(|change| [change.old, change.new])
                        .flatten(),
                );
            }
            Ok(())
        })?;
        let mut kept = BTreeSet::new();
        for root in needed.union(&wanted) {
            // an old state may be gone since a collection that kept less
            if !needed.contains(root) && !self.objects().path(&root.0).exists() {
                continue;
            }
            kept.insert(root.0);
            kept.extend(self.objects().root(*root)?.blocks().iter().map(|at| at.block.0));
        }
        Ok(Some(kept))
    }
}

/// What is in a directory that may be missing.
pub(super) fn files_in(directory: &Path) -> Result<Vec<DirEntry>> {
    match fs::read_dir(directory)
        .and_then(Iterator::collect)
        .at("read the directory", directory)
    {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        other => Ok(other?),
    }
}

/// Removes the files below `top` that were last written before `old` and are not kept. A name is two digits of a
/// SHA-256 as a directory, and the rest in it; anything else there is a temporary file that a crash left.
fn sweep(top: &Path, old: i64, kept: &BTreeSet<Sha256>, mut removed: impl FnMut(u64)) -> Result<()> {
    for shard in files_in(top)? {
        let path = shard.path();
        if !path.is_dir() {
            if modified(&shard)?.0 < old {
                fsio::remove_if_there(&path)?;
            }
            continue;
        }
        for file in files_in(&path)? {
            let name = [shard.file_name(), file.file_name()].map(|part| part.to_string_lossy().into_owned());
            let is_kept = name.concat().parse().is_ok_and(|name: Sha256| kept.contains(&name));
            let (time, size) = modified(&file)?;
            if !is_kept && time < old {
                fsio::remove_if_there(&file.path())?;
                removed(size);
            }
        }
    }
    Ok(())
}

fn modified(file: &DirEntry) -> Result<(i64, u64)> {
    let metadata = file.metadata().at("read", &file.path())?;
    Ok((metadata.mtime(), metadata.len()))
}
