//! File digests: the kinds that archives use, as fixed arrays, and a hasher that computes several in one pass.
//!
//! The field names they travel under differ by place (`MD5Sum` in Release, `MD5sum` in Packages, `Files` in
//! Sources), see Debian Policy 5.6.24 and DebianRepository/Format.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use md5::Md5 as Md5Hasher;
use serde::{Deserialize, Serialize};
use sha1::Sha1 as Sha1Hasher;
use sha2::{Digest as _, Sha256 as Sha256Hasher, Sha512 as Sha512Hasher};

/// A digest was not the expected number of hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {kind} digest `{text}`: must be {digits} hexadecimal digits")]
pub struct ParseDigestError {
    /// The kind of digest that was expected.
    pub kind: DigestKind,
    /// What stood there, cut to a printable length.
    pub text: String,
    /// How many digits that kind has.
    pub digits: usize,
}

/// The kinds of digest that an archive can carry, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DigestKind {
    /// MD5, `MD5Sum` in Release.
    Md5,
    /// SHA-1, `SHA1` in Release.
    Sha1,
    /// SHA-256, `SHA256` in Release.
    Sha256,
    /// SHA-512, `SHA512` in Release.
    Sha512,
}

impl DigestKind {
    /// All kinds, in the order in which Release lists them.
    pub const ALL: [Self; 4] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512];

    /// The field of Release, and the directory below `by-hash/`, for this kind.
    #[must_use]
    pub fn release_field(self) -> &'static str {
        match self {
            Self::Md5 => "MD5Sum",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    /// The field of a Packages stanza for this kind.
    #[must_use]
    pub fn packages_field(self) -> &'static str {
        match self {
            Self::Md5 => "MD5sum",
            other => other.release_field(),
        }
    }

    /// The field of a .dsc, a .changes or a Sources stanza for this kind.
    #[must_use]
    pub fn source_field(self) -> &'static str {
        match self {
            Self::Md5 => "Files",
            Self::Sha1 => "Checksums-Sha1",
            Self::Sha256 => "Checksums-Sha256",
            Self::Sha512 => "Checksums-Sha512",
        }
    }
}

impl fmt::Display for DigestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        })
    }
}

macro_rules! define_digest {
    ($(#[$doc:meta])* $name:ident, $len:literal, $kind:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; $len]);

        impl $name {
            /// The digest that has these bytes.
            #[must_use]
            pub fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The digest's bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_hex(text).map(Self).ok_or_else(|| ParseDigestError {
                    kind: $kind,
                    text: text.chars().take(140).collect(),
                    digits: 2 * $len,
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseDigestError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(digest: $name) -> Self {
                digest.to_string()
            }
        }
    };
}

define_digest!(
    /// An MD5 digest: 32 hexadecimal digits.
    Md5, 16, DigestKind::Md5
);
define_digest!(
    /// A SHA-1 digest: 40 hexadecimal digits.
    Sha1, 20, DigestKind::Sha1
);
define_digest!(
    /// A SHA-256 digest: 64 hexadecimal digits.
    Sha256, 32, DigestKind::Sha256
);
define_digest!(
    /// A SHA-512 digest: 128 hexadecimal digits.
    Sha512, 64, DigestKind::Sha512
);

impl Sha256 {
    /// The digest of a whole text in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256Hasher::digest(bytes).into())
    }
}

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        let value = char::from(*high).to_digit(16)? * 16 + char::from(*low).to_digit(16)?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(bytes)
}

/// The digests of one file. SHA-256 is always known; the others where they were computed or promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// MD5, for old clients.
    pub md5: Option<Md5>,
    /// SHA-1, for old clients.
    pub sha1: Option<Sha1>,
    /// SHA-256, the identity of the content.
    pub sha256: Sha256,
    /// SHA-512, where it was asked for.
    pub sha512: Option<Sha512>,
}

impl Digests {
    /// The hexadecimal text of one kind, if it is known.
    #[must_use]
    pub fn hex(&self, kind: DigestKind) -> Option<String> {
        match kind {
            DigestKind::Md5 => self.md5.map(|digest| digest.to_string()),
            DigestKind::Sha1 => self.sha1.map(|digest| digest.to_string()),
            DigestKind::Sha256 => Some(self.sha256.to_string()),
            DigestKind::Sha512 => self.sha512.map(|digest| digest.to_string()),
        }
    }
}

/// What somebody promised about a file: any of its digests, and its size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Promise {
    /// Size in bytes.
    pub size_bytes: Option<u64>,
    /// Promised MD5.
    pub md5: Option<Md5>,
    /// Promised SHA-1.
    pub sha1: Option<Sha1>,
    /// Promised SHA-256.
    pub sha256: Option<Sha256>,
    /// Promised SHA-512.
    pub sha512: Option<Sha512>,
}

/// One way in which a file is not what was promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// `size`, or the kind of digest.
    pub what: String,
    /// The promised value.
    pub expected: String,
    /// The value found.
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} expected {}, got {}", self.what, self.expected, self.found)
    }
}

impl Promise {
    /// Every promise that `found` breaks; empty if the file is what was promised.
    #[must_use]
    pub fn broken_by(&self, found: &FileDigests) -> Vec<Mismatch> {
        let mut broken = Vec::new();
        let mut compare = |what: String, expected: Option<String>, got: Option<String>| {
            if let (Some(expected), Some(got)) = (expected, got)
                && expected != got
            {
                broken.push(Mismatch {
                    what,
                    expected,
                    found: got,
                });
            }
        };
        compare(
            "size".into(),
            self.size_bytes.map(|size| size.to_string()),
            Some(found.size_bytes.to_string()),
        );
        for kind in DigestKind::ALL {
            let promised = match kind {
                DigestKind::Md5 => self.md5.map(|digest| digest.to_string()),
                DigestKind::Sha1 => self.sha1.map(|digest| digest.to_string()),
                DigestKind::Sha256 => self.sha256.map(|digest| digest.to_string()),
                DigestKind::Sha512 => self.sha512.map(|digest| digest.to_string()),
            };
            compare(kind.to_string(), promised, found.digests.hex(kind));
        }
        broken
    }

    /// The kinds of digest that tell whether a file is what was promised: the strongest. SHA-256 costs nothing more, as
    /// it is computed of everything.
    #[must_use]
    pub fn telling_kinds(&self) -> &'static [DigestKind] {
        match (self.sha256, self.sha512) {
            (Some(_), _) => &[DigestKind::Sha256],
            (None, Some(_)) => &[DigestKind::Sha512],
            (None, None) => &[DigestKind::Md5, DigestKind::Sha1],
        }
    }

    /// Whether no file can keep both promises.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.zip(other).is_some_and(|(one, other)| one != other)
        }
        differ(self.size_bytes, other.size_bytes)
            || differ(self.md5, other.md5)
            || differ(self.sha1, other.sha1)
            || differ(self.sha256, other.sha256)
            || differ(self.sha512, other.sha512)
    }

    /// Adds one promised digest, given as text of the kind's field.
    ///
    /// # Errors
    /// [`ParseDigestError`] if the text is no digest of that kind.
    pub fn set(&mut self, kind: DigestKind, text: &str) -> Result<(), ParseDigestError> {
        match kind {
            DigestKind::Md5 => self.md5 = Some(text.parse()?),
            DigestKind::Sha1 => self.sha1 = Some(text.parse()?),
            DigestKind::Sha256 => self.sha256 = Some(text.parse()?),
            DigestKind::Sha512 => self.sha512 = Some(text.parse()?),
        }
        Ok(())
    }
}

/// Size and digests of one file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigests {
    /// Size in bytes.
    pub size_bytes: u64,
    /// The digests.
    pub digests: Digests,
}

impl From<&FileDigests> for Promise {
    fn from(known: &FileDigests) -> Self {
        Self {
            size_bytes: Some(known.size_bytes),
            md5: known.digests.md5,
            sha1: known.digests.sha1,
            sha256: Some(known.digests.sha256),
            sha512: known.digests.sha512,
        }
    }
}

/// How many bytes MD5, SHA-1 and SHA-256 work on at a time.
const BLOCK_BYTES: usize = 64;

/// Computes MD5, SHA-1, SHA-256 and, where asked for, SHA-512 in one pass over the bytes.
#[derive(Debug, Clone)]
pub struct Hasher {
    size_bytes: u64,
    md5: Option<Md5Hasher>,
    sha1: Option<Sha1Hasher>,
    sha256: Sha256Hasher,
    sha512: Option<Sha512Hasher>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self::of_kinds(&[DigestKind::Md5, DigestKind::Sha1])
    }
}

impl Hasher {
    /// A hasher that computes SHA-512 too; it costs as much as the other three together.
    #[must_use]
    pub fn with_sha512() -> Self {
        Self::of_kinds(&DigestKind::ALL)
    }

    /// A hasher of these kinds, and of SHA-256 in any case.
    #[must_use]
    pub fn of_kinds(kinds: &[DigestKind]) -> Self {
        Self {
            size_bytes: 0,
            md5: kinds.contains(&DigestKind::Md5).then(Md5Hasher::new),
            sha1: kinds.contains(&DigestKind::Sha1).then(Sha1Hasher::new),
            sha256: Sha256Hasher::new(),
            sha512: kinds.contains(&DigestKind::Sha512).then(Sha512Hasher::new),
        }
    }

    /// Takes in more of the content.
    pub fn update(&mut self, bytes: &[u8]) {
        let open_bytes = (self.size_bytes % BLOCK_BYTES as u64) as usize;
        self.size_bytes += bytes.len() as u64;
        if self.md5.is_none() && self.sha1.is_none() {
            self.sha256.update(bytes);
        } else {
            // Each kind is a chain of steps that wait for the one before. Taken in turns, block by block, the processor
            // works on the chains at the same time, and all three take little longer than MD5 alone.
            let to_boundary = (BLOCK_BYTES - open_bytes) % BLOCK_BYTES;
            let (head, blocks) = bytes.split_at(to_boundary.min(bytes.len()));
            for block in std::iter::once(head).chain(blocks.chunks(BLOCK_BYTES)) {
                if let Some(md5) = &mut self.md5 {
                    md5.update(block);
                }
                if let Some(sha1) = &mut self.sha1 {
                    sha1.update(block);
                }
                self.sha256.update(block);
            }
        }
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// The digests of all that was taken in.
    #[must_use]
    pub fn finish(self) -> FileDigests {
        FileDigests {
            size_bytes: self.size_bytes,
            digests: Digests {
                md5: self.md5.map(|md5| Md5(md5.finalize().into())),
                sha1: self.sha1.map(|sha1| Sha1(sha1.finalize().into())),
                sha256: Sha256(self.sha256.finalize().into()),
                sha512: self.sha512.map(|sha512| Sha512(sha512.finalize().into())),
            },
        }
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pass_gives_the_published_digests_of_abc() {
        let mut hasher = Hasher::with_sha512();
        hasher.update(b"ab");
        hasher.update(b"c");
        let found = hasher.finish();
        assert_eq!(found.size_bytes, 3);
        assert_eq!(
            found.digests.hex(DigestKind::Md5).unwrap(),
            "900150983cd24fb0d6963f7d28e17f72"
        );
        assert_eq!(
            found.digests.hex(DigestKind::Sha1).unwrap(),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(
            found.digests.sha256.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(
            found
                .digests
                .hex(DigestKind::Sha512)
                .unwrap()
                .starts_with("ddaf35a193617aba")
        );
    }

    #[test]
    fn digests_do_not_depend_on_how_the_bytes_come() {
        let text: Vec<u8> = (0..1000_u32).map(|number| ((number * 7) >> 2) as u8).collect();
        let whole = {
            let mut hasher = Hasher::with_sha512();
            hasher.update(&text);
            hasher.finish()
        };
        assert_eq!(whole.digests.sha256, Sha256::of(&text));
        assert_eq!(whole.digests.md5.unwrap().as_bytes()[..], Md5Hasher::digest(&text)[..]);
        assert_eq!(
            whole.digests.sha1.unwrap().as_bytes()[..],
            Sha1Hasher::digest(&text)[..]
        );
        assert_eq!(
            whole.digests.sha512.unwrap().as_bytes()[..],
            Sha512Hasher::digest(&text)[..]
        );
        for step in [1, 3, 63, 64, 65, 127, 128, 200] {
            let mut hasher = Hasher::with_sha512();
            for bytes in text.chunks(step) {
                hasher.update(bytes);
                hasher.update(b"");
            }
            assert_eq!(hasher.finish(), whole, "{step}");
        }
    }

    #[test]
    fn text_and_serde_refuse_the_same() {
        for text in ["", "00", &"g".repeat(64), &"é".repeat(32), &"0".repeat(63)] {
            assert!(text.parse::<Sha256>().is_err(), "{text}");
            assert!(
                serde_json::from_str::<Sha256>(&format!("\"{text}\"")).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_broken_promise_names_each_difference() {
        let found = Hasher::default().finish();
        let promise = Promise {
            size_bytes: Some(1),
            sha256: Some(Sha256::of(b"x")),
            ..Promise::default()
        };
        let broken = promise.broken_by(&found);
        assert_eq!(
            broken.iter().map(|m| m.what.as_str()).collect::<Vec<_>>(),
            ["size", "SHA256"]
        );
    }
}
