//! Making a key for an archive: one primary key that certifies and signs, and nothing else.
//!
//! No subkey: the key that clients list and the key that signs are then the same, so a rule that names one fingerprint
//! needs no `+`. Version 4 (RFC 4880) and the algorithms below are read by the `gpgv` of Debian 9 and Ubuntu 18.04 and
//! everything since, and by `sqv`. GnuPG 1.4, the `gpgv` of Debian 8 and Ubuntu 16.04, reads RSA only.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sequoia_openpgp::Profile;
use sequoia_openpgp::cert::{CertBuilder, CipherSuite};
use sequoia_openpgp::types::KeyFlags;

use super::{Error, Imported, KeyHome, Passphrase, system_time};

const MAX_USER_ID_BYTES: usize = 256;

/// The kind of a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// Ed25519: small and fast; GnuPG 2.1 (2014) or newer.
    #[default]
    Ed25519,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits: also for clients as old as Ubuntu 16.04.
    Rsa4096,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Ed25519, Self::Rsa3072, Self::Rsa4096];
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "ed25519",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
        })
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|algorithm| algorithm.to_string() == text);
        known.ok_or_else(|| format!("unknown algorithm `{text}`: must be ed25519, rsa3072 or rsa4096"))
    }
}

/// What a new key is to be.
#[derive(Debug, Clone)]
pub struct NewKey<'a> {
    /// The user id, such as `Example archive <archive@example.org>`.
    pub user_id: &'a str,
    /// Its kind.
    pub algorithm: Algorithm,
    /// For how many days it is valid; None: without end.
    pub valid_days: Option<u32>,
    /// What its secret file is locked with; None: nothing but the file's permissions.
    pub passphrase: Option<&'a Passphrase>,
}

impl KeyHome {
    /// Makes a key and stores it.
    ///
    /// # Errors
    /// The user id is none, or the key cannot be written.
    pub fn generate(&self, new: &NewKey<'_>, now: i64) -> Result<Imported, Error> {
        check_user_id(new.user_id)?;
        let suite = match new.algorithm {
            Algorithm::Ed25519 => CipherSuite::Cv25519,
            Algorithm::Rsa3072 => CipherSuite::RSA3k,
            Algorithm::Rsa4096 => CipherSuite::RSA4k,
        };
        let build = || {
            CertBuilder::new()
                .set_profile(Profile::RFC4880)?
                .set_cipher_suite(suite)
                .set_creation_time(system_time(now))
                .set_primary_key_flags(KeyFlags::empty().set_certification().set_signing())
                .set_validity_period(new.valid_days.map(|days| Duration::from_secs(u64::from(days) * 86400)))
                .set_password(new.passphrase.map(|passphrase| passphrase.password().clone()))
                .add_userid(new.user_id)
                .generate()
        };
        let (cert, _) = build().map_err(|source| Error::Library {
            doing: "make a key",
            source: source.into(),
        })?;
        self.store(cert)
    }
}

fn check_user_id(user_id: &str) -> Result<(), Error> {
    let rule = if user_id.trim().len() < 3 {
        "must name the archive or its owner, as `Example archive <archive@example.org>`"
    } else if user_id.len() > MAX_USER_ID_BYTES {
        "must be at most 256 bytes long"
    } else if user_id.chars().any(char::is_control) {
        "must be one line without control characters"
    } else {
        return Ok(());
    };
    Err(Error::InvalidUserId {
        user_id: user_id.chars().take(80).flat_map(char::escape_default).collect(),
        rule,
    })
}
