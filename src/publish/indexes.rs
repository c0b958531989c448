//! Writes all index files of a new tree: those that did not change are taken over, the others are written, several at a
//! time.

use std::collections::{BTreeMap, BTreeSet};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::compress::{IndexText, Previous, digest_text, write_index};
use super::contents::{Deriver, PATH_BLOCK_LEVEL, check_missing};
use super::layout::{IndexFile, Layout, Source};
use super::record::{DerivedContents, Published, PublishedFile};
use super::tree::Tree;
use super::{Error, digests_of};
use crate::conf::distribution::Compression;
use crate::fsio;
use crate::model::{ArchivePath, DigestKind, IndexId};
use crate::store::Snapshot;
use crate::store::blocks::{BlockId, Root, RootId, cut_level, group};

/// A gzip or zstd part has 256 packages on average: 1.4% larger than in one piece. An xz part has 1,024.
const PACKAGES_PART_LEVEL: u32 = 8;

/// One form of an index.
struct Target {
    form: Compression,
    path: ArchivePath,
    /// False for a plain form that Release lists by its digests alone.
    on_disk: bool,
}

/// Writes index files into a new tree.
pub(super) struct IndexWriter<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) deriver: Deriver<'a>,
    pub(super) tree: &'a Tree,
    pub(super) previous: Option<&'a Published>,
    pub(super) digests: &'a [DigestKind],
    pub(super) in_one_piece: bool,
}

type Files = Vec<(ArchivePath, PublishedFile)>;
/// Contents indexes by the path of their plain form.
type ContentsByPath = BTreeMap<ArchivePath, DerivedContents>;

impl IndexWriter<'_> {
    /// All files of the layout in the order of Release, and the Contents indexes that were derived for them.
    ///
    /// # Errors
    /// [`Error::FileListsMissing`] with all that are missing for any of them, so that the caller has to come back once.
    pub(super) fn write_all(&self, layout: &Layout) -> Result<(Files, ContentsByPath), Error> {
        let made: Vec<_> = layout.files.par_iter().map(|file| self.write(file)).collect();
        let (mut files, mut contents) = (Files::new(), ContentsByPath::new());
        let mut missing = BTreeSet::new();
        for (made, file) in made.into_iter().zip(&layout.files) {
            match made {
                Ok((forms, derived)) => {
                    files.extend(forms);
                    contents.extend(derived.map(|derived| (file.path.clone(), derived)));
                }
                Err(Error::FileListsMissing { packages }) => missing.extend(packages),
                Err(error) => return Err(error),
            }
        }
        check_missing(missing)?;
        Ok((files, contents))
    }

    fn write(&self, file: &IndexFile) -> Result<(Files, Option<DerivedContents>), Error> {
        match &file.source {
            Source::Text(text) => Ok((self.write_text(file, text.as_bytes())?, None)),
            Source::Packages(index) => {
                let root = self.snapshot.head(index);
                Ok((self.write_forms(file, root, PACKAGES_PART_LEVEL)?, None))
            }
            Source::Contents(indexes) => {
                let with_root = |index: &IndexId| (index.clone(), self.snapshot.head(index));
                let packages = indexes.iter().map(with_root).collect();
                let previous = self.previous.and_then(|previous| previous.contents.get(&file.path));
                let derived = self.deriver.derive(packages, previous)?;
                let forms = self.write_forms(file, derived.root, PATH_BLOCK_LEVEL + 1)?;
                Ok((forms, Some(derived)))
            }
        }
    }

    fn write_text(&self, file: &IndexFile, text: &[u8]) -> Result<Files, Error> {
        let content = digests_of(text, self.digests);
        let is_known = self
            .published(&file.path)
            .is_some_and(|old| old.content.digests.sha256 == content.digests.sha256);
        if !is_known || !self.tree.reuse(&file.path, &content)? {
            fsio::write_new(&self.tree.place(&file.path)?, text)?;
        }
        Ok(vec![(file.path.clone(), PublishedFile::plain(content))])
    }

    fn write_forms(&self, file: &IndexFile, root: Option<RootId>, part_level: u32) -> Result<Files, Error> {
        let objects = self.snapshot.objects();
        let blocks = objects.root_or_empty(root).map_err(Error::store)?;
        let read = |id: &BlockId| objects.block_text(id).map_err(Error::store);
        let index = IndexText {
            blocks: leveled_blocks(&blocks),
            // no cut is so deep
            part_level: if self.in_one_piece { u32::MAX } else { part_level },
            read: &read,
        };
        let mut forms = file.forms.clone();
        if !forms.contains(&Compression::Plain) {
            forms.insert(0, Compression::Plain);
        }
        forms
            .par_iter()
            .map(|form| {
                let target = Target {
                    form: *form,
                    path: file.path_of(*form)?,
                    on_disk: file.forms.contains(form),
                };
                let made = self.write_form(&index, root, &target)?;
                Ok((target.path, made))
            })
            .collect()
    }

    fn write_form(&self, index: &IndexText<'_>, root: Option<RootId>, target: &Target) -> Result<PublishedFile, Error> {
        let Target { form, path, on_disk } = target;
        let on_disk = *on_disk;
        let old = self.published(path);
        if let Some(old) = old.filter(|old| old.root == root && self.has_digests(old)) {
            let old = PublishedFile { on_disk, ..old.clone() };
            let is_wanted = !self.in_one_piece || old.parts.len() <= 1;
            if !on_disk || is_wanted && self.tree.reuse(path, &old.content)? {
                return Ok(old);
            }
        }
        let live = self.tree.live_path(path);
        if !on_disk {
            let content = digest_text(index, &live, self.digests)?;
            let parts = Vec::new();
            return Ok(PublishedFile {
                content,
                root,
                on_disk,
                parts,
            });
        }
        let previous = old.filter(|old| old.on_disk).map(|old| Previous {
            path: &live,
            parts: &old.parts,
        });
        let place = self.tree.place(path)?;
        let written = write_index(index, *form, previous.as_ref(), &place, self.digests)?;
        Ok(PublishedFile {
            content: written.content,
            root,
            on_disk,
            parts: written.parts,
        })
    }

    fn published(&self, path: &ArchivePath) -> Option<&PublishedFile> {
        self.previous?.files.get(path)
    }

    /// Whether the digests that Release is to have now were taken then.
    fn has_digests(&self, old: &PublishedFile) -> bool {
        self.digests.iter().all(|kind| old.content.digests.hex(*kind).is_some())
    }
}

/// The blocks of an index, each with the level of the cut before it.
fn leveled_blocks(root: &Root) -> Vec<(BlockId, u32)> {
    root.blocks()
        .iter()
        .map(|at| (at.block, cut_level(group(&at.first_key))))
        .collect()
}
