//! Public keys to verify with: those of a key directory, or of a keyring file.

use std::collections::HashMap;
use std::path::Path;

use sequoia_openpgp::cert::{Cert, CertParser};
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::{Fingerprint, KeyHandle, KeyID};

use super::{Error, MAX_KEYRING_BYTES};
use crate::fsio;

/// What is accepted of one named key although it is no longer safe. The two dangers are separate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tolerance {
    /// A short RSA or a DSA key, or a self-signature made with SHA-1: the old keys of vendors.
    WeakKey,
    /// Also signatures made with SHA-1, which an attacker who has the signer sign a chosen text can forge.
    Sha1Signatures,
}

/// Public keys, found by fingerprint or key id of the key or of one of its subkeys.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    certs: Vec<Cert>,
    by_key_id: HashMap<KeyID, Vec<usize>>,
    tolerated: HashMap<Fingerprint, Tolerance>,
}

impl Keyring {
    /// Reads a keyring file, armored or binary.
    ///
    /// # Errors
    /// The file cannot be read, or holds no key.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let bytes = fsio::read_limited(path, MAX_KEYRING_BYTES)?;
        Self::from_bytes(&bytes, &path.display().to_string())
    }

    /// Reads a keyring, armored or binary; `origin` names it in errors. Keys of kinds that nobody can verify with any
    /// more are left out.
    ///
    /// # Errors
    /// There is no key in it.
    pub fn from_bytes(bytes: &[u8], origin: &str) -> Result<Self, Error> {
        Ok(parse_certs(bytes, origin)?.into_iter().collect())
    }

    /// The keyring with the keys of both. Of a key that both have, what either knows counts, such as that it is revoked.
    #[must_use]
    pub fn merged(mut self, other: Self) -> Self {
        let mut certs = std::mem::take(&mut self.certs);
        self.by_key_id.clear();
        for cert in other.certs {
            let same = certs.iter_mut().find(|known| known.fingerprint() == cert.fingerprint());
            match same {
                // fails for different keys only
                Some(known) => *known = known.clone().merge_public(cert).unwrap_or_else(|_| known.clone()),
                None => certs.push(cert),
            }
        }
        certs.into_iter().for_each(|cert| self.add(cert));
        self.tolerated.extend(other.tolerated);
        self
    }

    /// Accepts a weakness of one key, named by its whole fingerprint; None if no key has that fingerprint.
    pub fn tolerate(&mut self, fingerprint: &str, tolerance: Tolerance) -> Option<()> {
        let wanted: Fingerprint = fingerprint.parse().ok()?;
        let cert = self.certs.iter().find(|cert| cert.fingerprint() == wanted)?;
        self.tolerated.insert(cert.fingerprint(), tolerance);
        Some(())
    }

    /// Whether there is no key in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certs.is_empty()
    }

    /// Whether it has the primary key of this whole fingerprint, in hexadecimal digits.
    #[must_use]
    pub fn has_primary(&self, fingerprint: &str) -> bool {
        let wanted: Option<Fingerprint> = fingerprint.parse().ok();
        wanted.is_some_and(|wanted| self.certs.iter().any(|cert| cert.fingerprint() == wanted))
    }

    /// The keyring as a binary file, the form that all clients read.
    ///
    /// # Errors
    /// The library fails.
    pub fn to_binary(&self) -> Result<Vec<u8>, Error> {
        use sequoia_openpgp::serialize::Serialize;
        let mut bytes = Vec::new();
        for cert in &self.certs {
            cert.export(&mut bytes).map_err(|source| Error::Library {
                doing: "write the keyring",
                source: source.into(),
            })?;
        }
        Ok(bytes)
    }

    pub(super) fn tolerance(&self, cert: &Cert) -> Option<Tolerance> {
        self.tolerated.get(&cert.fingerprint()).copied()
    }

    /// The keys one of whose keys answers to the handle.
    pub(super) fn find<'a>(&'a self, handle: &KeyHandle) -> impl Iterator<Item = &'a Cert> {
        let positions = self.by_key_id.get(&KeyID::from(handle));
        positions
            .into_iter()
            .flatten()
            .filter_map(|&position| self.certs.get(position))
    }

    fn add(&mut self, cert: Cert) {
        let position = self.certs.len();
        for key in cert.keys() {
            let positions = self.by_key_id.entry(key.key().keyid()).or_default();
            if positions.last() != Some(&position) {
                positions.push(position);
            }
        }
        self.certs.push(cert);
    }
}

impl FromIterator<Cert> for Keyring {
    fn from_iter<I: IntoIterator<Item = Cert>>(certs: I) -> Self {
        let mut keyring = Self::default();
        certs.into_iter().for_each(|cert| keyring.add(cert));
        keyring
    }
}

/// All keys of a file: armored (several blocks may follow each other) or binary.
pub(super) fn parse_certs(bytes: &[u8], origin: &str) -> Result<Vec<Cert>, Error> {
    if let Some(what) = other_kind(bytes) {
        return Err(Error::WrongKindOfFile {
            origin: origin.into(),
            what,
        });
    }
    let mut certs = Vec::new();
    let mut failure = None;
    for block in armor_blocks(bytes) {
        let parser = CertParser::from_bytes(block).map_err(|source| not_a_key_file(origin, source))?;
        for cert in parser {
            match cert {
                Ok(cert) => certs.push(cert),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
    }
    match failure {
        _ if !certs.is_empty() => Ok(certs),
        Some(source) => Err(not_a_key_file(origin, source)),
        None => Err(Error::NoKeyInFile { origin: origin.into() }),
    }
}

fn not_a_key_file(origin: &str, source: impl Into<super::error::Cause>) -> Error {
    Error::NotAKeyFile {
        origin: origin.into(),
        source: source.into(),
    }
}

fn other_kind(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(8..12) == Some(b"KBXf") {
        return Some("a GnuPG keybox");
    }
    let has = |marker: &[u8]| memchr::memmem::find(bytes, marker).is_some();
    if has(b"-----BEGIN PGP SIGNED MESSAGE") {
        return Some("a signed text");
    }
    (has(b"-----BEGIN PGP SIGNATURE") && !has(b" KEY BLOCK-----")).then_some("a signature")
}

fn armor_blocks(bytes: &[u8]) -> Vec<&[u8]> {
    let mut starts: Vec<usize> = memchr::memmem::find_iter(bytes, b"-----BEGIN PGP ").collect();
    if starts.is_empty() {
        return vec![bytes];
    }
    starts.push(bytes.len());
    let pairs = starts.iter().zip(starts.iter().skip(1));
    pairs.filter_map(|(&from, &to)| bytes.get(from..to)).collect()
}
