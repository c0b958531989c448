//! A database that is damaged: no command publishes anything wrong from it, the message says what to do, and `recover`
//! builds it anew from what is left, the published indexes, the pool and the last saved dump.
#![expect(clippy::disallowed_methods, reason = "test fixtures need no atomic writes")]
#![expect(clippy::print_stdout, reason = "the number of damages tried is worth knowing")]

mod support;

use std::path::{Path, PathBuf};

use support::env::one_distribution;
use support::{Changes, Deb, Output, Source, TestEnv, TestResult, Tool};

const NAMES: [&str; 5] = ["alpha", "beta", "g190", "omega", "zeta"];

fn ours() -> bool {
    !Tool::under_test().is_reprepro
}

/// A signed archive with Contents, tracking, sources and a second distribution, and a copy of its `db/`.
struct Archive {
    env: TestEnv,
    list: String,
    tracks: String,
}

impl Archive {
    fn new(options: &[&str]) -> TestResult<Self> {
        let conf = one_distribution(&["SignWith: yes", "Contents: .", "Tracking: all"])
            + "\nCodename: other\nArchitectures: amd64\nComponents: main\nSignWith: yes\nDebIndices: Packages Release .xz\n";
        let mut env = TestEnv::in_memory(Tool::under_test(), &conf)?;
        let _ = env.make_key()?;
        env.options(options)?;
        for name in NAMES {
            let deb = Deb::new(name, "1").build(&env.incoming())?;
            let deb = deb.to_string_lossy();
            let _ = env.run(["includedeb", "local", &deb]).ok();
            let _ = env.run(["includedeb", "other", &deb]).ok();
        }
        let source = Source::new("hello", "1.0-1");
        let changes = Changes::new("local").source(&source).build(&env.incoming())?;
        let _ = env.run(["include", "local", &changes.to_string_lossy()]).ok();
        let archive = Self {
            list: String::new(),
            tracks: env.run(["dumptracks"]).ok().stdout,
            env,
        };
        archive.copy("db", "good")?;
        archive.copy("www", "good-www")?;
        Ok(Self {
            list: archive.listed(),
            ..archive
        })
    }

    fn db(&self) -> PathBuf {
        self.env.base().join("db")
    }

    fn copy(&self, from: &str, to: &str) -> TestResult {
        let (from, to) = (self.env.base().join(from), self.env.base().join(to));
        if to.exists() {
            std::fs::remove_dir_all(&to)?;
        }
        let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status()?;
        assert!(copied.success());
        Ok(())
    }

    /// Makes the archive what it was.
    fn restore(&self) -> TestResult {
        for file in std::fs::read_dir(self.env.base())? {
            let path = file?.path();
            if path.to_string_lossy().contains("db.damaged") {
                std::fs::remove_dir_all(path)?;
            }
        }
        self.copy("good", "db")?;
        self.copy("good-www", "www")
    }

    fn listed(&self) -> String {
        self.env.list("local") + &self.env.list("other")
    }

    fn include(&self, name: &str) -> TestResult<Output> {
        let deb = Deb::new(name, "1").build(&self.env.incoming())?;
        Ok(self.env.run(["includedeb", "local", &deb.to_string_lossy()]))
    }

    /// What clients see is whole, and nothing that was ever published is missing.
    fn assert_published(&self, what: &str) -> TestResult {
        for codename in ["local", "other"] {
            self.env.assert_verified(codename)?;
        }
        let packages = self.env.outdir().join("dists/local/main/binary-amd64/Packages");
        let packages = std::fs::read_to_string(packages)?;
        for name in NAMES {
            assert!(
                packages.contains(&format!("Package: {name}\n")),
                "{what}: {name} is gone"
            );
        }
        Ok(())
    }

    /// After `recover`: all is as it was, and goes on.
    fn assert_healed(&self, what: &str) -> TestResult {
        // what came in after the damage may be there or not
        let list = self.listed().replace("local|main|amd64: new 1\n", "");
        assert_eq!(list, self.list, "{what}");
        let check = self.env.run(["check"]).ok();
        assert_eq!(check.stderr, "", "{what}");
        let _ = self.include("new")?.ok();
        let _ = self.env.run(["checkpool"]).ok();
        self.assert_published(what)?;
        assert!(self.env.list("local").contains("new 1\n"), "{what}");
        let refused = self.env.run(["recover"]).refused();
        assert!(refused.stderr.contains("nothing is damaged"), "{what}: {refused}");
        Ok(())
    }
}

/// All files below a directory.
fn files_below(directory: &Path) -> TestResult<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_below(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

type Damage = fn(&mut Vec<u8>);

/// What is done to a file.
const DAMAGES: [(&str, Damage); 4] = [
    ("empty", Vec::clear),
    ("cut off", |bytes| bytes.truncate(bytes.len() / 2)),
    ("a flipped bit", |bytes| {
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 4;
        }
    }),
    ("a flipped bit near its end", |bytes| {
        let place = bytes.len().saturating_sub(3);
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 1;
        }
    }),
];

/// Damages one file; whatever the next commands make of it, nothing wrong is published, and `recover` heals the rest.
fn damage_and_heal(archive: &Archive, path: &Path, what: &str, damage: Option<Damage>) -> TestResult<bool> {
    let name = path.strip_prefix(archive.db())?.display();
    let what = format!("{name}, {what}");
    match damage {
        Some(damage) => {
            let mut bytes = std::fs::read(path)?;
            damage(&mut bytes);
            std::fs::write(path, bytes)?;
        }
        None => std::fs::remove_file(path)?,
    }
    // damage that shows only when a row is read ends the first command, and is mended by the next
    let first = archive.include("new")?;
    archive.assert_published(&what)?;
    let second = if first.status == 0 {
        first
    } else {
        archive.include("new")?
    };
    archive.assert_published(&what)?;
    if second.status == 0 {
        // another index than the one that the package came into may be damaged
        let list = archive.env.run(["list", "local"]);
        let is_whole = NAMES.iter().all(|name| list.stdout.contains(&format!("{name} 1\n")));
        assert!(is_whole || list.stderr.contains("recover` rebuilds"), "{what}: {list}");
    } else {
        assert!(second.stderr.contains("recover` rebuilds"), "{what}: {second}");
    }
    let check = archive.env.run(["check"]);
    let needs_recovery = second.status != 0 || check.status != 0;
    if needs_recovery {
        let before = archive.env.tree()?;
        let dry = archive.env.run(["--dry-run", "recover"]).ok();
        let told = archive.env.run(["recover"]).ok();
        assert_eq!(dry.stdout.lines().next(), told.stdout.lines().next(), "{what}");
        before.assert_unchanged(&archive.env.tree()?);
        archive.assert_healed(&what)?;
    }
    archive.restore()?;
    Ok(needs_recovery)
}

#[test]
fn whatever_is_damaged_nothing_wrong_is_published_and_recover_heals() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let archive = Archive::new(&[])?;
    let mut kinds: Vec<(String, usize)> = Vec::new();
    let mut recovered = Vec::new();
    for path in files_below(&archive.db())? {
        let name = path.strip_prefix(archive.db())?.to_string_lossy().into_owned();
        let kind = name.split('/').next().unwrap_or_default().to_owned();
        if name.ends_with("lock") || kind == "collected" || kind == "dumps" {
            continue;
        }
        let seen = kinds.iter().filter(|(known, _)| *known == kind).count();
        kinds.push((kind, seen));
        // of many files of a kind each gets one damage, the last kind of which is that it is gone
        let turn = seen % (DAMAGES.len() + 1);
        for (at, (what, damage)) in DAMAGES.into_iter().enumerate() {
            if seen == 0 || turn == at {
                recovered.push(damage_and_heal(&archive, &path, what, Some(damage))?);
            }
        }
        if seen == 0 || turn == DAMAGES.len() {
            recovered.push(damage_and_heal(&archive, &path, "removed", None)?);
        }
    }
    for kind in ["journal", "objects", "published", "filelists", "sled", "version"] {
        assert!(
            kinds.iter().any(|(known, _)| known == kind),
            "no file of kind {kind}: {kinds:?}"
        );
    }
    let tried = recovered.len();
    recovered.retain(|needed| *needed);
    println!(
        "{} files, {tried} damages: {} needed `recover`, the others were mended on the way; all healed",
        kinds.len(),
        recovered.len()
    );
    assert!(recovered.len() > 10, "{}", recovered.len());
    Ok(())
}

#[test]
fn a_lost_database_is_built_of_the_published_indexes() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let archive = Archive::new(&["dump-interval 0"])?;
    assert!(!archive.db().join("dumps").exists());
    std::fs::remove_dir_all(archive.db())?;
    for command in [
        &["export"][..],
        &["check"],
        &["includedeb", "local", "in/new_1_amd64.deb"],
    ] {
        let _ = Deb::new("new", "1").build(&archive.env.incoming())?;
        let refused = archive.env.run(command).refused();
        assert!(refused.stderr.contains("recover` rebuilds"), "{refused}");
        archive.assert_published("a lost database")?;
    }
    let told = archive.env.run(["recover"]).exits(254);
    assert!(told.stdout.contains("lost: the tracking data of `local`"), "{told}");
    assert!(told.stdout.contains("its Release is signed"), "{told}");
    archive.assert_healed("a lost database")?;
    let _ = archive.env.run(["retrack"]).ok();
    assert_eq!(archive.env.run(["dumptracks", "other"]).ok().stdout, "");
    Ok(())
}

#[test]
fn a_lost_database_is_built_of_the_last_dump_and_tells_what_is_lost() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let archive = Archive::new(&["dump-interval 1s"])?;
    std::thread::sleep(std::time::Duration::from_millis(2100));
    // what only the dump knows
    let deb = Deb::new("hidden", "1").build(&archive.env.incoming())?;
    let _ = archive
        .env
        .run(["--export=never", "includedeb", "local", &deb.to_string_lossy()])
        .ok();
    let list = archive.listed();
    let tracks = archive.env.run(["dumptracks"]).ok().stdout;
    let dumps = files_below(&archive.db().join("dumps"))?;
    assert!((1..=3).contains(&dumps.len()), "{dumps:?}");
    for file in files_below(&archive.db())? {
        if !file.starts_with(archive.db().join("dumps")) {
            std::fs::remove_file(file)?;
        }
    }
    std::fs::remove_file(archive.env.outdir().join("pool/main/b/beta/beta_1_amd64.deb"))?;
    let pool = archive.env.tree()?;
    let told = archive.env.run(["recover"]).exits(254);
    assert!(told.stdout.contains("from the dump of change"), "{told}");
    assert!(
        told.stdout
            .contains("lost: local|main|amd64: beta 1: `pool/main/b/beta/beta_1_amd64.deb` is missing"),
        "{told}"
    );
    pool.assert_unchanged(&archive.env.tree()?);
    let without_beta: String = list
        .lines()
        .filter(|line| !line.contains(" beta "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(archive.listed(), without_beta, "{told}");
    let found = archive.env.run(["dumptracks"]).ok().stdout;
    assert!(tracks.contains("hidden") && found.contains("hidden"), "{found}");
    assert_eq!(archive.env.run(["check"]).ok().stderr, "");
    archive.env.assert_verified("local")?;
    Ok(())
}

#[test]
fn an_index_that_was_tampered_with_is_not_believed() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let archive = Archive::new(&["dump-interval 0"])?;
    std::fs::remove_dir_all(archive.db())?;
    let dists = archive.env.outdir().join("dists");
    let packages = dists.join("local/main/binary-amd64/Packages");
    let text = std::fs::read_to_string(&packages)?;
    std::fs::remove_file(&packages)?;
    std::fs::write(&packages, text.replace("Package: zeta", "Package: zero"))?;
    let release = dists.join("other/InRelease");
    let text = std::fs::read_to_string(&release)?;
    std::fs::remove_file(&release)?;
    std::fs::write(&release, text.replace("Codename: other", "Codename: 0ther"))?;
    let told = archive.env.run(["recover"]).exits(254);
    assert!(
        told.stdout.contains("the published indexes of `other` cannot be used"),
        "{told}"
    );
    // the compressed form of the other index is what was signed
    assert_eq!(
        archive.env.list("local"),
        archive.list.split("other|").next().unwrap_or_default()
    );
    assert_eq!(archive.env.list("other"), "");
    Ok(())
}

#[test]
fn a_whole_database_is_rebuilt_only_if_that_is_wanted() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let archive = Archive::new(&[])?;
    let refused = archive.env.run(["recover"]).refused();
    assert!(refused.stderr.contains("--anyway"), "{refused}");
    assert!(!archive.env.base().join("db.recovering").exists());
    let _ = archive.env.run(["recover", "--anyway"]).ok();
    assert_eq!(archive.env.run(["dumptracks"]).ok().stdout, archive.tracks);
    archive.assert_healed("rebuilt anyway")
}

#[test]
fn dumps_are_saved_at_intervals_and_can_be_loaded() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let archive = Archive::new(&["dump-interval 1s"])?;
    let directory = archive.db().join("dumps");
    for round in 0..4 {
        std::thread::sleep(std::time::Duration::from_millis(2100));
        let _ = archive.include(&format!("round{round}"))?.ok();
    }
    let dumps = files_below(&directory)?;
    assert_eq!(dumps.len(), 3, "{dumps:?}");
    let newest = dumps
        .iter()
        .max_by_key(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
        .ok_or("no dump")?;
    let unpacked = zstd::decode_all(std::fs::File::open(newest)?)?;
    assert_eq!(String::from_utf8(unpacked)?, archive.env.run(["dump"]).ok().stdout);
    // neither a command that fails nor one that only reads saves one
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let _ = archive.env.run(["includedeb", "local", "/none.deb"]).refused();
    let _ = archive.env.run(["list", "local"]).ok();
    assert_eq!(files_below(&directory)?, dumps);
    Ok(())
}
