//! Kills the program at every step of a command and looks at what is left.
//!
//! strace stops the process (SIGKILL) at the entry of the Nth write, fsync, rename, … for each N until the command runs
//! through. After each kill an apt client must see the archive as it was before or as it is after the command, and
//! nothing in between. The next command, `check` after one kill and the same command again after the other, must
//! succeed without any repair, finish or clear away what was begun, and leave no temporary file; and when the command
//! has run again the archive must be what it is without a kill. Where strace cannot inject signals the tests are
//! skipped, in CI they fail.
#![expect(clippy::print_stdout, reason = "the number of steps tried is worth knowing")]

mod support;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::index::{read_index, stanzas};
use support::tree::Tree;
use support::{Changes, Deb, Source, TestEnv, TestResult, Tool, have_tools, skip, verify};

/// The system calls by which a command changes what is on disk or tells that it has.
const CALLS: [&str; 19] = [
    "openat",
    "write",
    "pwrite64",
    "writev",
    "fsync",
    "fdatasync",
    "syncfs",
    "ftruncate",
    "rename",
    "renameat",
    "renameat2",
    "linkat",
    "link",
    "unlink",
    "unlinkat",
    "mkdir",
    "rmdir",
    "symlink",
    "symlinkat",
];
/// Above so many steps of one command only every second, third, … is tried.
const MOST_STEPS: usize = 400;
const CODENAMES: [&str; 2] = ["staging", "prod"];

const DISTRIBUTIONS: &str = "Codename: staging\nSuite: testing\nArchitectures: amd64 source\nComponents: main\n\
                             Contents: .gz\nTracking: keep\nLog: staging.log\n\n\
                             Codename: prod\nArchitectures: amd64 source\nComponents: main\nContents: .gz\nTracking: keep\n";

/// What a client sees of the archive; the times in Release and its signature left out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// For each distribution, its indexes by name.
    published: BTreeMap<&'static str, BTreeMap<String, String>>,
    pool: BTreeSet<String>,
}

fn published(env: &TestEnv) -> TestResult<BTreeMap<&'static str, BTreeMap<String, String>>> {
    let mut all = BTreeMap::new();
    for codename in CODENAMES {
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
        all.insert(codename, files);
    }
    Ok(all)
}

fn seen(env: &TestEnv) -> TestResult<Seen> {
    Ok(Seen {
        published: published(env)?,
        pool: env.pool()?.into_iter().collect(),
    })
}

/// Files and directories below the archive that a command makes for itself while it runs: they have hidden names. Half
/// of a saved dump, which is written without a lock, waits for an hour until a later one takes it away.
fn temporary(env: &TestEnv) -> TestResult<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![env.base()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if directory.ends_with("db/dumps") {
                continue;
            }
            if name.starts_with('.') || name.ends_with(".generating") {
                found.push(entry.path());
            } else if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// An archive in which nothing has happened. Signed, if no GnuPG agent is needed for that.
fn fresh() -> TestResult<TestEnv> {
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
fn prepared() -> TestResult<TestEnv> {
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

fn upload(env: &TestEnv, version: &str) -> TestResult<PathBuf> {
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

/// A step of a command: the Nth call of one kind in one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    call: &'static str,
    number: usize,
}

/// The steps of one undisturbed run that change something on disk or say something, as strace counts them: for each
/// thread and each call apart. Opening a file to read it is none.
fn steps(trace: &str) -> Vec<Step> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((name, arguments)) = rest.trim_start().split_once('(') else {
            continue;
        };
        let Some(call) = CALLS.into_iter().find(|call| *call == name) else {
            continue;
        };
        let count = counts.entry((thread, call)).or_default();
        *count += 1;
        let reads_only = call == "openat"
            && !["O_CREAT", "O_TRUNC", "O_WRONLY"]
                .iter()
                .any(|flag| arguments.contains(flag));
        if !reads_only {
            found.insert(Step { call, number: *count });
        }
    }
    found.into_iter().collect()
}

/// The program under strace with these options of strace.
fn traced(env: &TestEnv, options: &[&str], args: &[String]) -> Command {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq"])
        .args(options)
        .arg("--")
        .arg(&env.tool().path);
    command.arg("-b").arg(env.base()).args(args);
    env.clean(&mut command);
    command
}

fn copy_tree(from: &Path, to: &Path) -> TestResult {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    assert!(status.success(), "cp: {status}");
    Ok(())
}

/// Whether strace can kill a process at a system call here.
fn can_inject() -> TestResult<bool> {
    if !have_tools(&["strace", "true"]) {
        return Ok(false);
    }
    let inject = [
        "-f",
        "-qq",
        "-e",
        "trace=openat",
        "-e",
        "inject=openat:signal=SIGKILL:when=1",
        "true",
    ];
    let output = Command::new("strace").args(inject).output()?;
    let killed = !output.status.success() && output.status.code().is_none();
    Ok(killed || skip(&format!("strace cannot inject a signal: {output:?}")))
}

/// One command, the archive before it and after it, and a copy to start from again.
struct Trial {
    name: &'static str,
    env: TestEnv,
    args: Vec<String>,
    before: Seen,
    after: Seen,
    fresh: PathBuf,
    /// How many kills left temporary files.
    untidy: Cell<usize>,
}

/// What a kill left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// The command had not happened.
    Before,
    /// The command had happened.
    After,
    /// One of both; not looked at.
    Unknown,
    /// The run had fewer calls than the one that was counted, as threads take turns, and came to its end.
    RanThrough,
}

impl Trial {
    /// Runs the command undisturbed and gives its steps too.
    fn prepare(
        name: &'static str,
        env: TestEnv,
        args: impl Fn(&TestEnv) -> TestResult<Vec<String>>,
    ) -> TestResult<(Self, Vec<Step>)> {
        let args = args(&env)?;
        let before = seen(&env)?;
        let fresh = env.root().join("fresh");
        copy_tree(&env.base(), &fresh)?;
        let trace = env.root().join("trace");
        let calls = format!("trace={}", CALLS.join(","));
        let log = trace.to_string_lossy().into_owned();
        let _ = env.finish(&mut traced(&env, &["-o", &log, "-e", &calls], &args)).ok();
        let after = seen(&env)?;
        assert!(before != after || name == "export", "{name} did nothing");
        assert_eq!(temporary(&env)?, Vec::<PathBuf>::new(), "{name}, undisturbed");
        let steps = steps(&std::fs::read_to_string(&trace)?);
        let trial = Self {
            name,
            env,
            args,
            before,
            after,
            fresh,
            untidy: Cell::new(0),
        };
        Ok((trial, steps))
    }

    /// Kills at one step. Then the next command is `check` or at once the same.
    fn kill_at(&self, step: Step, with_check: bool) -> TestResult<Left> {
        let Self { env, before, after, .. } = self;
        copy_tree(&self.fresh, &env.base())?;
        let Step { call, number } = step;
        let context = format!("{}, killed at {call} number {number}", self.name);
        let trace = format!("trace={call}");
        let inject = format!("inject={call}:signal=SIGKILL:when={number}");
        let output = env.finish(&mut traced(
            env,
            &["-o", "/dev/null", "-e", &trace, "-e", &inject],
            &self.args,
        ));
        if output.status != -9 {
            let _ = output.ok();
            assert_eq!(&seen(env)?, after, "{context}: not reached, yet another end");
            return Ok(Left::RanThrough);
        }
        if !temporary(env)?.is_empty() {
            self.untidy.set(self.untidy.get() + 1);
        }
        for (codename, files) in published(env)? {
            let one_of_two = [before, after]
                .iter()
                .any(|state| state.published.get(codename) == Some(&files));
            assert!(
                one_of_two,
                "{context}: `{codename}` is neither the old nor the new: {files:#?}"
            );
        }
        let mut left = Left::Unknown;
        if with_check {
            let checked = env.run(["check"]);
            assert_eq!(checked.status, 0, "{context}: check: {checked}");
            assert_eq!(temporary(env)?, Vec::<PathBuf>::new(), "{context}: left after check");
            let healed = seen(env)?;
            left = if healed == *after { Left::After } else { Left::Before };
            if left == Left::Before {
                assert_eq!(&healed, before, "{context}: half of the command is in the archive");
            }
        }
        if left != Left::After {
            let again = env.run(&self.args);
            assert_eq!(again.status, 0, "{context}: the same command again: {again}");
            assert_eq!(
                temporary(env)?,
                Vec::<PathBuf>::new(),
                "{context}: left after it ran again"
            );
        }
        assert_eq!(&seen(env)?, after, "{context}: then the same command again");
        Ok(left)
    }
}

/// Kills the command at each of its steps.
fn kill_at_every_step(
    name: &'static str,
    env: fn() -> TestResult<TestEnv>,
    args: impl Fn(&TestEnv) -> TestResult<Vec<String>>,
) -> TestResult {
    if !can_inject()? {
        return Ok(());
    }
    let (trial, steps) = Trial::prepare(name, env()?, args)?;
    let stride = steps.len().div_ceil(MOST_STEPS).max(1);
    let mut left = Vec::new();
    for (at, step) in steps.iter().step_by(stride).enumerate() {
        left.push(trial.kill_at(*step, at % 2 == 0)?);
    }
    let count = |kind: Left| left.iter().filter(|one| **one == kind).count();
    let (old, new, through) = (count(Left::Before), count(Left::After), count(Left::RanThrough));
    println!(
        "{name}: {} steps, {} tried, {through} ran through, {} left temporary files; of the kills before `check` {old} left the old state, {new} \
         the new",
        steps.len(),
        left.len(),
        trial.untidy.get()
    );
    assert!(trial.untidy.get() > 0, "{name}: no kill left anything to clear up");
    assert!(
        through < left.len() / 2,
        "{name}: too few kills: {through} of {} ran through",
        left.len()
    );
    Ok(())
}

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

#[test]
fn an_include_is_whole_or_not_there() -> TestResult {
    kill_at_every_step("include", prepared, |env| {
        let path = upload(env, "2-1")?;
        Ok(words(&["include", "staging", &path.to_string_lossy()]))
    })
}

#[test]
fn the_first_command_of_an_archive_is_whole_or_not_there() -> TestResult {
    kill_at_every_step("includedeb, the first", fresh, |env| {
        let path = Deb::new("hello", "1").build(&env.incoming())?;
        Ok(words(&["includedeb", "staging", &path.to_string_lossy()]))
    })
}

#[test]
fn a_promotion_is_whole_or_not_there() -> TestResult {
    kill_at_every_step("copysrc", prepared, |_| {
        Ok(words(&["copysrc", "prod", "staging", "hello"]))
    })
}

#[test]
fn a_removal_is_whole_or_not_there() -> TestResult {
    kill_at_every_step("removesrc", prepared, |_| Ok(words(&["removesrc", "staging", "hello"])))
}

#[test]
fn an_export_is_whole_or_not_there() -> TestResult {
    kill_at_every_step("export", prepared, |_| Ok(words(&["export"])))
}

/// What a command has said it did is still there when the machine's process is killed right afterwards, and the next
/// command needs no repair.
#[test]
fn nothing_acknowledged_is_lost() -> TestResult {
    if !can_inject()? {
        return Ok(());
    }
    let env = prepared()?;
    let args = words(&["include", "staging", &upload(&env, "2-1")?.to_string_lossy()]);
    let inject = [
        "-o",
        "/dev/null",
        "-e",
        "trace=exit_group",
        "-e",
        "inject=exit_group:signal=SIGKILL:when=1",
    ];
    let output = env.finish(&mut traced(&env, &inject, &args));
    assert_eq!(output.status, -9, "{output}");
    assert_eq!(env.list("staging").matches("2-1").count(), 3, "{}", env.list("staging"));
    let shown = published(&env)?;
    let packages = shown
        .get("staging")
        .and_then(|files| files.get("main/binary-amd64/Packages"));
    assert!(
        packages.is_some_and(|text| text.contains("Version: 2-1")),
        "{packages:?}"
    );
    let _ = env.run(["check"]).ok();
    let before = Tree::of(&env.outdir())?;
    let _ = env.run(["list", "staging"]).ok();
    before.assert_unchanged(&env.tree()?);
    assert!(verify::problems(&env.outdir(), "staging")?.is_empty());
    Ok(())
}
