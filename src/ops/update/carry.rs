//! One run of `update`, second half: what becomes of every package, the files for it, and the change of one distribution
//! after another.

use std::sync::Arc;

use crate::conf::distribution::Distribution;
use crate::model::{DigestKind, IndexId, ListedPackage};
use crate::store::{self, Snapshot, Store};

use super::super::notify::Cause;
use super::super::place::NewFile;
use super::super::plan::{Plan, PlanRow};
use super::super::select::{Coming, Fate, Report};
use super::super::session::{Outcome, Session, Told};
use super::super::{Error as OpsError, Result, archiving, export, extras};
use super::candidate::Candidate;
use super::decide::Context;
use super::download;
use super::files::Files;
use super::needs::Needs;
use super::progress::{human_bytes, summary};
use super::run::{OpenJob, Run};
use super::seen::Seen;
use super::texts::LateTexts;
use super::{Error, room};

/// How often a distribution is decided about that others change meanwhile.
const ROUNDS: usize = 5;

/// What was decided for one distribution.
#[derive(Debug)]
pub(super) struct DecidedJob<'a> {
    pub distribution: &'a Distribution,
    pub open: OpenJob,
    /// The state that it was decided from.
    snapshot: Snapshot,
    pub targets: Vec<Decided>,
}

/// The packages of one index that are not simply as they were.
#[derive(Debug)]
pub(super) struct Decided {
    pub index: IndexId,
    pub fates: Vec<Fate<Candidate>>,
    /// What it was decided from; none if that cannot tell whether it is the same next time.
    input: Option<String>,
}

impl DecidedJob<'_> {
    fn fates(&self) -> impl Iterator<Item = &Fate<Candidate>> {
        self.targets.iter().flat_map(|target| &target.fates)
    }

    fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.fates().flat_map(|fate| &fate.new)
    }

    fn candidates_mut(&mut self) -> impl Iterator<Item = &mut Candidate> {
        let fates = self.targets.iter_mut().flat_map(|target| &mut target.fates);
        fates.flat_map(|fate| &mut fate.new)
    }

    fn changes_nothing(&self) -> bool {
        !self.fates().any(Fate::is_change)
    }

    /// Whether all that was decided about is as it was.
    pub fn is_current(&self, now: &Snapshot) -> bool {
        let mut indexes = self.targets.iter().map(|target| &target.index);
        indexes.all(|index| self.snapshot.head(index) == now.head(index))
    }
}

impl<'a> Run<'a> {
    /// Stage 5: what becomes of the packages. What is not in any plan is dropped unless `keeps_all`.
    pub(super) fn decide_all(&mut self, keeps_all: bool) -> Result<Vec<DecidedJob<'a>>> {
        let mut all = Vec::new();
        for open in std::mem::take(&mut self.open) {
            let Some(distribution) = self.jobs.jobs.get(open.job).map(|job| job.distribution) else {
                continue;
            };
            if self.has_failed(&distribution.codename) {
                continue;
            }
            match self.decide((distribution, open), keeps_all) {
                Ok(decided) => all.push(decided),
                Err(error) => {
                    self.stop_if_told()?;
                    self.fail(&distribution.codename, Arc::new(error));
                }
            }
        }
        Ok(all)
    }

    pub(super) fn decide(
        &self,
        (distribution, open): (&'a Distribution, OpenJob),
        keeps_all: bool,
    ) -> Result<DecidedJob<'a>> {
        let job = self.jobs.jobs.get(open.job);
        let snapshot = self.archive.snapshot()?;
        let context = Context {
            archive: self.archive,
            interrupt: &self.interrupt,
            snapshot: &snapshot,
            jobs: &self.jobs,
            lists: &self.lists,
            restricted: &self.restricted,
        };
        let mut targets = Vec::new();
        for open in &open.targets {
            let Some(target) = job.and_then(|job| job.targets.get(open.at)) else {
                continue;
            };
            let mut fates = context.decide(distribution, target)?;
            if !keeps_all {
                fates.retain(Fate::is_change);
            }
            targets.push(Decided {
                index: target.index.clone(),
                fates,
                input: open.input.clone(),
            });
        }
        Ok(DecidedJob {
            distribution,
            open,
            snapshot,
            targets,
        })
    }

    /// The files that all this needs and that are not in the pool. A distribution that wants what cannot be has failed.
    fn needs(&mut self, decided: &mut [DecidedJob<'_>]) -> Result<Needs> {
        let mut needs = Needs::default();
        if decided.iter().all(|job| job.candidates().next().is_none()) {
            return Ok(needs);
        }
        let session = self.session()?;
        let store = session.open()?;
        let mut failures = Vec::new();
        for job in decided {
            let codename = &job.distribution.codename;
            let mut candidates = job.candidates_mut();
            let added =
                candidates.try_for_each(|candidate| needs.add(self.archive, store, &self.jobs, (codename, candidate)));
            failures.extend(added.err().map(|error| (codename.clone(), error)));
        }
        drop(session);
        failures
            .into_iter()
            .for_each(|(codename, error)| self.fail(&codename, Arc::new(error)));
        Ok(needs)
    }

    /// What the run would do.
    pub fn report(&mut self) -> Result<Report> {
        let mut decided = self.decide_all(true)?;
        let needs = self.needs(&mut decided)?;
        let mut report = Report::default();
        let healthy = decided
            .iter()
            .filter(|job| !self.has_failed(&job.distribution.codename));
        // reprepro tells of the last first
        for decided in healthy.rev().flat_map(|job| job.targets.iter().rev()) {
            report.add(&decided.index, &decided.fates, |candidate| {
                self.coming(candidate, &needs)
            });
        }
        let ((files, bytes), (others, other_bytes)) = (needs.total(), self.extras_to_fetch()?);
        report.files_to_fetch = files.saturating_add(others);
        report.bytes_to_fetch = bytes.saturating_add(other_bytes);
        Ok(report)
    }

    fn coming(&self, candidate: &Candidate, needs: &Needs) -> Coming {
        let origin = self.jobs.origin(candidate.offer);
        let missing = needs.missing_of(candidate).into_iter();
        Coming {
            version: candidate.version.to_string(),
            rule: origin.map(|origin| origin.rule).unwrap_or_default(),
            files: candidate.paths.iter().map(ToString::to_string).collect(),
            files_needed: missing.map(ToString::to_string).collect(),
        }
    }

    /// Stages 5 to 7: decides, fetches, and changes one distribution after another.
    pub fn carry_out(&mut self) -> Result<Outcome> {
        let mut decided = self.decide_all(false)?;
        let mut files = Files::default();
        let needs = self.needs(&mut decided)?;
        if self.archive.settings.dry_run {
            self.tell_of_extras();
            return Ok(self.dry_outcome(&decided));
        }
        let (_, others) = self.extras_to_fetch()?;
        if let Some(error) = self.lack_of_room((&needs, others), &decided) {
            self.fail_extras(&error);
            return Ok(Outcome::default());
        }
        self.gather_extras(&mut files)?;
        self.fetch(needs, &decided, &mut files)?;
        let mut outcome = Outcome::default();
        let mut last = None;
        let mut decided = decided.into_iter();
        while let Some(job) = decided.next() {
            files.is_last_use = decided.len() == 0;
            let codename = job.distribution.codename.clone();
            if self.has_failed(&codename) || self.interrupt.is_told() {
                continue;
            }
            match self.settle(job, &mut files, &mut last) {
                Ok(rows) => {
                    outcome.rows.extend(rows);
                    self.done.insert(codename);
                }
                Err(_) if self.interrupt.is_told() => {}
                Err(error) => self.fail(&codename, error),
            }
        }
        self.keep_other_extras(&mut last)?;
        self.summarize(&files);
        self.stop_if_told()?;
        self.finish(last)?;
        download::clear_up(self.archive)?;
        Ok(outcome)
    }

    /// Fails these distributions if there is no room for the files and so many bytes of others.
    fn lack_of_room(&mut self, (needs, others): (&Needs, u64), decided: &[DecidedJob<'_>]) -> Option<Arc<OpsError>> {
        let error = Arc::new(room::check(self.archive, needs, others).err()?);
        for job in decided {
            self.fail(&job.distribution.codename, Arc::clone(&error));
        }
        Some(error)
    }

    fn fetch(&mut self, needs: Needs, decided: &[DecidedJob<'_>], files: &mut Files) -> Result<()> {
        if self.lack_of_room((&needs, 0), decided).is_some() {
            return Ok(());
        }
        let (count, bytes) = needs.total();
        if count > 0 {
            let bytes = human_bytes(bytes);
            self.archive
                .reporter
                .status(&format!("Getting {count} files, {bytes}..."));
        }
        let with_sha512 = decided
            .iter()
            .any(|job| job.distribution.digests.contains(&DigestKind::Sha512));
        let transfer = (&mut self.transfer, &self.interrupt);
        needs.fetch((self.archive, &self.jobs), transfer, files, with_sha512)?;
        for (codename, error) in std::mem::take(&mut files.failed) {
            self.fail(&codename, error);
        }
        Ok(())
    }

    /// Changes one distribution, if what was decided from is as it was; else decides again and fetches what is missing.
    /// The session stays open in `last`.
    fn settle(
        &mut self,
        mut job: DecidedJob<'a>,
        files: &mut Files,
        last: &mut Option<Session<'a>>,
    ) -> std::result::Result<Vec<PlanRow>, Arc<OpsError>> {
        let codename = job.distribution.codename.clone();
        for _ in 0..ROUNDS {
            if job.changes_nothing() {
                // what others did meanwhile is looked at in the next run, as this is what is noted
                self.note_seen(&job, &job.snapshot)?;
                return Ok(Vec::new());
            }
            // two of one process would wait for each other
            drop(last.take());
            let session = self.session()?;
            if job.is_current(&session.before) && self.is_complete(session.open()?, &job, files)? {
                self.keep_extras(&session, job.open.job)?;
                return Ok(self.commit(last.insert(session), job, files)?);
            }
            drop(session);
            job = self.decide((job.distribution, job.open), false)?;
            let needs = self.needs(std::slice::from_mut(&mut job))?;
            self.fetch(needs.without(files), std::slice::from_ref(&job), files)?;
            self.stop_if_told()?;
            if let Some(error) = self.failure_of(&codename) {
                return Err(error);
            }
        }
        Err(Arc::new(Error::Unsettled { codename }.into()))
    }

    /// Whether the pool and what was fetched have all files; others may have removed some meanwhile.
    fn is_complete(&self, store: &Store, job: &DecidedJob<'_>, files: &Files) -> Result<bool> {
        for candidate in job.candidates() {
            if !files.are_there(self.archive, store, candidate)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn note_seen(&self, job: &DecidedJob<'_>, snapshot: &Snapshot) -> Result<()> {
        let mut seen = Seen::read(&self.archive.directories.list, job.distribution);
        for Decided { index, input, .. } in &job.targets {
            if let Some(input) = input {
                seen.note(index, input, snapshot);
            }
        }
        seen.write()
    }

    /// Publishes what an earlier command could not, and clears up. A command that is at work does that itself.
    pub(super) fn finish(&self, last: Option<Session<'_>>) -> Result<()> {
        let session = last.map_or_else(|| Session::begin_within(self.archive, std::time::Duration::ZERO), Ok);
        match session {
            Ok(session) => {
                extras::forget_unwanted(&session)?;
                session.finish()
            }
            Err(OpsError::Store(store::Error::Locked { .. })) if export::is_all_published(self.archive)? => Ok(()),
            Err(OpsError::Store(store::Error::Locked { .. })) => self.session()?.finish(),
            Err(error) => Err(error),
        }
    }

    fn dry_outcome(&self, decided: &[DecidedJob<'_>]) -> Outcome {
        let mut rows = Vec::new();
        for Decided { index, fates, .. } in decided.iter().flat_map(|job| &job.targets) {
            for fate in fates {
                rows.extend(PlanRow::of_fate(
                    index,
                    &fate.name,
                    fate.new.iter().map(|candidate| &candidate.version),
                    &fate.gone,
                ));
            }
        }
        Outcome { rows }
    }

    fn commit(&self, session: &Session<'_>, mut job: DecidedJob<'_>, files: &mut Files) -> Result<Vec<PlanRow>> {
        let mut plan = Plan::default();
        let (mut wanted, mut origins, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let sources = 0..self.jobs.sources.len();
        let known: Vec<_> = sources.map(|source| self.jobs.origin(source).map(Arc::new)).collect();
        for Decided { index, fates, .. } in &mut job.targets {
            for fate in std::mem::take(fates) {
                let mut new_places = Vec::new();
                let changes = fate.changes(index, |candidate| {
                    let origin = known.get(candidate.offer)?.clone()?;
                    let pool_files = files.of(&candidate)?;
                    wanted.extend(pool_files.iter().map(|file| file.path.clone()));
                    let entry = candidate.entry(pool_files);
                    new_places.push(candidate.into_place());
                    let text = Vec::new();
                    Some((ListedPackage { entry, text }, origin))
                });
                let mut new_places = new_places.into_iter();
                for (change, origin) in changes {
                    places.push(change.new_package().and_then(|_| new_places.next()));
                    plan.changes.push(change);
                    origins.push(origin);
                }
            }
        }
        let mut new = Vec::with_capacity(wanted.len());
        for path in wanted {
            if let Some(spooled) = files.take(self.archive, &path)? {
                new.push(NewFile {
                    path,
                    spooled,
                    file_list: None,
                });
            }
        }
        download::refuse_strangers(self.archive, session.open()?, &new)?;
        plan.new_files = new;
        files.forget_if_last();
        plan.texts = Some(Box::new(LateTexts::new(job.distribution, places)?));
        let archived = archiving::pushed_out(&self.archive.conf, &session.before, &plan.changes)?;
        plan.changes.extend(archived);
        let cause = Cause {
            command: self.archive.settings.command.clone(),
            ..Cause::default()
        };
        let told = Told {
            cause,
            origins,
            ..Told::default()
        };
        let rows = session.carry_out_part(plan, &told)?.rows;
        self.note_seen(&job, &self.archive.snapshot()?)?;
        Ok(rows)
    }

    /// One line for each rule that brought files.
    fn summarize(&self, files: &Files) {
        for (rule, fetched) in &files.fetched {
            let line = summary(rule, fetched.files, fetched.bytes, fetched.time.as_secs());
            self.archive.reporter.result(&line);
        }
    }
}
