//! The entries of fuzzing: for each reader of what comes from outside, a function that takes any bytes and must come
//! back soon, without a panic, and with what it accepted keeping its promises. The fuzzer (`make fuzz`) and the test
//! `tests/fuzz.rs` call the same functions.

use std::borrow::Cow;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::fs;
use std::path::{Component as PathPart, Path};

use aptrepo::conf::{Conf, Directories, Formula, IgnoreSet, Options, glob};
use aptrepo::ingest::{Limits, changes, deb, source};
use aptrepo::mirror::UpstreamRelease;
use aptrepo::model::package::{FileName, Listing, packages_stanza};
use aptrepo::model::stanza::{fields, split_stanzas};
use aptrepo::model::{
    ArchivePath, BinaryControl, Changes, Codename, Component, DigestKind, Hasher, IndexId, PackageName, PoolFile,
    Priority, Section, Sha256, SourceControl, SourceName, Stanza, Version,
};
use aptrepo::pgp::clearsigned::split_clearsigned;
use aptrepo::pgp::{Keyring, read_maybe_signed, verify_clearsigned, verify_detached};

/// One entry.
pub type Entry = fn(&[u8]);

/// Every entry by the name of its directory in `tests/fixtures/fuzz`.
pub const ENTRIES: [(&str, Entry); 8] = [
    ("conf", conf),
    ("control", control),
    ("deb", read_deb),
    ("deb822", deb822),
    ("formula", formula),
    ("path", path),
    ("release", release),
    ("version", version),
];

/// Parts of an input that has several: a line `---` is between them.
fn parts(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let text = rest?;
        let cut = text.windows(5).position(|window| window == b"\n---\n");
        rest = cut.map(|at| &text[at + 5..]);
        Some(cut.map_or(text, |at| &text[..=at]))
    })
}

/// Stanzas: one that was accepted reads the same again from the text that is made of it.
fn deb822(data: &[u8]) {
    for text in split_stanzas(data) {
        let _ = fields(text).count();
        let Ok(stanza) = Stanza::parse(text) else { continue };
        let text = stanza.to_index_text();
        let again = Stanza::parse(&text).expect("our own text");
        assert!(stanza == again, "{stanza:?} became {again:?}");
    }
}

/// Three versions, one a line: their order is one.
fn version(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let versions: Vec<Version> = (text.lines().take(3))
        .filter_map(|line| Version::new(line).ok())
        .collect();
    for a in &versions {
        assert_eq!(a.compare(a), Ordering::Equal);
        assert!(!a.without_epoch().is_empty());
        for b in &versions {
            assert_eq!(a.compare(b), b.compare(a).reverse(), "{a} {b}");
            assert!(!a.is_binary_rebuild_of(b) || a.compare(b).is_gt(), "{a} {b}");
            for c in &versions {
                let falls = a.compare(b).is_le() && b.compare(c).is_le() && a.compare(c).is_gt();
                assert!(!falls, "{a} {b} {c}");
            }
        }
    }
}

/// A .deb: what comes out of it can be published.
fn read_deb(data: &[u8]) {
    let limits = Limits {
        data_bytes: 64 << 20,
        free_bytes: 1 << 20,
        entries: 10_000,
        path_bytes: 1 << 20,
        ..Limits::default()
    };
    let Ok(deb) = deb::read_deb(data, &limits) else { return };
    assert!(deb.paths.is_sorted());
    assert!(deb.paths.iter().all(|path| !path.is_empty() && !path.contains(&b'\n')));
    published(&deb.control, data);
}

/// The stanza that a package gets in an index is one stanza, and names this package and its file.
fn published(control: &BinaryControl, data: &[u8]) {
    let component: Component = "main".parse().expect("a component");
    let mut digests = Hasher::with_sha512();
    digests.update(data);
    let file = PoolFile {
        path: ArchivePath::pool_directory(&component, &control.source),
        content: digests.finish(),
    };
    let listing = Listing {
        section: &Section::new("misc").expect("a section"),
        priority: &Priority::new("optional").expect("a priority"),
        overrides: &[],
        kinds: &DigestKind::ALL,
    };
    let text = packages_stanza(control, &listing, &file);
    assert_eq!(split_stanzas(&text).count(), 1);
    let stanza = Stanza::parse(&text).expect("our own text");
    assert_eq!(stanza.get("Package"), Some(control.package.as_str()));
    assert_eq!(stanza.get("Filename"), Some(file.path.as_str()));
    assert_eq!(stanza.get("Size"), Some(data.len().to_string().as_str()));
}

/// A .dsc, a .changes or a control file, signed or not.
fn control(data: &[u8]) {
    let Ok(signed) = read_maybe_signed(data, &Keyring::default(), 1_700_000_000) else {
        return;
    };
    if let Ok(control) = BinaryControl::parse(&signed.text) {
        published(&control, data);
    }
    if let Ok(control) = SourceControl::parse(&signed.text) {
        let _ = source::check_parts(&control);
        let _ = source::packaging_file(&control);
        stays_in_its_directory(&control.file_name());
        control
            .files
            .iter()
            .for_each(|file| stays_in_its_directory(file.name.as_str()));
    }
    if let Ok(changes) = Changes::parse(&signed.text) {
        let _ = changes::check_listing(&changes);
        for file in &changes.files {
            stays_in_its_directory(file.name.as_str());
            let _ = file.name.binary_parts();
        }
    }
}

fn stays_in_its_directory(name: &str) {
    assert!(!name.contains(['/', '\0', '\n']) && !name.starts_with('.'), "{name}");
}

/// An InRelease; or a Release, and after `---` its signature.
fn release(data: &[u8]) {
    let key = include_bytes!("../../fixtures/keys/old-rsa2048-sha1.asc");
    let keyring = Keyring::from_bytes(key, "fixture").expect("a key");
    let now = 1_700_000_000;
    if let Ok(Some(split)) = split_clearsigned(data) {
        assert!(split.text.len() <= data.len());
    }
    let text = match verify_clearsigned(data, &keyring, now) {
        Ok(verified) => verified.text,
        Err(_) => {
            let mut files = parts(data);
            let (text, signature) = (files.next().unwrap_or_default(), files.next().unwrap_or_default());
            let _ = verify_detached(text, signature, &keyring, now);
            text.to_owned()
        }
    };
    if let Ok(release) = UpstreamRelease::parse(&text, &[DigestKind::Md5]) {
        let _ = release.promise("main/binary-amd64/Packages.gz");
    }
}

/// A formula, and after `---` a stanza for which it is asked; or, taken together as glob and text.
fn formula(data: &[u8]) {
    let mut given = parts(data).map(String::from_utf8_lossy);
    let (text, stanza) = (given.next().unwrap_or_default(), given.next().unwrap_or_default());
    let _ = glob::matches(text.trim_end(), &stanza);
    if let Ok(formula) = Formula::parse(text.trim_end()) {
        let stanza = Stanza::parse(stanza.as_bytes()).unwrap_or_default();
        let _ = formula.holds(|_| stanza.iter().next().map(|(_, value)| String::from_utf8_lossy(value)));
        let _ = formula.holds(|_| None::<Cow<'_, str>>);
    }
}

/// Names and paths, one a line: none that is accepted leads out of the archive.
fn path(data: &[u8]) {
    for line in String::from_utf8_lossy(data).lines().take(100) {
        if let Ok(path) = ArchivePath::new(line) {
            is_below(&path);
            for name in ["x", "..", "/etc"] {
                if let Ok(path) = path.join(name) {
                    is_below(&path);
                }
            }
            is_below(&path.by_hash(&Sha256::of(data)));
            assert!(path.as_str().ends_with(path.file_name()) && path.as_str().starts_with(path.directory()));
        }
        if let Ok(name) = FileName::new("Files", line) {
            stays_in_its_directory(name.as_str());
            let _ = name.binary_parts();
        }
        if let Ok(codename) = line.parse::<Codename>() {
            is_below(&ArchivePath::new(&format!("dists/{codename}")).expect("a directory of a distribution"));
        }
        let names = (line.split_once(' ')).map(|(component, source)| (component.parse(), source.parse()));
        if let Some((Ok(component), Ok(source))) = names {
            let (component, source): (Component, SourceName) = (component, source);
            let path = ArchivePath::pool_directory(&component, &source);
            is_below(&path);
            assert!(ArchivePath::new(path.as_str()).is_ok(), "{path}");
        }
        let _ = line.parse::<PackageName>();
        if let Ok(index) = line.parse::<IndexId>() {
            assert_eq!(index.to_string().parse::<IndexId>().as_ref(), Ok(&index));
        }
    }
}

fn is_below(path: &ArchivePath) {
    let place = path.to_fs_path(Path::new("/srv/apt"));
    let mut below = place.strip_prefix("/srv/apt").expect("below the archive").components();
    assert!(below.all(|part| matches!(part, PathPart::Normal(_))), "{path}");
}

/// The files of `conf/`, in the order of [`CONF_FILES`], `---` between them.
fn conf(data: &[u8]) {
    thread_local! {
        static BASE: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
    }
    BASE.with_borrow_mut(|base| {
        let base = base.get_or_insert_with(|| tempfile::tempdir().expect("a directory"));
        let directories = Directories::below(base.path());
        fs::create_dir_all(&directories.conf).expect("a directory");
        let mut given = parts(data);
        for name in CONF_FILES {
            fs::write(directories.conf.join(name), given.next().unwrap_or_default()).expect("a file");
        }
        let _ = Options::read(&directories.conf.join("options"));
        match Conf::read(&directories, &IgnoreSet::default()) {
            Ok(conf) => {
                let _ = conf.check_files(&directories);
                conf.distributions
                    .iter()
                    .for_each(|distribution| drop(distribution.indexes()));
            }
            Err(faults) => assert!(!faults.to_string().is_empty()),
        }
    });
}

const CONF_FILES: [&str; 7] = [
    "distributions",
    "updates",
    "pulls",
    "options",
    "uploaders",
    "overrides",
    "filter",
];
