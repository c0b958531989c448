//! What is to be said about a key: a row of `key list`, and for `key check` what the `apt` of today and of the next year
//! thinks of it.

use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::cert::amalgamation::ValidateAmalgamation;
use sequoia_openpgp::packet::Key;
use sequoia_openpgp::packet::key::{KeyParts, KeyRole};
use sequoia_openpgp::policy::Policy;
use serde::Serialize;

use super::policy::Anything;
use super::standing::key_standing;
use super::{Error, KeyHome, Status, Storage, day, policy, system_time, unix_seconds};

const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

/// One key, as `key list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyRow {
    /// The fingerprint, upper-case hexadecimal digits.
    pub fingerprint: String,
    /// Whether the secret key is here.
    pub secret: bool,
    /// Where it is kept.
    pub storage: Storage,
    /// Its algorithm and size, such as `rsa4096`.
    pub algorithm: String,
    /// When it was made, in Unix seconds.
    pub created: i64,
    /// When it expires or expired, in Unix seconds; None: never.
    pub expires: Option<i64>,
    /// Whether a signature that it makes now is good.
    pub can_sign: bool,
    /// Why not; empty if it can.
    pub problem: String,
    /// Its user ids, control characters removed.
    pub user_ids: Vec<String>,
}

/// A kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// apt up to 2.6, as in Debian 11 and 12: whatever GnuPG's `gpgv` takes.
    Apt26,
    /// apt 2.8 with `gpgv`, as in Ubuntu 24.04: its `APT::Key::Assert-Pubkey-Algo`.
    Apt28,
    /// apt 3 with sequoia's `sqv`, as in Debian 13: its `default-sequoia.config`.
    Apt3,
}

/// When the client looks at the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Now.
    Today,
    /// In 365 days.
    NextYear,
}

/// What a client does with the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acceptance {
    /// Takes it.
    Accepted,
    /// Takes it and warns, or takes it until something that is foreseen.
    Warned,
    /// Refuses what it signs.
    Refused,
}

/// What one client thinks of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Which client.
    pub client: Client,
    /// When.
    pub when: When,
    /// What it does.
    pub acceptance: Acceptance,
    /// Why, unless it simply accepts.
    pub reason: String,
}

/// What `key check` has to say about a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyCheck {
    /// The key.
    pub key: KeyRow,
    /// The digest of its newest self-signature, such as `SHA512`.
    pub self_signature: String,
    /// Whole days until it expires; None: never; negative: since it has.
    pub days_left: Option<i64>,
    /// What each client thinks of it.
    pub verdicts: Vec<Verdict>,
}

impl KeyCheck {
    /// Whether no client refuses it, today or next year.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.verdicts
            .iter()
            .all(|verdict| verdict.acceptance != Acceptance::Refused)
    }
}

impl KeyHome {
    /// All keys, ours first, each kind by fingerprint.
    ///
    /// # Errors
    /// A key file cannot be read, secret files are open to others, or the `gpg` program fails.
    pub fn list(&self, now: i64) -> Result<Vec<KeyRow>, Error> {
        let rows = self.certs_with_secrets()?.into_iter();
        Ok(rows
            .map(|(cert, storage, secret)| row(&cert, storage, secret, now))
            .collect())
    }

    /// What clients think of keys: of those named, or of those that can sign, or of all if none can.
    ///
    /// # Errors
    /// As [`KeyHome::list`]; or no key matches a name, or several do.
    pub fn check(&self, keys: &[String], now: i64) -> Result<Vec<KeyCheck>, Error> {
        let mut known = self.certs_with_secrets()?;
        if keys.is_empty() {
            if known.iter().any(|(_, _, secret)| *secret) {
                known.retain(|(_, _, secret)| *secret);
            }
        } else {
            let certs = known.iter().map(|(cert, _, _)| cert.clone()).collect();
            let named = self.named(certs, keys, "key")?;
            known.retain(|(cert, _, _)| named.iter().any(|named| named.fingerprint() == cert.fingerprint()));
        }
        Ok(known
            .iter()
            .map(|(cert, storage, secret)| check(cert, *storage, *secret, now))
            .collect())
    }

    fn certs_with_secrets(&self) -> Result<Vec<(Cert, Storage, bool)>, Error> {
        let secret: Vec<String> = match self.signing_gpg()? {
            Some(gpg) => gpg.secret_fingerprints()?,
            None => self
                .secret_certs()?
                .iter()
                .map(|cert| cert.fingerprint().to_hex())
                .collect(),
        };
        let certs = self.public_certs()?.into_iter();
        Ok(certs
            .map(|(cert, storage)| {
                let has_secret = secret.contains(&cert.fingerprint().to_hex());
                (cert, storage, has_secret)
            })
            .collect())
    }
}

/// The user ids of a certificate, printable.
fn user_ids(cert: &Cert) -> Vec<String> {
    let printable = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect()
    };
    cert.userids()
        .map(|user_id| printable(user_id.userid().value()))
        .collect()
}

/// The first user id of a certificate, or nothing.
pub(super) fn user_id(cert: &Cert) -> String {
    user_ids(cert).into_iter().next().unwrap_or_default()
}

/// How messages name a key: fingerprint and user id.
pub(super) fn name(cert: &Cert) -> String {
    format!("{} ({})", cert.fingerprint().to_hex(), user_id(cert))
}

/// Algorithm and size as GnuPG writes them: `rsa4096`, `ed25519`, `dsa1024`.
fn algorithm<P: KeyParts, R: KeyRole>(key: &Key<P, R>) -> String {
    use sequoia_openpgp::crypto::mpi::PublicKey;
    let bits = key.mpis().bits().unwrap_or(0);
    match key.mpis() {
        PublicKey::RSA { .. } => format!("rsa{bits}"),
        PublicKey::DSA { .. } => format!("dsa{bits}"),
        PublicKey::ElGamal { .. } => format!("elg{bits}"),
        PublicKey::EdDSA { curve, .. } | PublicKey::ECDSA { curve, .. } | PublicKey::ECDH { curve, .. } => curve
            .to_string()
            .replace("NIST ", "nist")
            .replace("Ed25519", "ed25519")
            .replace("-", "")
            .to_lowercase(),
        _ => key.pk_algo().to_string(),
    }
}

/// The key that signs for a certificate, or that would if it could: the newest for signing, else the primary key.
fn signing_fingerprint(cert: &Cert, now: i64) -> sequoia_openpgp::Fingerprint {
    let time = system_time(now);
    let keys = cert
        .keys()
        .subkeys()
        .filter_map(|key| key.with_policy(&Anything, time).ok());
    let newest = keys
        .filter(|key| key.for_signing())
        .max_by_key(|key| key.key().creation_time());
    newest.map_or_else(|| cert.fingerprint(), |key| key.key().fingerprint())
}

fn standing(cert: &Cert, policy: &dyn Policy, now: i64) -> Result<(), Status> {
    let fingerprint = signing_fingerprint(cert, now);
    let key = cert.keys().find(|key| key.key().fingerprint() == fingerprint);
    key.map_or(Ok(()), |key| key_standing(cert, key.key(), policy, system_time(now)))
}

/// When a certificate ends: itself, or the key that signs for it.
fn expires(cert: &Cert, now: i64) -> Option<i64> {
    let fingerprint = signing_fingerprint(cert, now);
    let time = system_time(now);
    let signing = cert
        .keys()
        .find(|key| key.key().fingerprint() == fingerprint)?
        .with_policy(&Anything, time)
        .ok()?;
    let primary = cert.primary_key().with_policy(&Anything, time).ok()?;
    let ends = [signing.key_expiration_time(), primary.key_expiration_time()];
    ends.into_iter().flatten().min().map(unix_seconds)
}

fn row(cert: &Cert, storage: Storage, secret: bool, now: i64) -> KeyRow {
    let standing = standing(cert, &policy::signing(now), now);
    KeyRow {
        fingerprint: cert.fingerprint().to_hex(),
        secret,
        storage,
        algorithm: algorithm(cert.primary_key().key()),
        created: unix_seconds(cert.primary_key().key().creation_time()),
        expires: expires(cert, now),
        can_sign: secret && standing.is_ok(),
        problem: match standing {
            Err(status) => problem(&status),
            Ok(()) if secret => String::new(),
            Ok(()) => "no secret key".into(),
        },
        user_ids: user_ids(cert),
    }
}

fn problem(status: &Status) -> String {
    match status {
        Status::ExpiredKey { expired } => format!("expired on {}", day(*expired)),
        Status::RevokedKey { reason } => format!("revoked: {reason}"),
        Status::Bad { reason } | Status::Weak { reason } => reason.clone(),
        other => other.to_string(),
    }
}

fn check(cert: &Cert, storage: Storage, secret: bool, now: i64) -> KeyCheck {
    let key = row(cert, storage, secret, now);
    let binding = cert.primary_key().with_policy(&Anything, system_time(now)).ok();
    KeyCheck {
        self_signature: binding.map_or_else(|| "none".into(), |key| key.binding_signature().hash_algo().to_string()),
        days_left: key.expires.map(|at| (at - now).div_euclid(DAY)),
        verdicts: verdicts(cert, &key, now),
        key,
    }
}

fn verdicts(cert: &Cert, key: &KeyRow, now: i64) -> Vec<Verdict> {
    let gpgv = standing(cert, &Anything, now).map_err(|status| problem(&status));
    let gpgv = gpgv.and_then(|()| unknown_to_gpgv(cert, now).map_or(Ok(()), Err));
    let sqv = |at| standing(cert, &policy::apt_3(at), now).map_err(|status| problem(&status));
    let verdict = |client, when, judged: Result<Option<String>, String>| {
        let (acceptance, reason) = match judged {
            Ok(None) => (Acceptance::Accepted, String::new()),
            Ok(Some(warning)) => (Acceptance::Warned, warning),
            Err(reason) => (Acceptance::Refused, reason),
        };
        Verdict {
            client,
            when,
            acceptance,
            reason,
        }
    };
    let ends = key.expires.filter(|&at| at <= now.saturating_add(YEAR));
    let ending = ends.map(|at| format!("expires on {}", day(at)));
    let asserted = gpgv
        .clone()
        .and_then(|()| asserted_by_apt_28(&signing_algorithm(cert, now)));
    vec![
        verdict(Client::Apt26, When::Today, gpgv.map(|()| None)),
        verdict(Client::Apt28, When::Today, asserted),
        verdict(Client::Apt3, When::Today, sqv(now).map(|()| None)),
        verdict(
            Client::Apt3,
            When::NextYear,
            sqv(now.saturating_add(YEAR)).map(|()| ending),
        ),
    ]
}

fn signing_algorithm(cert: &Cert, now: i64) -> String {
    let fingerprint = signing_fingerprint(cert, now);
    let key = cert.keys().find(|key| key.key().fingerprint() == fingerprint);
    key.map_or_else(String::new, |key| algorithm(key.key()))
}

/// GnuPG 2.2 reads keys of version 4, and of the algorithms of RFC 4880 and its extensions for elliptic curves.
fn unknown_to_gpgv(cert: &Cert, now: i64) -> Option<String> {
    // RSA, DSA, ECDSA, EdDSA as RFC 9580 section 9.1 numbers them.
    const KNOWN: [u8; 4] = [1, 17, 19, 22];
    let fingerprint = signing_fingerprint(cert, now);
    let key = cert.keys().find(|key| key.key().fingerprint() == fingerprint)?;
    let algorithm = key.key().pk_algo();
    if key.key().version() != 4 {
        return Some(format!("gpgv does not read keys of version {}", key.key().version()));
    }
    let known = KNOWN.contains(&u8::from(algorithm));
    (!known).then(|| format!("gpgv does not know the algorithm {algorithm}"))
}

/// `APT::Key::Assert-Pubkey-Algo` of apt 2.8.1, and `::Next`, which it warns by.
fn asserted_by_apt_28(algorithm: &str) -> Result<Option<String>, String> {
    let bits = algorithm.strip_prefix("rsa").and_then(|bits| bits.parse::<u32>().ok());
    match bits {
        Some(bits) if bits < 1024 => Err(format!("{algorithm} is too short")),
        Some(bits) if bits < 2048 => Ok(Some(format!("{algorithm} is weak: rsa2048 is asked for"))),
        None if algorithm.starts_with("dsa") => Err(format!("{algorithm} is not among the algorithms it asks for")),
        None if algorithm.starts_with("brainpool") || algorithm.starts_with("secp") => Ok(Some(format!(
            "{algorithm} is not among the algorithms that its next version asks for"
        ))),
        _ => Ok(None),
    }
}
