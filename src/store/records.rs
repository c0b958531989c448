//! Small files of the database that are neither objects nor tables: what was last published of each distribution. Each
//! is one zstd frame behind its length and SHA-256.
//!
//! They stand in files of their own because the tables may be thrown away and made anew, and these cannot.

use std::path::{Path, PathBuf};

use crate::fsio;
use crate::model::{Codename, Sha256};

use super::blocks::{self, RootId};
use super::error::{Error, Result};
use super::frame::{Unpacked, compress, decompress};

const MAX_FILE_BYTES: u64 = 1 << 30;

/// What the publisher keeps of one distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Published {
    /// Roots that the record names.
    pub(super) keeps: Vec<RootId>,
    /// The publisher's own bytes.
    pub(super) record: Vec<u8>,
}

fn published_path(database: &Path, codename: &Codename) -> PathBuf {
    // a codename has no percent sign
    published_directory(database).join(codename.as_str().replace('/', "%"))
}

/// The directory of all published records.
pub(super) fn published_directory(database: &Path) -> PathBuf {
    database.join("published")
}

/// What was last published of a distribution.
pub(super) fn read_published(database: &Path, codename: &Codename) -> Result<Option<Published>> {
    read_published_at(&published_path(database, codename))
}

/// The published record in a file.
pub(super) fn read_published_at(path: &Path) -> Result<Option<Published>> {
    let Some(bytes) = read(path)? else {
        return Ok(None);
    };
    let (keeps, record): (Vec<[u8; 32]>, &[u8]) = blocks::decode("published record", &bytes)?;
    Ok(Some(Published {
        keeps: keeps.into_iter().map(|root| RootId(Sha256::from_bytes(root))).collect(),
        record: record.to_vec(),
    }))
}

/// Keeps what was published of a distribution; durable at return.
pub(super) fn write_published(database: &Path, codename: &Codename, record: &[u8], keeps: &[RootId]) -> Result<()> {
    let roots: Vec<[u8; 32]> = keeps.iter().map(|root| *root.0.as_bytes()).collect();
    let path = published_path(database, codename);
    fsio::create_dir_all(&published_directory(database))?;
    let bytes = blocks::encode("published record", &(roots, record))?;
    Ok(fsio::write_atomic(&path, &seal(&bytes, &path)?)?)
}

/// Forgets what was published of a distribution.
pub(super) fn remove_published(database: &Path, codename: &Codename) -> Result<()> {
    Ok(fsio::remove_if_there(&published_path(database, codename))?)
}

/// The bytes of a file that says itself whether it is whole.
pub(super) fn seal(bytes: &[u8], path: &Path) -> Result<Vec<u8>> {
    let mut sealed = Sha256::of(bytes).as_bytes().to_vec();
    sealed.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    sealed.extend_from_slice(&compress(bytes, path)?);
    Ok(sealed)
}

/// What was sealed in a file, if it is there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let Some(sealed) = fsio::read_if_there(path, MAX_FILE_BYTES)? else {
        return Ok(None);
    };
    let damaged = || Error::Damaged {
        path: path.to_owned(),
        problem: "it is not what was written".into(),
    };
    let (digest, rest) = sealed.split_first_chunk::<32>().ok_or_else(damaged)?;
    let (length, frame) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let Unpacked { bytes, .. } = decompress(frame, u64::from_le_bytes(*length), path)?;
    if Sha256::of(&bytes).as_bytes() == digest {
        Ok(Some(bytes))
    } else {
        Err(damaged())
    }
}
