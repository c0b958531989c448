//! Publishing as clients and operators see it, over a real store.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Mutex;

use super::*;
use crate::conf::{Conf, Directories, IgnoreSet};
use crate::model::{Digests, Entry, IndexId, ListedPackage, PackageName, PoolFile, Sha256, SourceName, Version};
use crate::pgp::clearsigned::split_clearsigned;
use crate::pgp::{Algorithm, KeyHome, NewKey, verify_clearsigned, verify_detached};
use crate::store::{Database, Provenance};

mod patches;

const CONF: &str = "Architectures: amd64 source\nComponents: main role/web\nContents: .gz\n\
    DebIndices: Packages Release . .gz\nUDebIndices: Packages . .gz\nDscIndices: Sources Release .gz\n";

/// A distribution of two components with sources and Contents.
pub(super) fn distribution(codename: &str) -> Distribution {
    configured(&format!("Codename: {codename}\n{CONF}"))
}

fn configured(stanza: &str) -> Distribution {
    let base = tempfile::tempdir().unwrap();
    fsio::create_dir_all(&base.path().join("conf")).unwrap();
    fsio::write_new(&base.path().join("conf/distributions"), stanza.as_bytes()).unwrap();
    let conf = Conf::read(&Directories::below(base.path()), &IgnoreSet::default()).unwrap();
    conf.distributions.into_iter().next().unwrap()
}

/// An archive with one distribution.
struct Archive {
    directory: tempfile::TempDir,
    distribution: Distribution,
    lists: Mutex<BTreeMap<Sha256, Vec<Vec<u8>>>>,
    now: i64,
    retain_seconds: i64,
    in_one_piece: bool,
    check: Check,
    signer: Option<Signer>,
}

impl Archive {
    fn new(stanza: &str) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            distribution: configured(stanza),
            lists: Mutex::default(),
            now: 1_795_442_319,
            retain_seconds: 0,
            in_one_piece: false,
            check: Check::Size,
            signer: None,
        }
    }

    fn dists(&self) -> PathBuf {
        self.directory.path().join("dists")
    }

    fn live(&self, name: &str) -> PathBuf {
        self.dists().join(self.distribution.codename.as_str()).join(name)
    }

    fn text(&self, name: &str) -> String {
        unpacked(&self.live(name))
    }

    fn published_names(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(self.dists()).unwrap().map(name).collect();
        names.sort();
        names
    }

    fn inode(&self, name: &str) -> u64 {
        fs::metadata(self.live(name)).unwrap().ino()
    }

    fn database(&self) -> Database {
        Database::at(&self.directory.path().join("db")).unwrap()
    }

    /// Puts packages into an index, `NAME SECTION PATH…`, each at version 1; one without a section goes.
    fn change(&self, index: &str, packages: &[&str]) {
        let index: IndexId = format!("{}|{index}", self.distribution.codename).parse().unwrap();
        let guard = self.database().lock("test", Duration::from_secs(5)).unwrap();
        let store = guard.open().unwrap();
        let mut change = store.begin();
        for package in packages {
            let words: Vec<&str> = package.split(' ').collect();
            let [name, rest @ ..] = words.as_slice() else { panic!() };
            let (name, version) = (PackageName::new(name).unwrap(), "1".parse::<Version>().unwrap());
            let [section, paths @ ..] = rest else {
                change.remove(&index, &name, &version);
                continue;
            };
            let deb = Sha256::of(package.as_bytes());
            let paths = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
            self.lists.lock().unwrap().insert(deb, paths);
            change.put(&index, listed(&name, &version, section, deb));
        }
        let provenance = Provenance {
            unix_seconds: self.now,
            user: "tester".into(),
            command: "test".into(),
        };
        change.commit(&provenance).unwrap();
    }

    fn try_publish(&mut self) -> Result<Outcome, Error> {
        let (database, dists) = (self.database(), self.dists());
        let guard = database.lock("test", Duration::from_secs(5)).unwrap();
        let codename = &self.distribution.codename;
        let previous = database
            .published(codename)
            .unwrap()
            .and_then(|bytes| Published::decode(&bytes));
        self.now += 60;
        let outcome = self.publish_into(&database.snapshot().unwrap(), previous.as_ref(), &dists)?;
        let published = &outcome.published;
        let bytes = published.encode().unwrap();
        guard.set_published(codename, &bytes, &published.keeps()).unwrap();
        Ok(outcome)
    }

    fn publish(&mut self) -> Outcome {
        self.try_publish().unwrap()
    }

    fn publish_into(&self, snapshot: &Snapshot, previous: Option<&Published>, dists: &Path) -> Result<Outcome, Error> {
        publish(&Request {
            snapshot,
            distribution: &self.distribution,
            all: std::slice::from_ref(&self.distribution),
            dists,
            previous,
            signer: self.signer.as_ref(),
            script_environment: &[],
            extras: &[],
            file_lists: &|deb| Ok(self.lists.lock().unwrap().get(deb).cloned()),
            date: self.now,
            now: self.now,
            retain_seconds: self.retain_seconds,
            in_one_piece: self.in_one_piece,
            check: self.check,
        })
    }

    /// Every file that Release lists has the listed size and digest, and every file is listed.
    fn check_release(&self) {
        let release = fs::read_to_string(self.live("Release")).unwrap();
        let (_, block) = release.split_once("\nSHA256:\n").unwrap();
        let mut listed = BTreeSet::new();
        for line in block.lines().take_while(|line| line.starts_with(' ')) {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let [digest, size, name] = words.as_slice() else {
                panic!("{line}")
            };
            listed.insert((*name).to_owned());
            let content = match fs::read(self.live(name)) {
                Ok(content) => {
                    let by_hash = ArchivePath::new(name).unwrap().by_hash(&Sha256::of(&content));
                    assert!(fs::read(self.live(by_hash.as_str())).unwrap() == content, "{name}");
                    content
                }
                Err(_) => self.text(&format!("{name}.gz")).into_bytes(),
            };
            assert_eq!(content.len().to_string(), *size, "{name}");
            assert_eq!(Sha256::of(&content).to_string(), *digest, "{name}");
        }
        for name in files_below(&self.live("")) {
            let is_release = RELEASE_NAMES.contains(&name.as_str());
            let is_link = self.live(&name).is_symlink();
            let is_patch = name.contains(".diff/") && name.ends_with(".gz");
            assert!(
                is_release || is_link || is_patch || name.contains("by-hash/") || listed.contains(&name),
                "{name}"
            );
        }
    }
}

fn listed(name: &PackageName, version: &Version, section: &str, deb: Sha256) -> ListedPackage {
    let content = FileDigests {
        size_bytes: 1,
        digests: Digests {
            md5: None,
            sha1: None,
            sha256: deb,
            sha512: None,
        },
    };
    let path = ArchivePath::new(&format!("pool/{deb}/{name}_{version}.deb")).unwrap();
    let text = format!("Package: {name}\nVersion: {version}\nSection: {section}\nFilename: {path}\nSHA256: {deb}\n\n");
    ListedPackage {
        entry: Entry {
            name: name.clone(),
            version: version.clone(),
            source: SourceName::from(name),
            source_version: version.clone(),
            files: vec![PoolFile { path, content }],
        },
        text: text.into_bytes(),
    }
}

/// A published text, unpacked as its name says.
fn unpacked(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let mut text = String::new();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => drop(
            flate2::read::MultiGzDecoder::new(&*bytes)
                .read_to_string(&mut text)
                .unwrap(),
        ),
        Some("xz") => drop(
            liblzma::read::XzDecoder::new(&*bytes)
                .read_to_string(&mut text)
                .unwrap(),
        ),
        Some("bz2") => drop(bzip2::read::BzDecoder::new(&*bytes).read_to_string(&mut text).unwrap()),
        Some("zst") => text = String::from_utf8(zstd::stream::decode_all(&*bytes).unwrap()).unwrap(),
        _ => text = String::from_utf8(bytes).unwrap(),
    }
    text
}

/// Names of all files and links below a directory, sorted.
fn files_below(top: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut waiting = vec![top.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                waiting.push(path);
            } else {
                names.push(path.strip_prefix(top).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    names.sort();
    names
}

fn write(path: &Path, text: &str) {
    fsio::create_dir_all(fsio::parent(path)).unwrap();
    fs::remove_file(path).ok();
    fsio::write_new(path, text.as_bytes()).unwrap();
}

fn small() -> Archive {
    let archive = Archive::new(&format!(
        "Codename: t\nSuite: stable\nOrigin: O\nLabel: L\nValidFor: 2d\n{CONF}"
    ));
    archive.change("main|amd64", &["aaa utils usr/bin/foo usr/b", "bbb net usr/b"]);
    archive
}

#[test]
fn an_empty_distribution_has_all_its_files() {
    let mut archive = Archive::new(&format!("Codename: t\n{CONF}"));
    archive.publish();
    archive.check_release();
    for name in [
        "main/binary-amd64/Packages",
        "main/binary-amd64/Packages.gz",
        "main/binary-amd64/Release",
        "role/web/source/Sources.gz",
        "main/Contents-amd64.gz",
        "Contents-amd64.gz",
    ] {
        assert!(archive.live(name).exists(), "{name}");
    }
    assert!(!archive.live("main/source/Sources").exists());
    assert!(!archive.live("InRelease").exists());
    assert_eq!(archive.published_names(), ["t"]);
}

#[test]
fn release_carries_the_configured_fields() {
    let mut archive = small();
    archive.publish();
    archive.check_release();
    let release = archive.text("Release");
    let (head, _) = release.split_once("MD5Sum:").unwrap();
    assert_eq!(
        head,
        "Origin: O\nLabel: L\nSuite: stable\nCodename: t\nDate: Mon, 23 Nov 2026 13:59:39 UTC\n\
         Valid-Until: Wed, 25 Nov 2026 13:59:39 UTC\nArchitectures: amd64\nComponents: main role/web\n\
         Acquire-By-Hash: yes\n"
    );
    assert_eq!(
        archive.text("main/binary-amd64/Release"),
        "Archive: stable\nComponent: main\nOrigin: O\nLabel: L\nArchitecture: amd64\n"
    );
}

#[test]
fn release_is_of_the_time_that_it_names_and_every_state_has_its_own() {
    let mut archive = small();
    let modified = |archive: &Archive| fs::metadata(archive.live("Release")).unwrap().mtime();
    archive.publish();
    assert_eq!(modified(&archive), archive.now);
    archive.now -= 60;
    archive.publish();
    assert_eq!(modified(&archive), archive.now + 1, "the second state of one second");
    archive.publish();
    assert_eq!(modified(&archive), archive.now);
}

#[test]
fn what_did_not_change_keeps_its_inode() {
    let mut archive = small();
    archive.publish();
    let names = [
        "main/binary-amd64/Packages.gz",
        "role/web/binary-amd64/Packages.gz",
        "main/source/Release",
    ];
    let before = names.map(|name| archive.inode(name));
    archive.change("main|amd64", &["ccc net usr/bin/ccc"]);
    let outcome = archive.publish();
    archive.check_release();
    let after = names.map(|name| archive.inode(name));
    assert_ne!(after[0], before[0]);
    assert_eq!(after[1..], before[1..]);
    let changed: Vec<String> = outcome.changed.iter().map(|(path, _)| path.to_string()).collect();
    assert_eq!(
        changed,
        [
            "Release",
            "main/Contents-amd64.gz",
            "main/binary-amd64/Packages",
            "main/binary-amd64/Packages.gz"
        ]
    );
    assert!(
        outcome
            .changed
            .iter()
            .all(|(_, change)| *change == FileChange::Replaced)
    );
}

#[test]
fn what_an_earlier_release_names_is_kept_for_its_time() {
    for (retain_seconds, is_kept) in [(0, false), (3600, true)] {
        let mut archive = small();
        archive.retain_seconds = retain_seconds;
        archive.publish();
        let old = fs::read(archive.live("main/binary-amd64/Packages.gz")).unwrap();
        let path = ArchivePath::new("main/binary-amd64/Packages.gz").unwrap();
        let place = archive.live(path.by_hash(&Sha256::of(&old)).as_str());
        for number in 0..2 {
            archive.change("main|amd64", &[&format!("c{number} net usr/c")]);
            archive.publish();
            assert_eq!(fs::read(&place).unwrap(), old, "state {number}");
        }
        archive.change("main|amd64", &["d net usr/d"]);
        archive.publish();
        assert_eq!(place.exists(), is_kept, "retain {retain_seconds}");
        archive.now += 3600;
        archive.publish();
        archive.publish();
        archive.publish();
        assert!(!place.exists());
    }
}

#[test]
fn files_of_others_stay_and_those_of_reprepro_go() {
    let mut archive = small();
    for (name, text) in [
        (
            "Release",
            "Codename: t\nMD5Sum:\n 00 1 main/binary-sparc/Packages\n 00 1 main/Contents-sparc.gz\n",
        ),
        ("InRelease", "old"),
        ("Release.gpg", "old"),
        ("main/binary-sparc/Packages", "x"),
        ("main/binary-sparc/Packages.new", "x"),
        ("main/binary-amd64/Packages", "stale"),
        ("main/Contents-sparc.gz", "x"),
        ("notes.txt", "mine"),
        ("snapshots/s1/Release", "snapshot"),
        ("updates/main/by-hash/SHA256/00", "of the distribution t/updates"),
        (".new-leftover", "x"),
    ] {
        write(&archive.live(name), text);
    }
    write(&archive.dists().join(".aptrepo-new-t/half"), "left by a crash");
    std::os::unix::fs::symlink("main/Contents-sparc.gz", archive.live("Contents-sparc.gz")).unwrap();
    std::os::unix::fs::symlink("notes.txt", archive.live("README")).unwrap();
    let inode = archive.inode("notes.txt");
    for _ in 0..2 {
        archive.publish();
        let foreign: Vec<String> = files_below(&archive.live(""))
            .into_iter()
            .filter(|name| !name.starts_with("main/") && !name.starts_with("role/") && !name.starts_with("by-hash/"))
            .collect();
        assert_eq!(
            foreign,
            [
                ".new-leftover",
                "Contents-amd64.gz",
                "README",
                "Release",
                "notes.txt",
                "snapshots/s1/Release",
                "updates/main/by-hash/SHA256/00"
            ]
        );
        assert!(!archive.live("main/binary-sparc").exists());
        assert!(archive.text("main/binary-amd64/Packages").starts_with("Package: aaa\n"));
        assert_eq!(archive.inode("notes.txt"), inode);
    }
    assert_eq!(archive.published_names(), ["stable", "t"]);
}

#[test]
fn foreign_names_that_no_index_could_carry_stay() {
    use std::os::unix::ffi::OsStrExt;
    let mut archive = small();
    let names =
        [&b"read me.txt"[..], b"line\nbreak", b"caf\xe9"].map(|name| archive.live("").join(OsStr::from_bytes(name)));
    for name in &names {
        write(name, "mine");
    }
    fsio::create_dir_all(&archive.live("inbox/new ones")).unwrap();
    for _ in 0..2 {
        archive.publish();
        for name in &names {
            assert_eq!(fs::read(name).unwrap(), b"mine", "{}", name.display());
        }
        assert!(archive.live("inbox/new ones").is_dir());
    }
}

#[test]
fn a_component_that_is_gone_leaves_no_file() {
    let mut archive = small();
    archive.publish();
    archive.distribution.components.pop();
    archive.distribution.contents = None;
    let outcome = archive.publish();
    archive.check_release();
    assert!(!archive.live("role").join("web/binary-amd64").join("Packages").exists());
    assert!(!archive.live("Contents-amd64.gz").is_symlink());
    let removed = ArchivePath::new("role/web/binary-amd64/Packages").unwrap();
    assert!(outcome.changed.contains(&(removed, FileChange::Removed)));
}

#[test]
fn a_check_finds_and_repairs_damage_of_the_same_size() {
    let mut archive = small();
    archive.publish();
    let name = "main/binary-amd64/Packages";
    let good = archive.text(name);
    write(&archive.live(name), &good.replace("aaa", "axa"));
    archive.check = Check::Digest;
    archive.publish();
    assert_eq!(archive.text(name), good);
    archive.check_release();
    let other = archive.inode("role/web/binary-amd64/Packages.gz");
    archive.publish();
    assert_eq!(archive.inode("role/web/binary-amd64/Packages.gz"), other);
    // and one of another size is noticed without
    archive.check = Check::Size;
    write(&archive.live(name), "short");
    archive.publish();
    assert_eq!(archive.text(name), good);
}

#[test]
fn many_small_changes_end_in_the_bytes_of_a_new_start() {
    let mut archive = Archive::new(
        "Codename: t\nArchitectures: amd64\nComponents: main role/web\nDebIndices: Packages . .gz .bz2 .xz .zst\n\
         Contents: . .gz .xz .zst percomponent allcomponents\nChecksums: sha256 sha512\n",
    );
    let package = |number: u32, salt: u32| {
        let section = if (number + salt).is_multiple_of(7) {
            "net"
        } else {
            "utils"
        };
        format!(
            "p{number} {section} usr/bin/p{number} usr/share/p{}/{salt} usr/shared",
            number % 50
        )
    };
    let change = |archive: &Archive, index: &str, numbers: &mut dyn Iterator<Item = u32>, salt| {
        let packages: Vec<String> = numbers.map(|number| package(number, salt)).collect();
        archive.change(index, &packages.iter().map(String::as_str).collect::<Vec<_>>());
    };
    change(&archive, "main|amd64", &mut (0..3000), 0);
    change(&archive, "role/web|amd64", &mut (2990..3100), 0);
    archive.publish();
    archive.check_release();
    for salt in 1..4 {
        change(
            &archive,
            "main|amd64",
            &mut (0..3000).filter(|number| number % 500 == salt),
            salt,
        );
        change(&archive, "role/web|amd64", &mut std::iter::once(2990 + salt), salt);
        archive.change("main|amd64", &[&format!("p{}", 1000 + salt)]);
        archive.publish();
    }
    archive.check_release();
    let fresh = archive.directory.path().join("fresh");
    let snapshot = archive.database().snapshot().unwrap();
    archive.publish_into(&snapshot, None, &fresh).unwrap();
    let mut compared = 0;
    for name in files_below(&fresh.join("t")) {
        assert!(
            fs::read(fresh.join("t").join(&name)).unwrap() == fs::read(archive.live(&name)).unwrap(),
            "{name}"
        );
        compared += 1;
    }
    assert!(compared > 40, "{compared}");
    let plain = archive.text("main/binary-amd64/Packages");
    for form in ["gz", "bz2", "xz", "zst"] {
        assert!(
            archive.text(&format!("main/binary-amd64/Packages.{form}")) == plain,
            "{form}"
        );
    }
    assert!(archive.text("Contents-amd64.xz") == archive.text("Contents-amd64"));
}

#[test]
fn files_in_one_piece_are_made_when_asked_for_and_stay_until_the_next_change() {
    let mut archive =
        Archive::new("Codename: t\nArchitectures: amd64\nComponents: main\nDebIndices: Packages . .gz .xz .zst\n");
    let names: Vec<String> = (0..2000)
        .map(|number| format!("p{number} utils usr/bin/p{number}"))
        .collect();
    archive.change("main|amd64", &names.iter().map(String::as_str).collect::<Vec<_>>());
    let directory = archive.dists().join("t/main/binary-amd64");
    let first_member = || {
        let mut text = String::new();
        let bytes = fs::read(directory.join("Packages.gz")).unwrap();
        flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
        text
    };
    archive.publish();
    let whole = unpacked(&directory.join("Packages"));
    assert!(first_member().len() < whole.len());
    archive.in_one_piece = true;
    archive.publish();
    assert!(first_member() == whole);
    archive.in_one_piece = false;
    archive.publish();
    assert!(first_member() == whole);
    archive.change("main|amd64", &["q utils usr/bin/q"]);
    archive.publish();
    let whole = unpacked(&directory.join("Packages"));
    assert!(first_member().len() < whole.len());
    for form in ["gz", "xz", "zst"] {
        assert!(unpacked(&directory.join(format!("Packages.{form}"))) == whole, "{form}");
    }
}

#[test]
fn contents_name_each_path_once_with_all_its_packages() {
    let mut archive = Archive::new(
        "Codename: t\nArchitectures: amd64 i386\nComponents: main role/web\nContents: . percomponent allcomponents\n",
    );
    archive.change(
        "main|amd64",
        &["bbb net usr/b usr/bin/b", "aaa utils usr/b usr/a-c usr/a/c", "ccc net"],
    );
    archive.change("role/web|amd64", &["www role/web usr/b srv/a\tb", "aaa utils usr/b"]);
    archive.publish();
    assert_eq!(
        archive.text("main/Contents-amd64"),
        "usr/a-c\t    utils/aaa\nusr/b\t    utils/aaa,net/bbb\nusr/a/c\t    utils/aaa\nusr/bin/b\t    net/bbb\n"
    );
    assert_eq!(archive.text("main/Contents-i386"), "");
    assert!(
        archive
            .text("Contents-amd64")
            .starts_with("srv/a\tb\t    role/web/www\n")
    );
    assert!(
        archive
            .text("Contents-amd64")
            .contains("usr/b\t    utils/aaa,net/bbb,role/web/www\n")
    );

    // a package goes, one gets another section, and one that is still elsewhere goes here
    archive.change("main|amd64", &["bbb", "aaa misc usr/b"]);
    archive.change("role/web|amd64", &["www other usr/b", "aaa utils usr/b"]);
    archive.publish();
    assert_eq!(archive.text("main/Contents-amd64"), "usr/b\t    misc/aaa\n");
    assert_eq!(
        archive.text("Contents-amd64"),
        "usr/b\t    misc/aaa,utils/aaa,other/www\n"
    );
    archive.change("main|amd64", &["aaa"]);
    archive.publish();
    assert_eq!(archive.text("Contents-amd64"), "usr/b\t    utils/aaa,other/www\n");
    archive.check_release();
}

#[test]
fn contents_that_are_lost_are_made_anew() {
    let mut archive = small();
    let published = archive.publish().published;
    let path = ArchivePath::new("main/Contents-amd64").unwrap();
    let root = published.contents[&path].root.unwrap().0.to_string();
    let (shard, rest) = root.split_at(2);
    fs::remove_file(archive.database().directory().join("objects").join(shard).join(rest)).unwrap();
    archive.change("main|amd64", &["ccc net usr/c"]);
    archive.publish();
    assert_eq!(
        archive.text("main/Contents-amd64.gz"),
        "usr/b\t    utils/aaa,net/bbb\nusr/c\t    net/ccc\nusr/bin/foo\t    utils/aaa\n"
    );
}

#[test]
fn a_file_list_that_nobody_knows_is_asked_for_and_nothing_is_published() {
    let mut archive = small();
    archive.publish();
    let before = archive.text("Release");
    archive.change("main|amd64", &["ccc net usr/bin/ccc"]);
    archive.change("role/web|amd64", &["ddd net usr/bin/ddd"]);
    let lists = std::mem::take(&mut *archive.lists.lock().unwrap());
    let Err(Error::FileListsMissing { packages }) = archive.try_publish() else {
        panic!()
    };
    let debs: BTreeSet<&str> = packages.iter().map(|missing| missing.path.file_name()).collect();
    assert_eq!(debs, BTreeSet::from(["ccc_1.deb", "ddd_1.deb"]));
    assert_eq!(archive.text("Release"), before);
    assert_eq!(archive.published_names(), ["stable", "t"]);
    *archive.lists.lock().unwrap() = lists;
    archive.publish();
    assert!(archive.text("main/Contents-amd64.gz").contains("usr/bin/ccc"));
}

#[test]
fn signatures_come_and_go_with_the_configuration() {
    let mut archive = small();
    let script = archive.directory.path().join("sign");
    write(
        &script,
        "#!/bin/sh\nB=-----BEGIN E=-----END P='PGP SIGNATURE-----'\n\
         (echo \"$B PGP SIGNED MESSAGE-----\"; echo; cat \"$1\"; echo \"$B $P\"; echo; echo \"$E $P\") > \"$2\"\n\
         echo detached > \"$3\"\n",
    );
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    archive.distribution.sign_with = Some(SignWith::Script(script));
    archive.publish();
    let split = split_clearsigned(archive.text("InRelease").as_bytes())
        .unwrap()
        .unwrap();
    assert_eq!(split.text, archive.text("Release").as_bytes());
    assert_eq!(archive.text("Release.gpg"), "detached\n");
    archive.distribution.sign_with = Some(SignWith::Default);
    assert!(matches!(archive.try_publish(), Err(Error::NoSigner { .. })));
    assert_eq!(archive.text("Release.gpg"), "detached\n");
    archive.distribution.sign_with = None;
    archive.publish();
    assert!(!archive.live("InRelease").exists());
    assert!(!archive.live("Release.gpg").exists());
}

#[test]
fn the_same_state_key_and_time_give_the_same_signed_tree() {
    let mut archive = small();
    let home = KeyHome::open(&archive.directory.path().join("gpg")).unwrap();
    let key = NewKey {
        user_id: "Archive <archive@example.org>",
        algorithm: Algorithm::Ed25519,
        valid_days: None,
        passphrase: None,
    };
    home.generate(&key, archive.now).unwrap();
    archive.signer = Some(home.signer(&[], None, archive.now + 1).unwrap());
    archive.distribution.sign_with = Some(SignWith::Default);
    archive.publish();
    let release = archive.text("Release").into_bytes();
    let keyring = home.keyring().unwrap();
    let in_release = verify_clearsigned(archive.text("InRelease").as_bytes(), &keyring, archive.now).unwrap();
    assert_eq!(in_release.good().count(), 1);
    assert_eq!(in_release.text.trim_ascii_end(), release.trim_ascii_end());
    let detached = archive.text("Release.gpg");
    let detached = verify_detached(&release, detached.as_bytes(), &keyring, archive.now).unwrap();
    assert_eq!(detached.good().count(), 1);

    let again = archive.directory.path().join("again");
    let snapshot = archive.database().snapshot().unwrap();
    archive.publish_into(&snapshot, None, &again).unwrap();
    let names = files_below(&archive.dists());
    assert_eq!(files_below(&again), names);
    for name in names.iter().filter(|name| again.join(name).is_file()) {
        assert!(
            fs::read(again.join(name)).unwrap() == fs::read(archive.dists().join(name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn a_distribution_is_owed_when_its_heads_differ() {
    let mut archive = Archive::new(&format!("Codename: t\n{CONF}"));
    let owed = |archive: &Archive, published: Option<&Published>| {
        needs_publishing(
            &archive.database().snapshot().unwrap(),
            &archive.distribution,
            None,
            published,
            &archive.dists(),
        )
    };
    assert!(!owed(&archive, None));
    archive.change("main|amd64", &["aaa utils usr/b"]);
    assert!(owed(&archive, None));
    let published = archive.publish().published;
    assert!(!owed(&archive, Some(&published)));
    archive.change("main|amd64", &["aaa"]);
    assert!(owed(&archive, Some(&published)));
    archive.distribution.export = false;
    assert!(!owed(&archive, Some(&published)));
    assert!(matches!(archive.try_publish(), Err(Error::NotExported { .. })));
}

#[test]
fn a_distribution_is_owed_when_the_record_is_not_of_what_is_live() {
    let mut archive = small();
    let owed = |archive: &Archive, published: &Published| {
        let snapshot = archive.database().snapshot().unwrap();
        needs_publishing(
            &snapshot,
            &archive.distribution,
            None,
            Some(published),
            &archive.dists(),
        )
    };
    let first = archive.publish().published;
    assert!(!owed(&archive, &first));
    archive.change("main|amd64", &["ccc net usr/c"]);
    archive.publish();
    // as if the second record had been lost in a crash, and the change been taken back
    archive.change("main|amd64", &["ccc"]);
    assert!(owed(&archive, &first));
    let third = archive.publish().published;
    assert!(!owed(&archive, &third));
    fs::remove_file(archive.live("Release")).unwrap();
    assert!(owed(&archive, &third));
    // nobody sees anything wrong where nothing is: it may have been taken away on purpose
    fs::remove_dir_all(archive.dists()).unwrap();
    assert!(!owed(&archive, &third));
}

#[test]
fn a_record_that_cannot_be_read_costs_nothing_but_work() {
    let mut archive = small();
    archive.retain_seconds = 3600;
    archive.publish();
    let database = archive.database();
    {
        let guard = database.lock("test", Duration::from_secs(5)).unwrap();
        guard
            .set_published(&archive.distribution.codename, b"{\"format\":0}", &[])
            .unwrap();
    }
    let before = files_below(&archive.live(""));
    archive.change("main|amd64", &["ccc net usr/c"]);
    archive.publish();
    archive.check_release();
    // by-hash files of the state that was forgotten are still there
    let after = files_below(&archive.live(""));
    assert!(before.iter().all(|name| after.contains(name)));
    assert!(after.len() > before.len());
}

#[test]
fn a_tree_that_is_not_the_recorded_one_is_not_believed() {
    let mut archive = small();
    let name = "main/binary-amd64/Packages";
    let first = archive.publish().published;
    let before = archive.text(name);
    archive.change("main|amd64", &["bbb not usr/b"]);
    archive.publish();
    assert_eq!(archive.text(name).len(), before.len());
    // as if the second record had been lost in a crash, and the change been taken back
    archive.change("main|amd64", &["bbb net usr/b"]);
    let snapshot = archive.database().snapshot().unwrap();
    archive.publish_into(&snapshot, Some(&first), &archive.dists()).unwrap();
    assert_eq!(archive.text(name), before);
    archive.check_release();
}
