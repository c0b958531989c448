//! One command that fails at one of its steps, and what is left of it.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::disk::{Disk, Room};
use crate::support::seen::{Seen, make_old, published, seen, temporary, temporary_without_downloads};
use crate::support::steps::{Step, can_inject, copy_tree, steps_of, traced};
use crate::support::{Output, TestEnv, TestResult, Tool, have_tools};

/// How many failures of each command a plain run tries.
const TRIED: usize = 24;
/// The longest that a disturbed command may take.
const PATIENCE_SECONDS: &str = "60";

/// A system call that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failure {
    step: Step,
    error: &'static str,
    /// Whether all calls of that kind fail from then on.
    stays: bool,
}

impl Failure {
    /// What a disk may do to a step.
    fn of(step: Step) -> Vec<Self> {
        let errors: &[&'static str] = match step.call {
            "fsync" | "fdatasync" | "syncfs" | "sync_file_range" => &["EIO", "ENOSPC", "EDQUOT"],
            "unlink" | "unlinkat" | "rmdir" | "ftruncate" | "utimensat" | "fchmod" => &["EIO", "EROFS"],
            _ => &["ENOSPC", "EDQUOT", "EIO"],
        };
        let of_step = |error: &&'static str| {
            [false, true].map(|stays| Self {
                step,
                error: *error,
                stays,
            })
        };
        errors.iter().flat_map(of_step).collect()
    }

    fn reason(&self) -> &'static str {
        match self.error {
            "ENOSPC" => "No space left on device",
            "EDQUOT" => "Disk quota exceeded",
            "EROFS" => "Read-only file system",
            _ => "Input/output error",
        }
    }

    fn inject(&self) -> String {
        let Self { step, error, stays } = self;
        let more = if *stays { "+" } else { "" };
        format!("inject={}:error={error}:when={}{more}", step.call, step.number)
    }
}

/// What is left of an archive when all that is old is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    files: BTreeSet<String>,
}

impl Settled {
    /// Lets the grace times end, and lists the files that stay. Those of the lookup tables are sled's own affair.
    pub fn of(env: &TestEnv) -> TestResult<Self> {
        make_old(env)?;
        let _ = env.run(["check"]).ok();
        let mut files = BTreeSet::new();
        for path in files_below(&env.base())? {
            let path = path.strip_prefix(env.base())?.to_string_lossy().into_owned();
            match path.rsplit_once('/') {
                Some(("db/sled", _)) => {}
                Some((directory @ ("db/filelists" | "db/dumps"), _)) => {
                    files.insert(directory.to_owned());
                }
                _ => {
                    files.insert(path);
                }
            }
        }
        Ok(Self { files })
    }

    pub fn differences(&self, other: &Self) -> Vec<String> {
        // each publishing that had to be tried again counts as a state, of which only the last are kept; and a line of
        // the log may be lost
        let gone = self
            .files
            .difference(&other.files)
            .filter(|file| !file.contains("/by-hash/") && !file.starts_with("logs/"))
            .map(|file| format!("gone: {file}"));
        let left = other.files.difference(&self.files).map(|file| format!("left: {file}"));
        gone.chain(left).collect()
    }
}

/// All files below a directory.
pub fn files_below(directory: &Path) -> TestResult<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files_below(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// What became of a command that met a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    /// It did not: threads take turns.
    Nothing,
    /// It did what it should all the same.
    Success,
    /// It failed, and nothing had changed.
    Refused,
    /// It failed after the change was made.
    Late,
}

/// One command, the archive before it and after it, and a copy to start from again.
pub struct Trial {
    name: &'static str,
    env: TestEnv,
    codenames: &'static [&'static str],
    args: Vec<String>,
    before: (Seen, Vec<String>),
    after: (Seen, Vec<String>),
    settled: Settled,
    fresh: PathBuf,
}

impl Trial {
    pub fn is_for_reprepro() -> bool {
        Tool::under_test().is_reprepro
    }

    /// Runs the command undisturbed and gives its steps too.
    fn prepare(
        name: &'static str,
        env: TestEnv,
        codenames: &'static [&'static str],
        args: Vec<String>,
    ) -> TestResult<(Self, Vec<Step>)> {
        let state = || Ok::<_, Box<dyn std::error::Error>>((seen(&env, codenames)?, lists(&env, codenames)));
        let before = state()?;
        let fresh = env.root().join("fresh");
        copy_tree(&env.base(), &fresh)?;
        let steps = steps_of(&env, &args)?;
        let after = state()?;
        assert_eq!(temporary(&env)?, Vec::<PathBuf>::new(), "{name}, undisturbed");
        let settled = Settled::of(&env)?;
        let trial = Self {
            name,
            env,
            codenames,
            args,
            before,
            after,
            settled,
            fresh,
        };
        Ok((trial, steps))
    }

    /// Lets one step fail. Then the next command is `check` or at once the same.
    fn fail_at(&self, failure: Failure, with_check: bool) -> TestResult<Met> {
        let env = &self.env;
        copy_tree(&self.fresh, &env.base())?;
        let log = env.root().join("injected");
        let (trace, inject) = (format!("trace={}", failure.step.call), failure.inject());
        let log_name = log.to_string_lossy();
        let options = ["--seccomp-bpf", "-y", "-o", &log_name, "-e", &trace, "-e", &inject];
        let output = env.finish(&mut limited(&traced(env, &options, &self.args)));
        let log = std::fs::read_to_string(&log)?;
        let context = format!("{}, {failure:?}: {output}", self.name);
        if output.text().contains("error while loading shared libraries") {
            return Ok(Met::Nothing);
        }
        let was_met = log.contains("(INJECTED)");
        let met = self.judge(&output, was_met, &context)?;
        // if it was the message that could not be written, there is none
        if output.status != 0 && !log.contains("write(2<") {
            self.assert_explained(failure.reason(), &self.places_in_log(&log), &output, &context);
        }
        self.heal(met, with_check, &context)?;
        Ok(met)
    }

    /// Leaves the file system so much room, in pages and files, and then more.
    fn fail_in(&self, disk: &Disk, room: Room, with_check: bool) -> TestResult<Met> {
        let env = &self.env;
        disk.enlarge()?;
        copy_tree(&self.fresh, &env.base())?;
        disk.leave(room)?;
        let output = env.finish(&mut limited(&env.command(&self.args)));
        let context = format!("{}, {room:?}: {output}", self.name);
        let met = self.judge(&output, output.status != 0, &context)?;
        if output.status != 0 {
            let places = ["$BASE".to_owned()];
            self.assert_explained("No space left on device", &places, &output, &context);
        }
        disk.enlarge()?;
        self.heal(met, with_check, &context)?;
        Ok(met)
    }

    /// The command came to its end, and did what it claims, all of it or nothing.
    fn judge(&self, output: &Output, was_met: bool, context: &str) -> TestResult<Met> {
        let Self { env, before, after, .. } = self;
        assert_ne!(output.status, -9, "it hung: {context}");
        assert!(!(129..160).contains(&output.status), "a signal: {context}");
        assert!(!output.text().contains("panicked"), "{context}");
        if !was_met {
            assert_eq!(output.status, 0, "nothing failed: {context}");
        }
        for (codename, files) in published(env, self.codenames)? {
            let states = [&before.0, &after.0];
            let one_of_two = states.iter().any(|state| state.published.get(codename) == Some(&files));
            assert!(
                one_of_two,
                "`{codename}` is neither the old nor the new: {files:#?} {context}"
            );
        }
        let listed = lists(env, self.codenames);
        assert!(
            listed == before.1 || listed == after.1,
            "half of the command happened: {listed:#?} {context}"
        );
        if output.status == 0 {
            assert_eq!(listed, after.1, "claimed, but not done: {context}");
            let shown = published(env, self.codenames)?;
            assert_eq!(shown, after.0.published, "claimed, but not published: {context}");
            return Ok(if was_met { Met::Success } else { Met::Nothing });
        }
        let has_changed = before.1 != after.1 && listed == after.1;
        Ok(if has_changed { Met::Late } else { Met::Refused })
    }

    /// One error, that names the file or the directory where it happened, and says what the system said.
    fn assert_explained(&self, reason: &str, places: &[String], output: &Output, context: &str) {
        let said = &output.stderr;
        assert_eq!(said.matches("Error: ").count(), 1, "not one error: {context}");
        assert!(said.contains(reason), "no reason: {context}");
        let is_named = places.iter().any(|place| said.contains(place.as_str()));
        assert!(is_named || said.contains("stdout"), "not named: {places:?} {context}");
    }

    /// The files that calls were for which failed.
    fn places_in_log(&self, log: &str) -> Vec<String> {
        let lines: Vec<&str> = log.lines().collect();
        let injected = lines.iter().enumerate().filter(|(_, line)| line.contains("(INJECTED)"));
        let places = injected.flat_map(|(at, line)| {
            // what another thread interrupted stands in two lines
            let thread = line.split(' ').next().unwrap_or_default();
            let mut begun = lines.get(..at).unwrap_or_default().iter().rev();
            let begun = begun.find(|begun| line.contains("resumed>") && begun.starts_with(thread));
            [
                self.places_in(line),
                begun.map_or(Vec::new(), |line| self.places_in(line)),
            ]
            .concat()
        });
        places.collect()
    }

    /// The file that a system call was for, and the directories that it is in, as the program shows them.
    fn places_in(&self, line: &str) -> Vec<String> {
        let base = self.env.base().to_string_lossy().into_owned();
        let mut places = Vec::new();
        for part in line.split(['"', '<', '>']) {
            let Some(below) = part.strip_prefix(&base) else {
                if part.starts_with('/') {
                    places.push(part.to_owned());
                }
                continue;
            };
            let mut path = below;
            let is_unnamed = below.contains("/.");
            while path.matches('/').count() >= 2 || !path.is_empty() && (path == below || is_unnamed) {
                places.push(format!("$BASE{path}"));
                path = path.rsplit_once('/').map_or("", |(above, _)| above);
            }
        }
        places
    }

    /// The next command completes or drops what was begun; then the same command again has its effect, and in the end
    /// the archive is what it is without a failure, down to its last file.
    fn heal(&self, met: Met, with_check: bool, context: &str) -> TestResult {
        let Self { env, before, after, .. } = self;
        let nothing = Vec::<PathBuf>::new();
        let mut is_done = false;
        if with_check {
            let checked = env.run(["check"]);
            assert_eq!(checked.status, 0, "check: {checked}, after {context}");
            let left = temporary_without_downloads(env)?;
            assert_eq!(left, nothing, "left after check, after {context}");
            let healed = seen(env, self.codenames)?;
            is_done = met != Met::Refused || healed == after.0;
            let wanted = if is_done { after } else { before };
            assert_eq!(&healed, &wanted.0, "after check, after {context}");
        }
        if !is_done {
            let again = env.run(&self.args);
            assert_eq!(again.status, 0, "the same command again: {again}, after {context}");
            assert_eq!(temporary(env)?, nothing, "left after it ran again, after {context}");
        }
        assert_eq!(
            &seen(env, self.codenames)?,
            &after.0,
            "then the same command again, after {context}"
        );
        let differences = self.settled.differences(&Settled::of(env)?);
        assert!(differences.is_empty(), "in the end: {differences:#?}, after {context}");
        Ok(())
    }
}

fn lists(env: &TestEnv, codenames: &[&str]) -> Vec<String> {
    codenames.iter().map(|codename| env.list(codename)).collect()
}

/// A command that is killed if it takes too long.
fn limited(command: &Command) -> Command {
    let mut limited = Command::new("timeout");
    limited
        .args(["-s", "KILL", PATIENCE_SECONDS])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null());
    if let Some(directory) = command.get_current_dir() {
        limited.current_dir(directory);
    }
    limited
}

/// Whether all failures are to be tried.
pub fn tries_all() -> bool {
    std::env::var("APTREPO_TEST_STEPS").is_ok_and(|word| word == "all")
}

/// Lets the command fail at its steps: at every one, in every way, if that is asked for.
pub fn fail_at_steps(
    name: &'static str,
    env: fn() -> TestResult<TestEnv>,
    codenames: &'static [&'static str],
    args: impl Fn(&TestEnv) -> TestResult<Vec<String>>,
) -> TestResult {
    if Trial::is_for_reprepro() || !can_inject()? || !have_tools(&["timeout"]) {
        return Ok(());
    }
    let env = env()?;
    let args = args(&env)?;
    let (trial, steps) = Trial::prepare(name, env, codenames, args)?;
    let mut failures: Vec<Failure> = steps.iter().flat_map(|step| Failure::of(*step)).collect();
    // the threads that fetch wake each other by writes, and would no more
    failures.retain(|failure| !(name == "update" && failure.stays && failure.step.call == "write"));
    let what = format!("{name}: {} steps", steps.len());
    try_each(&what, &failures, |failure, with_check| {
        trial.fail_at(*failure, with_check)
    })
}

/// Lets the command run in a file system that has ever more room, until it is enough.
pub fn fail_for_room(
    name: &'static str,
    env: fn() -> TestResult<TestEnv>,
    codenames: &'static [&'static str],
    args: impl Fn(&TestEnv) -> TestResult<Vec<String>>,
) -> TestResult {
    if Trial::is_for_reprepro() || !can_inject()? || !have_tools(&["timeout"]) {
        return Ok(());
    }
    let env = env()?;
    let Some(disk) = Disk::under(&env)? else {
        return Ok(());
    };
    let args = args(&env)?;
    let empty = disk.used()?;
    let (trial, _) = Trial::prepare(name, env, codenames, args)?;
    // dropped first
    let disk = disk;
    let full = disk.used()?;
    // while it runs it needs more than what stays
    let pages = full.pages.saturating_sub(empty.pages) + 120;
    let files = full.files.saturating_sub(empty.files) + 60;
    let rooms = (0..pages).map(Room::Pages).chain((0..files).map(Room::Files));
    let rooms: Vec<Room> = rooms.collect();
    try_each(&format!("{name}, in little room"), &rooms, |room, with_check| {
        trial.fail_in(&disk, *room, with_check)
    })
}

/// Tries some or all of the failures.
fn try_each<F: std::fmt::Debug>(
    what: &str,
    failures: &[F],
    try_one: impl Fn(&F, bool) -> TestResult<Met>,
) -> TestResult {
    // a stride that shares no factor with the kinds of failures meets all of them
    let stride = if tries_all() { 1 } else { (failures.len() / TRIED) | 1 };
    let (mut met, mut wrong) = (Vec::new(), Vec::new());
    for (at, failure) in failures.iter().step_by(stride).enumerate() {
        let tried = AssertUnwindSafe(|| try_one(failure, at % 2 == 0));
        match std::panic::catch_unwind(tried) {
            Ok(Ok(one)) => met.push(one),
            Ok(Err(error)) => wrong.push(format!("{failure:?}: {error}")),
            Err(_) => wrong.push(format!("{failure:?}, see above")),
        }
    }
    let count = |kind: Met| met.iter().filter(|one| **one == kind).count();
    println!(
        "{what}, {} of {} failures tried: {} commands refused with nothing changed, {} failed after the change, {} \
         succeeded all the same, {} were not met; {} healed",
        met.len() + wrong.len(),
        failures.len(),
        count(Met::Refused),
        count(Met::Late),
        count(Met::Success),
        count(Met::Nothing),
        met.len(),
    );
    assert!(wrong.is_empty(), "{what}: {} went wrong: {wrong:#?}", wrong.len());
    assert!(
        count(Met::Refused) + count(Met::Late) > met.len() / 8,
        "{what}: too few failures"
    );
    Ok(())
}
