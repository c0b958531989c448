//! The new tree of a distribution, built beside the live one and put into its place in one step, so that a client never
//! sees a part of it. What did not change is hard-linked and keeps its inode and time; what was not made here is carried
//! over.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Error;
use crate::fsio::{self, AtPath, Swapped};
use crate::model::{ArchivePath, Codename, DigestKind, FileDigests, Hasher, Sha256};

/// The names of Release and its signatures, in the order in which they may appear one by one: InRelease, which today's
/// clients ask for, when all that it names is there.
pub(super) const RELEASE_NAMES: [&str; 3] = ["Release.gpg", "Release", "InRelease"];
/// Longest Release file that is read: Debian's has 0.5 MB.
pub(super) const MAX_RELEASE_BYTES: u64 = 64 << 20;

/// How the names of trees and links begin that are not in their place yet; nobody else's names do.
pub(super) const NEW_PREFIX: &str = ".aptrepo-new-";

/// Removes the trees and links that a dead process left half made in the directory of the distributions.
///
/// # Errors
/// The directory cannot be read, or one of them cannot be removed.
pub fn remove_leftovers(dists: &Path) -> fsio::Result<()> {
    let entries = match fs::read_dir(dists).at("read the directory", dists) {
        Err(error) if error.is_not_found() => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry.at("read the directory", dists)?;
        let path = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(NEW_PREFIX) {
            continue;
        }
        let kind = entry.file_type().at("read", &path)?;
        if kind.is_dir() {
            fsio::remove_tree(&path)?;
        } else if kind.is_symlink() {
            fsio::remove_if_there(&path)?;
        }
    }
    Ok(())
}

/// How much of a file that is published is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It is what the record says if it has that size.
    Size,
    /// Its digest is compared, and what is damaged is written anew.
    Digest,
}

/// A tree that is being built.
#[derive(Debug)]
pub(super) struct Tree {
    live: PathBuf,
    /// False if nothing is there yet, or just a link to another distribution.
    has_live: bool,
    new: PathBuf,
    check: Check,
}

impl Tree {
    /// Starts an empty tree for the distribution below `dists`. What a crash left of an earlier one is removed.
    pub(super) fn begin(dists: &Path, codename: &Codename) -> Result<Self, Error> {
        let live = dists.join(codename.as_str());
        fsio::create_dir_all(fsio::parent(&live))?;
        let has_live = find_live(&live, dists)?;
        let new = dists.join(format!("{NEW_PREFIX}{}", codename.as_str().replace('/', "%2F")));
        fsio::remove_tree(&new)?;
        fsio::create_dir_all(&new)?;
        Ok(Self {
            live,
            has_live,
            new,
            check: Check::Digest,
        })
    }

    /// Says how far the live tree is believed to be what the record says. It is not if its Release is another: after a
    /// crash between the swap and the record, or when one of them came back from a backup.
    pub(super) fn believe(&mut self, release: &Sha256, check: Check) -> Result<(), Error> {
        let found = fsio::read_if_there(&self.live.join("Release"), MAX_RELEASE_BYTES)?;
        if self.has_live && found.is_some_and(|found| Sha256::of(&found) == *release) {
            self.check = check;
        }
        Ok(())
    }

    /// How much of what is there is believed.
    pub(super) fn check(&self) -> Check {
        self.check
    }

    /// The directory of the new tree.
    pub(super) fn directory(&self) -> &Path {
        &self.new
    }

    /// Where a file is in the live tree.
    pub(super) fn live_path(&self, path: &ArchivePath) -> PathBuf {
        path.to_fs_path(&self.live)
    }

    /// Where to write a file of the new tree; its directory is made.
    pub(super) fn place(&self, path: &ArchivePath) -> Result<PathBuf, Error> {
        let place = path.to_fs_path(&self.new);
        fsio::create_dir_all(fsio::parent(&place))?;
        Ok(place)
    }

    /// Takes a file over from the live tree if it is there and holds what is expected.
    pub(super) fn reuse(&self, path: &ArchivePath, expected: &FileDigests) -> Result<bool, Error> {
        let live = self.live_path(path);
        if !self.has_live || size_of_file(&live) != Some(expected.size_bytes) {
            return Ok(false);
        }
        if self.check == Check::Digest && digests_of(&live)?.digests.sha256 != expected.digests.sha256 {
            return Ok(false);
        }
        fsio::link_or_copy(&live, &self.place(path)?)?;
        Ok(true)
    }

    /// Gives a file of the new tree its by-hash names, and says which.
    pub(super) fn link_by_hash(
        &self,
        path: &ArchivePath,
        content: &FileDigests,
        kinds: &[DigestKind],
    ) -> Result<Vec<ArchivePath>, Error> {
        let from = path.to_fs_path(&self.new);
        let mut made = vec![path.by_hash(&content.digests.sha256)];
        // apt asks by the strongest kind that Release has
        if kinds.contains(&DigestKind::Sha512)
            && let Some(digest) = content.digests.hex(DigestKind::Sha512)
        {
            let directory = path.directory();
            let slash = if directory.is_empty() { "" } else { "/" };
            let name = format!("{directory}{slash}by-hash/SHA512/{digest}");
            made.push(ArchivePath::new(&name).map_err(|source| Error::Path { source })?);
        }
        for name in &made {
            let place = self.place(name)?;
            // files of one directory may have the same content
            if size_of_file(&place).is_none() {
                fsio::link_or_copy(&from, &place)?;
            }
        }
        Ok(made)
    }

    /// Takes over a by-hash file of an earlier state; false if it is gone or damaged.
    pub(super) fn keep_by_hash(&self, path: &ArchivePath) -> Result<bool, Error> {
        let live = self.live_path(path);
        if !self.has_live || size_of_file(&live).is_none() {
            return Ok(false);
        }
        if self.check == Check::Digest {
            let digests = digests_of(&live)?.digests;
            let is = |kind| digests.hex(kind).is_some_and(|digest| digest == path.file_name());
            if !is(DigestKind::Sha256) && !is(DigestKind::Sha512) {
                return Ok(false);
            }
        }
        fsio::link_or_copy(&live, &self.place(path)?)?;
        Ok(true)
    }

    /// The files of the live tree that its own Release lists, with Release and its signatures. reprepro's trees have no
    /// record; this tells its files from those that somebody put beside them.
    pub(super) fn listed_live(&self) -> Result<BTreeSet<ArchivePath>, Error> {
        let mut listed = BTreeSet::new();
        if !self.has_live {
            return Ok(listed);
        }
        let bytes = fsio::read_if_there(&self.live.join("Release"), MAX_RELEASE_BYTES)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        for entry in text.lines().filter(|line| line.starts_with(' ')) {
            if let Some(Ok(path)) = entry.split_ascii_whitespace().nth(2).map(ArchivePath::new) {
                listed.insert(path);
            }
        }
        listed.extend(RELEASE_NAMES.iter().filter_map(|name| ArchivePath::new(name).ok()));
        Ok(listed)
    }

    /// All files, links and empty directories of the live tree, by their path in it.
    pub(super) fn live_entries(&self) -> Result<Vec<PathBuf>, Error> {
        if self.has_live {
            walk(&self.live)
        } else {
            Ok(Vec::new())
        }
    }

    /// Whether the new tree has something of that name.
    pub(super) fn has(&self, path: &Path) -> bool {
        fs::symlink_metadata(self.new.join(path)).is_ok()
    }

    /// The target of a symbolic link in the live tree.
    pub(super) fn live_link(&self, path: &ArchivePath) -> Option<String> {
        let target = fs::read_link(self.live_path(path)).ok()?;
        target.into_os_string().into_string().ok()
    }

    /// Takes over a file, link or empty directory that was not made here, whatever its name. One whose place is taken by
    /// a directory, or below a file, goes.
    pub(super) fn carry_over(&self, path: &Path) -> Result<(), Error> {
        let live = self.live.join(path);
        let place = self.new.join(path);
        let blocked = fsio::parent(&place)
            .ancestors()
            .take_while(|above| *above != self.new)
            .any(|above| fs::symlink_metadata(above).is_ok_and(|found| !found.is_dir()));
        if blocked || self.has(path) {
            return Ok(());
        }
        if is_directory(&live) {
            return Ok(fsio::create_dir_all(&place)?);
        }
        fsio::create_dir_all(fsio::parent(&place))?;
        match fs::read_link(&live) {
            Ok(target) => Ok(std::os::unix::fs::symlink(target, &place).at("make the link", &place)?),
            Err(_) => Ok(fsio::link_or_copy(&live, &place)?),
        }
    }

    /// Makes a symbolic link in the new tree.
    pub(super) fn link(&self, path: &ArchivePath, target: &str) -> Result<(), Error> {
        let place = self.place(path)?;
        Ok(std::os::unix::fs::symlink(target, &place).at("make the link", &place)?)
    }

    /// Puts the new tree into the place of the live one. `gone` are files of the live tree that the new one has no more.
    pub(super) fn install(&self, gone: &[ArchivePath]) -> Result<(), Error> {
        fsio::sync_filesystem(&self.new)?;
        if fsio::swap_directory(&self.new, &self.live)? == Swapped::NotPossible {
            if !self.has_live {
                fsio::remove_if_there(&self.live)?;
            }
            rename_each(&self.new, &self.live, gone)?;
        }
        Ok(fsio::sync_dir(fsio::parent(&self.live))?)
    }
}

impl Drop for Tree {
    /// A tree that did not become live is removed; after a swap, what was live before.
    fn drop(&mut self) {
        // what cannot be removed now is when the next tree is begun
        let _ = fsio::remove_tree(&self.new);
    }
}

/// Whether there is a live tree. Its place must be free, a directory, or a link to another distribution, as one is left
/// when a suite's name becomes a codename. Through a link to elsewhere nothing could be exchanged in one step.
fn find_live(live: &Path, dists: &Path) -> Result<bool, Error> {
    let found = match fs::symlink_metadata(live) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.at("read", live)?,
    };
    if found.is_dir() {
        return Ok(true);
    }
    let top = fs::canonicalize(dists).at("read", dists)?;
    let is_ours = found.is_symlink() && fs::canonicalize(live).map_or(true, |target| target.starts_with(top));
    if is_ours {
        return Ok(false);
    }
    Err(Error::NotADirectory { path: live.to_owned() })
}

/// Without an exchange of directories: the files one by one, so that whatever a client has read names files that are
/// there: by-hash first, then the indexes, Release and its signatures last, and only then what is gone.
fn rename_each(new: &Path, live: &Path, gone: &[ArchivePath]) -> Result<(), Error> {
    let mut names = walk(new)?;
    // an empty directory came from the live tree, and is there
    names.retain(|name| !is_directory(&new.join(name)));
    let rank = |name: &Path| match RELEASE_NAMES.iter().position(|release| Path::new(release) == name) {
        Some(position) => 2 + position,
        None => usize::from(!name.iter().any(|part| part == "by-hash")),
    };
    names.sort_by_cached_key(|name| rank(name));
    for name in &names {
        let place = live.join(name);
        fsio::create_dir_all(fsio::parent(&place))?;
        fs::rename(new.join(name), &place).at("rename a new file to", &place)?;
    }
    for path in gone {
        let place = path.to_fs_path(live);
        fsio::remove_if_there(&place)?;
        fsio::remove_empty_parents(fsio::parent(&place), live);
    }
    Ok(fsio::sync_filesystem(live)?)
}

/// The size of a regular file; None for what is missing or something else.
fn size_of_file(path: &Path) -> Option<u64> {
    let found = fs::symlink_metadata(path).ok()?;
    found.is_file().then_some(found.len())
}

fn digests_of(path: &Path) -> Result<FileDigests, Error> {
    let mut file = fs::File::open(path).at("open", path)?;
    let mut hasher = Hasher::of_kinds(&[DigestKind::Sha512]);
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = file.read(&mut buffer).at("read", path)?;
        match buffer.get(..read) {
            Some([]) | None => return Ok(hasher.finish()),
            Some(bytes) => hasher.update(bytes),
        }
    }
}

/// Whether this is a directory itself, not a link to one.
fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// Paths below a directory of all files, links and empty directories in it, sorted. Sockets and the like are left out.
fn walk(top: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut names = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(directory) = waiting.pop() {
        let path = top.join(&directory);
        let mut is_empty = true;
        for entry in fs::read_dir(&path).at("read the directory", &path)? {
            let entry = entry.at("read the directory", &path)?;
            is_empty = false;
            let name = directory.join(entry.file_name());
            let kind = entry.file_type().at("read", &path)?;
            if kind.is_dir() {
                waiting.push(name);
            } else if kind.is_file() || kind.is_symlink() {
                names.push(name);
            }
        }
        if is_empty && directory != Path::new("") {
            names.push(directory);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(top: &Path) -> Vec<String> {
        let text = |path: PathBuf| path.into_os_string().into_string().unwrap();
        walk(top).unwrap().into_iter().map(text).collect()
    }

    #[test]
    fn without_an_exchange_the_same_files_are_there_in_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let (new, live) = (directory.path().join("new"), directory.path().join("live"));
        for (top, name) in [
            (&live, "InRelease"),
            (&live, "old/Packages"),
            (&live, "notes"),
            (&new, "InRelease"),
            (&new, "main/Packages"),
            (&new, "main/by-hash/SHA256/00"),
        ] {
            let path = top.join(name);
            fsio::create_dir_all(fsio::parent(&path)).unwrap();
            fsio::write_new(&path, top.to_string_lossy().as_bytes()).unwrap();
        }
        rename_each(&new, &live, &[ArchivePath::new("old/Packages").unwrap()]).unwrap();
        assert_eq!(
            names(&live),
            ["InRelease", "main/Packages", "main/by-hash/SHA256/00", "notes"]
        );
        assert_eq!(
            fs::read(live.join("InRelease")).unwrap(),
            new.to_string_lossy().as_bytes()
        );
        assert!(!live.join("old").exists());
    }

    #[test]
    fn a_link_to_another_distribution_gives_way_to_a_directory() {
        let dists = tempfile::tempdir().unwrap();
        let dists = dists.path();
        fsio::create_dir_all(&dists.join("bookworm")).unwrap();
        fsio::write_new(&dists.join("bookworm/Release"), b"old").unwrap();
        std::os::unix::fs::symlink("bookworm", dists.join("stable")).unwrap();
        let tree = Tree::begin(dists, &Codename::new("stable").unwrap()).unwrap();
        assert!(tree.live_entries().unwrap().is_empty());
        fsio::write_new(&tree.directory().join("Release"), b"new").unwrap();
        tree.install(&[]).unwrap();
        drop(tree);
        assert_eq!(names(dists), ["bookworm/Release", "stable/Release"]);
        assert_eq!(fs::read(dists.join("bookworm/Release")).unwrap(), b"old");
    }

    #[test]
    fn only_what_was_begun_here_is_cleared_away() {
        let dists = tempfile::tempdir().unwrap();
        let dists = dists.path();
        for name in [".aptrepo-new-stable/main", ".new-layout", "stable"] {
            fsio::create_dir_all(&dists.join(name)).unwrap();
        }
        remove_leftovers(dists).unwrap();
        assert_eq!(names(dists), [".new-layout", "stable"]);
    }

    #[test]
    fn a_link_to_elsewhere_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (dists, other) = (directory.path().join("dists"), directory.path().join("other"));
        for path in [&dists, &other] {
            fsio::create_dir_all(path).unwrap();
        }
        std::os::unix::fs::symlink(&other, dists.join("stable")).unwrap();
        let refused = Tree::begin(&dists, &Codename::new("stable").unwrap());
        assert!(matches!(refused, Err(Error::NotADirectory { .. })));
    }
}
