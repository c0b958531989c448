//! Secret things: passphrases, and files and directories that nobody else may read.

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use sequoia_openpgp::crypto::Password;

use super::Error;
use crate::fsio::{self, AtPath};

const MAX_PASSPHRASE_BYTES: u64 = 4096;

/// The passphrase of secret keys. It is kept encrypted in memory and is never shown.
#[derive(Clone)]
pub struct Passphrase(Password);

impl Passphrase {
    /// The passphrase itself, without a line end.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        Self(text.into())
    }

    /// The first line of a file.
    ///
    /// # Errors
    /// The file cannot be read, is longer than 4096 bytes, or is open to everybody.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let mode = mode(path)?;
        if mode & 0o007 != 0 {
            return Err(Error::PassphraseTooOpen {
                path: path.to_owned(),
                mode,
            });
        }
        let bytes = fsio::read_limited(path, MAX_PASSPHRASE_BYTES)?;
        let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        Ok(Self::new(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    pub(super) fn password(&self) -> &Password {
        &self.0
    }

    /// The passphrase and a line end, as `gpg --passphrase-fd` reads it.
    pub(super) fn line(&self) -> Vec<u8> {
        self.0.map(|bytes| [bytes.as_ref(), b"\n"].concat())
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

fn mode(path: &Path) -> Result<u32, Error> {
    Ok(fs::metadata(path).at("read", path)?.permissions().mode() & 0o7777)
}

/// Refuses `path` if its mode has any of the `forbidden` bits.
pub(super) fn check_closed(path: &Path, forbidden: u32, wanted: u32) -> Result<(), Error> {
    let mode = mode(path)?;
    if mode & forbidden == 0 {
        return Ok(());
    }
    Err(Error::TooOpen {
        path: path.to_owned(),
        mode,
        wanted,
    })
}

/// Makes a directory, and those above it that are missing, that only its owner can enter.
pub(super) fn create_private_dir(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().mode(0o700).recursive(true).create(path);
    Ok(made.at("create the directory", path)?)
}

/// As [`fsio::write_atomic`], but the file is the owner's alone from its first moment.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let directory = fsio::parent(path);
    let mut file = tempfile::Builder::new()
        .prefix(crate::fsio::TEMPORARY_PREFIX)
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(directory)
        .at("create a temporary file in", directory)?;
    file.write_all(bytes).at("write", path)?;
    file.as_file().sync_data().at("sync", path)?;
    file.persist(path)
        .map_err(|error| error.error)
        .at("rename a temporary file to", path)?;
    Ok(fsio::sync_dir(directory)?)
}
