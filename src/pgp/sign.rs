//! Signing Release: one or several keys, in both forms that clients ask for.
//!
//! A signature here holds nothing random: the same text, keys and time give the same bytes (with the Ed25519 and RSA
//! keys that archives use), so that publishing again changes nothing. This is why the signature packet is put together
//! here and not by the library's message writer, which adds a random notation.

use std::fmt;

use sequoia_openpgp::Fingerprint;
use sequoia_openpgp::armor::{Kind, Writer};
use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::crypto::hash::Hash;
use sequoia_openpgp::crypto::{KeyPair, S2K, Signer as _, mpi};
use sequoia_openpgp::packet::key::{SecretKeyMaterial, SecretParts, UnspecifiedRole};
use sequoia_openpgp::packet::signature::Signature4;
use sequoia_openpgp::packet::signature::subpacket::{Subpacket, SubpacketArea, SubpacketValue};
use sequoia_openpgp::packet::{Key, Packet};
use sequoia_openpgp::policy::Policy;
use sequoia_openpgp::serialize::Serialize;
use sequoia_openpgp::types::{HashAlgorithm, SignatureType, Timestamp};

use super::gpg::{Gpg, Operation};
use super::standing::key_standing;
use super::{Error, Passphrase, Status, clearsigned, policy, system_time};

/// What a client may ask for beside `Release`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// `InRelease`: the text, clear-signed.
    pub inrelease: Vec<u8>,
    /// `Release.gpg`: the armored detached signatures.
    pub detached: Vec<u8>,
}

/// The keys that sign one distribution. Made by [`super::KeyHome::signer`], which checks them.
pub struct Signer {
    pub(super) how: How,
    pub(super) warnings: Vec<String>,
}

pub(super) enum How {
    Native(Vec<KeyPair>),
    Gpg {
        gpg: Gpg,
        /// What goes after `--local-user`, one for each key.
        users: Vec<String>,
        passphrase: Option<Passphrase>,
    },
}

impl Signer {
    /// What the user should know about the keys that were selected, a line each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The fingerprints of the keys that sign, upper-case hexadecimal digits.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        match &self.how {
            How::Native(pairs) => pairs.iter().map(|pair| pair.public().fingerprint().to_hex()).collect(),
            How::Gpg { users, .. } => users.iter().map(|user| user.trim_end_matches('!').into()).collect(),
        }
    }

    /// Signs the text of a Release file at the time `now` (Unix seconds). Through a GnuPG home the signature bears the
    /// real time.
    ///
    /// Blanks at the ends of lines are not part of InRelease.
    ///
    /// # Errors
    /// The library or the `gpg` program fails.
    pub fn sign(&self, release: &[u8], now: i64) -> Result<Signed, Error> {
        match &self.how {
            How::Native(pairs) => sign_natively(pairs, release, now),
            How::Gpg { gpg, users, passphrase } => {
                let sign = |operation| gpg.sign(operation, users, passphrase.as_ref(), release);
                Ok(Signed {
                    inrelease: sign(Operation::ClearSign)?,
                    detached: sign(Operation::DetachSign)?,
                })
            }
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("fingerprints", &self.fingerprints())
            .finish_non_exhaustive()
    }
}

fn sign_natively(pairs: &[KeyPair], release: &[u8], now: i64) -> Result<Signed, Error> {
    let clear = armored(pairs, SignatureType::Text, &clearsigned::canonical(release), now)?;
    Ok(Signed {
        inrelease: clearsigned::join(release, "SHA512", &clear),
        detached: armored(pairs, SignatureType::Binary, release, now)?,
    })
}

fn armored(pairs: &[KeyPair], kind: SignatureType, bytes: &[u8], now: i64) -> Result<Vec<u8>, Error> {
    let make = || -> sequoia_openpgp::Result<Vec<u8>> {
        let mut armor = Writer::new(Vec::new(), Kind::Signature)?;
        for pair in pairs {
            Packet::from(signature(&mut pair.clone(), kind, bytes, now)?).serialize(&mut armor)?;
        }
        Ok(armor.finalize()?)
    };
    make().map_err(|source| Error::Library {
        doing: "sign",
        source: source.into(),
    })
}

fn signature(pair: &mut KeyPair, kind: SignatureType, bytes: &[u8], now: i64) -> sequoia_openpgp::Result<Signature4> {
    const HASH: HashAlgorithm = HashAlgorithm::SHA512;
    let fingerprint = pair.public().fingerprint();
    let hashed = vec![
        Subpacket::new(SubpacketValue::IssuerFingerprint(fingerprint.clone()), false)?,
        Subpacket::new(
            SubpacketValue::SignatureCreationTime(Timestamp::try_from(system_time(now))?),
            false,
        )?,
    ];
    // Where GnuPG 1.4 and 2.0, which know no fingerprints here, look for it.
    let unhashed = vec![Subpacket::new(SubpacketValue::Issuer(fingerprint.into()), false)?];
    let algorithm = pair.public().pk_algo();
    let packet = |prefix, mpis| -> sequoia_openpgp::Result<Signature4> {
        let (hashed, unhashed) = (
            SubpacketArea::new(hashed.clone())?,
            SubpacketArea::new(unhashed.clone())?,
        );
        Ok(Signature4::new(kind, algorithm, HASH, hashed, unhashed, prefix, mpis))
    };
    // What is signed holds the packet's head, but neither the digest's first bytes nor the signature proper.
    let mut context = HASH.context()?.for_signature(4);
    context.update(bytes);
    let nothing = mpi::Signature::Unknown {
        mpis: Box::default(),
        rest: Box::default(),
    };
    packet([0; 2], nothing)?.hash(&mut context)?;
    let digest = context.into_digest()?;
    let mpis = pair.sign(HASH, &digest)?;
    packet(
        [
            digest.first().copied().unwrap_or(0),
            digest.get(1).copied().unwrap_or(0),
        ],
        mpis,
    )
}

/// A key of a certificate that can sign now.
pub(super) struct SigningKey {
    pub(super) key: Key<SecretParts, UnspecifiedRole>,
    certificate: Fingerprint,
}

impl SigningKey {
    /// Opens the secret key.
    pub(super) fn unlock(self, passphrase: Option<&Passphrase>) -> Result<KeyPair, Error> {
        let fingerprint = self.certificate.to_hex();
        let key = if self.key.secret().is_encrypted() {
            let Some(passphrase) = passphrase else {
                return Err(Error::PassphraseNeeded { fingerprint });
            };
            // A wrong passphrase gives rubbish, which the library reports as one of many parse errors.
            let opened = self.key.decrypt_secret(passphrase.password());
            opened.map_err(|_| Error::WrongPassphrase { key: fingerprint })?
        } else {
            self.key
        };
        key.into_keypair().map_err(|source| Error::Library {
            doing: "open the secret key",
            source: source.into(),
        })
    }
}

/// The key of a certificate that signs: the newest signing subkey that can, else the primary key, as GnuPG chooses. With
/// `only`, that key and no other.
///
/// # Errors
/// None can, with the reason.
pub(super) fn signing_key(cert: &Cert, only: Option<&Fingerprint>, now: i64) -> Result<SigningKey, Error> {
    let policy = policy::signing(now);
    let mut best: Option<Key<SecretParts, UnspecifiedRole>> = None;
    let mut refusal = None;
    for amalgamation in cert.keys().secret() {
        let key = amalgamation.key();
        if only.is_some_and(|only| *only != key.fingerprint()) {
            continue;
        }
        match can_sign(cert, key, &policy, now) {
            Ok(()) => {
                let newer = best.as_ref().is_none_or(|best| {
                    key.creation_time() >= best.creation_time() || best.fingerprint() == cert.fingerprint()
                });
                if newer {
                    best = Some(key.clone().role_into_unspecified());
                }
            }
            // The primary key comes first and stands for the whole certificate.
            Err(reason) => refusal = refusal.or(Some(reason)),
        }
    }
    match best {
        Some(key) => Ok(SigningKey {
            key,
            certificate: cert.fingerprint(),
        }),
        None => Err(refusal.unwrap_or_else(|| cannot_sign(cert, "its secret key is not here"))),
    }
}

fn can_sign<R>(cert: &Cert, key: &Key<SecretParts, R>, policy: &dyn Policy, now: i64) -> Result<(), Error>
where
    R: sequoia_openpgp::packet::key::KeyRole,
{
    let public = key.clone().take_secret().0.role_into_unspecified();
    key_standing(cert, &public, policy, system_time(now)).map_err(|status| refusal(cert, &status))?;
    if is_elsewhere(key.secret()) {
        return Err(cannot_sign(
            cert,
            "its secret part is on a smart card or was left out of the export",
        ));
    }
    if key.version() != 4 {
        return Err(cannot_sign(cert, "it is not of version 4, which clients need"));
    }
    Ok(())
}

/// GnuPG exports a mark in place of a secret key that it does not hold.
fn is_elsewhere(secret: &SecretKeyMaterial) -> bool {
    matches!(secret, SecretKeyMaterial::Encrypted(encrypted) if matches!(encrypted.s2k(), S2K::Private { .. }))
}

fn cannot_sign(cert: &Cert, reason: &str) -> Error {
    Error::CannotSign {
        fingerprint: cert.fingerprint().to_hex(),
        reason: reason.into(),
    }
}

/// The standing of a key that cannot sign, as an error.
pub(super) fn refusal(cert: &Cert, status: &Status) -> Error {
    let fingerprint = cert.fingerprint().to_hex();
    match status {
        Status::ExpiredKey { expired } => Error::KeyExpired {
            fingerprint,
            expired: *expired,
        },
        Status::RevokedKey { reason } => Error::KeyRevoked {
            fingerprint,
            reason: reason.clone(),
        },
        Status::Bad { reason } | Status::Weak { reason } => cannot_sign(cert, reason),
        other => cannot_sign(cert, &other.to_string()),
    }
}
