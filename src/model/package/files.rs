//! The file lists of a .dsc or .changes: `Files` and `Checksums-*` merged into one promise per name (Policy 5.6.21 and
//! 5.6.24).

use std::fmt;

use super::super::digest::{DigestKind, Promise};
use super::super::stanza::Stanza;
use super::{PackageError, text};

/// The most files that one package may list; Debian's longest upload has about 4000.
const MAX_FILES: usize = 50_000;

/// The name of a file beside a .dsc or .changes: one part of a path, without characters that an index, a shell glob
/// or a URL could stumble over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Box<str>);

impl FileName {
    /// The checked name; `field` is where it stands.
    ///
    /// # Errors
    /// [`PackageError::Value`] if it has a `/` or other odd characters, or does not start with a letter or digit.
    pub fn new(field: &'static str, text: &str) -> Result<Self, PackageError> {
        let is_plain = text.len() <= 255
            && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-._~:%@=^,".contains(&byte));
        if is_plain {
            return Ok(Self(text.into()));
        }
        let rule = "a file name must start with a letter or digit, contain only those and `+-._~:%@=^,`, \
                    and be at most 255 long";
        Err(PackageError::value(field, text, rule))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Package, version and architecture of a name like `hello_1.0-1_amd64.deb`.
    #[must_use]
    pub fn binary_parts(&self) -> Option<(&str, &str, &str)> {
        let (stem, _) = self.0.rsplit_once('.')?;
        let mut parts = stem.split('_');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(package), Some(version), Some(architecture), None) => Some((package, version, architecture)),
            _ => None,
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A file that a .dsc or .changes lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Its name.
    pub name: FileName,
    /// Its size and digests, as listed.
    pub promise: Promise,
}

/// A file together with the columns between size and name that only the Files field of a .changes has.
pub(super) type Row<'a> = (ListedFile, Vec<&'a str>);

/// Reads all lists. Each must name the same files with the same sizes; the order is that of the first.
pub(super) fn read_lists<'a>(
    stanza: &'a Stanza,
    extra_columns: usize,
    what: &'static str,
) -> Result<Vec<Row<'a>>, PackageError> {
    let mut merged: Option<Vec<Row<'a>>> = None;
    for kind in DigestKind::ALL {
        let field = kind.source_field();
        let Some(list) = text(stanza, field)? else {
            continue;
        };
        let extra = if kind == DigestKind::Md5 { extra_columns } else { 0 };
        let rows = read_list(kind, list, extra)?;
        match &mut merged {
            None => merged = Some(rows),
            Some(merged) => merge(merged, &rows, kind)?,
        }
    }
    merged.ok_or(PackageError::Missing { field: "Files", what })
}

fn read_list(kind: DigestKind, list: &str, extra_columns: usize) -> Result<Vec<Row<'_>>, PackageError> {
    let field = kind.source_field();
    let mut rows = Vec::new();
    for line in list.lines().filter(|line| !line.trim().is_empty()) {
        if rows.len() == MAX_FILES {
            return Err(PackageError::value(field, line, "more than 50000 files are listed"));
        }
        rows.push(read_row(kind, line, extra_columns)?);
    }
    let mut names: Vec<&FileName> = rows.iter().map(|(file, _): &Row<'_>| &file.name).collect();
    names.sort_unstable();
    match names.iter().zip(names.iter().skip(1)).find(|(one, next)| one == next) {
        Some((twice, _)) => Err(PackageError::value(
            field,
            twice.as_str(),
            "a file may be listed once only",
        )),
        None => Ok(rows),
    }
}

fn read_row(kind: DigestKind, line: &str, extra_columns: usize) -> Result<Row<'_>, PackageError> {
    let field = kind.source_field();
    let form = || {
        let rule = match extra_columns {
            0 => "each line must be digest, size and file name",
            _ => "each line must be digest, size, section, priority and file name",
        };
        PackageError::value(field, line.trim(), rule)
    };
    let columns: Vec<&str> = line.split_ascii_whitespace().collect();
    let [digest, size, extra @ .., name] = columns.as_slice() else {
        return Err(form());
    };
    if extra.len() != extra_columns {
        return Err(form());
    }
    let is_number = size.bytes().all(|byte| byte.is_ascii_digit());
    let size_bytes = size.parse().ok().filter(|_| is_number);
    let size_bytes =
        size_bytes.ok_or_else(|| PackageError::value(field, size, "the size must be a number of bytes"))?;
    let mut promise = Promise {
        size_bytes: Some(size_bytes),
        ..Promise::default()
    };
    promise
        .set(kind, digest)
        .map_err(|source| PackageError::Digest { field, source })?;
    let name = FileName::new(field, name)?;
    Ok((ListedFile { name, promise }, extra.to_vec()))
}

fn merge(merged: &mut [Row<'_>], rows: &[Row<'_>], kind: DigestKind) -> Result<(), PackageError> {
    let field = kind.source_field();
    let mut by_name: std::collections::BTreeMap<&FileName, &Promise> =
        rows.iter().map(|(file, _)| (&file.name, &file.promise)).collect();
    for (file, _) in merged {
        let name = file.name.as_str();
        let Some(promise) = by_name.remove(&file.name) else {
            return Err(PackageError::value(
                field,
                name,
                "missing here, but in another file list",
            ));
        };
        if promise.size_bytes != file.promise.size_bytes {
            return Err(PackageError::value(
                field,
                name,
                "has another size in another file list",
            ));
        }
        match kind {
            DigestKind::Md5 => file.promise.md5 = promise.md5,
            DigestKind::Sha1 => file.promise.sha1 = promise.sha1,
            DigestKind::Sha256 => file.promise.sha256 = promise.sha256,
            DigestKind::Sha512 => file.promise.sha512 = promise.sha512,
        }
    }
    match by_name.keys().next() {
        Some(name) => Err(PackageError::value(
            field,
            name.as_str(),
            "listed here, but missing in another file list",
        )),
        None => Ok(()),
    }
}
