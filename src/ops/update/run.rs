//! One run of `update`, first half: Release files and indexes of the upstreams, what of it is new, and which
//! distributions have failed so far.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::conf::Ignore;
use crate::conf::distribution::Distribution;
use crate::fsio;
use crate::fsio::lock::Lock;
use crate::mirror::{self, Accepted, ChosenIndex, Interrupt, Tolerated, Transfer, Trust, WantedIndex};
use crate::model::Codename;
use crate::pgp::{KeyHome, Keyring};
use crate::store::{self, Snapshot};

use super::super::archive::Archive;
use super::super::select::Restricted;
use super::super::session::Session;
use super::super::{Error as OpsError, Result, with_causes};
use super::Error;
use super::extras::OpenExtras;
use super::jobs::{self, Job, Jobs, Source, Step, Target};
use super::seen::{self, Seen};
use super::{download, progress};

/// How long the archive's lock is waited for at least, as much was fetched for what it is needed for.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a signal may go unnoticed in that time.
const SLICE: Duration = Duration::from_millis(500);

/// What is to be decided for one distribution.
#[derive(Debug, Clone)]
pub(super) struct OpenJob {
    /// Its place in the jobs.
    pub job: usize,
    pub targets: Vec<OpenTarget>,
}

/// One index of ours that is to be decided.
#[derive(Debug, Clone)]
pub(super) struct OpenTarget {
    /// Its place in the job.
    pub at: usize,
    /// What it is made of; none if that cannot tell whether it is the same next time.
    pub input: Option<String>,
}

/// One run.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub archive: &'a Archive<'a>,
    pub interrupt: Interrupt,
    pub jobs: Jobs<'a>,
    pub transfer: Transfer<'a>,
    /// The packages that the run is about.
    pub restricted: Restricted,
    /// The archive's state when the run began.
    snapshot: Snapshot,
    /// No other run may touch `lists/` and what waits beside the pool.
    _lock: Lock,
    failed: Vec<(Codename, Arc<OpsError>)>,
    /// The copies of the upstreams' indexes, by their place in the jobs' sources.
    pub lists: BTreeMap<usize, PathBuf>,
    /// What is to be decided, by distribution.
    pub open: Vec<OpenJob>,
    /// What is to be done about the upstreams' files that are no packages, by distribution.
    pub extras: Vec<OpenExtras>,
    /// The distributions that are up to date now.
    pub done: BTreeSet<Codename>,
}

impl<'a> Run<'a> {
    /// Brings Release files and indexes in, for what has changed since the last run.
    ///
    /// # Errors
    /// Another update is running, an upstream is refused, or a signal came.
    pub fn prepare(archive: &'a Archive<'a>, distributions: &[&'a Distribution]) -> Result<Self> {
        let settings = &archive.settings;
        let database = archive.database()?;
        let lock = database.lock_updates(&settings.command_line, settings.options.lock_patience())?;
        if lock.was_left() {
            fsio::remove_temporary_files(&archive.directories.list)?;
        }
        let interrupt = Interrupt::catch(settings.end_at_once).map_err(Error::from)?;
        let jobs = jobs::jobs(&archive.conf, distributions, &settings.restriction);
        jobs.warnings
            .iter()
            .for_each(|warning| archive.reporter.warning(warning));
        fsio::create_dir_all(&archive.directories.list)?;
        let reporter = archive.reporter;
        let watcher = move |now: Option<&mirror::Progress>| reporter.progress(now.map(progress::line).as_deref());
        let mut run = Self {
            archive,
            jobs,
            transfer: Transfer::new(interrupt.clone(), watcher).map_err(Error::from)?,
            interrupt,
            restricted: Restricted::read(archive)?,
            snapshot: archive.snapshot()?,
            _lock: lock,
            failed: Vec::new(),
            lists: BTreeMap::new(),
            open: Vec::new(),
            extras: Vec::new(),
            done: BTreeSet::new(),
        };
        let releases = run.releases()?;
        let chosen = run.choose(&releases)?;
        run.extras = run.open_extras(&releases)?;
        run.open = run.changed_targets(&chosen);
        run.done = run.without_news();
        run.indexes(&chosen)?;
        Ok(run)
    }

    /// The right to change the archive. It is waited for longer than other commands do.
    pub fn session(&self) -> Result<Session<'a>> {
        let patience = self.archive.settings.options.lock_patience().max(PATIENCE);
        let start = Instant::now();
        loop {
            match Session::begin_within(self.archive, SLICE) {
                Err(OpsError::Store(store::Error::Locked { .. })) if start.elapsed() < patience => {
                    self.stop_if_told()?;
                }
                other => return other,
            }
        }
    }

    /// Ends the run if a signal came and there is something left to do.
    ///
    /// # Errors
    /// One came.
    pub fn stop_if_told(&self) -> Result<()> {
        if !self.interrupt.is_told() {
            return Ok(());
        }
        let codenames = self.jobs.jobs.iter().map(|job| &job.distribution.codename);
        let left = codenames.filter(|codename| !self.done.contains(codename));
        let codenames: Vec<String> = left.map(ToString::to_string).collect();
        if codenames.is_empty() {
            return Ok(());
        }
        Err(Error::Interrupted {
            codenames,
            kept: download::kept(self.archive),
        }
        .into())
    }

    pub fn downloads(&self) -> bool {
        self.archive.settings.options.lists_download != Some(false)
    }

    pub fn has_failed(&self, codename: &Codename) -> bool {
        self.failed.iter().any(|(failed, _)| failed == codename)
    }

    /// Why a distribution failed, if it did.
    pub fn failure_of(&self, codename: &Codename) -> Option<Arc<OpsError>> {
        let failed = self.failed.iter().find(|(failed, _)| failed == codename);
        failed.map(|(_, error)| Arc::clone(error))
    }

    pub fn fail(&mut self, codename: &Codename, error: Arc<OpsError>) {
        if !self.has_failed(codename) {
            self.failed.push((codename.clone(), error));
        }
    }

    /// Stage 1: one conditional request for each upstream.
    fn releases(&mut self) -> Result<Vec<Option<Accepted>>> {
        if self.jobs.upstreams.is_empty() {
            return Ok(Vec::new());
        }
        self.archive.reporter.status("Getting Release files...");
        let keyring = self.keyring()?;
        let trust = Trust {
            keyring: &keyring,
            tolerated: Tolerated {
                expired_key: self.archive.ignores(Ignore::ExpiredKey),
                revoked_key: self.archive.ignores(Ignore::RevokedKey),
                expired_signature: self.archive.ignores(Ignore::ExpiredSignature),
            },
            now: self.archive.settings.now,
        };
        let (lists, downloads) = (&self.archive.directories.list, self.downloads());
        let results = mirror::fetch_releases(&mut self.transfer, &self.jobs.upstreams, lists, &trust, downloads);
        self.stop_if_told()?;
        let mut releases = Vec::new();
        let mut is_refused = false;
        for (number, result) in results.into_iter().enumerate() {
            releases.push(match result {
                Ok(accepted) => {
                    let warning = accepted.as_ref().and_then(|accepted| accepted.warning.as_deref());
                    warning
                        .into_iter()
                        .for_each(|warning| self.archive.reporter.warning(warning));
                    accepted
                }
                Err(error) => {
                    is_refused |= !error.is_unreachable();
                    self.blame(error, |_, source| source.upstream == number);
                    None
                }
            });
        }
        self.stop_if_refused(is_refused)?;
        Ok(releases)
    }

    fn keyring(&self) -> Result<Keyring> {
        let is_needed = self
            .jobs
            .upstreams
            .iter()
            .any(|upstream| !upstream.conditions.is_empty());
        if !is_needed {
            return Ok(Keyring::default());
        }
        Ok(KeyHome::open(&self.archive.directories.gnupg)?.keyring()?)
    }

    /// Fails the distributions that use what failed, each of which is told by its own rule.
    fn blame(&mut self, error: mirror::Error, is_used: impl Fn(usize, &Source<'_>) -> bool) {
        let users = self.jobs.jobs.iter();
        let users: Vec<(Codename, String)> = users
            .filter_map(|job| Some((job, self.jobs.rule_for(job, &is_used)?)))
            .map(|(job, rule)| (job.distribution.codename.clone(), rule.name.clone()))
            .collect();
        self.fail_users(error, users);
    }

    /// Fails these distributions, each by its rule.
    pub fn fail_users(&mut self, error: mirror::Error, users: Vec<(Codename, String)>) {
        let error = Arc::new(error);
        let mut by_rule: BTreeMap<String, Arc<OpsError>> = BTreeMap::new();
        for (codename, rule) in users {
            let failure = by_rule.entry(rule.clone()).or_insert_with(|| {
                let source = Arc::clone(&error);
                Arc::new(Error::Upstream { rule, source }.into())
            });
            let failure = Arc::clone(failure);
            self.fail(&codename, failure);
        }
    }

    /// Ends the run with nothing changed if an upstream is refused, unless that is to fail its distributions only.
    pub fn stop_if_refused(&mut self, is_refused: bool) -> Result<()> {
        if !is_refused || self.archive.settings.options.keep_going == Some(true) {
            return Ok(());
        }
        let names = self.jobs.jobs.iter().map(|job| &job.distribution.codename);
        let untouched: Vec<&str> = names
            .filter(|codename| !self.has_failed(codename))
            .map(Codename::as_str)
            .collect();
        if !untouched.is_empty() {
            self.archive.reporter.note(&format!(
                "Nothing was changed, as an upstream is refused; with --keep-going the distributions that do not use \
                 it are updated all the same: `{}`",
                untouched.join("`, `")
            ));
        }
        self.result(())
    }

    /// Stage 2: which file is fetched for each upstream index that a healthy distribution uses.
    fn choose(&mut self, releases: &[Option<Accepted>]) -> Result<BTreeMap<usize, ChosenIndex>> {
        let mut chosen = BTreeMap::new();
        let mut is_refused = false;
        for number in self.used_sources() {
            let Some(source) = self.jobs.sources.get(number) else {
                continue;
            };
            let Some(upstream) = self.jobs.upstreams.get(source.upstream) else {
                continue;
            };
            let wanted = WantedIndex {
                upstream,
                accepted: releases.get(source.upstream).and_then(Option::as_ref),
                path: &source.path,
                list_name: &source.list_name,
                forms: source.rule.download_lists_as.as_deref(),
            };
            match wanted.choose() {
                Ok(index) => drop(chosen.insert(number, index)),
                Err(error) => {
                    is_refused = true;
                    self.blame(error, |at, _| at == number);
                }
            }
        }
        self.stop_if_refused(is_refused)?;
        Ok(chosen)
    }

    pub fn healthy_jobs(&self) -> impl Iterator<Item = (usize, &Job<'a>)> {
        let jobs = self.jobs.jobs.iter().enumerate();
        jobs.filter(|(_, job)| !self.has_failed(&job.distribution.codename))
    }

    fn used_sources(&self) -> BTreeSet<usize> {
        let targets = self.healthy_jobs().flat_map(|(_, job)| &job.targets);
        let steps = targets.flat_map(|target| &target.steps);
        steps
            .filter_map(|step| match step {
                Step::Offer(number) => Some(*number),
                Step::Delete => None,
            })
            .collect()
    }

    /// Stage 3: the indexes of ours that are not made of the same as last time, each with what it is made of.
    fn changed_targets(&self, chosen: &BTreeMap<usize, ChosenIndex>) -> Vec<OpenJob> {
        // a run that is about some packages only leaves others to be done
        let is_whole = !self.restricted.is_partial();
        let skips = is_whole && self.archive.settings.options.skip_old != Some(false);
        let mut open = Vec::new();
        for (number, job) in self.healthy_jobs() {
            let seen = Seen::read(&self.archive.directories.list, job.distribution);
            let mut targets = Vec::new();
            for (at, target) in job.targets.iter().enumerate() {
                let input = self.input(job, target, chosen).filter(|_| is_whole);
                let is_same = |input: &String| seen.has(&target.index, input, &self.snapshot);
                if !(skips && input.as_ref().is_some_and(is_same)) {
                    targets.push(OpenTarget { at, input });
                }
            }
            if !targets.is_empty() {
                open.push(OpenJob { job: number, targets });
            } else if !self.extras.iter().any(|open| open.job == number) {
                let codename = &job.distribution.codename;
                self.archive.reporter.status(&format!("{codename}: nothing new"));
            }
        }
        open
    }

    fn without_news(&self) -> BTreeSet<Codename> {
        let is_open = |number: usize| {
            self.open.iter().any(|open| open.job == number) || self.extras.iter().any(|open| open.job == number)
        };
        let done = self.healthy_jobs().filter(|(number, _)| !is_open(*number));
        done.map(|(_, job)| job.distribution.codename.clone()).collect()
    }

    /// What an index of ours is made of; none if an upstream does not tell its state.
    fn input(&self, job: &Job<'_>, target: &Target, chosen: &BTreeMap<usize, ChosenIndex>) -> Option<String> {
        let mut parts = vec![format!("{:?}", job.distribution.limit)];
        for step in &target.steps {
            match step {
                Step::Delete => parts.push("-".into()),
                Step::Offer(number) => {
                    let source = self.jobs.sources.get(*number)?;
                    parts.push(seen::definition(source.rule));
                    parts.push(source.list_name.clone());
                    parts.push(chosen.get(number)?.identity()?);
                }
            }
        }
        Some(seen::input(&parts))
    }

    /// Stage 4: the upstream indexes of what has changed.
    fn indexes(&mut self, chosen: &BTreeMap<usize, ChosenIndex>) -> Result<()> {
        let mut by_list: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for open in &self.open {
            let job = self.jobs.jobs.get(open.job);
            let targets = open.targets.iter().filter_map(|open| job?.targets.get(open.at));
            for step in targets.flat_map(|target| &target.steps) {
                if let Step::Offer(number) = step
                    && let Some(source) = self.jobs.sources.get(*number)
                {
                    by_list.entry(&source.list_name).or_default().push(*number);
                }
            }
        }
        let users: Vec<Vec<usize>> = by_list.into_values().collect();
        let wanted: Vec<ChosenIndex> = users
            .iter()
            .filter_map(|numbers| chosen.get(numbers.first()?).cloned())
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        self.archive.reporter.status("Getting indexes...");
        let (lists, downloads) = (&self.archive.directories.list, self.downloads());
        let places = mirror::fetch_indexes(&mut self.transfer, &wanted, lists, downloads);
        self.stop_if_told()?;
        let mut is_refused = false;
        for (numbers, place) in users.into_iter().zip(places) {
            match place {
                Ok(place) => self
                    .lists
                    .extend(numbers.into_iter().map(|number| (number, place.file.clone()))),
                Err(error) => {
                    is_refused |= !error.is_unreachable();
                    self.blame(error, |at, _| numbers.contains(&at));
                }
            }
        }
        self.stop_if_refused(is_refused)
    }

    /// What came of the run: `value`, unless a distribution failed. Where they failed for several reasons, each is told
    /// in a line of its own.
    pub fn result<T>(&mut self, value: T) -> Result<T> {
        let failed = std::mem::take(&mut self.failed);
        let Some((_, source)) = failed.first() else {
            return Ok(value);
        };
        let codenames = failed.iter().map(|(codename, _)| codename.to_string()).collect();
        if failed.iter().all(|(_, error)| Arc::ptr_eq(error, source)) {
            let source = Arc::clone(source);
            return Err(Error::Failed { codenames, source }.into());
        }
        for (codename, error) in &failed {
            let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            let cause = with_causes(&**error);
            self.archive
                .reporter
                .warning(&format!("`{codename}` not updated: {cause}{hint}"));
        }
        let kind = source.kind();
        Err(Error::SeveralFailed { codenames, kind }.into())
    }
}
