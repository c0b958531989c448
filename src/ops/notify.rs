//! What happens outside the archive after a change: the lines of a `Log:` file and the notifiers named below it, with
//! reprepro's arguments and environment. Nothing here can hurt the archive: failures are warnings.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::conf::distribution::{Distribution, Notifier};
use crate::fsio::{self, AtPath};
use crate::model::{Codename, Entry, IndexId};

use super::plan::Change;

/// How long one call of a notifier may take.
const NOTIFIER_LIMIT: Duration = Duration::from_secs(300);

/// What one command bears from notifiers, as all others wait for it: one that did not end in time is called no more.
#[derive(Debug)]
pub struct Patience {
    limit: Duration,
    hung: RefCell<BTreeSet<PathBuf>>,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            limit: NOTIFIER_LIMIT,
            hung: RefCell::default(),
        }
    }
}

/// One line of the log: what became of one package in one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    action: &'static str,
    index: &'a IndexId,
    entry: &'a Entry,
    replaced: Option<&'a Entry>,
    brought: Brought<'a>,
}

/// What brought a package.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Brought<'a> {
    /// The file on the command line.
    pub file: Option<&'a Path>,
    /// The rule of `update` or `pull`.
    pub origin: Option<&'a Origin>,
}

/// Where a rule took a package from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The rule.
    pub rule: String,
    /// The distribution that it reads.
    pub from: String,
}

impl<'a> Event<'a> {
    /// The event of a package that is there, for `rerunnotifiers`.
    #[must_use]
    pub fn info(index: &'a IndexId, entry: &'a Entry) -> Self {
        Self {
            action: "info",
            index,
            entry,
            replaced: None,
            brought: Brought::default(),
        }
    }

    /// The events of one change, as it was brought about: where it replaces several versions, the lower ones are
    /// removals of their own.
    pub fn of_change(change: &'a Change, brought: Brought<'a>) -> impl Iterator<Item = Self> {
        let index = change.index();
        let mut old = change.old_entries().iter();
        let first = match change {
            Change::Add { new, .. } => Some(Self {
                action: "add",
                index,
                entry: &new.entry,
                replaced: None,
                brought,
            }),
            Change::Replace { new, .. } => Some(Self {
                action: "replace",
                index,
                entry: &new.entry,
                replaced: old.next(),
                brought,
            }),
            Change::Remove { .. } => None,
        };
        let removals = old.map(move |entry| Self {
            action: "remove",
            index,
            entry,
            replaced: None,
            brought,
        });
        first.into_iter().chain(removals)
    }

    fn words(&self) -> [&'a str; 7] {
        let IndexId {
            codename,
            component,
            kind,
        } = self.index;
        [
            self.action,
            codename.as_str(),
            kind.package_type().as_str(),
            component.as_str(),
            kind.architecture_word(),
            self.entry.name.as_str(),
            self.entry.version.as_str(),
        ]
    }

    fn log_line(&self, time: &str) -> String {
        let old = self.replaced.map(|old| format!(" {}", old.version)).unwrap_or_default();
        format!("{time} {}{old}\n", self.words().join(" "))
    }

    fn arguments(&self) -> Vec<&'a str> {
        let mut arguments = self.words().to_vec();
        arguments.extend(self.replaced.map(|old| old.version.as_str()));
        for entry in [Some(self.entry), self.replaced].into_iter().flatten() {
            arguments.push("--");
            arguments.extend(entry.files.iter().map(|file| file.path.as_str()));
        }
        arguments
    }

    fn concerns(&self, notifier: &Notifier, command: &str) -> bool {
        let IndexId { component, kind, .. } = self.index;
        !notifier.for_changes
            && notifier.package_type.is_none_or(|wanted| wanted == kind.package_type())
            && notifier.component.as_ref().is_none_or(|wanted| wanted == component)
            && notifier
                .architecture
                .as_ref()
                .is_none_or(|wanted| wanted == kind.architecture_word())
            && notifier.via.as_ref().is_none_or(|wanted| wanted == command)
    }
}

/// A .changes file that was accepted, for `--changes` notifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedChanges {
    /// The distribution that accepted it.
    pub codename: Codename,
    /// The source package.
    pub source: String,
    /// Its version.
    pub version: String,
    /// The .changes file as it was named.
    pub file: PathBuf,
    /// Where it is in the pool, if tracking keeps it.
    pub pool_path: Option<String>,
}

/// What caused a change: told to scripts in their environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cause {
    /// The command's name.
    pub command: String,
    /// The distribution that packages were copied from.
    pub from: Option<String>,
}

/// Runs what a distribution's `Log:` names.
#[derive(Debug)]
pub struct LogWriter<'a> {
    /// The distribution.
    pub distribution: &'a Distribution,
    /// The `REPREPRO_…_DIR` variables.
    pub directories: &'a [(&'static str, PathBuf)],
    /// What caused the events.
    pub cause: &'a Cause,
    /// Now, in Unix seconds.
    pub now: i64,
    /// For all notifiers of the command.
    pub patience: &'a Patience,
}

impl LogWriter<'_> {
    /// Writes the events into the log file.
    ///
    /// # Errors
    /// The log file cannot be written.
    pub fn write_lines(&self, events: &[Event<'_>]) -> fsio::Result<()> {
        let Some(file) = self.distribution.log.as_ref().and_then(|log| log.file.as_ref()) else {
            return Ok(());
        };
        if events.is_empty() {
            return Ok(());
        }
        fsio::create_dir_all(fsio::parent(file))?;
        let time = local_time(self.now);
        let lines: String = events.iter().map(|event| event.log_line(&time)).collect();
        let mut log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(file)
            .at("open the log file", file)?;
        log.write_all(lines.as_bytes()).at("write", file)
    }

    /// Calls every notifier for every event that it is for, one at a time, and tells what went wrong.
    #[must_use]
    pub fn call_notifiers(&self, events: &[Event<'_>]) -> Vec<String> {
        let mut faults = Vec::new();
        for event in events {
            for notifier in self
                .notifiers()
                .filter(|notifier| event.concerns(notifier, &self.cause.command))
            {
                faults.extend(self.run(notifier, &event.arguments(), event.brought));
            }
        }
        faults
    }

    /// Calls the `--changes` notifiers for an accepted .changes file.
    #[must_use]
    pub fn announce_changes(&self, accepted: &AcceptedChanges) -> Vec<String> {
        let file = accepted.file.to_string_lossy();
        let mut arguments = vec![
            "accepted",
            self.distribution.codename.as_str(),
            &accepted.source,
            &accepted.version,
        ];
        arguments.push(&file);
        arguments.extend(accepted.pool_path.as_deref());
        let brought = Brought {
            file: Some(&accepted.file),
            origin: None,
        };
        let wanted = |notifier: &&Notifier| {
            notifier.for_changes && notifier.via.as_ref().is_none_or(|via| *via == self.cause.command)
        };
        self.notifiers()
            .filter(wanted)
            .filter_map(|notifier| self.run(notifier, &arguments, brought))
            .collect()
    }

    fn notifiers(&self) -> impl Iterator<Item = &Notifier> {
        self.distribution.log.iter().flat_map(|log| &log.notifiers)
    }

    fn run(&self, notifier: &Notifier, arguments: &[&str], brought: Brought<'_>) -> Option<String> {
        let Patience { limit, hung } = self.patience;
        if hung.borrow().contains(&notifier.script) {
            return None;
        }
        let mut command = Command::new(&notifier.script);
        command.args(&notifier.arguments).args(arguments).stdin(Stdio::null());
        command.envs(self.environment(brought));
        let outcome = fsio::process::run_limited(&mut command, *limit);
        let fault = match outcome {
            Ok(status) if status.success() => return None,
            Ok(status) => format!("ended with {status}"),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                hung.borrow_mut().insert(notifier.script.clone());
                format!("{error}; this command does not call it again")
            }
            Err(error) => error.to_string(),
        };
        Some(format!("notifier `{}`: {fault}", notifier.script.display()))
    }

    fn environment(&self, brought: Brought<'_>) -> Vec<(&'static str, OsString)> {
        let mut environment: Vec<(&'static str, OsString)> = self
            .directories
            .iter()
            .map(|(name, path)| (*name, path.clone().into_os_string()))
            .collect();
        environment.push(("REPREPRO_CAUSING_COMMAND", self.cause.command.clone().into()));
        if let Some(file) = brought.file {
            environment.push(("REPREPRO_CAUSING_FILE", file.into()));
        }
        if let Some(origin) = brought.origin {
            environment.push(("REPREPRO_CAUSING_RULE", origin.rule.clone().into()));
        }
        let from = brought.origin.map(|origin| &origin.from).or(self.cause.from.as_ref());
        if let Some(from) = from {
            environment.push(("REPREPRO_FROM", from.clone().into()));
        }
        environment
    }
}

/// The time of a log line, as the machine's clock on the wall shows it.
fn local_time(unix_seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(unix_seconds).unwrap_or_default();
    time.to_zoned_datetime(TimeZone::system())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::conf::{Conf, Directories, IgnoreSet};

    #[test]
    fn a_notifier_that_hangs_is_waited_for_once() {
        let base = tempfile::tempdir().unwrap();
        let directories = Directories::below(base.path());
        fsio::create_dir_all(&directories.conf).unwrap();
        let text = "Codename: local\nArchitectures: amd64\nComponents: main\nLog: log\n --changes /bin/sleep\n \
                    --changes /bin/false\n";
        fsio::write_new(&directories.conf.join("distributions"), text.as_bytes()).unwrap();
        let mut conf = Conf::read(&directories, &IgnoreSet::default()).unwrap();
        let distribution = conf.distributions.first_mut().unwrap();
        let hanging = distribution.log.as_mut().unwrap().notifiers.first_mut().unwrap();
        hanging.script = "/bin/sh".into();
        hanging.arguments = vec!["-c".into(), "sleep 60".into()];
        let patience = Patience {
            limit: Duration::from_millis(100),
            ..Patience::default()
        };
        let writer = LogWriter {
            distribution,
            directories: &[],
            cause: &Cause::default(),
            now: 0,
            patience: &patience,
        };
        let accepted = AcceptedChanges {
            codename: distribution.codename.clone(),
            source: "hello".into(),
            version: "1".into(),
            file: "hello_1.changes".into(),
            pool_path: None,
        };
        let start = Instant::now();
        let first = writer.announce_changes(&accepted);
        assert!(start.elapsed() < Duration::from_secs(30));
        assert!(
            first[0].ends_with("was killed; this command does not call it again"),
            "{first:?}"
        );
        for _ in 0..3 {
            let faults = writer.announce_changes(&accepted);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(
                faults[0].starts_with("notifier `/bin/false`: ended with"),
                "the other is still called: {faults:?}"
            );
        }
    }
}
