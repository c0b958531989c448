//! Random but repeatable days in the life of an archive, as command lines that reprepro and aptrepo both take.

use std::path::{Path, PathBuf};

use aptrepo::model::Version;

use super::changes::{Changes, Fault};
use super::deb::Deb;
use super::source::Source;
use super::{Dice, TestEnv, TestResult};

/// The distributions of a scenario.
pub const CODENAMES: [&str; 3] = ["dev", "staging", "prod"];
/// Their architectures.
pub const ARCHITECTURES: [&str; 2] = ["i386", "amd64"];
/// Their components.
pub const COMPONENTS: [&str; 3] = ["main", "contrib", "role/web"];

/// A source package and what it builds.
struct Recipe {
    name: &'static str,
    section: &'static str,
    /// Name, and whether it is for all architectures.
    binaries: &'static [(&'static str, bool)],
    /// Oldest first.
    versions: &'static [&'static str],
    udeb: bool,
}

const RECIPES: [Recipe; 6] = [
    Recipe {
        name: "hello",
        section: "web",
        binaries: &[("hello", false), ("hello-doc", true)],
        versions: &["1.0~rc1-1", "1.0-1", "1.0-2", "1.1-1"],
        udeb: false,
    },
    Recipe {
        name: "libfoo",
        section: "libs",
        binaries: &[("libfoo1", false), ("libfoo-dev", false)],
        versions: &["2-1", "2-1.1", "2+git1-1", "10-1"],
        udeb: false,
    },
    Recipe {
        name: "tool",
        section: "utils",
        binaries: &[("tool", false)],
        versions: &["1", "2", "3"],
        udeb: false,
    },
    Recipe {
        name: "odd",
        section: "contrib/misc",
        binaries: &[("odd", true)],
        versions: &["1:0.9-1", "1:1.0-1", "2:0.1-1"],
        udeb: false,
    },
    Recipe {
        name: "role",
        section: "role/web",
        binaries: &[("role-web", true), ("role-agent", false)],
        versions: &["1-1", "1-2", "1-3"],
        udeb: false,
    },
    Recipe {
        name: "installer",
        section: "admin",
        binaries: &[("installer", false)],
        versions: &["0.1-1", "0.2-1"],
        udeb: true,
    },
];

impl Recipe {
    fn source(&self, version: &str) -> Source {
        let source = Source::new(self.name, version).section(self.section);
        let arch = |all: bool| if all { "all" } else { "any" };
        self.binaries
            .iter()
            .fold(source, |source, (name, all)| source.binary(name, arch(*all)))
    }

    /// Its binaries of one version as built for `arch`, those for all architectures among them if asked for.
    fn debs(&self, version: &str, arch: &str, with_all: bool) -> Vec<Deb> {
        let wanted = self.binaries.iter().filter(|(_, all)| with_all || !all);
        let mut debs: Vec<Deb> = wanted
            .map(|(name, all)| self.deb(name, version, if *all { "all" } else { arch }))
            .collect();
        if self.udeb {
            debs.push(self.deb(&format!("{}-udeb", self.name), version, arch).udeb());
        }
        debs
    }

    fn deb(&self, name: &str, version: &str, arch: &str) -> Deb {
        let deb = Deb::new(name, version)
            .arch(arch)
            .section(self.section)
            .field("Depends", "libc6 (>= 2.3)")
            .file(
                &format!("usr/bin/{name}"),
                format!("{name} {version} {arch}").as_bytes(),
            )
            .file("usr/share/common/shared", b"in several packages")
            .file(&format!("etc/{name} with blank.conf"), b"x");
        if name == self.name { deb } else { deb.source(self.name) }
    }
}

/// conf/distributions of a scenario, all three tracking in this way (none if empty).
pub fn distributions(tracking: &str) -> String {
    let tracking = if tracking.is_empty() {
        String::new()
    } else {
        format!("Tracking: {tracking}\n")
    };
    let stanzas = CODENAMES.map(|codename| {
        let not_automatic = if codename == "prod" { "" } else { "NotAutomatic: yes\n" };
        format!(
            "Origin: Company # ours\nLabel: {codename}\nSuite: {codename}-suite\nCodename: {codename}\nVersion: 1.0\n\
             Architectures: {} source\nComponents: {}\nUDebComponents: main\nDescription: The {codename} packages\n\
             AlsoAcceptFor: unstable\nDebIndices: Packages Release . .gz\nUDebIndices: Packages . .gz\n\
             DscIndices: Sources Release .gz\nContents: .gz\n{tracking}{not_automatic}DebOverride: override\n\
             Log: {codename}.log\n notify\n --changes notify\n",
            ARCHITECTURES.join(" "),
            COMPONENTS.join(" "),
        )
    });
    stanzas.join("\n")
}

/// Prepares the rest of the configuration: an override file, and a notifier that writes down what it is told.
pub fn configure(env: &TestEnv) -> TestResult {
    env.conf(
        "override",
        "libfoo-dev Section libdevel\nlibfoo-dev Task developing\ntool Priority extra\n",
    )?;
    env.script(
        "notify",
        "#!/bin/sh\n{ echo \"args $*\"; env | grep '^REPREPRO_' | sort; } | tr '\\n' '|' >> \"$REPREPRO_BASE_DIR/notified\"\n\
         echo >> \"$REPREPRO_BASE_DIR/notified\"\n",
    )
}

/// One command of a scenario.
#[derive(Debug, Clone)]
pub struct Step {
    pub args: Vec<String>,
    /// Whether it only answers, so that its standard output has to be the same too.
    pub query: bool,
}

/// Makes up the commands of one scenario. The packages are built below `dir` when a command first needs them.
pub struct Scenario {
    dice: Dice,
    dir: PathBuf,
}

impl Scenario {
    pub fn new(seed: u64, dir: &Path) -> Self {
        Self {
            dice: Dice::new(seed),
            dir: dir.into(),
        }
    }

    /// The next command. `oracle` is the archive as it stands, to keep clear of what differs on purpose.
    pub fn next_step(&mut self, oracle: &TestEnv) -> TestResult<Step> {
        loop {
            let step = self.any_step()?;
            if !differs_on_purpose(&step, oracle) {
                return Ok(step);
            }
        }
    }

    fn any_step(&mut self) -> TestResult<Step> {
        let args = match self.dice.roll(100) {
            0..30 => self.includedeb()?,
            30..50 => self.include()?,
            50..56 => self.includedsc()?,
            56..66 => self.copy(),
            66..76 => self.copysrc(),
            76..84 => self.remove(),
            84..88 => self.removesrc(),
            88..91 => self.tracks(),
            91..93 => self.collision()?,
            93..95 => self.broken_upload()?,
            _ => {
                let args = self.query();
                return Ok(Step { args, query: true });
            }
        };
        Ok(Step { args, query: false })
    }

    fn codename(&mut self) -> String {
        (*self.dice.pick(&CODENAMES)).into()
    }

    /// Mostly one of the first few, so that commands meet packages that are there.
    fn recipe(&mut self) -> &'static Recipe {
        let often = RECIPES.get(..3).filter(|_| self.dice.roll(2) == 0);
        self.dice.pick(often.unwrap_or(&RECIPES))
    }

    /// Any of the names of source and binary packages.
    fn name(&mut self) -> String {
        let recipe = self.recipe();
        let at = self.dice.roll(recipe.binaries.len() + 1);
        recipe.binaries.get(at).map_or(recipe.name, |(name, _)| name).into()
    }

    /// Sometimes a restriction or a forced component.
    fn options(&mut self) -> Vec<String> {
        let words: &[&str] = match self.dice.roll(12) {
            0 => &["-C", "main"],
            1 => &["-C", "contrib"],
            2 => &["-A", "amd64"],
            3 => &["-C", "main|role/web"],
            4 => &["-A", "i386|source"],
            5 => &["-T", "deb"],
            _ => &[],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn includedeb(&mut self) -> TestResult<Vec<String>> {
        let mut args: Vec<String> = match self.dice.roll(8) {
            0 => vec!["-C".into(), "contrib".into()],
            1 => vec!["-A".into(), "i386".into()],
            2 => vec!["-S".into(), "games".into(), "-P".into(), "extra".into()],
            _ => Vec::new(),
        };
        let recipe = self.recipe();
        let version = *self.dice.pick(recipe.versions);
        let arch = *self.dice.pick(&ARCHITECTURES);
        let mut debs = recipe.debs(version, arch, true);
        if self.dice.roll(3) == 0 {
            debs.retain(|deb| !deb.udeb);
        }
        let udeb = debs.iter().all(|deb| deb.udeb);
        debs.retain(|deb| deb.udeb == udeb);
        if udeb {
            args.clear();
        }
        if args.first().is_some_and(|option| option == "-A") {
            debs.retain(|deb| deb.arch == "i386" || deb.arch == "all");
            if debs.is_empty() {
                args.clear();
                debs = recipe.debs(version, arch, true);
                debs.retain(|deb| !deb.udeb);
            }
        }
        args.push(if udeb { "includeudeb" } else { "includedeb" }.into());
        args.push(self.codename());
        for deb in debs {
            args.push(path_text(&deb.build(&self.dir)?));
        }
        Ok(args)
    }

    fn include(&mut self) -> TestResult<Vec<String>> {
        let recipe = self.recipe();
        let version = *self.dice.pick(recipe.versions);
        let arch = *self.dice.pick(&ARCHITECTURES);
        let codename = self.codename();
        let named = if self.dice.roll(4) == 0 { "unstable" } else { &codename };
        let mut changes = Changes::new(named);
        let with_source = self.dice.roll(3) != 0;
        if with_source {
            changes = changes.source(&recipe.source(version));
        }
        for deb in recipe.debs(version, arch, with_source || arch == "amd64") {
            changes = changes.deb(&deb);
        }
        let unique = self.dir.join(format!("up-{named}-{arch}-{with_source}"));
        let mut args = if self.dice.roll(3) == 0 {
            vec!["-C".to_owned(), "main".into()]
        } else {
            Vec::new()
        };
        args.extend(["include".into(), codename, path_text(&changes.build(&unique)?)]);
        Ok(args)
    }

    fn includedsc(&mut self) -> TestResult<Vec<String>> {
        let recipe = self.recipe();
        let version = *self.dice.pick(recipe.versions);
        let path = recipe.source(version).build(&self.dir)?;
        Ok(vec!["includedsc".into(), self.codename(), path_text(&path)])
    }

    fn two_codenames(&mut self) -> [String; 2] {
        let to = self.dice.roll(CODENAMES.len());
        let from = (to + 1 + self.dice.roll(CODENAMES.len() - 1)) % CODENAMES.len();
        [to, from].map(|at| CODENAMES.get(at).copied().unwrap_or_default().to_owned())
    }

    fn copy(&mut self) -> Vec<String> {
        let mut args = self.options();
        args.push("copy".into());
        args.extend(self.two_codenames());
        for _ in 0..=self.dice.roll(2) {
            args.push(self.name());
        }
        args
    }

    fn copysrc(&mut self) -> Vec<String> {
        let mut args = self.options();
        args.push("copysrc".into());
        args.extend(self.two_codenames());
        let recipe = self.recipe();
        args.push(recipe.name.into());
        if self.dice.roll(3) == 0 {
            args.push((*self.dice.pick(recipe.versions)).into());
        }
        args
    }

    fn remove(&mut self) -> Vec<String> {
        let mut args = self.options();
        let codename = self.codename();
        match self.dice.roll(5) {
            0 => args.extend(["removematched".into(), codename, format!("{}*", self.recipe().name)]),
            1 => {
                // It takes no restriction.
                args = vec!["removesrcs".into(), codename];
                args.extend([self.recipe(), self.recipe()].map(|recipe| recipe.name.to_owned()));
            }
            _ => args.extend(["remove".into(), codename, self.name(), self.name()]),
        }
        args
    }

    fn removesrc(&mut self) -> Vec<String> {
        let recipe = self.recipe();
        let mut args = vec!["removesrc".into(), self.codename(), recipe.name.into()];
        if self.dice.roll(2) == 0 {
            args.push((*self.dice.pick(recipe.versions)).into());
        }
        args
    }

    fn tracks(&mut self) -> Vec<String> {
        match self.dice.roll(3) {
            0 => vec!["tidytracks".into()],
            1 => vec!["export".into(), self.codename()],
            _ => vec!["deleteunreferenced".into()],
        }
    }

    /// A file of the same name with other content. Only of a source with one package: of two files of which one is
    /// refused reprepro takes the other.
    fn collision(&mut self) -> TestResult<Vec<String>> {
        let alone: Vec<&Recipe> = RECIPES.iter().filter(|recipe| recipe.binaries.len() == 1).collect();
        let recipe = *self.dice.pick(&alone);
        let (name, all) = recipe.binaries.first().copied().unwrap_or_default();
        let arch = if all { "all" } else { "amd64" };
        let version = *self.dice.pick(recipe.versions);
        let deb = recipe.deb(name, version, arch);
        let other = deb.file("usr/share/other", b"built again");
        let path = other.build(&self.dir.join("again"))?;
        Ok(vec![
            "-C".into(),
            "main".into(),
            "includedeb".into(),
            self.codename(),
            path_text(&path),
        ])
    }

    fn broken_upload(&mut self) -> TestResult<Vec<String>> {
        let recipe = self.recipe();
        let fault = *self.dice.pick(&[
            Fault::WrongDigest,
            Fault::WrongSize,
            Fault::MissingFile,
            Fault::SurprisingArchitecture,
            Fault::SurprisingBinary,
        ]);
        // reprepro takes a file that is missing from the pool if it is there
        let version = if fault == Fault::MissingFile {
            "99-1"
        } else {
            *self.dice.pick(recipe.versions)
        };
        let mut changes = Changes::new("unstable").source(&recipe.source(version)).fault(fault);
        for deb in recipe.debs(version, "amd64", true) {
            changes = changes.deb(&deb);
        }
        let path = changes.build(&self.dir.join(format!("bad-{fault:?}")))?;
        Ok(vec!["include".into(), self.codename(), path_text(&path)])
    }

    fn query(&mut self) -> Vec<String> {
        let mut args = self.options();
        let codename = self.codename();
        match self.dice.roll(5) {
            0 => args.extend(["list".into(), codename]),
            1 => args.extend(["listmatched".into(), codename, "*o*".into()]),
            2 => args.extend(["ls".into(), self.name()]),
            3 => args.extend(["lsbycomponent".into(), self.name()]),
            _ => args.extend([
                "--list-format".into(),
                "${package;-12} ${version} ${$source} ${$sourceversion} ${section}\\n".into(),
                "list".into(),
                codename,
            ]),
        }
        args
    }
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Whether a copy would put an older version in place of a newer one, or of the same: reprepro does both with a
/// warning, aptrepo refuses the one and does nothing for the other.
fn differs_on_purpose(step: &Step, oracle: &TestEnv) -> bool {
    let mut words = step
        .args
        .iter()
        .map(String::as_str)
        .skip_while(|word| !word.starts_with("copy"));
    let (Some(_), Some(to), Some(from)) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    let listed = |codename: &str| -> Vec<(String, String)> {
        let text = oracle.list(codename);
        let rows = text.lines().filter_map(|line| {
            let (target, package) = line.split_once(": ")?;
            let (name, version) = package.split_once(' ')?;
            let place = target.split_once('|')?.1;
            Some((format!("{place} {name}"), version.to_owned()))
        });
        rows.collect()
    };
    let have = listed(to);
    listed(from).iter().any(|(place, version)| {
        let older_than = |(at, other): &(String, String)| {
            let (Ok(ours), Ok(theirs)) = (version.parse::<Version>(), other.parse::<Version>()) else {
                return false;
            };
            at == place && ours.compare(&theirs).is_le()
        };
        have.iter().any(older_than)
    })
}
