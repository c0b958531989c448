//! A copy that is made while the archive is written, file by file in any order, as a backup does: its first command
//! works, or says that `recover` is needed; after that nothing is wrong with it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::seen::{CODENAMES, prepared, upload};
use crate::support::steps::copy_tree;
use crate::support::{Deb, Dice, TestEnv, TestResult};
use crate::trial::{Trial, tries_all};
use crate::{text, trial};

/// Copies all files that are still there when their turn comes, in an order of its own.
fn back_up(from: &Path, to: &Path, dice: &mut Dice) -> TestResult {
    let mut files = trial::files_below(from).unwrap_or_default();
    while !files.is_empty() {
        let path = files.swap_remove(dice.roll(files.len()));
        let target = to.join(path.strip_prefix(from)?);
        std::fs::create_dir_all(target.parent().unwrap_or(to))?;
        let copied = match std::fs::read_link(&path) {
            Ok(link) => std::os::unix::fs::symlink(link, &target),
            Err(_) => std::fs::copy(&path, &target).map(drop),
        };
        match copied {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        if dice.roll(2) == 0 {
            std::thread::sleep(Duration::from_millis(3));
        }
    }
    Ok(())
}

/// Changes the archive again and again.
fn write_on(env: &TestEnv, stop: &AtomicBool, commands: &AtomicUsize) -> TestResult {
    for round in 0.. {
        let version = format!("2-{round}");
        let upload = text(upload(env, &version)?);
        let deb = text(Deb::new(&format!("extra{}", round % 5), &version).build(&env.incoming())?);
        for words in [
            &["include", "staging", &upload][..],
            &["includedeb", "prod", &deb],
            &["copysrc", "prod", "staging", "hello"],
            &["removesrc", "staging", "hello"],
            &["export"],
        ] {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let _ = env.run(words).ok();
            commands.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// What the first command makes of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Whole,
    Recovered,
}

fn use_copy(env: &TestEnv, seed: u64) -> TestResult<Found> {
    let first = env.run(["check"]);
    let mut found = Found::Whole;
    if first.status != 0 {
        let told = first.clone().refused();
        assert!(told.stderr.contains("recover"), "copy {seed}: {told}");
        let mut recovered = env.run(["recover"]);
        if recovered.stderr.contains("--anyway") {
            recovered = env.run(["recover", "--anyway"]);
        }
        let is_done = recovered.status == 0 || recovered.status == 254;
        assert!(is_done, "copy {seed}: {first}: {recovered}");
        found = Found::Recovered;
    }
    let export = env.run(["export"]).ok();
    let checked = env.run(["check"]);
    assert_eq!(checked.status, 0, "copy {seed}: {first}; {export}; {checked}");
    for codename in CODENAMES {
        env.assert_verified(codename)?;
        assert_eq!(env.run(["list", codename]).ok().stderr, "");
    }
    let checked = env.run(["checkpool"]);
    assert_eq!(checked.status, 0, "copy {seed}: {first}; {checked}");
    let deb = text(Deb::new("after", "1").build(&env.incoming())?);
    let _ = env.run(["includedeb", "staging", &deb]).ok();
    env.assert_verified("staging")?;
    Ok(found)
}

#[test]
fn a_copy_made_in_mid_write_can_be_used_or_says_what_to_do() -> TestResult {
    if Trial::is_for_reprepro() {
        return Ok(());
    }
    let env = prepared()?;
    let (stop, commands) = (AtomicBool::new(false), AtomicUsize::new(0));
    let copies: Vec<PathBuf> = (0..if tries_all() { 40 } else { 8 })
        .map(|seed| env.root().join(format!("copy{seed}")))
        .collect();
    let copied = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_on(&env, &stop, &commands).map_err(|error| error.to_string()));
        let copied = copies
            .iter()
            .zip(0..)
            .try_for_each(|(copy, seed)| back_up(&env.base(), copy, &mut Dice::new(seed)));
        stop.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| "the writer failed")??;
        copied
    });
    copied?;
    let (base, mut found) = (env.base(), Vec::new());
    for (copy, seed) in copies.iter().zip(0..) {
        copy_tree(copy, &base)?;
        found.push(use_copy(&env, seed)?);
    }
    let whole = found.iter().filter(|one| **one == Found::Whole).count();
    println!(
        "{} copies during {} commands: {whole} could be used at once, {} after `recover`",
        found.len(),
        commands.load(Ordering::Relaxed),
        found.len() - whole
    );
    Ok(())
}
