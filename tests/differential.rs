//! The same commands given to reprepro and to aptrepo, and everything compared that a user or an apt client can see.
//!
//! What differs on purpose stands in one table, [`DELIBERATE`], each row with its reason; the scenarios keep clear
//! of it. With `APTREPO_TEST_BINARY=/usr/bin/reprepro` reprepro is compared with itself, which shows that the
//! comparison itself is sound.
#![expect(clippy::disallowed_methods, reason = "test fixtures need no atomic writes")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use support::env::one_distribution;
use support::index::{field, lines, read_index, stanzas};
use support::scenario::{self, Scenario, Step};
use support::state::{self, State};
use support::{Changes, Compression, Deb, Output, TestEnv, TestResult, Tool, have_tools};

/// How many commands a scenario has.
const STEPS: usize = 40;
/// After how many commands the whole state is compared.
const COMPARE_EVERY: usize = 8;
/// Names whose `ls` is compared: binaries, sources, and one that is never there.
const NAMES: [&str; 8] = [
    "hello",
    "hello-doc",
    "libfoo1",
    "tool",
    "odd",
    "role-agent",
    "installer-udeb",
    "absent",
];

/// reprepro and the program under test, in archives of the same configuration.
struct Pair {
    theirs: TestEnv,
    ours: TestEnv,
}

impl Pair {
    fn new(distributions: &str) -> TestResult<Option<Self>> {
        if !have_tools(&["reprepro"]) {
            return Ok(None);
        }
        let Some(reprepro) = Tool::reprepro() else {
            return Ok(None);
        };
        Ok(Some(Self {
            theirs: TestEnv::in_memory(reprepro, distributions)?,
            ours: TestEnv::in_memory(Tool::under_test(), distributions)?,
        }))
    }

    fn both(&self, args: &[String]) -> (Output, Output) {
        (self.theirs.run(args), self.ours.run(args))
    }
}

/// Lines that were added to a file since it had `seen` bytes, without their time, sorted.
fn news(env: &TestEnv, file: &str, seen: &mut usize) -> String {
    let text = std::fs::read_to_string(env.base().join(file)).unwrap_or_default();
    let fresh = env.shown(text.get(*seen..).unwrap_or_default());
    *seen = text.len();
    let is_log = file.starts_with("logs/");
    let mut lines: Vec<_> = fresh
        .lines()
        .map(|line| {
            if is_log {
                line.splitn(3, ' ').nth(2).unwrap_or(line)
            } else {
                line
            }
        })
        .collect();
    lines.sort_unstable();
    lines.join("\n") + "\n"
}

/// Runs one scenario on both and compares as it goes.
fn run_scenario(seed: u64, tracking: &str) -> TestResult {
    let Some(pair) = Pair::new(&scenario::distributions(tracking))? else {
        return Ok(());
    };
    scenario::configure(&pair.theirs)?;
    scenario::configure(&pair.ours)?;
    let mut scenario = Scenario::new(seed, &pair.theirs.root().join("packages"));
    let files: Vec<String> = std::iter::once("notified".to_owned())
        .chain(scenario::CODENAMES.map(|codename| format!("logs/{codename}.log")))
        .collect();
    let mut seen = vec![(0, 0); files.len()];
    let mut history = String::new();
    for at in 1..=STEPS {
        let step = scenario.next_step(&pair.theirs)?;
        history.push_str(&format!("{at:3} {}\n", step.args.join(" ")));
        let mut found = compare_step(&pair, &step);
        for (file, (theirs, ours)) in files.iter().zip(&mut seen) {
            let fresh = [news(&pair.theirs, file, theirs), news(&pair.ours, file, ours)];
            if let [theirs, ours] = &fresh
                && theirs != ours
            {
                found.push(format!("== {file}\n{}", state::line_differences(theirs, ours)));
            }
        }
        if at % COMPARE_EVERY == 0 || at == STEPS {
            let states = [&pair.theirs, &pair.ours].map(|env| state::of(env, &NAMES, !tracking.is_empty()));
            let [theirs, ours]: [TestResult<State>; 2] = states;
            found.extend(state::differences(&theirs?, &ours?));
            for codename in scenario::CODENAMES {
                if pair.ours.outdir().join("dists").join(codename).is_dir() {
                    pair.ours.assert_verified(codename)?;
                }
            }
        }
        assert!(
            found.is_empty(),
            "seed {seed}, Tracking `{tracking}`: after these commands\n{history}\n{}",
            found.join("\n")
        );
    }
    Ok(())
}

fn compare_step(pair: &Pair, step: &Step) -> Vec<String> {
    let (theirs, ours) = pair.both(&step.args);
    let mut found = Vec::new();
    if theirs.status != ours.status {
        found.push(format!("== exit status\nreprepro: {theirs}\naptrepo:  {ours}"));
    }
    if step.query && theirs.stdout != ours.stdout {
        found.push(format!(
            "== standard output\n{}",
            state::line_differences(&theirs.stdout, &ours.stdout)
        ));
    }
    found
}

#[test]
fn scenarios_without_tracking() -> TestResult {
    run_scenario(1, "")?;
    run_scenario(2, "")
}

#[test]
fn scenarios_with_tracking_keep() -> TestResult {
    run_scenario(3, "keep")?;
    run_scenario(4, "keep includechanges")
}

#[test]
fn scenarios_with_tracking_all() -> TestResult {
    run_scenario(5, "all")?;
    run_scenario(6, "all includechanges")
}

#[test]
fn scenarios_with_tracking_minimal() -> TestResult {
    run_scenario(7, "minimal")?;
    run_scenario(8, "minimal includechanges keepsources")
}

/// One thing that aptrepo does otherwise than reprepro on purpose. Both are shown to do what the row says.
struct Deliberate {
    what: &'static str,
    why: &'static str,
    /// Lines of conf/distributions beside the usual ones.
    lines: &'static [&'static str],
    /// Brings the archive into the state where the two differ, and gives the command that shows it.
    command: fn(&TestEnv) -> TestResult<Vec<String>>,
    /// Exit status and then `list local` of reprepro.
    theirs: (i32, &'static str),
    /// The same of aptrepo.
    ours: (i32, &'static str),
}

const DELIBERATE: [Deliberate; 8] = [
    Deliberate {
        what: "a copy does not put an older version in place of a newer one",
        why: "a promotion given in the wrong order would downgrade production with no more than a warning",
        lines: &[
            "Tracking: keep",
            "",
            "Codename: other",
            "Architectures: i386 amd64 source",
            "Components: main contrib",
        ],
        command: |env| {
            include(env, "local", &Deb::new("hello", "2"))?;
            include(env, "other", &Deb::new("hello", "1"))?;
            Ok(words(&["copy", "local", "other", "hello"]))
        },
        theirs: (0, "local|main|amd64: hello 1\n"),
        ours: (255, "local|main|amd64: hello 2\n"),
    },
    Deliberate {
        what: "a copy of what is there already is nothing done",
        why: "reprepro logs it as a replacement, calls the notifiers, and writes and signs the indexes again",
        lines: &[
            "",
            "Codename: other",
            "Architectures: i386 amd64 source",
            "Components: main contrib",
        ],
        command: |env| {
            include(env, "local", &Deb::new("hello", "1"))?;
            include(env, "other", &Deb::new("hello", "1"))?;
            Ok(words(&["--nothingiserror", "copy", "local", "other", "hello"]))
        },
        theirs: (0, "local|main|amd64: hello 1\n"),
        ours: (1, "local|main|amd64: hello 1\n"),
    },
    Deliberate {
        what: "a .deb without Section and Priority gets `misc` and `optional`",
        why: "Debian Policy 2.4 and 2.5 recommend the fields, and many build tools leave them out",
        lines: &[],
        command: |env| built(env, &[Deb::new("hello", "1").without_section()]),
        theirs: (255, ""),
        ours: (0, "local|main|amd64: hello 1\n"),
    },
    Deliberate {
        what: "the packages of an upload come with it",
        why: "reprepro takes a file that is not there as brought if the pool has it, and an upload that was cut short passes",
        lines: &[],
        command: |env| {
            let deb = Deb::new("hello", "1");
            include(env, "local", &deb)?;
            let path = Changes::new("local").deb(&deb).build(&env.incoming())?;
            std::fs::remove_file(env.incoming().join("hello_1_amd64.deb"))?;
            Ok(words(&["include", "local", &path.to_string_lossy()]))
        },
        theirs: (0, "local|main|amd64: hello 1\n"),
        ours: (249, "local|main|amd64: hello 1\n"),
    },
    Deliberate {
        what: "several files of one command are one transaction",
        why: "reprepro keeps the good ones in its database and publishes none of them",
        lines: &[],
        command: |env| {
            let mut args = built(env, &[Deb::new("good", "1"), Deb::new("better", "1")])?;
            let broken = env.incoming().join("broken_1_amd64.deb");
            std::fs::write(&broken, "no package")?;
            args.push(broken.to_string_lossy().into_owned());
            Ok(args)
        },
        theirs: (255, "local|main|amd64: better 1\nlocal|main|amd64: good 1\n"),
        ours: (255, ""),
    },
    Deliberate {
        what: "nothing removed is nothing done",
        why: "`--nothingiserror` asks for just that",
        lines: &[],
        command: |_| Ok(words(&["--nothingiserror", "remove", "local", "absent"])),
        theirs: (0, ""),
        ours: (1, ""),
    },
    Deliberate {
        what: "the lock of a process that is gone is no lock",
        why: "a kill -9 must not need a repair by hand",
        lines: &[],
        command: |env| {
            std::fs::create_dir_all(env.base().join("db"))?;
            std::fs::write(env.base().join("db/lockfile"), "")?;
            built(env, &[Deb::new("hello", "1")])
        },
        theirs: (239, ""),
        ours: (0, "local|main|amd64: hello 1\n"),
    },
    Deliberate {
        what: "one distribution cannot be tracked in two ways",
        why: "`Tracking: keep all` means one of them, and which is a matter of luck",
        lines: &["Tracking: keep all"],
        command: |env| built(env, &[Deb::new("hello", "1")]),
        theirs: (0, "local|main|amd64: hello 1\n"),
        ours: (255, ""),
    },
];

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

fn include(env: &TestEnv, codename: &str, deb: &Deb) -> TestResult {
    let path = deb.build(&env.incoming())?;
    let _ = env
        .run(["includedeb".as_ref(), codename.as_ref(), path.as_os_str()])
        .ok();
    Ok(())
}

/// The command that includes these packages in `local`.
fn built(env: &TestEnv, debs: &[Deb]) -> TestResult<Vec<String>> {
    let mut args = words(&["includedeb", "local"]);
    for deb in debs {
        args.push(deb.build(&env.incoming())?.to_string_lossy().into_owned());
    }
    Ok(args)
}

#[test]
fn what_differs_on_purpose_differs_as_the_table_says() -> TestResult {
    for row in DELIBERATE {
        let Some(pair) = Pair::new(&one_distribution(row.lines))? else {
            return Ok(());
        };
        for env in [&pair.theirs, &pair.ours] {
            let (status, list) = if env.tool().is_reprepro { row.theirs } else { row.ours };
            let args = (row.command)(env)?;
            let output = env.run(args);
            let context = format!("{} ({}), {:?}: {output}", row.what, row.why, env.tool().path);
            assert_eq!(output.status, status, "{context}");
            if env.tool().is_reprepro {
                // Its lock file outlives it.
                let _ = std::fs::remove_file(env.base().join("db/lockfile"));
            }
            assert_eq!(env.run(["list", "local"]).stdout, list, "{context}");
        }
    }
    Ok(())
}

/// An archive that apt-ftparchive can be asked about, with packages of every compression.
fn archive_for_ftparchive() -> TestResult<Option<TestEnv>> {
    if !have_tools(&["apt-ftparchive"]) {
        return Ok(None);
    }
    let env = TestEnv::with_lines(&["Contents: .gz", "DebIndices: Packages . .gz .xz"])?;
    let kinds = [
        (Compression::None, "amd64"),
        (Compression::Gz, "all"),
        (Compression::Xz, "amd64"),
        (Compression::Bz2, "i386"),
        (Compression::Zstd, "amd64"),
    ];
    let mut args = words(&["-C", "main", "includedeb", "local"]);
    for (at, (compression, arch)) in kinds.into_iter().enumerate() {
        let deb = Deb::new(&format!("pkg{at}"), "1:1.0-1")
            .arch(arch)
            .compress(compression)
            .section(if at == 0 { "libs" } else { "utils" })
            .field("Depends", "libc6 (>= 2.3), other | more")
            .field("Multi-Arch", "foreign")
            .file(&format!("usr/lib/{arch}/pkg{at}/a file"), b"1")
            .file(&format!("usr/lib/{}", "long/".repeat(30) + &at.to_string()), b"2")
            .file("usr/share/shared", b"3");
        args.push(deb.build(&env.incoming())?.to_string_lossy().into_owned());
    }
    let _ = env.run(args).ok();
    env.assert_verified("local")?;
    Ok(Some(env))
}

fn ftparchive(outdir: &Path, args: &[&str]) -> TestResult<String> {
    let output = Command::new("apt-ftparchive").current_dir(outdir).args(args).output()?;
    assert!(output.status.success(), "apt-ftparchive {args:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn packages_has_what_apt_ftparchive_finds_in_the_pool() -> TestResult {
    let Some(env) = archive_for_ftparchive()? else {
        return Ok(());
    };
    let by_name = |text: &str| -> BTreeMap<String, BTreeMap<String, String>> {
        let all = stanzas(text).into_iter();
        let wanted = all.map(|fields| {
            let name = field(&fields, "Package").unwrap_or_default().to_owned();
            let fields = fields
                .into_iter()
                .filter(|(name, _)| name != "SHA512" && name != "Description-md5");
            (name, fields.map(|(name, value)| (name.to_lowercase(), value)).collect())
        });
        wanted.collect()
    };
    for arch in scenario::ARCHITECTURES {
        let theirs = ftparchive(&env.outdir(), &["--arch", arch, "packages", "pool"])?;
        let dir = env.outdir().join("dists/local/main").join(format!("binary-{arch}"));
        let ours = read_index(&dir, "Packages")?.unwrap_or_default();
        assert_eq!(by_name(&ours), by_name(&theirs), "{arch}");
        assert_eq!(stanzas(&ours).len(), if arch == "amd64" { 4 } else { 2 }, "{ours}");
    }
    Ok(())
}

#[test]
fn contents_has_what_apt_ftparchive_finds_in_the_pool() -> TestResult {
    let Some(env) = archive_for_ftparchive()? else {
        return Ok(());
    };
    // Without an override file apt-ftparchive does not know the sections.
    let pairs = |text: &str| -> BTreeSet<(String, String)> {
        let mut pairs = BTreeSet::new();
        for (path, packages) in text.lines().filter_map(|line| line.rsplit_once([' ', '\t'])) {
            for package in packages.split(',') {
                let name = package.rsplit('/').next().unwrap_or_default();
                pairs.insert((path.trim().to_owned(), name.to_owned()));
            }
        }
        pairs
    };
    for arch in scenario::ARCHITECTURES {
        let theirs = pairs(&ftparchive(&env.outdir(), &["--arch", arch, "contents", "pool"])?);
        let dir = env.outdir().join("dists/local/main");
        let ours = pairs(&read_index(&dir, &format!("Contents-{arch}"))?.unwrap_or_default());
        assert_eq!(ours, theirs, "{arch}");
        assert!(ours.len() > 6, "{ours:?}");
    }
    Ok(())
}

#[test]
fn release_has_what_apt_ftparchive_finds_in_dists() -> TestResult {
    let Some(env) = archive_for_ftparchive()? else {
        return Ok(());
    };
    let theirs = ftparchive(&env.outdir(), &["release", "dists/local"])?;
    let ours = std::fs::read_to_string(env.outdir().join("dists/local/Release"))?;
    let [theirs, ours] = [theirs, ours].map(|text| stanzas(&text).into_iter().next().unwrap_or_default());
    for kind in ["MD5Sum", "SHA1", "SHA256"] {
        let listed = lines(&ours, kind);
        let mut found = 0;
        for entry in lines(&theirs, kind) {
            let name = entry.get(2).copied().unwrap_or_default();
            // It follows the link to the first component's Contents, and gives its full path then.
            if name.contains("by-hash/") || name == "Release" || name.starts_with('/') {
                continue;
            }
            assert!(listed.contains(&entry), "{kind}: {entry:?} is not in {listed:?}");
            found += 1;
        }
        assert!(found > 5, "{kind}: {found}");
    }
    Ok(())
}

#[test]
fn the_comparison_sees_a_difference() -> TestResult {
    let archives = [1, 2].map(|_| TestEnv::with(Tool::under_test(), &scenario::distributions("keep")));
    let [one, other] = archives;
    let (one, other) = (one?, other?);
    for env in [&one, &other] {
        scenario::configure(env)?;
        include(env, "dev", &Deb::new("hello", "1").section("main/web"))?;
    }
    let state = |env: &TestEnv| state::of(env, &NAMES, true);
    assert_eq!(state::differences(&state(&one)?, &state(&other)?), [""; 0]);
    include(&other, "dev", &Deb::new("tool", "1").section("main/web"))?;
    let found = state::differences(&state(&one)?, &state(&other)?).concat();
    for part in [
        "list dev",
        "ls tool",
        "dumptracks",
        "dev main/binary-amd64/Packages",
        "dev main/Contents-amd64",
        "pool",
    ] {
        assert!(found.contains(&format!("== {part}\n")), "{part}: {found}");
    }
    Ok(())
}
