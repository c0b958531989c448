//! What the archive withstands: files that were lost or torn, things in the wrong place, and failures after the commit.
#![expect(clippy::disallowed_methods, reason = "test fixtures need no atomic writes")]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Deb, Source, TestEnv, TestResult};

const HELLO: &str = "pool/main/h/hello/hello_1_amd64.deb";

fn includedeb(env: &TestEnv, deb: &Path) -> support::Output {
    env.run(["includedeb".as_ref(), "local".as_ref(), deb.as_os_str()])
}

fn hidden_below(directory: &Path) -> TestResult<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            found.push(path.clone());
        }
        if path.is_dir() {
            found.extend(hidden_below(&path)?);
        }
    }
    Ok(found)
}

#[test]
fn a_lost_or_torn_pool_file_comes_back_with_the_same_package() -> TestResult {
    let env = TestEnv::new()?;
    let deb = Deb::new("hello", "1").build(&env.incoming())?;
    let _ = includedeb(&env, &deb).ok();
    let place = env.outdir().join(HELLO);
    let whole = fs::read(&place)?;
    fs::remove_file(&place)?;
    let _ = includedeb(&env, &deb).ok();
    assert_eq!(fs::read(&place)?, whole);
    fs::write(&place, b"torn")?;
    let _ = includedeb(&env, &deb).ok();
    assert_eq!(fs::read(&place)?, whole);
    let _ = env.run(["check"]).ok();
    Ok(())
}

#[test]
fn a_source_is_not_taken_if_the_part_that_nobody_brought_is_lost_or_torn() -> TestResult {
    let env = TestEnv::new()?;
    let includedsc = |version: &str| -> TestResult<support::Output> {
        let dsc = Source::new("hello", version).build(&env.incoming())?;
        if version != "1.0-1" {
            let parts = fs::read_dir(env.incoming())?.filter_map(Result::ok);
            let orig = parts.map(|part| part.path()).find(|path| is_orig(path));
            fs::remove_file(orig.ok_or("no upstream tarball was built")?)?;
        }
        Ok(env.run(["includedsc".as_ref(), "local".as_ref(), dsc.as_os_str()]))
    };
    let _ = includedsc("1.0-1")?.ok();
    let pool = env.pool()?;
    let orig = pool.iter().find(|path| is_orig(Path::new(path)));
    let orig = env.outdir().join(orig.ok_or("no upstream tarball came into the pool")?);
    let _ = includedsc("1.0-2")?.ok();
    let whole = fs::read(&orig)?;
    fs::write(&orig, b"torn")?;
    let _ = includedsc("1.0-3")?.refused();
    fs::remove_file(&orig)?;
    let refused = includedsc("1.0-3")?.refused();
    assert!(refused.stderr.contains("is missing"), "{refused}");
    fs::write(&orig, whole)?;
    let _ = includedsc("1.0-3")?.ok();
    Ok(())
}

fn is_orig(path: &Path) -> bool {
    path.to_string_lossy().contains(".orig.")
}

#[test]
fn the_pool_may_be_another_file_system() -> TestResult {
    let env = TestEnv::new()?;
    let elsewhere = tempfile::Builder::new().prefix("ar").tempdir_in("/dev/shm")?;
    fs::create_dir_all(env.outdir())?;
    if fs::metadata(elsewhere.path())?.dev() == fs::metadata(env.outdir())?.dev() {
        support::skip("there is one file system only");
        return Ok(());
    }
    std::os::unix::fs::symlink(elsewhere.path(), env.outdir().join("pool"))?;
    let _ = includedeb(&env, &Deb::new("hello", "1").build(&env.incoming())?).ok();
    let _ = env.run(["check"]).ok();
    assert_eq!(env.pool()?, [HELLO]);
    assert!(hidden_below(&env.outdir())?.is_empty());
    Ok(())
}

#[test]
fn nobody_else_can_look_at_files_that_are_coming_in() -> TestResult {
    let env = TestEnv::with_lines(&["Log: log", " look"])?;
    let script = "#!/bin/sh\nstat -c %a \"$REPREPRO_OUT_DIR/pool/.spool\" > \"$REPREPRO_BASE_DIR/mode\"\n";
    env.script("look", script)?;
    let _ = includedeb(&env, &Deb::new("hello", "1").build(&env.incoming())?).ok();
    assert_eq!(fs::read_to_string(env.base().join("mode"))?, "700\n");
    assert!(hidden_below(&env.outdir())?.is_empty());
    Ok(())
}

#[test]
fn a_pipe_in_the_pool_does_not_hold_a_command_up() -> TestResult {
    let env = TestEnv::new()?;
    let place = env.outdir().join(HELLO);
    fs::create_dir_all(place.parent().ok_or("a file has a directory")?)?;
    assert!(Command::new("mkfifo").arg(&place).status()?.success());
    let refused = includedeb(&env, &Deb::new("hello", "1").build(&env.incoming())?).refused();
    assert!(refused.stderr.contains("not a regular file"), "{refused}");
    Ok(())
}

#[test]
fn a_package_with_control_characters_is_refused() -> TestResult {
    let env = TestEnv::new()?;
    let deb = Deb::new("hello", "1").field("X-Odd", "a\u{1b}[2Jb");
    let refused = includedeb(&env, &deb.build(&env.incoming())?).refused();
    assert!(refused.stderr.contains("control character 0x1b"), "{refused}");
    assert_eq!(env.list("local"), "");
    Ok(())
}

#[test]
fn a_change_is_published_and_logged_though_what_follows_the_commit_fails() -> TestResult {
    let env = TestEnv::with_lines(&["Log: log"])?;
    let deb = Deb::new("hello", "1").build(&env.incoming())?;
    let _ = env.run(["export"]).ok();
    // the copy of the heads is due after so much of the journal, and cannot be written
    fs::create_dir_all(env.base().join("db/heads/in-the-way"))?;
    let long = env
        .incoming()
        .join("./".repeat(1900))
        .join(deb.file_name().ok_or("a file has a name")?);
    let mut args = vec!["includedeb".into(), "local".into()];
    args.extend(std::iter::repeat_n(long.into_os_string(), 80));
    let failed = env.run(args).refused();
    assert!(failed.stderr.contains("is committed"), "{failed}");
    assert_eq!(env.list("local"), "local|main|amd64: hello 1\n");
    let index = fs::read_to_string(env.outdir().join("dists/local/main/binary-amd64/Packages"))?;
    assert!(index.contains("Package: hello\n"), "{index}");
    let log = fs::read_to_string(env.base().join("logs/log"))?;
    assert!(log.contains(" add local deb main amd64 hello 1\n"), "{log}");
    env.assert_verified("local")
}
