//! The key directory, which `gnupghome` names: our own keys as one armored file each, `secret/FINGERPRINT.asc` and
//! `public/FINGERPRINT.asc`, beside or instead of a GnuPG home.
//!
//! As long as there is no secret key of ours, a GnuPG home signs through the `gpg` program. Its public keys stay known
//! for verifying even when keys were imported, so that importing one key never makes others unknown.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::serialize::SerializeInto;

use super::error::Cause;
use super::gpg::Gpg;
use super::keyring::parse_certs;
use super::secret::{check_closed, create_private_dir, write_private};
use super::{Error, Keyring, MAX_KEYRING_BYTES, Passphrase, facts};
use crate::fsio::{self, AtPath};

/// Who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Secret keys of our own.
    Native,
    /// The `gpg` program, over a GnuPG home.
    Gnupg,
    /// Nobody: there is no secret key.
    Empty,
}

/// Where a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// A file of ours.
    Aptrepo,
    /// The GnuPG home.
    Gnupg,
}

/// What an import did with one key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Imported {
    /// The key's fingerprint.
    pub fingerprint: String,
    /// Its first user id.
    pub user_id: String,
    /// Whether there is a secret key now.
    pub secret: bool,
    /// Whether the key was not there before.
    pub new: bool,
}

/// The key directory.
#[derive(Debug, Clone)]
pub struct KeyHome {
    directory: PathBuf,
    gpg: Option<Gpg>,
}

impl KeyHome {
    /// The keys in a directory, which need not exist.
    ///
    /// # Errors
    /// The path is empty.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let directory = std::path::absolute(directory).at("find the key directory", directory)?;
        Ok(Self {
            gpg: Gpg::in_directory(&directory),
            directory,
        })
    }

    /// The directory, as an absolute path.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Who signs.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn backend(&self) -> Result<Backend, Error> {
        Ok(if !key_files(&self.secret_dir())?.is_empty() {
            Backend::Native
        } else if self.gpg.is_some() {
            Backend::Gnupg
        } else {
            Backend::Empty
        })
    }

    /// How to do without the `gpg` program, where it is still needed to sign.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn hint(&self) -> Result<Option<String>, Error> {
        let gnupg = self.backend()? == Backend::Gnupg;
        Ok(gnupg.then(|| super::gpg::import_hint(&self.directory)))
    }

    /// All public keys: ours and those of the GnuPG home.
    ///
    /// # Errors
    /// A key file cannot be read, or the `gpg` program fails. That it is missing is an error only if there are no keys
    /// of ours.
    pub fn keyring(&self) -> Result<Keyring, Error> {
        let certs = self.public_certs()?;
        Ok(certs.into_iter().map(|(cert, _)| cert).collect())
    }

    /// Puts all keys of a file, secret and public, to those that are there; what is new of a key that is there already
    /// is merged into it. `origin` names the file in errors.
    ///
    /// # Errors
    /// It is not a key file, or a key cannot be written; keys before that one are then there.
    pub fn import(&self, bytes: &[u8], origin: &str) -> Result<Vec<Imported>, Error> {
        parse_certs(bytes, origin)?
            .into_iter()
            .map(|cert| self.store(cert))
            .collect()
    }

    /// Armored public keys: those named, or all.
    ///
    /// # Errors
    /// No key matches a name, or several do.
    pub fn export(&self, keys: &[String]) -> Result<Vec<u8>, Error> {
        let certs = self.public_certs()?.into_iter().map(|(cert, _)| cert).collect();
        armored(&self.named(certs, keys, "key")?, |cert| cert.armored().to_vec())
    }

    /// Armored secret keys, in the form in which they are kept: those named, or all.
    ///
    /// # Errors
    /// No key matches a name, or several do, or secret files are open to others, or the `gpg` program fails.
    pub fn export_secret(&self, keys: &[String], passphrase: Option<&Passphrase>) -> Result<Vec<u8>, Error> {
        let certs = match (self.backend()?, &self.gpg) {
            (Backend::Gnupg, Some(gpg)) => {
                let fingerprints = self.gnupg_secret_keys(gpg, keys)?;
                let certs = parse_certs(&gpg.export_secret(&fingerprints, passphrase)?, "the export of gpg")?;
                self.named(certs, &[], "secret key")?
            }
            _ => self.named(self.secret_certs()?, keys, "secret key")?,
        };
        armored(&certs, |cert| cert.as_tsk().armored().to_vec())
    }

    /// Puts one key to those that are there.
    pub(super) fn store(&self, cert: Cert) -> Result<Imported, Error> {
        let name = format!("{}.asc", cert.fingerprint().to_hex());
        let (public_file, secret_file) = (self.public_dir().join(&name), self.secret_dir().join(&name));
        let mut new = true;
        let mut cert = cert;
        let old_secret = self.read_key(&secret_file)?;
        for old in [self.read_key(&public_file)?, old_secret].into_iter().flatten() {
            new = false;
            cert = old.merge_public_and_secret(cert).map_err(library("merge the key"))?;
        }
        create_private_dir(&self.directory)?;
        if cert.is_tsk() {
            create_private_dir(&self.secret_dir())?;
            self.check_permissions()?;
            write_private(
                &secret_file,
                &cert.as_tsk().armored().to_vec().map_err(library("write the key"))?,
            )?;
        }
        fsio::create_dir_all(&self.public_dir())?;
        let public = cert.clone().strip_secret_key_material();
        fsio::write_atomic(
            &public_file,
            &public.armored().to_vec().map_err(library("write the key"))?,
        )?;
        Ok(Imported {
            fingerprint: cert.fingerprint().to_hex(),
            user_id: facts::user_id(&cert),
            secret: cert.is_tsk(),
            new,
        })
    }

    /// Public keys with the place of each, ours first.
    pub(super) fn public_certs(&self) -> Result<Vec<(Cert, Storage)>, Error> {
        let mut certs = BTreeMap::new();
        for file in key_files(&self.public_dir())? {
            for cert in self.read_key(&file)?.into_iter() {
                certs.insert((Storage::Aptrepo as u8, cert.fingerprint()), (cert, Storage::Aptrepo));
            }
        }
        let ours: Vec<_> = certs.keys().map(|(_, fingerprint)| fingerprint.clone()).collect();
        let theirs = match self.gpg.as_ref().map(Gpg::export_public) {
            Some(Err(Error::NoGpg { .. })) if !ours.is_empty() => Vec::new(),
            Some(exported) => exported?,
            None => Vec::new(),
        };
        if !theirs.is_empty() {
            for cert in parse_certs(&theirs, "the keyring of gpg")? {
                if !ours.contains(&cert.fingerprint()) {
                    certs.insert((Storage::Gnupg as u8, cert.fingerprint()), (cert, Storage::Gnupg));
                }
            }
        }
        Ok(certs.into_values().collect())
    }

    /// Our own secret keys, their files' permissions checked.
    pub(super) fn secret_certs(&self) -> Result<Vec<Cert>, Error> {
        let files = key_files(&self.secret_dir())?;
        if !files.is_empty() {
            self.check_permissions()?;
        }
        let mut certs = Vec::new();
        for file in files {
            check_closed(&file, 0o077, 0o600)?;
            certs.extend(self.read_key(&file)?);
        }
        Ok(certs)
    }

    /// The GnuPG home, if it is what signs.
    pub(super) fn signing_gpg(&self) -> Result<Option<&Gpg>, Error> {
        let signs = self.backend()? == Backend::Gnupg;
        Ok(self.gpg.as_ref().filter(|_| signs))
    }

    /// The fingerprints of GnuPG's secret keys: one for each name, all without names.
    pub(super) fn gnupg_secret_keys(&self, gpg: &Gpg, keys: &[String]) -> Result<Vec<String>, Error> {
        if keys.is_empty() {
            return match gpg.secret_fingerprints()? {
                none if none.is_empty() => Err(Error::NoSecretKeys {
                    home: self.directory.clone(),
                }),
                some => Ok(some),
            };
        }
        let mut selected = Vec::new();
        for wanted in keys {
            let matching = gpg.matching_secret_keys(wanted)?;
            match matching.as_slice() {
                [one] => selected.push(one.clone()),
                [] => return Err(self.no_such_key("secret key", wanted)),
                _ => {
                    return Err(Error::AmbiguousKey {
                        wanted: wanted.clone(),
                        candidates: matching,
                    });
                }
            }
        }
        Ok(selected)
    }

    pub(super) fn no_such_key(&self, what: &'static str, wanted: &str) -> Error {
        Error::NoSuchKey {
            what,
            wanted: wanted.into(),
            home: self.directory.clone(),
        }
    }

    /// Those of `certs` that are named, all without names; in the order of the names.
    pub(super) fn named(&self, certs: Vec<Cert>, keys: &[String], what: &'static str) -> Result<Vec<Cert>, Error> {
        if keys.is_empty() {
            return if certs.is_empty() && what == "secret key" {
                Err(Error::NoSecretKeys {
                    home: self.directory.clone(),
                })
            } else {
                Ok(certs)
            };
        }
        let find = |wanted: &String| match super::select::select(&certs, wanted)? {
            Some(selected) => Ok(selected.cert.clone()),
            None => Err(self.no_such_key(what, wanted)),
        };
        keys.iter().map(find).collect()
    }

    fn secret_dir(&self) -> PathBuf {
        self.directory.join("secret")
    }

    fn public_dir(&self) -> PathBuf {
        self.directory.join("public")
    }

    /// Nobody else may put other keys there. That they see its names is no harm: the files are closed to them.
    fn check_permissions(&self) -> Result<(), Error> {
        check_closed(&self.directory, 0o022, 0o700)?;
        check_closed(&self.secret_dir(), 0o022, 0o700)
    }

    fn read_key(&self, file: &Path) -> Result<Option<Cert>, Error> {
        let Some(bytes) = fsio::read_if_there(file, MAX_KEYRING_BYTES)? else {
            return Ok(None);
        };
        Ok(parse_certs(&bytes, &file.display().to_string())?.into_iter().next())
    }
}

fn library<E: Into<Cause>>(doing: &'static str) -> impl Fn(E) -> Error {
    move |source| Error::Library {
        doing,
        source: source.into(),
    }
}

fn armored<F>(certs: &[Cert], armor: F) -> Result<Vec<u8>, Error>
where
    F: Fn(&Cert) -> sequoia_openpgp::Result<Vec<u8>>,
{
    let blocks: Result<Vec<_>, _> = certs.iter().map(armor).collect();
    Ok(blocks.map_err(library("write the key"))?.concat())
}

/// The `.asc` files of a directory, sorted; none if there is no directory.
fn key_files(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at("read the directory", directory)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.at("read the directory", directory)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "asc") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
