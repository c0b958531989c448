//! `pull` and what follows rules beside `update`: compared with reprepro for random rules, filters and nights; and
//! `predelete`, `cleanlists`, `--restrict…` and `--spacecheck`.
#![expect(clippy::disallowed_methods, reason = "test fixtures need no atomic writes")]

mod support;

use std::fmt::Write;
use std::path::Path;

use aptrepo::ops::update::human_bytes;
use support::{Deb, Dice, Output, Source, TestEnv, TestResult, Tool, have_tools, state};

/// reprepro and the program under test, in archives of the same configuration.
struct Pair {
    theirs: TestEnv,
    ours: TestEnv,
}

const NOTIFY: &str = "#!/bin/sh\necho \"$* by $REPREPRO_CAUSING_COMMAND $REPREPRO_CAUSING_RULE $REPREPRO_FROM\" \
    >> \"$REPREPRO_BASE_DIR/notified\"\n";

impl Pair {
    fn new(distributions: &str) -> TestResult<Option<Self>> {
        let (true, Some(reprepro)) = (have_tools(&["reprepro"]), Tool::reprepro()) else {
            return Ok(None);
        };
        let pair = Self {
            theirs: TestEnv::in_memory(reprepro, distributions)?,
            ours: TestEnv::in_memory(Tool::under_test(), distributions)?,
        };
        for env in [&pair.theirs, &pair.ours] {
            env.script("notify", NOTIFY)?;
        }
        Ok(Some(pair))
    }

    fn conf(&self, name: &str, text: &str) -> TestResult {
        self.theirs.conf(name, text)?;
        self.ours.conf(name, text)
    }

    /// Runs a command on both; what is printed must be the same if it only answers.
    fn both(&self, words: &[&str], answers: bool) -> Result<Output, String> {
        let (theirs, ours) = (self.theirs.run(words), self.ours.run(words));
        let is_same =
            theirs.status == ours.status && (!answers || theirs.stdout == ours.stdout) && loud(&theirs) == loud(&ours);
        if is_same {
            return Ok(ours);
        }
        Err(format!("{}\nreprepro: {theirs}\naptrepo: {ours}", words.join(" ")))
    }
}

/// What a filter list warns of, sorted: reprepro goes through the indexes in another order.
fn loud(output: &Output) -> Vec<&str> {
    let mut lines: Vec<_> = output
        .stderr
        .lines()
        .filter(|line| line.starts_with("Loudly"))
        .collect();
    lines.sort_unstable();
    lines
}

const CODENAMES: [&str; 4] = ["up", "side", "dst", "narrow"];

/// Two distributions to pull from, and two that pull. The first two have all that a rule may name: else reprepro aborts.
fn distributions(pull: &str) -> String {
    format!(
        "Codename: up\nArchitectures: amd64 i386 source\nComponents: main contrib\nUDebComponents: main\n\n\
         Codename: side\nArchitectures: amd64 i386 source\nComponents: main contrib\nUDebComponents: main\n\n\
         Codename: dst\nArchitectures: i386 amd64 source\nComponents: main contrib extra\nUDebComponents: main\n\
         Tracking: minimal\nDebOverride: override\nLog: dst.log\n notify\nPull: {pull}\n\n\
         Codename: narrow\nArchitectures: amd64\nComponents: main\nPull: r2 r0\n"
    )
}

const PACKAGES: [(&str, &str); 7] = [
    ("alpha", "alpha"),
    ("alpha-doc", "alpha"),
    ("beta", "beta"),
    ("gamma", "gamma (7:1)"),
    ("libdelta", "delta"),
    ("epsilon", "epsilon"),
    ("zeta", "zeta"),
];
const VERSIONS: [&str; 5] = ["0.9~rc1", "1.0", "1.0-1", "1.1", "2:0.5"];
const ACTIONS: [&str; 9] = [
    "install",
    "upgradeonly",
    "deinstall",
    "purge",
    "hold",
    "supersede",
    "warning",
    "= 1.0",
    "= 1.1",
];
const FORMULAS: [&str; 8] = [
    "Package (% *a)",
    "$Version (>= 1.0), Package (!= zeta)",
    "Architecture (== all) | $Source (== alpha)",
    "(Priority (== extra) | !Essential), $Component (!= contrib)",
    "$Architecture (== amd64) | $Type (== dsc)",
    "Section (% m*)",
    "$SourceVersion (<< 1.1)",
    "Tag",
];

fn deb(dice: &mut Dice) -> Deb {
    let (name, source) = *dice.pick(&PACKAGES);
    let version = *dice.pick(&VERSIONS);
    let arch = match name {
        "alpha-doc" => "all",
        _ => *dice.pick(&["amd64", "i386"]),
    };
    let deb = Deb::new(name, version).arch(arch);
    if source == name { deb } else { deb.source(source) }
}

/// One rule with its filters, and the files of its filter lists.
fn rule(dice: &mut Dice, number: usize, pair: &Pair) -> TestResult<String> {
    let mut text = format!("Name: r{number}\nFrom: {}\n", dice.pick(&["up", "up", "side"]));
    if dice.roll(4) == 0 {
        text += "Components: main\n";
    }
    match dice.roll(6) {
        0 => text += "Architectures: i386>amd64 amd64\n",
        1 => text += "Architectures: amd64 source\n",
        2 => text += "UDebComponents:\n",
        _ => {}
    }
    if dice.roll(3) == 0 {
        writeln!(text, "FilterFormula: {}", dice.pick(&FORMULAS))?;
    }
    for (field, chance) in [("FilterList", 2), ("FilterSrcList", 4)] {
        if dice.roll(chance) != 0 {
            continue;
        }
        let mut files = String::new();
        for file in 0..=dice.roll(2) {
            let name = format!("{field}-{number}-{file}");
            let mut lines = String::from("# who\n");
            for (package, _) in PACKAGES {
                if dice.roll(3) == 0 {
                    writeln!(lines, "{package} {}", dice.pick(&ACTIONS))?;
                }
            }
            pair.conf(&name, &lines)?;
            write!(files, " {name}")?;
        }
        let default = dice.pick(&["install", "install", "hold", "purge", "upgradeonly"]);
        writeln!(text, "{field}: {default}{files}")?;
    }
    Ok(text + "\n")
}

/// A night's changes of the distributions, as commands.
fn changes(dice: &mut Dice, dir: &Path) -> TestResult<Vec<Vec<String>>> {
    let mut all = Vec::new();
    for codename in ["up", "up", "side", "dst"] {
        let component = if codename == "up" && dice.roll(3) == 0 {
            "contrib"
        } else {
            "main"
        };
        // one by one: of several reprepro takes those that it can
        for _ in 0..=dice.roll(3) {
            let file = deb(dice).build(dir)?;
            let words = ["-C", component, "includedeb", codename, &*file.to_string_lossy()];
            all.push(words.map(str::to_owned).to_vec());
        }
    }
    let version = *dice.pick(&["1.0", "1.1", "2.0"]);
    let name = *dice.pick(&["alpha", "beta"]);
    let source = Source::new(name, version).build(dir)?;
    let udeb = Deb::new("installer-udeb", version).udeb().build(dir)?;
    for (command, file) in [("includedsc", source), ("includeudeb", udeb)] {
        let codename = *dice.pick(&["up", "up", "dst"]);
        all.push(
            [command, codename, &*file.to_string_lossy()]
                .map(str::to_owned)
                .to_vec(),
        );
    }
    for _ in 0..dice.roll(3) {
        let (name, _) = *dice.pick(&PACKAGES);
        all.push(["remove", "up", name].map(str::to_owned).to_vec());
    }
    Ok(all)
}

fn restriction(dice: &mut Dice) -> Vec<String> {
    let mut words = Vec::new();
    for (option, chance) in [("--restrict", 2), ("--restrict-binary", 3)] {
        let (name, _) = *dice.pick(&PACKAGES);
        let end = *dice.pick(&["", "", "=1.0", ":hold", ":supersede", ":upgradeonly", ":purge"]);
        if dice.roll(chance) == 0 {
            words.extend([option.to_owned(), format!("{name}{end}")]);
        }
    }
    words
}

/// What both show after a pull, or how it differs.
fn compare(pair: &Pair) -> TestResult<Result<(), String>> {
    for codename in CODENAMES {
        if let Err(difference) = pair.both(&["list", codename], true) {
            return Ok(Err(difference));
        }
    }
    let show = |env: &TestEnv| -> TestResult<Vec<(String, String)>> {
        let mut shown = Vec::new();
        for file in ["notified", "logs/dst.log"] {
            let text = std::fs::read_to_string(env.base().join(file)).unwrap_or_default();
            let without_time = |line: &str| match file {
                "notified" => line.to_owned(),
                _ => line.splitn(3, ' ').nth(2).unwrap_or_default().to_owned(),
            };
            let mut lines: Vec<String> = text.lines().map(without_time).collect();
            lines.sort_unstable();
            shown.push((file.to_owned(), lines.join("\n")));
        }
        for index in [
            "dst/main/binary-amd64/Packages",
            "dst/main/binary-i386/Packages",
            "dst/contrib/binary-amd64/Packages",
            "dst/main/debian-installer/binary-amd64/Packages",
            "dst/main/source/Sources",
            "narrow/main/binary-amd64/Packages",
        ] {
            let text = support::index::read_index(&env.outdir().join("dists"), index)?;
            shown.push((index.to_owned(), text.unwrap_or_default()));
        }
        shown.push(("pool".into(), env.pool()?.join("\n")));
        Ok(shown)
    };
    for (theirs, ours) in show(&pair.theirs)?.iter().zip(&show(&pair.ours)?) {
        if theirs != ours {
            let lines = state::line_differences(&theirs.1, &ours.1);
            return Ok(Err(format!("{}\n{lines}", theirs.0)));
        }
    }
    Ok(Ok(()))
}

fn run_nights(seed: u64) -> TestResult {
    let mut dice = Dice::new(seed);
    let mut steps: Vec<&str> = Vec::new();
    for rule in ["r0", "r1", "r2"] {
        if dice.roll(3) == 0 {
            steps.push("-");
        }
        steps.push(rule);
    }
    let pull = steps.join(" ");
    let Some(pair) = Pair::new(&distributions(&pull))? else {
        return Ok(());
    };
    pair.conf("override", "alpha Section web\nbeta Priority extra\n")?;
    let mut rules = String::new();
    for number in 0..3 {
        rules += &rule(&mut dice, number, &pair)?;
    }
    pair.conf("pulls", &rules)?;
    let packages = pair.theirs.root().join("packages");
    let mut history = format!("seed {seed}\nPull: {pull}\n{rules}");
    let mut check = |words: &[&str], answers: bool| {
        history += &format!("$ {}\n", words.join(" "));
        pair.both(words, answers)
            .map_err(|difference| format!("{history}\n{difference}"))
    };
    for _ in 0..3 {
        for command in changes(&mut dice, &packages)? {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            let _ = (pair.theirs.run(&words), pair.ours.run(&words));
        }
        let _ = check(&["dumppull"], true)?;
        let _ = check(&["-v", "-v", "checkpull", "dst"], true)?;
        let restricted = restriction(&mut dice);
        let mut words: Vec<&str> = restricted.iter().map(String::as_str).collect();
        words.push("dumppull");
        let _ = check(&words, true)?;
        words.pop();
        words.push("pull");
        let _ = check(&words, false)?;
        if dice.roll(2) == 0 {
            let _ = check(&["pull"], false)?;
            let _ = check(&["dumppull"], true)?;
        }
        compare(&pair)?.map_err(|difference| format!("{pull}\n{rules}\n{restricted:?}\n{difference}"))?;
    }
    pair.ours.assert_verified("dst")
}

#[test]
fn pulls_go_as_in_reprepro() -> TestResult {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let (first, count) = (number("PULL_SEED").unwrap_or(1), number("PULL_SEEDS").unwrap_or(3));
    (first..first + count).try_for_each(run_nights)
}

/// Words of a command line.
fn run(env: &TestEnv, line: &str) -> Output {
    env.run(line.split_whitespace())
}

fn include(env: &TestEnv, codename: &str, debs: &[Deb]) -> TestResult {
    for deb in debs {
        let file = deb.build(&env.incoming())?;
        let _ = env
            .run(["includedeb".as_ref(), codename.as_ref(), file.as_os_str()])
            .ok();
    }
    Ok(())
}

const STAGES: &str = "Codename: staging\nArchitectures: amd64\nComponents: main\nLimit: 0\n\n\
    Codename: prod\nArchitectures: amd64\nComponents: main\nLimit: 2\nPull: - tested\nLog: prod.log\n\n\
    Codename: latest\nArchitectures: amd64\nComponents: main\nPull: all\n";

fn stages() -> TestResult<TestEnv> {
    let env = TestEnv::with(Tool::under_test(), STAGES)?;
    env.conf(
        "pulls",
        "Name: tested\nFrom: staging\nFilterList: purge tested\n\nName: all\nFrom: staging\n",
    )?;
    env.conf("tested", "hello install\ntool = 1.0\n")?;
    Ok(env)
}

#[test]
fn a_pull_is_told_planned_and_carried_out_alike() -> TestResult {
    let env = stages()?;
    if env.tool().is_reprepro {
        return Ok(());
    }
    let hello = ["1.0", "1.1", "1.2"].map(|version| Deb::new("hello", version));
    include(&env, "staging", &hello)?;
    include(
        &env,
        "staging",
        &[Deb::new("tool", "1.0"), Deb::new("tool", "2.0"), Deb::new("new", "1")],
    )?;
    include(&env, "prod", &[Deb::new("old", "1")])?;
    let plan = "prod|main|amd64: add hello 1.1\nprod|main|amd64: add hello 1.2\nprod|main|amd64: remove old 1\n\
        prod|main|amd64: add tool 1.0\n";
    let dry = run(&env, "--dry-run pull prod").ok().stdout;
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&dry), sorted(plan));
    assert_eq!(env.list("prod"), "prod|main|amd64: old 1\n");
    let json = run(&env, "--json checkpull prod").ok().stdout;
    let json: serde_json::Value = serde_json::from_str(&json)?;
    let files = |row: &serde_json::Value| row.get("files").cloned().unwrap_or_default();
    let rows: Vec<_> = json["rows"].as_array().into_iter().flatten().collect();
    assert_eq!(rows.len(), 4, "{json:#}");
    assert_eq!(
        files(rows[0]),
        serde_json::json!(["pool/main/h/hello/hello_1.2_amd64.deb"])
    );
    assert_eq!(json["bytes_to_fetch"], 0);

    let quiet = run(&env, "pull").ok();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    assert_eq!(
        env.list("prod"),
        "prod|main|amd64: hello 1.2\nprod|main|amd64: hello 1.1\nprod|main|amd64: tool 1.0\n"
    );
    assert_eq!(
        env.list("latest"),
        "latest|main|amd64: hello 1.2\nlatest|main|amd64: new 1\nlatest|main|amd64: tool 2.0\n"
    );
    let log = std::fs::read_to_string(env.base().join("logs/prod.log"))?;
    assert_eq!(log.matches(" remove prod deb main amd64 old 1\n").count(), 1, "{log}");
    assert_eq!(log.matches(" add prod deb main amd64 ").count(), 4, "{log}");
    env.assert_verified("prod")?;
    env.assert_verified("latest")?;
    let before = env.tree()?;
    let _ = run(&env, "pull").ok();
    before.assert_unchanged(&env.tree()?);
    Ok(())
}

#[test]
fn what_a_pull_pushes_out_goes_into_the_archive() -> TestResult {
    let conf = "Codename: old\nArchitectures: amd64\nComponents: main\nLimit: 0\n\n\
        Codename: new\nArchitectures: amd64\nComponents: main\n\n\
        Codename: prod\nArchitectures: amd64\nComponents: main\nArchive: old\nPull: - new\n";
    let env = TestEnv::with(Tool::under_test(), conf)?;
    if env.tool().is_reprepro {
        return Ok(());
    }
    env.conf("pulls", "Name: new\nFrom: new\n")?;
    include(&env, "prod", &[Deb::new("hello", "1.0"), Deb::new("gone", "1")])?;
    include(&env, "new", &[Deb::new("hello", "1.1")])?;
    let _ = run(&env, "pull").ok();
    assert_eq!(env.list("prod"), "prod|main|amd64: hello 1.1\n");
    assert_eq!(env.list("old"), "old|main|amd64: hello 1.0\n");
    env.assert_verified("old")
}

#[test]
fn what_one_distribution_drops_another_can_pull_in_the_same_run() -> TestResult {
    let conf = "Codename: new\nArchitectures: amd64\nComponents: main\n\n\
        Codename: testing\nArchitectures: amd64\nComponents: main\nPull: - new\n\n\
        Codename: stable\nArchitectures: amd64\nComponents: main\nPull: - testing\n";
    let env = TestEnv::with(Tool::under_test(), conf)?;
    env.conf("pulls", "Name: new\nFrom: new\n\nName: testing\nFrom: testing\n")?;
    include(&env, "testing", &[Deb::new("hello", "1.0")])?;
    include(&env, "new", &[Deb::new("hello", "1.1")])?;
    let _ = run(&env, "pull").ok();
    assert_eq!(env.list("testing"), "testing|main|amd64: hello 1.1\n");
    assert_eq!(env.list("stable"), "stable|main|amd64: hello 1.0\n");
    let _ = run(&env, "checkpool").ok();
    env.assert_verified("stable")?;
    // and what nobody needs any more is gone after the next one
    let _ = run(&env, "pull").ok();
    assert_eq!(env.pool()?, ["pool/main/h/hello/hello_1.1_amd64.deb"]);
    Ok(())
}

#[test]
fn a_refused_pull_changes_nothing() -> TestResult {
    let env = stages()?;
    include(&env, "staging", &[Deb::new("hello", "1.0"), Deb::new("evil", "1")])?;
    env.conf("tested", "hello install\nevil error\n")?;
    let refused = run(&env, "pull prod latest").exits(255);
    if !env.tool().is_reprepro {
        assert!(
            refused.stderr.contains(
                "rule `tested` offers `evil` `1` for `prod|main|amd64`, which its filter list calls an error"
            ),
            "{refused}"
        );
    }
    assert_eq!(env.list("latest"), "");

    env.conf("tested", "")?;
    let many: Vec<Deb> = (0..12).map(|number| Deb::new(&format!("p{number}"), "1")).collect();
    include(&env, "prod", &many)?;
    if !env.tool().is_reprepro {
        let refused = run(&env, "--onlysmalldeletes pull prod").exits(255);
        assert!(
            refused.stderr.contains("12 of 12 packages of `prod|main|amd64`"),
            "{refused}"
        );
        assert_eq!(env.list("prod").lines().count(), 12);
    }
    let _ = run(&env, "pull prod").ok();
    assert_eq!(env.list("prod"), "");
    let nothing = run(&env, "pull staging").ok();
    assert!(nothing.stderr.contains("has a Pull: field"), "{nothing}");
    let _ = run(&env, "--restrict hello --restrict hello pull").exits(1);
    let _ = run(&env, "--restrict hello list prod").exits(255);
    Ok(())
}

/// Two archives that mirror the distribution `up` of a third, which is not signed.
struct Mirrors {
    pair: Pair,
    upstream: TestEnv,
}

const NO_NEWS: &[Deb] = &[];

impl Mirrors {
    fn new(update: &str, rules: &str) -> TestResult<Option<Self>> {
        let conf = format!(
            "Codename: m\nArchitectures: i386 amd64\nComponents: main extra\nUpdate: {update}\n\n\
             Codename: n\nArchitectures: amd64 source\nComponents: main\nUpdate: v\n"
        );
        let Some(pair) = Pair::new(&conf)? else { return Ok(None) };
        let upstream = TestEnv::in_memory(
            Tool::under_test(),
            "Codename: up\nArchitectures: amd64 i386 source\nComponents: main\n",
        )?;
        let method = upstream.outdir();
        let method = method.display();
        pair.conf(
            "updates",
            &format!(
                "Name: u\nMethod: file:{method}\nSuite: up\nComponents: main\nArchitectures: amd64 i386\n\
                 VerifyRelease: blindtrust\n{rules}\n\
                 Name: v\nMethod: file:{method}\nSuite: up\nVerifyRelease: blindtrust\n"
            ),
        )?;
        let mirrors = Self { pair, upstream };
        mirrors.publish(&first_night(), Some("hello"))?;
        Ok(Some(mirrors))
    }

    fn publish(&self, debs: &[Deb], source: Option<&str>) -> TestResult {
        include(&self.upstream, "up", debs)?;
        if let Some(name) = source {
            let dsc = Source::new(name, "1.0").build(&self.upstream.incoming())?;
            let _ = self
                .upstream
                .run(["includedsc".as_ref(), "up".as_ref(), dsc.as_os_str()])
                .ok();
        }
        Ok(())
    }

    #[track_caller]
    fn same(&self, line: &str, answers: bool) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match self.pair.both(&words, answers) {
            Ok(output) => output.stdout,
            Err(difference) => unreachable!("{difference}"),
        }
    }
}

fn first_night() -> Vec<Deb> {
    vec![
        Deb::new("hello", "1.0"),
        Deb::new("hello-doc", "1.0").arch("all").source("hello"),
        Deb::new("leaving", "3").arch("i386"),
        Deb::new("tool", "1.0"),
    ]
}

fn second_night(mirrors: &Mirrors) -> TestResult {
    mirrors.publish(
        &[Deb::new("hello", "1.1"), Deb::new("tool", "1.1"), Deb::new("new", "1")],
        None,
    )?;
    let _ = run(&mirrors.upstream, "remove up leaving").ok();
    Ok(())
}

#[test]
fn what_update_would_do_is_told_as_by_reprepro() -> TestResult {
    let Some(mirrors) = Mirrors::new("u - u", "FilterList: install list\n")? else {
        return Ok(());
    };
    mirrors.pair.conf("list", "tool hold\n")?;
    include(
        &mirrors.pair.theirs,
        "m",
        &[Deb::new("tool", "0.9"), Deb::new("own", "1")],
    )?;
    include(
        &mirrors.pair.ours,
        "m",
        &[Deb::new("tool", "0.9"), Deb::new("own", "1")],
    )?;
    for line in [
        "checkupdate",
        "-v -v checkupdate m",
        "dumpupdate",
        "-A i386 dumpupdate m",
    ] {
        let _ = mirrors.same(line, true);
    }
    let _ = mirrors.same("update", false);
    second_night(&mirrors)?;
    for line in ["checkupdate", "dumpupdate", "-v checkupdate n"] {
        let _ = mirrors.same(line, true);
    }
    let told = mirrors.same("checkupdate m", true);
    assert!(
        told.contains("'hello': '1.0' will be upgraded to '1.1' (from 'u'):\n files needed: "),
        "{told}"
    );
    let ours = &mirrors.pair.ours;
    if !ours.tool().is_reprepro {
        let output = run(ours, "checkupdate m").ok();
        let size = |deb: Deb| deb.bytes().map(|bytes| bytes.len() as u64);
        let bytes = size(Deb::new("hello", "1.1"))? + size(Deb::new("new", "1"))?;
        assert!(
            output
                .stderr
                .ends_with(&format!("To be fetched: 2 files, {}\n", human_bytes(bytes))),
            "{output}"
        );
    }
    Ok(())
}

#[test]
fn a_restricted_update_leaves_the_rest_for_the_next_one() -> TestResult {
    let Some(mirrors) = Mirrors::new("u", "")? else {
        return Ok(());
    };
    // reprepro cannot find a file that is named without a directory
    for env in [&mirrors.pair.theirs, &mirrors.pair.ours] {
        std::fs::write(env.root().join("some"), "tool install\nleaving = 2\n")?;
    }
    for restriction in [
        "--restrict hello",
        "--restrict hello=1.0",
        "--restrict hello=1.1",
        "--restrict tool:upgradeonly --restrict leaving",
        "--restrict-file ./some",
        "--restrict-file-bin ./some --restrict hello",
        "--restrict hello --restrict-binary tool --restrict-binary hello-doc:purge",
    ] {
        let _ = mirrors.same(&format!("{restriction} dumpupdate"), true);
    }
    // reprepro would take sources though only a binary package is named
    let _ = mirrors.same("--restrict-binary tool dumpupdate m", true);
    let _ = mirrors.same("--restrict hello update", false);
    let listed = "m|main|i386: hello-doc 1.0\nm|main|amd64: hello 1.0\nm|main|amd64: hello-doc 1.0\n";
    assert_eq!(mirrors.same("list m", true), listed);
    let ours = &mirrors.pair.ours;
    if !ours.tool().is_reprepro {
        let _ = run(ours, "--restrict-binary tool update n").ok();
        assert_eq!(
            ours.list("n"),
            "n|main|amd64: hello 1.0\nn|main|amd64: hello-doc 1.0\nn|main|amd64: tool 1.0\nn|main|source: hello 1.0\n"
        );
        let _ = run(ours, "update m").ok();
        assert_eq!(ours.list("m").lines().count(), 5, "the rest comes without --noskipold");
    }
    Ok(())
}

#[test]
fn predelete_makes_room_for_an_update() -> TestResult {
    let Some(mirrors) = Mirrors::new("- u", "")? else {
        return Ok(());
    };
    let _ = mirrors.same("update", false);
    second_night(&mirrors)?;
    let ours = &mirrors.pair.ours;
    if !ours.tool().is_reprepro {
        let before = ours.tree()?;
        assert_eq!(
            run(ours, "--dry-run predelete m").ok().stdout,
            "m|main|amd64: remove hello 1.0\nm|main|amd64: remove tool 1.0\nm|main|i386: remove leaving 3\n"
        );
        before.assert_unchanged(&ours.tree()?);
    }
    let _ = mirrors.same("predelete m", false);
    let left = "m|main|i386: hello-doc 1.0\nm|main|amd64: hello-doc 1.0\n";
    assert_eq!(mirrors.same("list m", true), left);
    assert_eq!(mirrors.pair.theirs.pool()?, ours.pool()?);
    ours.assert_verified("m")?;
    let _ = mirrors.same("update m", false);
    let listed = mirrors.same("list m", true);
    assert!(listed.contains("hello 1.1\n") && listed.contains("new 1\n"), "{listed}");
    Ok(())
}

#[test]
fn cleanlists_removes_what_no_rule_uses() -> TestResult {
    let Some(mirrors) = Mirrors::new("- u", "")? else {
        return Ok(());
    };
    let env = &mirrors.pair.ours;
    if env.tool().is_reprepro {
        return Ok(());
    }
    let _ = run(env, "update").ok();
    let lists = || -> TestResult<Vec<String>> {
        let names = std::fs::read_dir(env.base().join("lists"))?.map(|entry| Ok(entry?.file_name()));
        let names: std::io::Result<Vec<_>> = names.collect();
        let mut names: Vec<_> = names?.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    };
    let before = lists()?;
    assert_eq!(run(env, "--dry-run cleanlists").ok().stdout, "");
    let conf = "Codename: m\nArchitectures: amd64\nComponents: main\nUpdate: - u\n";
    env.conf("distributions", conf)?;
    std::fs::write(env.base().join("lists/.u_up_main_amd64_Packages.part"), "x")?;
    std::fs::write(env.base().join("lists/.gone_up_main_amd64_Packages.part"), "x")?;
    let would = run(env, "--dry-run cleanlists").ok().stdout;
    let told = run(env, "-v cleanlists").ok();
    for name in would.lines() {
        assert!(told.text().contains(&format!("lists/{name}\n")), "{name}: {told}");
    }
    let after = lists()?;
    let gone: Vec<_> = before.iter().filter(|name| !after.contains(name)).collect();
    assert!(gone.iter().any(|name| name.starts_with("v_")), "{gone:?}");
    assert!(gone.contains(&&"u_up_main_i386_Packages".to_owned()), "{gone:?}");
    assert!(
        !gone
            .iter()
            .any(|name| name.contains("u_up_main_amd64") || name.starts_with("u_up_Rel")),
        "{gone:?}"
    );
    assert!(gone.contains(&&"_n_lastseen.json".to_owned()), "{gone:?}");
    assert!(
        after.contains(&".u_up_main_amd64_Packages.part".to_owned()),
        "{after:?}"
    );
    assert!(!after.iter().any(|name| name.contains("gone")), "{after:?}");
    let quiet = run(env, "cleanlists").ok();
    assert_eq!(quiet.text(), "");
    Ok(())
}

#[test]
fn an_update_that_has_no_room_fetches_nothing() -> TestResult {
    let Some(mirrors) = Mirrors::new("- u", "")? else {
        return Ok(());
    };
    let env = &mirrors.pair.ours;
    if env.tool().is_reprepro {
        return Ok(());
    }
    mirrors.publish(NO_NEWS, None)?;
    let huge = u64::MAX / 2;
    for option in ["--safetymargin", "--dbsafetymargin"] {
        let refused = run(env, &format!("{option} {huge} update")).exits(255);
        let words = [
            "not enough room in the file system of",
            "bytes are needed",
            "are free",
            "--spacecheck",
        ];
        assert!(words.iter().all(|word| refused.stderr.contains(word)), "{refused}");
        assert_eq!(env.list("m"), "");
        assert_eq!(env.pool().unwrap_or_default(), [""; 0]);
    }
    env.options(&["spacecheck full", "safetymargin 1", "dbsafetymargin 1"])?;
    let quiet = run(env, "update m").ok();
    assert!(!quiet.stderr.contains("no effect"), "{quiet}");
    let _ = run(env, &format!("--spacecheck none --safetymargin {huge} update n")).ok();
    assert_eq!(env.list("n").lines().count(), 4);
    Ok(())
}
