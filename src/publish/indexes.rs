//! Writes all index files of a new tree: those that did not change are taken over, the others are written, several at a
//! time.

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::compress::{IndexText, Previous, digest_text, write_index};
use super::contents::PATH_BLOCK_LEVEL;
use super::layout::{IndexFile, Layout, Source};
use super::record::{Published, PublishedFile};
use super::tree::Tree;
use super::{Error, digests_of};
use crate::conf::distribution::Compression;
use crate::fsio;
use crate::model::{ArchivePath, DigestKind};
use crate::store::blocks::{BlockId, Root, RootId, cut_level, group};
use crate::store::objects::Objects;

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
    pub(super) objects: &'a Objects,
    pub(super) tree: &'a Tree,
    pub(super) previous: Option<&'a Published>,
    pub(super) digests: &'a [DigestKind],
}

impl IndexWriter<'_> {
    /// All files of the layout in the order of Release, `root_of` saying what is in each index.
    pub(super) fn write_all(
        &self,
        layout: &Layout,
        root_of: impl Fn(&IndexFile) -> Option<RootId> + Sync,
    ) -> Result<Vec<(ArchivePath, PublishedFile)>, Error> {
        let made: Vec<Vec<_>> = layout
            .files
            .par_iter()
            .map(|file| match &file.source {
                Source::Text(text) => self.write_text(file, text.as_bytes()),
                Source::Packages(_) => self.write_forms(file, root_of(file), PACKAGES_PART_LEVEL),
                Source::Contents(_) => self.write_forms(file, root_of(file), PATH_BLOCK_LEVEL + 1),
            })
            .collect::<Result<_, Error>>()?;
        Ok(made.into_iter().flatten().collect())
    }

    fn write_text(&self, file: &IndexFile, text: &[u8]) -> Result<Vec<(ArchivePath, PublishedFile)>, Error> {
        let content = digests_of(text, self.digests);
        let is_known = self
            .published(&file.path)
            .is_some_and(|old| old.content.digests.sha256 == content.digests.sha256);
        if !is_known || !self.tree.reuse(&file.path, &content)? {
            fsio::write_new(&self.tree.place(&file.path)?, text)?;
        }
        Ok(vec![(file.path.clone(), PublishedFile::plain(content))])
    }

    fn write_forms(
        &self,
        file: &IndexFile,
        root: Option<RootId>,
        part_level: u32,
    ) -> Result<Vec<(ArchivePath, PublishedFile)>, Error> {
        let blocks = self.objects.root_or_empty(root).map_err(Error::store)?;
        let read = |id: &BlockId| self.objects.block_text(id).map_err(Error::store);
        let index = IndexText {
            blocks: leveled_blocks(&blocks),
            part_level,
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
            if !on_disk || self.tree.reuse(path, &old.content)? {
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
