//! A snapshot of a directory: what clients can see of it, down to inode and time, for "nothing changed" and "what
//! changed".

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aptrepo::model::Sha256;

use super::TestResult;

/// One file or symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The SHA-256 of a file, the target of a link.
    pub content: String,
    pub size: u64,
    inode: u64,
    mtime: (i64, i64),
}

/// All files and links below a directory, by their path in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// The tree below `dir`; empty if there is none.
    pub fn of(dir: &Path) -> TestResult<Self> {
        let mut tree = Self::default();
        if dir.is_dir() {
            tree.add(dir, "")?;
        }
        Ok(tree)
    }

    fn add(&mut self, dir: &Path, prefix: &str) -> TestResult {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let path = entry.path();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let meta = entry.metadata()?;
            if meta.is_dir() {
                self.add(&path, &format!("{name}/"))?;
                continue;
            }
            let content = if meta.is_symlink() {
                format!("-> {}", std::fs::read_link(&path)?.display())
            } else {
                Sha256::of(&std::fs::read(&path)?).to_string()
            };
            let node = Node {
                content,
                size: meta.size(),
                inode: meta.ino(),
                mtime: (meta.mtime(), meta.mtime_nsec()),
            };
            self.nodes.insert(name, node);
        }
        Ok(())
    }

    /// The paths, sorted.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(String::as_str)
    }

    /// Path and content of each file, without inode and time.
    pub fn contents(&self) -> BTreeMap<&str, &str> {
        let pairs = self.nodes.iter();
        pairs
            .map(|(path, node)| (path.as_str(), node.content.as_str()))
            .collect()
    }

    /// Whether a path is there.
    pub fn has(&self, path: &str) -> bool {
        self.nodes.contains_key(path)
    }

    /// What differs, a line a file.
    pub fn differences(&self, later: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, node) in &self.nodes {
            match later.nodes.get(path) {
                None => lines.push(format!("gone: {path}")),
                Some(other) if other.content != node.content => lines.push(format!("other content: {path}")),
                Some(other) if other != node => lines.push(format!("written again: {path}")),
                Some(_) => {}
            }
        }
        let added = later.files().filter(|path| !self.has(path));
        lines.extend(added.map(|path| format!("new: {path}")));
        lines
    }

    /// Asserts that not even a time stamp differs.
    #[track_caller]
    pub fn assert_unchanged(&self, later: &Self) {
        let differences = self.differences(later);
        assert!(differences.is_empty(), "the tree changed: {differences:#?}");
    }
}
