//! Reads whole configurations: that of an archive with a mirror, staging and production, every file of `conf.example`,
//! and many that have one fault each.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use aptrepo::conf::distribution::{Compression, TrackingMode, UpdateStep};
use aptrepo::conf::verify::VerifyRelease;
use aptrepo::conf::{Conf, Directories, Faults, IgnoreSet, Options, Settings, Uploaders};
use aptrepo::fsio;
use proptest::prelude::*;

type TestResult<T = ()> = Result<T, Box<dyn Error>>;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read_conf(directory: &Path) -> Result<Conf, Faults> {
    let mut directories = Directories::below(Path::new("/srv/apt"));
    directories.conf = directory.into();
    Conf::read(&directories, &IgnoreSet::default())
}

/// A configuration directory of its own.
struct TestConf {
    directory: tempfile::TempDir,
}

impl TestConf {
    fn new() -> TestResult<Self> {
        Ok(Self {
            directory: tempfile::tempdir()?,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, text: &str) -> TestResult {
        Ok(fsio::write_new(&self.path(name), text.as_bytes())?)
    }

    fn read(&self) -> Result<Conf, Faults> {
        read_conf(self.directory.path())
    }
}

/// Reads conf/distributions with this text.
fn read_text(text: &str) -> TestResult<Conf> {
    let conf = TestConf::new()?;
    conf.put("distributions", text)?;
    Ok(conf.read()?)
}

const SMALLEST: &str = "Codename: x\nArchitectures: amd64 source\nComponents: main extra\n";

#[test]
fn the_set_up_of_mirror_staging_and_production_is_read() {
    let conf = read_conf(&root("tests/fixtures/article-conf")).unwrap();
    assert_eq!(conf.warnings, []);
    let of_keys = conf.update_rules.iter().flat_map(|rule| rule.key_warnings());
    assert_eq!(of_keys.count(), 4, "each VerifyRelease names eight digits alone");
    let codenames: Vec<_> = conf.distributions.iter().map(|d| d.codename.as_str()).collect();
    assert_eq!(codenames, ["precise", "precise-staging", "precise-prod"]);
    let hp = conf.update_rule("hp").unwrap();
    assert_eq!(
        hp.method,
        "http://downloads.example.org/SDR/downloads/ManagementComponentPack"
    );
    let [component] = hp.components.as_deref().unwrap() else {
        panic!("{hp:?}");
    };
    assert_eq!(
        (component.from.as_str(), component.to.as_str()),
        ("non-free", "vendor/hp")
    );
    assert_eq!(
        conf.update_rule("ubuntu-precise")
            .unwrap()
            .components
            .as_ref()
            .unwrap()
            .len(),
        4
    );
    let mirror = conf.find("precise").unwrap();
    assert_eq!(mirror.update.first(), Some(&UpdateStep::Delete));
    assert_eq!(mirror.tracking.unwrap().mode, TrackingMode::Minimal);
    assert_eq!(mirror.indexes().len(), 16);
    let contents = mirror.contents.as_ref().unwrap();
    assert_eq!(contents.compressions, [Compression::Gzip, Compression::Bzip2]);
    assert!(contents.per_component && contents.compat_symlink && contents.debs && !contents.udebs);
    assert_eq!(mirror.udeb_indices.release_name.as_deref(), Some("Release"));

    let staging = conf.find("precise-staging").unwrap();
    assert_eq!(staging.label.as_deref(), Some("ex-staging"));
    assert_eq!(staging.not_automatic.as_deref(), Some("yes"));
    assert_eq!(staging.components.last().unwrap().as_str(), "vendor/hp");
    assert_eq!(staging.limit, Some(1));
    let log = staging.log.as_ref().unwrap();
    assert_eq!(
        log.file.as_deref(),
        Some(Path::new("/srv/apt/logs/packages.ex-precise-staging.log"))
    );
    let [notifier] = log.notifiers.as_slice() else {
        panic!("{log:?}");
    };
    assert_eq!(notifier.script, root("tests/fixtures/article-conf/email-changes"));
}

#[test]
fn its_options_name_its_directories() {
    let given = Options {
        basedir: Some("/srv/apt".into()),
        confdir: Some(root("tests/fixtures/article-conf").to_str().unwrap().into()),
        logdir: Some("/var/log/apt".into()),
        ..Options::default()
    };
    let settings = Settings::load(given, None).unwrap();
    assert_eq!(settings.directories.out, Path::new("/srv/apt/www"));
    assert_eq!(settings.directories.log, Path::new("/var/log/apt"));
    assert_eq!(settings.directories.gnupg, Path::new("/srv/apt/gpg"));
    assert_eq!(settings.options.retain_secs(), 3 * 86_400);
}

#[test]
fn where_nothing_is_said_the_defaults_hold() {
    let conf = read_text(SMALLEST).unwrap();
    let distribution = conf.find("x").unwrap();
    let forms = |files: &aptrepo::conf::distribution::IndexFiles| {
        let words: Vec<_> = files.compressions.iter().map(|form| form.word()).collect();
        format!("{} {:?} {}", files.file_name, files.release_name, words.join(" "))
    };
    assert_eq!(forms(&distribution.deb_indices), "Packages Some(\"Release\") . .gz .xz");
    assert_eq!(forms(&distribution.udeb_indices), "Packages None . .gz .xz");
    assert_eq!(forms(&distribution.dsc_indices), "Sources Some(\"Release\") .gz .xz");
    assert!(distribution.export && !distribution.read_only && distribution.contents.is_none());
    assert_eq!(distribution.digests.len(), 3);
}

#[test]
fn a_comment_starts_anywhere_and_lines_may_end_as_on_windows() {
    let conf = read_text(
        "Codename: x # the name\r\nArchitectures:\r\n# none here\r\n amd64\r\n \r\n\tsource#!\r\nComponents: main\r\n",
    )
    .unwrap();
    let distribution = conf.find("x").unwrap();
    assert_eq!(distribution.architectures.len(), 1);
    assert!(distribution.has_sources);
}

#[test]
fn contents_can_be_limited() {
    let read = |lines: &str| {
        read_text(&format!("{SMALLEST}{lines}\n"))
            .unwrap()
            .distributions
            .remove(0)
            .contents
    };
    assert!(read("Contents:").is_some());
    assert!(read("Contents: 0").is_none());
    let contents = read("Contents: nodebs allcomponents .\nContentsComponents: extra").unwrap();
    assert!(contents.debs && contents.all_components && !contents.per_component && !contents.compat_symlink);
    assert_eq!(contents.components.len(), 1);
    assert!(!read("Contents: .gz\nContentsComponents:").unwrap().debs);
    assert!(
        read("UDebComponents: main\nContents: .gz\nContentsUComponents: main")
            .unwrap()
            .udebs
    );
}

#[test]
fn patches_are_asked_for_by_a_field_or_by_the_hooks_of_reprepro() {
    let read = |lines: &str| {
        let distribution = read_text(&format!("{SMALLEST}Contents: .gz\n{lines}\n"))
            .unwrap()
            .distributions
            .remove(0);
        let of_contents = distribution.contents.unwrap().patches;
        [
            &distribution.deb_indices,
            &distribution.udeb_indices,
            &distribution.dsc_indices,
        ]
        .map(|files| files.patches)
        .into_iter()
        .chain([of_contents])
        .collect::<Vec<_>>()
    };
    assert_eq!(read(""), [0, 0, 0, 0]);
    assert_eq!(read("PDiffs: 14"), [14, 14, 14, 14]);
    for hook in ["rredtool", "/usr/bin/rredtool", "pdiff", "tiffany.py"] {
        assert_eq!(
            read(&format!("DebIndices: Packages Release . .gz {hook}")),
            [20, 0, 0, 0],
            "{hook}"
        );
    }
    assert_eq!(
        read("PDiffs: 0\nDscIndices: Sources Release .gz rredtool"),
        [0, 0, 0, 0]
    );
}

#[test]
fn a_suite_names_its_distribution_if_only_one_has_it() {
    let stanza = |codename: &str, suite: &str| {
        format!("Codename: {codename}\nSuite: {suite}\nArchitectures: amd64\nComponents: main\n\n")
    };
    let conf = read_text(&[stanza("a", "stable"), stanza("b", "both"), stanza("c", "both")].concat()).unwrap();
    assert_eq!(conf.find("stable").unwrap().codename.as_str(), "a");
    assert_eq!(conf.find("c").unwrap().codename.as_str(), "c");
    assert_eq!(
        conf.find("both").unwrap_err().to_string(),
        "`both` is the suite of several distributions: b, c"
    );
    assert_eq!(
        conf.find("stabel").unwrap_err().to_string(),
        "unknown distribution `stabel`; did you mean `stable`?"
    );
}

#[test]
fn a_directory_and_included_files_stand_for_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("distributions")).unwrap();
    let stanza = |codename: &str| format!("Codename: {codename}\nArchitectures: amd64\nComponents: main\n");
    for (name, text) in [
        ("distributions/20.conf", stanza("c")),
        (
            "distributions/10.conf",
            format!("{}\n!include: more\n\n{}", stanza("a"), stanza("b")),
        ),
        ("distributions/.hidden.conf", "broken".into()),
        ("distributions/README", "broken".into()),
        ("more", format!("!include: more\n\n{}", stanza("included"))),
    ] {
        fsio::write_new(&at(name), text.as_bytes()).unwrap();
    }
    let conf = read_conf(directory.path()).unwrap();
    let codenames: Vec<_> = conf.distributions.iter().map(|d| d.codename.as_str()).collect();
    assert_eq!(codenames, ["a", "included", "b", "c"]);
}

#[test]
fn without_distributions_the_error_names_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let faults = read_conf(directory.path()).unwrap_err();
    assert!(faults.to_string().starts_with("there is no `"), "{faults}");
    assert!(faults.hint().unwrap().contains("aptrepo init"));
}

#[test]
fn all_faults_are_found_in_one_reading() -> TestResult {
    let conf = TestConf::new()?;
    conf.put(
        "distributions",
        "Codename: ..
Architectures: all amd64 any
Components: main
Tracking: keep all
Orgin: x
",
    )?;
    let faults = conf.read().err().ok_or("no fault")?;
    assert_eq!(faults.iter().count(), 5);
    let shown = faults.to_string();
    assert_eq!(shown.lines().count(), 4, "{shown}");
    assert!(
        shown.ends_with("and 2 more (`aptrepo check-conf` lists all)"),
        "{shown}"
    );
    Ok(())
}

#[test]
fn unknown_fields_can_be_ignored() {
    let directory = tempfile::tempdir().unwrap();
    fsio::write_new(
        &directory.path().join("distributions"),
        format!("{SMALLEST}Foo: bar\n").as_bytes(),
    )
    .unwrap();
    let mut directories = Directories::below(directory.path());
    directories.conf = directory.path().into();
    let faults = Conf::read(&directories, &IgnoreSet::default()).unwrap_err();
    assert_eq!(faults.kind(), aptrepo::model::ErrorKind::UnknownField);
    let mut ignore = IgnoreSet::default();
    ignore.set_list("unknownfield", true).unwrap();
    let conf = Conf::read(&directories, &ignore).unwrap();
    assert!(
        conf.warnings[0]
            .to_string()
            .ends_with("distributions:4: unknown field `Foo` is ignored")
    );
}

#[test]
fn a_rule_takes_over_what_it_does_not_say() {
    let conf = TestConf::new().unwrap();
    conf.put("distributions", &format!("{SMALLEST}Update: c - b\n"))
        .unwrap();
    let rules = "Name: a\nMethod: https://h/d/\nSuite: */updates\nVerifyRelease: blindtrust\nFilterList: hold x\n\
                 Translations: de\nAppStream: yes\n\nName: c\nFrom: b\nSuite: *\nTranslations: all\n\nName: b\nFrom: a\nComponents: >main none\nArchitectures: source i386>amd64\n";
    conf.put("updates", rules).unwrap();
    let conf = conf.read().unwrap();
    let codename = &conf.distributions[0].codename;
    let [a, b, c] = ["a", "b", "c"].map(|name| conf.update_rule(name).unwrap());
    assert_eq!(c.method, "https://h/d");
    assert_eq!(
        (a.suite.of(codename), c.suite.of(codename)),
        ("x/updates".into(), "x".into())
    );
    assert_eq!(c.verify_release, Some(VerifyRelease::BlindTrust));
    assert_eq!(c.filters.list, a.filters.list);
    assert_eq!(b.components.as_ref().map(Vec::len), Some(1));
    assert!(b.extras.translations.has("de") && !b.extras.translations.has("fr") && c.extras.translations.has("fr"));
    // a rule that picks packages does not offer the others' commands
    assert!(c.extras.app_stream && !c.extras.command_not_found && !c.extras.installer_images);
    assert!(a.components.is_none() && c.architectures.as_ref().unwrap().has_sources);
}

#[test]
fn what_a_pull_rule_cannot_find_is_warned_of() {
    let conf = TestConf::new().unwrap();
    conf.put(
        "distributions",
        "Codename: up\nArchitectures: amd64\nComponents: main extra\n\n\
         Codename: down\nArchitectures: i386\nComponents: main\nPull: a\n",
    )
    .unwrap();
    conf.put(
        "pulls",
        "Name: a\nFrom: up\nComponents: main extra contrib\nArchitectures: amd64>i386 arm64 source\n\
         FilterFormula: $Component (== mian)\n\nName: unused\nFrom: up\nComponents: x\n",
    )
    .unwrap();
    let read = conf.read().unwrap();
    let warnings: Vec<_> = read.warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert_eq!(
        warnings,
        [
            "pull rule `a`: no distribution has the component `mian` of the formula; did you mean `main`?",
            "pull rule `a` names component `extra`, which no distribution that uses it has",
            "pull rule `a` names component `contrib`, which `up`, which it reads, has not",
            "pull rule `a` names architecture `arm64`, which `up`, which it reads, has not",
            "pull rule `a` names architecture `arm64`, which no distribution that uses it has",
        ]
    );
}

#[test]
fn components_that_nobody_has_are_warned_of() {
    let conf = TestConf::new().unwrap();
    conf.put("distributions", &format!("{SMALLEST}Update: a\n")).unwrap();
    conf.put(
        "updates",
        "Name: a\nMethod: file:/d\nComponents: main other none\nUDebComponents: main\n",
    )
    .unwrap();
    let warnings: Vec<_> = conf
        .read()
        .unwrap()
        .warnings
        .iter()
        .map(|warning| warning.text.clone())
        .collect();
    assert_eq!(
        warnings,
        [
            "component `other` of update rule `a` is in no distribution that uses it",
            "component `main` of update rule `a` has udebs in no distribution that uses it",
        ]
    );
}

#[test]
fn every_file_of_the_example_is_sound() {
    let given = Options {
        basedir: Some("/srv/apt".into()),
        confdir: root("conf.example").to_str().map(Into::into),
        ..Options::default()
    };
    let settings = Settings::load(given, None).unwrap();
    assert_eq!(settings.warnings, []);
    let conf = Conf::read(&settings.directories, &settings.options.ignore).unwrap();
    assert_eq!(conf.warnings, []);
    assert_eq!(conf.find("precise-prod").unwrap().limit, Some(3));
    let security = conf.update_rule("ubuntu-precise-security").unwrap();
    assert_eq!(security.udeb_components.as_ref().map(Vec::len), Some(4));
    let (_, warnings) = Uploaders::read(&settings.directories.file("uploaders"), &settings.directories).unwrap();
    assert_eq!(warnings, []);
    let mut files: Vec<_> = fs::read_dir(root("conf.example"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(
        files,
        [
            "distributions",
            "email-changes",
            "options",
            "pulls",
            "updates",
            "uploaders"
        ]
    );
}

#[test]
fn the_example_notifier_mails() {
    let directory = tempfile::tempdir().unwrap();
    let mail = directory.path().join("mail");
    fsio::write_new(&mail, b"#!/bin/sh\nprintf '%s|' \"$@\"; echo; cat\n").unwrap();
    fs::set_permissions(&mail, fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = "replace precise-staging dsc main source hello 1.1 1.0 -- pool/x.dsc -- pool/y.dsc";
    let output = Command::new(root("conf.example/email-changes"))
        .args(arguments.split(' '))
        .env("PATH", format!("{}:/usr/bin:/bin", directory.path().display()))
        .env("REPREPRO_CAUSING_COMMAND", "include")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("-s|hello 1.1 replaces 1.0 in precise-staging|packages@example.com|\n"),
        "{text}"
    );
    assert!(text.contains("Command:      include\n"), "{text}");
}

#[test]
fn the_files_that_are_named_are_checked_on_demand() {
    let conf = TestConf::new().unwrap();
    conf.put(
        "distributions",
        &format!("{SMALLEST}Uploaders: up\nDebOverride: over\nLog: l\n mailer\nUpdate: a\n"),
    )
    .unwrap();
    conf.put(
        "updates",
        "Name: a\nMethod: file:/d\nFilterList: hold list\nVerifyRelease: key.asc\n",
    )
    .unwrap();
    let mut directories = Directories::below(Path::new("/srv/apt"));
    directories.conf = conf.directory.path().into();
    let read = conf.read().unwrap();
    let faults = read.check_files(&directories).unwrap_err();
    assert_eq!(faults.iter().count(), 3, "{faults}");
    for (name, text) in [
        ("up", "allow * by anybody\n"),
        ("over", "a Section net\n"),
        ("list", "a install\n"),
    ] {
        conf.put(name, text).unwrap();
    }
    let warnings = read.check_files(&directories).unwrap();
    let ends = ["mailer` of `x` is not there", "key.asc` of rule `a` is not there"];
    assert_eq!(warnings.len(), ends.len());
    for (warning, end) in warnings.iter().zip(ends) {
        assert!(warning.to_string().ends_with(end), "{warning}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever stands in a configuration, it is read or refused.
    #[test]
    fn no_text_is_too_odd(
        lines in prop::collection::vec((prop::sample::select(NAMES), prop::sample::select(VALUES), ".{0,6}"), 0..12),
    ) {
        let text: String = lines.iter().map(|(name, value, odd)| format!("{name}{value}{odd}\n")).collect();
        let conf = TestConf::new().unwrap();
        for file in ["distributions", "updates", "pulls", "options"] {
            conf.put(file, &text).unwrap();
        }
        let _ = conf.read();
        let _ = Options::read(&conf.path("options"));
    }
}

const NAMES: &[&str] = &[
    "",
    " ",
    "#",
    "!include:",
    "Codename:",
    "Architectures:",
    "Components:",
    "UDebComponents:",
    "Contents:",
    "Log:",
    "ContentsComponents:",
    "Tracking:",
    "SignWith:",
    "ValidFor:",
    "DebIndices:",
    "Limit:",
    "PDiffs:",
    "Archive:",
    "Checksums:",
    "Update:",
    "Pull:",
    "Name:",
    "Method:",
    "From:",
    "Suite:",
    "VerifyRelease:",
    "FilterFormula:",
    "FilterList:",
    "DownloadListsAs:",
    "Config:",
    "retain ",
    "ignore ",
    "component ",
    "outdir ",
];

const VALUES: &[&str] = &[
    "",
    " x",
    " amd64 source",
    " main>",
    ">",
    " !",
    " - a",
    " . .gz",
    " * ",
    " 1y 2m",
    " 99999999999",
    " ((a",
    " 437D05B5!+",
    " http://h",
    " --type=dsc x",
    " keep",
    "\r",
    "|",
    " é",
];

/// Every file of the fixture directory has one fault; the snapshot has its message.
///
/// A file's name says which file of a configuration it stands for: `distributions-…`, `updates-…`.
#[test]
fn each_fault_has_a_message_that_says_what_where_and_why() -> TestResult {
    let fixtures = root("tests/fixtures/bad/conf");
    let mut messages = BTreeMap::new();
    for entry in fs::read_dir(&fixtures)? {
        let path = entry?.path();
        let name = path.file_name().ok_or("no name")?.to_string_lossy().into_owned();
        messages.insert(name.clone(), faults_of(&name, &fs::read(&path)?)?);
    }
    let mut text = String::new();
    for (name, faults) in messages {
        assert_eq!(faults.len(), 1, "{name}: {faults:?}");
        text.push_str(&format!("{name}\n  {}\n", faults.join("\n")));
    }
    insta::assert_snapshot!("bad_conf", text);
    Ok(())
}

fn faults_of(name: &str, text: &[u8]) -> TestResult<Vec<String>> {
    let (kind, _) = name.split_once('-').ok_or("the name says no file")?;
    let conf = TestConf::new()?;
    if kind != "distributions" {
        conf.put("distributions", SMALLEST)?;
    }
    fsio::write_new(&conf.path(kind), text)?;
    let read = match kind {
        "options" => Options::read(&conf.path("options")).map(drop),
        _ => conf.read().map(drop),
    };
    let faults = read.err().ok_or_else(|| format!("{name} has no fault"))?;
    let directory = conf.directory.path().to_string_lossy().into_owned();
    Ok((faults.iter())
        .map(|fault| format!("{fault} [{:?}]", fault.kind()).replace(&directory, "conf"))
        .collect())
}
