//! `VerifyRelease`: whose signature an upstream's Release must bear.

use std::path::PathBuf;

use super::directories::Directories;
use super::fault::{Error, printable};
use super::key::KeyId;
use super::reader::Field;

/// Who has to have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// This key, one of those that are known.
    Key(KeyId),
    /// Any key of this keyring file, or a subkey of one.
    File(PathBuf),
}

/// One key, or file of keys, that a rule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCondition {
    /// The key.
    pub signer: Signer,
    /// `!`: it may be expired or revoked.
    pub may_be_invalid: bool,
    /// `+`: a subkey of it may have signed.
    pub with_subkeys: bool,
}

/// Whose signature Release must bear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyRelease {
    /// `blindtrust`: nobody's.
    BlindTrust,
    /// That of one of these keys, at least one.
    AnyOf(Vec<KeyCondition>),
}

/// Reads `VerifyRelease: KEY[!][+] { | KEY[!][+] }`. In the place of a key may be a keyring
/// file: a word with a slash, or one that ends as such files do.
pub(super) fn read(field: &Field, directories: &Directories) -> Result<VerifyRelease, Error> {
    let line = field.only_line()?.ok_or_else(|| field.empty())?;
    if line.text == "blindtrust" {
        return Ok(VerifyRelease::BlindTrust);
    }
    let keys: Result<_, String> = line
        .text
        .split('|')
        .map(|part| read_key(part.trim(), directories))
        .collect();
    keys.map(VerifyRelease::AnyOf)
        .map_err(|problem| Error::syntax(&line.place, problem))
}

fn read_key(text: &str, directories: &Directories) -> Result<KeyCondition, String> {
    let (key, with_subkeys) = match text.strip_suffix('+') {
        Some(rest) => (rest.trim_end(), true),
        None => (text, false),
    };
    let (key, may_be_invalid) = match key.strip_suffix('!') {
        Some(rest) => (rest.trim_end(), true),
        None => (key, false),
    };
    let problem = |rule| Err(format!("invalid key `{}`: {rule}", printable(text)));
    if key.ends_with('+') {
        return problem("`!` comes before `+`");
    }
    if key.contains([' ', '\t', ',']) {
        return problem("several keys have `|` between them; a fingerprint has no spaces");
    }
    let is_file = key.contains('/') || [".asc", ".gpg", ".pgp"].iter().any(|end| key.ends_with(end));
    let signer = if is_file {
        Signer::File(directories.file(key))
    } else {
        Signer::Key(KeyId::new(key).map_err(|error| error.to_string())?)
    };
    Ok(KeyCondition {
        signer,
        may_be_invalid,
        with_subkeys,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::Options;

    fn directories() -> Directories {
        let options = Options {
            basedir: Some("/srv/apt".into()),
            ..Options::default()
        };
        Directories::resolve(&options, None).unwrap().0
    }

    #[test]
    fn signs_after_a_key_are_read_with_and_without_spaces() {
        let directories = directories();
        for text in ["437D05B5!+", "437d05b5 ! +"] {
            let condition = read_key(text, &directories).unwrap();
            assert!(condition.may_be_invalid && condition.with_subkeys, "{text}");
            assert_eq!(condition.signer, Signer::Key(KeyId::new("437D05B5").unwrap()));
        }
        for text in ["", "+", "437D05B5+!", "437D05B5 437D05B6", "437D05B5,437D05B6"] {
            assert!(read_key(text, &directories).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_is_a_keyring_file() {
        let directories = directories();
        for (text, file) in [
            ("/usr/share/keyrings/debian.gpg", "/usr/share/keyrings/debian.gpg"),
            ("keys/hp.asc !", "/srv/apt/conf/keys/hp.asc"),
            ("hp.pgp", "/srv/apt/conf/hp.pgp"),
            ("+b/keys/hp", "/srv/apt/keys/hp"),
        ] {
            let condition = read_key(text, &directories).unwrap();
            assert_eq!(condition.signer, Signer::File(file.into()), "{text}");
            assert_eq!(condition.may_be_invalid, text.ends_with('!'), "{text}");
        }
    }
}
