//! Packages, sources and uploads as they come in: against dpkg and reprepro where these are installed, and against
//! files that mean harm.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what the tests make themselves may fail the test at once"
)]

#[path = "ingest/faults.rs"]
mod faults;
#[path = "ingest/hostile.rs"]
mod hostile;
#[path = "ingest/intake.rs"]
mod intake;
#[path = "ingest/reprepro.rs"]
mod reprepro;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use aptrepo::fsio;
use aptrepo::ingest::Limits;
use aptrepo::ingest::deb::{Deb, read_deb};
use aptrepo::model::BinaryControl;

/// Runs a program that must succeed and gives its output; `None` if it is not installed (a failure where CI is set).
fn run(directory: &Path, program: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    match Command::new(program).args(arguments).current_dir(directory).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {arguments:?}: {said}");
            Some(output.stdout)
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{program}: {error}");
            None
        }
    }
}

fn put(path: PathBuf, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fsio::write_new(&path, content.as_ref()).unwrap();
}

/// The error and all its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

const HELLO: &str = "Package: hello\nVersion: 1:1.0-1\nSource: hello-src (1.0-1)\nArchitecture: amd64\n\
    Maintainer: A <a@example.org>\nSection: utils\nPriority: optional\nDescription: greets\n at length\n";

/// A package made by dpkg-deb, with this control file.
fn dpkg_deb(directory: &Path, control: impl AsRef<[u8]>, compression: &str) -> Option<PathBuf> {
    let tree = directory.join("tree");
    let _ = fs::remove_dir_all(&tree);
    put(tree.join("DEBIAN/control"), control);
    put(tree.join("DEBIAN/conffiles"), "/etc/hello.conf\n");
    put(tree.join("etc/hello.conf"), "x");
    put(tree.join("usr/bin/hello"), vec![b'x'; 100_000]);
    put(tree.join("usr/share/doc/hello/with space"), "x");
    put(
        tree.join(format!("usr/share/{}/{}", "d".repeat(120), "f".repeat(150))),
        "x",
    );
    fs::create_dir_all(tree.join("usr/share/empty")).unwrap();
    fs::hard_link(tree.join("usr/bin/hello"), tree.join("usr/bin/hello-2")).unwrap();
    symlink("hello", tree.join("usr/bin/hallo")).unwrap();
    let file = directory.join(format!("{compression}.deb"));
    let _ = fs::remove_file(&file);
    let option = format!("-Z{compression}");
    run(
        directory,
        "dpkg-deb",
        &[
            "--nocheck",
            "--root-owner-group",
            &option,
            "-b",
            "tree",
            file.to_str().unwrap(),
        ],
    )?;
    Some(file)
}

fn read(file: &[u8]) -> Result<Deb, String> {
    read_deb(file, &Limits::default()).map_err(|error| chain(&error))
}

#[test]
fn lists_are_those_of_dpkg_for_every_compression() {
    let directory = tempfile::tempdir().unwrap();
    for compression in ["gzip", "xz", "zstd", "none"] {
        let Some(file) = dpkg_deb(directory.path(), HELLO, compression) else {
            return;
        };
        let deb = read(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(deb.control, BinaryControl::parse(HELLO.as_bytes()).unwrap());
        assert_eq!(deb.control.source_version.as_str(), "1.0-1");
        let script = format!("dpkg-deb --fsys-tarfile {} | tar t", file.display());
        let listed = run(directory.path(), "sh", &["-c", &script]).unwrap();
        let mut expected: Vec<&[u8]> = listed
            .split(|byte| *byte == b'\n')
            .filter(|path| !path.is_empty() && !path.ends_with(b"/"))
            .map(|path| path.strip_prefix(b"./").unwrap_or(path))
            .collect();
        expected.sort_unstable();
        assert_eq!(deb.paths, expected, "{compression}");
        assert_eq!(deb.paths.len(), 6);
    }
}
