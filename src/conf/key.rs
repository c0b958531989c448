//! OpenPGP keys as the configuration names them: by a fingerprint, or by the end of one.

use std::fmt;

use super::fault::printable;

const MIN_DIGITS: usize = 8;
/// An ID of fewer digits can be made to fit by anybody with a usual computer.
const SAFE_DIGITS: usize = 16;
/// The fingerprint of a version 6 key (RFC 9580); that of a version 4 key has 40.
const MAX_DIGITS: usize = 64;

/// A fingerprint, or the last digits of one: 8 to 64 hexadecimal digits, upper case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyId(String);

/// A text that names no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid key `{text}`: must be a fingerprint, or at least its last 8 hexadecimal digits, without spaces")]
pub struct KeyIdError {
    text: String,
}

impl KeyId {
    /// The checked name of a key; `0x` before it is skipped.
    ///
    /// # Errors
    /// It is too short or too long, or has other characters than hexadecimal digits.
    pub fn new(text: &str) -> Result<Self, KeyIdError> {
        let digits = text
            .strip_prefix("0x")
            .or_else(|| text.strip_prefix("0X"))
            .unwrap_or(text);
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex && (MIN_DIGITS..=MAX_DIGITS).contains(&digits.len()) {
            Ok(Self(digits.to_ascii_uppercase()))
        } else {
            Err(KeyIdError { text: printable(text) })
        }
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the key of this fingerprint is meant.
    #[must_use]
    pub fn names(&self, fingerprint: &str) -> bool {
        fingerprint.to_ascii_uppercase().ends_with(&self.0)
    }

    /// Whether it is so short that anybody can make a key that it names too.
    #[must_use]
    pub fn is_forgeable(&self) -> bool {
        self.0.len() < SAFE_DIGITS
    }

    /// What to say of one that is forgeable.
    pub(super) fn forgeable_warning(&self) -> String {
        format!("anybody can make a key whose fingerprint ends in `{self}`: write the whole fingerprint")
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_by_their_end() {
        let key = KeyId::new("0x437d05b5").unwrap();
        assert!(key.is_forgeable());
        assert!(key.names("630239cc130e1a7fd81a27b140976eaf437d05b5"));
        assert!(!key.names("630239CC130E1A7FD81A27B140976EAF437D05B6"));
        assert!(
            !KeyId::new("630239CC130E1A7FD81A27B140976EAF437D05B5")
                .unwrap()
                .is_forgeable()
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "0x", "437D05B", "437D05BX", "437D 05B5", &"A".repeat(65)] {
            assert!(KeyId::new(text).is_err(), "{text}");
        }
    }
}
