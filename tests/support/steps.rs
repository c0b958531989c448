//! The steps of a command, as strace sees them: system calls by which it changes what is on disk, or tells that it has.
//! At each of them the program can be killed, or told that the call has failed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use super::{TestEnv, TestResult, have_tools, skip};

/// The system calls that are steps.
pub const CALLS: [&str; 26] = [
    "openat",
    "creat",
    "write",
    "pwrite64",
    "writev",
    "copy_file_range",
    "fallocate",
    "ftruncate",
    "fsync",
    "fdatasync",
    "syncfs",
    "sync_file_range",
    "rename",
    "renameat",
    "renameat2",
    "linkat",
    "link",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "symlink",
    "symlinkat",
    "utimensat",
    "fchmod",
];

/// A step of a command: the Nth call of one kind in one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    pub call: &'static str,
    pub number: usize,
}

/// The steps of one undisturbed run, as strace counts them: for each thread and each call apart. Opening a file to read
/// it is none, nor is what fails by itself, such as making a directory that is there, nor a write to no file.
pub fn steps(trace: &str) -> Vec<Step> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let (mut found, mut barred) = (BTreeSet::new(), BTreeSet::new());
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
        let step = Step { call, number: *count };
        // how threads wake each other has nothing to do with a disk
        if arguments.contains("<anon_inode:") || arguments.contains("<socket:") {
            barred.insert(step);
        }
        let reads_only = call == "openat"
            && !["O_CREAT", "O_TRUNC", "O_WRONLY"]
                .iter()
                .any(|flag| arguments.contains(flag));
        if !reads_only && !arguments.contains(" = -1 E") {
            found.insert(step);
        }
    }
    found.difference(&barred).copied().collect()
}

/// The program under strace with these options of strace.
pub fn traced(env: &TestEnv, options: &[&str], args: &[String]) -> Command {
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

/// Runs a command undisturbed, and gives its steps.
pub fn steps_of(env: &TestEnv, args: &[String]) -> TestResult<Vec<Step>> {
    let trace = env.root().join("trace");
    let calls = format!("trace={}", CALLS.join(","));
    let log = trace.to_string_lossy().into_owned();
    let _ = env
        .finish(&mut traced(env, &["-y", "-o", &log, "-e", &calls], args))
        .ok();
    Ok(steps(&std::fs::read_to_string(&trace)?))
}

/// Whether strace can disturb a process at a system call here.
pub fn can_inject() -> TestResult<bool> {
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

/// Makes one directory a copy of another. It may be the top of a file system.
pub fn copy_tree(from: &Path, to: &Path) -> TestResult {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(to)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir_all(path)?;
        } else {
            std::fs::remove_file(path)?;
        }
    }
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status()?;
    assert!(status.success(), "cp: {status}");
    Ok(())
}

/// The words of a command.
pub fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}
