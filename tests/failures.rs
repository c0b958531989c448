//! What the disk can do to the program: a system call that fails once or from then on, a file that cannot be read, a
//! file system that is read-only or full, a database that was copied while it was written. No command may hang, panic,
//! claim what it has not done or publish a half; the next one goes on, and nothing stays behind.
//!
//! A plain run tries some of the steps of each command. `APTREPO_TEST_STEPS=all` tries every one; what it counts is in
//! docs/faults.md.
#![expect(
    clippy::disallowed_methods,
    reason = "test fixtures need no atomic writes, and the environment says how much is tried"
)]
#![expect(clippy::print_stdout, reason = "the number of failures tried is worth knowing")]

#[path = "failures/backup.rs"]
mod backup;
#[path = "failures/direct.rs"]
mod direct;
#[path = "failures/disk.rs"]
mod disk;
#[path = "failures/full.rs"]
mod full;
#[path = "failures/reading.rs"]
mod reading;
#[path = "failures/trial.rs"]
mod trial;

mod support;

use std::path::PathBuf;

use support::seen::{CODENAMES, fresh, full_of_garbage, mirrored, prepared, upload};
use support::steps::words;
use support::{Deb, TestResult};
use trial::{Trial, fail_at_steps, fail_for_room};

fn text(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}

#[test]
fn an_include_fails_as_a_whole() -> TestResult {
    fail_at_steps("include", prepared, &CODENAMES, |env| {
        Ok(words(&["include", "staging", &text(upload(env, "2-1")?)]))
    })
}

#[test]
fn the_first_command_of_an_archive_fails_as_a_whole() -> TestResult {
    fail_at_steps("includedeb, the first", fresh, &CODENAMES, |env| {
        let deb = Deb::new("hello", "1").build(&env.incoming())?;
        Ok(words(&["includedeb", "staging", &text(deb)]))
    })
}

#[test]
fn a_promotion_fails_as_a_whole() -> TestResult {
    fail_at_steps("copysrc", prepared, &CODENAMES, |_| {
        Ok(words(&["copysrc", "prod", "staging", "hello"]))
    })
}

#[test]
fn a_removal_fails_as_a_whole() -> TestResult {
    fail_at_steps("removesrc", prepared, &CODENAMES, |_| {
        Ok(words(&["removesrc", "staging", "hello"]))
    })
}

#[test]
fn an_export_fails_as_a_whole() -> TestResult {
    fail_at_steps("export", prepared, &CODENAMES, |_| Ok(words(&["export"])))
}

#[test]
fn a_collection_of_garbage_fails_as_a_whole() -> TestResult {
    fail_at_steps("garbage collection", full_of_garbage, &CODENAMES, |_| {
        Ok(words(&["deleteunreferenced"]))
    })
}

#[test]
fn an_update_fails_as_a_whole() -> TestResult {
    if Trial::is_for_reprepro() {
        return Ok(());
    }
    fail_at_steps("update", mirrored, &["mirror"], |_| Ok(words(&["update"])))
}

#[test]
fn an_include_in_little_room_fails_as_a_whole() -> TestResult {
    fail_for_room("include", prepared, &CODENAMES, |env| {
        Ok(words(&["include", "staging", &text(upload(env, "2-1")?)]))
    })
}

#[test]
fn a_removal_in_little_room_fails_as_a_whole() -> TestResult {
    fail_for_room("removesrc", prepared, &CODENAMES, |_| {
        Ok(words(&["removesrc", "staging", "hello"]))
    })
}
