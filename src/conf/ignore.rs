//! The words of `--ignore`: conditions that are errors unless the administrator says otherwise. The words are
//! reprepro's, so that scripts keep working.

use std::collections::BTreeMap;

/// A condition that `--ignore=WORD` lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ignore {
    /// Unknown words of `--ignore` itself.
    Ignore,
    /// Unusual characters in names and versions.
    ForbiddenChar,
    /// Characters beyond ASCII.
    EightBit,
    /// Empty parts of file names.
    EmptyFilenamePart,
    /// Lines of only spaces between stanzas.
    SpaceOnlyLine,
    /// Malformed stanzas.
    MalformedChunk,
    /// Unknown fields in the configuration.
    UnknownField,
    /// An upload for another distribution.
    WrongDistribution,
    /// Missing fields of an upload.
    MissingField,
    /// A malformed version in the archive.
    BrokenOld,
    /// Versions that cannot be compared.
    BrokenVersionCmp,
    /// An unexpected file name extension.
    Extension,
    /// An architecture of an upload without a file.
    UnusedArch,
    /// A file of an architecture that the upload does not name.
    SurprisingArch,
    /// A package that the upload does not name.
    SurprisingBinary,
    /// A package of another source version.
    WrongSourceVersion,
    /// A package of another version.
    WrongVersion,
    /// A source in a rebuild of binaries.
    DscInBinNmu,
    /// Signatures that cannot be checked.
    BrokenSignatures,
    /// What the uploaders file says.
    Uploaders,
    /// Indexes in the database that the configuration does not have.
    UndefinedTarget,
    /// Tracking data of a distribution without tracking.
    UndefinedTracking,
    /// Options that the command does not use.
    UnusedOption,
    /// A flat and a usual upstream at one address.
    FlatAndNonFlat,
    /// Expired keys, where VerifyRelease allows them too.
    ExpiredKey,
    /// Revoked keys, where VerifyRelease allows them too.
    RevokedKey,
    /// Expired signatures.
    ExpiredSignature,
    /// Packages of another architecture in an upstream index.
    WrongArchitecture,
    /// Files of an older name.
    OldFile,
    /// Key IDs of more than 16 digits.
    LongKeyId,
    /// A missing source archive file.
    MissingFile,
    /// Packages for all architectures that differ between architectures.
    ConflictingArchAll,
}

impl Ignore {
    /// Every condition with its word.
    pub const WORDS: &[(Self, &str)] = &[
        (Self::Ignore, "ignore"),
        (Self::ForbiddenChar, "forbiddenchar"),
        (Self::EightBit, "8bit"),
        (Self::EmptyFilenamePart, "emptyfilenamepart"),
        (Self::SpaceOnlyLine, "spaceonlyline"),
        (Self::MalformedChunk, "malformedchunk"),
        (Self::UnknownField, "unknownfield"),
        (Self::WrongDistribution, "wrongdistribution"),
        (Self::MissingField, "missingfield"),
        (Self::BrokenOld, "brokenold"),
        (Self::BrokenVersionCmp, "brokenversioncmp"),
        (Self::Extension, "extension"),
        (Self::UnusedArch, "unusedarch"),
        (Self::SurprisingArch, "surprisingarch"),
        (Self::SurprisingBinary, "surprisingbinary"),
        (Self::WrongSourceVersion, "wrongsourceversion"),
        (Self::WrongVersion, "wrongversion"),
        (Self::DscInBinNmu, "dscinbinnmu"),
        (Self::BrokenSignatures, "brokensignatures"),
        (Self::Uploaders, "uploaders"),
        (Self::UndefinedTarget, "undefinedtarget"),
        (Self::UndefinedTracking, "undefinedtracking"),
        (Self::UnusedOption, "unusedoption"),
        (Self::FlatAndNonFlat, "flatandnonflat"),
        (Self::ExpiredKey, "expiredkey"),
        (Self::RevokedKey, "revokedkey"),
        (Self::ExpiredSignature, "expiredsignature"),
        (Self::WrongArchitecture, "wrongarchitecture"),
        (Self::OldFile, "oldfile"),
        (Self::LongKeyId, "longkeyid"),
        (Self::MissingFile, "missingfile"),
        (Self::ConflictingArchAll, "conflictingarchall"),
    ];

    /// The condition that has this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(_, known)| *known == word)
            .map(|(condition, _)| *condition)
    }
}

/// What `--ignore` and `--unignore` say, each condition at most once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IgnoreSet {
    said: BTreeMap<Ignore, bool>,
}

impl IgnoreSet {
    /// Whether this condition is to be let pass.
    #[must_use]
    pub fn contains(&self, what: Ignore) -> bool {
        self.said.get(&what).copied().unwrap_or(false)
    }

    /// Sets one condition.
    pub fn set(&mut self, what: Ignore, ignored: bool) {
        self.said.insert(what, ignored);
    }

    /// Sets each condition of a comma list: `--ignore=LIST`, or `--unignore=LIST` if not `ignored`.
    ///
    /// # Errors
    /// The first word that is unknown, unless `ignore` is ignored.
    pub fn set_list(&mut self, list: &str, ignored: bool) -> Result<(), String> {
        for word in list.split(',').map(str::trim) {
            match Ignore::from_word(word) {
                Some(what) => self.set(what, ignored),
                None if self.contains(Ignore::Ignore) => {}
                None => return Err(word.into()),
            }
        }
        Ok(())
    }

    /// This, and where it says nothing, `lower`.
    #[must_use]
    pub fn over(mut self, lower: Self) -> Self {
        for (what, ignored) in lower.said {
            self.said.entry(what).or_insert(ignored);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_words_pass_only_after_ignore() {
        let mut set = IgnoreSet::default();
        set.set_list("wrongdistribution,missingfile", true).unwrap();
        assert!(set.contains(Ignore::MissingFile));
        assert_eq!(set.set_list("bogus,extension", true).unwrap_err(), "bogus");
        assert!(!set.contains(Ignore::Extension));
        set.set_list("ignore,bogus,extension", true).unwrap();
        assert!(set.contains(Ignore::Extension));
    }

    #[test]
    fn the_command_line_can_take_back_what_the_file_says() {
        let mut file = IgnoreSet::default();
        file.set_list("extension,missingfile", true).unwrap();
        let mut line = IgnoreSet::default();
        line.set_list("extension", false).unwrap();
        let both = line.over(file);
        assert!(!both.contains(Ignore::Extension));
        assert!(both.contains(Ignore::MissingFile));
    }
}
