//! Kills a nightly update of 2,000 packages (SIGKILL) at random moments and at chosen ones. After each kill a client
//! sees one whole state and `list` answers; then one run completes, and all is as if there had been no kill: the same
//! packages, the same indexes in the store, the same published bytes, nothing left over, and no file fetched twice but
//! those that were on their way.
//!
//! A plain run has few kills. `APTREPO_TEST_KILLS=30` asks for more; with `APTREPO_TEST_BINARY` naming a release build
//! the moments lie closer to those of real life.
#![expect(clippy::disallowed_methods, reason = "test fixtures need no atomic writes")]
#![expect(clippy::print_stdout, reason = "where the kills struck is worth knowing")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aptrepo::store::Database;
use support::upstream::{BadServer, Upstream};
use support::{Deb, Dice, TestEnv, TestResult, Tool, Tree};

/// How many packages the upstream has.
const PACKAGES: usize = 2_000;
/// How many of them change in a night.
const CHURN: usize = 400;
/// How many random kills a plain run has, beside those at chosen moments.
const KILLS: usize = 2;
/// How many small files the program fetches at a time: as many may have been on their way when it was killed.
const IN_FLIGHT: usize = 32;
/// Days in 2026, before any clock that runs these tests.
const NIGHTS: [i64; 2] = [1_790_000_000, 1_790_086_400];
const CODENAMES: [&str; 2] = ["s", "half"];

const DISTRIBUTIONS: &str = "Codename: s\nArchitectures: amd64 i386\nComponents: main\nContents: .gz\nSignWith: yes\n\
    Tracking: minimal\nUpdate: - all\n\n\
    Codename: half\nArchitectures: amd64\nComponents: main\nSignWith: yes\nUpdate: - even\n";

fn rules(address: &str) -> String {
    format!(
        "Name: all\nMethod: {address}\nSuite: s\nVerifyRelease: blindtrust\n\n\
         Name: even\nFrom: all\nFilterFormula: Package (% *[02468])\n"
    )
}

/// The upstream's packages on the first night.
fn first_night() -> Vec<Deb> {
    (0..PACKAGES).map(|number| package(number, "1.0-1")).collect()
}

/// Every fifth is another: a new version, gone, or new.
fn second_night() -> Vec<Deb> {
    let stays = (0..PACKAGES).filter(|number| number % 20 != 7);
    let debs = stays.map(|number| package(number, if number % 10 == 3 { "1.1-1" } else { "1.0-1" }));
    debs.chain((0..CHURN / 4).map(|number| package(PACKAGES + number, "0.1-1")))
        .collect()
}

fn package(number: usize, version: &str) -> Deb {
    let name = format!("package{number:04}");
    let arch = match number % 9 {
        0 => "all",
        1 => "i386",
        _ => "amd64",
    };
    Deb::new(&name, version)
        .arch(arch)
        .file(&format!("usr/bin/{name}"), version.as_bytes())
}

/// What there is to see of an archive, without times and signatures.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    lists: Vec<String>,
    /// Each index of the store with the identity of its content.
    heads: BTreeMap<String, String>,
    /// The files of the published tree with their content.
    published: BTreeMap<String, String>,
    /// The names of all files of the archive but those of the lookup tables.
    files: BTreeSet<String>,
}

fn seen(env: &TestEnv) -> TestResult<Seen> {
    let snapshot = Database::at(&env.base().join("db"))?.snapshot()?;
    let heads = snapshot.heads().iter();
    let mut published = BTreeMap::new();
    for (path, content) in env.tree()?.contents() {
        let content = match path.rsplit_once('/').map_or(path, |(_, name)| name) {
            "InRelease" | "Release.gpg" => String::new(),
            "Release" => without_date(&env.outdir().join(path))?,
            _ => content.to_owned(),
        };
        published.insert(path.to_owned(), content);
    }
    let files = Tree::of(&env.base())?;
    // which lists share a pack depends on the order in which the .debs came
    let is_kept = |path: &&str| !path.starts_with("db/sled/") && !path.ends_with(".pack");
    Ok(Seen {
        lists: CODENAMES.map(|codename| env.list(codename)).to_vec(),
        heads: heads
            .map(|(index, root)| (index.to_string(), root.0.to_string()))
            .collect(),
        published,
        files: files.files().filter(is_kept).map(str::to_owned).collect(),
    })
}

fn without_date(file: &Path) -> TestResult<String> {
    let text = std::fs::read_to_string(file)?;
    let lines = text.lines().filter(|line| !line.starts_with("Date: "));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// Where two states differ, named.
fn differences(expected: &Seen, found: &Seen) -> Vec<String> {
    let mut all = Vec::new();
    if expected.lists != found.lists {
        all.push("list".to_owned());
    }
    for (name, pairs) in [
        ("head", (&expected.heads, &found.heads)),
        ("published", (&expected.published, &found.published)),
    ] {
        let keys: BTreeSet<&String> = pairs.0.keys().chain(pairs.1.keys()).collect();
        let other = keys.into_iter().filter(|key| pairs.0.get(*key) != pairs.1.get(*key));
        all.extend(other.map(|key| format!("{name}: {key}")));
    }
    all.extend(
        expected
            .files
            .difference(&found.files)
            .map(|file| format!("gone: {file}")),
    );
    all.extend(
        found
            .files
            .difference(&expected.files)
            .map(|file| format!("left: {file}")),
    );
    all
}

/// When an update is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// After so many thousandths of the time of an undisturbed run.
    Time(usize),
    /// When the upstream has answered so many requests.
    Requests(usize),
    /// When the journal has grown: the first distribution has changed.
    Committed,
    /// When a distribution is being built to be published.
    Publishing,
}

/// An archive after the first night, and the second night to come.
struct Series {
    env: TestEnv,
    server: BadServer,
    /// A copy of the archive to start from again.
    fresh: PathBuf,
    before: Seen,
    after: Seen,
    time: Duration,
    /// What an undisturbed run asks for.
    requests: Vec<String>,
}

impl Series {
    fn new() -> TestResult<Self> {
        let mut env = TestEnv::in_memory(Tool::under_test(), DISTRIBUTIONS)?;
        env.make_key()?;
        let mut upstream = Upstream::new(&env.root().join("up"), NIGHTS[0]);
        std::fs::create_dir_all(upstream.root())?;
        upstream.publish(&first_night(), None)?;
        let server = BadServer::start(upstream.root())?;
        env.conf("updates", &rules(server.address()))?;
        let _ = env.run(["update"]).ok();
        let before = seen(&env)?;
        let fresh = env.root().join("fresh");
        copy_tree(&env.base(), &fresh)?;
        upstream.date = NIGHTS[1];
        upstream.publish(&second_night(), None)?;
        server.requests();
        let start = Instant::now();
        let _ = env.run(["update"]).ok();
        let time = start.elapsed();
        let requests = server.requests();
        let after = seen(&env)?;
        assert_ne!(before.lists, after.lists);
        println!("undisturbed: {} requests, {time:?}", requests.len());
        Ok(Self {
            env,
            server,
            fresh,
            before,
            after,
            time,
            requests,
        })
    }

    /// Kills one update, looks, and lets the next one complete.
    fn kill_at(&self, moment: Moment) -> TestResult<bool> {
        let Self { env, before, after, .. } = self;
        copy_tree(&self.fresh, &env.base())?;
        self.server.requests();
        let mut child = env
            .command(["update"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let start = Instant::now();
        let journal = env.base().join("db/journal");
        let size = std::fs::metadata(&journal)?.len();
        let mut asked = Vec::new();
        while child.try_wait()?.is_none() {
            let is_time = match moment {
                Moment::Time(part) => start.elapsed() >= self.time * u32::try_from(part)? / 1000,
                Moment::Requests(count) => {
                    asked.extend(self.server.requests());
                    asked.len() >= count
                }
                Moment::Committed => std::fs::metadata(&journal)?.len() > size,
                Moment::Publishing => CODENAMES
                    .iter()
                    .any(|codename| env.outdir().join(format!("dists/.aptrepo-new-{codename}")).exists()),
            };
            if is_time {
                break;
            }
            std::thread::sleep(Duration::from_micros(300));
        }
        let is_dead = child.try_wait()?.is_some();
        child.kill()?;
        child.wait()?;
        // what is on its way to a dead client is on no account
        std::thread::sleep(Duration::from_millis(20));
        asked.extend(self.server.requests());
        for (at, codename) in CODENAMES.into_iter().enumerate() {
            env.assert_verified(codename)?;
            let list = env.list(codename);
            let is_whole = [before, after].iter().any(|state| state.lists.get(at) == Some(&list));
            assert!(is_whole, "{moment:?}: `{codename}` is neither the old nor the new");
        }
        let struck = asked.len();
        let healed = env.run(["update"]);
        assert_eq!(healed.status, 0, "{moment:?}: {healed}");
        let problems = differences(after, &seen(env)?);
        assert!(
            problems.is_empty(),
            "{moment:?}, after {struck} requests: {problems:#?}"
        );
        asked.extend(self.server.requests());
        self.assert_frugal(moment, &asked);
        let again = if struck < asked.len() {
            ""
        } else {
            ", nothing was left to ask for"
        };
        println!("{moment:?}: killed after {struck} requests{again}");
        Ok(!is_dead)
    }

    /// Asserts that both runs together asked for hardly more packages than an undisturbed one.
    fn assert_frugal(&self, moment: Moment, asked: &[String]) {
        let of_packages = |requests: &[String]| {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for request in requests.iter().filter(|request| request.starts_with("/pool/")) {
                *counts.entry(request.clone()).or_default() += 1;
            }
            counts
        };
        let (needed, counts) = (of_packages(&self.requests), of_packages(asked));
        let unknown: Vec<_> = counts.keys().filter(|path| !needed.contains_key(*path)).collect();
        assert!(unknown.is_empty(), "{moment:?}: asked for {unknown:?}");
        let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
        assert!(
            twice.len() <= IN_FLIGHT,
            "{moment:?}: {} files fetched twice: {twice:?}",
            twice.len()
        );
    }
}

fn copy_tree(from: &Path, to: &Path) -> TestResult {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    assert!(status.success(), "cp: {status}");
    Ok(())
}

#[test]
fn a_killed_update_is_completed_by_the_next() -> TestResult {
    if Tool::under_test().is_reprepro {
        return Ok(());
    }
    let series = Series::new()?;
    let files = series.requests.len();
    let mut moments = vec![
        Moment::Requests(1),
        Moment::Requests(files / 2),
        Moment::Committed,
        Moment::Publishing,
    ];
    let kills = std::env::var("APTREPO_TEST_KILLS").ok();
    let kills = kills.map_or(Ok(KILLS), |count| count.parse())?;
    let mut dice = Dice::new(2_000);
    moments.extend((0..kills).map(|_| Moment::Time(dice.roll(1000))));
    let mut struck = 0;
    for moment in &moments {
        struck += usize::from(series.kill_at(*moment)?);
    }
    println!("{struck} of {} runs were killed before their end", moments.len());
    assert!(
        struck * 2 > moments.len(),
        "most runs came to their end before the kill"
    );
    Ok(())
}
