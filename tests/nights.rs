//! Nights of `update` with reprepro and with aptrepo: the same configuration, the same upstreams, and after every night
//! the same packages, announced beforehand in the same words.
//!
//! What differs on purpose stands in one table, [`DELIBERATE`], each row with its reason. More seeds than the few of
//! every run are tried with `APTREPO_TEST_NIGHTS=FIRST-LAST`.
#![expect(clippy::disallowed_methods, reason = "test fixtures need no atomic writes")]

mod support;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use support::index::unpacked;
use support::nights::World;
use support::rules::Mirrors;
use support::state::{self, State};
use support::upstream::{BadServer, Upstream};
use support::{Deb, Dice, Output, TestEnv, TestResult, Tool, have_tools};

const NIGHTS: usize = 5;
/// A day in 2026, before any clock that runs these tests.
const DATE: i64 = 1_790_000_000;

/// reprepro and the program under test, in archives of the same configuration.
struct Pair {
    theirs: TestEnv,
    ours: TestEnv,
}

impl Pair {
    fn new(mirrors: &Mirrors) -> TestResult<Option<Self>> {
        if !have_tools(&["reprepro"]) {
            return Ok(None);
        }
        let Some(reprepro) = Tool::reprepro() else {
            return Ok(None);
        };
        let pair = Self {
            theirs: TestEnv::in_memory(reprepro, "")?,
            ours: TestEnv::in_memory(Tool::under_test(), "")?,
        };
        for env in [&pair.theirs, &pair.ours] {
            env.options(&["noonlysmalldeletes"])?;
        }
        for (name, text) in &mirrors.files {
            pair.theirs.conf(name, text)?;
            pair.ours.conf(name, text)?;
        }
        Ok(Some(pair))
    }

    fn both(&self, args: &[&str]) -> [Output; 2] {
        [&self.theirs, &self.ours].map(|env| env.run(args))
    }

    /// The same on both, with the same exit status and the same answer.
    fn compare(&self, args: &[&str], found: &mut Vec<String>) {
        let [theirs, ours] = self.both(args);
        if theirs.status != ours.status {
            found.push(format!("== {args:?}\nreprepro: {theirs}\naptrepo:  {ours}"));
            return;
        }
        if theirs.stdout != ours.stdout {
            let lines = state::line_differences(&theirs.stdout, &ours.stdout);
            found.push(format!("== {args:?}\n{lines}"));
        }
    }
}

/// What there is to see of an archive after a night.
fn seen(env: &TestEnv, codenames: &[&str]) -> TestResult<State> {
    let mut state = State::new();
    for codename in codenames {
        state.insert(format!("list {codename}"), env.list(codename));
    }
    state.insert("pool".into(), env.pool()?.join("\n"));
    state.insert(
        "dumptracks".into(),
        state::tracks(&env.run(["dumptracks", "tracked"]).ok().stdout),
    );
    for codename in codenames {
        let log = std::fs::read_to_string(env.base().join(format!("logs/{codename}.log"))).unwrap_or_default();
        // without the time, and in no order
        let mut lines: Vec<_> = log.lines().filter_map(|line| line.splitn(3, ' ').nth(2)).collect();
        lines.sort_unstable();
        state.insert(format!("log of {codename}"), lines.join("\n"));
    }
    for file in env.tree()?.files() {
        if let Some(index) = file.strip_suffix(".gz") {
            let text = unpacked(&env.outdir().join(file))?;
            state.insert(index.to_owned(), String::from_utf8_lossy(&text).into_owned());
        }
    }
    // an index without packages is published by both or by none: that is what other tests are about
    state.retain(|name, text| !text.is_empty() || name.starts_with("list "));
    Ok(state)
}

/// What an administrator does by hand in between.
fn by_hand(pair: &Pair, dice: &mut Dice, codenames: &[&str]) -> TestResult<String> {
    let codename = *dice.pick(codenames);
    let name = *dice.pick(&support::nights::names());
    let args: Vec<String> = match dice.roll(5) {
        0 => vec!["remove".into(), codename.into(), name.into()],
        1 => {
            let deb = Deb::new("ours", "1").build(&pair.ours.incoming())?;
            vec![
                "-C".into(),
                "contrib".into(),
                "includedeb".into(),
                codename.into(),
                deb.to_string_lossy().into(),
            ]
        }
        2 => {
            let deb = Deb::new("tool", "2.5").build(&pair.ours.incoming())?;
            vec![
                "-C".into(),
                "main".into(),
                "includedeb".into(),
                codename.into(),
                deb.to_string_lossy().into(),
            ]
        }
        _ => return Ok(String::new()),
    };
    for env in [&pair.theirs, &pair.ours] {
        // one that is there already is refused by both
        let _ = env.run(&args);
    }
    Ok(args.join(" "))
}

fn nights(seed: u64) -> TestResult {
    let upstream = tempfile::TempDir::new_in("/dev/shm").or_else(|_| tempfile::TempDir::new())?;
    let mut world = World::new(seed, upstream.path());
    world.publish()?;
    let server = BadServer::start(upstream.path())?;
    let address = if seed.is_multiple_of(3) {
        server.address().to_owned()
    } else {
        format!("file:{}", upstream.path().display())
    };
    let mut mirrors = Mirrors::new(seed, &address);
    let Some(pair) = Pair::new(&mirrors)? else {
        return Ok(());
    };
    let mut dice = Dice::new(!seed);
    let mut history = String::new();
    for night in 1..=NIGHTS {
        let done = by_hand(&pair, &mut dice, &mirrors.codenames)?;
        history += &format!("night {night} {done}\n");
        if dice.roll(2) == 0
            && let Some((name, text)) = mirrors.edit(&mut dice)
        {
            history += &format!("{name} is edited\n");
            pair.theirs.conf(name, text)?;
            pair.ours.conf(name, text)?;
        }
        let mut found = Vec::new();
        let command = if night % 2 == 0 { "dumpupdate" } else { "checkupdate" };
        pair.compare(&["--noskipold", command], &mut found);
        if dice.roll(3) == 0 {
            for env in [&pair.theirs, &pair.ours] {
                let _ = env.run(["--noskipold", "predelete"]).ok();
            }
            let [theirs, ours] = [&pair.theirs, &pair.ours].map(|env| seen(env, &mirrors.codenames));
            found.extend(state::differences(&theirs?, &ours?));
        }
        // it does not notice what was done by hand, nor an edited list
        let theirs = pair.theirs.run(["--noskipold", "update"]);
        let ours = pair.ours.run(["update"]);
        if (theirs.status, ours.status) != (0, 0) {
            found.push(format!("== update\nreprepro: {theirs}\naptrepo:  {ours}"));
        }
        let [theirs, ours] = [&pair.theirs, &pair.ours].map(|env| seen(env, &mirrors.codenames));
        found.extend(state::differences(&theirs?, &ours?));
        let conf: BTreeMap<_, _> = mirrors.files.iter().cloned().collect();
        assert!(
            found.is_empty(),
            "seed {seed}: after\n{history}{}\n{}",
            found.join("\n"),
            conf.iter()
                .map(|(name, text)| format!("\n-- {name}\n{text}"))
                .collect::<String>()
        );
        world.day();
        world.publish()?;
    }
    Ok(())
}

/// The seeds that are asked for, or these.
fn seeds(usual: RangeInclusive<u64>) -> TestResult<RangeInclusive<u64>> {
    let wanted = std::env::var("APTREPO_TEST_NIGHTS").ok();
    Ok(match wanted.as_deref().and_then(|range| range.split_once('-')) {
        Some((first, last)) => first.parse()?..=last.parse()?,
        None => usual,
    })
}

#[test]
fn nights_bring_what_reprepro_brings() -> TestResult {
    seeds(1..=3)?.try_for_each(nights)
}

#[test]
fn other_nights_bring_what_reprepro_brings() -> TestResult {
    // all that was asked for is tried by the test above
    let asked_for = std::env::var_os("APTREPO_TEST_NIGHTS").is_some();
    seeds(4..=6)?
        .take(if asked_for { 0 } else { usize::MAX })
        .try_for_each(nights)
}

/// One thing that aptrepo does otherwise than reprepro on purpose. Both are shown to do what the row says.
struct Deliberate {
    what: &'static str,
    why: &'static str,
    /// Asks for what differs, after a first night in which the rule `new` offers hello 1.1.
    ask: fn(&TestEnv) -> TestResult<String>,
    theirs: &'static str,
    ours: &'static str,
}

const DELIBERATE: [Deliberate; 2] = [
    Deliberate {
        what: "an edited rule or filter list is noticed",
        why: "with reprepro each edit needs `--noskipold` once, and nothing says so",
        ask: |env| {
            let rules = std::fs::read_to_string(env.base().join("conf/updates"))?;
            env.conf(
                "updates",
                &rules.replace("Suite: s\n", "Suite: s\nFilterFormula: Package (== none)\n"),
            )?;
            let _ = env.run(["update"]).ok();
            Ok(env.list("s"))
        },
        theirs: "s|main|amd64: hello 1.1\n",
        ours: "",
    },
    Deliberate {
        what: "a night that would take away more than a fifth of an index is refused",
        why: "an upstream that lost its packages is more often broken than empty; reprepro asks for `--onlysmalldeletes`",
        ask: |env| {
            let upstream = Upstream::new(&env.root().join("new"), DATE);
            for count in [12, 1] {
                let debs: Vec<Deb> = (0..count).map(|at| Deb::new(&format!("tool{at}"), "1")).collect();
                upstream.publish(&debs, None)?;
                let _ = env.run(["update"]);
            }
            Ok(env.list("s").lines().count().to_string())
        },
        theirs: "1",
        ours: "12",
    },
];

const DISTRIBUTIONS: &str = "Codename: s\nArchitectures: amd64 i386\nComponents: main\nUpdate: - new\n";

#[test]
fn what_differs_on_purpose_differs_as_the_table_says() -> TestResult {
    let Some(reprepro) = Tool::reprepro().filter(|_| have_tools(&["reprepro"])) else {
        return Ok(());
    };
    for row in DELIBERATE {
        for tool in [reprepro.clone(), Tool::under_test()] {
            let env = TestEnv::in_memory(tool, DISTRIBUTIONS)?;
            let upstream = Upstream::new(&env.root().join("new"), DATE);
            upstream.publish(&[Deb::new("hello", "1.1")], None)?;
            let place = upstream.root().display();
            let rules = format!("Name: new\nMethod: file:{place}\nSuite: s\nVerifyRelease: blindtrust\n\n");
            env.conf("updates", &rules)?;
            let _ = env.run(["update"]).ok();
            let expected = if env.tool().is_reprepro { row.theirs } else { row.ours };
            let shown = format!("{} ({}), {:?}", row.what, row.why, env.tool().path);
            assert_eq!((row.ask)(&env)?, expected, "{shown}");
        }
    }
    Ok(())
}
