//! The configuration of an archive: `conf/options`, `conf/distributions`, `conf/updates`, `conf/pulls` and the files
//! that they name, read into checked values. The files are those of reprepro; `reprepro(1)` describes them too.

pub mod directories;
pub mod distribution;
mod distributions;
pub mod extras;
pub mod fault;
mod fields;
pub mod filter;
pub mod formula;
pub mod glob;
pub mod ignore;
mod index_files;
pub mod key;
mod links;
mod log;
mod option_table;
pub mod options;
pub mod overrides;
pub mod pull;
mod reader;
pub mod rename;
mod tracking;
pub mod update;
mod updates;
pub mod uploaders;
pub mod verify;

pub use directories::Directories;
pub use distribution::Distribution;
pub use fault::{Error, Faults, Place, Warning};
pub use formula::Formula;
pub use ignore::{Ignore, IgnoreSet};
pub use options::{ExportMode, Options, Settings};
pub use overrides::Overrides;
pub use pull::PullRule;
pub use update::UpdateRule;
pub use uploaders::Uploaders;

use std::path::Path;

use distributions::KnownRules;
use fault::{Sink, printable};

use crate::fsio;
use crate::model::{Architecture, Codename, Component, Suite};
use formula::Subject;

/// The whole configuration of an archive.
#[derive(Debug, Clone)]
pub struct Conf {
    /// Every distribution, in the order of conf/distributions.
    pub distributions: Vec<Distribution>,
    /// Every rule of conf/updates, each with what its `From` says.
    pub update_rules: Vec<UpdateRule>,
    /// Every rule of conf/pulls.
    pub pull_rules: Vec<PullRule>,
    /// What is odd about the files.
    pub warnings: Vec<Warning>,
}

impl Conf {
    /// Reads and checks all files.
    ///
    /// # Errors
    /// Every fault of every file, as far as they do not follow from others.
    pub fn read(directories: &Directories, ignore: &IgnoreSet) -> Result<Self, Faults> {
        let mut sink = Sink::new(directories, ignore);
        let updates = read_rules(updates::read, &directories.conf.join("updates"), &mut sink);
        let pulls = read_rules(pull::read, &directories.conf.join("pulls"), &mut sink);
        let known = KnownRules {
            update: (updates.as_ref()).map(|rules| rules.iter().map(|rule| rule.name.clone()).collect()),
            pull: (pulls.as_ref()).map(|rules| rules.iter().map(|rule| rule.name.clone()).collect()),
        };
        let path = directories.conf.join("distributions");
        let distributions = match distributions::read(&path, &known, &mut sink) {
            Ok(distributions) => distributions,
            Err(error) if error.is_not_found() => return Err(Error::NoDistributions { path }.into()),
            Err(source) => return Err(Error::File { source }.into()),
        };
        if distributions.is_empty() && sink.errors.is_empty() {
            sink.errors.push(Error::NoDistributions { path });
        }
        let conf = Self {
            distributions,
            update_rules: updates.unwrap_or_default(),
            pull_rules: pulls.unwrap_or_default(),
            warnings: Vec::new(),
        };
        if sink.errors.is_empty() {
            links::check(&conf, &mut sink);
        }
        match Faults::collect(sink.errors) {
            Some(faults) => Err(faults),
            None => Ok(Self {
                warnings: sink.warnings,
                ..conf
            }),
        }
    }

    /// Reads the files that the configuration names (uploaders, overrides, filter lists), which commands read only when
    /// they need them, and looks for the programs; gives the warnings about them.
    ///
    /// # Errors
    /// Every fault of every such file.
    pub fn check_files(&self, directories: &Directories) -> Result<Vec<Warning>, Faults> {
        let (errors, warnings) = links::check_files(self, directories);
        match Faults::collect(errors) {
            Some(faults) => Err(faults),
            None => Ok(warnings),
        }
    }

    /// The update rule of that name.
    #[must_use]
    pub fn update_rule(&self, name: &str) -> Option<&UpdateRule> {
        self.update_rules.iter().find(|rule| rule.name == name)
    }

    /// The pull rule of that name.
    #[must_use]
    pub fn pull_rule(&self, name: &str) -> Option<&PullRule> {
        self.pull_rules.iter().find(|rule| rule.name == name)
    }

    /// What a formula says of `$Architecture` or `$Component` though no distribution has it; none if all is known.
    #[must_use]
    pub fn unknown_in(&self, formula: &Formula) -> Option<String> {
        formula.named().into_iter().find_map(|(subject, name)| {
            let (what, known): (_, Vec<&str>) = match subject {
                Subject::Component => {
                    let all = self.distributions.iter().flat_map(|other| &other.components);
                    ("component", all.map(Component::as_str).collect())
                }
                _ => {
                    let all = self.distributions.iter().flat_map(|other| &other.architectures);
                    let special = ["source", "all"].into_iter();
                    ("architecture", all.map(Architecture::as_str).chain(special).collect())
                }
            };
            if known.contains(&name) {
                return None;
            }
            let hint = nearest(name, known).map(|known| format!("; did you mean `{known}`?"));
            let name = printable(name);
            Some(format!(
                "no distribution has the {what} `{name}` of the formula{}",
                hint.unwrap_or_default()
            ))
        })
    }

    /// The distribution of that codename or, if exactly one has it, of that suite.
    ///
    /// # Errors
    /// There is none; or several have that suite.
    pub fn find(&self, name: &str) -> Result<&Distribution, Error> {
        let names = (self.distributions.iter())
            .flat_map(|other| [Some(other.codename.as_str()), other.suite.as_ref().map(Suite::as_str)])
            .flatten();
        let by_codename = self.distributions.iter().find(|other| other.codename.as_str() == name);
        if let Some(distribution) = by_codename {
            return Ok(distribution);
        }
        let of_suite: Vec<_> = (self.distributions.iter())
            .filter(|other| other.suite.as_ref().is_some_and(|suite| suite.as_str() == name))
            .collect();
        match of_suite.as_slice() {
            [distribution] => Ok(distribution),
            [] => Err(Error::Unknown {
                place: None,
                what: "distribution",
                name: printable(name),
                nearest: nearest(name, names).map(str::to_owned),
            }),
            several => Err(Error::Ambiguous {
                name: printable(name),
                codenames: several
                    .iter()
                    .map(|other| other.codename.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        }
    }

    /// The distribution of that codename.
    #[must_use]
    pub fn by_codename(&self, codename: &Codename) -> Option<&Distribution> {
        self.distributions.iter().find(|other| other.codename == *codename)
    }
}

type ReadRules<T> = fn(&Path, &mut Sink<'_>) -> Result<Vec<T>, fsio::Error>;

/// The rules of a file that may be missing; `None` if it has faults.
fn read_rules<T>(read: ReadRules<T>, path: &Path, sink: &mut Sink<'_>) -> Option<Vec<T>> {
    let faults_before = sink.errors.len();
    let rules = match read(path, sink) {
        Ok(rules) => rules,
        Err(error) if error.is_not_found() => Vec::new(),
        Err(source) => {
            sink.errors.push(Error::File { source });
            Vec::new()
        }
    };
    (sink.errors.len() == faults_before).then_some(rules)
}

const MAX_COMPARED_BYTES: usize = 64;

/// The candidate that is spelt most like `word`, if one is near enough to be what was meant.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    if word.len() > MAX_COMPARED_BYTES {
        return None;
    }
    (candidates.into_iter())
        .filter(|candidate| candidate.len() <= MAX_COMPARED_BYTES)
        .map(|candidate| (edit_distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            let is_start = word.len() >= 3 && candidate.to_ascii_lowercase().starts_with(&word);
            is_start || *distance <= word.len().div_ceil(4) && *distance < word.len()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters must be added, removed, replaced, or swapped with the next one, to make one text the other.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (row, c) in from.chars().enumerate() {
        let mut line = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX - 1);
            let mut distance = at(&above, column) + usize::from(c != *other);
            distance = distance.min(at(&above, column + 1) + 1).min(at(&line, column) + 1);
            let is_swapped = column > 0 && previous == Some(*other) && to.get(column - 1) == Some(&c);
            if is_swapped {
                distance = distance.min(at(&before, column - 1) + 1);
            }
            line.push(distance);
        }
        before = std::mem::replace(&mut above, line);
        previous = Some(c);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (from, to, distance) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("Compoennts", "Components", 1),
            ("abc", "", 3),
        ] {
            assert_eq!(edit_distance(from, to), distance, "{from} {to}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["Components", "Codename", "Contents", "Suite"];
        assert_eq!(nearest("componnts", known), Some("Components"));
        assert_eq!(nearest("Code", known), Some("Codename"));
        assert_eq!(nearest("Suit", known), Some("Suite"));
        assert_eq!(nearest("Banana", known), None);
        assert_eq!(nearest("x", known), None);
    }
}
