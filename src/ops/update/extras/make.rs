//! Makes what is published of a wanted file out of what came: as it is where one upstream has it, merged where several
//! do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::conf::update::ListForm;
use crate::fsio::AtPath;
use crate::mirror::{self, ExtraKind, extra_extension};
use crate::model::{ArchivePath, DigestKind, FileDigests, Hasher, Sha256};
use crate::publish::{ExtraFile, MadeExtra};
use crate::store::Database;

use super::super::super::{Result, with_causes};
use super::super::Error;
use super::{WantedExtra, merge};

/// As indexes of packages are packed.
const XZ_PRESET: u32 = 4;

/// A file of an upstream that is in the database.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) form: ListForm,
    pub(super) packed: FileDigests,
    pub(super) plain: FileDigests,
}

/// A merged file that is not in the database yet.
pub(super) type NewFile = (PathBuf, Sha256);

/// What is made of a wanted file: of what is held of its offers, the first first. `images` are the files that belong to
/// an installer's list. A merged file is written to `room`.
///
/// # Errors
/// What came cannot be merged, or a file cannot be written.
pub(super) fn make(
    (path, wanted): (&ArchivePath, &WantedExtra),
    held: &[Held],
    images: &BTreeMap<ArchivePath, FileDigests>,
    (database, room): (&Database, &Path),
) -> Result<(MadeExtra, Option<NewFile>)> {
    let mut made = MadeExtra {
        component: wanted.component.clone(),
        identity: wanted.identity(),
        inputs: BTreeSet::new(),
        files: Vec::new(),
    };
    let is_same = |other: &Held, first: &Held| other.plain.digests.sha256 == first.plain.digests.sha256;
    let mut new = None;
    if let Some(first) = held.first() {
        let (form, packed, plain) = if held.iter().all(|other| is_same(other, first)) {
            (first.form, first.packed, first.plain)
        } else {
            made.inputs = held.iter().map(|held| held.packed.digests.sha256).collect();
            let file = room.join(format!("merged-{}", Sha256::of(path.as_str().as_bytes())));
            let (packed, plain) = merge_to(&file, &wanted.kind, held, database).map_err(|source| Error::Extra {
                rule: rule_of(wanted),
                path: path.to_string(),
                problem: with_causes(&source),
            })?;
            new = Some((file, packed.digests.sha256));
            (ListForm::Xz, packed, plain)
        };
        made.files = forms(path, form, (packed, plain))?;
    }
    made.files.extend(images.iter().map(|(path, content)| ExtraFile {
        path: path.clone(),
        content: *content,
        on_disk: true,
        is_listed: false,
    }));
    Ok((made, new))
}

pub(super) fn rule_of(wanted: &WantedExtra) -> String {
    wanted
        .offers
        .first()
        .map(|offer| offer.rule.clone())
        .unwrap_or_default()
}

/// The packed form as a file, the plain one for Release alone.
fn forms(path: &ArchivePath, form: ListForm, (packed, plain): (FileDigests, FileDigests)) -> Result<Vec<ExtraFile>> {
    let file = |path: ArchivePath, content, on_disk| ExtraFile {
        path,
        content,
        on_disk,
        is_listed: true,
    };
    if form == ListForm::Plain {
        return Ok(vec![file(path.clone(), packed, true)]);
    }
    let packed_path = ArchivePath::new(&format!("{path}{}", extra_extension(form)));
    let packed_path = packed_path.map_err(|error| Error::Extra {
        rule: String::new(),
        path: path.to_string(),
        problem: error.to_string(),
    })?;
    Ok(vec![file(path.clone(), plain, false), file(packed_path, packed, true)])
}

/// Writes what several upstreams have together, packed. Gives the content packed and plain.
fn merge_to(
    file: &Path,
    kind: &ExtraKind,
    held: &[Held],
    database: &Database,
) -> io::Result<(FileDigests, FileDigests)> {
    let shape = merge::Shape::of(kind).ok_or_else(|| io::Error::other("files of this kind are not merged"))?;
    let sources = held
        .iter()
        .map(|held| mirror::open_unpacked(held.form, &database.extra_file(&held.packed.digests.sha256)))
        .collect::<mirror::Result<Vec<_>>>()
        .map_err(io::Error::other)?;
    let target = File::options().write(true).create(true).truncate(true).open(file);
    let target = Hashing::new(BufWriter::new(target.at("write", file).map_err(io::Error::other)?));
    let mut out = Hashing::new(liblzma::write::XzEncoder::new(target, XZ_PRESET));
    merge::merge(shape, sources, &mut out)?;
    let plain = out.hasher.finish();
    let mut target = out.inner.finish()?;
    target.inner.flush()?;
    Ok((target.hasher.finish(), plain))
}

/// Takes the digests of what is written.
struct Hashing<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> Hashing<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            hasher: Hasher::of_kinds(&DigestKind::ALL),
        }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
