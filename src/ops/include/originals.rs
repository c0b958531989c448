//! The files that came in, where they came from: `--delete` removes them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::fsio;

use super::super::archive::Archive;
use super::super::with_causes;

/// The files that a command read.
#[derive(Debug, Default)]
pub(super) struct Originals {
    /// Those that are in the pool now, or were before.
    pub taken: BTreeSet<PathBuf>,
    /// All.
    pub all: BTreeSet<PathBuf>,
}

impl Originals {
    /// Removes what `--delete` says; once: what was taken, twice: all. The change has happened: failures are warnings.
    pub fn delete(self, archive: &Archive<'_>) {
        let unwanted = match archive.settings.options.delete_count() {
            0 => return,
            1 => self.taken,
            _ => self.all,
        };
        for path in unwanted {
            if let Err(error) = fsio::remove_if_there(&path) {
                archive.reporter.warning(&with_causes(&error));
            }
        }
    }
}
