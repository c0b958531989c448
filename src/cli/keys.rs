//! `key`: the keys that sign the archive and that uploads and upstreams are checked with.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::conf::Directories;
use crate::ops::archive::Settings;
use crate::ops::key_package::{self, KeyPackage};
use crate::ops::{self, keys};

use super::term::exit_code;
use super::{Error, answer};

/// Arguments of `key`.
#[derive(Debug, Args)]
pub struct KeyCommand {
    #[command(subcommand)]
    action: KeyAction,
}

#[derive(Debug, Subcommand)]
enum KeyAction {
    /// Make a key that signs the archive
    Generate(Generate),
    /// Take keys from files: secret ones to sign with, public ones to check with
    Import {
        /// Armored or binary key files, as `gpg --export` and `gpg --export-secret-keys` write them
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Write public keys to stdout
    Export(Export),
    /// List the keys
    List,
    /// Say whether apt will accept each key, today and next year, and when it expires
    Check {
        /// Only these keys: fingerprints, key ids or user ids
        keys: Vec<String>,
    },
    /// Build the package that brings the key and the sources to clients
    Package(Package),
}

#[derive(Debug, Args)]
struct Generate {
    /// Whose key it is
    #[arg(long)]
    name: String,
    /// An address for it
    #[arg(long)]
    email: String,
    /// ed25519, rsa3072 or rsa4096; clients older than Debian 9 and Ubuntu 16.10 need rsa
    #[arg(long, default_value = "ed25519")]
    algorithm: keys::Algorithm,
    /// Days until it expires; 0: never
    #[arg(long, value_name = "DAYS", default_value_t = keys::DEFAULT_VALID_DAYS)]
    valid: u32,
}

#[derive(Debug, Args)]
struct Export {
    /// Only these keys: fingerprints, key ids or user ids
    keys: Vec<String>,
    /// The secret keys
    #[arg(long)]
    secret: bool,
}

#[derive(Debug, Args)]
struct Package {
    /// Name of the archive: the package is called NAME-archive-keyring
    name: String,
    /// Where clients find the archive
    #[arg(long = "uri", value_name = "URI", required = true)]
    uris: Vec<String>,
    /// The distributions that clients use
    #[arg(long = "suite", value_name = "SUITE", required = true)]
    suites: Vec<String>,
    /// The components that clients use
    #[arg(
        long = "components",
        value_name = "COMPONENT",
        default_value = "main",
        value_delimiter = ' '
    )]
    components: Vec<String>,
    /// Version of the package [default: the date]
    #[arg(long)]
    package_version: Option<String>,
    /// Maintainer of the package, `Name <address>` [default: from the key]
    #[arg(long)]
    maintainer: Option<String>,
    /// Only these keys: fingerprints, key ids or user ids [default: those that sign]
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// Clients fetch sources, too
    #[arg(long)]
    sources: bool,
    /// Directory that the package is written to
    #[arg(long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
}

/// Runs a key command; gives the exit code.
pub fn run(command: &KeyCommand, directories: &Directories, settings: &Settings, json: bool) -> Result<u8, Error> {
    let home = directories.gnupg.as_path();
    let passphrase_file = settings.passphrase_file.as_deref();
    match &command.action {
        KeyAction::Generate(Generate {
            name,
            email,
            algorithm,
            valid,
        }) => {
            let user_id = format!("{name} <{email}>");
            let valid_days = (*valid != 0).then_some(*valid);
            let new = keys::Generate {
                user_id: &user_id,
                algorithm: *algorithm,
                valid_days,
                passphrase_file,
            };
            imported(
                &[keys::generate(home, &new, settings.now).map_err(ops::Error::from)?],
                json,
            )?;
        }
        KeyAction::Import { files } => imported(&keys::import(home, files).map_err(ops::Error::from)?, json)?,
        KeyAction::Export(Export { keys: wanted, secret }) => {
            let exported = match secret {
                true => keys::export_secret(home, wanted, passphrase_file),
                false => keys::export(home, wanted),
            };
            answer::bytes(&exported.map_err(ops::Error::from)?)?;
        }
        KeyAction::List => {
            let listing = keys::list(home, settings.now).map_err(ops::Error::from)?;
            if json {
                answer::json(&listing.keys)?
            } else {
                answer::text(&listing.text())?
            }
        }
        KeyAction::Check { keys: wanted } => {
            let report = keys::check(home, wanted, settings.now).map_err(ops::Error::from)?;
            if json {
                answer::json(&report.keys)?
            } else {
                answer::text(&report.text())?
            }
            return Ok(report.kind().map_or(0, exit_code));
        }
        KeyAction::Package(package) => build_package(package, directories, settings, json)?,
    }
    Ok(0)
}

fn imported(keys: &[keys::Imported], json: bool) -> Result<(), Error> {
    if json {
        return answer::json(&keys);
    }
    answer::lines(keys.iter().map(|key| {
        let storage = if key.new { "new" } else { "merged with what was there" };
        let kind = if key.secret { "secret" } else { "public" };
        format!("{} {}: {kind}, {storage}", key.fingerprint, key.user_id)
    }))
}

fn build_package(package: &Package, directories: &Directories, settings: &Settings, json: bool) -> Result<(), Error> {
    let wanted = KeyPackage {
        name: &package.name,
        version: package.package_version.as_deref(),
        maintainer: package.maintainer.as_deref(),
        keys: &package.keys,
        uris: &package.uris,
        suites: &package.suites,
        components: &package.components,
        architectures: &[],
        sources: package.sources,
    };
    let built = key_package::build(&directories.gnupg, &wanted, settings.now).map_err(ops::Error::from)?;
    let path = package.output.join(&built.file_name);
    crate::fsio::write_atomic(&path, &built.bytes).map_err(ops::Error::from)?;
    answer::rows(&[path.display().to_string()], json)
}
