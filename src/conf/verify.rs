//! `VerifyRelease`: whose signature an upstream's Release must bear.

use super::fault::{Error, printable};
use super::key::KeyId;
use super::reader::Field;

/// One key that a rule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCondition {
    /// The key.
    pub key: KeyId,
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

/// Reads `VerifyRelease: KEY[!][+] { | KEY[!][+] }`.
pub(super) fn read(field: &Field) -> Result<VerifyRelease, Error> {
    let line = field.only_line()?.ok_or_else(|| field.empty())?;
    if line.text == "blindtrust" {
        return Ok(VerifyRelease::BlindTrust);
    }
    let keys: Result<_, String> = line.text.split('|').map(|part| read_key(part.trim())).collect();
    keys.map(VerifyRelease::AnyOf)
        .map_err(|problem| Error::syntax(&line.place, problem))
}

fn read_key(text: &str) -> Result<KeyCondition, String> {
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
    Ok(KeyCondition {
        key: KeyId::new(key).map_err(|error| error.to_string())?,
        may_be_invalid,
        with_subkeys,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_after_a_key_are_read_with_and_without_spaces() {
        for text in ["437D05B5!+", "437d05b5 ! +"] {
            let condition = read_key(text).unwrap();
            assert!(condition.may_be_invalid && condition.with_subkeys, "{text}");
            assert_eq!(condition.key.as_str(), "437D05B5");
        }
        for text in ["", "+", "437D05B5+!", "437D05B5 437D05B6", "437D05B5,437D05B6"] {
            assert!(read_key(text).is_err(), "{text}");
        }
    }
}
