//! The `gpg` program over a GnuPG home, for archives whose keys are still there. It never asks at the terminal and is
//! never waited for without end.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::{Error, MAX_KEYRING_BYTES, Passphrase};
use crate::fsio::AtPath;

/// Enough for somebody who types a passphrase into the agent's window.
const SIGNING_PATIENCE: Duration = Duration::from_secs(120);
const LISTING_PATIENCE: Duration = Duration::from_secs(60);
const MAX_MESSAGE_BYTES: u64 = 64 << 10;

/// The two ways to sign.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    ClearSign,
    DetachSign,
}

/// A GnuPG home.
#[derive(Debug, Clone)]
pub(super) struct Gpg {
    home: PathBuf,
}

/// How the keys of a GnuPG home become keys of ours.
pub(super) fn import_hint(home: &Path) -> String {
    format!(
        "to sign without gpg, move the keys: gpg --homedir {0} --export-secret-keys > keys.pgp && gpg --homedir {0} \
         --export > public.pgp && aptrepo key import keys.pgp public.pgp && shred -u keys.pgp",
        home.display()
    )
}

impl Gpg {
    /// The GnuPG home in a directory, if there is one.
    pub(super) fn in_directory(directory: &Path) -> Option<Self> {
        const MARKS: [&str; 4] = ["pubring.kbx", "pubring.gpg", "private-keys-v1.d", "secring.gpg"];
        MARKS.iter().any(|mark| directory.join(mark).exists()).then(|| Self {
            home: directory.to_owned(),
        })
    }

    /// All public keys of the home, as a binary keyring.
    pub(super) fn export_public(&self) -> Result<Vec<u8>, Error> {
        self.run("list public keys", &["--export"], None, LISTING_PATIENCE)
    }

    /// The secret keys with these fingerprints, as a binary keyring.
    pub(super) fn export_secret(
        &self,
        fingerprints: &[String],
        passphrase: Option<&Passphrase>,
    ) -> Result<Vec<u8>, Error> {
        let mut arguments = vec!["--export-secret-keys", "--"];
        arguments.extend(fingerprints.iter().map(String::as_str));
        self.run("export secret keys", &arguments, passphrase, SIGNING_PATIENCE)
    }

    /// The fingerprints of the certificates with a secret key, in the order of the home.
    pub(super) fn secret_fingerprints(&self) -> Result<Vec<String>, Error> {
        let listing = self.run("list secret keys", &["--list-secret-keys"], None, LISTING_PATIENCE)?;
        Ok(primary_fingerprints(&String::from_utf8_lossy(&listing)))
    }

    /// The fingerprints of the certificates with a secret key that answer to what gpg understands as a key.
    pub(super) fn matching_secret_keys(&self, wanted: &str) -> Result<Vec<String>, Error> {
        match self.run(
            "look up a key",
            &["--list-secret-keys", "--", wanted],
            None,
            LISTING_PATIENCE,
        ) {
            Ok(listing) => Ok(primary_fingerprints(&String::from_utf8_lossy(&listing))),
            // gpg calls it a failure that there is none.
            Err(Error::Gpg { message, .. })
                if message.contains("No secret key") || message.contains("No public key") =>
            {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Signs a text with all of the keys.
    pub(super) fn sign(
        &self,
        operation: Operation,
        users: &[String],
        passphrase: Option<&Passphrase>,
        text: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let mut file = tempfile::NamedTempFile::new().at("create a temporary file in", &std::env::temp_dir())?;
        file.write_all(text).at("write", file.path())?;
        let path = file.path().display().to_string();
        let mut arguments = vec!["--armor", "--digest-algo", "SHA512"];
        for user in users {
            arguments.extend(["--local-user", user]);
        }
        let (flag, begin) = match operation {
            Operation::ClearSign => ("--clear-sign", "-----BEGIN PGP SIGNED MESSAGE-----"),
            Operation::DetachSign => ("--detach-sign", "-----BEGIN PGP SIGNATURE-----"),
        };
        arguments.extend(["--output", "-", flag, "--", &path]);
        let signed = self.run("sign", &arguments, passphrase, SIGNING_PATIENCE)?;
        if !signed.starts_with(begin.as_bytes()) {
            return Err(self.failed("sign", "it gave no signature".into()));
        }
        Ok(signed)
    }

    fn run(
        &self,
        doing: &'static str,
        arguments: &[&str],
        passphrase: Option<&Passphrase>,
        patience: Duration,
    ) -> Result<Vec<u8>, Error> {
        let mut command = Command::new("gpg");
        command.args([
            "--batch",
            "--no-tty",
            "--no-auto-check-trustdb",
            "--with-colons",
            "--homedir",
        ]);
        command.arg(&self.home).env("GNUPGHOME", &self.home).env("LC_ALL", "C");
        command.args(["--status-fd", "2"]);
        if passphrase.is_some() {
            command.args(["--pinentry-mode", "loopback", "--passphrase-fd", "0"]);
        }
        command.args(arguments);
        command.stdin(if passphrase.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::NoGpg {
                home: self.home.clone(),
            },
            _ => self.failed(doing, format!("it cannot be started: {error}")),
        })?;
        if let (Some(passphrase), Some(mut stdin)) = (passphrase, child.stdin.take()) {
            // A gpg that ends before it reads says itself what is wrong.
            let _ = stdin.write_all(&passphrase.line());
        }
        let Some((status, output, messages)) = outcome(&mut child, patience) else {
            return Err(Error::GpgTimeout {
                doing,
                home: self.home.clone(),
                seconds: patience.as_secs(),
            });
        };
        let messages = String::from_utf8_lossy(&messages);
        if output.len() as u64 >= MAX_KEYRING_BYTES {
            return Err(self.failed(doing, format!("it gave more than {MAX_KEYRING_BYTES} bytes")));
        }
        if status.success() {
            return Ok(output);
        }
        Err(self.explained(doing, &messages))
    }

    fn failed(&self, doing: &'static str, message: String) -> Error {
        Error::Gpg {
            doing,
            home: self.home.clone(),
            message,
        }
    }

    fn explained(&self, doing: &'static str, messages: &str) -> Error {
        let status = |word: &str| {
            messages
                .lines()
                .any(|line| line.starts_with(&format!("[GNUPG:] {word}")))
        };
        let bad_passphrase = messages.contains("Bad passphrase") || status("BAD_PASSPHRASE");
        if bad_passphrase {
            return Error::WrongPassphrase {
                key: format!("in `{}`", self.home.display()),
            };
        }
        let said = messages.lines().filter(|line| !line.starts_with("[GNUPG:]"));
        let last = said.filter_map(|line| line.strip_prefix("gpg: ")).next_back();
        self.failed(
            doing,
            last.unwrap_or("it gave no reason")
                .chars()
                .filter(|c| !c.is_control())
                .take(300)
                .collect(),
        )
    }
}

fn primary_fingerprints(listing: &str) -> Vec<String> {
    let mut fingerprints = Vec::new();
    let mut of_primary = false;
    for line in listing.lines() {
        let mut fields = line.split(':');
        match fields.next() {
            Some("sec") => of_primary = true,
            Some("fpr") if of_primary => {
                fingerprints.extend(fields.nth(8).map(str::to_owned));
                of_primary = false;
            }
            _ => {}
        }
    }
    fingerprints
}

/// Waits for the program, reading both of its outputs; None, and the program is ended, after `patience`.
fn outcome(child: &mut Child, patience: Duration) -> Option<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let output = read_aside(child.stdout.take(), MAX_KEYRING_BYTES);
    let messages = read_aside(child.stderr.take(), MAX_MESSAGE_BYTES);
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_millis(2);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => thread::sleep(pause),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    };
    // A daemon that gpg started may hold the pipes open: do not wait for their end without limit either.
    let rest = Duration::from_secs(5);
    Some((
        status,
        output.recv_timeout(rest).ok()?,
        messages.recv_timeout(rest).ok()?,
    ))
}

fn read_aside(pipe: Option<impl Read + Send + 'static>, limit: u64) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let whole = pipe.by_ref().take(limit).read_to_end(&mut bytes).is_ok();
            // The rest is read, so that the program does not block, and dropped.
            let _ = io::copy(&mut pipe, &mut io::sink());
            if whole {
                let _ = sender.send(bytes);
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_primary_keys_are_taken_from_a_listing() {
        let listing = "sec:u:255:22:AAAA:1:::u:::scESC:::+::ed25519:::0:\nfpr:::::::::F1:\ngrp:::::::::G:\n\
                       uid:u::::1::H::a::::::::::0:\nssb:u:255:22:BBBB:1::::::s:::+::ed25519::\nfpr:::::::::F2:\n\
                       sec:u:255:22:CCCC:1:::u:::scESC:::+::ed25519:::0:\nfpr:::::::::F3:\n";
        assert_eq!(primary_fingerprints(listing), ["F1", "F3"]);
    }

    #[test]
    fn a_program_that_does_not_end_is_not_waited_for() {
        let mut child = Command::new("sleep")
            .arg("60")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        assert!(outcome(&mut child, Duration::from_millis(30)).is_none());
        assert!(child.try_wait().unwrap().is_some());
    }
}
