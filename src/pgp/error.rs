//! What can go wrong with keys and signatures, in words for somebody who is woken by it.

use std::path::PathBuf;

use super::day;
use crate::fsio;
use crate::model::ErrorKind;

/// What the OpenPGP library said.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A key cannot be used, or a file is not the signed file it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] fsio::Error),
    /// Others than the owner could read, or exchange, a secret key.
    #[error("the permissions of `{path}` are {mode:04o}: must be {wanted:04o}, since secret keys are kept there", path = path.display())]
    TooOpen {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The permission bits it should have.
        wanted: u32,
    },
    /// A passphrase file can be read by everybody.
    #[error("the permissions of the passphrase file `{path}` are {mode:04o}: must not be open to everybody", path = path.display())]
    PassphraseTooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file is not a keyring, or part of it is broken.
    #[error("`{origin}` is not an OpenPGP key file")]
    NotAKeyFile {
        /// The file, as the user named it.
        origin: String,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// A key file without a key that can be read.
    #[error("`{origin}` holds no OpenPGP key")]
    NoKeyInFile {
        /// The file, as the user named it.
        origin: String,
    },
    /// A key file that is of another kind, such as a GnuPG keybox or a signature.
    #[error("`{origin}` is {what}, not an exported OpenPGP key")]
    WrongKindOfFile {
        /// The file, as the user named it.
        origin: String,
        /// What it is.
        what: &'static str,
    },
    /// There is no secret key at all.
    #[error("there is no secret key in `{home}`", home = home.display())]
    NoSecretKeys {
        /// The key directory.
        home: PathBuf,
    },
    /// No key answers to what was asked for.
    #[error("no {what} in `{home}` matches `{wanted}`", home = home.display())]
    NoSuchKey {
        /// `key` or `secret key`.
        what: &'static str,
        /// What was asked for.
        wanted: String,
        /// The key directory.
        home: PathBuf,
    },
    /// Several keys answer to what was asked for.
    #[error("`{wanted}` matches {} keys: {}", candidates.len(), listed(candidates))]
    AmbiguousKey {
        /// What was asked for.
        wanted: String,
        /// Fingerprint and user id of each.
        candidates: Vec<String>,
    },
    /// What should select a key is too short, or empty.
    #[error("invalid key `{wanted}`: must be a fingerprint, its last 8 to 39 digits, or part of a user id")]
    InvalidSelector {
        /// What was given.
        wanted: String,
    },
    /// A user id that cannot be one.
    #[error("invalid user id `{user_id}`: {rule}")]
    InvalidUserId {
        /// What was given.
        user_id: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// The key has expired.
    #[error("the key {fingerprint} expired on {on}", on = day(*expired))]
    KeyExpired {
        /// The key.
        fingerprint: String,
        /// When, in Unix seconds.
        expired: i64,
    },
    /// The key is revoked.
    #[error("the key {fingerprint} is revoked: {reason}")]
    KeyRevoked {
        /// The key.
        fingerprint: String,
        /// The reason its owner gave.
        reason: String,
    },
    /// The key cannot sign for another reason.
    #[error("the key {fingerprint} cannot sign: {reason}")]
    CannotSign {
        /// The key.
        fingerprint: String,
        /// Why.
        reason: String,
    },
    /// The secret key is locked, and no passphrase was given.
    #[error("the secret key {fingerprint} needs a passphrase")]
    PassphraseNeeded {
        /// The key.
        fingerprint: String,
    },
    /// The passphrase does not open the secret key.
    #[error("the passphrase does not open the secret key {key}")]
    WrongPassphrase {
        /// The key's fingerprint, or where the key is.
        key: String,
    },
    /// The OpenPGP library failed.
    #[error("cannot {doing}")]
    Library {
        /// Completes the sentence "cannot …".
        doing: &'static str,
        /// What it said.
        #[source]
        source: Cause,
    },
    /// There is no `gpg` program, and the keys are in a GnuPG home.
    #[error("the keys in `{home}` are GnuPG's, and there is no `gpg` program", home = home.display())]
    NoGpg {
        /// The GnuPG home.
        home: PathBuf,
    },
    /// The `gpg` program failed.
    #[error("gpg could not {doing} with the keys in `{home}`: {message}", home = home.display())]
    Gpg {
        /// Completes the sentence "gpg could not …".
        doing: &'static str,
        /// The GnuPG home.
        home: PathBuf,
        /// What it said last.
        message: String,
    },
    /// The `gpg` program did not end.
    #[error("gpg did not {doing} within {seconds} seconds with the keys in `{home}`: it may be waiting for a passphrase", home = home.display())]
    GpgTimeout {
        /// Completes the sentence "gpg did not …".
        doing: &'static str,
        /// The GnuPG home.
        home: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A signed file is longer than any should be.
    #[error("the signed file is {size} bytes long: must be at most {max}", max = super::MAX_SIGNED_BYTES)]
    TooLong {
        /// Its length in bytes.
        size: usize,
    },
    /// A signed file is not in the form of the cleartext signature framework.
    #[error("line {line} of the signed file: {rule}")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// What should have been there.
        rule: &'static str,
    },
    /// A file that has to be signed is not.
    #[error("the file is not signed")]
    NotSigned,
    /// A signature cannot be read.
    #[error("the signature cannot be read")]
    UnreadableSignature {
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
}

/// The first few, so that a message stays one that can be read.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

impl Error {
    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File(error) => error.kind(),
            Self::NotAKeyFile { .. }
            | Self::NoKeyInFile { .. }
            | Self::WrongKindOfFile { .. }
            | Self::InvalidUserId { .. }
            | Self::TooLong { .. }
            | Self::Malformed { .. } => ErrorKind::General,
            Self::NotSigned | Self::UnreadableSignature { .. } => ErrorKind::BadSignature,
            _ => ErrorKind::Signing,
        }
    }

    /// What to do about it, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::TooOpen { path, wanted, .. } => format!("run: chmod {wanted:o} {}", path.display()),
            Self::PassphraseTooOpen { path, .. } => format!("run: chmod 600 {}", path.display()),
            Self::WrongKindOfFile { .. } => {
                "export the key first: gpg --armor --export-secret-keys KEY > key.asc, then: aptrepo key import key.asc"
                    .into()
            }
            Self::NoSecretKeys { .. } => {
                "make one with `aptrepo key generate`, bring one with `aptrepo key import FILE`, or name the directory \
                 that holds it with `gnupghome` in conf/options"
                    .into()
            }
            Self::NoSuchKey { .. } => "`aptrepo key list` shows the keys that are there".into(),
            Self::AmbiguousKey { .. } | Self::InvalidSelector { .. } => {
                "name the key by its whole fingerprint, as `aptrepo key list` shows it".into()
            }
            Self::KeyExpired { .. } | Self::KeyRevoked { .. } => {
                "make a new key with `aptrepo key generate`, bring it to the clients with `aptrepo key package`, and name \
                 it in SignWith; a key whose expiry was extended elsewhere is taken over by `aptrepo key import`"
                    .into()
            }
            Self::CannotSign { .. } => "`aptrepo key check` says more about the key".into(),
            Self::PassphraseNeeded { .. } => {
                "name a file that holds the passphrase, or store the key without one (its file is readable for its \
                 owner only)"
                    .into()
            }
            Self::WrongPassphrase { .. } => {
                "the passphrase is the first line of the file, without the line end".into()
            }
            Self::NoGpg { .. } => {
                "install the package gnupg; or, where gpg is, run `gpg --export-secret-keys > keys.pgp`, and here \
                 `aptrepo key import keys.pgp`"
                    .into()
            }
            Self::Gpg { home, .. } | Self::GpgTimeout { home, .. } => super::gpg::import_hint(home),
            _ => return None,
        })
    }
}
