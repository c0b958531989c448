//! Reads whole configurations: that of an archive with a mirror, staging and production, every file of `conf.example`,
//! and many that have one fault each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use aptrepo::conf::distribution::{Compression, TrackingMode, UpdateStep};
use aptrepo::conf::{Conf, Directories, Faults, IgnoreSet, Options, Settings};
use aptrepo::fsio;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read_conf(directory: &Path) -> Result<Conf, Faults> {
    let mut directories = Directories::below(Path::new("/srv/apt"));
    directories.conf = directory.into();
    Conf::read(&directories, &IgnoreSet::default())
}

/// Reads conf/distributions with this text.
fn read_text(text: &str) -> Result<Conf, Faults> {
    let directory = tempfile::tempdir().unwrap();
    fsio::write_new(&directory.path().join("distributions"), text.as_bytes()).unwrap();
    read_conf(directory.path())
}

const SMALLEST: &str = "Codename: x\nArchitectures: amd64 source\nComponents: main extra\n";

#[test]
fn the_set_up_of_mirror_staging_and_production_is_read() {
    let conf = read_conf(&root("tests/fixtures/article-conf")).unwrap();
    assert_eq!(conf.warnings, []);
    let codenames: Vec<_> = conf.distributions.iter().map(|d| d.codename.as_str()).collect();
    assert_eq!(codenames, ["precise", "precise-staging", "precise-prod"]);
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
fn all_faults_are_found_in_one_reading() {
    let faults =
        read_text("Codename: ..\nArchitectures: all amd64 any\nComponents: main\nTracking: keep all\nOrgin: x\n")
            .unwrap_err();
    assert_eq!(faults.iter().count(), 5);
    let shown = faults.to_string();
    assert_eq!(shown.lines().count(), 4, "{shown}");
    assert!(
        shown.ends_with("and 2 more (`aptrepo check-conf` lists all)"),
        "{shown}"
    );
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

/// Every file of the fixture directory has one fault: the messages are kept in `messages`, each as `file: message`.
///
/// A file's name says which file of a configuration it stands for: `distributions-…`, `updates-…`.
#[test]
fn each_fault_has_a_message_that_says_what_where_and_why() {
    let fixtures = root("tests/fixtures/bad/conf");
    let mut messages = BTreeMap::new();
    for entry in fs::read_dir(&fixtures).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let text = fs::read(fixtures.join(&name)).unwrap();
        if let Some(message) = message_of(&name, &text) {
            messages.insert(name, message);
        }
    }
    assert!(messages.len() > 30, "{}", messages.len());
    let text: String = messages
        .iter()
        .map(|(name, message)| format!("{name}\n  {message}\n"))
        .collect();
    insta::assert_snapshot!("bad_conf", text);
}

fn message_of(name: &str, text: &[u8]) -> Option<String> {
    let (kind, _) = name.split_once('-')?;
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &[u8]| fsio::write_new(&directory.path().join(name), text).unwrap();
    if kind != "distributions" {
        put("distributions", SMALLEST.as_bytes());
    }
    put(kind, text);
    let faults = if kind == "options" {
        Options::read(&directory.path().join("options")).map(drop)
    } else {
        read_conf(directory.path()).map(drop)
    };
    let Err(faults) = faults else {
        panic!("{name} has no fault");
    };
    let shown: Vec<_> = faults
        .iter()
        .map(|fault| format!("{fault} [{:?}]", fault.kind()))
        .collect();
    assert_eq!(shown.len(), 1, "{name} has other than one fault:\n{}", shown.join("\n"));
    Some(shown.join("\n").replace(directory.path().to_str().unwrap(), "conf"))
}
