//! Uploaders files: who may upload what.
//!
//! ```text
//! allow CONDITION by anybody | unsigned | any key | key ID[+] | group NAME
//! group NAME add ID[+] | contains NAME | empty | unused
//! include FILE
//! ```
//!
//! A condition is `*`, or parts with `and` and `or` between them, where `or` binds tighter; `not` may stand before a
//! part. A part is `source 'a'|'b'` or `distribution 'a'|'b'`; `sections`, `binaries` or `architectures` with names of
//! which each element must match one, or with `contain` before them one element; `byhand`, alone or with sections.

mod parser;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directories::Directories;
use super::fault::{Error, Faults, Place, Warning};
use super::glob;
use super::key::KeyId;
use super::reader::MAX_FILE_BYTES;
use crate::fsio;
use parser::Statement;

const MAX_DEPTH: usize = 20;

/// A valid signature on an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Fingerprint of the key that made it.
    pub fingerprint: String,
    /// Fingerprint of the primary key that this is a subkey of; else the same.
    pub primary: String,
}

/// What is to be decided about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upload {
    /// The source package.
    pub source: String,
    /// The section of each file, as the .changes file gives it.
    pub sections: Vec<String>,
    /// The names of its binary packages.
    pub binaries: Vec<String>,
    /// The architectures of its packages, `source` and `all` among them.
    pub architectures: Vec<String>,
    /// The sections of its files that are no packages: `byhand`, `raw-…`.
    pub byhand_sections: Vec<String>,
    /// The codename of the distribution that it is for.
    pub distribution: String,
    /// Whether it bears any signature, valid or not.
    pub is_signed: bool,
    /// Its valid signatures.
    pub signers: Vec<Signer>,
}

/// A list that an upload has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Sections,
    Binaries,
    Architectures,
    ByhandSections,
}

/// How many elements of a list must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    /// Each, if there are any.
    All,
    /// Each, and there is one.
    AllAndOne,
    /// One.
    One,
}

/// A condition on an upload. Patterns are those of a shell, except for architectures.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    /// `*`
    Always,
    /// `source 'a'|'b'`
    Source(Vec<String>),
    /// `distribution 'a'|'b'`
    Distribution(Vec<String>),
    /// `sections …`, `binaries …`, `architectures …`, each also with `contain`; `byhand`, `byhand …`
    Contains(List, Quantity, Vec<String>),
    /// `not …`
    Not(Box<Condition>),
    /// `… and …`
    All(Vec<Condition>),
    /// `… or …`
    Any(Vec<Condition>),
}

/// A key of an uploader.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    id: KeyId,
    /// `+`: a signature by one of its subkeys counts too.
    with_subkeys: bool,
}

/// Who is allowed to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    Anybody,
    Unsigned,
    AnyKey,
    Key(Key),
    Group(String),
}

#[derive(Debug, Clone, Default)]
struct Group {
    keys: Vec<Key>,
    groups: Vec<String>,
    is_declared_empty: bool,
    is_declared_unused: bool,
}

/// The rules of one uploaders file, with all that it includes.
#[derive(Debug, Clone, Default)]
pub struct Uploaders {
    rules: Vec<(Condition, By)>,
    groups: BTreeMap<String, Group>,
}

impl Uploaders {
    /// Reads an uploaders file. Files that it includes are looked up as [`Directories::file`] says.
    ///
    /// # Errors
    /// A file cannot be read, or has faults; all of them.
    pub fn read(path: &Path, directories: &Directories) -> Result<(Self, Vec<Warning>), Faults> {
        let mut reader = Reader {
            directories,
            uploaders: Self::default(),
            mentions: Vec::new(),
            seen: HashSet::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
        };
        reader.read(path, 0).map_err(|source| Error::File { source })?;
        reader.check_groups();
        match Faults::collect(reader.errors) {
            Some(faults) => Err(faults),
            None => Ok((reader.uploaders, reader.warnings)),
        }
    }

    /// Whether any rule allows this upload.
    #[must_use]
    pub fn allow(&self, upload: &Upload) -> bool {
        (self.rules.iter()).any(|(condition, by)| self.is_by(by, upload) && condition.holds(upload))
    }

    fn is_by(&self, by: &By, upload: &Upload) -> bool {
        match by {
            By::Anybody => true,
            By::Unsigned => !upload.is_signed,
            By::AnyKey => !upload.signers.is_empty(),
            By::Key(key) => key.has_signed(upload),
            By::Group(name) => (self.members(name).into_iter()).any(|key| key.has_signed(upload)),
        }
    }

    /// The keys of a group, and of all groups in it.
    fn members(&self, name: &str) -> Vec<&Key> {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut keys = Vec::new();
        let mut open = vec![name];
        while let Some((name, group)) = open.pop().and_then(|name| self.groups.get_key_value(name)) {
            if seen.insert(name) {
                keys.extend(&group.keys);
                open.extend(group.groups.iter().map(String::as_str));
            }
        }
        keys
    }
}

impl Key {
    fn has_signed(&self, upload: &Upload) -> bool {
        (upload.signers.iter())
            .any(|signer| self.id.names(&signer.fingerprint) || self.with_subkeys && self.id.names(&signer.primary))
    }
}

impl Condition {
    fn holds(&self, upload: &Upload) -> bool {
        let is_like = |patterns: &[String], text: &str| patterns.iter().any(|pattern| glob::matches(pattern, text));
        match self {
            Self::Always => true,
            Self::Source(patterns) => is_like(patterns, &upload.source),
            Self::Distribution(patterns) => is_like(patterns, &upload.distribution),
            Self::Contains(list, quantity, patterns) => {
                let elements = list.of(upload);
                match quantity {
                    Quantity::One => elements.iter().any(|element| is_like(patterns, element)),
                    Quantity::All => elements.iter().all(|element| is_like(patterns, element)),
                    Quantity::AllAndOne => {
                        !elements.is_empty() && elements.iter().all(|element| is_like(patterns, element))
                    }
                }
            }
            Self::Not(condition) => !condition.holds(upload),
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(upload)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(upload)),
        }
    }
}

impl List {
    fn of(self, upload: &Upload) -> &[String] {
        match self {
            Self::Sections => &upload.sections,
            Self::Binaries => &upload.binaries,
            Self::Architectures => &upload.architectures,
            Self::ByhandSections => &upload.byhand_sections,
        }
    }
}

struct Reader<'a> {
    directories: &'a Directories,
    uploaders: Uploaders,
    /// Groups that are named as allowed or as part of another.
    mentions: Vec<(Place, String)>,
    seen: HashSet<PathBuf>,
    errors: Vec<Error>,
    warnings: Vec<Warning>,
}

impl Reader<'_> {
    fn read(&mut self, path: &Path, depth: usize) -> Result<(), fsio::Error> {
        if !self.seen.insert(path.to_owned()) {
            return Ok(());
        }
        let bytes = fsio::read_limited(path, MAX_FILE_BYTES)?;
        let file: Arc<Path> = path.into();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let place = Place::new(&file, index + 1);
            let statement = match std::str::from_utf8(line).map(str::trim) {
                Ok(line) if line.is_empty() || line.starts_with('#') => continue,
                Ok(line) => parser::statement(line),
                Err(_) => Err("this line is not UTF-8".into()),
            };
            match statement {
                Ok(statement) => self.take(statement, &place, depth),
                Err(problem) => self.errors.push(Error::syntax(&place, problem)),
            }
        }
        Ok(())
    }

    fn take(&mut self, statement: Statement, place: &Place, depth: usize) {
        match statement {
            Statement::Allow(condition, by) => {
                match &by {
                    By::Key(key) => self.warn_of_short_key(key, place),
                    By::Group(name) => self.mentions.push((place.clone(), name.clone())),
                    By::Anybody | By::Unsigned | By::AnyKey => {}
                }
                self.uploaders.rules.push((condition, by));
            }
            Statement::Include(name) => self.include(&name, place, depth),
            Statement::Add(group, key) => {
                self.warn_of_short_key(&key, place);
                self.group(group).keys.push(key);
            }
            Statement::Contains(group, other) => {
                self.mentions.push((place.clone(), other.clone()));
                self.group(group).groups.push(other);
            }
            Statement::Empty(group) => self.group(group).is_declared_empty = true,
            Statement::Unused(group) => self.group(group).is_declared_unused = true,
        }
    }

    fn group(&mut self, name: String) -> &mut Group {
        self.uploaders.groups.entry(name).or_default()
    }

    fn include(&mut self, name: &str, place: &Place, depth: usize) {
        if depth >= MAX_DEPTH {
            let problem = format!("files include each other more than {MAX_DEPTH} deep");
            self.errors.push(Error::syntax(place, problem));
        } else if let Err(source) = self.read(&self.directories.file(name), depth + 1) {
            self.errors.push(Error::NamedFile {
                place: place.clone(),
                what: "included file",
                source,
            });
        }
    }

    fn warn_of_short_key(&mut self, key: &Key, place: &Place) {
        if key.id.is_forgeable() {
            self.warn(Some(place), key.id.forgeable_warning());
        }
    }

    fn warn(&mut self, place: Option<&Place>, text: String) {
        self.warnings.push(Warning {
            place: place.cloned(),
            text,
        });
    }

    /// Groups that are named but have no members, or have some but are not named, are hardly meant.
    fn check_groups(&mut self) {
        for (place, name) in std::mem::take(&mut self.mentions) {
            let group = self.uploaders.groups.entry(name.clone()).or_default();
            let has_members = !group.keys.is_empty() || !group.groups.is_empty();
            if !has_members && !group.is_declared_empty {
                self.warn(
                    Some(&place),
                    format!("group `{name}` has no members (`group {name} empty` if it is meant)"),
                );
            }
            // a group that is named is used
            self.group(name).is_declared_unused = true;
        }
        let unused: Vec<String> = (self.uploaders.groups.iter())
            .filter(|(_, group)| !group.is_declared_unused)
            .map(|(name, _)| format!("group `{name}` is not used (`group {name} unused` if it is meant)"))
            .collect();
        for text in unused {
            self.warn(None, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "630239CC130E1A7FD81A27B140976EAF437D05B5";
    const SUBKEY: &str = "11112222333344445555666677778888AAAABBBB";

    fn read(text: &str) -> Result<(Uploaders, Vec<String>), String> {
        let directory = tempfile::tempdir().unwrap();
        let directories = Directories::below(directory.path());
        let path = directory.path().join("u");
        fsio::create_dir_all(&directories.conf).unwrap();
        fsio::write_new(&path, text.as_bytes()).unwrap();
        fsio::write_new(&directories.conf.join("more"), b"group team add 437D05B5AAAABBBB\n").unwrap();
        let shorten = |text: String| text.replace(path.to_str().unwrap(), "u");
        match Uploaders::read(&path, &directories) {
            Ok((uploaders, warnings)) => Ok((
                uploaders,
                warnings.iter().map(|warning| shorten(warning.to_string())).collect(),
            )),
            Err(faults) => Err(shorten(
                faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            )),
        }
    }

    fn upload() -> Upload {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Upload {
            source: "foo".into(),
            sections: words(&["net", "admin"]),
            binaries: words(&["foo", "libfoo1"]),
            architectures: words(&["source", "amd64"]),
            byhand_sections: words(&["raw-installer"]),
            distribution: "x".into(),
            is_signed: true,
            signers: vec![Signer {
                fingerprint: SUBKEY.into(),
                primary: KEY.into(),
            }],
        }
    }

    #[test]
    fn conditions_hold_as_in_reprepro() {
        for (condition, expected) in [
            ("*", true),
            ("source 'f*'", true),
            ("source 'bar' | 'foo'", true),
            ("not source 'foo'", false),
            ("sections 'net'", false),
            ("sections 'net'|'admin'", true),
            ("sections contain 'net'", true),
            ("binaries 'foo'", false),
            ("binaries contain 'lib*'", true),
            ("architectures 'source'|'amd64'", true),
            ("architectures contain 'i386'", false),
            ("byhand", true),
            ("byhand and source 'foo'", true),
            ("byhand 'raw-*'", true),
            ("byhand 'byhand'", false),
            ("distribution 'x'", true),
            // `or` binds tighter than `and`
            ("source 'no' and source 'foo' or source 'foo'", false),
            ("source 'no' or source 'foo' and sections contain 'net'", true),
        ] {
            let (uploaders, _) = read(&format!("allow {condition} by anybody\n")).unwrap();
            assert_eq!(uploaders.allow(&upload()), expected, "{condition}");
        }
        let (uploaders, _) = read("allow byhand by anybody\nallow binaries 'no' by anybody\n").unwrap();
        let only_source = Upload {
            byhand_sections: vec![],
            binaries: vec![],
            ..upload()
        };
        assert!(uploaders.allow(&only_source), "of no binaries, each is allowed");
        assert!(!uploaders.allow(&Upload {
            byhand_sections: vec![],
            ..upload()
        }));
    }

    #[test]
    fn signatures_decide() {
        let unsigned = Upload {
            is_signed: false,
            signers: vec![],
            ..upload()
        };
        let unverified = Upload {
            signers: vec![],
            ..upload()
        };
        for (by, by_key, without, bad) in [
            ("anybody", true, true, true),
            ("unsigned", false, true, false),
            ("any key", true, false, false),
            ("key 0x40976EAF437D05B5", false, false, false),
            ("key 40976EAF437D05B5+", true, false, false),
            ("key 55666677778888aaaabbbb", true, false, false),
            ("group team", false, false, false),
            ("group all", true, false, false),
        ] {
            let groups = "include more\ngroup all contains team\ngroup all contains all\ngroup all add 40976EAF437D05B5+\ngroup team unused\ngroup all unused\n";
            let (uploaders, warnings) = read(&format!("allow * by {by}\n{groups}")).unwrap();
            let allowed = [upload(), unsigned.clone(), unverified.clone()].map(|upload| uploaders.allow(&upload));
            assert_eq!(allowed, [by_key, without, bad], "{by}");
            assert!(warnings.is_empty(), "{warnings:?}");
        }
    }

    #[test]
    fn odd_groups_and_keys_warn() {
        let (_, warnings) =
            read("allow * by group a\ngroup b add 1234567812345678\nallow * by key 437D05B5\n").unwrap();
        assert_eq!(
            warnings,
            [
                "u:3: anybody can make a key whose fingerprint ends in `437D05B5`: write the whole fingerprint",
                "u:1: group `a` has no members (`group a empty` if it is meant)",
                "group `b` is not used (`group b unused` if it is meant)",
            ]
        );
    }

    #[test]
    fn wrong_lines_are_refused() {
        for (line, problem) in [
            (
                "permit * by anybody",
                "unknown statement `permit`: must be allow, group or include",
            ),
            ("allow", "the condition is missing"),
            ("allow *", "expected `by`, `and` or `or` at the end"),
            (
                "allow * by",
                "expected anybody, unsigned, any key, key or group at the end",
            ),
            (
                "allow * by me",
                "expected anybody, unsigned, any key, key or group at `me`",
            ),
            ("allow * by anybody # x", "unexpected `#` after the statement"),
            (
                "allow * by key 123",
                "invalid key `123`: must be a fingerprint, or at least its last 8 hexadecimal digits, without spaces",
            ),
            (
                "allow source foo by anybody",
                "expected a name in quotes, as in `'name'`, at `foo`",
            ),
            (
                "allow source 'foo by anybody",
                "the quote in `'foo by anybody` is not closed",
            ),
            ("allow not not * by anybody", "unknown condition `not`"),
            (
                "allow sourcs 'x' by anybody",
                "unknown condition `sourcs`, did you mean `source`",
            ),
            (
                "allow architectures 'any-*' by anybody",
                "`any-*` is a pattern: architectures are named as they are",
            ),
            (
                "allow architectures source and by anybody",
                "expected a name in quotes, as in `'name'`, at `source`",
            ),
            ("group", "the name of the group is missing"),
            ("group g", "expected add, contains, empty or unused at the end"),
            (
                "group g adds 12345678",
                "expected add, contains, empty or unused at `adds`",
            ),
            ("include", "the name of the file is missing"),
        ] {
            assert_eq!(read(line).unwrap_err(), format!("u:1: {problem}"), "{line}");
        }
        assert!(
            read("\ninclude nowhere\n")
                .unwrap_err()
                .starts_with("u:2: the included file `")
        );
    }
}
