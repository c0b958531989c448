//! The files of the pool, each read once: what is in them decides whether a package can be listed again.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::fsio;
use crate::model::{ArchivePath, FileDigests, Hasher, PoolFile, Promise};

use super::super::archive::Archive;
use super::super::with_causes;

/// What the pool holds, as far as it was looked at.
pub(super) struct Pool<'a> {
    archive: &'a Archive<'a>,
    found: BTreeMap<ArchivePath, Result<FileDigests, String>>,
}

impl<'a> Pool<'a> {
    pub fn new(archive: &'a Archive<'a>) -> Self {
        Self {
            archive,
            found: BTreeMap::new(),
        }
    }

    /// Reads these files, those that were read before left out.
    pub fn look_at<'p>(&mut self, paths: impl Iterator<Item = &'p ArchivePath>) {
        let new: BTreeSet<&ArchivePath> = paths.filter(|path| !self.found.contains_key(*path)).collect();
        let new: Vec<ArchivePath> = new.into_iter().cloned().collect();
        let out = &self.archive.directories.out;
        let read = |path: ArchivePath| {
            let content = match fsio::digest_file_with(&path.to_fs_path(out), Hasher::with_sha512()) {
                Err(error) if error.is_not_found() => Err("is missing".into()),
                other => other.map_err(|error| with_causes(&error)),
            };
            (path, content)
        };
        self.found.par_extend(new.into_par_iter().map(read));
    }

    /// The file, if it is what was promised; SHA-512 only if that is wanted.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn file(&self, path: &ArchivePath, promise: &Promise, with_sha512: bool) -> Result<PoolFile, String> {
        let content = match self.found.get(path) {
            Some(Ok(content)) => content,
            Some(Err(problem)) => return Err(format!("`{path}` {problem}")),
            None => return Err(format!("`{path}` was not looked at")),
        };
        if let Some(broken) = promise.broken_by(content).first() {
            return Err(format!("`{path}` is another file: {broken}"));
        }
        let mut content = *content;
        if !with_sha512 {
            content.digests.sha512 = None;
        }
        Ok(PoolFile {
            path: path.clone(),
            content,
        })
    }
}
