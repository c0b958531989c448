//! Files of upstreams that are published as they are: translations, catalogues, the installer. What a distribution has
//! of them is in a record that the store keeps as opaque bytes; their content is in files that the caller names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Error;
use super::record::{Published, PublishedFile};
use super::tree::{Check, Tree};
use crate::fsio;
use crate::model::{ArchivePath, Component, FileDigests, Sha256};

/// Raised whenever the meaning of a record changes.
const FORMAT: u32 = 1;

/// What a distribution has of such files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extras {
    format: u32,
    /// By the path of the unpacked form, below the distribution's directory.
    pub made: BTreeMap<ArchivePath, MadeExtra>,
}

/// One of them, in its forms, and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeExtra {
    /// The component that it is of.
    pub component: Component,
    /// What tells what it was made of from other states of that.
    pub identity: String,
    /// The files that it was merged from, to be merged anew when one of them changes.
    pub inputs: BTreeSet<Sha256>,
    /// Its forms, with the files that only belong to it; none if no upstream had it.
    pub files: Vec<ExtraFile>,
}

/// One published file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraFile {
    /// Its path below the distribution's directory.
    pub path: ArchivePath,
    /// Its size and digests.
    pub content: FileDigests,
    /// Whether it is a file; an unpacked form may just be listed in Release.
    pub on_disk: bool,
    /// Whether Release lists it.
    pub is_listed: bool,
}

impl Default for Extras {
    fn default() -> Self {
        Self {
            format: FORMAT,
            made: BTreeMap::new(),
        }
    }
}

impl Extras {
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

    /// The files that must be kept for as long as this record is.
    #[must_use]
    pub fn keeps(&self) -> Vec<Sha256> {
        let kept: BTreeSet<Sha256> = self.made.values().flat_map(MadeExtra::keeps).collect();
        kept.into_iter().collect()
    }
}

impl MadeExtra {
    /// The files that it needs.
    pub fn keeps(&self) -> impl Iterator<Item = Sha256> {
        let files = self.files.iter().filter(|file| file.on_disk);
        let published = files.map(|file| file.content.digests.sha256);
        published.chain(self.inputs.iter().copied())
    }
}

/// A file that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraToPublish {
    /// What it is.
    pub file: ExtraFile,
    /// Where its content is, where that is to be a file.
    pub place: Option<PathBuf>,
}

/// What tells these files from others; None if there are none.
#[must_use]
pub fn identity_of(extras: &[ExtraToPublish]) -> Option<Sha256> {
    let mut text = String::new();
    for ExtraToPublish { file, .. } in extras {
        let ExtraFile {
            path,
            content,
            on_disk,
            is_listed,
        } = file;
        // writing to a String cannot fail
        let _ = writeln!(text, "{path} {} {on_disk} {is_listed}", content.digests.sha256);
    }
    (!extras.is_empty()).then(|| Sha256::of(text.as_bytes()))
}

/// Puts the files into a new tree, from the live one if it has them. Gives those that Release lists, and the others.
pub(super) fn place_all(
    tree: &Tree,
    previous: Option<&Published>,
    extras: &[ExtraToPublish],
) -> Result<[Vec<(ArchivePath, PublishedFile)>; 2], Error> {
    let (mut listed, mut unlisted) = (Vec::new(), Vec::new());
    for ExtraToPublish { file, place } in extras {
        if let Some(place) = place.as_ref().filter(|_| file.on_disk) {
            let old = previous.and_then(|previous| previous.files.get(&file.path));
            let is_known = old.is_some_and(|old| old.content.digests.sha256 == file.content.digests.sha256);
            if !is_known || !tree.reuse(&file.path, &file.content)? {
                if tree.check() == Check::Digest
                    && fsio::digest_file(place)?.digests.sha256 != file.content.digests.sha256
                {
                    return Err(Error::ExtraDamaged {
                        path: file.path.clone(),
                        place: place.clone(),
                    });
                }
                fsio::link_or_copy(place, &tree.place(&file.path)?)?;
            }
        }
        let published = PublishedFile {
            on_disk: file.on_disk,
            ..PublishedFile::plain(file.content)
        };
        let files = if file.is_listed { &mut listed } else { &mut unlisted };
        files.push((file.path.clone(), published));
    }
    Ok([listed, unlisted])
}
