//! Several versions of a package in one index: `Limit` keeps them, `Archive` takes what it pushes out, and commands can
//! name one of them.

mod support;

use support::{Deb, TestEnv, TestResult, Tool};

const CONF: &str = "\
Codename: old
Architectures: amd64
Components: main
Limit: 0

Codename: new
Architectures: amd64
Components: main
Limit: 2
Archive: old
Log: new.log
";

fn environment() -> TestResult<TestEnv> {
    TestEnv::with(Tool::under_test(), CONF)
}

fn include(env: &TestEnv, version: &str) -> TestResult {
    let deb = Deb::new("hello", version).build(&env.incoming())?;
    let _ = env.run(["includedeb".as_ref(), "new".as_ref(), deb.as_os_str()]).ok();
    Ok(())
}

#[test]
fn a_limit_of_two_keeps_two_and_the_archive_takes_the_rest() -> TestResult {
    let env = environment()?;
    for version in ["1.0", "1.1", "1.10", "1.2"] {
        include(&env, version)?;
    }
    assert_eq!(
        env.list("new"),
        "new|main|amd64: hello 1.10\nnew|main|amd64: hello 1.2\n"
    );
    assert_eq!(
        env.list("old"),
        "old|main|amd64: hello 1.1\nold|main|amd64: hello 1.0\n"
    );
    let ls = env.run(["ls", "hello"]).ok().stdout;
    assert_eq!(
        ls,
        "hello |  1.1 | old | amd64\nhello |  1.0 | old | amd64\nhello | 1.10 | new | amd64\nhello |  1.2 | new | amd64\n"
    );
    env.assert_verified("new")?;
    env.assert_verified("old")
}

#[test]
fn one_version_can_be_removed_and_an_older_one_comes_in_where_there_is_room() -> TestResult {
    let env = environment()?;
    for version in ["1.0", "1.1"] {
        include(&env, version)?;
    }
    let _ = env.run(["remove", "new", "hello=1.1"]).ok();
    assert_eq!(env.list("new"), "new|main|amd64: hello 1.0\n");
    include(&env, "0.9")?;
    assert_eq!(
        env.list("new"),
        "new|main|amd64: hello 1.0\nnew|main|amd64: hello 0.9\n"
    );
    assert_eq!(env.list("old"), "");
    env.assert_verified("new")
}

#[test]
fn the_log_tells_truthfully_what_was_added_and_what_replaced() -> TestResult {
    let env = environment()?;
    for version in ["1.0", "1.1", "1.2"] {
        include(&env, version)?;
    }
    let log = std::fs::read_to_string(env.base().join("logs/new.log"))?;
    let lines: Vec<&str> = log.lines().filter_map(|line| line.get(20..)).collect();
    assert_eq!(
        lines,
        [
            "add new deb main amd64 hello 1.0",
            "add new deb main amd64 hello 1.1",
            "replace new deb main amd64 hello 1.2 1.0"
        ]
    );
    Ok(())
}
