//! Source packages: the files that a .dsc names (dsc(5), dpkg-source(1)), and the section and priority of a source,
//! which its own debian/control alone tells.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::deb::clean_path;
use super::error::{ArchiveError, Error};
use super::tar::{EntryKind, Tar};
use super::unpack::Packing;
use super::{Intake, Limits, Place, SpooledFile};
use crate::fsio::AtPath;
use crate::model::package::{FileName, ListedFile};
use crate::model::stanza::split_stanzas;
use crate::model::{ErrorKind, Priority, Section, SourceControl, Stanza};

/// The longest debian/control; the longest of Debian has 300 kB.
const MAX_CONTROL_BYTES: u64 = 8 << 20;
const DIFF: &str = "the source's diff";
const TARBALL: &str = "the source's tarball";

/// A .dsc whose file list does not fit its format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("source format `{format}`: {problem}")]
pub struct FormatError {
    /// The Format field.
    pub format: String,
    /// What is wrong.
    pub problem: String,
}

impl FormatError {
    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::General
    }
}

/// What a file is to its source package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// `.orig.tar.*`: the upstream source.
    Orig,
    /// `.orig-COMPONENT.tar.*`: more of it.
    OrigComponent,
    /// `.debian.tar.*`: the packaging.
    Debian,
    /// Another `.tar.*`: a native source, packaging included.
    Native,
    /// `.diff.gz`: the packaging as a patch.
    Diff,
    /// The signature of a tarball.
    Signature,
    /// `.git`, `.gitshallow`.
    Git,
}

impl Part {
    fn of(name: &str) -> Option<Self> {
        if name.ends_with(".asc") || name.ends_with(".sig") {
            return Some(Self::Signature);
        }
        if name.ends_with(".git") || name.ends_with(".gitshallow") {
            return Some(Self::Git);
        }
        if name.ends_with(".diff.gz") {
            return Some(Self::Diff);
        }
        let (stem, suffix) = name.rsplit_once(".tar")?;
        Packing::of_suffix(suffix)?;
        Some(match stem.rsplit_once('.') {
            Some((_, "orig")) => Self::Orig,
            Some((_, "debian")) => Self::Debian,
            Some((_, last)) if last.starts_with("orig-") => Self::OrigComponent,
            _ => Self::Native,
        })
    }
}

/// Checks that the files of a .dsc are those that its format has: what `dpkg-source` could not unpack is refused.
///
/// # Errors
/// [`FormatError`] with the format and what is missing or too much.
pub fn check_parts(control: &SourceControl) -> Result<(), FormatError> {
    let error = |problem: String| FormatError {
        format: control.format.escape_default().to_string(),
        problem,
    };
    let mut parts = Vec::with_capacity(control.files.len());
    for file in &control.files {
        let name = &file.name;
        parts.push(Part::of(name.as_str()).ok_or_else(|| error(format!("`{name}` is no part of a source package")))?);
    }
    let count = |part: Part| parts.iter().filter(|other| **other == part).count();
    let exactly = |part: Part, wanted: usize, name: &str| match count(part) {
        found if found == wanted => Ok(()),
        found => Err(error(format!("{found} files named `{name}` where {wanted} must be"))),
    };
    let packaged_apart = |packaging: Part, name: &str| {
        exactly(Part::Orig, 1, "*.orig.tar.*")?;
        exactly(packaging, 1, name)?;
        exactly(Part::Native, 0, "*.tar.*")
    };
    match control.format.as_str() {
        "1.0" if count(Part::Diff) > 0 => packaged_apart(Part::Diff, "*.diff.gz"),
        "2.0" | "3.0 (quilt)" => packaged_apart(Part::Debian, "*.debian.tar.*"),
        "1.0" | "3.0 (native)" if count(Part::Orig) == 0 => exactly(Part::Native, 1, "*.tar.*"),
        // a native source may be called .orig: dpkg-source 1.0 unpacks a lone tarball of any name
        "1.0" => exactly(Part::Orig, 1, "*.orig.tar.*"),
        "3.0 (git)" => exactly(Part::Git, count(Part::Git).max(1), "*.git"),
        _ => Ok(()),
    }
}

/// A file of a source package, as far as it lay beside the .dsc.
#[derive(Debug)]
pub struct IncomingPart {
    /// What the .dsc says of it.
    pub listed: ListedFile,
    /// The file; `None` if it was not there, and has to be in the pool already.
    pub file: Option<SpooledFile>,
}

/// Brings in the files that a .dsc names, from the directory where it lies.
///
/// # Errors
/// [`Error`]: a file that is there cannot be read, or is not what the .dsc promises.
pub fn receive_parts(intake: &Intake, control: &SourceControl, directory: &Path) -> Result<Vec<IncomingPart>, Error> {
    let receive = |listed: &ListedFile| {
        let file = match intake.file(Place::In(directory, &listed.name), Some(&listed.promise)) {
            Ok(file) => Some(file),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        Ok(IncomingPart {
            listed: listed.clone(),
            file,
        })
    };
    control.files.iter().map(receive).collect()
}

/// The file of a source package that has its debian/control.
#[must_use]
pub fn packaging_file(control: &SourceControl) -> Option<&ListedFile> {
    let find = |part: Part| {
        let is_part = |file: &&ListedFile| Part::of(file.name.as_str()) == Some(part);
        control.files.iter().find(is_part)
    };
    [Part::Debian, Part::Diff, Part::Native, Part::Orig]
        .into_iter()
        .find_map(find)
}

/// Section and priority of a source package, as far as its debian/control names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classification {
    /// The section.
    pub section: Option<Section>,
    /// The priority.
    pub priority: Option<Priority>,
}

/// Looks up section and priority in a source package's [`packaging_file`], which lies at `path` and is called `name`.
///
/// # Errors
/// [`Error`]: the file cannot be read, is damaged, or beyond `limits`.
pub fn classify(path: &Path, name: &FileName, limits: &Limits) -> Result<Classification, Error> {
    let file = Place::Path(path).open()?;
    let size_bytes = file.metadata().at("read", path)?.len();
    let limit_bytes = limits.unpacked_bytes(size_bytes);
    let archive_error = |source| Error::Archive {
        path: Path::new(name.as_str()).to_owned(),
        source,
    };
    let file = BufReader::new(file);
    let control = match Part::of(name.as_str()) {
        Some(Part::Diff) => control_in_diff(file, limit_bytes),
        Some(_) => control_in_tarball(file, name, limits, limit_bytes),
        None => Ok(None),
    };
    let control = control.map_err(archive_error)?.unwrap_or_default();
    Ok(classification(&control))
}

/// A source whose control file is odd just has no section there; somebody else will have to give it.
fn classification(control: &[u8]) -> Classification {
    let is_comment = |line: &[u8]| line.is_empty() || line.starts_with(b"#");
    let mut stanzas = split_stanzas(control).filter(|stanza| !stanza.split(|byte| *byte == b'\n').all(is_comment));
    let Some(Ok(stanza)) = stanzas.next().map(Stanza::parse) else {
        return Classification::default();
    };
    Classification {
        section: Section::of(&stanza).ok().flatten(),
        priority: Priority::of(&stanza).ok().flatten(),
    }
}

fn control_in_tarball(
    file: impl BufRead,
    name: &FileName,
    limits: &Limits,
    limit_bytes: u64,
) -> Result<Option<Vec<u8>>, ArchiveError> {
    let (_, suffix) = name.as_str().rsplit_once(".tar").unwrap_or_default();
    let packing = Packing::of_suffix(suffix).unwrap_or(Packing::Plain);
    let unpacked = packing.reader(file).map_err(|source| ArchiveError::Read {
        what: TARBALL.into(),
        source,
    })?;
    let mut tar = Tar::new(unpacked, TARBALL, limits, limit_bytes);
    while let Some(entry) = tar.next_entry()? {
        let path = clean_path(&entry.name, TARBALL)?;
        // in a native tarball one directory holds everything
        let is_control = match path.strip_suffix(b"debian/control".as_slice()) {
            Some([]) => true,
            Some([directory @ .., b'/']) => !directory.contains(&b'/'),
            _ => false,
        };
        if is_control && entry.kind == EntryKind::File {
            return tar.content(&entry, MAX_CONTROL_BYTES).map(Some);
        }
    }
    Ok(None)
}

/// The debian/control that a diff adds: the lines after its head that start with `+`.
fn control_in_diff(file: impl BufRead, limit_bytes: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
    let read_error = |source| ArchiveError::Read {
        what: DIFF.into(),
        source,
    };
    let unpacked = Packing::Gzip.reader(file).map_err(read_error)?;
    let mut diff = BufReader::new(unpacked.take(limit_bytes));
    let mut control: Option<Vec<u8>> = None;
    loop {
        let mut line = Vec::new();
        let count = diff
            .by_ref()
            .take(MAX_CONTROL_BYTES)
            .read_until(b'\n', &mut line)
            .map_err(read_error)?;
        match &mut control {
            _ if count == 0 => return Ok(control),
            None if adds_control(&line) => control = Some(Vec::new()),
            None => {}
            Some(_) if line.starts_with(b"@@") => {}
            Some(text) => match line.strip_prefix(b"+") {
                Some(added) if (text.len() + added.len()) as u64 <= MAX_CONTROL_BYTES => text.extend_from_slice(added),
                _ => return Ok(control),
            },
        }
    }
}

/// `+++ hello-1.0/debian/control`
fn adds_control(line: &[u8]) -> bool {
    let Some(path) = line.strip_prefix(b"+++ ") else {
        return false;
    };
    let path = path
        .split(|byte| matches!(byte, b'\t' | b'\n' | b' '))
        .next()
        .unwrap_or_default();
    let mut parts = path.splitn(2, |byte| *byte == b'/');
    parts.next().is_some() && parts.next() == Some(b"debian/control")
}
