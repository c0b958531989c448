//! Random but repeatable nights in the life of upstream archives: several suites that change in all the ways in which
//! real ones do.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use aptrepo::model::DigestKind;

use super::deb::{Compression, Deb};
use super::source::{Source, digests, hex};
use super::upstream::rfc_date;
use super::{Dice, TestResult};

/// The architectures of every suite.
const ARCHITECTURES: [&str; 2] = ["amd64", "i386"];
/// The components of every suite that is not flat.
const COMPONENTS: [&str; 3] = ["main", "contrib", "non-free"];
/// The suites, the last one flat. The first two share a pool.
pub const SUITES: [&str; 4] = ["stable", "stable-updates", "stable/updates", "flat"];
/// A day in 2026, before any clock that runs these tests.
const DATE: i64 = 1_790_000_000;
const DAY: i64 = 86_400;

/// What a binary package is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Any,
    All,
    /// For all architectures from this version on.
    AllFrom(usize),
    /// The installer.
    Installer,
}

/// A source package and what it builds.
struct Recipe {
    name: &'static str,
    section: &'static str,
    binaries: &'static [(&'static str, For)],
    /// In the order in which a maintainer would upload them.
    versions: &'static [&'static str],
}

const fn recipe(
    name: &'static str,
    section: &'static str,
    binaries: &'static [(&'static str, For)],
    versions: &'static [&'static str],
) -> Recipe {
    Recipe {
        name,
        section,
        binaries,
        versions,
    }
}

const RECIPES: [Recipe; 12] = [
    recipe(
        "hello",
        "web",
        &[("hello", For::Any), ("hello-doc", For::All)],
        &["1.0~rc1-1", "1.0-1", "1.0-1+deb1", "1.0-2", "1.1-1"],
    ),
    recipe(
        "libfoo",
        "libs",
        &[
            ("libfoo1", For::Any),
            ("libfoo-dev", For::Any),
            ("libfoo-data", For::AllFrom(2)),
        ],
        &["2-1", "2-1.1", "2+git1-1", "10-1~bpo1", "10-1"],
    ),
    recipe("tool", "utils", &[("tool", For::Any)], &["1", "2", "3~a", "3", "10"]),
    recipe("odd", "misc", &[("odd", For::All)], &["1:0.9-1", "1:1.0-1", "2:0.1-1"]),
    recipe(
        "firmware",
        "kernel",
        &[("firmware-x", For::All), ("firmware-tool", For::Any)],
        &["2024", "2025", "2026"],
    ),
    recipe(
        "installer",
        "admin",
        &[("installer", For::Any), ("installer-udeb", For::Installer)],
        &["0.1-1", "0.2-1", "0.3-1"],
    ),
    recipe(
        "kernel",
        "kernel",
        &[("kernel-udeb", For::Installer)],
        &["6.1-1", "6.1-2", "6.12-1"],
    ),
    recipe(
        "libx-perl",
        "perl",
        &[("libx-perl", For::All)],
        &["0.1-1", "0.01-2", "1.000-1"],
    ),
    // one binary comes from one source, then from another
    recipe("old", "utils", &[("shared-bin", For::Any)], &["1.0-1", "1.2-1"]),
    recipe(
        "new",
        "utils",
        &[("shared-bin", For::Any), ("new-bin", For::Any)],
        &["1.1-1", "1.3-1"],
    ),
    recipe("extra", "devel", &[("extra", For::Any)], &["1-1", "1-2", "2-1"]),
    recipe(
        "web-app",
        "web",
        &[("web-app", For::All), ("web-app-db", For::All)],
        &["1.0", "1.0.1", "1.1~rc2", "1.1"],
    ),
];

/// The names of all packages.
pub fn names() -> Vec<&'static str> {
    let of = |recipe: &'static Recipe| recipe.binaries.iter().map(|(name, _)| *name).chain([recipe.name]);
    RECIPES.iter().flat_map(of).collect()
}

/// A source package as a suite has it.
#[derive(Debug, Clone)]
struct Placed {
    component: &'static str,
    /// The version of each architecture, by its place; one may lag behind.
    versions: [usize; 2],
    /// How often each was built again.
    rebuilds: [usize; 2],
}

/// Names and contents of the files of a package.
type Files = Vec<(String, Vec<u8>)>;

/// The upstreams.
pub struct World {
    dice: Dice,
    root: PathBuf,
    night: i64,
    suites: Vec<BTreeMap<usize, Placed>>,
    /// The files of each package that was built, by the name of the .deb or the .dsc.
    built: RefCell<BTreeMap<String, Files>>,
}

impl World {
    /// Upstreams below `root`, as they are before the first night.
    pub fn new(seed: u64, root: &Path) -> Self {
        let mut world = Self {
            dice: Dice::new(seed),
            root: root.into(),
            night: 0,
            suites: vec![BTreeMap::new(); SUITES.len()],
            built: RefCell::default(),
        };
        for suite in 0..SUITES.len() {
            for at in 0..RECIPES.len() {
                if world.dice.roll(5) < if suite == 0 { 4 } else { 2 } {
                    world.place(suite, at);
                }
            }
        }
        world
    }

    fn place(&mut self, suite: usize, at: usize) {
        let versions = RECIPES.get(at).map_or(1, |recipe| recipe.versions.len());
        let version = self.dice.roll(versions);
        let component = match at {
            4 => "non-free",
            _ if self.dice.roll(5) == 0 => *self.dice.pick(&COMPONENTS),
            _ => "main",
        };
        let placed = Placed {
            component,
            versions: [version; 2],
            rebuilds: [0; 2],
        };
        if let Some(suite) = self.suites.get_mut(suite) {
            suite.insert(at, placed);
        }
    }

    /// What happens to every suite during a day.
    pub fn day(&mut self) {
        for suite in 0..self.suites.len() {
            for at in 0..RECIPES.len() {
                self.change(suite, at);
            }
        }
    }

    fn change(&mut self, suite: usize, at: usize) {
        let versions = RECIPES.get(at).map_or(1, |recipe| recipe.versions.len());
        let (kind, arch, back) = (self.dice.roll(14), self.dice.roll(2), self.dice.roll(versions));
        let component = *self.dice.pick(&COMPONENTS);
        let placed = self.suites.get_mut(suite).and_then(|suite| suite.remove(&at));
        let Some(mut placed) = placed else {
            if kind < 3 {
                self.place(suite, at);
            }
            return;
        };
        let mut to = suite;
        match kind {
            // an upgrade, on both architectures or on one
            0 | 1 => placed.versions = placed.versions.map(|version| (version + 1).min(versions - 1)),
            2 => {
                if let Some(version) = placed.versions.get_mut(arch) {
                    *version = (*version + 1).min(versions - 1);
                }
            }
            3 => placed.versions = [back.min(placed.versions.into_iter().min().unwrap_or_default()); 2],
            4 => return,
            5 => placed.component = component,
            6 => to = (suite + 1) % SUITES.len(),
            7 => {
                if let Some(rebuild) = placed.rebuilds.get_mut(arch) {
                    *rebuild += 1;
                }
            }
            _ => {}
        }
        if let Some(suite) = self.suites.get_mut(to) {
            suite.insert(at, placed);
        }
    }

    /// Writes all suites.
    pub fn publish(&mut self) -> TestResult {
        self.night += 1;
        for (suite, name) in self.suites.iter().zip(SUITES) {
            if name == "flat" {
                self.publish_flat(suite)?;
            } else {
                self.publish_suite(name, suite)?;
            }
        }
        Ok(())
    }

    fn publish_suite(&self, name: &str, suite: &BTreeMap<usize, Placed>) -> TestResult {
        let dir = self.root.join("dists").join(name);
        let mut release = Release::new(name, DATE + self.night * DAY);
        for component in COMPONENTS {
            let mut sources = String::new();
            for (at, placed) in suite.iter().filter(|(_, placed)| placed.component == component) {
                sources += &self.sources(*at, placed, component)?;
            }
            release.add(&dir, &format!("{component}/source/Sources"), &sources)?;
            for (number, arch) in ARCHITECTURES.into_iter().enumerate() {
                let (mut debs, mut udebs) = (String::new(), String::new());
                for (at, placed) in suite.iter().filter(|(_, placed)| placed.component == component) {
                    for deb in binaries(*at, placed, number) {
                        let text = self.package(*at, &deb, component)?;
                        if deb.udeb { &mut udebs } else { &mut debs }.push_str(&text);
                    }
                }
                release.add(&dir, &format!("{component}/binary-{arch}/Packages"), &debs)?;
                let path = format!("{component}/debian-installer/binary-{arch}/Packages");
                release.add(&dir, &path, &udebs)?;
            }
        }
        release.write(&dir)
    }

    /// All architectures in one index, and of some packages several versions.
    fn publish_flat(&self, suite: &BTreeMap<usize, Placed>) -> TestResult {
        let dir = self.root.join("flat");
        let mut release = Release::new("flat", DATE + self.night * DAY);
        let (mut debs, mut sources) = (String::new(), String::new());
        for (at, placed) in suite {
            sources += &self.sources(*at, placed, "flat")?;
            let mut older = placed.clone();
            older.versions = placed.versions.map(|version| version.saturating_sub(1));
            let mut seen = Vec::new();
            for (placed, number) in [(placed, 0), (placed, 1), (&older, 0)] {
                for deb in binaries(*at, placed, number).into_iter().filter(|deb| !deb.udeb) {
                    if !seen.contains(&deb.file_name()) {
                        seen.push(deb.file_name());
                        debs += &self.package(*at, &deb, "flat")?;
                    }
                }
            }
        }
        release.add(&dir, "Packages", &debs)?;
        release.add(&dir, "Sources", &sources)?;
        release.write(&dir)
    }

    /// Builds a package, if that was not done before.
    fn built(&self, name: &str, build: impl FnOnce() -> std::io::Result<Files>) -> TestResult<Files> {
        if let Some(files) = self.built.borrow().get(name) {
            return Ok(files.clone());
        }
        let files = build()?;
        self.built.borrow_mut().insert(name.to_owned(), files.clone());
        Ok(files)
    }

    /// Puts a file into the pool and gives its path there.
    fn keep(&self, component: &str, source: &str, (name, bytes): (&str, &[u8])) -> TestResult<String> {
        let path = if component == "flat" {
            format!("flat/{name}")
        } else {
            format!("pool/{component}/{source}/{name}")
        };
        let file = self.root.join(&path);
        if !file.is_file() {
            std::fs::create_dir_all(file.parent().unwrap_or(&self.root))?;
            std::fs::write(&file, bytes)?;
        }
        Ok(if component == "flat" { format!("./{path}") } else { path })
    }

    fn package(&self, at: usize, deb: &Deb, component: &str) -> TestResult<String> {
        let source = RECIPES.get(at).map_or("", |recipe| recipe.name);
        let name = deb.file_name();
        let files = self.built(&name, || Ok(vec![(name.clone(), deb.bytes()?)]))?;
        let (_, bytes) = files.first().ok_or("no file")?;
        let path = self.keep(component, source, (&name, bytes))?;
        let control = deb.control();
        let (before, after) = control.split_once("Description:").unwrap_or((&control, ""));
        let digests: String = [DigestKind::Md5, DigestKind::Sha256]
            .map(|kind| format!("{}: {}\n", kind.packages_field(), hex(bytes, kind)))
            .concat();
        let size = bytes.len();
        Ok(format!(
            "{before}Filename: {path}\nSize: {size}\n{digests}Description:{after}\n"
        ))
    }

    /// The stanzas of a source: of each version that an architecture still has.
    fn sources(&self, at: usize, placed: &Placed, component: &str) -> TestResult<String> {
        let Some(recipe) = RECIPES.get(at) else {
            return Ok(String::new());
        };
        let newest = placed.versions.into_iter().max().unwrap_or_default();
        let oldest = placed.versions.into_iter().min().unwrap_or_default();
        let mut text = self.source(recipe, newest, component, false)?;
        if oldest != newest {
            text += &self.source(recipe, oldest, component, true)?;
        }
        Ok(text)
    }

    fn source(&self, recipe: &Recipe, version: usize, component: &str, is_extra: bool) -> TestResult<String> {
        let version = recipe.versions.get(version).copied().unwrap_or_default();
        let source = Source::new(recipe.name, version).section(recipe.section);
        let names = recipe.binaries.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let mut text = format!(
            "Package: {}\nBinary: {}\nVersion: {version}\nMaintainer: Test <test@example.org>\nArchitecture: any all\n\
             Format: 3.0 (quilt)\n",
            recipe.name,
            names.join(", ")
        );
        let mut lists = [DigestKind::Md5, DigestKind::Sha256].map(|kind| (kind, format!("{}:\n", kind.source_field())));
        let mut directory = String::new();
        for (name, bytes) in self.built(&source.dsc_name(), || source.files())? {
            for (kind, list) in &mut lists {
                writeln!(list, " {} {} {name}", hex(&bytes, *kind), bytes.len())?;
            }
            directory = self
                .keep(component, recipe.name, (&name, &bytes))?
                .rsplit_once('/')
                .map_or("", |(directory, _)| directory)
                .to_owned();
        }
        for (_, list) in &lists {
            text += list;
        }
        writeln!(
            text,
            "Directory: {directory}\nPriority: optional\nSection: {}",
            recipe.section
        )?;
        if is_extra {
            text += "Extra-Source-Only: yes\n";
        }
        Ok(text + "\n")
    }
}

/// The binary packages of a source in the index of one architecture.
fn binaries(at: usize, placed: &Placed, number: usize) -> Vec<Deb> {
    let Some(recipe) = RECIPES.get(at) else {
        return Vec::new();
    };
    let arch = ARCHITECTURES.get(number).copied().unwrap_or_default();
    let index = placed.versions.get(number).copied().unwrap_or_default();
    let version = recipe.versions.get(index).copied().unwrap_or_default();
    let rebuilds = placed.rebuilds.get(number).copied().unwrap_or_default();
    let of = |(name, made_for): &(&str, For)| {
        let is_all = matches!(made_for, For::All) || matches!(made_for, For::AllFrom(first) if index >= *first);
        let built = if is_all || rebuilds == 0 {
            version.to_owned()
        } else {
            format!("{version}+b{rebuilds}")
        };
        let deb = Deb::new(name, &built)
            .arch(if is_all { "all" } else { arch })
            .section(recipe.section)
            .priority(if index == 0 { "extra" } else { "optional" })
            .file(&format!("usr/bin/{name}"), b"x");
        let deb = if built != version {
            deb.source(&format!("{} ({version})", recipe.name))
        } else if *name == recipe.name {
            deb
        } else {
            deb.source(recipe.name)
        };
        if *made_for == For::Installer { deb.udeb() } else { deb }
    };
    recipe.binaries.iter().map(of).collect()
}

/// A Release file in the making.
struct Release {
    head: String,
    lists: [(DigestKind, String); 2],
}

impl Release {
    fn new(suite: &str, date: i64) -> Self {
        let name = suite.rsplit('/').next_back().unwrap_or(suite);
        Self {
            head: format!("Suite: {name}\nCodename: {name}\nDate: {}\n", rfc_date(date)),
            lists: [DigestKind::Md5, DigestKind::Sha256].map(|kind| (kind, format!("{}:\n", kind.release_field()))),
        }
    }

    /// Writes an index and notes it.
    fn add(&mut self, dir: &Path, path: &str, text: &str) -> TestResult {
        let packed = Compression::Gz.pack(text.as_bytes())?;
        for (suffix, bytes) in [("", text.as_bytes()), (".gz", &packed)] {
            let file = dir.join(format!("{path}{suffix}"));
            std::fs::create_dir_all(file.parent().unwrap_or(dir))?;
            std::fs::write(&file, bytes)?;
            let known = digests(bytes);
            for (kind, list) in &mut self.lists {
                let digest = known.digests.hex(*kind).unwrap_or_default();
                writeln!(list, " {digest} {} {path}{suffix}", bytes.len())?;
            }
        }
        Ok(())
    }

    fn write(self, dir: &Path) -> TestResult {
        let [(_, md5), (_, sha256)] = self.lists;
        Ok(std::fs::write(dir.join("Release"), self.head + &md5 + &sha256)?)
    }
}
