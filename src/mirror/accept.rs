//! Whether an upstream's Release is to be believed: its signatures, then what its fields say of its age and of itself.

use std::borrow::Cow;

use super::upstream::Upstream;
use super::{Error, Result, UpstreamRelease};
use crate::conf::verify::{KeyCondition, VerifyRelease};
use crate::model::Sha256;
use crate::model::release::format_date;
use crate::pgp::{self, Keyring, MaybeSigned, SignatureInfo, Status};

/// How far an upstream's clock may be ahead, in seconds.
const CLOCK_TOLERANCE_SECONDS: i64 = 86_400;

/// What `--ignore` lets pass for keys that a rule marks with `!`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tolerated {
    /// `--ignore=expiredkey`.
    pub expired_key: bool,
    /// `--ignore=revokedkey`.
    pub revoked_key: bool,
    /// `--ignore=expiredsignature`.
    pub expired_signature: bool,
}

/// What Release files are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// The keys that are known.
    pub keyring: &'a Keyring,
    /// What the command line lets pass.
    pub tolerated: Tolerated,
    /// Now, in Unix seconds.
    pub now: i64,
}

/// A Release that can be relied on.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// What it says.
    pub release: UpstreamRelease,
    /// The digest of its text.
    pub digest: Sha256,
    /// Where it came from, for messages.
    pub url: String,
    /// What should be looked at, though it can be used.
    pub warning: Option<String>,
}

/// A Release as it came.
#[derive(Debug)]
pub(super) enum Signed {
    /// InRelease.
    Inline(Vec<u8>),
    /// Release, with Release.gpg where that was wanted.
    Detached(Vec<u8>, Option<Vec<u8>>),
}

impl Trust<'_> {
    /// Reads a Release if its signatures are what the rules want.
    pub(super) fn verify(&self, upstream: &Upstream, url: &str, signed: Signed) -> Result<Accepted> {
        let failed = |source| Error::Signed {
            url: url.to_owned(),
            source,
        };
        let read = match signed {
            Signed::Inline(bytes) => pgp::read_maybe_signed(&bytes, self.keyring, self.now).map_err(failed)?,
            Signed::Detached(text, None) => MaybeSigned {
                text,
                signatures: Vec::new(),
            },
            Signed::Detached(text, Some(signature)) => {
                let verified = pgp::verify_detached(&text, &signature, self.keyring, self.now).map_err(failed)?;
                MaybeSigned {
                    text: verified.text,
                    signatures: verified.signatures,
                }
            }
        };
        let unsatisfied = upstream
            .conditions
            .iter()
            .any(|condition| !self.satisfies(condition, &read.signatures));
        if unsatisfied {
            return Err(Error::Untrusted {
                url: url.to_owned(),
                problem: describe(&read.signatures),
            });
        }
        let release =
            UpstreamRelease::parse(&read.text, &upstream.ignore_hashes).map_err(|problem| Error::Release {
                url: url.to_owned(),
                problem,
            })?;
        Ok(Accepted {
            release,
            digest: Sha256::of(&read.text),
            url: url.to_owned(),
            warning: None,
        })
    }

    fn satisfies(&self, condition: &VerifyRelease, signatures: &[SignatureInfo]) -> bool {
        let VerifyRelease::AnyOf(keys) = condition else {
            return true;
        };
        signatures.iter().any(|signature| {
            keys.iter()
                .any(|key| signature.is_by(key.key.as_str(), key.with_subkeys) && self.is_good_enough(key, signature))
        })
    }

    fn is_good_enough(&self, key: &KeyCondition, signature: &SignatureInfo) -> bool {
        let tolerated = match signature.status {
            Status::Good => return true,
            Status::Weak { .. } => true,
            Status::ExpiredKey { .. } => self.tolerated.expired_key,
            Status::RevokedKey { .. } => self.tolerated.revoked_key,
            Status::ExpiredSignature { .. } => self.tolerated.expired_signature,
            _ => false,
        };
        tolerated && key.may_be_invalid
    }

    /// Refuses a Release that is too old, no longer valid, or of another distribution than was asked for.
    pub(super) fn check_fields(&self, upstream: &Upstream, new: &Accepted, before: Option<&Accepted>) -> Result<()> {
        let url = || new.url.clone();
        let date = new.release.date;
        if let (Some(date), Some(accepted)) = (date, before.and_then(|before| before.release.date))
            && date < accepted
        {
            return Err(Error::Older {
                url: url(),
                date: format_date(date),
                accepted: format_date(accepted),
            });
        }
        if let Some(date) = date.filter(|date| *date > self.now.saturating_add(CLOCK_TOLERANCE_SECONDS)) {
            return Err(Error::Future {
                url: url(),
                date: format_date(date),
            });
        }
        let valid_until = new.release.valid_until.filter(|_| upstream.check_valid_until);
        if let Some(until) = valid_until.filter(|until| *until < self.now) {
            return Err(Error::Expired {
                url: url(),
                valid_until: format_date(until),
            });
        }
        match other_suite(upstream, new, before) {
            Some(problem) => Err(Error::OtherSuite { url: url(), problem }),
            None => Ok(()),
        }
    }
}

/// How a Release shows that it is of another distribution: it names neither the one that was asked for, or it names
/// others than the one that was accepted before.
fn other_suite(upstream: &Upstream, new: &Accepted, before: Option<&Accepted>) -> Option<String> {
    let named = |release: &UpstreamRelease| (release.codename.clone(), release.suite.clone());
    let shown = |name: Option<String>| name.map_or(Cow::Borrowed("none"), |name| format!("`{name}`").into());
    let (codename, suite) = named(&new.release);
    let asked = upstream.suite.as_str();
    let is_asked = |name: &Option<String>| name.as_deref().is_some_and(|name| name == asked);
    if let Some((old_codename, old_suite)) = before.map(|before| named(&before.release)) {
        let same_suite = suite == old_suite || is_asked(&codename);
        if codename != old_codename && !is_asked(&suite) || !same_suite {
            return Some(format!(
                "its codename is {}, its suite {}; before they were {} and {}",
                shown(codename),
                shown(suite),
                shown(old_codename),
                shown(old_suite)
            ));
        }
    }
    None
}

fn describe(signatures: &[SignatureInfo]) -> String {
    if signatures.is_empty() {
        return "it has no signature".into();
    }
    signatures
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
