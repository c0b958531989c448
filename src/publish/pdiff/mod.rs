//! Patches between the states of an index, so that a client that has an earlier one need not fetch all of it:
//! `Packages.diff/Index` and beside it a gzipped ed script for each step (DebianRepository/Format, "indices diffs"). A
//! client fetches all steps from its state on and joins them; so each state costs one patch, made from the blocks that
//! changed.
//!
//! A patch is offered only if it was made here from recorded states. What cannot be had, or would not be worth its size,
//! begins a new history: clients then fetch the whole index, as they do when anything is wrong with a patch.

mod compare;
pub(super) mod lines;
mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::layout::{IndexFile, Layout, path};
use super::parts::Joined;
use super::record::{LastUse, Published, PublishedFile};
use super::tree::Tree;
use super::{Error, Request, digests_of};
use crate::fsio::{self, AtPath};
use crate::model::{ArchivePath, DigestKind, FileDigests};
use compare::{Comparison, compare};
use table::{kinds, name_of, render};

/// What the patches of an index are in.
const DIRECTORY_ENDING: &str = ".diff";
const TABLE_NAME: &str = "Index";

/// The patches of one index, and what the next one is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchHistory {
    /// How many lines each block of the published state has; none if that is not known.
    lines: Vec<u32>,
    /// One from each earlier state to the next, the last one to the published state.
    patches: Vec<Patch>,
    /// Files that clients may still ask for who read an earlier table.
    retired: Vec<RetiredPatch>,
    /// The time in the newest name, in Unix seconds: no two are the same.
    last_named: i64,
}

/// From one state of an index to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Patch {
    /// The time in its name, in Unix seconds.
    named: i64,
    /// The plain index that it is applied to.
    from: FileDigests,
    /// The ed script.
    script: FileDigests,
    /// The file: the script, gzipped.
    packed: FileDigests,
}

/// A patch that is no longer offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RetiredPatch {
    named: i64,
    packed: FileDigests,
    last_use: LastUse,
}

/// The patches of all indexes of a new tree.
#[derive(Debug, Default)]
pub(super) struct Patched {
    /// The tables, which Release lists.
    pub(super) tables: Vec<(ArchivePath, PublishedFile)>,
    /// The patches, which the tables list.
    pub(super) patches: Vec<(ArchivePath, PublishedFile)>,
    /// By the path of the plain index.
    pub(super) histories: BTreeMap<ArchivePath, PatchHistory>,
}

/// Writes patches into a new tree.
struct Patcher<'a> {
    request: &'a Request<'a>,
    tree: &'a Tree,
    previous: &'a Published,
    /// The number of the new state.
    state: u64,
}

/// The files that were made of the indexes, by path.
type Made<'a> = BTreeMap<&'a ArchivePath, &'a PublishedFile>;

/// Makes and takes over the patches of all indexes that are to have them; `made` are the indexes of the new tree. There
/// are none for a first state.
pub(super) fn patch_all(
    request: &Request<'_>,
    tree: &Tree,
    layout: &Layout,
    made: &[(ArchivePath, PublishedFile)],
) -> Result<Patched, Error> {
    let mut patched = Patched::default();
    let Some(previous) = request.previous else {
        return Ok(patched);
    };
    let patcher = Patcher {
        request,
        tree,
        previous,
        state: previous.state.saturating_add(1),
    };
    let made: Made<'_> = made.iter().map(|(path, file)| (path, file)).collect();
    for file in layout.files.iter().filter(|file| file.patches > 0) {
        let history = patcher.continue_history(file, &made)?;
        for (name, packed) in history.files() {
            let place = patch_path(&file.path, name)?;
            patched.patches.push((place, PublishedFile::plain(*packed)));
        }
        if let Some(current) = made.get(&file.path)
            && !history.patches.is_empty()
        {
            patched
                .tables
                .push(patcher.write_table(file, &history, &current.content)?);
        }
        patched.histories.insert(file.path.clone(), history);
    }
    Ok(patched)
}

impl Patcher<'_> {
    /// The history of an index as of the new state, its patches in the tree.
    fn continue_history(&self, file: &IndexFile, made: &Made<'_>) -> Result<PatchHistory, Error> {
        let (Some(current), Some(old)) = (made.get(&file.path), self.previous.files.get(&file.path)) else {
            return Ok(PatchHistory::default());
        };
        let recorded = self.previous.patches.get(&file.path).cloned().unwrap_or_default();
        let mut history = self.take_over(file, recorded)?;
        let smallest_bytes = smallest_form(file, made)?;
        if old.root != current.root {
            match self.compare(old, current, &history.lines) {
                Some(Comparison { hunks, lines: counts }) => {
                    history.lines = counts;
                    match lines::script_of(&hunks) {
                        Some(script) if script.is_empty() => {}
                        Some(script) => self.add(file, &mut history, (old.content, &script), smallest_bytes)?,
                        None => self.retire(&mut history, usize::MAX),
                    }
                }
                None => {
                    history.lines = Vec::new();
                    self.retire(&mut history, usize::MAX);
                }
            }
        }
        self.shorten(&mut history, (file.patches, smallest_bytes), current);
        Ok(history)
    }

    /// Takes the patches over that are whole. One that is missing takes those before it along.
    fn take_over(&self, file: &IndexFile, recorded: PatchHistory) -> Result<PatchHistory, Error> {
        let mut history = PatchHistory {
            patches: Vec::new(),
            retired: Vec::new(),
            ..recorded
        };
        for patch in recorded.retired {
            let last_use = patch
                .last_use
                .kept(self.state, self.request.now, self.request.retain_seconds);
            if let Some(last_use) = last_use
                && self.tree.reuse(&patch_path(&file.path, patch.named)?, &patch.packed)?
            {
                history.retired.push(RetiredPatch { last_use, ..patch });
            }
        }
        for patch in recorded.patches.into_iter().rev() {
            if !self.tree.reuse(&patch_path(&file.path, patch.named)?, &patch.packed)? {
                break;
            }
            history.patches.insert(0, patch);
        }
        Ok(history)
    }

    /// What became of the index; None where no patch can be made of it. That costs clients one whole index.
    fn compare(&self, old: &PublishedFile, current: &PublishedFile, known: &[u32]) -> Option<Comparison> {
        let objects = self.request.snapshot.objects();
        let root = |file: &PublishedFile| objects.root_or_empty(file.root).ok();
        let compared = compare(objects, &root(old)?, &root(current)?, known)?;
        let is_same_text = old.content.digests.sha256 == current.content.digests.sha256;
        (compared.hunks.is_empty() == is_same_text).then_some(compared)
    }

    /// Writes the patch from the state before, if it has no more than so many bytes; else no way leads to this state.
    fn add(
        &self,
        file: &IndexFile,
        history: &mut PatchHistory,
        (from, script): (FileDigests, &[u8]),
        most_bytes: u64,
    ) -> Result<(), Error> {
        let named = self.request.date.max(history.last_named.saturating_add(1));
        let path = patch_path(&file.path, named)?;
        let (packed, _) = Joined::Gzip
            .compress(script)
            .at("compress", &self.tree.live_path(&path))?;
        if packed.len() as u64 > most_bytes {
            self.retire(history, usize::MAX);
            return Ok(());
        }
        fsio::write_new(&self.tree.place(&path)?, &packed)?;
        let kinds: Vec<DigestKind> = kinds(self.digests()).collect();
        history.last_named = named;
        history.patches.push(Patch {
            named,
            from,
            script: digests_of(script, &kinds),
            packed: digests_of(&packed, &kinds),
        });
        Ok(())
    }

    /// Leaves what is worth it: no more patches and bytes than these, and no way that leads past the present state.
    fn shorten(&self, history: &mut PatchHistory, (most, most_bytes): (usize, u64), current: &PublishedFile) {
        let is_present = |patch: &Patch| patch.from.digests.sha256 == current.content.digests.sha256;
        let past = history.patches.iter().rposition(is_present);
        let mut first = past
            .map_or(0, |at| at + 1)
            .max(history.patches.len().saturating_sub(most));
        let mut bytes = 0_u64;
        for (at, patch) in history.patches.iter().enumerate().rev() {
            bytes = bytes.saturating_add(patch.packed.size_bytes);
            if bytes > most_bytes {
                first = first.max(at + 1);
                break;
            }
        }
        self.retire(history, first);
    }

    /// Offers the first patches no longer.
    fn retire(&self, history: &mut PatchHistory, count: usize) {
        let last_use = LastUse {
            state: self.state.saturating_sub(1),
            until: Some(self.request.now),
        };
        let count = count.min(history.patches.len());
        for Patch { named, packed, .. } in history.patches.drain(..count) {
            history.retired.push(RetiredPatch {
                named,
                packed,
                last_use,
            });
        }
    }

    fn digests(&self) -> &[DigestKind] {
        &self.request.distribution.digests
    }

    fn write_table(
        &self,
        file: &IndexFile,
        history: &PatchHistory,
        current: &FileDigests,
    ) -> Result<(ArchivePath, PublishedFile), Error> {
        let text = render(&history.patches, current, self.digests());
        let content = digests_of(text.as_bytes(), self.digests());
        let table = path(&format!("{}{DIRECTORY_ENDING}/{TABLE_NAME}", file.path))?;
        let old = self.previous.files.get(&table);
        let is_known = old.is_some_and(|old| old.content.digests.sha256 == content.digests.sha256);
        if !is_known || !self.tree.reuse(&table, &content)? {
            fsio::write_new(&self.tree.place(&table)?, text.as_bytes())?;
        }
        Ok((table, PublishedFile::plain(content)))
    }
}

impl PatchHistory {
    /// Its files: the time in the name, and what is in them.
    fn files(&self) -> impl Iterator<Item = (i64, &FileDigests)> {
        let retired = self.retired.iter().map(|patch| (patch.named, &patch.packed));
        let offered = self.patches.iter().map(|patch| (patch.named, &patch.packed));
        retired.chain(offered)
    }
}

/// The size of the smallest file that the index is published as: what a client without patches fetches.
fn smallest_form(file: &IndexFile, made: &Made<'_>) -> Result<u64, Error> {
    let mut smallest = u64::MAX;
    for form in &file.forms {
        let size = made.get(&file.path_of(*form)?).map(|form| form.content.size_bytes);
        smallest = smallest.min(size.unwrap_or(u64::MAX));
    }
    Ok(smallest)
}

fn patch_path(index: &ArchivePath, named: i64) -> Result<ArchivePath, Error> {
    path(&format!("{index}{DIRECTORY_ENDING}/{}.gz", name_of(named)))
}

/// Whether this is a table or a patch of one of these indexes, whoever made it: none that is not made anew is of use.
pub(super) fn is_patch_of(path: &ArchivePath, files: &BTreeMap<ArchivePath, PublishedFile>) -> bool {
    let index = path.directory().strip_suffix(DIRECTORY_ENDING).map(ArchivePath::new);
    let is_of_index = index.is_some_and(|index| index.is_ok_and(|index| files.contains_key(&index)));
    is_of_index && (path.file_name() == TABLE_NAME || table::is_name(path.file_name()))
}
