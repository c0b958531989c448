//! What planning asks of the archive's state: which versions an index has, and whether a place in the pool is free for a
//! file.

use crate::fsio;
use crate::model::{IndexId, ListedPackage, PackageName, PoolFile, Promise};
use crate::store::{Reference, Snapshot, Store};

use super::archive::Archive;
use super::{Error, Result};

/// The versions of a package that an index has: what planning an addition asks for.
///
/// # Errors
/// The store cannot be read.
pub fn versions_there(snapshot: &Snapshot, index: &IndexId, name: &PackageName) -> Result<Vec<ListedPackage>> {
    let mut there = Vec::new();
    for entry in snapshot.find(index, name)? {
        there.extend(snapshot.package(index, name, &entry.version)?);
    }
    Ok(there)
}

/// Who needs a pool file, for an error message.
#[must_use]
pub fn describe(reference: &Reference) -> String {
    match reference {
        Reference::Package { index, name, version } => format!("`{name}` `{version}` in `{index}`"),
        Reference::Track {
            codename,
            source,
            version,
        } => {
            format!("the tracking data of `{source}` `{version}` in `{codename}`")
        }
    }
}

/// Refuses a pool path that has other content than `wanted`.
///
/// # Errors
/// [`Error::OtherContent`], saying who needs the file that is there.
pub fn refuse_other_content(archive: &Archive<'_>, store: &Store, wanted: &PoolFile) -> Result<()> {
    let there = match store.pool_file(&wanted.path)? {
        Some(record) => record.content,
        // a file that the database does not know, such as one whose record a damaged database lost
        None => match fsio::digest_file(&wanted.path.to_fs_path(&archive.directories.out)) {
            Ok(content) => content,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
        },
    };
    let differences = Promise::from(&wanted.content).broken_by(&there);
    if differences.is_empty() {
        return Ok(());
    }
    let references = store.references(&wanted.path)?.iter().map(describe).collect();
    Err(Error::OtherContent {
        path: wanted.path.clone(),
        differences,
        references,
    })
}
