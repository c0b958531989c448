//! Signs the Release file of a tree that is not yet live: with keys, or by the script that `SignWith: ! script` names.

use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Error;
use crate::fsio::process::run_limited;
use crate::fsio::{self, AtPath};
use crate::pgp::clearsigned::split_clearsigned;

/// Longest signature that is taken: hundreds of keys would fit.
const MAX_SIGNED_BYTES: u64 = 64 << 20;
/// How much of what a script says is repeated in an error.
const MAX_SAID_BYTES: u64 = 4 << 10;

/// The script that signs, and what it is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Script<'a> {
    pub(super) program: &'a Path,
    pub(super) environment: &'a [(OsString, OsString)],
    pub(super) patience: Duration,
}

/// What a script made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) in_release: Vec<u8>,
    pub(super) release_gpg: Option<Vec<u8>>,
}

/// Runs the script as reprepro does, `script Release.new InRelease.new Release.gpg.new`, and takes what it made. The
/// script must make an InRelease of just this Release, may make a Release.gpg, and neither may be empty.
pub(super) fn run_script(script: Script<'_>, directory: &Path, release: &[u8]) -> Result<Signed, Error> {
    let place = |name: &str| directory.join(name);
    let [unsigned, in_release, release_gpg, said] =
        ["Release.new", "InRelease.new", "Release.gpg.new", ".sign-output"].map(place);
    fsio::write_new(&unsigned, release)?;
    let failed = |problem: String| Error::Script {
        program: script.program.to_owned(),
        problem,
    };
    fsio::write_new(&said, b"")?;
    let output = File::options().append(true).open(&said).at("open", &said)?;
    let second = output.try_clone().at("open", &said)?;
    let mut command = Command::new(script.program);
    command
        .args([&unsigned, &in_release, &release_gpg])
        .envs(script.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(second);
    let status = match run_limited(&mut command, script.patience) {
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            return Err(failed(format!("it {error}{}", repeat(&said))));
        }
        ended => ended.at("run", script.program)?,
    };
    if !status.success() {
        return Err(failed(format!("it ended with {status}{}", repeat(&said))));
    }
    let in_release_bytes = take(&in_release, script.program)?
        .ok_or_else(|| failed(format!("it made no InRelease.new{}", repeat(&said))))?;
    let release_gpg_bytes = take(&release_gpg, script.program)?;
    check_text(&in_release_bytes, release).map_err(|problem| failed(format!("{problem}{}", repeat(&said))))?;
    for path in [&unsigned, &in_release, &release_gpg, &said] {
        fsio::remove_if_there(path)?;
    }
    Ok(Signed {
        in_release: in_release_bytes,
        release_gpg: release_gpg_bytes,
    })
}

/// Refuses an InRelease that signs something else than the Release: one of an earlier state, as a cache or a slow
/// signing service gives it, or none at all. Who signed it is for the clients to judge.
fn check_text(in_release: &[u8], release: &[u8]) -> Result<(), String> {
    match split_clearsigned(in_release) {
        Ok(Some(signed)) if same_text(&signed.text, release) => Ok(()),
        Ok(Some(_)) => Err("its InRelease.new is not of the text in Release.new".into()),
        Ok(None) => Err("its InRelease.new is not signed".into()),
        Err(error) => Err(format!("its InRelease.new cannot be read: {error}")),
    }
}

/// Whether two texts are the same to a signature, which does not cover blanks at the ends of lines (RFC 9580, 7.2).
fn same_text(one: &[u8], other: &[u8]) -> bool {
    lines(one).eq(lines(other))
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end)
}

fn take(path: &Path, program: &Path) -> Result<Option<Vec<u8>>, Error> {
    let bytes = fsio::read_if_there(path, MAX_SIGNED_BYTES)?;
    if bytes.as_ref().is_some_and(Vec::is_empty) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        return Err(Error::Script {
            program: program.to_owned(),
            problem: format!("it left an empty {name}"),
        });
    }
    Ok(bytes)
}

/// What the script said, as the end of a sentence.
fn repeat(said: &Path) -> String {
    use std::io::Read;
    let mut bytes = Vec::new();
    // what cannot be read is left out: the error to tell is another
    let _ = File::open(said).and_then(|file| file.take(MAX_SAID_BYTES).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let text: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.is_empty() { text } else { format!(": {text}") }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    use super::*;

    fn run(script: &str, patience: Duration) -> (Result<Signed, Error>, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let (program, tree) = (directory.path().join("sign"), directory.path().join("tree"));
        fsio::write_new(&program, format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        fsio::create_dir_all(&tree).unwrap();
        let environment = [("KEY".into(), "k1".into())];
        let script = Script {
            program: &program,
            environment: &environment,
            patience,
        };
        let signed = run_script(script, &tree, b"Codename: t\n");
        let left = std::fs::read_dir(&tree)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        (signed, left)
    }

    /// A shell function that clear-signs its input, as far as the form goes.
    const CLEARSIGN: &str = "clearsign() {\n\
        B=-----BEGIN E=-----END P='PGP SIGNATURE-----'\n\
        echo \"$B PGP SIGNED MESSAGE-----\"; echo; cat; echo \"$B $P\"; echo; echo \"$E $P\"\n}\n";

    #[test]
    fn the_script_gets_three_names_and_its_files_are_taken() {
        let soon = Duration::from_secs(20);
        let (signed, left) = run(
            &format!("{CLEARSIGN}clearsign < \"$1\" > \"$2\"; echo $KEY > \"$3\""),
            soon,
        );
        let signed = signed.unwrap();
        let split = split_clearsigned(&signed.in_release).unwrap().unwrap();
        assert_eq!(split.text, b"Codename: t\n");
        assert_eq!(signed.release_gpg.as_deref(), Some(&b"k1\n"[..]));
        assert_eq!(left, [""; 0]);
        let alone = run(&format!("{CLEARSIGN}clearsign < $1 > $2"), soon).0.unwrap();
        assert_eq!(alone.release_gpg, None);
    }

    #[test]
    fn an_in_release_of_another_text_is_refused() {
        let problem = |script: &str| match run(&format!("{CLEARSIGN}{script}"), Duration::from_secs(20)).0 {
            Err(Error::Script { problem, .. }) => problem,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            problem("echo Codename: old | clearsign > $2"),
            "its InRelease.new is not of the text in Release.new"
        );
        assert_eq!(problem("cp $1 $2"), "its InRelease.new is not signed");
        assert!(problem("(clearsign < $1; echo Suite: evil) > $2").contains("nothing after the signature"));
        assert!(same_text(b"A: b\n\nC", b"A: b \t\r\n\nC\n"));
        assert!(!same_text(b"A: b\n\nC", b"A: b\nC\n"));
    }

    #[test]
    fn a_script_that_fails_is_an_error_that_says_how() {
        let problem = |script: &str, patience| match run(script, patience).0 {
            Err(Error::Script { problem, .. }) => problem,
            other => panic!("{other:?}"),
        };
        let soon = Duration::from_secs(20);
        assert_eq!(
            problem("echo no key >&2; exit 3", soon),
            "it ended with exit status: 3: no key"
        );
        assert_eq!(problem("echo x > $3", soon), "it made no InRelease.new");
        assert_eq!(problem(": > $2", soon), "it left an empty InRelease.new");
        assert_eq!(problem("echo x > $2; : > $3", soon), "it left an empty Release.gpg.new");
        let begun = Instant::now();
        assert!(
            problem("sleep 60", Duration::from_millis(300)).starts_with("it did not end within 0 s and was killed")
        );
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
