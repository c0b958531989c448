//! A file system that is full, and one that is read-only.

use crate::disk::{Disk, Room};
use crate::support::seen::{CODENAMES, fresh, prepared, seen, temporary, upload};
use crate::support::{Deb, Dice, TestEnv, TestResult};
use crate::{text, trial};

/// Bytes that no compression makes smaller.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    (0..length).map(|_| u8::try_from(dice.roll(256)).unwrap_or(0)).collect()
}

/// Includes package after package, until one is refused. Returns what was acknowledged.
fn fill(env: &TestEnv, prefix: &str) -> TestResult<Vec<String>> {
    let mut acknowledged = Vec::new();
    for number in 0..100 {
        let name = format!("{prefix}{number:02}");
        let content = noise(number, 200_000);
        let deb = Deb::new(&name, "1").file(&format!("usr/share/{name}"), &content);
        let output = env.run(["includedeb", "staging", &text(deb.build(&env.incoming())?)]);
        if output.status == 0 {
            acknowledged.push(name);
            continue;
        }
        let told = output.refused();
        assert!(told.stderr.contains("No space left on device"), "{told}");
        assert!(told.stderr.contains("$BASE/"), "{told}");
        assert!(told.stderr.contains("make room there"), "{told}");
        // what failed after the commit is kept, and says so
        if told.stderr.contains("the change is kept") {
            acknowledged.push(name);
        }
        return Ok(acknowledged);
    }
    Err("the disk was never full".into())
}

fn names_in(list: &str) -> Vec<String> {
    let names = list.lines().filter_map(|line| line.split(' ').nth(1));
    names.map(str::to_owned).collect()
}

#[test]
fn a_full_disk_keeps_what_was_acknowledged_and_goes_on_when_there_is_room() -> TestResult {
    if trial::Trial::is_for_reprepro() {
        return Ok(());
    }
    let env = fresh()?;
    let Some(disk) = Disk::under(&env)? else {
        return Ok(());
    };
    disk.remount("size=8m")?;
    let mut acknowledged = fill(&env, "a")?;
    assert!(acknowledged.len() > 10, "{acknowledged:?}");
    assert_eq!(names_in(&env.list("staging")), acknowledged);
    env.assert_verified("staging")?;
    // not a byte is left: readers read, and whoever writes is refused
    disk.leave(Room::Pages(0))?;
    let before = seen(&env, &CODENAMES)?;
    let _ = env.run(["ls", "a00"]).ok();
    let _ = env.run(["dumpreferences"]).ok();
    for command in [&["remove", "staging", "a00"][..], &["export"]] {
        let told = env.run(command).refused();
        assert!(told.stderr.contains("No space left on device"), "{told}");
    }
    assert_eq!(names_in(&env.list("staging")), acknowledged);
    assert_eq!(seen(&env, &CODENAMES)?, before);
    // a little room is enough to make more
    disk.remount("size=9m")?;
    let _ = env.run(["remove", "staging", "a00", "a01", "a02"]).ok();
    acknowledged.drain(..3);
    let more = fill(&env, "b")?;
    acknowledged.extend(more);
    disk.enlarge()?;
    let checked = env.run(["check"]).ok();
    assert_eq!(checked.stderr, "");
    assert_eq!(names_in(&env.list("staging")), acknowledged);
    assert_eq!(temporary(&env)?, Vec::<std::path::PathBuf>::new());
    env.assert_verified("staging")?;
    let _ = env.run(["checkpool"]).ok();
    // the three are tracked still
    assert_eq!(env.pool()?.len(), acknowledged.len() + 3);
    Ok(())
}

#[test]
fn what_only_reads_does_so_on_a_read_only_file_system() -> TestResult {
    if trial::Trial::is_for_reprepro() {
        return Ok(());
    }
    let env = prepared()?;
    let upload = text(upload(&env, "2-1")?);
    let deb = text(Deb::new("other", "1").build(&env.incoming())?);
    let commands = [
        &["list", "staging"][..],
        &["ls", "hello"],
        &["listmatched", "staging", "*"],
        &["dump"],
        &["dumptracks"],
        &["dumpreferences"],
        &["--dry-run", "removesrc", "staging", "hello"],
    ];
    let answers: Vec<_> = commands.iter().map(|words| env.run(*words).ok()).collect();
    let Some(disk) = Disk::under(&env)? else {
        return Ok(());
    };
    let before = env.tree()?;
    disk.remount("ro")?;
    for (words, answer) in commands.iter().zip(answers) {
        let mut told = env.run(*words);
        if words.first() == Some(&"--dry-run") && told.status != 0 {
            // it takes the lock as the command itself would
            assert!(told.stderr.contains("Read-only file system"), "{told}");
            told = answer.clone();
        }
        assert_eq!(told, answer, "{words:?}");
    }
    for words in [
        &["include", "staging", &upload][..],
        &["includedeb", "staging", &deb],
        &["copysrc", "prod", "staging", "hello"],
        &["removesrc", "staging", "hello"],
        &["export"],
        &["check"],
        &["deleteunreferenced"],
        &["update"],
        &["recover", "--anyway"],
    ] {
        let told = env.run(words).refused();
        assert_eq!(told.stderr.matches("Error: ").count(), 1, "{words:?}: {told}");
        let is_told = told.stderr.contains("Read-only file system") && told.stderr.contains("$BASE/");
        assert!(
            is_told || words == ["update"] && told.stderr.contains("conf/updates"),
            "{words:?}: {told}"
        );
    }
    before.assert_unchanged(&env.tree()?);
    disk.enlarge()?;
    disk.remount("rw")?;
    let _ = env.run(["include", "staging", &upload]).ok();
    assert_eq!(env.run(["check"]).ok().stderr, "");
    env.assert_verified("staging")
}
