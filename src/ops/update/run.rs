//! One run of `update`, first half: Release files and indexes of the upstreams, what of it is new, and which
//! distributions have failed so far.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::conf::Ignore;
use crate::conf::distribution::Distribution;
use crate::fsio;
use crate::mirror::{self, Accepted, ChosenIndex, Tolerated, Transfer, Trust, WantedIndex};
use crate::model::Codename;
use crate::pgp::{KeyHome, Keyring};
use crate::store::Snapshot;

use super::super::archive::Archive;
use super::super::session::Session;
use super::super::{Error as OpsError, Result, with_causes};
use super::Error;
use super::extras::OpenExtras;
use super::jobs::{self, Job, Jobs, Step, Target};
use super::seen::{self, Seen};

/// What is to be decided for one distribution.
#[derive(Debug)]
pub(super) struct OpenJob {
    /// Its place in the jobs.
    pub job: usize,
    pub targets: Vec<OpenTarget>,
}

/// One index of ours that is to be decided.
#[derive(Debug)]
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
    pub session: &'a Session<'a>,
    pub jobs: Jobs<'a>,
    pub transfer: Transfer,
    pub snapshot: Snapshot,
    failed: Vec<(Codename, Arc<OpsError>)>,
    /// The copies of the upstreams' indexes, by their place in the jobs' sources.
    pub lists: BTreeMap<usize, PathBuf>,
    /// What is to be decided, by distribution.
    pub open: Vec<OpenJob>,
    /// What is to be done about the upstreams' files that are no packages, by distribution.
    pub extras: Vec<OpenExtras>,
}

impl<'a> Run<'a> {
    /// Brings Release files and indexes in, for what has changed since the last run.
    pub fn prepare(session: &'a Session<'a>, distributions: &[&'a Distribution]) -> Result<Self> {
        let archive = session.archive;
        let jobs = jobs::jobs(&archive.conf, distributions, &archive.settings.restriction);
        jobs.warnings
            .iter()
            .for_each(|warning| archive.reporter.warning(warning));
        fsio::create_dir_all(&archive.directories.list)?;
        let mut run = Self {
            archive,
            session,
            jobs,
            transfer: Transfer::new().map_err(Error::from)?,
            snapshot: archive.snapshot()?,
            failed: Vec::new(),
            lists: BTreeMap::new(),
            open: Vec::new(),
            extras: Vec::new(),
        };
        let releases = run.releases()?;
        let chosen = run.choose(&releases)?;
        run.extras = run.open_extras(&releases)?;
        run.open = run.changed_targets(&chosen);
        run.indexes(&chosen)?;
        Ok(run)
    }

    pub fn downloads(&self) -> bool {
        self.archive.settings.options.lists_download != Some(false)
    }

    pub fn has_failed(&self, codename: &Codename) -> bool {
        self.failed.iter().any(|(failed, _)| failed == codename)
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
        let mut releases = Vec::new();
        let mut failures = Vec::new();
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
                    failures.push((number, error));
                    None
                }
            });
        }
        self.upstreams_failed(failures)?;
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

    /// Fails the distributions that use these upstreams, or the run, if an upstream answered wrongly.
    pub fn upstreams_failed(&mut self, failures: Vec<(usize, mirror::Error)>) -> Result<()> {
        let mut is_refused = false;
        for (upstream, error) in failures {
            is_refused |= !error.is_unreachable();
            let users = self.jobs.jobs.iter();
            let users: Vec<(Codename, String)> = users
                .filter_map(|job| Some((job, self.jobs.rule_of(upstream, job)?)))
                .map(|(job, rule)| (job.distribution.codename.clone(), rule.name.clone()))
                .collect();
            let Some((_, rule)) = users.first() else { continue };
            let rule = rule.clone();
            let error = Arc::new(OpsError::from(Error::Upstream { rule, source: error }));
            for (codename, _) in users {
                self.fail(&codename, Arc::clone(&error));
            }
        }
        if is_refused { self.stop() } else { Ok(()) }
    }

    /// Ends the run with nothing changed.
    fn stop(&mut self) -> Result<()> {
        let mut untouched: Vec<&str> = self
            .jobs
            .jobs
            .iter()
            .map(|job| job.distribution.codename.as_str())
            .collect();
        untouched.retain(|codename| !self.failed.iter().any(|(failed, _)| failed.as_str() == *codename));
        if !untouched.is_empty() {
            self.archive.reporter.note(&format!(
                "Nothing was changed, as an upstream is refused; `aptrepo update {}` updates what does not use it.",
                untouched.join(" ")
            ));
        }
        self.result(())
    }

    /// Stage 2: which file is fetched for each upstream index that a healthy distribution uses.
    fn choose(&mut self, releases: &[Option<Accepted>]) -> Result<BTreeMap<usize, ChosenIndex>> {
        let mut chosen = BTreeMap::new();
        let mut failures = Vec::new();
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
                Err(error) => failures.push((source.upstream, error)),
            }
        }
        self.upstreams_failed(failures)?;
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
        let skips = self.archive.settings.options.skip_old != Some(false);
        let mut open = Vec::new();
        for (number, job) in self.healthy_jobs() {
            let seen = Seen::read(&self.archive.directories.list, job.distribution);
            let mut targets = Vec::new();
            for (at, target) in job.targets.iter().enumerate() {
                let input = self.input(job, target, chosen);
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
        let mut failures = Vec::new();
        for (numbers, place) in users.into_iter().zip(places) {
            match place {
                Ok(place) => self
                    .lists
                    .extend(numbers.into_iter().map(|number| (number, place.file.clone()))),
                Err(error) => {
                    let source = numbers.first().and_then(|number| self.jobs.sources.get(*number));
                    failures.extend(source.map(|source| (source.upstream, error)));
                }
            }
        }
        self.upstreams_failed(failures)
    }

    /// What came of the run: `value`, unless a distribution failed.
    pub fn result<T>(&mut self, value: T) -> Result<T> {
        let mut failed = std::mem::take(&mut self.failed).into_iter();
        let Some((codename, first)) = failed.next() else {
            return Ok(value);
        };
        let mut codenames = vec![codename.to_string()];
        for (codename, error) in failed {
            if !Arc::ptr_eq(&error, &first) {
                let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                self.archive
                    .reporter
                    .note(&format!("{codename}: {}{hint}", with_causes(&*error)));
            }
            codenames.push(codename.to_string());
        }
        Err(Error::Failed { codenames, first }.into())
    }
}
