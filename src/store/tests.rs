//! The store as commands use it: what a commit changes, and what is left after each way of being stopped.

use std::fs;
use std::time::Duration;

use super::*;
use crate::model::{
    Digests, Entry, ErrorKind, FileDigests, IndexId, ListedPackage, PoolFile, SourceName, Track, TrackedFile,
};
use crate::model::{PackageName, TrackedKind, Version};

struct Archive {
    directory: tempfile::TempDir,
}

impl Archive {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("db")
    }

    fn database(&self) -> Database {
        Database::at(&self.path()).unwrap()
    }

    fn guard(&self) -> WriteGuard {
        self.database().lock("a test", Duration::ZERO).unwrap()
    }

    fn names(&self, index: &str) -> Vec<String> {
        let entries = self.database().snapshot().unwrap().entries(&index_id(index)).unwrap();
        entries
            .iter()
            .map(|entry| format!("{} {}", entry.name, entry.version))
            .collect()
    }
}

fn index_id(text: &str) -> IndexId {
    text.parse().unwrap()
}

fn file(path: &str) -> PoolFile {
    PoolFile {
        path: ArchivePath::new(path).unwrap(),
        content: FileDigests {
            size_bytes: path.len() as u64,
            digests: Digests {
                md5: None,
                sha1: None,
                sha256: Sha256::of(path.as_bytes()),
                sha512: None,
            },
        },
    }
}

fn package(name: &str, version: &str) -> ListedPackage {
    let path = format!("pool/main/s/src-{name}/{name}_{version}_amd64.deb");
    ListedPackage {
        entry: Entry {
            name: PackageName::new(name).unwrap(),
            version: Version::new(version).unwrap(),
            source: SourceName::new(&format!("src-{name}")).unwrap(),
            source_version: Version::new(version).unwrap(),
            files: vec![file(&path)],
        },
        text: format!("Package: {name}\nVersion: {version}\nFilename: {path}\n\n").into_bytes(),
    }
}

fn track(source: &str, version: &str, paths: &[&str]) -> Track {
    Track {
        source: SourceName::new(source).unwrap(),
        version: Version::new(version).unwrap(),
        files: paths
            .iter()
            .map(|path| TrackedFile {
                file: file(path),
                kind: TrackedKind::ArchBinary,
            })
            .collect(),
    }
}

fn at(unix_seconds: i64) -> Provenance {
    Provenance {
        unix_seconds,
        user: "tester".into(),
        command: "a test".into(),
    }
}

fn put(store: &Store, index: &str, packages: &[(&str, &str)], time: i64) -> Commit {
    let mut txn = store.begin();
    for (name, version) in packages {
        txn.put(&index_id(index), package(name, version));
    }
    txn.commit(&at(time)).unwrap()
}

fn remove(store: &Store, index: &str, name: &str, version: &str, time: i64) -> Commit {
    let mut txn = store.begin();
    let (name, version) = (PackageName::new(name).unwrap(), Version::new(version).unwrap());
    txn.remove(&index_id(index), &name, &version);
    txn.commit(&at(time)).unwrap()
}

fn unreferenced(store: &Store) -> Vec<(String, i64)> {
    let rows = store.unreferenced(i64::MAX).unwrap();
    rows.into_iter()
        .map(|(path, record)| (path.file_name().to_owned(), record.unreferenced_since.unwrap()))
        .collect()
}

const A: &str = "a|main|amd64";
const B: &str = "b|main|amd64";

#[test]
fn what_is_put_is_listed_and_found() {
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    let commit = put(&store, A, &[("zsh", "1"), ("bash", "2"), ("bash", "1")], 10);
    assert_eq!(commit.sequence, Some(1));
    assert_eq!(commit.changed, [index_id(A)]);

    // a reader needs neither the lock nor the tables
    assert_eq!(archive.names(A), ["bash 1", "bash 2", "zsh 1"]);
    let snapshot = archive.database().snapshot().unwrap();
    let bash = PackageName::new("bash").unwrap();
    assert_eq!(snapshot.find(&index_id(A), &bash).unwrap().len(), 2);
    assert!(snapshot.find(&index_id(B), &bash).unwrap().is_empty());
    let found = snapshot
        .package(&index_id(A), &bash, &Version::new("2").unwrap())
        .unwrap();
    assert_eq!(found, Some(package("bash", "2")));

    let source = SourceName::new("src-bash").unwrap();
    let built = store.by_source(&source).unwrap();
    assert_eq!(built.len(), 2);
    assert_eq!(built[0], (index_id(A), package("bash", "1").entry));
    assert!(guard.repairs().is_empty());
}

#[test]
fn an_equal_package_is_no_change() {
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    put(&store, A, &[("bash", "1")], 10);
    let again = put(&store, A, &[("bash", "1")], 20);
    assert_eq!((again.sequence, again.changed), (None, vec![]));
    assert_eq!(remove(&store, A, "zsh", "1", 30).sequence, None);
    let journal = fs::read_to_string(archive.path().join("journal")).unwrap();
    assert_eq!(journal.lines().count(), 1);
}

#[test]
fn a_file_is_unreferenced_when_its_last_package_and_track_are_gone() {
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    let path = "pool/main/s/src-bash/bash_1_amd64.deb";
    store.announce_files(&[file(path)], 5).unwrap();
    assert_eq!(unreferenced(&store), [("bash_1_amd64.deb".into(), 5)]);

    put(&store, A, &[("bash", "1")], 10);
    put(&store, B, &[("bash", "1")], 11);
    let mut txn = store.begin();
    let codename = Codename::new("a").unwrap();
    txn.put_track(&codename, track("src-bash", "1", &[path]));
    txn.commit(&at(12)).unwrap();
    let pool_path = ArchivePath::new(path).unwrap();
    assert_eq!(store.references(&pool_path).unwrap().len(), 3);
    assert_eq!(store.snapshot().unwrap().tracks(&codename).unwrap().len(), 1);

    remove(&store, A, "bash", "1", 20);
    remove(&store, B, "bash", "1", 21);
    assert_eq!(unreferenced(&store), []);
    let mut txn = store.begin();
    txn.remove_track(
        &codename,
        &SourceName::new("src-bash").unwrap(),
        &Version::new("1").unwrap(),
    );
    txn.commit(&at(22)).unwrap();
    assert_eq!(unreferenced(&store), [("bash_1_amd64.deb".into(), 22)]);
    assert!(archive.database().snapshot().unwrap().heads().is_empty());

    store.forget_files(&[pool_path]).unwrap();
    assert!(store.pool_files().unwrap().is_empty());
}

#[test]
fn a_missing_directory_is_an_empty_archive_and_stays_missing() {
    let archive = Archive::new();
    let database = archive.database();
    assert!(database.snapshot().unwrap().heads().is_empty());
    assert!(database.pool_files().unwrap().is_empty());
    assert_eq!(database.published(&Codename::new("a").unwrap()).unwrap(), None);
    assert!(!archive.path().exists());
}

#[test]
fn a_second_writer_is_told_who_the_first_is() {
    let archive = Archive::new();
    let _guard = archive.guard();
    let error = archive.database().lock("another", Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
}

#[test]
fn directories_of_others_are_refused() {
    for (name, content, expected) in [
        ("packages.db", "x", "the database of reprepro"),
        ("version", "2\n", "has format `2`: this program reads format `1`"),
        ("notes", "x", "is not empty and has no file `version`"),
    ] {
        let archive = Archive::new();
        fs::create_dir(archive.path()).unwrap();
        fsio::write_new(&archive.path().join(name), content.as_bytes()).unwrap();
        let error = Database::at(&archive.path()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.hint().is_some());
    }
}
