//! What is known of the published state of a distribution: enough to tell what a new state shares with it, and to keep
//! what clients of earlier states may still ask for. The store keeps it as opaque bytes; one that is lost or cannot be
//! read costs work, not correctness: everything is then written anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Error;
use super::parts::Part;
use super::pdiff::PatchHistory;
use super::tree::{MAX_RELEASE_BYTES, RELEASE_NAMES};
use crate::conf::distribution::Distribution;
use crate::fsio;
use crate::model::{ArchivePath, FileDigests, IndexId, Sha256};
use crate::store::{RootId, Snapshot};

/// Raised whenever the meaning of a record changes.
const FORMAT: u32 = 1;

/// The published state of a distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    format: u32,
    /// How many states were published before this one.
    pub state: u64,
    /// When, in Unix seconds.
    pub published_at: i64,
    /// Until when clients take it, in Unix seconds; None: for ever.
    pub valid_until: Option<i64>,
    /// The SHA-256 of Release.
    pub release: Sha256,
    /// The heads that were published. An index that had none was published empty.
    pub heads: BTreeMap<IndexId, RootId>,
    /// All files that Release lists, those that only belong to one of them, Release itself and its signatures, by their path below the distribution.
    pub files: BTreeMap<ArchivePath, PublishedFile>,
    /// What tells the files of upstreams among them from others; None if there are none.
    #[serde(default)]
    pub extras: Option<Sha256>,
    /// Symbolic links below the distribution.
    pub links: BTreeSet<ArchivePath>,
    /// The Contents indexes by the path of their plain form.
    pub contents: BTreeMap<ArchivePath, DerivedContents>,
    /// The files below by-hash directories.
    pub by_hash: BTreeMap<ArchivePath, LastUse>,
    /// The patches of indexes by the path of their plain form; of those that have none, nothing.
    #[serde(default)]
    pub patches: BTreeMap<ArchivePath, PatchHistory>,
}

/// One published file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedFile {
    /// Its size and digests.
    pub content: FileDigests,
    /// The index that it holds; None for an empty index and for files that are no index.
    pub root: Option<RootId>,
    /// Whether it is a file; a plain form may just be listed.
    pub on_disk: bool,
    /// What a compressed form is put together from.
    pub parts: Vec<Part>,
}

/// A Contents index and what it was derived from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivedContents {
    /// The indexes of packages, with their roots then.
    pub packages: Vec<(IndexId, Option<RootId>)>,
    /// The index of paths; None if there is no path.
    pub root: Option<RootId>,
}

/// Until when a by-hash file was current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUse {
    /// The last state that listed its content.
    pub state: u64,
    /// When the first state without it was published, in Unix seconds; None as long as it is current.
    pub until: Option<i64>,
}

impl Published {
    /// The record of the state after `previous`, as yet without files.
    pub(super) fn new(previous: Option<&Self>, published_at: i64, release: &str) -> Self {
        Self {
            format: FORMAT,
            state: previous.map_or(0, |previous| previous.state.saturating_add(1)),
            published_at,
            valid_until: None,
            release: Sha256::of(release.as_bytes()),
            heads: BTreeMap::new(),
            files: BTreeMap::new(),
            extras: None,
            links: BTreeSet::new(),
            contents: BTreeMap::new(),
            by_hash: BTreeMap::new(),
            patches: BTreeMap::new(),
        }
    }

    /// Reads a record; None if it is damaged or of another version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        (record.format == FORMAT).then_some(record)
    }

    /// The bytes that the store keeps.
    ///
    /// # Errors
    /// [`Error::Record`], which would be a fault of this program.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|source| Error::Record { source })
    }

    /// Whether this is the state that is live in the distribution's directory, told by Release and its signatures. It is
    /// not after a crash between the swap and the record, nor when somebody removed or replaced them. A directory that
    /// is not there at all shows nothing wrong to anybody: somebody took it away, or `--outdir` names another place.
    fn is_live(&self, directory: &Path) -> bool {
        if !directory.exists() {
            return true;
        }
        let mut released = self
            .files
            .iter()
            .filter(|(path, _)| RELEASE_NAMES.contains(&path.as_str()));
        released.all(|(path, file)| {
            // what cannot be read is owed too: publishing says why
            let found = fsio::read_if_there(&path.to_fs_path(directory), MAX_RELEASE_BYTES);
            found.is_ok_and(|found| found.is_some_and(|found| Sha256::of(&found) == file.content.digests.sha256))
        })
    }

    /// The roots that must be kept for as long as this record is.
    #[must_use]
    pub fn keeps(&self) -> Vec<RootId> {
        let mut roots: BTreeSet<RootId> = self.heads.values().copied().collect();
        for contents in self.contents.values() {
            roots.extend(contents.root);
            roots.extend(contents.packages.iter().filter_map(|(_, root)| *root));
        }
        roots.into_iter().collect()
    }
}

impl PublishedFile {
    /// A file that is no index.
    pub(super) fn plain(content: FileDigests) -> Self {
        Self {
            content,
            root: None,
            on_disk: true,
            parts: Vec::new(),
        }
    }
}

impl LastUse {
    /// What is kept of a by-hash file that is not of the new state; None if its time is over.
    pub(super) fn kept(self, state: u64, now: i64, retain_seconds: i64) -> Option<Self> {
        let until = self.until.unwrap_or(now);
        let is_recent = state.saturating_sub(self.state) < KEPT_STATES || until.saturating_add(retain_seconds) > now;
        let until = Some(until);
        is_recent.then_some(Self { until, ..self })
    }
}

/// How many states' by-hash files stay however old they are, the newest included.
const KEPT_STATES: u64 = 3;

/// The heads of a distribution's indexes.
pub(super) fn heads_of(distribution: &Distribution, snapshot: &Snapshot) -> BTreeMap<IndexId, RootId> {
    distribution
        .indexes()
        .into_iter()
        .filter_map(|index| snapshot.head(&index).map(|root| (index, root)))
        .collect()
}

/// Whether the archive's state, with the files of upstreams that `extras` tells, differs from what clients see of this
/// distribution below `dists`. One that never had anything is not owed until it is asked for.
#[must_use]
pub fn needs_publishing(
    snapshot: &Snapshot,
    distribution: &Distribution,
    extras: Option<Sha256>,
    published: Option<&Published>,
    dists: &Path,
) -> bool {
    let heads = heads_of(distribution, snapshot);
    match published {
        _ if !distribution.export => false,
        None => !heads.is_empty() || extras.is_some(),
        Some(published) => {
            published.heads != heads
                || published.extras != extras
                || !published.is_live(&dists.join(distribution.codename.as_str()))
        }
    }
}
