//! How keys and values are written: items of the block indexes, and rows of the lookup tables. Pure.
//!
//! What comes back passes the same checks as what comes from outside: a damaged value is an error, never a bad name.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::digest::{Md5, Sha1, Sha512};
use crate::model::index::IndexIdError;
use crate::model::{
    ArchivePath, Codename, Digests, Entry, FileDigests, IndexId, PackageName, PoolFile, Sha256, SourceName, Track,
    TrackedFile, TrackedKind, Version,
};

use super::blocks::{CodecError, decode, encode};

/// What has a root of its own in the archive's state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HeadId {
    /// The packages of an index.
    Index(IndexId),
    /// The tracked sources of a distribution.
    Tracks(Codename),
}

impl fmt::Display for HeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => index.fmt(f),
            Self::Tracks(codename) => write!(f, "tracks|{codename}"),
        }
    }
}

impl FromStr for HeadId {
    type Err = IndexIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // an index has two bars or more
        match text.strip_prefix("tracks|") {
            Some(codename) if !codename.contains('|') => Codename::new(codename)
                .map(Self::Tracks)
                .map_err(|source| IndexIdError::Name { source }),
            _ => text.parse().map(Self::Index),
        }
    }
}

impl TryFrom<String> for HeadId {
    type Error = IndexIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<HeadId> for String {
    fn from(id: HeadId) -> Self {
        id.to_string()
    }
}

#[derive(Serialize, Deserialize)]
struct ContentForm {
    size_bytes: u64,
    md5: Option<[u8; 16]>,
    sha1: Option<[u8; 20]>,
    sha256: [u8; 32],
    sha512: Option<([u8; 32], [u8; 32])>,
}

#[derive(Serialize, Deserialize)]
struct FileForm<'a>(&'a str, ContentForm);

#[derive(Serialize, Deserialize)]
struct EntryForm<'a> {
    /// Where it is not the package's name.
    #[serde(borrow)]
    source: Option<&'a str>,
    /// Where it is not the package's version.
    source_version: Option<&'a str>,
    files: Vec<FileForm<'a>>,
}

impl From<&FileDigests> for ContentForm {
    fn from(content: &FileDigests) -> Self {
        let sha512 = content.digests.sha512.and_then(|digest| {
            let (first, rest) = digest.as_bytes().split_first_chunk::<32>()?;
            Some((*first, *rest.first_chunk::<32>()?))
        });
        Self {
            size_bytes: content.size_bytes,
            md5: content.digests.md5.map(|digest| *digest.as_bytes()),
            sha1: content.digests.sha1.map(|digest| *digest.as_bytes()),
            sha256: *content.digests.sha256.as_bytes(),
            sha512,
        }
    }
}

impl From<ContentForm> for FileDigests {
    fn from(form: ContentForm) -> Self {
        let sha512 = form.sha512.map(|(first, second)| {
            let mut bytes = [0; 64];
            for (to, from) in bytes.iter_mut().zip(first.into_iter().chain(second)) {
                *to = from;
            }
            Sha512::from_bytes(bytes)
        });
        Self {
            size_bytes: form.size_bytes,
            digests: Digests {
                md5: form.md5.map(Md5::from_bytes),
                sha1: form.sha1.map(Sha1::from_bytes),
                sha256: Sha256::from_bytes(form.sha256),
                sha512,
            },
        }
    }
}

impl<'a> From<&'a PoolFile> for FileForm<'a> {
    fn from(file: &'a PoolFile) -> Self {
        Self(file.path.as_str(), (&file.content).into())
    }
}

fn checked<T, E: fmt::Display>(what: &'static str, value: Result<T, E>) -> Result<T, CodecError> {
    value.map_err(|error| CodecError {
        what,
        problem: error.to_string(),
    })
}

fn pool_file(FileForm(path, content): FileForm<'_>) -> Result<PoolFile, CodecError> {
    Ok(PoolFile {
        path: checked("file of a package", ArchivePath::new(path))?,
        content: content.into(),
    })
}

/// The key of an item: `name NUL version`.
pub(super) fn item_key(name: &str, version: &Version) -> Vec<u8> {
    [name.as_bytes(), &[0], version.as_str().as_bytes()].concat()
}

fn split_item_key(key: &[u8]) -> Result<(&str, Version), CodecError> {
    let what = "key of a package";
    let text = checked(what, std::str::from_utf8(key))?;
    let parts = text.split_once('\0').ok_or("no version in it");
    let (name, version) = checked(what, parts)?;
    Ok((name, checked(what, Version::new(version))?))
}

/// Name and version of a package, from the key of its item.
pub(super) fn decode_name(key: &[u8]) -> Result<(PackageName, Version), CodecError> {
    let (name, version) = split_item_key(key)?;
    Ok((checked("key of a package", PackageName::new(name))?, version))
}

/// The values of a package in a block's table; name and version are in its key.
pub(super) fn encode_entry(entry: &Entry) -> Result<Vec<u8>, CodecError> {
    let form = EntryForm {
        source: (entry.source.as_str() != entry.name.as_str()).then_some(entry.source.as_str()),
        source_version: (entry.source_version != entry.version).then_some(entry.source_version.as_str()),
        files: entry.files.iter().map(FileForm::from).collect(),
    };
    encode("package", &form)
}

/// The package of an item.
pub(super) fn decode_entry(key: &[u8], meta: &[u8]) -> Result<Entry, CodecError> {
    let (name, version) = split_item_key(key)?;
    let name = checked("key of a package", PackageName::new(name))?;
    let form: EntryForm<'_> = decode("package", meta)?;
    let source = match form.source {
        Some(source) => checked("package", SourceName::new(source))?,
        None => SourceName::from(&name),
    };
    let source_version = match form.source_version {
        Some(version) => checked("package", Version::new(version))?,
        None => version.clone(),
    };
    Ok(Entry {
        name,
        version,
        source,
        source_version,
        files: form.files.into_iter().map(pool_file).collect::<Result<_, _>>()?,
    })
}

/// The values of a tracked source; its name and version are in its key.
pub(super) fn encode_track(track: &Track) -> Result<Vec<u8>, CodecError> {
    let files: Vec<(FileForm<'_>, TrackedKind)> = track
        .files
        .iter()
        .map(|tracked| (FileForm::from(&tracked.file), tracked.kind))
        .collect();
    encode("tracked source", &files)
}

/// The tracked source of an item.
pub(super) fn decode_track(key: &[u8], meta: &[u8]) -> Result<Track, CodecError> {
    let (source, version) = split_item_key(key)?;
    let files: Vec<(FileForm<'_>, TrackedKind)> = decode("tracked source", meta)?;
    let tracked = |(file, kind)| {
        Ok(TrackedFile {
            file: pool_file(file)?,
            kind,
        })
    };
    Ok(Track {
        source: checked("key of a tracked source", SourceName::new(source))?,
        version,
        files: files.into_iter().map(tracked).collect::<Result<_, CodecError>>()?,
    })
}

/// What an item lists, in an index or in a distribution's tracks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listed {
    /// A package of an index.
    Package(Entry),
    /// A tracked source.
    Track(Track),
}

impl Listed {
    /// Reads an item of the index that is `head`'s.
    pub(super) fn decode(head: &HeadId, key: &[u8], meta: &[u8]) -> Result<Self, CodecError> {
        match head {
            HeadId::Index(_) => decode_entry(key, meta).map(Self::Package),
            HeadId::Tracks(_) => decode_track(key, meta).map(Self::Track),
        }
    }

    /// The files that it refers to.
    pub(super) fn files(&self) -> Vec<&PoolFile> {
        match self {
            Self::Package(entry) => entry.files.iter().collect(),
            Self::Track(track) => track.files.iter().map(|tracked| &tracked.file).collect(),
        }
    }

    /// The sources under which it is looked up: its own, and those in whose pool directories its files lie.
    pub(super) fn sources(&self) -> BTreeSet<&str> {
        let own = match self {
            Self::Package(entry) => &entry.source,
            Self::Track(track) => &track.source,
        };
        let directories = self.files().into_iter().map(|file| source_directory(&file.path));
        directories.chain([own.as_str()]).collect()
    }
}

/// The directory that a pool file lies in, by Debian's layout the name of its source.
pub(super) fn source_directory(path: &ArchivePath) -> &str {
    let directory = path.directory();
    directory.rsplit_once('/').map_or(directory, |(_, name)| name)
}

/// The key of a row of the table by source: `source NUL head NUL item key`.
pub(super) fn source_row(source: &str, head: &HeadId, item_key: &[u8]) -> Vec<u8> {
    [source.as_bytes(), &[0], head.to_string().as_bytes(), &[0], item_key].concat()
}

/// The first part of the keys of all rows of one source.
pub(super) fn source_prefix(source: &str) -> Vec<u8> {
    [source.as_bytes(), &[0]].concat()
}

/// Takes a row's key apart: its head and the item's key.
pub(super) fn split_source_row(row: &[u8]) -> Result<(HeadId, &[u8]), CodecError> {
    let what = "key of the table by source";
    let mut parts = row.splitn(3, |byte| *byte == 0);
    let (_, Some(head), Some(item_key)) = (parts.next(), parts.next(), parts.next()) else {
        return checked(what, Err("it has not its three parts"));
    };
    let head = checked(what, std::str::from_utf8(head))?;
    Ok((checked(what, head.parse())?, item_key))
}

/// The row of a pool file.
pub(super) fn encode_content(content: &FileDigests) -> Result<Vec<u8>, CodecError> {
    encode("pool file", &ContentForm::from(content))
}

/// The content of a pool file's row.
pub(super) fn decode_content(value: &[u8]) -> Result<FileDigests, CodecError> {
    decode::<ContentForm>("pool file", value).map(FileDigests::from)
}

/// The path of a pool file's row.
pub(super) fn decode_path(key: &[u8]) -> Result<ArchivePath, CodecError> {
    let text = checked("path of a pool file", std::str::from_utf8(key))?;
    checked("path of a pool file", ArchivePath::new(text))
}

/// A time in a row, in Unix seconds.
pub(super) fn decode_time(value: &[u8]) -> Result<i64, CodecError> {
    checked("time", value.try_into().map(i64::from_be_bytes))
}

/// The rows of the table by source of an item.
pub(super) fn source_rows<'a>(
    head: &'a HeadId,
    item_key: &'a [u8],
    listed: &'a Listed,
) -> impl Iterator<Item = Vec<u8>> + 'a {
    let sources = listed.sources().into_iter();
    sources.map(move |source| source_row(source, head, item_key))
}
