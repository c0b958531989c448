//! Whether an upstream's Release is to be believed: its signatures, then what its fields say of its age and of itself.

use std::borrow::Cow;
use std::path::Path;

use super::upstream::Upstream;
use super::{Error, Result, UpstreamRelease};
use crate::conf::update::Toleration;
use crate::conf::verify::{KeyCondition, Signer, VerifyRelease};
use crate::model::Sha256;
use crate::model::release::format_date;
use crate::pgp::{self, Keyring, SignatureInfo, Status};

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
    /// The keys that are known, beside those of the keyring files that rules name.
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
        let keyrings = Keyrings::read(self.keyring, &upstream.conditions)?;
        let (text, signatures) = self.read(url, signed, &keyrings)?;
        let unsatisfied = upstream
            .conditions
            .iter()
            .any(|condition| !self.satisfies(condition, &signatures, &keyrings));
        if unsatisfied {
            return Err(Error::Untrusted {
                url: url.to_owned(),
                problem: describe(&signatures),
            });
        }
        let release = UpstreamRelease::parse(&text, &upstream.ignore_hashes).map_err(|problem| Error::Release {
            url: url.to_owned(),
            problem,
        })?;
        Ok(Accepted {
            release,
            digest: Sha256::of(&text),
            url: url.to_owned(),
            warning: None,
        })
    }

    /// The text and what its signatures are worth.
    fn read(&self, url: &str, signed: Signed, keyrings: &Keyrings<'_>) -> Result<(Vec<u8>, Vec<SignatureInfo>)> {
        let failed = |source| Error::Signed {
            url: url.to_owned(),
            source,
        };
        let keyring = keyrings.all();
        match signed {
            Signed::Inline(bytes) => {
                let read = pgp::read_maybe_signed(&bytes, &keyring, self.now).map_err(failed)?;
                Ok((read.text, read.signatures))
            }
            Signed::Detached(text, None) => Ok((text, Vec::new())),
            Signed::Detached(text, Some(signature)) => {
                let verified = pgp::verify_detached(&text, &signature, &keyring, self.now).map_err(failed)?;
                Ok((verified.text, verified.signatures))
            }
        }
    }

    fn satisfies(&self, condition: &VerifyRelease, signatures: &[SignatureInfo], keyrings: &Keyrings<'_>) -> bool {
        let VerifyRelease::AnyOf(keys) = condition else {
            return true;
        };
        signatures.iter().any(|signature| {
            keys.iter()
                .any(|key| keyrings.is_by(signature, key) && self.is_good_enough(key, signature))
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

    /// Refuses a Release that is too old, no longer valid, or of another distribution than was asked for; gives a warning
    /// if one that comes for the first time may be.
    pub(super) fn check_fields(
        &self,
        upstream: &Upstream,
        new: &Accepted,
        before: Option<&Accepted>,
    ) -> Result<Option<String>> {
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
        let may_expire = upstream.tolerated.contains(&Toleration::Expired);
        if let Some(until) = new.release.valid_until.filter(|until| *until < self.now && !may_expire) {
            return Err(Error::Expired {
                url: url(),
                valid_until: format_date(until),
            });
        }
        let name = match before {
            Some(before) => changed_name(upstream, &new.release, &before.release),
            None => name_on_first_contact(upstream, &new.release),
        };
        match name {
            Name::Right => Ok(None),
            Name::Doubtful(problem) => Ok(Some(format!("`{}`: {problem}", new.url))),
            Name::Other(problem) => Err(Error::OtherSuite { url: url(), problem }),
        }
    }
}

/// The keys that one upstream may be signed by.
struct Keyrings<'a> {
    known: &'a Keyring,
    files: Vec<(&'a Path, Keyring)>,
}

impl<'a> Keyrings<'a> {
    /// Reads the keyring files that the conditions name.
    fn read(known: &'a Keyring, conditions: &'a [VerifyRelease]) -> Result<Self> {
        let mut files: Vec<(&Path, Keyring)> = Vec::new();
        for condition in conditions {
            let VerifyRelease::AnyOf(keys) = condition else {
                continue;
            };
            for key in keys {
                let Signer::File(path) = &key.signer else { continue };
                let keyring = Keyring::from_file(path).map_err(|source| Error::Keyring {
                    path: path.clone(),
                    source: Box::new(source),
                })?;
                files.push((path, keyring));
            }
        }
        Ok(Self { known, files })
    }

    fn all(&self) -> Keyring {
        let files = self.files.iter().map(|(_, keyring)| keyring.clone());
        files.fold(self.known.clone(), Keyring::merged)
    }

    /// Whether a signature is by the key, or by a key of the file, that is meant. A key that only a file has is not
    /// found by its digits: another rule's file must not help to forge them.
    fn is_by(&self, signature: &SignatureInfo, key: &KeyCondition) -> bool {
        let has = |keyring: &Keyring| {
            let primary = signature.primary.as_deref();
            primary.is_some_and(|primary| keyring.has_primary(primary))
        };
        match &key.signer {
            Signer::Key(id) => has(self.known) && signature.is_by(id.as_str(), key.with_subkeys),
            Signer::File(path) => self.files.iter().any(|(known, keyring)| known == path && has(keyring)),
        }
    }
}

/// Whether a Release is of the distribution that was asked for, by what it calls itself.
enum Name {
    Right,
    Doubtful(String),
    Other(String),
}

/// Codename and suite, as far as they are given.
fn shown_names(release: &UpstreamRelease) -> String {
    let shown = |name: &Option<String>| match name {
        None => Cow::Borrowed("none"),
        Some(name) => format!("`{name}`").into(),
    };
    format!(
        "its codename is {}, its suite {}",
        shown(&release.codename),
        shown(&release.suite)
    )
}

/// Compares a Release with the one that was accepted before.
fn changed_name(upstream: &Upstream, new: &UpstreamRelease, before: &UpstreamRelease) -> Name {
    let asked = upstream.suite.as_str();
    let is_asked = |name: &Option<String>| name.as_deref().is_some_and(|name| name == asked);
    let same_codename = new.codename == before.codename || is_asked(&new.suite);
    let same_suite = new.suite == before.suite || is_asked(&new.codename);
    if same_codename && same_suite || upstream.tolerated.contains(&Toleration::OtherName) {
        return Name::Right;
    }
    Name::Other(format!("{}; before, {}", shown_names(new), shown_names(before)))
}

/// Judges a Release that nothing is known to compare with. `wheezy/updates` may call itself `wheezy`, and
/// `debian/stable` `stable`. One that gives both names, neither of which fits, may be of another distribution by the
/// same signer.
fn name_on_first_contact(upstream: &Upstream, new: &UpstreamRelease) -> Name {
    let asked = upstream.suite.trim_matches('/');
    let names: Vec<&str> = [&new.codename, &new.suite]
        .into_iter()
        .filter_map(Option::as_deref)
        .collect();
    let fits = |name: &&str| *name == asked || asked.split('/').any(|part| part == *name);
    if upstream.is_flat || names.is_empty() || names.iter().any(|name| fits(&name.trim_matches('/'))) {
        return Name::Right;
    }
    let problem = format!("{}, where `{asked}` was asked for", shown_names(new));
    let is_derived = |name: &&str| asked.split(['/', '-']).next() == Some(*name);
    if names.len() < 2 || names.iter().any(is_derived) || upstream.tolerated.contains(&Toleration::OtherName) {
        return Name::Doubtful(problem);
    }
    Name::Other(problem)
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
