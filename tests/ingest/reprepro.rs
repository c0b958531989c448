//! The stanzas of Packages and Sources are, byte for byte, those that reprepro writes.

use std::fs;
use std::path::Path;

use aptrepo::ingest::source::{check_parts, classify, packaging_file, receive_parts};
use aptrepo::ingest::{Intake, Limits};
use aptrepo::model::package::{FileName, Listing, guess_component, packages_stanza, sources_stanza};
use aptrepo::model::{ArchivePath, Component, DigestKind, PoolFile, Priority, Section, SourceControl};

use super::{dpkg_deb, put, run};

const KINDS: [DigestKind; 3] = [DigestKind::Md5, DigestKind::Sha1, DigestKind::Sha256];

/// A reprepro archive of one distribution; the overrides are the lines of an override file without the package.
fn archive(directory: &Path, package: &str, overrides: &[(String, Option<String>)]) -> std::path::PathBuf {
    let base = directory.join("archive");
    let lines: String = overrides
        .iter()
        .map(|(field, value)| match value {
            Some(value) => format!("{package} {field} {value}\n"),
            None => format!("{package} $Delete {field}\n"),
        })
        .collect();
    put(base.join("conf/override"), lines);
    put(
        base.join("conf/distributions"),
        "Codename: s\nComponents: main\nArchitectures: amd64 source\nDebOverride: override\nDscOverride: override\n",
    );
    base
}

fn pool_file(path: &str, file: &aptrepo::ingest::SpooledFile) -> PoolFile {
    PoolFile {
        path: ArchivePath::new(path).unwrap(),
        content: file.content,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn compare_packages(control: &str, overrides: &[(String, Option<String>)]) {
    let directory = tempfile::tempdir().unwrap();
    let Some(file) = dpkg_deb(directory.path(), control, "xz") else {
        return;
    };
    let base = archive(directory.path(), "hello", overrides);
    let arguments = ["-b", base.to_str().unwrap(), "includedeb", "s", file.to_str().unwrap()];
    if run(directory.path(), "reprepro", &arguments).is_none() {
        return;
    }
    let theirs = fs::read(base.join("dists/s/main/binary-amd64/Packages")).unwrap();
    let deb = Intake::new(directory.path()).deb(file.as_path(), None).unwrap();
    let listing = Listing {
        section: deb.control.section.as_ref().unwrap(),
        priority: deb.control.priority.as_ref().unwrap(),
        overrides,
        kinds: &KINDS,
    };
    let path = format!(
        "pool/main/h/{}/{}",
        deb.control.source,
        deb.control.file_name(aptrepo::model::PackageType::Deb)
    );
    let ours = packages_stanza(&deb.control, &listing, &pool_file(&path, &deb.file));
    assert_eq!(text(&ours), text(&theirs));
    assert!(base.join(path).exists());
}

#[test]
fn packages_stanzas_are_those_of_reprepro() {
    compare_packages(super::HELLO, &[]);
    // fields after Description, lists, tabs, indentation, odd case
    compare_packages(
        "Version: 2.0\nPackage: hello\nEssential: yes\nSection: net\nArchitecture: all\nMaintainer: Jörg <j@example.org>\n\
         Depends: a,\n b,\n\tc\nX-Empty:\ndescription: short\n long\n .\n   code\nHomepage: http://example.org\n\
         Conffiles:\n /etc/x 000\nPriority: extra\nTag: a::b\nDescription-md5: 00000000000000000000000000000000\n",
        &[],
    );
    // digests and places that the package claims for itself give way to the true ones
    compare_packages(
        "Package: hello\nVersion: 1\nFilename: a\nSize: 3\nMD5Sum: 0\nSHA1: 0\nSHA256: 0\nSection: a\nPriority: b\n\
         Architecture: amd64\nMaintainer: a\nDescription: d\n",
        &[],
    );
}

#[test]
fn overrides_stand_where_reprepro_puts_them() {
    let overrides = [
        ("maintainer".to_owned(), Some("B <b@example.org>".to_owned())),
        ("X-New".to_owned(), Some("new".to_owned())),
        ("Essential".to_owned(), None),
    ];
    let control = format!("Essential: yes\n{}", super::HELLO);
    compare_packages(&control, &overrides);
}

/// What reprepro passes on and this does not: the package saying that it is installed, and a SHA512 of its own making.
#[test]
fn fields_that_could_mislead_apt_are_dropped_where_reprepro_keeps_them() {
    let directory = tempfile::tempdir().unwrap();
    let control = format!("Status: install ok installed\nSHA512: 00\n{}", super::HELLO);
    let Some(file) = dpkg_deb(directory.path(), control, "gzip") else {
        return;
    };
    let deb = Intake::new(directory.path()).deb(file.as_path(), None).unwrap();
    let listing = Listing {
        section: &Section::new("utils").unwrap(),
        priority: &Priority::new("optional").unwrap(),
        overrides: &[],
        kinds: &KINDS,
    };
    let ours = text(&packages_stanza(
        &deb.control,
        &listing,
        &pool_file("pool/x.deb", &deb.file),
    ));
    assert!(!ours.contains("Status") && !ours.contains("SHA512"), "{ours}");
}

struct SourceTree {
    format: &'static str,
    version: &'static str,
    has_orig: bool,
}

fn build_source(directory: &Path, tree: &SourceTree) -> Option<String> {
    let top = directory.join("hello-1.0");
    put(top.join("hello.c"), "int main(void) { return 0; }\n");
    if tree.has_orig {
        run(directory, "tar", &["czf", "hello_1.0.orig.tar.gz", "hello-1.0"])?;
    }
    put(
        top.join("debian/control"),
        "Source: hello\nSection: games\nPriority: extra\nMaintainer: A <a@example.org>\nBuild-Depends: debhelper\n\n\
         Package: hello\nArchitecture: any\nDescription: x\n y\n",
    );
    put(
        top.join("debian/changelog"),
        format!(
            "hello ({}) s; urgency=low\n\n  * x\n\n -- A <a@example.org>  Mon, 23 Nov 2026 07:41:49 +0000\n",
            tree.version
        ),
    );
    put(top.join("debian/source/format"), format!("{}\n", tree.format));
    run(directory, "dpkg-source", &["-b", "hello-1.0"])?;
    let version = tree.version.rsplit(':').next().unwrap();
    Some(format!("hello_{version}.dsc"))
}

fn compare_sources(tree: &SourceTree, overrides: &[(String, Option<String>)]) {
    let directory = tempfile::tempdir().unwrap();
    let Some(dsc) = build_source(directory.path(), tree) else {
        return;
    };
    let base = archive(directory.path(), "hello", overrides);
    let path = directory.path().join(&dsc);
    let arguments = ["-b", base.to_str().unwrap(), "includedsc", "s", path.to_str().unwrap()];
    if run(directory.path(), "reprepro", &arguments).is_none() {
        return;
    }
    let theirs = run(directory.path(), "zcat", &["archive/dists/s/main/source/Sources.gz"]).unwrap();
    let intake = Intake::new(directory.path());
    let incoming = intake.control(path.as_path(), None).unwrap();
    let control = SourceControl::parse(&incoming.text).unwrap();
    check_parts(&control).unwrap();
    let parts = receive_parts(&intake, &control, directory.path()).unwrap();
    let packaging = &packaging_file(&control).unwrap().name;
    let part = parts.iter().find(|part| part.listed.name == *packaging).unwrap();
    let spooled = part.file.as_ref().unwrap();
    let found = classify(spooled.path(), packaging, &Limits::default()).unwrap();
    let mut files = vec![pool_file(&format!("pool/main/h/hello/{dsc}"), &incoming.file)];
    for part in &parts {
        let path = format!("pool/main/h/hello/{}", part.listed.name);
        files.push(pool_file(&path, part.file.as_ref().unwrap()));
    }
    let listing = Listing {
        section: &found.section.unwrap(),
        priority: &found.priority.unwrap(),
        overrides,
        kinds: &KINDS,
    };
    let ours = sources_stanza(
        &control,
        &listing,
        &ArchivePath::new("pool/main/h/hello").unwrap(),
        &files,
    );
    assert_eq!(text(&ours), text(&theirs), "{}", tree.format);
}

#[test]
fn sources_stanzas_are_those_of_reprepro_for_every_format() {
    for (format, version, has_orig) in [
        ("1.0", "1.0", false),
        ("1.0", "2:1.0-1", true),
        ("3.0 (native)", "1.0", false),
        ("3.0 (quilt)", "1.0-1", true),
    ] {
        let tree = SourceTree {
            format,
            version,
            has_orig,
        };
        compare_sources(&tree, &[]);
    }
    let tree = SourceTree {
        format: "3.0 (quilt)",
        version: "1.0-1",
        has_orig: true,
    };
    let overrides = [
        ("Maintainer".to_owned(), Some("B <b@example.org>".to_owned())),
        ("X-New".to_owned(), Some("new".to_owned())),
        ("Build-Depends".to_owned(), None),
    ];
    compare_sources(&tree, &overrides);
}

/// The component that reprepro puts a package of each section into.
#[test]
fn components_are_guessed_as_reprepro_guesses() {
    let directory = tempfile::tempdir().unwrap();
    let names = ["main", "non-free", "role/web", "contrib/x"];
    let components: Vec<Component> = names.iter().map(|name| Component::new(name).unwrap()).collect();
    let base = directory.path().join("archive");
    put(
        base.join("conf/distributions"),
        format!("Codename: s\nComponents: {}\nArchitectures: amd64\n", names.join(" ")),
    );
    let sections = [
        "utils",
        "non-free",
        "non-free/utils",
        "utils/non-free",
        "contrib",
        "role",
        "x/role/web",
        "web",
    ];
    for (number, section) in sections.iter().enumerate() {
        let control = super::HELLO
            .replace("Package: hello", &format!("Package: p{number}"))
            .replace("Section: utils", &format!("Section: {section}"));
        let Some(file) = dpkg_deb(directory.path(), control, "none") else {
            return;
        };
        let arguments = ["-b", base.to_str().unwrap(), "includedeb", "s", file.to_str().unwrap()];
        if run(directory.path(), "reprepro", &arguments).is_none() {
            return;
        }
        let listed = run(
            directory.path(),
            "reprepro",
            &["-b", base.to_str().unwrap(), "list", "s", &format!("p{number}")],
        );
        let listed = text(&listed.unwrap());
        let theirs = listed.split('|').nth(1).unwrap_or_default().to_owned();
        let ours = guess_component(&components, section).unwrap();
        assert_eq!(ours.as_str(), theirs, "{section}");
    }
}

#[test]
fn a_section_is_found_behind_comments_and_missing_where_the_source_has_none() {
    let directory = tempfile::tempdir().unwrap();
    let found = |control: &str| {
        let top = directory.path().join("tree");
        let _ = fs::remove_dir_all(&top);
        put(top.join("hello-1.0/debian/control"), control);
        put(top.join("hello-1.0/debian/tests/control"), "Section: wrong\n");
        run(
            directory.path(),
            "tar",
            &["cJf", "hello_1.0.tar.xz", "-C", "tree", "hello-1.0"],
        )?;
        let name = FileName::new("Files", "hello_1.0.tar.xz").unwrap();
        let found = classify(&directory.path().join("hello_1.0.tar.xz"), &name, &Limits::default()).unwrap();
        Some(found.section.map(|section| section.to_string()))
    };
    let Some(section) = found("# licence\n\n# more\nSource: hello\nSection: games\n\nPackage: x\nSection: net\n")
    else {
        return;
    };
    assert_eq!(section.as_deref(), Some("games"));
    assert_eq!(found("Source: hello\n\nPackage: x\nSection: net\n").unwrap(), None);
    assert_eq!(found("no stanza\n\nPackage: x\nSection: net\n").unwrap(), None);
}
