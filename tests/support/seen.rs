//! A small archive of two distributions, to be disturbed, and what a client sees of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, FileTimes};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::index::{read_index, stanzas};
use super::upstream::Upstream;
use super::{Changes, Deb, Source, TestEnv, TestResult, Tool};

/// The distributions of an archive that [`fresh`] makes.
pub const CODENAMES: [&str; 2] = ["staging", "prod"];

/// Their configuration.
pub const DISTRIBUTIONS: &str = "Codename: staging\nSuite: testing\nArchitectures: amd64 source\nComponents: main\n\
    Contents: .gz\nTracking: keep\nLog: staging.log\n\n\
    Codename: prod\nArchitectures: amd64 source\nComponents: main\nContents: .gz\nTracking: keep\n";

/// What is published: for each distribution, its indexes by name.
pub type Published = BTreeMap<&'static str, BTreeMap<String, String>>;

/// What a client sees of the archive; the times in Release and its signature left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub published: Published,
    pub pool: BTreeSet<String>,
}

/// What is published, once it is verified.
pub fn published(env: &TestEnv, codenames: &[&'static str]) -> TestResult<Published> {
    let mut all = BTreeMap::new();
    for codename in codenames {
        let dir = env.outdir().join("dists").join(codename);
        let mut files = BTreeMap::new();
        if dir.join("Release").is_file() {
            env.assert_verified(codename)?;
            for index in [
                "main/binary-amd64/Packages",
                "main/source/Sources",
                "main/Contents-amd64",
            ] {
                files.insert(index.to_owned(), read_index(&dir, index)?.unwrap_or_default());
            }
            let release = std::fs::read_to_string(dir.join("Release"))?;
            let header = stanzas(&release)
                .into_iter()
                .flatten()
                .filter(|(name, _)| name != "Date");
            files.insert("Release".into(), format!("{:?}", header.collect::<Vec<_>>()));
        }
        all.insert(*codename, files);
    }
    Ok(all)
}

/// What a client sees, once it is verified.
pub fn seen(env: &TestEnv, codenames: &[&'static str]) -> TestResult<Seen> {
    Ok(Seen {
        published: published(env, codenames)?,
        pool: env.pool()?.into_iter().collect(),
    })
}

/// Files and directories below the archive that a command makes for itself while it runs: they have hidden names.
pub fn temporary(env: &TestEnv) -> TestResult<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![env.base()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') || name.ends_with(".generating") {
                found.push(entry.path());
            } else if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// The same, less what an update has fetched, and begun to note, which waits for the next one.
pub fn temporary_without_downloads(env: &TestEnv) -> TestResult<Vec<PathBuf>> {
    let mut found = temporary(env)?;
    let [lists, file_lists] = ["lists", "db/filelists"].map(|name| env.base().join(name));
    let is_mirror = lists.exists();
    found.retain(|path| {
        let is_of_update = path.ends_with("www/.partial") || path.starts_with(&lists) || path.starts_with(&file_lists);
        !(is_mirror && is_of_update)
    });
    Ok(found)
}

/// An archive in which nothing has happened. Signed, if no GnuPG agent is needed for that.
pub fn fresh() -> TestResult<TestEnv> {
    let tool = Tool::under_test();
    let signed = !tool.is_reprepro;
    let conf = DISTRIBUTIONS.replace(
        "Contents:",
        if signed {
            "SignWith: yes\nContents:"
        } else {
            "Contents:"
        },
    );
    let mut env = TestEnv::in_memory(tool, &conf)?;
    if signed {
        env.make_key()?;
    }
    Ok(env)
}

/// The newer of two versions of a package in staging, the older one in prod.
pub fn prepared() -> TestResult<TestEnv> {
    let env = fresh()?;
    for version in ["1-1", "1-2"] {
        let _ = env
            .run([
                "include".as_ref(),
                "staging".as_ref(),
                upload(&env, version)?.as_os_str(),
            ])
            .ok();
        if version == "1-1" {
            let _ = env.run(["copysrc", "prod", "staging", "hello"]).ok();
        }
    }
    Ok(env)
}

/// An upload of a source and two packages: its .changes.
pub fn upload(env: &TestEnv, version: &str) -> TestResult<PathBuf> {
    let source = Source::new("hello", version)
        .binary("hello", "any")
        .binary("hello-doc", "all");
    let debs = [
        Deb::new("hello", version).file("usr/bin/hello", version.as_bytes()),
        Deb::new("hello-doc", version).arch("all").source("hello"),
    ];
    let changes = debs.iter().fold(Changes::new("staging").source(&source), Changes::deb);
    Ok(changes.build(&env.incoming())?)
}

/// Makes the grace times end: whatever is in the database is as if it had been written days ago.
pub fn make_old(env: &TestEnv) -> TestResult {
    let old = SystemTime::now() - Duration::from_secs(3 * 86_400);
    let mut waiting = vec![env.base().join("db")];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            File::open(&path)?.set_times(FileTimes::new().set_modified(old))?;
            if path.is_dir() {
                waiting.push(path);
            }
        }
    }
    Ok(std::fs::write(env.base().join("db/collected"), "0\n")?)
}

/// Pool files that nothing refers to, objects, file lists: all is old, and due.
pub fn full_of_garbage() -> TestResult<TestEnv> {
    let env = prepared()?;
    let upload = upload(&env, "1-3")?;
    let upload = upload.to_string_lossy();
    let keep = "--keepunreferencedfiles";
    let _ = env.run([keep, "include", "staging", &*upload]).ok();
    let _ = env.run([keep, "removesrc", "prod", "hello"]).ok();
    for (codename, version) in [("staging", "1-2"), ("prod", "1-1")] {
        let _ = env.run([keep, "removetrack", codename, "hello", version]).ok();
    }
    make_old(&env)?;
    Ok(env)
}

/// An upstream of some packages, and a distribution that has those of the night before.
pub fn mirrored() -> TestResult<TestEnv> {
    let conf = "Codename: mirror\nArchitectures: amd64 i386\nComponents: main\nSignWith: yes\nUpdate: - up\n\
                Contents: .gz\n";
    let mut env = TestEnv::in_memory(Tool::under_test(), conf)?;
    env.make_key()?;
    let mut upstream = Upstream::new(&env.root().join("up"), 1_790_000_000);
    std::fs::create_dir_all(upstream.root())?;
    let root = upstream.root().display();
    env.conf(
        "updates",
        &format!("Name: up\nMethod: copy:{root}\nSuite: s\nVerifyRelease: blindtrust\n"),
    )?;
    let debs = |version: &str| ["a", "b", "c"].map(|name| Deb::new(name, version));
    upstream.publish(&debs("1"), None)?;
    let _ = env.run(["update"]).ok();
    upstream.date += 86_400;
    upstream.publish(&[&debs("2")[..], &[Deb::new("new", "1").arch("all")]].concat(), None)?;
    Ok(env)
}
