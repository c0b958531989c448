//! The store as commands use it: what a commit changes, and what is left after each way of being stopped.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use proptest::prelude::*;

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
    assert!(guard.take_repairs().is_empty());
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
    store.announce_files([file(path)].into_iter(), 5).unwrap();
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

impl Archive {
    fn copy_tables(&self, to: &str) {
        let to = self.directory.path().join(to);
        fs::create_dir(&to).unwrap();
        for file in fs::read_dir(self.path().join("sled")).unwrap().flatten() {
            if file.path().is_file() {
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
    }

    fn restore_tables(&self, from: &str) {
        fs::remove_dir_all(self.path().join("sled")).unwrap();
        fs::rename(self.directory.path().join(from), self.path().join("sled")).unwrap();
    }

    fn journal(&self) -> PathBuf {
        self.path().join("journal")
    }

    fn overwrite(&self, name: &str, bytes: &[u8]) {
        fs::remove_file(self.path().join(name)).unwrap();
        fsio::write_new(&self.path().join(name), bytes).unwrap();
    }

    /// What the tables say, as text.
    fn tables(&self) -> String {
        let guard = self.guard();
        let store = guard.open().unwrap();
        let files = store.pool_files().unwrap();
        let mut lines: Vec<String> = files
            .into_iter()
            .map(|(path, record)| {
                let references = store.references(&path).unwrap();
                format!("{path} {:?} {references:?}", record.unreferenced_since)
            })
            .collect();
        lines.extend(guard.take_repairs());
        lines.join("\n")
    }
}

/// An archive with two changes: bash 1 in both distributions and zsh in one; then bash 1 is replaced in one and zsh gone.
fn two_changes() -> (Archive, String) {
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    let mut txn = store.begin();
    for index in [A, B] {
        txn.put(&index_id(index), package("bash", "1"));
    }
    txn.put(&index_id(A), package("zsh", "1"));
    txn.put_track(
        &Codename::new("a").unwrap(),
        track("src-bash", "1", &["pool/main/s/src-bash/bash_1_amd64.deb"]),
    );
    txn.commit(&at(10)).unwrap();
    drop(store);
    archive.copy_tables("old");
    let store = guard.open().unwrap();
    let mut txn = store.begin();
    let name = |name| PackageName::new(name).unwrap();
    let one = Version::new("1").unwrap();
    txn.remove(&index_id(A), &name("bash"), &one);
    txn.remove(&index_id(A), &name("zsh"), &one);
    txn.put(&index_id(A), package("bash", "2"));
    txn.commit(&at(20)).unwrap();
    drop((store, guard));
    let tables = archive.tables();
    assert!(tables.contains("zsh_1_amd64.deb Some(20) []"), "{tables}");
    (archive, tables)
}

#[test]
fn tables_that_a_crash_left_behind_follow_the_journal() {
    let (archive, tables) = two_changes();
    archive.restore_tables("old");
    assert_eq!(archive.tables(), tables);
}

#[test]
fn missing_tables_are_made_anew() {
    let (archive, tables) = two_changes();
    fs::remove_dir_all(archive.path().join("sled")).unwrap();
    // that zsh was ever there is not to be seen from the heads
    let without_zsh: Vec<&str> = tables.lines().filter(|line| !line.contains("zsh")).collect();
    let anew = archive.tables();
    let (rows, message) = anew.rsplit_once('\n').unwrap();
    assert_eq!(rows, without_zsh.join("\n"));
    assert!(message.starts_with("there were no tables in"), "{message}");
}

#[test]
fn a_half_written_snapshot_of_the_tables_does_no_harm() {
    let (archive, tables) = two_changes();
    fsio::write_new(&archive.path().join("sled/snap.00000000FFFFFFFF.generating"), b"").unwrap();
    assert_eq!(archive.tables(), tables);
}

#[test]
fn damaged_tables_are_made_anew_and_never_believed() {
    let archive = Archive::new();
    for round in 0..3 {
        let guard = archive.guard();
        let store = guard.open().unwrap();
        let names: Vec<String> = (0..150).map(|number| format!("p{}", number * (round + 1))).collect();
        let version = round.to_string();
        let packages: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), version.as_str())).collect();
        put(&store, A, &packages, 10);
    }
    let tables = archive.tables();
    archive.copy_tables("good");
    let good = fs::read(archive.path().join("sled/db")).unwrap();
    let mut made_anew = 0;
    for step in 0..14 {
        let mut db = good.clone();
        match step {
            0 => db.clear(),
            1 => db.truncate(db.len() / 2),
            2 => db.fill(b'x'),
            _ => {
                let start = good.len() * (step - 3) / 11;
                db[start..(start + 4096).min(good.len())].fill(0);
            }
        }
        archive.overwrite("sled/db", &db);
        // damage that shows only when a row is read ends that command, and is mended by the next
        let first = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| archive.tables()));
        let found = first.unwrap_or_else(|_| archive.tables());
        assert!(found.starts_with(&tables), "step {step}");
        made_anew += usize::from(found.contains("made them anew"));
        assert_eq!(archive.tables(), tables);
        archive.restore_tables("good");
        archive.copy_tables("good");
    }
    assert!(made_anew > 2, "{made_anew}");
}

#[test]
fn a_change_whose_followers_fail_is_still_done() {
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    fs::create_dir_all(archive.path().join("heads/in-the-way")).unwrap();
    let mut long = at(1);
    long.command = "x".repeat(300_000);
    let mut txn = store.begin();
    txn.put(&index_id(A), package("bash", "1"));
    let error = txn.commit(&long).unwrap_err();
    assert!(matches!(error, Error::AfterCommit { sequence: 1, .. }), "{error}");
    assert_eq!(archive.names(A), ["bash 1"]);
    drop((store, guard));
    assert!(archive.tables().contains("bash_1_amd64.deb None [Package"));
}

#[test]
fn a_journal_that_lost_its_last_line_is_damaged() {
    let (archive, _) = two_changes();
    let journal = fs::read(archive.journal()).unwrap();
    let first = journal.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    archive.overwrite("journal", first);
    let error = archive.guard().open().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("it ends after change 1, though change 2 has happened"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("aptrepo recover"));
}

#[test]
fn a_torn_last_line_never_happened() {
    let (archive, tables) = two_changes();
    let whole = fs::read(archive.journal()).unwrap();
    for torn in [&b"{\"sequence\":3,\"prev"[..], b"\0\0\0\0\n", b"}"] {
        archive.overwrite("journal", &[&whole, torn].concat());
        assert_eq!(archive.names(A), ["bash 2"], "a reader does without it");
        let found = archive.tables();
        assert!(
            found.starts_with(&tables) && found.contains("cut off the line after change 2"),
            "{found}"
        );
        assert_eq!(fs::read(archive.journal()).unwrap(), whole);
        assert_eq!(
            fs::read(archive.path().join("journal.torn")).unwrap(),
            torn,
            "nothing is lost"
        );
    }
}

#[test]
fn a_damaged_last_line_is_not_taken_for_a_torn_one() {
    let (archive, _) = two_changes();
    let whole = fs::read(archive.journal()).unwrap();
    let last = whole.len() - 1;
    // the second of them lost its line end, but the tables know that its change has happened
    for (at, byte) in [(last - 1, b'!'), (last, b'!')] {
        let mut damaged = whole.clone();
        damaged[at] = byte;
        archive.overwrite("journal", &damaged);
        let error = archive.guard().open().unwrap_err();
        assert!(
            error
                .to_string()
                .contains("journal:2: the journal is damaged: it is no line"),
            "{error}"
        );
        assert_eq!(fs::read(archive.journal()).unwrap(), damaged, "nothing is cut off");
    }
}

#[test]
fn a_reader_waits_while_damaged_tables_are_made_anew() {
    let (archive, _) = two_changes();
    let all = archive.database().pool_files().unwrap();
    assert!(!all.is_empty());
    let lock = tables::lock(&archive.path(), "a test", Duration::ZERO).unwrap();
    tables::put_aside(&archive.path()).unwrap();
    let database = archive.database();
    let reader = std::thread::spawn(move || database.pool_files().unwrap());
    std::thread::sleep(Duration::from_millis(100));
    assert!(!reader.is_finished(), "it must not tell of an empty pool");
    let away = archive.path().join("sled.damaged");
    fs::rename(away, archive.path().join("sled")).unwrap();
    drop(lock);
    assert_eq!(reader.join().unwrap(), all);
}

#[test]
fn a_lock_file_that_may_not_be_opened_is_not_a_lock_that_is_held() {
    let archive = Archive::new();
    fs::create_dir_all(archive.path().join("lock")).unwrap();
    let error = archive.database().lock("a test", Duration::ZERO).unwrap_err();
    assert!(error.to_string().starts_with("cannot open the lock file"), "{error}");
}

#[test]
fn a_broken_line_in_the_journal_is_an_error_that_names_it() {
    let (archive, _) = two_changes();
    let whole = fs::read_to_string(archive.journal()).unwrap();
    fs::remove_dir_all(archive.path().join("sled")).unwrap();
    for (broken, problem) in [
        (
            whole.replacen("tester", "evil", 1),
            "journal:2: the journal is damaged: it does not follow",
        ),
        (
            whole.replacen('{', "[", 1),
            "journal:1: the journal is damaged: it is no line",
        ),
        (
            whole.lines().nth(1).unwrap().to_owned() + "\n",
            "journal:1: the journal is damaged: it does not follow",
        ),
    ] {
        archive.overwrite("journal", broken.as_bytes());
        let error = archive.database().snapshot().unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
        assert!(archive.guard().open().is_err());
    }
}

#[test]
fn history_is_listed_and_old_states_are_read() {
    let (archive, _) = two_changes();
    let mut seen = Vec::new();
    let database = archive.database();
    database
        .history(|line| {
            seen.push((line.sequence, line.provenance.unix_seconds, line.heads.len()));
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, [(1, 10, 3), (2, 20, 1)]);
    let old = database.snapshot_at(1).unwrap().unwrap();
    assert_eq!(old.entries(&index_id(A)).unwrap().len(), 2);
    assert!(database.snapshot_at(3).unwrap().is_none());
}

#[test]
fn a_copy_of_the_heads_spares_readers_the_journal_and_is_not_needed() {
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    let mut long = at(1);
    long.command = "x".repeat(100_000);
    for version in ["1", "2", "3", "4"] {
        let mut txn = store.begin();
        txn.put(&index_id(A), package("bash", version));
        txn.commit(&long).unwrap();
    }
    assert_eq!(archive.names(A).len(), 4);
    let copy = fs::read(archive.path().join("heads")).unwrap();
    archive.overwrite("heads", &copy[..copy.len() / 2]);
    assert_eq!(archive.names(A).len(), 4);
    // a copy that is ahead of the journal shows that its end is lost
    archive.overwrite("heads", &copy);
    let journal = fs::read(archive.journal()).unwrap();
    let first = journal.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    archive.overwrite("journal", first);
    let error = archive.database().snapshot().unwrap_err();
    assert!(error.to_string().contains("it ends after change 1"), "{error}");
}

fn object_files(archive: &Archive) -> Vec<PathBuf> {
    let shards = fs::read_dir(archive.path().join("objects")).unwrap().flatten();
    shards
        .filter(|shard| shard.path().is_dir())
        .flat_map(|shard| fs::read_dir(shard.path()).unwrap().flatten())
        .map(|file| file.path())
        .collect()
}

#[test]
fn every_damaged_object_is_noticed_when_read_and_mended_when_written_again() {
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    put(&store, A, &[("bash", "1")], 10);
    for path in object_files(&archive) {
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        let too_long = [&whole[..8], &[0xff; 90][..]].concat();
        for damaged in [&whole[..whole.len() - 1], &[], &flipped, &too_long] {
            fs::remove_file(&path).unwrap();
            fsio::write_new(&path, damaged).unwrap();
            let snapshot = archive.database().snapshot().unwrap();
            let bash = PackageName::new("bash").unwrap();
            let read = snapshot.package(&index_id(A), &bash, &Version::new("1").unwrap());
            let error = read.unwrap_err();
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            put(&store, B, &[("bash", "1")], 20);
            assert_eq!(archive.names(A), archive.names(B), "equal indexes share their objects");
            remove(&store, B, "bash", "1", 30);
        }
    }
}

#[test]
fn what_cannot_stand_in_an_index_is_refused() {
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    for text in [
        "",
        "Package: a\n",
        "\nPackage: a\n\n",
        "Package: a\n\nPackage: b\n\n",
        "Package: a\n\n\n",
    ] {
        let mut bad = package("a", "1");
        bad.text = text.into();
        let mut txn = store.begin();
        txn.put(&index_id(A), bad);
        let error = txn.commit(&at(1)).unwrap_err();
        assert!(matches!(error, Error::BadText { .. }), "{text:?}");
    }
}

#[test]
fn a_pool_file_has_one_content() {
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    put(&store, A, &[("bash", "1")], 10);
    let mut other = package("bash", "1");
    other.entry.files[0].content.digests.sha256 = Sha256::of(b"other");
    let error = store.announce_files(other.entry.files.iter().cloned(), 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    let mut txn = store.begin();
    txn.put(&index_id(B), other);
    assert_eq!(txn.commit(&at(20)).unwrap_err().kind(), ErrorKind::Mismatch);
}

#[test]
fn a_source_with_very_many_files_is_found_by_its_source() {
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    let mut large = package("large", "1");
    let paths = (0..500).map(|number| format!("pool/main/s/src-large/part{number}"));
    large.entry.files = paths.map(|path| file(&path)).collect();
    let mut txn = store.begin();
    txn.put(&index_id(A), large.clone());
    txn.commit(&at(1)).unwrap();
    let found = store.by_source(&large.entry.source).unwrap();
    assert_eq!(found, [(index_id(A), large.entry.clone())]);
    assert_eq!(store.references(&large.entry.files[499].path).unwrap().len(), 1);
    remove(&store, A, "large", "1", 2);
    assert_eq!(unreferenced(&store).len(), 500);
}

#[test]
fn a_file_in_another_sources_directory_is_not_lost_sight_of() {
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    let mut odd = package("odd", "1");
    odd.entry.files = vec![file("pool/main/e/elsewhere/odd_1.deb"), file("odd.deb")];
    let mut txn = store.begin();
    txn.put(&index_id(A), odd.clone());
    txn.commit(&at(1)).unwrap();
    for file in &odd.entry.files {
        assert_eq!(store.references(&file.path).unwrap().len(), 1, "{}", file.path);
    }
    assert_eq!(store.by_source(&odd.entry.source).unwrap().len(), 1);
    let elsewhere = SourceName::new("elsewhere").unwrap();
    assert_eq!(store.by_source(&elsewhere).unwrap(), []);
}

#[test]
fn published_records_come_back() {
    let archive = Archive::new();
    let guard = archive.guard();
    let codename = Codename::new("stable/updates").unwrap();
    guard.set_published(&codename, b"record", &[]).unwrap();
    assert_eq!(
        archive.database().published(&codename).unwrap().as_deref(),
        Some(&b"record"[..])
    );
    guard.forget_published(&codename).unwrap();
    assert_eq!(archive.database().published(&codename).unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn references_are_those_of_the_indexes_whatever_was_done(
        steps in proptest::collection::vec(
            (proptest::collection::vec((0..3_usize, 0..6_u8, 1..3_u8, any::<bool>()), 1..6), any::<bool>()),
            1..8,
        )
    ) {
        let archive = Archive::new();
        let guard = archive.guard();
        let mut store = guard.open().unwrap();
        let mut listed = BTreeSet::new();
        let mut paths = BTreeSet::new();
        for (number, (edits, is_reopened)) in steps.into_iter().enumerate() {
            if is_reopened {
                drop(store);
                store = guard.open().unwrap();
            }
            let mut txn = store.begin();
            for (head, name, version, is_put) in edits {
                let (name, version) = (format!("p{name}"), version.to_string());
                let package = package(&name, &version);
                let path = package.entry.files[0].path.clone();
                let entry = (head, name, version, path.clone());
                let index = [A, B].get(head).map(|index| index_id(index));
                let codename = Codename::new("a").unwrap();
                let track = track(package.entry.source.as_str(), &entry.2, &[path.as_str()]);
                match (index, is_put) {
                    (Some(index), true) => txn.put(&index, package),
                    (Some(index), false) => txn.remove(&index, &package.entry.name, &package.entry.version),
                    (None, true) => txn.put_track(&codename, track),
                    (None, false) => txn.remove_track(&codename, &track.source, &track.version),
                }
                if is_put {
                    listed.insert(entry);
                    paths.insert(path);
                } else {
                    listed.remove(&entry);
                }
            }
            txn.commit(&at(number as i64)).unwrap();
            let known: BTreeSet<_> = store.pool_files().unwrap().into_iter().map(|(path, _)| path).collect();
            prop_assert!(known.is_subset(&paths));
            for path in known {
                let references = listed.iter().filter(|entry| entry.3 == path).count();
                prop_assert_eq!(store.references(&path).unwrap().len(), references);
                let record = store.pool_file(&path).unwrap().unwrap();
                prop_assert_eq!(record.unreferenced_since.is_none(), references > 0);
            }
            let names = store.snapshot().unwrap().entries(&index_id(A)).unwrap().len();
            prop_assert_eq!(names, listed.iter().filter(|entry| entry.0 == 0).count());
        }
        prop_assert!(guard.take_repairs().is_empty());
    }
}

#[test]
fn garbage_is_what_nothing_names() {
    const LATER: i64 = 1 << 40;
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    put(&store, A, &[("bash", "1")], 10);
    put(&store, A, &[("zsh", "1")], 20);
    let item = blocks::Item {
        key: b"usr/bin/x".to_vec(),
        meta: vec![],
        text: b"usr/bin/x shells/bash\n".to_vec(),
    };
    let contents = store.objects().build_index([Ok(item)].into_iter()).unwrap().unwrap();
    guard
        .set_published(&Codename::new("a").unwrap(), b"", &[contents])
        .unwrap();
    guard.database().put_file_list(&Sha256::of(b"no deb"), &[]).unwrap();
    let deb = package("bash", "1").entry.files[0].content.digests.sha256;
    guard.database().put_file_list(&deb, &[]).unwrap();
    guard.keep_file_lists().unwrap();
    assert_eq!(object_files(&archive).len(), 6);

    let nothing = store.collect_objects(0, 15).unwrap();
    assert_eq!(nothing, Collected::default(), "all files are young");
    let none_old = store.collect_objects(LATER, 15).unwrap();
    assert_eq!(
        (none_old.objects, none_old.file_lists),
        (0, 1),
        "the second change names the state before it"
    );
    let collected = store.collect_objects(LATER, 30).unwrap();
    assert_eq!((collected.objects, collected.file_lists), (2, 0));
    assert_eq!(archive.names(A), ["bash 1", "zsh 1"]);
    assert_eq!(store.objects().root(contents).unwrap().count(), 1);
    assert_eq!(archive.database().file_list(&deb).unwrap(), Some(vec![]));
    assert!(
        store.collect_objects(LATER, 0).is_ok(),
        "a state that is gone is no error"
    );
    guard.forget_published(&Codename::new("a").unwrap()).unwrap();
    assert_eq!(store.collect_objects(LATER, 30).unwrap().objects, 2);
}

#[test]
fn the_state_of_a_reader_outlives_the_last_commits() {
    const LATER: i64 = 1 << 40;
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    put(&store, A, &[("bash", "1")], 10);
    let reader = archive.database().snapshot().unwrap();
    put(&store, A, &[("zsh", "1")], LATER - 60);
    assert_eq!(store.collect_objects(LATER, LATER).unwrap().objects, 0);
    assert_eq!(reader.entries(&index_id(A)).unwrap().len(), 1);
    assert_eq!(store.collect_objects(LATER + 3600, LATER + 3600).unwrap().objects, 2);
}

#[test]
fn nothing_is_collected_while_a_published_record_cannot_be_read() {
    const LATER: i64 = 1 << 40;
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    put(&store, A, &[("bash", "1")], 10);
    put(&store, A, &[("zsh", "1")], 20);
    let codename = Codename::new("a").unwrap();
    guard.set_published(&codename, b"", &[]).unwrap();
    let record = archive.database().directory().join("published/a");
    fsio::write_atomic(&record, b"not what was written").unwrap();
    assert_eq!(store.collect_objects(LATER, LATER).unwrap(), Collected::default());
    guard.set_published(&codename, b"", &[]).unwrap();
    assert_eq!(store.collect_objects(LATER, LATER).unwrap().objects, 2);
}

#[test]
fn a_grace_time_can_begin_anew() {
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    let (old, young) = (file("pool/main/o/old.deb"), file("pool/main/y/young.deb"));
    store.announce_files([old.clone()].into_iter(), 10).unwrap();
    store.announce_files([young].into_iter(), 50).unwrap();
    store.begin_grace_anew(40).unwrap();
    assert_eq!(store.unreferenced(39).unwrap(), []);
    let due: Vec<_> = store
        .unreferenced(40)
        .unwrap()
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(due, [old.path]);
    assert_eq!(store.unreferenced(50).unwrap().len(), 2);
}

fn dump(archive: &Archive) -> Vec<u8> {
    let mut text = Vec::new();
    archive.database().snapshot().unwrap().dump(&mut text).unwrap();
    text
}

fn load(archive: &Archive, text: &[u8]) -> Result<Commit> {
    archive.guard().open().unwrap().load(&mut &*text, &at(1))
}

#[test]
fn a_dump_is_loaded_to_the_same_state() {
    let (archive, _) = two_changes();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    let mut txn = store.begin();
    let mut source = package("hello", "1:2.0-1");
    source.entry.files.push(file("pool/main/h/hello/hello_2.0.orig.tar.xz"));
    source.text = b"Package: hello\nDump-Files:\n x\nX-Latin: caf\xe9\n\n".to_vec();
    txn.put(&index_id("a|main|source"), source);
    txn.put(&index_id("u|a|vendor/hp|i386"), package("inst", "1"));
    txn.commit(&at(30)).unwrap();
    drop((store, guard));

    let text = dump(&archive);
    let copy = Archive::new();
    assert_eq!(load(&copy, &text).unwrap().sequence, Some(1));
    let (ours, theirs) = (
        archive.database().snapshot().unwrap(),
        copy.database().snapshot().unwrap(),
    );
    assert_eq!(ours.heads(), theirs.heads());
    let codename = Codename::new("a").unwrap();
    assert_eq!(ours.tracks(&codename).unwrap(), theirs.tracks(&codename).unwrap());
    assert_eq!(dump(&copy), text);
    assert!(matches!(load(&copy, &text), Err(Error::NotEmpty)));
}

#[test]
fn a_dump_that_is_cut_off_or_changed_is_refused() {
    let (archive, _) = two_changes();
    let text = dump(&archive);
    let copy = Archive::new();
    for length in 0..text.len() - 1 {
        if length % 7 == 0 || text[..length].ends_with(b"\n") {
            assert!(load(&copy, &text[..length]).is_err(), "{length} bytes");
        }
    }
    let text = String::from_utf8(text).unwrap();
    for (from, to, problem) in [
        ("Format: 1", "Format: 2", "line 1 of the dump: must start with"),
        (
            "Architecture: amd64",
            "Architecture: all",
            "line 6 of the dump: invalid architecture `all`",
        ),
        (
            "Dump-Source",
            "Dump-Origin",
            "line 8 of the dump: must be the field `Dump-Source`",
        ),
        (" pool/", " /pool/", "line 10 of the dump: invalid path"),
        (
            "sha256:",
            "sha255:",
            "line 10 of the dump: `sha255` is no kind of digest",
        ),
        ("Stanzas: 3", "Stanzas: 4", "3 stanzas are before this line"),
    ] {
        assert!(text.contains(from), "{text}");
        let error = load(&copy, text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
    assert!(copy.database().snapshot().unwrap().heads().is_empty());
}

#[test]
fn items_out_of_order_make_no_index() {
    let objects = Objects::at(tempfile::tempdir().unwrap().path());
    let item = |key: &str| {
        let (meta, text) = (vec![], b"x".to_vec());
        Ok(blocks::Item {
            key: key.into(),
            meta,
            text,
        })
    };
    // `g190` starts a block, so both the order in a block and that of blocks is seen
    for keys in [["b", "a"], ["g190", "a"], ["z", "g190"], ["a", "a"]] {
        assert!(objects.build_index(keys.into_iter().map(item)).is_err(), "{keys:?}");
    }
}

#[test]
fn changes_that_are_settled_in_parts_are_one_change() {
    let heads = |parts: usize| {
        let archive = Archive::new();
        let store = archive.guard().open().unwrap();
        let mut txn = store.begin();
        // not sorted: each part has something for every block
        for part in 0..parts {
            for number in (0..300).filter(|number| number % parts == part) {
                txn.put(&index_id(A), package(&format!("p{number}"), "1"));
            }
            txn.settle().unwrap();
        }
        assert_eq!(txn.commit(&at(1)).unwrap().sequence, Some(1));
        archive.database().snapshot().unwrap().heads().clone()
    };
    assert_eq!(heads(7), heads(1));
}

#[test]
fn a_settled_part_without_a_commit_never_happened_and_still_counts_for_the_next() {
    let archive = Archive::new();
    let store = archive.guard().open().unwrap();
    let mut txn = store.begin();
    txn.put(&index_id(A), package("bash", "1"));
    txn.settle().unwrap();
    let mut other = package("bash", "2");
    other.entry.files = package("bash", "1").entry.files;
    for file in &mut other.entry.files {
        file.content.digests.sha256 = Sha256::of(b"other");
    }
    txn.put(&index_id(A), other);
    assert!(matches!(txn.commit(&at(1)), Err(Error::Conflict { .. })));
    assert!(archive.names(A).is_empty());
}

#[test]
fn since_when_a_file_is_unreferenced_is_noted_until_the_tables_are_opened_again() {
    let archive = Archive::new();
    let guard = archive.guard();
    let store = guard.open().unwrap();
    put(&store, A, &[("bash", "1")], 1);
    guard.note_unreferenced(&store).unwrap();
    assert_eq!(archive.database().noted_unreferenced(), Some(i64::MAX));
    remove(&store, A, "bash", "1", 5);
    guard.note_unreferenced(&store).unwrap();
    assert_eq!(archive.database().noted_unreferenced(), Some(5));
    drop(store);
    drop(guard.open().unwrap());
    assert_eq!(archive.database().noted_unreferenced(), None);
}
