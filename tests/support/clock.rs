//! An archive as a command sees it that begins at another time.

use std::cell::Cell;

use aptrepo::conf::{Conf, ExportMode, Options, Settings as Configured};
use aptrepo::model::Restriction;
use aptrepo::ops::archive::Settings;
use aptrepo::ops::{Archive, Reporter};

use super::{TestEnv, TestResult};

thread_local! {
    /// What the clock of the archives that [`at`] opens says.
    pub static CLOCK: Cell<i64> = const { Cell::new(0) };
}

/// Nobody who is told anything.
struct Silence;

impl Reporter for Silence {
    fn result(&self, _: &str) {}
    fn note(&self, _: &str) {}
    fn status(&self, _: &str) {}
    fn progress(&self, _: Option<&str>) {}
    fn warning(&self, _: &str) {}
}

/// The archive as a command sees it that begins at `now`.
pub fn at(env: &TestEnv, now: i64, export: Option<ExportMode>) -> TestResult<Archive<'static>> {
    CLOCK.set(now);
    let options = Options {
        basedir: Some(env.base().to_string_lossy().into_owned()),
        retain_secs: Some(3 * 86_400),
        export,
        ..Options::default()
    };
    let configured = Configured::load(options, None)?;
    Ok(Archive {
        conf: Conf::read(&configured.directories, &configured.options.ignore)?,
        directories: configured.directories,
        settings: Settings {
            options: configured.options,
            restriction: Restriction::default(),
            dry_run: false,
            allow_downgrade: false,
            passphrase_file: None,
            now,
            clock: || CLOCK.get(),
            end_at_once: || {},
            user: "tester".into(),
            command: "test".into(),
            command_line: "test".into(),
        },
        reporter: &Silence,
    })
}
