//! Verifying what others signed: upstream Release files, uploads, .dsc files.
//!
//! Every signature gets its own verdict, and each that is not simply good says why, since the rules differ: a Release
//! needs a good signature by a named key, an upload only must not carry a broken one. An expired, revoked or weak key
//! is reported as such only if it really made the signature, so a caller may choose to accept it.

use std::fmt;
use std::time::{Duration, SystemTime};

use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::packet::{Packet, Signature};
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::policy::Policy;
use sequoia_openpgp::types::SignatureType;
use sequoia_openpgp::{self as openpgp, KeyHandle, PacketPile};

use super::clearsigned::{canonical, split_clearsigned};
use super::standing::{AnyKey, key_standing};
use super::{Error, Keyring, MAX_SIGNED_BYTES, day, policy, system_time, unix_seconds};

/// Clocks of those who sign may run ahead of ours by this much.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(30 * 60);
const MAX_SIGNATURE_BYTES: usize = 1 << 20;
const MAX_SIGNATURES: usize = 64;

/// What became of one signature.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Made by a known key that was and is in order, over exactly this text.
    Good,
    /// Not made over this text, or by a key that must not sign.
    Bad {
        /// Why.
        reason: String,
    },
    /// The keyring does not have the key: nothing can be said.
    UnknownKey,
    /// Right, but its maker limited its time.
    ExpiredSignature {
        /// When it ended, in Unix seconds.
        expired: i64,
    },
    /// Right, but its key has expired.
    ExpiredKey {
        /// When it ended, in Unix seconds.
        expired: i64,
    },
    /// Right, but its key is revoked.
    RevokedKey {
        /// The reason that its owner gave.
        reason: String,
    },
    /// Right, but its key or its digest can be forged today.
    Weak {
        /// What is weak.
        reason: String,
    },
    /// Of a version or algorithm that is not known here: nothing can be said.
    Unsupported {
        /// What is not known.
        reason: String,
    },
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("good"),
            Self::Bad { reason } => write!(f, "bad ({reason})"),
            Self::UnknownKey => f.write_str("by an unknown key"),
            Self::ExpiredSignature { expired } => write!(f, "expired on {}", day(*expired)),
            Self::ExpiredKey { expired } => write!(f, "by a key that expired on {}", day(*expired)),
            Self::RevokedKey { reason } => write!(f, "by a revoked key ({reason})"),
            Self::Weak { reason } => write!(f, "too weak ({reason})"),
            Self::Unsupported { reason } => write!(f, "of an unsupported kind ({reason})"),
        }
    }
}

/// One signature and its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureInfo {
    /// Fingerprint of the key that made it, or the key id if the signature tells no more; upper-case hexadecimal
    /// digits, empty if it does not tell at all.
    pub issuer: String,
    /// Fingerprint of the primary key, if the keyring has the key.
    pub primary: Option<String>,
    /// When it says it was made, in Unix seconds.
    pub created: Option<i64>,
    /// The verdict.
    pub status: Status,
}

impl SignatureInfo {
    /// Whether the signature is by the key whose fingerprint ends in `digits` (hexadecimal, any case). With `subkeys`
    /// also if `digits` are of the primary key and one of its subkeys signed.
    #[must_use]
    pub fn is_by(&self, digits: &str, subkeys: bool) -> bool {
        let digits = digits.to_ascii_uppercase();
        !digits.is_empty()
            && (self.issuer.ends_with(&digits)
                || subkeys && self.primary.as_ref().is_some_and(|primary| primary.ends_with(&digits)))
    }
}

impl fmt::Display for SignatureInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuer = if self.issuer.is_empty() {
            "an unnamed key"
        } else {
            &self.issuer
        };
        write!(f, "signature of {issuer}: {}", self.status)
    }
}

/// A text and what its signatures are worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Exactly what the signatures cover; nothing else of the file may be parsed.
    pub text: Vec<u8>,
    /// The signatures in the order of the file; at least one, not necessarily good.
    pub signatures: Vec<SignatureInfo>,
}

impl Verified {
    /// The signatures that are good.
    pub fn good(&self) -> impl Iterator<Item = &SignatureInfo> {
        self.signatures
            .iter()
            .filter(|signature| signature.status == Status::Good)
    }
}

/// A text that need not be signed, and what its signatures are worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaybeSigned {
    /// The whole text if it is not signed; otherwise exactly what the signatures cover.
    pub text: Vec<u8>,
    /// The signatures; none if it is not signed.
    pub signatures: Vec<SignatureInfo>,
}

impl MaybeSigned {
    /// A signature that does not fit the text; reprepro's `--ignore=brokensignatures` accepts it.
    #[must_use]
    pub fn broken(&self) -> Option<&SignatureInfo> {
        self.signatures
            .iter()
            .find(|signature| matches!(signature.status, Status::Bad { .. }))
    }
}

/// Verifies a clear-signed file, such as InRelease, at the time `now` (Unix seconds). That there is a signature does
/// not make it good: see [`Verified::good`].
///
/// # Errors
/// The file is too long, not signed, has text outside the signed text, or its signature block cannot be read.
pub fn verify_clearsigned(bytes: &[u8], keyring: &Keyring, now: i64) -> Result<Verified, Error> {
    let MaybeSigned { text, signatures } = read_maybe_signed(bytes, keyring, now)?;
    if signatures.is_empty() {
        return Err(Error::NotSigned);
    }
    Ok(Verified { text, signatures })
}

/// Verifies the detached signature (armored or binary) of a text, such as Release.gpg of Release.
///
/// # Errors
/// The text is too long, or the signature cannot be read.
pub fn verify_detached(text: &[u8], signature: &[u8], keyring: &Keyring, now: i64) -> Result<Verified, Error> {
    if text.len() > MAX_SIGNED_BYTES {
        return Err(Error::TooLong { size: text.len() });
    }
    let canonical = canonical_detached(text);
    let document = Document {
        binary: Some(text),
        canonical: &canonical,
    };
    Ok(Verified {
        text: text.to_owned(),
        signatures: document.verify_all(signature, keyring, now)?,
    })
}

/// Reads a file that may be clear-signed, such as .changes or .dsc, and verifies it if it is.
///
/// # Errors
/// The file is too long, has text outside the signed text, or its signature block cannot be read.
pub fn read_maybe_signed(bytes: &[u8], keyring: &Keyring, now: i64) -> Result<MaybeSigned, Error> {
    let Some(split) = split_clearsigned(bytes)? else {
        return Ok(MaybeSigned {
            text: bytes.to_owned(),
            signatures: Vec::new(),
        });
    };
    let document = Document {
        binary: None,
        canonical: &canonical(&split.text),
    };
    Ok(MaybeSigned {
        signatures: document.verify_all(&split.signature, keyring, now)?,
        text: split.text,
    })
}

/// The form over which a detached text signature is made: only the line ends change.
fn canonical_detached(text: &[u8]) -> Vec<u8> {
    let mut canonical = Vec::with_capacity(text.len() + text.len() / 16);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(start) => {
                canonical.extend_from_slice(start.strip_suffix(b"\r").unwrap_or(start));
                canonical.extend_from_slice(b"\r\n");
            }
            None => canonical.extend_from_slice(line),
        }
    }
    canonical
}

/// A signed text in the forms that the two types of document signature cover.
struct Document<'a> {
    /// None where the file's form allows text signatures only.
    binary: Option<&'a [u8]>,
    canonical: &'a [u8],
}

impl Document<'_> {
    fn verify_all(&self, block: &[u8], keyring: &Keyring, now: i64) -> Result<Vec<SignatureInfo>, Error> {
        let unreadable = |source: super::error::Cause| Error::UnreadableSignature { source };
        if block.len() > MAX_SIGNATURE_BYTES {
            return Err(unreadable(
                format!("it is longer than {MAX_SIGNATURE_BYTES} bytes").into(),
            ));
        }
        let pile = PacketPile::from_bytes(block).map_err(|error| unreadable(error.into()))?;
        let mut signatures = Vec::new();
        for packet in pile.children() {
            signatures.push(match packet {
                Packet::Signature(signature) => self.verify(signature, keyring, now),
                Packet::Unknown(unknown) if unknown.tag() == openpgp::packet::Tag::Signature => unsupported(unknown),
                Packet::Marker(_) | Packet::Padding(_) => continue,
                other => return Err(unreadable(format!("it holds a {} packet", other.tag()).into())),
            });
            if signatures.len() > MAX_SIGNATURES {
                return Err(unreadable(format!("there are more than {MAX_SIGNATURES}").into()));
            }
        }
        if signatures.is_empty() {
            return Err(unreadable("there is none in it".into()));
        }
        Ok(signatures)
    }

    fn verify(&self, signature: &Signature, keyring: &Keyring, now: i64) -> SignatureInfo {
        let mut info = SignatureInfo {
            issuer: String::new(),
            primary: None,
            created: signature.signature_creation_time().map(unix_seconds),
            status: Status::UnknownKey,
        };
        // The fingerprint, where there is one, is the first.
        let issuers = signature.get_issuers();
        info.issuer = issuers.first().map(KeyHandle::to_hex).unwrap_or_default();
        for handle in issuers.iter().take(4) {
            for cert in keyring.find(handle) {
                for key in cert.keys().key_handle(handle.clone()) {
                    info.issuer = key.key().fingerprint().to_hex();
                    info.primary = Some(cert.fingerprint().to_hex());
                    let policy = policy::verifying(now, keyring.tolerance(cert));
                    info.status = match self.made_by(signature, key.key()) {
                        Ok(()) => standing(signature, cert, key.key(), &policy, system_time(now)),
                        Err(status) => status,
                    };
                    if info.status == Status::Good {
                        return info;
                    }
                }
            }
        }
        info
    }

    /// Whether the key made the signature over this text: mathematics alone.
    fn made_by(&self, signature: &Signature, key: &AnyKey) -> Result<(), Status> {
        let bad = |reason: String| Err(Status::Bad { reason });
        let bytes = match (signature.typ(), self.binary) {
            (SignatureType::Text, _) => self.canonical,
            (SignatureType::Binary, Some(binary)) => binary,
            (other, _) => return bad(format!("a {other} instead of a document signature")),
        };
        match signature.verify_message(key, bytes) {
            Ok(()) => Ok(()),
            Err(error) => match error.downcast_ref() {
                Some(
                    openpgp::Error::UnsupportedHashAlgorithm(_)
                    | openpgp::Error::UnsupportedPublicKeyAlgorithm(_)
                    | openpgp::Error::UnsupportedEllipticCurve(_),
                ) => Err(Status::Unsupported {
                    reason: error.to_string(),
                }),
                _ => bad("it was not made over this text".into()),
            },
        }
    }
}

fn unsupported(unknown: &openpgp::packet::Unknown) -> SignatureInfo {
    SignatureInfo {
        issuer: String::new(),
        primary: None,
        created: None,
        status: Status::Unsupported {
            reason: unknown.error().to_string(),
        },
    }
}

/// What a signature is worth that the key did make.
fn standing(signature: &Signature, cert: &Cert, key: &AnyKey, policy: &dyn Policy, now: SystemTime) -> Status {
    if let Err(status) = key_standing(cert, key, policy, now) {
        return status;
    }
    if let Err(error) = signature.signature_alive(now, CLOCK_TOLERANCE) {
        return match error.downcast_ref() {
            Some(openpgp::Error::Expired(at)) => Status::ExpiredSignature {
                expired: unix_seconds(*at),
            },
            _ => Status::Bad {
                reason: "it was made in the future".into(),
            },
        };
    }
    match policy.signature(signature, openpgp::policy::HashAlgoSecurity::CollisionResistance) {
        Ok(()) => Status::Good,
        Err(error) => Status::Weak {
            reason: format!("{error:#}"),
        },
    }
}
