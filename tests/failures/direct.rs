//! An archive that has been through many failures, and one that was built of its last packages without any: when the
//! grace times are over, both have the same files.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aptrepo::model::ErrorKind;
use aptrepo::ops::export;

use crate::support::clock::at;
use crate::support::steps::{can_inject, traced, words};
use crate::support::{Deb, Dice, TestEnv, TestResult, Tool, Tree};
use crate::text;
use crate::trial::{Trial, tries_all};

const DAY: i64 = 86_400;
const CONF: &str = "Codename: staging\nArchitectures: amd64\nComponents: main\nContents: .gz\nSignWith: yes\n\n\
    Codename: prod\nArchitectures: amd64\nComponents: main\nContents: .gz\nSignWith: yes\n";
const CODENAMES: [&str; 2] = ["staging", "prod"];
/// What may fail, and how.
const FAILURES: [(&str, &str, usize); 7] = [
    ("write", "ENOSPC", 40),
    ("pwrite64", "ENOSPC", 4),
    ("fsync", "EIO", 8),
    ("syncfs", "EIO", 4),
    ("renameat", "EIO", 12),
    ("linkat", "EDQUOT", 20),
    ("unlinkat", "EIO", 30),
];

fn archive() -> TestResult<TestEnv> {
    let mut env = TestEnv::in_memory(Tool::under_test(), CONF)?;
    env.make_key()?;
    Ok(env)
}

/// Runs a command that may fail, and again until it does not.
fn insist(env: &TestEnv, dice: &mut Dice, args: &[&str]) -> TestResult<usize> {
    let args = words(args);
    for failed in 0..3 {
        let (call, error, most) = dice.pick(&FAILURES);
        let stays = *dice.pick(&["", "+"]);
        let number = dice.roll(*most) + 1;
        let (trace, inject) = (
            format!("trace={call}"),
            format!("inject={call}:error={error}:when={number}{stays}"),
        );
        let options = ["--seccomp-bpf", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        let output = env.finish(&mut traced(env, &options, &args));
        assert!(!output.text().contains("panicked"), "{args:?}, {inject}: {output}");
        for codename in CODENAMES {
            if env.outdir().join("dists").join(codename).exists() {
                env.assert_verified(codename)?;
            }
        }
        if output.status == 0 {
            return Ok(failed);
        }
    }
    let _ = env.run(&args).ok();
    Ok(3)
}

/// The files of an archive long after its last change, and what those say that clients read.
fn long_after(env: &TestEnv) -> TestResult<(BTreeSet<String>, BTreeMap<String, String>)> {
    let now: i64 = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().try_into()?;
    // each time it is published, so that states of before are forgotten
    for day in 10..16 {
        let archive = at(env, now + day * DAY, None)?;
        let mut patience = 100;
        // a process that another test just forked has the lock open until it starts its program
        while let Err(error) = export::export(&archive, &[]) {
            patience -= 1;
            if patience == 0 || error.kind() != ErrorKind::Locked {
                return Err(error.into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let all = Tree::of(&env.base())?;
    let is_ours = |path: &&str| {
        let others = ["db/sled/", "db/filelists/", "db/dumps/", "gpg/"];
        !others.iter().any(|other| path.starts_with(other))
    };
    let tree = env.tree()?;
    let has_time = |path: &str| {
        ["Release", "InRelease", "Release.gpg"]
            .iter()
            .any(|name| path.ends_with(name))
    };
    let contents = tree.contents().into_iter().filter(|(path, _)| !has_time(path));
    Ok((
        all.files().filter(is_ours).map(str::to_owned).collect(),
        contents
            .map(|(path, content)| (path.to_owned(), content.to_owned()))
            .collect(),
    ))
}

fn bytes_of_file_lists(env: &TestEnv) -> TestResult<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(env.base().join("db/filelists"))? {
        sum += entry?.metadata()?.len();
    }
    Ok(sum)
}

fn compare(seed: u64) -> TestResult<usize> {
    let (env, mut dice) = (archive()?, Dice::new(seed));
    let mut failed = 0;
    let mut version = 0;
    for _ in 0..16 {
        let name = format!("p{}", dice.roll(5));
        let codename = *dice.pick(&CODENAMES);
        match dice.roll(5) {
            0 => {
                failed += insist(
                    &env,
                    &mut dice,
                    &["--allow-downgrade", "copy", "prod", "staging", &name],
                )?
            }
            1 => failed += insist(&env, &mut dice, &["remove", codename, &name])?,
            _ => {
                version += 1;
                let deb = Deb::new(&name, &version.to_string()).file(&format!("usr/{name}/{version}"), b"x");
                let path = text(deb.build(&env.incoming())?);
                failed += insist(&env, &mut dice, &["includedeb", codename, &path])?;
            }
        }
    }
    let _ = env.run(["check"]).ok();
    let direct = archive()?;
    for codename in CODENAMES {
        for line in env.list(codename).lines() {
            let mut fields = line.split(' ').skip(1);
            let (name, version) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
            let path = env.incoming().join(format!("{name}_{version}_amd64.deb"));
            let _ = direct.run(["includedeb", codename, &text(path)]).ok();
        }
    }
    let (found, wanted) = (long_after(&env)?, long_after(&direct)?);
    assert_eq!(found.1, wanted.1, "seed {seed}");
    let left: Vec<_> = found.0.difference(&wanted.0).collect();
    let gone: Vec<_> = wanted.0.difference(&found.0).collect();
    assert!(
        left.is_empty() && gone.is_empty(),
        "seed {seed}: left {left:#?}, gone {gone:#?}"
    );
    // a pack stays while most of its lists are needed
    let (lists, needed) = (bytes_of_file_lists(&env)?, bytes_of_file_lists(&direct)?);
    assert!(
        lists <= 2 * needed,
        "seed {seed}: {lists} bytes of file lists, {needed} needed"
    );
    Ok(failed)
}

#[test]
fn after_all_failures_the_files_are_those_of_an_archive_that_had_none() -> TestResult {
    if Trial::is_for_reprepro() || !can_inject()? {
        return Ok(());
    }
    let seeds = if tries_all() { 20 } else { 2 };
    let mut failed = 0;
    for seed in 0..seeds {
        failed += compare(seed)?;
    }
    println!("{seeds} archives, {failed} commands failed on the way; the files are those of archives built directly");
    assert!(failed > 0, "nothing failed");
    Ok(())
}
