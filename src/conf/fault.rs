//! What can be wrong with a configuration: errors with file and line, all of one reading collected in [`Faults`], and
//! warnings for what is odd but works.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directories::Directories;
use super::ignore::{Ignore, IgnoreSet};
use crate::fsio;
use crate::model::ErrorKind;
use crate::model::name::NameError;

/// A line of a configuration file; its text is `conf/distributions:12`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    file: Arc<Path>,
    line: usize,
}

impl Place {
    /// Line `line`, counted from 1, of `file`.
    #[must_use]
    pub fn new(file: &Arc<Path>, line: usize) -> Self {
        Self {
            file: Arc::clone(file),
            line,
        }
    }

    /// Another line of the same file.
    #[must_use]
    pub fn on_line(&self, line: usize) -> Self {
        Self::new(&self.file, line)
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.strip_prefix("./").unwrap_or(&self.file);
        write!(f, "{}:{}", file.display(), self.line)
    }
}

/// One thing that is wrong with the configuration, or with a name that was looked up in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the configuration cannot be read.
    #[error(transparent)]
    File {
        /// Which, and why.
        source: fsio::Error,
    },
    /// A file that the configuration names cannot be read.
    #[error("{place}: the {what} `{path}` cannot be read", path = source.path.display())]
    NamedFile {
        /// Where it is named.
        place: Place,
        /// What it is, such as `included file`.
        what: &'static str,
        /// Which, and why.
        source: fsio::Error,
    },
    /// There is no conf/distributions.
    #[error("there is no `{path}`: an archive needs at least one distribution", path = path.display())]
    NoDistributions {
        /// Where it should be.
        path: PathBuf,
    },
    /// A text that breaks the form of its file.
    #[error("{place}: {problem}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong, and the rule.
        problem: String,
    },
    /// A word that breaks the rule of its kind.
    #[error("{place}: invalid {what} `{word}`: {rule}")]
    Value {
        /// Where.
        place: Place,
        /// The kind of word, such as `architecture`.
        what: &'static str,
        /// The word, cut to a printable length.
        word: String,
        /// The rule that it breaks.
        rule: String,
    },
    /// A field that no stanza of this file has.
    #[error("{place}: unknown field `{field}`{}", did_you_mean(nearest.as_deref()))]
    UnknownField {
        /// Where.
        place: Place,
        /// Its name.
        field: String,
        /// The known field that is spelt most like it.
        nearest: Option<String>,
    },
    /// A stanza without a field that it must have.
    #[error("{place}: this stanza has no field `{field}`, which every {stanza} must have")]
    MissingField {
        /// The first line of the stanza.
        place: Place,
        /// The missing field.
        field: &'static str,
        /// What the stanza is, such as `distribution`.
        stanza: &'static str,
    },
    /// A field of reprepro whose function is not there.
    #[error("{place}: {what} is not supported yet")]
    NotSupported {
        /// Where.
        place: Place,
        /// What is not supported, such as ``field `ByHandHooks` ``.
        what: String,
    },
    /// Something is named that is nowhere defined.
    #[error(
        "{}unknown {what} `{name}`{}", place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default(),
        did_you_mean(nearest.as_deref())
    )]
    Unknown {
        /// Where it is named; `None` if on the command line.
        place: Option<Place>,
        /// The kind of thing, such as `distribution`.
        what: &'static str,
        /// The name, cut to a printable length.
        name: String,
        /// The known name that is spelt most like it.
        nearest: Option<String>,
    },
    /// A suite that several distributions have.
    #[error("`{name}` is the suite of several distributions: {codenames}")]
    Ambiguous {
        /// The suite.
        name: String,
        /// The distributions that have it.
        codenames: String,
    },
    /// A wrong option, in conf/options, the environment or on the command line.
    #[error("{}{problem}", place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default())]
    Option {
        /// Where; `None` if not in a file.
        place: Option<Place>,
        /// What is wrong, and the rule.
        problem: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

impl Error {
    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source } | Self::NamedFile { source, .. } => source.kind(),
            Self::NoDistributions { .. } => ErrorKind::FileMissing,
            Self::UnknownField { .. } => ErrorKind::UnknownField,
            Self::Unknown { .. } | Self::Ambiguous { .. } | Self::MissingField { .. } => ErrorKind::Unknown,
            Self::Option { .. } => ErrorKind::Usage,
            Self::Syntax { .. } | Self::Value { .. } | Self::NotSupported { .. } => ErrorKind::General,
        }
    }

    /// What the user can do about it, where there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoDistributions { .. } => {
                Some("`aptrepo init` writes a first one; `-b` names the archive's base directory".into())
            }
            Self::UnknownField { .. } => Some("`--ignore=unknownfield` skips fields that are not known".into()),
            Self::Ambiguous { .. } => Some("give the codename".into()),
            _ => None,
        }
    }

    /// A word that breaks a rule, where `word` is cut to a printable length.
    pub(super) fn value(word: &Word<'_>, what: &'static str, rule: impl Into<String>) -> Self {
        Self::Value {
            place: word.place.clone(),
            what,
            word: printable(word.text),
            rule: rule.into(),
        }
    }

    /// A name that breaks the rule of its kind.
    pub(super) fn name(place: &Place, error: NameError) -> Self {
        Self::Value {
            place: place.clone(),
            what: error.what,
            word: error.name,
            rule: error.rule.into(),
        }
    }

    pub(super) fn syntax(place: &Place, problem: impl Into<String>) -> Self {
        Self::Syntax {
            place: place.clone(),
            problem: problem.into(),
        }
    }
}

/// A text from outside as an error may show it: control characters escaped, not longer than a line.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(80) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// One word of a field, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word<'a> {
    /// The word.
    pub(super) text: &'a str,
    /// Its line.
    pub(super) place: Place,
}

/// Something that works but is hardly meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where; `None` if not in a file.
    pub place: Option<Place>,
    /// What is odd.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// All errors of one reading of the configuration, at least one, in the order of the files' lines.
#[derive(Debug)]
pub struct Faults {
    first: Box<Error>,
    others: Vec<Error>,
}

const SHOWN_FAULTS: usize = 3;

impl Faults {
    /// The errors, if there are any.
    #[must_use]
    pub fn collect(errors: impl IntoIterator<Item = Error>) -> Option<Self> {
        let mut errors = errors.into_iter();
        Some(Self {
            first: Box::new(errors.next()?),
            others: errors.collect(),
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Error> {
        std::iter::once(&*self.first).chain(&self.others)
    }

    /// The kind of the first.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.first.kind()
    }

    /// What the user can do about the first.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.first.hint()
    }
}

impl IntoIterator for Faults {
    type Item = Error;
    type IntoIter = std::iter::Chain<std::iter::Once<Error>, std::vec::IntoIter<Error>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(*self.first).chain(self.others)
    }
}

impl From<Error> for Faults {
    fn from(error: Error) -> Self {
        Self {
            first: Box::new(error),
            others: Vec::new(),
        }
    }
}

impl fmt::Display for Faults {
    /// The first few, one a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        for error in self.others.iter().take(SHOWN_FAULTS - 1) {
            write!(f, "\n{error}")?;
        }
        match self.others.len().saturating_sub(SHOWN_FAULTS - 1) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more (`aptrepo check-conf` lists all)"),
        }
    }
}

impl std::error::Error for Faults {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.first.source()
    }
}

/// Where a reading puts what it finds wrong, so that one reading finds all of it; and what it needs to read values.
#[derive(Debug)]
pub(super) struct Sink<'a> {
    pub(super) directories: &'a Directories,
    ignore: &'a IgnoreSet,
    pub(super) errors: Vec<Error>,
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(directories: &'a Directories, ignore: &'a IgnoreSet) -> Self {
        Self {
            directories,
            ignore,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The value, or nothing and the error noted.
    pub(super) fn note<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    pub(super) fn warn(&mut self, place: &Place, text: impl Into<String>) {
        self.warnings.push(Warning {
            place: Some(place.clone()),
            text: text.into(),
        });
    }

    pub(super) fn ignores(&self, what: Ignore) -> bool {
        self.ignore.contains(what)
    }
}
