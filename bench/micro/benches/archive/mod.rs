//! An archive of one distribution with made-up packages, to be published again and again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aptrepo::conf::{Conf, Directories, Distribution, IgnoreSet};
use aptrepo::fsio;
use aptrepo::model::{Digests, Entry, FileDigests, ListedPackage, PoolFile, Sha256, Version};
use aptrepo::publish::{Check, Published, Request, publish};
use aptrepo::store::{Database, Provenance};
use tempfile::TempDir;

/// The stanza of the package of that number.
pub fn stanza(number: usize, revision: usize) -> Vec<u8> {
    let words = [
        "archive",
        "library",
        "network",
        "graphics",
        "daemon",
        "documentation",
        "python",
        "development",
    ];
    let word = |at: usize| words[(number / (at + 1) + at * 7) % words.len()];
    let relations: Vec<String> = (0..number % 9 + 2)
        .map(|at| format!("lib{}{} (>= {at}.{})", word(at), number % 97, number % 13))
        .collect();
    let long: Vec<String> = (0..number % 6 + 1)
        .map(|line| (0..9).map(|at| word(line + at)).collect::<Vec<_>>().join(" "))
        .collect();
    format!(
        "Package: package{number}\nVersion: 1.{number}-{revision}\nArchitecture: amd64\nMaintainer: Bench Team <team@bench.invalid>\n\
         Installed-Size: {}\nDepends: {}\nSection: utils\nPriority: optional\nFilename: {}\nSize: {}\nSHA256: {}\n\
         Description: the {} of {}\n {}\n\n",
        number * 37 % 9001,
        relations.join(", "),
        pool_path(number, revision),
        number * 1001 + 700,
        digest(number, revision),
        word(0),
        word(1),
        long.join("\n "),
    )
    .into_bytes()
}

fn pool_path(number: usize, revision: usize) -> String {
    format!("pool/main/p/package{number}/package{number}_1.{number}-{revision}_amd64.deb")
}

fn digest(number: usize, revision: usize) -> Sha256 {
    Sha256::of(format!("{number} {revision}").as_bytes())
}

/// The archive, in a directory of its own.
pub struct Archive {
    directory: TempDir,
    distribution: Distribution,
    previous: Option<Published>,
    now: i64,
    count: usize,
}

impl Archive {
    /// An archive of so many packages, of which only `form` is published.
    pub fn new(form: &str, packages: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let indices = match form {
            "Contents" => "DebIndices: Packages .\nContents: .gz".to_owned(),
            _ => format!("DebIndices: {form}"),
        };
        let conf = directory.path().join("conf");
        fsio::create_dir_all(&conf).expect("a directory");
        let text = format!("Codename: bench\nArchitectures: amd64\nComponents: main\n{indices}\n");
        fsio::write_new(&conf.join("distributions"), text.as_bytes()).expect("a file");
        let conf = Conf::read(&Directories::below(directory.path()), &IgnoreSet::default()).expect("a configuration");
        let distribution = conf.distributions.into_iter().next().expect("a distribution");
        let mut archive = Self {
            directory,
            distribution,
            previous: None,
            now: 1_700_000_000,
            count: 0,
        };
        archive.change((0..packages).map(|number| (number, 1)));
        archive
    }

    fn database(&self) -> Database {
        Database::at(&self.directory.path().join("db")).expect("a database")
    }

    /// Gives the package of that number this version, in the place of the one before.
    pub fn put(&mut self, number: usize, revision: usize) {
        self.change([(number, revision)].into_iter());
    }

    fn change(&mut self, packages: impl Iterator<Item = (usize, usize)>) {
        let guard = self.database().lock("bench", Duration::from_secs(5)).expect("the lock");
        let store = guard.open().expect("the store");
        let index = "bench|main|amd64".parse().expect("an index");
        let mut change = store.begin();
        for (number, revision) in packages {
            let name = format!("package{number}");
            let version = |revision| Version::new(&format!("1.{number}-{revision}")).expect("a version");
            let digests = Digests {
                md5: None,
                sha1: None,
                sha256: digest(number, revision),
                sha512: None,
            };
            let path = pool_path(number, revision).parse().expect("a path");
            let entry = Entry {
                name: name.parse().expect("a name"),
                version: version(revision),
                source: name.parse().expect("a name"),
                source_version: version(revision),
                files: vec![PoolFile {
                    path,
                    content: FileDigests {
                        size_bytes: number as u64 * 1001 + 700,
                        digests,
                    },
                }],
            };
            if revision > 1 {
                change.remove(&index, &entry.name, &version(revision - 1));
            }
            change.put(
                &index,
                ListedPackage {
                    entry,
                    text: stanza(number, revision),
                },
            );
        }
        let provenance = Provenance {
            unix_seconds: self.now,
            user: "bench".into(),
            command: "bench".into(),
        };
        change.commit(&provenance).expect("a commit");
    }

    /// Publishes what has changed since the last time.
    pub fn publish(&mut self) {
        let dists = self.directory.path().join("dists");
        self.previous = Some(self.publish_into(&dists, self.previous.as_ref()));
        self.now += 60;
    }

    /// Publishes everything as if for the first time.
    pub fn publish_anew(&mut self) {
        self.count += 1;
        let dists: PathBuf = self.directory.path().join(format!("dists-{}", self.count));
        self.publish_into(&dists, None);
    }

    fn publish_into(&self, dists: &Path, previous: Option<&Published>) -> Published {
        let lists = |deb: &Sha256| {
            let name = deb.to_string();
            let parts = [
                "usr/bin",
                "usr/lib/x86_64-linux-gnu",
                "usr/share/doc",
                "usr/share/man/man1",
            ];
            Ok(Some(
                parts
                    .iter()
                    .map(|part| format!("{part}/{}/{}", &name[..2], &name[2..10]).into_bytes())
                    .collect(),
            ))
        };
        let snapshot = self.database().snapshot().expect("a snapshot");
        let request = Request {
            snapshot: &snapshot,
            distribution: &self.distribution,
            all: std::slice::from_ref(&self.distribution),
            dists,
            previous,
            signer: None,
            script_environment: &[],
            extras: &[],
            file_lists: &lists,
            date: self.now,
            now: self.now,
            retain_seconds: 0,
            in_one_piece: false,
            check: Check::Size,
        };
        publish(&request).expect("a published tree").published
    }
}
