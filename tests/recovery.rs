//! What clients see when something went wrong before: a kill between two steps, a damaged record, a lost file, a clock
//! that was put back, changes that were published late. No index may ever name a pool file that was removed.
#![expect(
    clippy::disallowed_methods,
    reason = "test fixtures need no atomic writes, and the clock is one of ours"
)]

mod support;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use aptrepo::conf::ExportMode;
use aptrepo::model::PackageType;
use aptrepo::ops::{Archive, export, include};
use support::clock::{CLOCK, at};
use support::env::one_distribution;
use support::{Deb, Output, TestEnv, TestResult, Tool};

const DAY: i64 = 86_400;

fn ours() -> bool {
    !Tool::under_test().is_reprepro
}

fn includedeb(env: &TestEnv, options: &[&str], codename: &str, deb: &Deb) -> TestResult<Output> {
    let deb = deb.build(&env.incoming())?;
    let deb = deb.to_string_lossy();
    Ok(env.run([options, &["includedeb", codename, &deb]].concat()))
}

fn packages(env: &TestEnv) -> TestResult<String> {
    let path = env.outdir().join("dists/local/main/binary-amd64/Packages");
    Ok(std::fs::read_to_string(path)?)
}

fn published_record(env: &TestEnv) -> PathBuf {
    env.base().join("db/published/local")
}

/// A kill between the swap of dists and the record, simulated by the record of before, and then the change undone: the
/// heads are again those of the record, and what is live is not.
#[test]
fn a_state_that_was_swapped_in_and_undone_does_not_stay_live() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::new()?;
    let _ = includedeb(&env, &[], "local", &Deb::new("a", "1"))?.ok();
    let record = std::fs::read(published_record(&env))?;
    let _ = includedeb(&env, &[], "local", &Deb::new("m", "1"))?.ok();
    std::fs::write(published_record(&env), record)?;
    let _ = env.run(["removesrc", "local", "m"]).ok();
    env.assert_verified("local")?;
    assert!(!packages(&env)?.contains("Package: m\n"));
    assert_eq!(env.pool()?, ["pool/main/a/a/a_1_amd64.deb"]);
    // what somebody deleted comes back with the next command too
    std::fs::remove_file(env.outdir().join("dists/local/Release"))?;
    let _ = env.run(["check"]).ok();
    env.assert_verified("local")?;
    let before = env.tree()?;
    let _ = env.run(["check"]).ok();
    before.assert_unchanged(&env.tree()?);
    Ok(())
}

#[test]
fn no_file_goes_that_what_is_published_still_names() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::new()?;
    let _ = includedeb(&env, &[], "local", &Deb::new("a", "1"))?.ok();
    let _ = includedeb(&env, &["--export=never"], "local", &Deb::new("a", "2"))?.ok();
    env.assert_verified("local")?;
    let _ = env.run(["createsymlinks"]).ok();
    env.assert_verified("local")?;
    let told = env.run(["--export=never", "deleteunreferenced"]).ok();
    assert!(told.stderr.contains("nothing is deleted"), "{told}");
    env.assert_verified("local")?;
    let _ = env.run(["check"]).ok();
    env.assert_verified("local")?;
    assert_eq!(env.pool()?, ["pool/main/a/a/a_2_amd64.deb"], "gone with what named it");
    Ok(())
}

#[test]
fn a_damaged_record_costs_a_warning_and_is_made_anew() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let conf = one_distribution(&[]) + "\nCodename: other\nArchitectures: amd64\nComponents: main\n";
    let env = TestEnv::with(Tool::under_test(), &conf)?;
    let _ = includedeb(&env, &[], "local", &Deb::new("a", "1"))?.ok();
    std::fs::write(published_record(&env), "not what was written")?;
    std::fs::write(env.base().join("db/collected"), "0\n")?;
    let told = includedeb(&env, &[], "other", &Deb::new("b", "1"))?.ok();
    assert!(told.stderr.contains("of `local` is damaged"), "{told}");
    env.assert_verified("other")?;
    env.assert_verified("local")?;
    let told = env.run(["check"]).ok();
    assert_eq!(told.stderr, "");
    Ok(())
}

#[test]
fn a_pool_file_that_cannot_be_removed_holds_up_nothing() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::new()?;
    for name in ["a", "b"] {
        let _ = includedeb(&env, &[], "local", &Deb::new(name, "1"))?.ok();
    }
    let stuck = env.outdir().join("pool/main/a/a/a_1_amd64.deb");
    std::fs::remove_file(&stuck)?;
    std::fs::create_dir_all(stuck.join("in the way"))?;
    let told = env.run(["remove", "local", "a", "b"]).ok();
    assert!(told.stderr.contains("a_1_amd64.deb"), "{told}");
    assert!(!env.outdir().join("pool/main/b").exists());
    assert_eq!(
        env.run(["dumpunreferenced"]).ok().stdout,
        "pool/main/a/a/a_1_amd64.deb\n"
    );
    let _ = includedeb(&env, &[], "local", &Deb::new("c", "1"))?.ok();
    env.assert_verified("local")?;
    let told = env.run(["deleteunreferenced"]).refused();
    assert!(told.stderr.contains("a_1_amd64.deb"), "{told}");
    std::fs::remove_dir_all(&stuck)?;
    let _ = env.run(["deleteunreferenced"]).ok();
    assert_eq!(env.run(["dumpunreferenced"]).ok().stdout, "");
    Ok(())
}

#[test]
fn contents_are_published_without_what_is_lost() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::with_lines(&["Contents: ."])?;
    for name in ["gone", "torn", "well"] {
        let _ = includedeb(&env, &[], "local", &Deb::new(name, "1"))?.ok();
    }
    let pool = env.outdir().join("pool/main");
    std::fs::remove_file(pool.join("g/gone/gone_1_amd64.deb"))?;
    let other = Deb::new("torn", "1").file("usr/bin/evil", b"").bytes()?;
    std::fs::write(pool.join("t/torn/torn_1_amd64.deb"), other)?;
    std::fs::remove_dir_all(env.base().join("db/filelists"))?;
    std::fs::remove_file(published_record(&env))?;
    let told = includedeb(&env, &[], "local", &Deb::new("new", "1"))?.ok();
    for name in ["gone_1_amd64.deb", "torn_1_amd64.deb"] {
        assert!(told.stderr.contains(name), "{told}");
    }
    let contents = std::fs::read_to_string(env.outdir().join("dists/local/main/Contents-amd64"))?;
    let paths: Vec<_> = contents
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(paths, ["usr/share/doc/new/readme", "usr/share/doc/well/readme"]);
    Ok(())
}

fn include_at(archive: &Archive<'_>, incoming: &Path, deb: &Deb) -> TestResult {
    include::include_binaries(archive, "local", &[deb.build(incoming)?], PackageType::Deb)?;
    Ok(())
}

fn today() -> TestResult<i64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().try_into()?)
}

#[test]
fn the_grace_time_counts_from_the_publication() -> TestResult {
    let env = TestEnv::new()?;
    let (start, incoming) = (today()?, env.incoming());
    let [old, new] = [1, 2].map(|version| format!("pool/main/a/a/a_{version}_amd64.deb"));
    include_at(&at(&env, start, None)?, &incoming, &Deb::new("a", "1"))?;
    let later = |days: i64| start + days * DAY;
    include_at(
        &at(&env, later(1), Some(ExportMode::Never))?,
        &incoming,
        &Deb::new("a", "2"),
    )?;
    export::export(&at(&env, later(5), None)?, &[])?;
    assert!(packages(&env)?.contains("a_2_amd64.deb"));
    assert_eq!(env.pool()?, [old.clone(), new.clone()], "clients saw it a moment ago");
    export::export(&at(&env, later(7), None)?, &[])?;
    assert_eq!(env.pool()?, [old, new.clone()]);
    export::export(&at(&env, later(8), None)?, &[])?;
    assert_eq!(env.pool()?, [new], "three days after it was last named");
    Ok(())
}

#[test]
fn a_busy_archive_removes_files_in_time() -> TestResult {
    let env = TestEnv::new()?;
    let (start, incoming) = (today()?, env.incoming());
    for day in 0..5 {
        let deb = Deb::new("a", &(day + 1).to_string());
        include_at(&at(&env, start + day * DAY, None)?, &incoming, &deb)?;
    }
    let kept = [2, 3, 4, 5].map(|version| format!("pool/main/a/a/a_{version}_amd64.deb"));
    assert_eq!(env.pool()?, kept);
    Ok(())
}

fn date(env: &TestEnv) -> TestResult<String> {
    let release = std::fs::read_to_string(env.outdir().join("dists/local/Release"))?;
    let date = release.lines().find_map(|line| line.strip_prefix("Date: "));
    Ok(date.unwrap_or_default().to_owned())
}

#[test]
fn a_command_that_waited_is_as_old_as_its_turn() -> TestResult {
    let env = TestEnv::new()?;
    let archive = at(&env, 1_795_442_300, None)?;
    // another command held the lock meanwhile
    CLOCK.set(1_795_442_400);
    include_at(&archive, &env.incoming(), &Deb::new("a", "1"))?;
    assert_eq!(date(&env)?, "Mon, 23 Nov 2026 14:00:00 UTC");
    // and a clock that was put back a little makes nothing look older
    include_at(&at(&env, 1_795_442_000, None)?, &env.incoming(), &Deb::new("b", "1"))?;
    assert_eq!(date(&env)?, "Mon, 23 Nov 2026 14:00:00 UTC");
    Ok(())
}
