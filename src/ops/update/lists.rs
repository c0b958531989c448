//! `cleanlists`: removes the copies of upstreams' files below `lists/` that no rule of the configuration uses.

use std::collections::BTreeSet;
use std::fs;

use crate::conf::distribution::Distribution;
use crate::fsio::{self, AtPath};
use crate::model::Restriction;

use super::super::Result;
use super::super::archive::Archive;
use super::jobs::{self, Jobs};
use super::seen::Seen;

/// How the names of copies of indexes end. Everything else of an upstream that is used stays: its Release says since
/// when nothing older is taken.
const INDEXES: [&str; 3] = ["_Packages", "_uPackages", "_Sources"];

/// Removes the copies that no rule uses; gives their names. With `--dry-run` it removes nothing.
///
/// # Errors
/// An update is running, `lists/` cannot be read, or a file in it cannot be removed.
pub fn clean_lists(archive: &Archive<'_>) -> Result<Vec<String>> {
    let settings = &archive.settings;
    let patience = settings.options.lock_patience();
    let _lock = archive.database()?.lock_updates(&settings.command_line, patience)?;
    let used = Used::of(archive);
    let lists = &archive.directories.list;
    let found = match fs::read_dir(lists) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found.at("read", lists)?,
    };
    let mut removed = Vec::new();
    for entry in found {
        let entry = entry.at("read", lists)?;
        let name = entry.file_name();
        // a name that is not UTF-8 is of no copy
        let Some(name) = name.to_str() else { continue };
        if used.has(name) || !entry.file_type().at("read", &entry.path())?.is_file() {
            continue;
        }
        if !settings.dry_run {
            fsio::remove_if_there(&entry.path())?;
            archive.reporter.status(&format!("Removed {}", entry.path().display()));
        }
        removed.push(name.to_owned());
    }
    removed.sort();
    Ok(removed)
}

/// The names that the rules of all distributions use.
struct Used {
    names: BTreeSet<String>,
    /// How the names of an upstream's files begin.
    upstreams: Vec<String>,
}

impl Used {
    fn of(archive: &Archive<'_>) -> Self {
        let all: Vec<&Distribution> = archive.conf.distributions.iter().collect();
        let Jobs { upstreams, sources, .. } = jobs::jobs(&archive.conf, &all, &Restriction::default());
        let mut names: BTreeSet<String> = sources.into_iter().map(|source| source.list_name).collect();
        let updated = all.iter().filter(|distribution| !distribution.update.is_empty());
        names.extend(updated.map(|distribution| Seen::file_name(distribution)));
        Self {
            names,
            upstreams: upstreams.iter().map(|upstream| upstream.list_name("")).collect(),
        }
    }

    /// Whether it is a copy that is used, or what has arrived of one so far: `.NAME.part`.
    fn has(&self, file: &str) -> bool {
        let unfinished = file.strip_prefix('.').and_then(|rest| rest.rsplit_once('.'));
        let name = unfinished.map_or(file, |(name, _)| name);
        let is_index = INDEXES.iter().any(|end| name.ends_with(end));
        let is_of_used = self.upstreams.iter().any(|start| name.starts_with(start.as_str()));
        self.names.contains(name) || (is_of_used && !is_index)
    }
}
