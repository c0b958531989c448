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

use support::seen::{CODENAMES, fresh, prepared, upload};
use support::steps::words;
use support::upstream::Upstream;
use support::{Deb, TestEnv, TestResult};
use trial::{Settled, Trial, fail_at_steps, fail_for_room};

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

/// Pool files that nothing refers to, objects, file lists: all is old, and due.
fn full_of_garbage() -> TestResult<TestEnv> {
    let env = prepared()?;
    let upload = text(upload(&env, "1-3")?);
    let keep = "--keepunreferencedfiles";
    let _ = env.run([keep, "include", "staging", &upload]).ok();
    let _ = env.run([keep, "removesrc", "prod", "hello"]).ok();
    Settled::make_old(&env)?;
    Ok(env)
}

#[test]
fn a_collection_of_garbage_fails_as_a_whole() -> TestResult {
    fail_at_steps("garbage collection", full_of_garbage, &CODENAMES, |_| {
        Ok(words(&["deleteunreferenced"]))
    })
}

/// An upstream of some packages, and a distribution that has those of the night before.
fn mirrored() -> TestResult<TestEnv> {
    let conf = "Codename: mirror\nArchitectures: amd64 i386\nComponents: main\nSignWith: yes\nUpdate: - up\n\
                Contents: .gz\n";
    let mut env = TestEnv::in_memory(support::Tool::under_test(), conf)?;
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
