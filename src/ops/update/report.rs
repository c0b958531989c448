//! What an update would do, in the words of reprepro's `checkupdate` and `dumpupdate`, or as rows for JSON.

use serde::Serialize;

use crate::model::{ArchivePath, IndexId};

use super::candidate::Candidate;
use super::jobs::Jobs;
use super::marks::Fate;
use super::needs::Needs;

/// What becomes of one package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpdateRow {
    /// The index.
    pub index: String,
    /// `add`, `update`, `delete` or `keep`.
    pub action: &'static str,
    /// The package.
    pub package: String,
    /// The version that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The version that comes; for `delete` and `keep` the best one that was offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The rule that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The files that have to be fetched for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files_needed: Vec<String>,
}

/// What an update would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The indexes that were looked at.
    pub indexes: Vec<String>,
    /// What becomes of their packages.
    pub rows: Vec<UpdateRow>,
    /// How many files have to be fetched.
    pub files_to_fetch: usize,
    /// How many bytes these have.
    pub bytes_to_fetch: u64,
}

impl Report {
    /// Adds what becomes of the packages of one index.
    pub(super) fn add(&mut self, index: &IndexId, fates: &[Fate<Candidate>], jobs: &Jobs<'_>, needs: &Needs) {
        self.indexes.push(index.to_string());
        self.rows
            .extend(fates.iter().flat_map(|fate| rows(index, fate, jobs, needs)));
    }

    fn of_index<'a>(&'a self, index: &'a str) -> impl Iterator<Item = &'a UpdateRow> {
        self.rows.iter().filter(move |row| row.index == index)
    }

    /// The text of `checkupdate`. What stays is told from one `-v` on, with a better offer from two on.
    #[must_use]
    pub fn check_text(&self, verbosity: i32) -> String {
        let mut text = String::new();
        for index in &self.indexes {
            text += &format!("Updates needed for '{index}':\n");
            for row in self.of_index(index) {
                text += &check_line(row, verbosity);
            }
        }
        text
    }

    /// The text of `dumpupdate`.
    #[must_use]
    pub fn dump_text(&self) -> String {
        let mut text = String::new();
        for index in &self.indexes {
            text += &format!("Updates needed for '{index}':\n");
            for row in self.of_index(index) {
                text += &dump_line(row);
            }
        }
        text
    }
}

fn rows(index: &IndexId, fate: &Fate<Candidate>, jobs: &Jobs<'_>, needs: &Needs) -> Vec<UpdateRow> {
    let row = |action: &'static str, from: Option<String>, to: Option<String>| UpdateRow {
        index: index.to_string(),
        action,
        package: fate.name.to_string(),
        from,
        to,
        rule: None,
        files_needed: Vec::new(),
    };
    let best_new = || fate.best_new.as_ref().map(ToString::to_string);
    let mut gone = fate.gone.iter().map(|entry| entry.version.to_string());
    let mut rows = Vec::new();
    for candidate in &fate.new {
        let from = gone.next();
        let action = if from.is_some() { "update" } else { "add" };
        let rule = jobs.sources.get(candidate.offer).map(|source| source.rule.name.clone());
        rows.push(UpdateRow {
            rule,
            files_needed: needs
                .missing_of(candidate)
                .into_iter()
                .map(ArchivePath::to_string)
                .collect(),
            ..row(action, from, Some(candidate.version.to_string()))
        });
    }
    rows.extend(gone.map(|version| row("delete", Some(version), best_new())));
    rows.extend(
        fate.kept
            .iter()
            .map(|version| row("keep", Some(version.to_string()), best_new())),
    );
    rows
}

fn check_line(row: &UpdateRow, verbosity: i32) -> String {
    let UpdateRow { package, from, to, .. } = row;
    let (from, to) = (from.as_deref().unwrap_or_default(), to.as_deref());
    let rule = row.rule.as_deref().unwrap_or_default();
    let files = if row.files_needed.is_empty() {
        String::new()
    } else {
        format!("\n files needed: {}", row.files_needed.join(" "))
    };
    match (row.action, to) {
        ("add", Some(to)) => format!("'{package}': newly installed as '{to}' (from '{rule}'):{files}\n"),
        ("update", Some(to)) => format!("'{package}': '{from}' will be upgraded to '{to}' (from '{rule}'):{files}\n"),
        ("delete", Some(to)) => format!("'{package}': '{from}' will be deleted (best new: '{to}')\n"),
        ("delete", None) => format!("'{package}': '{from}' will be deleted (no longer available or superseded)\n"),
        ("keep", Some(to)) if verbosity > 1 => format!("'{package}': '{from}' will be kept (best new: '{to}')\n"),
        ("keep", None) if verbosity > 0 => format!("'{package}': '{from}' will be kept (unavailable for reload)\n"),
        _ => String::new(),
    }
}

fn dump_line(row: &UpdateRow) -> String {
    let UpdateRow { package, from, to, .. } = row;
    let (from, to) = (from.as_deref().unwrap_or_default(), to.as_deref());
    let rule = row.rule.as_deref().unwrap_or_default();
    match (row.action, to) {
        ("add", Some(to)) => format!("add '{package}' - '{to}' '{rule}'\n"),
        ("update", Some(to)) => format!("update '{package}' '{from}' '{to}' '{rule}'\n"),
        ("delete", _) => format!("delete '{package}' '{from}'\n"),
        ("keep", Some(to)) => format!("keep '{package}' '{from}' '{to}'\n"),
        ("keep", None) => format!("keep '{package}' '{from}' unavailable\n"),
        _ => String::new(),
    }
}
