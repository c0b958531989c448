//! The keyring package, as dpkg and lintian take it.

use std::fs;
use std::path::Path;
use std::process::Command;

use aptrepo::ops::key_package::{self, BuiltPackage, Error, KeyPackage};
use aptrepo::pgp::{KeyHome, Keyring, verify_clearsigned};

use crate::support::{self, RELEASE, is_there, now};

struct Wanted {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
}

impl Wanted {
    fn new() -> Self {
        Self {
            uris: vec!["https://deb.example.org/".into()],
            suites: vec!["stable".into(), "stable/updates".into()],
            components: vec!["main".into()],
        }
    }

    fn package(&self) -> KeyPackage<'_> {
        KeyPackage {
            name: "example",
            version: None,
            maintainer: None,
            keys: &[],
            uris: &self.uris,
            suites: &self.suites,
            components: &self.components,
            architectures: &[],
            sources: true,
        }
    }
}

fn home_with_key() -> (tempfile::TempDir, KeyHome) {
    support::native("Example archive <archive@example.org>")
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn save(directory: &Path, built: &BuiltPackage) -> String {
    support::write(directory, &built.file_name, &built.bytes)
        .display()
        .to_string()
}

#[test]
fn the_package_installs_a_keyring_that_verifies_the_archive() {
    if !is_there("dpkg") {
        return;
    }
    let (directory, home) = home_with_key();
    let signed = home.signer(&[], None, now()).unwrap().sign(RELEASE, now()).unwrap();
    let built = key_package::build(home.directory(), &Wanted::new().package(), 1_790_000_000.max(now())).unwrap();
    let deb = save(directory.path(), &built);

    let root = directory.path().join("root");
    for path in ["var/lib/dpkg/updates", "var/lib/dpkg/info"] {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    support::write(&root.join("var/lib/dpkg"), "status", b"");
    let root_option = format!("--root={}", root.display());
    run(
        "dpkg",
        &[
            &root_option,
            "--force-not-root",
            "--force-script-chrootless",
            "--log=/dev/null",
            "-i",
            &deb,
        ],
    );
    let status = run("dpkg", &[&root_option, "-s", "example-archive-keyring"]);
    assert!(status.contains("Status: install ok installed"), "{status}");
    assert!(
        status.contains("Maintainer: Example archive <archive@example.org>"),
        "{status}"
    );
    assert!(
        status.contains("Conffiles:\n /etc/apt/sources.list.d/example.sources"),
        "{status}"
    );
    run("dpkg", &[&root_option, "--verify", "example-archive-keyring"]);

    let keyring = Keyring::from_file(&root.join("usr/share/keyrings/example-archive-keyring.gpg")).unwrap();
    assert_eq!(
        verify_clearsigned(&signed.inrelease, &keyring, now())
            .unwrap()
            .good()
            .count(),
        1
    );
    let entry = fs::read_to_string(root.join("etc/apt/sources.list.d/example.sources")).unwrap();
    assert_eq!(
        entry,
        "Types: deb deb-src\nURIs: https://deb.example.org/\nSuites: stable stable/updates\nComponents: main\n\
         Signed-By: /usr/share/keyrings/example-archive-keyring.gpg\n"
    );
}

#[test]
fn lintian_finds_no_errors() {
    // It is not everywhere, and slow to have in CI.
    if Command::new("lintian").arg("--version").output().is_err() {
        return;
    }
    let (directory, home) = home_with_key();
    let built = key_package::build(home.directory(), &Wanted::new().package(), now()).unwrap();
    let deb = save(directory.path(), &built);
    let output = Command::new("lintian")
        .args(["--allow-root", "--fail-on", "error,warning", &deb])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_same_keys_and_time_give_the_same_package() {
    let (directory, home) = home_with_key();
    let at = 1_790_000_000.max(now());
    let wanted = Wanted::new();
    let built = key_package::build(home.directory(), &wanted.package(), at).unwrap();
    assert_eq!(
        built,
        key_package::build(home.directory(), &wanted.package(), at).unwrap()
    );
    let day = aptrepo::pgp::day(at).replace('-', ".");
    assert_eq!(built.file_name, format!("example-archive-keyring_{day}_all.deb"));
    if is_there("dpkg-deb") {
        let deb = save(directory.path(), &built);
        let contents = run("dpkg-deb", &["-c", &deb]);
        assert!(contents.lines().all(|line| line.contains(" root/root ")), "{contents}");
        assert!(contents.lines().next().unwrap().starts_with("drwxr-xr-x"), "{contents}");
        assert!(
            contents.contains(" usr/share/keyrings/example-archive-keyring.gpg\n"),
            "{contents}"
        );
        assert_eq!(
            run("dpkg-deb", &["-f", &deb, "Section", "Priority"]),
            "Section: misc\nPriority: optional\n"
        );
    }
}

#[test]
fn what_would_break_the_clients_entry_is_refused() {
    let (_directory, home) = home_with_key();
    let wanted = Wanted::new();
    let message = |package: &KeyPackage<'_>| {
        key_package::build(home.directory(), package, now())
            .unwrap_err()
            .to_string()
    };
    let uri = |uri: &str| Wanted {
        uris: vec![uri.into()],
        ..Wanted::new()
    };
    for bad in ["deb.example.org", "https://a b", "https://a\nTrusted: yes", ""] {
        let message = message(&uri(bad).package());
        assert!(message.starts_with("invalid URI"), "{bad:?}: {message}");
    }
    let no_suites = Wanted {
        suites: Vec::new(),
        ..Wanted::new()
    };
    assert_eq!(
        message(&no_suites.package()),
        "there is no suite: the source entry needs at least one"
    );
    for bad in ["Example", "a/b", "a b", ""] {
        let package = KeyPackage {
            name: bad,
            ..wanted.package()
        };
        assert!(message(&package).starts_with("invalid "), "{bad:?}");
    }
    let package = KeyPackage {
        maintainer: Some("nobody"),
        ..wanted.package()
    };
    assert_eq!(
        message(&package),
        "invalid maintainer `nobody`: must be `Name <address>`"
    );
    let none = KeyHome::open(Path::new("/nonexistent")).unwrap();
    let error = key_package::build(none.directory(), &wanted.package(), now()).unwrap_err();
    assert!(matches!(error, Error::NoUsableKey { .. }), "{error}");
}
