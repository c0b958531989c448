//! The `key` commands: make, import, export, list and check the keys that sign the archive.
//!
//! Everything works on the key directory (`gnupghome`); what comes back are plain values and texts for `cli` to print.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::fsio;
use crate::model::ErrorKind;
use crate::pgp::{self, KeyHome};

pub use crate::pgp::{Acceptance, Algorithm, Client, Imported, KeyCheck, KeyRow, Storage, Verdict, When};

/// A `key` command failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] pgp::Error);

impl From<fsio::Error> for Error {
    fn from(error: fsio::Error) -> Self {
        Self(error.into())
    }
}

impl Error {
    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind()
    }

    /// What to do about it, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.0.hint()
    }
}

/// What `key generate` is asked for.
#[derive(Debug, Clone)]
pub struct Generate<'a> {
    /// The user id, such as `Example archive <archive@example.org>`.
    pub user_id: &'a str,
    /// The kind of key.
    pub algorithm: Algorithm,
    /// For how many days it is valid; None: without end.
    pub valid_days: Option<u32>,
    /// A file whose first line locks the secret key.
    pub passphrase_file: Option<&'a Path>,
}

/// How long a new key is valid unless something else is asked for: three years.
pub const DEFAULT_VALID_DAYS: u32 = 3 * 365;

/// Makes a key.
///
/// # Errors
/// The user id is none, or the key cannot be written.
pub fn generate(directory: &Path, new: &Generate<'_>, now: i64) -> Result<Imported, Error> {
    let passphrase = passphrase(new.passphrase_file)?;
    let new = pgp::NewKey {
        user_id: new.user_id,
        algorithm: new.algorithm,
        valid_days: new.valid_days,
        passphrase: passphrase.as_ref(),
    };
    Ok(KeyHome::open(directory)?.generate(&new, now)?)
}

/// Takes over all keys, secret and public, of files: armored or binary, as `gpg --export` and `gpg
/// --export-secret-keys` write them.
///
/// # Errors
/// A file cannot be read or is no key file; the keys of the files before it are then there.
pub fn import(directory: &Path, files: &[PathBuf]) -> Result<Vec<Imported>, Error> {
    let home = KeyHome::open(directory)?;
    // all are read before the first is kept: a name that is mistyped changes nothing
    let mut contents = Vec::new();
    for file in files {
        contents.push(fsio::read_limited(file, pgp::MAX_KEYRING_BYTES)?);
    }
    let mut imported = Vec::new();
    for (file, bytes) in files.iter().zip(contents) {
        imported.extend(home.import(&bytes, &file.display().to_string())?);
    }
    Ok(imported)
}

/// As [`import`], from bytes that came another way; `origin` names them in errors.
///
/// # Errors
/// They are no key file, or a key cannot be written.
pub fn import_bytes(directory: &Path, bytes: &[u8], origin: &str) -> Result<Vec<Imported>, Error> {
    Ok(KeyHome::open(directory)?.import(bytes, origin)?)
}

/// Armored public keys: those named, or all.
///
/// # Errors
/// No key matches a name, or several do.
pub fn export(directory: &Path, keys: &[String]) -> Result<Vec<u8>, Error> {
    Ok(KeyHome::open(directory)?.export(keys)?)
}

/// Armored secret keys: those named, or all. The passphrase is needed only where the `gpg` program asks for it; keys
/// of ours are exported as they are kept.
///
/// # Errors
/// No key matches a name, or several do; or secret files are open to others.
pub fn export_secret(directory: &Path, keys: &[String], passphrase_file: Option<&Path>) -> Result<Vec<u8>, Error> {
    let passphrase = passphrase(passphrase_file)?;
    Ok(KeyHome::open(directory)?.export_secret(keys, passphrase.as_ref())?)
}

/// The keys that are there, and what the user should know about how they are kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Listing {
    /// The keys.
    pub keys: Vec<KeyRow>,
    /// How to do without the `gpg` program, where it is still needed.
    pub hint: Option<String>,
}

impl Listing {
    /// Three lines a key, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for key in &self.keys {
            let kind = if key.secret { "secret" } else { "public" };
            let place = if key.storage == Storage::Gnupg {
                " (in the GnuPG home)"
            } else {
                ""
            };
            let expiry = key
                .expires
                .map_or_else(|| "never expires".into(), |at| format!("expires {}", pgp::day(at)));
            let signs = match key.problem.as_str() {
                "" => "can sign",
                problem => problem,
            };
            let created = pgp::day(key.created);
            let _ = writeln!(text, "{}", key.fingerprint);
            let _ = writeln!(
                text,
                "    {kind} {}{place}, made {created}, {expiry}, {signs}",
                key.algorithm
            );
            for user_id in &key.user_ids {
                let _ = writeln!(text, "    {user_id}");
            }
        }
        text
    }
}

/// All keys, ours first.
///
/// # Errors
/// A key file cannot be read, secret files are open to others, or the `gpg` program fails.
pub fn list(directory: &Path, now: i64) -> Result<Listing, Error> {
    let home = KeyHome::open(directory)?;
    Ok(Listing {
        keys: home.list(now)?,
        hint: home.hint()?,
    })
}

/// What clients think of keys.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CheckReport {
    /// One for each key that was looked at.
    pub keys: Vec<KeyCheck>,
}

impl CheckReport {
    /// The kind of failure that it is if a client refuses a key, today or next year.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        let accepted = self.keys.iter().all(KeyCheck::is_accepted);
        (!accepted).then_some(ErrorKind::Signing)
    }

    /// A paragraph a key, for people: what it is, when it expires, what each client does with it, what to do about it.
    #[must_use]
    pub fn text(&self) -> String {
        let paragraphs: Vec<String> = self.keys.iter().map(paragraph).collect();
        paragraphs.join("\n")
    }
}

/// Whether the `apt` of today and of the next year accepts keys, and when they expire: those named, or those with a
/// secret key, or all if there is none.
///
/// # Errors
/// There is no key, or none matches a name, or several do; or as for [`list`].
pub fn check(directory: &Path, keys: &[String], now: i64) -> Result<CheckReport, Error> {
    let home = KeyHome::open(directory)?;
    let keys = home.check(keys, now)?;
    if keys.is_empty() {
        let home = home.directory().to_owned();
        return Err(pgp::Error::NoSecretKeys { home }.into());
    }
    Ok(CheckReport { keys })
}

fn paragraph(check: &KeyCheck) -> String {
    let key = &check.key;
    let mut text = format!("{}\n", key.fingerprint);
    for user_id in &key.user_ids {
        let _ = writeln!(text, "    {user_id}");
    }
    let _ = writeln!(
        text,
        "    {}, self-signature with {}",
        key.algorithm, check.self_signature
    );
    let expiry = match (key.expires, check.days_left) {
        (Some(at), Some(days)) if days < 0 => format!("expired on {}", pgp::day(at)),
        (Some(at), Some(1)) => format!("expires on {}, 1 day left", pgp::day(at)),
        (Some(at), Some(days)) => format!("expires on {}, {days} days left", pgp::day(at)),
        _ => "never expires".into(),
    };
    let _ = writeln!(text, "    {expiry}");
    for verdict in &check.verdicts {
        let _ = writeln!(text, "    {}", verdict_line(verdict));
    }
    if let Some(note) = note(check) {
        let _ = writeln!(text, "    {note}");
    }
    text
}

fn verdict_line(verdict: &Verdict) -> String {
    let client = match (verdict.client, verdict.when) {
        (Client::Apt26, _) => "apt up to 2.6 (Debian 12)",
        (Client::Apt28, _) => "apt 2.8 (Ubuntu 24.04)",
        (Client::Apt3, When::Today) => "apt 3 (Debian 13)",
        (Client::Apt3, When::NextYear) => "apt 3 in a year",
    };
    match verdict.acceptance {
        Acceptance::Accepted => format!("{client}: accepts it"),
        Acceptance::Warned if verdict.when == When::NextYear => {
            format!("{client}: accepts it until then: {}", verdict.reason)
        }
        Acceptance::Warned => format!("{client}: accepts it with a warning: {}", verdict.reason),
        Acceptance::Refused => format!("{client}: refuses it: {}", verdict.reason),
    }
}

fn note(check: &KeyCheck) -> Option<String> {
    let refused_only_by_sqv = check
        .verdicts
        .iter()
        .all(|verdict| verdict.client == Client::Apt3 || verdict.acceptance != Acceptance::Refused);
    let fingerprint = &check.key.fingerprint;
    if !check.is_accepted()
        && check.self_signature == "SHA1"
        && refused_only_by_sqv
        && !check.key.algorithm.starts_with("dsa")
    {
        return Some(format!(
            "the self-signature is made with SHA-1; renew it where the key is in GnuPG, and give the public key to the \
             clients again: gpg --cert-digest-algo SHA512 --quick-set-expire {fingerprint} 3y"
        ));
    }
    if !check.is_accepted() {
        return Some(
            "make a new key with `aptrepo key generate`, and name both in SignWith until all clients have the new one"
                .into(),
        );
    }
    if check.days_left.is_some_and(|days| days < 365) {
        return Some("clients need the next key before this one expires: make it and name both in SignWith".into());
    }
    let only_rsa = !check.key.algorithm.starts_with("rsa") && !check.key.algorithm.starts_with("dsa");
    only_rsa
        .then(|| "clients as old as Ubuntu 16.04 and Debian 8 (GnuPG 1.4) do not read it; they need an RSA key".into())
}

fn passphrase(file: Option<&Path>) -> Result<Option<pgp::Passphrase>, Error> {
    Ok(file.map(pgp::Passphrase::from_file).transpose()?)
}
