//! The intake: one opening, every promise kept, nothing left behind.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use aptrepo::fsio;
use aptrepo::ingest::changes::{Received, Violation, check_deb, check_dsc, check_listing, receive};
use aptrepo::ingest::source::receive_parts;
use aptrepo::ingest::{Error, Intake, Place};
use aptrepo::model::package::FileName;
use aptrepo::model::{Changes, ErrorKind, FileDigests, Hasher, Promise, Sha256, SourceControl};

use super::{HELLO, dpkg_deb, put};

fn digests(content: &[u8]) -> FileDigests {
    let mut hasher = Hasher::with_sha512();
    hasher.update(content);
    hasher.finish()
}

struct Rooms {
    directory: tempfile::TempDir,
    intake: Intake,
}

impl Rooms {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["spool", "incoming"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let intake = Intake::new(&directory.path().join("spool"));
        Self { directory, intake }
    }

    fn incoming(&self) -> std::path::PathBuf {
        self.directory.path().join("incoming")
    }

    fn spooled(&self) -> usize {
        fs::read_dir(self.directory.path().join("spool")).unwrap().count()
    }
}

#[test]
fn what_is_promised_is_checked_and_the_copy_is_the_archives_own() {
    let rooms = Rooms::new();
    let path = rooms.incoming().join("f");
    let content = vec![7; 700_000];
    put(path.clone(), &content);
    let known = digests(&content);
    let promise = Promise::from(&known);
    let file = rooms.intake.file(path.as_path(), Some(&promise)).unwrap();
    assert_eq!(file.content, known);
    let plain = rooms.intake.file(path.as_path(), None).unwrap();
    assert!(plain.content.digests.sha512.is_none());
    let all = rooms.intake.clone().with_sha512().file(path.as_path(), None).unwrap();
    assert_eq!(all.content, known);
    fs::remove_file(&path).unwrap();
    assert_eq!(fs::read(file.path()).unwrap(), content);
    assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o600, 0o600);
    drop((plain, all));
    assert_eq!(rooms.spooled(), 1);
    let target = rooms.directory.path().join("pool-file");
    file.install(&target).unwrap();
    assert_eq!(fs::read(&target).unwrap(), content);
    assert_eq!(rooms.spooled(), 0);
}

#[test]
fn a_file_in_the_pool_is_replaced_in_one_step() {
    let rooms = Rooms::new();
    put(rooms.incoming().join("f"), "new");
    let target = rooms.directory.path().join("pool-file");
    put(target.clone(), "old");
    let file = rooms.intake.file(rooms.incoming().join("f").as_path(), None).unwrap();
    let open = fs::File::open(&target).unwrap();
    file.install(&target).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"new");
    assert_eq!(
        std::io::read_to_string(open).unwrap(),
        "old",
        "who reads the old one has it whole"
    );
    assert_eq!(rooms.spooled(), 0);
}

#[test]
fn every_difference_is_named_even_where_the_file_is_no_package() {
    let rooms = Rooms::new();
    let path = rooms.incoming().join("f.deb");
    put(path.clone(), "xx");
    let promise = Promise {
        size_bytes: Some(3),
        sha256: Some(Sha256::of(b"yy")),
        md5: digests(b"xx").digests.md5,
        ..Promise::default()
    };
    let error = rooms.intake.deb(path.as_path(), Some(&promise)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` is not the file that was promised: size expected 3, got 2; SHA256 expected {}, got {}",
            path.display(),
            Sha256::of(b"yy"),
            Sha256::of(b"xx")
        )
    );
    let error = rooms.intake.deb(path.as_path(), None).unwrap_err();
    assert!(matches!(error, Error::Archive { .. }), "{error}");
    assert_eq!(rooms.spooled(), 0);
}

#[test]
fn a_deb_is_read_while_it_is_copied() {
    let rooms = Rooms::new();
    let Some(path) = dpkg_deb(rooms.directory.path(), HELLO, "zstd") else {
        return;
    };
    let content = fs::read(&path).unwrap();
    let deb = rooms
        .intake
        .deb(path.as_path(), Some(&Promise::from(&digests(&content))))
        .unwrap();
    assert_eq!(fs::read(deb.file.path()).unwrap(), content);
    assert_eq!(deb.control.package.as_str(), "hello");
    assert!(deb.paths.contains(&b"usr/bin/hello".to_vec()));
    // what follows the last member is copied and hashed too
    let with_tail = rooms.incoming().join("tail.deb");
    put(with_tail.clone(), [content.as_slice(), &[b'\n'; 600_000]].concat());
    let deb = rooms.intake.deb(with_tail.as_path(), None).unwrap();
    assert_eq!(deb.file.content.size_bytes, content.len() as u64 + 600_000);
}

#[test]
fn only_plain_files_come_in() {
    let rooms = Rooms::new();
    let incoming = rooms.incoming();
    put(incoming.join("real"), "x");
    put(rooms.directory.path().join("secret"), "x");
    symlink("real", incoming.join("inside")).unwrap();
    symlink("../secret", incoming.join("outside")).unwrap();
    symlink(rooms.directory.path().join("secret"), incoming.join("absolute")).unwrap();
    fs::create_dir(incoming.join("directory")).unwrap();
    let pipe = incoming.join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let named = |name: &str| {
        let name = FileName::new("Files", name).unwrap();
        rooms.intake.file(Place::In(&incoming, &name), None).map(drop)
    };
    named("real").unwrap();
    named("inside").unwrap();
    for name in ["outside", "absolute"] {
        let error = named(name).unwrap_err();
        assert!(matches!(error, Error::LeavesDirectory { .. }), "{name}: {error}");
        // the user himself may name such a link
        rooms.intake.file(incoming.join(name).as_path(), None).unwrap();
    }
    for name in ["directory", "pipe"] {
        let error = named(name).unwrap_err();
        assert!(matches!(error, Error::NotRegular { .. }), "{name}: {error}");
        let error = rooms.intake.file(incoming.join(name).as_path(), None).unwrap_err();
        assert!(matches!(error, Error::NotRegular { .. }), "{name}: {error}");
    }
    let error = named("absent").unwrap_err();
    assert!(
        error.is_not_found() && error.kind() == ErrorKind::FileMissing,
        "{error}"
    );
    assert!(error.to_string().contains("incoming/absent"), "{error}");
    assert_eq!(rooms.spooled(), 0);
}

fn listed(name: &str, content: &[u8], section: &str) -> String {
    let file = digests(content);
    format!(
        "{} {} {section} optional {name}",
        file.digests.md5.unwrap(),
        file.size_bytes
    )
}

fn changes(fields: &str, files: &[String]) -> Changes {
    Changes::parse(format!("{fields}Files:\n {}\n", files.join("\n ")).as_bytes()).unwrap()
}

const FIELDS: &str =
    "Source: hello-src\nBinary: hello\nVersion: 1.0-1\nDistribution: staging\nArchitecture: source amd64\n";

fn words(violations: &[Violation]) -> Vec<&'static str> {
    violations
        .iter()
        .map(|violation| violation.ignore_word().unwrap_or("-"))
        .collect()
}

#[test]
fn an_upload_comes_in_whole_and_in_order() {
    let rooms = Rooms::new();
    let Some(path) = dpkg_deb(rooms.directory.path(), HELLO, "gzip") else {
        return;
    };
    let deb = fs::read(path).unwrap();
    put(rooms.incoming().join("hello_1.0-1_amd64.deb"), &deb);
    put(rooms.incoming().join("note"), "n");
    let fields = FIELDS.replace("source amd64", "amd64");
    let upload = changes(
        &fields,
        &[
            listed("hello_1.0-1_amd64.deb", &deb, "utils"),
            listed("note", b"n", "byhand"),
            listed("gone", b"", "-"),
        ],
    );
    assert_eq!(words(&check_listing(&upload)), [""; 0]);
    let Received::Deb(read) = receive(&rooms.intake, &upload.files[0], &rooms.incoming()).unwrap() else {
        panic!("a .deb is a .deb")
    };
    assert_eq!(words(&check_deb(&upload, &upload.files[0], &read.control)), [""; 0]);
    assert!(matches!(
        receive(&rooms.intake, &upload.files[1], &rooms.incoming()),
        Ok(Received::Plain(_))
    ));
    assert!(
        receive(&rooms.intake, &upload.files[2], &rooms.incoming())
            .unwrap_err()
            .is_not_found()
    );
}

#[test]
fn every_broken_rule_of_an_upload_is_told() {
    let upload = changes(
        FIELDS,
        &[
            listed("hello_1.0-1_i386.deb", b"", "utils"),
            listed("hello-data_1.0-1_all.deb", b"", "utils"),
            listed("hello_1.0-1.dsc", b"", "utils"),
        ],
    );
    let found = check_listing(&upload);
    assert_eq!(words(&found), ["surprisingarch", "surprisingarch", "unusedarch"]);
    assert_eq!(
        found[0].to_string(),
        "`hello_1.0-1_i386.deb` is for `i386`, which the field `Architecture` of the .changes does not name"
    );
    let rebuild = FIELDS
        .replace("Source: hello-src", "Source: hello-src (0.9)")
        .replace("amd64", "");
    let rebuild = changes(&rebuild, &[listed("hello_1.0-1.dsc", b"", "utils")]);
    assert_eq!(words(&check_listing(&rebuild)), ["dscinbinnmu"]);

    let control = |text: &str| aptrepo::model::BinaryControl::parse(text.as_bytes()).unwrap();
    let file = &upload.files[0];
    let check = |text: &str| words(&check_deb(&upload, file, &control(text)));
    let good = "Package: hello\nVersion: 1.0-1\nSource: hello-src (1.0-1)\nArchitecture: i386\n";
    assert_eq!(check(good), [""; 0]);
    assert_eq!(check(&good.replace("(1.0-1)", "(1.0-2)")), ["wrongsourceversion"]);
    assert_eq!(check(&good.replace("hello-src", "bash")), ["-"]);
    assert_eq!(check(&good.replace("i386", "arm64")), ["-"]);
    assert_eq!(
        check(&good.replace("Package: hello", "Package: other")),
        ["-", "surprisingbinary"]
    );

    let symbols = changes(FIELDS, &[listed("hello-dbgsym_1.0-1_amd64.deb", b"", "debug")]);
    let control = control("Package: hello-dbgsym\nVersion: 1.0-1\nSource: hello-src\nArchitecture: amd64\n");
    assert_eq!(words(&check_deb(&symbols, &symbols.files[0], &control)), [""; 0]);
}

#[test]
fn a_dsc_must_agree_with_its_changes() {
    let file = |name: &str, content: &[u8]| {
        let found = digests(content);
        format!(" {} {} {name}\n", found.digests.md5.unwrap(), found.size_bytes)
    };
    let dsc = format!(
        "Format: 3.0 (quilt)\nSource: hello-src\nVersion: 1.0-1\nFiles:\n{}{}",
        file("hello-src_1.0.orig.tar.gz", b"orig"),
        file("hello-src_1.0-1.debian.tar.xz", b"debian")
    );
    let parsed = |text: &str| SourceControl::parse(text.as_bytes()).unwrap();
    let upload = |parts: &[String]| {
        changes(
            FIELDS,
            &[&[listed("hello-src_1.0-1.dsc", b"", "utils")], parts].concat(),
        )
    };
    let whole = upload(&[
        listed("hello-src_1.0.orig.tar.gz", b"orig", "utils"),
        listed("hello-src_1.0-1.debian.tar.xz", b"debian", "utils"),
    ]);
    assert_eq!(words(&check_dsc(&whole, &whole.files[0], &parsed(&dsc))), [""; 0]);
    let other = parsed(&dsc.replace("Version: 1.0-1", "Version: 1.0-2"));
    assert_eq!(words(&check_dsc(&whole, &whole.files[0], &other)), ["wrongversion"]);
    let other = parsed(&dsc.replace("Source: hello-src", "Source: bash"));
    assert_eq!(words(&check_dsc(&whole, &whole.files[0], &other)), ["-"]);
    let partly = upload(&[listed("hello-src_1.0-1.debian.tar.xz", b"others", "utils")]);
    let found = check_dsc(&partly, &partly.files[0], &parsed(&dsc));
    assert_eq!(words(&found), ["missingfile", "-"]);
}

#[test]
fn a_part_that_is_not_there_is_left_to_the_pool_and_a_wrong_one_is_refused() {
    let rooms = Rooms::new();
    let found = digests(b"debian");
    let dsc = format!(
        "Format: 3.0 (quilt)\nSource: a\nVersion: 1-1\nFiles:\n {0} 6 a_1.orig.tar.gz\n {0} 6 a_1-1.debian.tar.xz\n",
        found.digests.md5.unwrap()
    );
    let control = SourceControl::parse(dsc.as_bytes()).unwrap();
    let part: &Path = &rooms.incoming().join("a_1-1.debian.tar.xz");
    put(part.to_owned(), "debian");
    let parts = receive_parts(&rooms.intake, &control, &rooms.incoming()).unwrap();
    assert_eq!(
        parts.iter().map(|part| part.file.is_some()).collect::<Vec<_>>(),
        [false, true]
    );
    fsio::write_atomic(part, b"DEBIAN").unwrap();
    let error = receive_parts(&rooms.intake, &control, &rooms.incoming()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
}
