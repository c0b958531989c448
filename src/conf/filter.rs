//! Which packages a rule of conf/updates or conf/pulls takes: `FilterFormula`, `FilterList`, `FilterSrcList`, and the
//! files that the lists name.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::fault::{Error, Faults, Place, printable};
use super::fields::Fields;
use super::formula::Formula;
use super::nearest;
use super::reader::MAX_FILE_BYTES;
use crate::fsio;
use crate::model::{PackageName, Version};

/// What is done with a package that a rule offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterAction {
    /// It is taken if it is newer.
    Install,
    /// It is taken if it is newer than one that is there.
    UpgradeOnly,
    /// It is not taken: `deinstall`, `purge`.
    Ignore,
    /// It is not taken, and what is there stays as it is.
    Hold,
    /// It is not taken, and what is there is removed unless it is newer.
    Supersede,
    /// It is not taken, and there is a warning if it is newer.
    Warning,
    /// The update fails if it is newer.
    Error,
    /// Exactly this version is taken; of others the list says nothing.
    Exactly(Version),
}

const ACTIONS: [(&str, FilterAction); 8] = [
    ("install", FilterAction::Install),
    ("upgradeonly", FilterAction::UpgradeOnly),
    ("deinstall", FilterAction::Ignore),
    ("purge", FilterAction::Ignore),
    ("hold", FilterAction::Hold),
    ("supersede", FilterAction::Supersede),
    ("warning", FilterAction::Warning),
    ("error", FilterAction::Error),
];

fn action(word: &str) -> Option<FilterAction> {
    (ACTIONS.iter().find(|(known, _)| *known == word)).map(|(_, action)| action.clone())
}

fn action_rule(word: &str) -> String {
    match nearest(word, ACTIONS.iter().map(|(known, _)| *known)) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "must be install, upgradeonly, deinstall, purge, hold, supersede, warning or error".into(),
    }
}

/// `FilterList` or `FilterSrcList`: what to do with packages that no file mentions, and the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterList {
    /// What is done with a package that no file mentions.
    pub default: FilterAction,
    /// The files; the first that mentions a package decides.
    pub files: Vec<PathBuf>,
}

impl FilterList {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read, or has faults; all of them.
    pub fn read(&self) -> Result<FilterTable, Faults> {
        let mut table = FilterTable {
            default: self.default.clone(),
            actions: HashMap::new(),
        };
        table.read_files(&self.files)?;
        Ok(table)
    }
}

/// The content of all files of a [`FilterList`], or what the command line says of packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterTable {
    default: FilterAction,
    /// What is said of a package, the first of them first.
    actions: HashMap<PackageName, Vec<FilterAction>>,
}

impl FilterTable {
    /// What `--restrict` says in these words, `name`, `name=version` or `name:action`, and after them in these files;
    /// of packages that are not mentioned it says `hold`.
    ///
    /// # Errors
    /// A word is wrong or a package is named twice; or a file cannot be read or has faults.
    pub fn of_command_line(words: &[&str], files: &[PathBuf]) -> Result<Self, Faults> {
        let mut table = Self {
            default: FilterAction::Hold,
            actions: HashMap::new(),
        };
        let mut errors = Vec::new();
        for word in words {
            let problem = match restriction(word) {
                Ok((name, _)) if table.actions.contains_key(&name) => "its package is named twice".to_owned(),
                Ok((name, action)) => {
                    table.actions.insert(name, vec![action]);
                    continue;
                }
                Err(problem) => problem,
            };
            let problem = format!("invalid restriction `{}`: {problem}", printable(word));
            errors.push(Error::Option { place: None, problem });
        }
        if let Some(faults) = Faults::collect(errors) {
            return Err(faults);
        }
        table.read_files(files)?;
        Ok(table)
    }

    fn read_files(&mut self, files: &[PathBuf]) -> Result<(), Faults> {
        let mut errors = Vec::new();
        for file in files {
            match fsio::read_limited(file, MAX_FILE_BYTES) {
                Ok(bytes) => read_file(&file.as_path().into(), &bytes, &mut self.actions, &mut errors),
                Err(source) => errors.push(Error::File { source }),
            }
        }
        Faults::collect(errors).map_or(Ok(()), Err)
    }

    /// What is done with that version of a package; never [`FilterAction::Exactly`].
    #[must_use]
    pub fn action(&self, name: &PackageName, version: &Version) -> &FilterAction {
        self.mentioned(name, version).unwrap_or(&self.default)
    }

    /// What is said of that version of a package; none if nothing is.
    #[must_use]
    pub fn mentioned(&self, name: &PackageName, version: &Version) -> Option<&FilterAction> {
        self.actions.get(name)?.iter().find_map(|action| match action {
            FilterAction::Exactly(wanted) if wanted == version => Some(&FilterAction::Install),
            FilterAction::Exactly(_) => None,
            action => Some(action),
        })
    }
}

/// A word of `--restrict`; the error says what is wrong with it.
fn restriction(word: &str) -> Result<(PackageName, FilterAction), String> {
    let (name, action) = if let Some((name, version)) = word.split_once('=') {
        let version = Version::new(version).map_err(|error| error.to_string())?;
        (name, FilterAction::Exactly(version))
    } else if let Some((name, word)) = word.split_once(':') {
        (name, action(word).ok_or_else(|| action_rule(word))?)
    } else {
        (word, FilterAction::Install)
    };
    Ok((PackageName::new(name).map_err(|error| error.to_string())?, action))
}

fn read_file(
    file: &Arc<std::path::Path>,
    bytes: &[u8],
    actions: &mut HashMap<PackageName, Vec<FilterAction>>,
    errors: &mut Vec<Error>,
) {
    let mut mentioned: HashMap<PackageName, FilterAction> = HashMap::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let place = Place::new(file, index + 1);
        let Ok(line) = std::str::from_utf8(line) else {
            errors.push(Error::syntax(&place, "this line is not UTF-8"));
            continue;
        };
        let words: Vec<&str> = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_ascii_whitespace()
            .collect();
        match read_line(&place, &words) {
            Ok(None) => {}
            Ok(Some((name, _))) if mentioned.contains_key(&name) => {
                errors.push(Error::syntax(
                    &place,
                    format!("package `{name}` is already in this file"),
                ));
            }
            Ok(Some((name, action))) => {
                mentioned.insert(name, action);
            }
            Err(error) => errors.push(error),
        }
    }
    for (name, action) in mentioned {
        actions.entry(name).or_default().push(action);
    }
}

fn read_line(place: &Place, words: &[&str]) -> Result<Option<(PackageName, FilterAction)>, Error> {
    let wrong = |what, word: &str, rule| Error::Value {
        place: place.clone(),
        what,
        word: printable(word),
        rule,
    };
    let (name, action) = match words {
        [] => return Ok(None),
        [name, "=", version] => {
            let version = Version::new(version).map_err(|error| Error::syntax(place, error.to_string()))?;
            (name, FilterAction::Exactly(version))
        }
        [name, word] => {
            let action = action(word).ok_or_else(|| wrong("filter action", word, action_rule(word)))?;
            (name, action)
        }
        _ => {
            return Err(Error::syntax(
                place,
                "must be a package and an action, or a package, `=` and a version",
            ));
        }
    };
    let name = PackageName::new(name).map_err(|error| Error::name(place, error))?;
    Ok(Some((name, action)))
}

/// The filters of a rule; all must let a package pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    /// `FilterFormula`.
    pub formula: Option<Formula>,
    /// `FilterList`; for sources too if there is no `source_list`.
    pub list: Option<FilterList>,
    /// `FilterSrcList`; for binaries too, by their source, if there is no `list`.
    pub source_list: Option<FilterList>,
}

impl Filters {
    /// These, and where they say nothing, those of `parent`.
    pub(super) fn over(self, parent: Self) -> Self {
        Self {
            formula: self.formula.or(parent.formula),
            list: self.list.or(parent.list),
            source_list: self.source_list.or(parent.source_list),
        }
    }

    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let formula = fields.read("FilterFormula", |field| {
            let lines: Vec<&str> = field.lines().map(|line| line.text).collect();
            Formula::parse(&lines.join(" ")).map_err(|error| Error::syntax(&field.place, error.to_string()))
        });
        Self {
            formula,
            list: read_list(fields, "FilterList"),
            source_list: read_list(fields, "FilterSrcList"),
        }
    }
}

fn read_list(fields: &mut Fields<'_, '_>, name: &str) -> Option<FilterList> {
    let directories = fields.sink.directories;
    fields.read(name, |field| {
        let mut words = field.words();
        let first = words.next().ok_or_else(|| field.empty())?;
        let default =
            action(first.text).ok_or_else(|| Error::value(&first, "default filter action", action_rule(first.text)))?;
        Ok(FilterList {
            default,
            files: words.map(|word| directories.file(word.text)).collect(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Result<FilterTable, Faults> {
        let directory = tempfile::tempdir().unwrap();
        let files: Vec<_> = (0..texts.len())
            .map(|number| directory.path().join(number.to_string()))
            .collect();
        for (file, text) in files.iter().zip(texts) {
            fsio::write_new(file, text.as_bytes()).unwrap();
        }
        let default = FilterAction::Ignore;
        FilterList { default, files }.read()
    }

    #[test]
    fn the_first_file_that_mentions_a_package_decides() {
        let table = list(&[
            "# ours\nhello\tinstall\n\npinned = 1:2.0-1\r\n",
            "hello hold # no\nbash upgradeonly\n",
            "pinned hold\n",
        ])
        .unwrap();
        let action = |name, version| table.action(&PackageName::new(name).unwrap(), &Version::new(version).unwrap());
        assert_eq!(action("hello", "1"), &FilterAction::Install);
        assert_eq!(action("bash", "1"), &FilterAction::UpgradeOnly);
        assert_eq!(action("other", "1"), &FilterAction::Ignore);
        assert_eq!(action("pinned", "1:2.0-1"), &FilterAction::Install);
        assert_eq!(
            action("pinned", "1:2.0-2"),
            &FilterAction::Hold,
            "another version than the first file names is as if it had not mentioned it"
        );
    }

    #[test]
    fn the_command_line_names_packages() {
        let table = FilterTable::of_command_line(&["a", "b=1:2", "c:hold"], &[]).unwrap();
        let said = |name, version| table.mentioned(&PackageName::new(name).unwrap(), &Version::new(version).unwrap());
        assert_eq!(said("a", "1"), Some(&FilterAction::Install));
        assert_eq!(said("b", "1:2"), Some(&FilterAction::Install));
        assert_eq!(said("b", "2"), None);
        assert_eq!(said("c", "1"), Some(&FilterAction::Hold));
        let faults = FilterTable::of_command_line(&["a", "a=1", "b:instal", "_"], &[]).unwrap_err();
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines[0], "invalid restriction `a=1`: its package is named twice");
        assert_eq!(lines[1], "invalid restriction `b:instal`: did you mean `install`?");
    }

    #[test]
    fn wrong_lines_are_named() {
        let faults = list(&["a instal\nb install\nb hold\nc\n_d hold\ne = x:1\n"]).unwrap_err();
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(
            lines[0].ends_with("0:1: invalid filter action `instal`: did you mean `install`?"),
            "{}",
            lines[0]
        );
        assert!(
            lines[1].ends_with("0:3: package `b` is already in this file"),
            "{}",
            lines[1]
        );
    }
}
