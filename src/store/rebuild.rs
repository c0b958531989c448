//! A database that was damaged: what is left of it, and the one that is built beside it and put in its place.
//!
//! What is built has the journal's whole lines, and one line more, which leads to the heads that were decided on. Its
//! tables are made from those heads. What is published is not taken along: all of it is published anew.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rayon::prelude::*;

use crate::fsio::lock::Lock;
use crate::fsio::{self, AtPath, Swapped};
use crate::model::ListedPackage;

use super::blocks::{CodecError, Item, ItemRef, RootId};
use super::dump::Dumped;
use super::error::{Error, Result};
use super::garbage::files_in;
use super::journal::{End, HeadChange, Heads, Journal, Provenance, State};
use super::keys::{self, HeadId};
use super::objects::Objects;
use super::tables::Tables;
use super::{Database, FORMAT, TABLES_PATIENCE, UPDATE_LOCK, check_format, tables};

const LOCKS: [&str; 3] = ["lock", UPDATE_LOCK, "sled.lock"];

/// What is left of a database.
#[derive(Debug)]
pub struct Remains {
    directory: PathBuf,
    objects: Objects,
    /// After the lines of the journal that are whole.
    kept: State,
    /// The last state that is known of.
    known: State,
    is_last: bool,
    faults: Vec<String>,
    broken: BTreeMap<HeadId, String>,
    _locks: Vec<Lock>,
}

impl Remains {
    /// Looks at all that a database holds of the present state, with every lock of it taken for as long as this lives.
    ///
    /// # Errors
    /// Another process has it in use; it is of another format or of reprepro; or it cannot be read at all.
    pub fn examine(directory: &Path, command: &str, patience: Duration) -> Result<Self> {
        let mut faults = Vec::new();
        match check_format(directory) {
            Err(error @ Error::Damaged { .. }) => faults.push(error.to_string()),
            Err(Error::NoDatabase { .. }) => faults.push("the file `version` is missing".to_owned()),
            other => other?,
        }
        fsio::create_dir_all(directory)?;
        let mut locks = vec![Lock::take(&directory.join("lock"), command, patience)?];
        locks.push(Lock::take(&directory.join(UPDATE_LOCK), command, patience)?);
        let reached = reached(directory, command)?;
        let journal = Journal::at(directory);
        let (kept, fault) = journal.whole_lines();
        faults.extend(fault.iter().map(ToString::to_string));
        let (mut known, mut is_last) = (kept.clone(), fault.is_none());
        if let Some(copied) = journal
            .checkpoint()
            .filter(|copied| copied.position.sequence > kept.position.sequence)
        {
            known = copied;
            is_last = matches!(journal.follow(&mut known), Ok(End::Whole(_) | End::Torn(_)));
        }
        let happened = known.position.sequence.max(reached);
        if let Err(error) = journal.must_reach(if is_last { &known } else { &kept }, happened) {
            is_last = false;
            if fault.is_none() {
                faults.push(error.to_string());
            }
        }
        let objects = Objects::at(directory);
        if happened == 0 && faults.is_empty() {
            let has_objects = !files_in(objects.directory())?.is_empty();
            let what = if has_objects {
                "its journal is lost"
            } else {
                "there is nothing in it"
            };
            faults.push(format!("`{}`: {what}", directory.display()));
        }
        is_last &= happened > 0;
        let broken = broken(&objects, &known.heads);
        Ok(Self {
            directory: directory.to_owned(),
            objects,
            kept,
            known,
            is_last,
            faults,
            broken,
            _locks: locks,
        })
    }

    /// What is wrong with it, a line each; nothing if it is as it should be.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let broken = self.broken.iter().map(|(head, problem)| format!("`{head}`: {problem}"));
        self.faults.iter().cloned().chain(broken).collect()
    }

    /// Whether the heads are those after the last change; otherwise there were later ones.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.is_last
    }

    /// The number of the change that the heads are of, 0 if none is known.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.known.position.sequence
    }

    /// How many changes the journal still tells of.
    #[must_use]
    pub fn kept_lines(&self) -> u64 {
        self.kept.position.sequence
    }

    /// When that change was made, in Unix seconds.
    #[must_use]
    pub fn unix_seconds(&self) -> i64 {
        self.known.unix_seconds
    }

    /// All heads that are known of.
    #[must_use]
    pub fn heads(&self) -> &Heads {
        &self.known.heads
    }

    /// Whether all objects of a head are there and whole.
    #[must_use]
    pub fn is_whole(&self, head: &HeadId) -> bool {
        self.known.heads.contains_key(head) && !self.broken.contains_key(head)
    }

    /// What the blocks of a head hold that can still be read, and in the place of each other block what `contents` has
    /// for it; with the number of items that are missing still. None if not even the root can be read.
    #[must_use]
    pub fn patch(&self, head: &HeadId, contents: &[Dumped]) -> Option<(Vec<Dumped>, u64)> {
        let root = self.objects.root(*self.known.heads.get(head)?).ok()?;
        let by_key: BTreeMap<Vec<u8>, &Dumped> = contents.iter().map(|dumped| (dumped.key(), dumped)).collect();
        let mut found = Vec::new();
        let mut missing = 0;
        let mut blocks = root.blocks().iter().peekable();
        while let Some(at) = blocks.next() {
            if let Ok(block) = self.objects.block(&at.block) {
                found.extend(block.items().filter_map(|item| read_item(head, item).ok()));
                continue;
            }
            let end = blocks.peek().map_or(Unbounded, |next| Excluded(&next.first_key));
            let before = found.len() as u64;
            let here = by_key.range::<Vec<u8>, _>((Included(&at.first_key), end));
            found.extend(here.map(|(_, dumped)| (*dumped).clone()));
            missing += u64::from(at.count).saturating_sub(found.len() as u64 - before);
        }
        Some((found, missing))
    }

    /// The tracked sources of a distribution that the tables know of, if they have reached the last change: they are
    /// made from the blocks, and so know what those said.
    #[must_use]
    pub fn tracks_in_tables(&self, head: &HeadId) -> Option<Vec<Dumped>> {
        if !matches!(head, HeadId::Tracks(_)) || self.sequence() == 0 {
            return None;
        }
        let lock = tables::lock(&self.directory, "recover", TABLES_PATIENCE).ok()?;
        let tables = Tables::open(&self.directory, &lock).ok()?;
        if tables.position().ok()? != Some(self.known.position) {
            return None;
        }
        let items = tables.items_of(head).ok()?;
        let tracks = items.iter().map(|(key, meta)| {
            let text = &[];
            read_item(head, ItemRef { key, meta, text })
        });
        tracks.collect::<Result<_, _>>().ok()
    }

    /// Begins a database in the directory `work`, which must be in the same file system; what is there goes.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(&self, work: &Path) -> Result<Rebuilt<'_>> {
        fsio::remove_tree(work)?;
        let objects = Objects::at(work);
        fsio::create_dir_all(objects.directory())?;
        fsio::write_new(&work.join("version"), format!("{FORMAT}\n").as_bytes())?;
        let (from, to) = (Journal::at(&self.directory), work.join("journal"));
        if self.kept.position.end > 0 {
            let file = File::open(from.path()).at("open", from.path())?;
            let mut target = OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&to)
                .at("create", &to)?;
            io::copy(&mut file.take(self.kept.position.end), &mut target).at("copy", from.path())?;
        }
        // what is damaged of these is noticed when it is read, and had from elsewhere
        for name in ["dumps", "filelists", "extras"] {
            link_tree(&self.directory.join(name), &work.join(name))?;
        }
        Ok(Rebuilt {
            remains: self,
            directory: work.to_owned(),
            objects,
            heads: Heads::new(),
        })
    }
}

/// The database that is built in the place of what is left.
#[derive(Debug)]
pub struct Rebuilt<'a> {
    remains: &'a Remains,
    directory: PathBuf,
    objects: Objects,
    heads: Heads,
}

impl Rebuilt<'_> {
    /// Takes a head over that is whole.
    ///
    /// # Errors
    /// Its objects cannot be read, or not be linked or copied.
    pub fn keep(&mut self, head: &HeadId) -> Result<()> {
        let Remains { objects, known, .. } = self.remains;
        let Some(root) = known.heads.get(head) else {
            return Ok(());
        };
        let blocks = objects
            .root(*root)?
            .blocks()
            .iter()
            .map(|at| at.block.0)
            .collect::<Vec<_>>();
        for name in blocks.into_iter().chain([root.0]) {
            let place = self.objects.path(&name);
            if !place.exists() {
                fsio::create_dir_all(fsio::parent(&place))?;
                fsio::link_or_copy(&objects.path(&name), &place)?;
            }
        }
        self.heads.insert(head.clone(), *root);
        Ok(())
    }

    /// Builds a head of what it is to hold, in any order; what is of another head is left out. Gives its root, which is
    /// the old one if it holds just what it held.
    ///
    /// # Errors
    /// An object cannot be written.
    pub fn put(&mut self, head: &HeadId, contents: &[Dumped]) -> Result<Option<RootId>> {
        let mut items = BTreeMap::new();
        for dumped in contents.iter().filter(|dumped| dumped.head() == *head) {
            let item = dumped.item()?;
            items.insert(item.key.clone(), item);
        }
        let root = self.objects.build_index(items.into_values().map(Ok))?;
        match root {
            Some(root) => drop(self.heads.insert(head.clone(), root)),
            None => drop(self.heads.remove(head)),
        }
        Ok(root)
    }

    /// Writes the journal and the tables; durable at return.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn finish(&self, provenance: &Provenance) -> Result<()> {
        self.objects.sync()?;
        let journal = Journal::at(&self.directory);
        let (state, _) = journal.state()?;
        let mut changes = BTreeMap::new();
        for head in state.heads.keys().chain(self.heads.keys()) {
            let (old, new) = (state.heads.get(head).copied(), self.heads.get(head).copied());
            if old != new {
                changes.insert(head.clone(), HeadChange { old, new });
            }
        }
        if !changes.is_empty() {
            journal.append(&state, provenance, changes)?;
        }
        let guard = Database::at(&self.directory)?.lock(&provenance.command, Duration::ZERO)?;
        drop(guard.open()?);
        Ok(fsio::sync_filesystem(&self.directory)?)
    }

    /// Puts the new database into the place of the old one, which is kept as `aside`. Whoever waits for a lock of the
    /// old one gets it in the new one: they are the same files.
    ///
    /// # Errors
    /// The directories cannot be renamed.
    pub fn put_in_place(self, aside: &Path) -> Result<()> {
        let old = &self.remains.directory;
        for name in LOCKS {
            let (from, to) = (old.join(name), self.directory.join(name));
            if from.exists() {
                fsio::remove_if_there(&to)?;
                fs::hard_link(&from, &to).at("link", &from)?;
            }
        }
        match fsio::swap_directory(&self.directory, old)? {
            Swapped::Placed => {}
            Swapped::Exchanged => fs::rename(&self.directory, aside).at("rename", &self.directory)?,
            Swapped::NotPossible => {
                fs::rename(old, aside).at("rename", old)?;
                fs::rename(&self.directory, old).at("rename", &self.directory)?;
            }
        }
        Ok(fsio::sync_dir(fsio::parent(old))?)
    }
}

impl Dumped {
    /// What it is in.
    #[must_use]
    pub fn head(&self) -> HeadId {
        match self {
            Self::Package(index, _) => HeadId::Index(index.clone()),
            Self::Track(codename, _) => HeadId::Tracks(codename.clone()),
        }
    }

    fn key(&self) -> Vec<u8> {
        match self {
            Self::Package(_, package) => keys::item_key(package.entry.name.as_str(), &package.entry.version),
            Self::Track(_, track) => keys::item_key(track.source.as_str(), &track.version),
        }
    }

    fn item(&self) -> Result<Item> {
        let key = self.key();
        Ok(match self {
            Self::Package(_, ListedPackage { entry, text }) => Item {
                key,
                meta: keys::encode_entry(entry)?,
                text: text.clone(),
            },
            Self::Track(_, track) => Item {
                key,
                meta: keys::encode_track(track)?,
                text: Vec::new(),
            },
        })
    }
}

fn read_item(head: &HeadId, item: ItemRef<'_>) -> Result<Dumped, CodecError> {
    Ok(match head {
        HeadId::Index(index) => {
            let entry = keys::decode_entry(item.key, item.meta)?;
            let text = item.text.to_vec();
            Dumped::Package(index.clone(), ListedPackage { entry, text })
        }
        HeadId::Tracks(codename) => Dumped::Track(codename.clone(), keys::decode_track(item.key, item.meta)?),
    })
}

/// Gives all files below a directory, which may be missing, a second name below another.
fn link_tree(from: &Path, to: &Path) -> Result<()> {
    let files = files_in(from)?;
    if !files.is_empty() {
        fsio::create_dir_all(to)?;
    }
    for file in files {
        let kind = file.file_type().at("read", &file.path())?;
        let (from, to) = (file.path(), to.join(file.file_name()));
        if kind.is_dir() {
            link_tree(&from, &to)?;
        } else if kind.is_file() {
            fsio::link_or_copy(&from, &to)?;
        }
    }
    Ok(())
}

/// The change that the tables have reached; 0 where they cannot say.
fn reached(directory: &Path, command: &str) -> Result<u64> {
    if !tables::exist(directory) {
        return Ok(0);
    }
    let lock = tables::lock(directory, command, TABLES_PATIENCE)?;
    Ok(super::reached(directory, &lock).map_or(0, |position| position.sequence))
}

/// The heads that have an object which is gone or damaged, with what is wrong.
fn broken(objects: &Objects, heads: &Heads) -> BTreeMap<HeadId, String> {
    let problem = |root: RootId| -> Result<()> {
        let root = objects.root(root)?;
        let blocks = root.blocks();
        blocks.par_iter().try_for_each(|at| objects.verify_block(&at.block))
    };
    let broken = |(head, root): (&HeadId, &RootId)| Some((head.clone(), with_causes(&problem(*root).err()?)));
    heads.iter().filter_map(broken).collect()
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
