//! Files that are there and cannot be read: a disk that is failing.

use std::path::Path;

use crate::support::seen::{CODENAMES, prepared, seen, upload};
use crate::support::steps::{can_inject, traced, words};
use crate::support::{Output, TestEnv, TestResult};
use crate::{text, trial};

/// Runs a command that cannot read one file, and tells whether it tried.
fn without(env: &TestEnv, path: &Path, args: &[&str]) -> TestResult<(Output, bool)> {
    let log = env.root().join("unreadable");
    let (path, log_name) = (path.to_string_lossy(), log.to_string_lossy());
    let reading = "read,pread64,readv,preadv,copy_file_range,sendfile";
    let (trace, inject) = (format!("trace={reading}"), format!("inject={reading}:error=EIO"));
    let options = ["-o", &log_name, "-P", &path, "-e", &trace, "-e", &inject];
    let output = env.finish(&mut traced(env, &options, &words(args)));
    let tried = std::fs::read_to_string(&log)?.contains("(INJECTED)");
    Ok((output, tried))
}

fn is_told(output: &Output, path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    output.stderr.contains(&name) && output.stderr.contains("Input/output error")
}

#[test]
fn an_upload_that_cannot_be_read_is_refused() -> TestResult {
    if trial::Trial::is_for_reprepro() || !can_inject()? {
        return Ok(());
    }
    let env = prepared()?;
    let changes = upload(&env, "2-1")?;
    let before = seen(&env, &CODENAMES)?;
    let list = env.list("staging");
    let mut count = 0;
    for entry in std::fs::read_dir(env.incoming())? {
        let path = entry?.path();
        if !path.to_string_lossy().contains("2-1") {
            continue;
        }
        let (told, tried) = without(&env, &path, &["include", "staging", &text(changes.clone())])?;
        assert!(tried, "{} is not read", path.display());
        let told = told.refused();
        assert_eq!(told.stderr.matches("Error: ").count(), 1, "{told}");
        assert!(is_told(&told, &path), "{}: {told}", path.display());
        assert_eq!(env.list("staging"), list, "{}", path.display());
        assert_eq!(seen(&env, &CODENAMES)?, before, "{}", path.display());
        count += 1;
    }
    assert!(count >= 5, "an upload of {count} files");
    let _ = env.run(["include", "staging", &text(changes)]).ok();
    assert_eq!(env.run(["check"]).ok().stderr, "");
    Ok(())
}

#[test]
fn checkpool_names_each_file_that_cannot_be_read() -> TestResult {
    if trial::Trial::is_for_reprepro() || !can_inject()? {
        return Ok(());
    }
    let env = prepared()?;
    for name in env.pool()? {
        let path = env.outdir().join(name);
        let (told, tried) = without(&env, &path, &["checkpool"])?;
        let told = told.refused();
        assert!(tried && is_told(&told, &path), "{}: {told}", path.display());
    }
    let _ = env.run(["checkpool"]).ok();
    Ok(())
}

/// One file that cannot be read must not hold up all others: Contents come without its paths, and that is told.
#[test]
fn contents_are_published_without_what_cannot_be_read() -> TestResult {
    if trial::Trial::is_for_reprepro() || !can_inject()? {
        return Ok(());
    }
    let env = prepared()?;
    let before = seen(&env, &CODENAMES)?;
    let path = env.outdir().join("pool/main/h/hello/hello_1-2_amd64.deb");
    let forget = || {
        std::fs::remove_dir_all(env.base().join("db/filelists"))?;
        std::fs::remove_file(env.base().join("db/published/staging"))
    };
    forget()?;
    let (told, tried) = without(&env, &path, &["export", "staging"])?;
    let told = told.ok();
    assert!(tried && is_told(&told, &path), "{told}");
    env.assert_verified("staging")?;
    let index = |seen: &crate::support::seen::Seen, name: &str| {
        let files = seen.published.get("staging");
        files.and_then(|files| files.get(name).cloned()).unwrap_or_default()
    };
    let without = seen(&env, &CODENAMES)?;
    for name in ["main/binary-amd64/Packages", "main/source/Sources"] {
        assert_eq!(index(&without, name), index(&before, name));
    }
    let contents = index(&without, "main/Contents-amd64");
    assert!(
        !contents.contains("usr/bin/hello") && contents.contains("hello-doc"),
        "{contents}"
    );
    forget()?;
    let _ = env.run(["export", "staging"]).ok();
    assert_eq!(seen(&env, &CODENAMES)?, before);
    Ok(())
}
