//! Which key is meant: `SignWith` and the arguments of the `key` commands.

use sequoia_openpgp::Fingerprint;
use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::crypto::KeyPair;

use super::gpg::Gpg;
use super::sign::{How, refusal, signing_key};
use super::standing::key_standing;
use super::{Error, KeyHome, Passphrase, Signer, Status, facts, policy, system_time};

/// A key that was asked for.
pub(super) struct Selected<'a> {
    pub(super) cert: &'a Cert,
    /// The one key of it that must sign, asked for by a `!` after its fingerprint.
    pub(super) only: Option<Fingerprint>,
    /// Whether it was found by the last eight digits, which anybody can make another key with.
    pub(super) by_short_id: bool,
}

/// The only key that answers to `wanted`: the end of its fingerprint, or of a subkey's (at least 8 digits, with or
/// without `0x`), or else a part of a user id, any case. None if there is none.
///
/// # Errors
/// There are several, or `wanted` is empty.
pub(super) fn select<'a>(certs: &'a [Cert], wanted: &str) -> Result<Option<Selected<'a>>, Error> {
    let text = wanted.trim();
    let (id, exactly) = match text.strip_suffix('!') {
        Some(id) => (id, true),
        None => (text, false),
    };
    let digits: String = id
        .trim_start_matches("0x")
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    if text.len() < 3 {
        return Err(Error::InvalidSelector { wanted: wanted.into() });
    }
    if digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let digits = digits.to_ascii_uppercase();
        let key = |cert: &'a Cert| {
            let mut fingerprints = cert.keys().map(|key| key.key().fingerprint());
            fingerprints.find(|fingerprint| fingerprint.to_hex().ends_with(&digits))
        };
        let matching = certs
            .iter()
            .filter_map(|cert| key(cert).map(|found| (cert, found)))
            .collect();
        if let Some((cert, found)) = only_one(matching, wanted, |(cert, _)| cert)? {
            return Ok(Some(Selected {
                cert,
                only: exactly.then_some(found),
                by_short_id: digits.len() == 8,
            }));
        }
    }
    let lower = text.to_lowercase();
    let named = |cert: &&Cert| {
        let mut user_ids = cert.userids();
        user_ids.any(|user_id| {
            String::from_utf8_lossy(user_id.userid().value())
                .to_lowercase()
                .contains(&lower)
        })
    };
    let found = only_one(certs.iter().filter(named).collect(), wanted, |cert| cert)?;
    Ok(found.map(|cert| Selected {
        cert,
        only: None,
        by_short_id: false,
    }))
}

fn only_one<T>(mut matching: Vec<T>, wanted: &str, cert: impl Fn(&T) -> &Cert) -> Result<Option<T>, Error> {
    if matching.len() > 1 {
        return Err(Error::AmbiguousKey {
            wanted: wanted.into(),
            candidates: matching.iter().map(|found| facts::name(cert(found))).collect(),
        });
    }
    Ok(matching.pop())
}

impl KeyHome {
    /// The keys that sign: those named, each selecting exactly one secret key, or without names (`SignWith: yes`) the
    /// default key. That is, of the keys of ours, the one of those that can sign that was made first, so that adding a
    /// key does not change who signs; in a GnuPG home it is GnuPG's default key.
    ///
    /// # Errors
    /// A name selects none or several; a key has expired, is revoked or cannot sign; it is locked and the passphrase is
    /// missing or wrong; secret files are open to others.
    pub fn signer(&self, keys: &[String], passphrase: Option<&Passphrase>, now: i64) -> Result<Signer, Error> {
        if let Some(gpg) = self.signing_gpg()? {
            return self.gnupg_signer(gpg, keys, passphrase, now);
        }
        let certs = self.secret_certs()?;
        if certs.is_empty() {
            return Err(Error::NoSecretKeys {
                home: self.directory().to_owned(),
            });
        }
        let mut warnings = Vec::new();
        let mut pairs = Vec::new();
        if keys.is_empty() {
            pairs.push(default_key(&certs, now, &mut warnings)?.unlock(passphrase)?);
        }
        for wanted in keys {
            let selected = select(&certs, wanted)?.ok_or_else(|| self.no_such_key("secret key", wanted))?;
            if selected.by_short_id {
                warnings.push(format!(
                    "`{wanted}` is a short key id, which another key can share: name {} instead",
                    selected.cert.fingerprint().to_hex()
                ));
            }
            let key = signing_key(selected.cert, selected.only.as_ref(), now)?;
            if pairs
                .iter()
                .all(|pair: &KeyPair| pair.public().fingerprint() != key.key.fingerprint())
            {
                pairs.push(key.unlock(passphrase)?);
            }
        }
        Ok(Signer {
            how: How::Native(pairs),
            warnings,
        })
    }

    fn gnupg_signer(
        &self,
        gpg: &Gpg,
        keys: &[String],
        passphrase: Option<&Passphrase>,
        now: i64,
    ) -> Result<Signer, Error> {
        let fingerprints = self.gnupg_secret_keys(gpg, keys)?;
        let certs = super::keyring::parse_certs(&gpg.export_public()?, "the keyring of gpg")?;
        let standing =
            |fingerprint: &String| match certs.iter().find(|cert| cert.fingerprint().to_hex() == *fingerprint) {
                Some(cert) => gnupg_standing(cert, now),
                None => Ok(()),
            };
        let mut users = Vec::new();
        if keys.is_empty() {
            // gpg takes its default key; without any key in order it would not say why.
            let standings: Vec<_> = fingerprints.iter().map(standing).collect();
            if standings.iter().all(Result::is_err) {
                standings.into_iter().collect::<Result<(), _>>()?;
            }
        } else {
            fingerprints.iter().try_for_each(standing)?;
            for (wanted, fingerprint) in keys.iter().zip(fingerprints) {
                let exactly = wanted.ends_with('!');
                let user = if exactly { wanted.clone() } else { fingerprint };
                if !users.contains(&user) {
                    users.push(user);
                }
            }
        }
        Ok(Signer {
            how: How::Gpg {
                gpg: gpg.clone(),
                users,
                passphrase: passphrase.cloned(),
            },
            warnings: Vec::new(),
        })
    }
}

fn default_key(certs: &[Cert], now: i64, warnings: &mut Vec<String>) -> Result<super::sign::SigningKey, Error> {
    let mut by_age: Vec<&Cert> = certs.iter().collect();
    by_age.sort_by_key(|cert| (cert.primary_key().key().creation_time(), cert.fingerprint()));
    let mut refusal = None;
    let mut usable = Vec::new();
    for cert in by_age {
        match signing_key(cert, None, now) {
            Ok(key) => usable.push((cert, key)),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    let several = usable.len() > 1;
    match (usable.into_iter().next(), refusal) {
        (Some((cert, key)), _) => {
            if several {
                warnings.push(format!(
                    "several secret keys can sign, and `SignWith: yes` does not say which: signing with the oldest, {}",
                    facts::name(cert)
                ));
            }
            Ok(key)
        }
        (None, Some(error)) => Err(error),
        (None, None) => Err(Error::InvalidSelector { wanted: "yes".into() }),
    }
}

/// Whether any key of a certificate in a GnuPG home may sign now; whether its secret part is there is gpg's to know.
fn gnupg_standing(cert: &Cert, now: i64) -> Result<(), Error> {
    let policy = policy::signing(now);
    let mut first: Option<Status> = None;
    for key in cert.keys() {
        match key_standing(cert, key.key(), &policy, system_time(now)) {
            Ok(()) => return Ok(()),
            Err(status) => first = first.or(Some(status)),
        }
    }
    first.map_or(Ok(()), |status| Err(refusal(cert, &status)))
}
