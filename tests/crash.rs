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
use std::path::PathBuf;

use support::seen::{
    CODENAMES, Seen, fresh, full_of_garbage, mirrored, prepared, published, seen, temporary,
    temporary_without_downloads, upload,
};
use support::steps::{Step, can_inject, copy_tree, steps_of, traced, words};
use support::{Deb, TestEnv, TestResult, Tool, Tree, verify};

/// Above so many steps of one command only every second, third, … is tried.
const MOST_STEPS: usize = 400;

/// One command, the archive before it and after it, and a copy to start from again.
struct Trial {
    name: &'static str,
    env: TestEnv,
    codenames: &'static [&'static str],
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
        (env, codenames): (TestEnv, &'static [&'static str]),
        args: impl Fn(&TestEnv) -> TestResult<Vec<String>>,
    ) -> TestResult<(Self, Vec<Step>)> {
        let args = args(&env)?;
        let before = seen(&env, codenames)?;
        let fresh = env.root().join("fresh");
        copy_tree(&env.base(), &fresh)?;
        let steps = steps_of(&env, &args)?;
        let after = seen(&env, codenames)?;
        assert!(before != after || name == "export", "{name} did nothing");
        assert_eq!(temporary(&env)?, Vec::<PathBuf>::new(), "{name}, undisturbed");
        let trial = Self {
            name,
            env,
            codenames,
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
            assert_eq!(
                &seen(env, self.codenames)?,
                after,
                "{context}: not reached, yet another end"
            );
            return Ok(Left::RanThrough);
        }
        if !temporary(env)?.is_empty() {
            self.untidy.set(self.untidy.get() + 1);
        }
        for (codename, files) in published(env, self.codenames)? {
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
            let waiting = temporary_without_downloads(env)?;
            assert_eq!(waiting, Vec::<PathBuf>::new(), "{context}: left after check");
            let healed = seen(env, self.codenames)?;
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
        assert_eq!(
            &seen(env, self.codenames)?,
            after,
            "{context}: then the same command again"
        );
        Ok(left)
    }
}

/// Kills the command at each of its steps.
fn kill_at_every_step(
    name: &'static str,
    env: fn() -> TestResult<TestEnv>,
    codenames: &'static [&'static str],
    args: impl Fn(&TestEnv) -> TestResult<Vec<String>>,
) -> TestResult {
    if !can_inject()? {
        return Ok(());
    }
    let (trial, steps) = Trial::prepare(name, (env()?, codenames), args)?;
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

#[test]
fn an_include_is_whole_or_not_there() -> TestResult {
    kill_at_every_step("include", prepared, &CODENAMES, |env| {
        let path = upload(env, "2-1")?;
        Ok(words(&["include", "staging", &path.to_string_lossy()]))
    })
}

#[test]
fn the_first_command_of_an_archive_is_whole_or_not_there() -> TestResult {
    kill_at_every_step("includedeb, the first", fresh, &CODENAMES, |env| {
        let path = Deb::new("hello", "1").build(&env.incoming())?;
        Ok(words(&["includedeb", "staging", &path.to_string_lossy()]))
    })
}

#[test]
fn a_promotion_is_whole_or_not_there() -> TestResult {
    kill_at_every_step("copysrc", prepared, &CODENAMES, |_| {
        Ok(words(&["copysrc", "prod", "staging", "hello"]))
    })
}

#[test]
fn a_removal_is_whole_or_not_there() -> TestResult {
    kill_at_every_step("removesrc", prepared, &CODENAMES, |_| {
        Ok(words(&["removesrc", "staging", "hello"]))
    })
}

#[test]
fn an_export_is_whole_or_not_there() -> TestResult {
    kill_at_every_step("export", prepared, &CODENAMES, |_| Ok(words(&["export"])))
}

#[test]
fn a_collection_of_garbage_is_whole_or_not_there() -> TestResult {
    kill_at_every_step("garbage collection", full_of_garbage, &CODENAMES, |_| {
        Ok(words(&["deleteunreferenced"]))
    })
}

#[test]
fn an_update_is_whole_or_not_there() -> TestResult {
    if Tool::under_test().is_reprepro {
        return Ok(());
    }
    kill_at_every_step("update", mirrored, &["mirror"], |_| Ok(words(&["update"])))
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
    let shown = published(&env, &CODENAMES)?;
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
