//! One command's changes, from the first `put` to the commit.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

use crate::fsio;
use crate::model::{
    ArchivePath, Codename, Entry, IndexId, ListedPackage, PackageName, PoolFile, Sha256, SourceName, Track, Version,
    stanza,
};

use super::blocks::Item;
use super::error::{Error, Result};
use super::journal::{HeadChange, Provenance};
use super::keys::{self, HeadId};
use super::objects::Objects;
use super::open::Store;

/// So many changes have brought so many files that their sync takes long.
const MANY_EDITS: usize = 256;

enum Pending<'a> {
    Package(Box<ListedPackage>),
    Borrowed(&'a ListedPackage),
    Late(&'a Entry, LateText<'a>),
    Track(Box<Track>),
}

/// Makes the text of a package when its block is made.
pub type LateText<'a> = Box<dyn Fn() -> std::result::Result<Vec<u8>, fsio::Error> + 'a>;

/// All changes of one command; nothing happens before [`WriteTxn::commit`].
pub struct WriteTxn<'a> {
    store: &'a Store,
    edits: BTreeMap<HeadId, BTreeMap<Vec<u8>, Option<Pending<'a>>>>,
    /// The content of each file that was settled.
    files: BTreeMap<ArchivePath, Sha256>,
    /// The heads of what was settled.
    heads: BTreeMap<HeadId, HeadChange>,
}

impl std::fmt::Debug for WriteTxn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = self.edits.iter().map(|(head, edits)| (head.to_string(), edits.len()));
        f.debug_map().entries(counts).finish()
    }
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its number in the journal; none if nothing was to be changed.
    pub sequence: Option<u64>,
    /// The indexes that are not what they were.
    pub changed: Vec<IndexId>,
}

impl<'a> WriteTxn<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            edits: BTreeMap::new(),
            files: BTreeMap::new(),
            heads: BTreeMap::new(),
        }
    }

    fn stage(&mut self, head: HeadId, key: Vec<u8>, edit: Option<Pending<'a>>) {
        self.edits.entry(head).or_default().insert(key, edit);
    }

    /// Lists a package in an index, in the place of the same version that may be there.
    pub fn put(&mut self, index: &IndexId, package: ListedPackage) {
        self.put_pending(index, &package.entry.clone(), Pending::Package(Box::new(package)));
    }

    /// The same with a package that is not copied: there may be tens of thousands.
    pub fn put_borrowed(&mut self, index: &IndexId, package: &'a ListedPackage) {
        self.put_pending(index, &package.entry, Pending::Borrowed(package));
    }

    /// The same with a text that is made as late as can be.
    pub fn put_late(&mut self, index: &IndexId, entry: &'a Entry, text: LateText<'a>) {
        self.put_pending(index, entry, Pending::Late(entry, text));
    }

    fn put_pending(&mut self, index: &IndexId, entry: &Entry, pending: Pending<'a>) {
        let key = keys::item_key(entry.name.as_str(), &entry.version);
        self.stage(HeadId::Index(index.clone()), key, Some(pending));
    }

    /// Takes a package out of an index; it may be gone already.
    pub fn remove(&mut self, index: &IndexId, name: &PackageName, version: &Version) {
        let key = keys::item_key(name.as_str(), version);
        self.stage(HeadId::Index(index.clone()), key, None);
    }

    /// Keeps a tracked source of a distribution, in the place of the same version that may be there.
    pub fn put_track(&mut self, codename: &Codename, track: Track) {
        let key = keys::item_key(track.source.as_str(), &track.version);
        self.stage(
            HeadId::Tracks(codename.clone()),
            key,
            Some(Pending::Track(Box::new(track))),
        );
    }

    /// Drops a tracked source of a distribution; it may be gone already.
    pub fn remove_track(&mut self, codename: &Codename, source: &SourceName, version: &Version) {
        let key = keys::item_key(source.as_str(), version);
        self.stage(HeadId::Tracks(codename.clone()), key, None);
    }

    /// Checks the changes so far and writes their objects, so that they need not wait in memory. Nothing refers to these
    /// objects before the commit; without one they are garbage.
    ///
    /// # Errors
    /// As [`WriteTxn::commit`]; there must be no commit then.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.check()?;
        self.write()
    }

    fn check(&mut self) -> Result<()> {
        let pending = self.edits.values().flat_map(BTreeMap::values).flatten();
        for pending in pending {
            pending.check(self.store, &mut self.files)?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        for (head, edits) in std::mem::take(&mut self.edits) {
            let old = self.store.head(&head);
            let change = self.heads.entry(head).or_insert(HeadChange { old, new: old });
            let objects = self.store.objects();
            change.new = objects.edit_index(change.new, &edits, |key, pending| pending.item(key))?;
        }
        Ok(())
    }

    /// Does it all: at return the changes survive a crash. If nothing changes, nothing is written.
    ///
    /// Objects come first, in one sync; then the journal line, which is the commit; then the tables follow.
    ///
    /// # Errors
    /// Nothing has happened, but for [`Error::AfterCommit`]: the change is done then, and the next command that opens
    /// the store completes it.
    pub fn commit(mut self, provenance: &Provenance) -> Result<Commit> {
        self.check()?;
        self.files = BTreeMap::new();
        let store = self.store;
        let objects = store.objects();
        let is_large = self.edits.values().map(BTreeMap::len).sum::<usize>() >= MANY_EDITS;
        thread::scope(|scope| {
            // what came into the pool goes to the disk while the blocks are made; the kernel tells of a failed write once
            let early = is_large.then(|| scope.spawn(|| sync_objects(objects)));
            self.write()?;
            let synced = early.map(ScopedJoinHandle::join);
            synced
                .unwrap_or(Ok(Ok(())))
                .unwrap_or_else(|panic| resume_unwind(panic))
        })?;
        let mut heads = self.heads;
        heads.retain(|_, change| change.new != change.old);
        if heads.is_empty() {
            return Ok(Commit {
                sequence: None,
                changed: Vec::new(),
            });
        }
        let index = |head: &HeadId| match head {
            HeadId::Index(index) => Some(index.clone()),
            HeadId::Tracks(_) => None,
        };
        let changed = heads.keys().filter_map(index).collect();
        sync_objects(objects)?;
        let sequence = store.append(provenance, heads)?;
        Ok(Commit {
            sequence: Some(sequence),
            changed,
        })
    }
}

fn sync_objects(objects: &Objects) -> Result<()> {
    fsio::create_dir_all(objects.directory())?;
    objects.sync()
}

impl Pending<'_> {
    /// Checks the text and the files of a package or a track.
    fn check(&self, store: &Store, files: &mut BTreeMap<ArchivePath, Sha256>) -> Result<()> {
        match self {
            Self::Package(package) => check_package(store, package, files),
            Self::Borrowed(package) => check_package(store, package, files),
            Self::Late(entry, _) => entry.files.iter().try_for_each(|file| check_file(store, file, files)),
            Self::Track(track) => {
                let mut tracked = track.files.iter().map(|tracked| &tracked.file);
                tracked.try_for_each(|file| check_file(store, file, files))
            }
        }
    }

    /// The item of a package or a track, made when its block is: a first mirror has tens of thousands.
    fn item(&self, key: &[u8]) -> Result<Cow<'_, Item>> {
        let (meta, text) = match self {
            Self::Package(package) => (keys::encode_entry(&package.entry)?, package.text.clone()),
            Self::Borrowed(package) => (keys::encode_entry(&package.entry)?, package.text.clone()),
            Self::Late(entry, text) => {
                let text = text()?;
                check_text(entry, &text)?;
                (keys::encode_entry(entry)?, text)
            }
            Self::Track(track) => (keys::encode_track(track)?, Vec::new()),
        };
        let key = key.to_vec();
        Ok(Cow::Owned(Item { key, meta, text }))
    }
}

fn check_package(
    store: &Store,
    ListedPackage { entry, text }: &ListedPackage,
    files: &mut BTreeMap<ArchivePath, Sha256>,
) -> Result<()> {
    check_text(entry, text)?;
    entry.files.iter().try_for_each(|file| check_file(store, file, files))
}

fn check_text(entry: &Entry, text: &[u8]) -> Result<()> {
    let Some(problem) = text_problem(text) else {
        return Ok(());
    };
    let package = format!("{} {}", entry.name, entry.version);
    Err(Error::BadText { package, problem })
}

/// A pool file has one content, in this change and with all that is there.
fn check_file(store: &Store, file: &PoolFile, files: &mut BTreeMap<ArchivePath, Sha256>) -> Result<()> {
    let given = file.content.digests.sha256;
    let known = *files.entry(file.path.clone()).or_insert(given);
    if known != given {
        return Err(Error::Conflict {
            path: file.path.clone(),
            known: known.to_string(),
            given: given.to_string(),
        });
    }
    store.tables().check_content(file)
}

/// Why a text cannot be a stanza among others.
fn text_problem(text: &[u8]) -> Option<&'static str> {
    if text.len() > stanza::MAX_STANZA_BYTES {
        return Some("it is too long");
    }
    if text.starts_with(b"\n") {
        return Some("it must not start with an empty line");
    }
    match memchr::memmem::find(text, b"\n\n") {
        Some(at) if at + 2 == text.len() => None,
        Some(_) => Some("it must not have an empty line in it"),
        None => Some("it must end with an empty line"),
    }
}
