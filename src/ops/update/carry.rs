//! One run of `update`, second half: what becomes of every package, the files for it, and the change of one distribution
//! after another.

use std::sync::Arc;

use crate::conf::overrides::Replacement;
use crate::fsio;
use crate::model::{DigestKind, IndexId};

use super::super::notify::Cause;
use super::super::override_files::OverrideFiles;
use super::super::plan::{NewFile, Plan, PlanRow};
use super::super::select::{Coming, Fate, Report};
use super::super::session::{Outcome, Told};
use super::super::{Error as OpsError, Result, archiving};
use super::candidate::Candidate;
use super::decide::Context;
use super::download::{self, Files, Needs};
use super::jobs::Job;
use super::room;
use super::run::{OpenTarget, Run};
use super::seen::Seen;

/// What was decided for one distribution.
#[derive(Debug)]
pub(super) struct DecidedJob {
    /// Its place in the jobs.
    pub job: usize,
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

impl Run<'_> {
    /// Stage 5: what becomes of the packages, and which files are needed for it. What is not in any plan is dropped
    /// unless `keeps_all`.
    pub(super) fn decide(&mut self, keeps_all: bool) -> Result<(Vec<DecidedJob>, Needs)> {
        let mut all = Vec::new();
        let mut needs = Needs::default();
        let mut failures = Vec::new();
        let store = self.session.open()?;
        for open in std::mem::take(&mut self.open) {
            let Some(job) = self.jobs.jobs.get(open.job) else {
                continue;
            };
            let codename = &job.distribution.codename;
            if self.has_failed(codename) {
                continue;
            }
            let decided = self.decide_job(job, open.targets, keeps_all).and_then(|decided| {
                let fates = decided.iter().flat_map(|decided| &decided.fates);
                for candidate in fates.flat_map(|fate| &fate.new) {
                    needs.add(self.archive, &store, &self.jobs, (codename, candidate))?;
                }
                Ok(decided)
            });
            match decided {
                Ok(targets) => all.push(DecidedJob { job: open.job, targets }),
                Err(error) => failures.push((codename.clone(), Arc::new(error))),
            }
        }
        drop(store);
        failures
            .into_iter()
            .for_each(|(codename, error)| self.fail(&codename, error));
        Ok((all, needs))
    }

    fn decide_job(&self, job: &Job<'_>, open: Vec<OpenTarget>, keeps_all: bool) -> Result<Vec<Decided>> {
        let context = Context {
            archive: self.archive,
            snapshot: &self.snapshot,
            jobs: &self.jobs,
            lists: &self.lists,
            restricted: &self.restricted,
        };
        let mut all = Vec::new();
        for OpenTarget { at, input } in open {
            let Some(target) = job.targets.get(at) else { continue };
            let mut fates = context.decide(job.distribution, target)?;
            if !keeps_all {
                fates.retain(Fate::is_change);
            }
            all.push(Decided {
                index: target.index.clone(),
                fates,
                input,
            });
        }
        Ok(all)
    }

    /// What the run would do.
    pub fn report(&mut self) -> Result<Report> {
        let (decided, needs) = self.decide(true)?;
        let mut report = Report::default();
        let coming = |candidate: &Candidate| self.coming(candidate, &needs);
        // reprepro tells of the last first
        for decided in decided.iter().rev().flat_map(|job| job.targets.iter().rev()) {
            report.add(&decided.index, &decided.fates, coming);
        }
        (report.files_to_fetch, report.bytes_to_fetch) = needs.total();
        Ok(report)
    }

    fn coming(&self, candidate: &Candidate, needs: &Needs) -> Coming {
        let missing = needs.missing_of(candidate).into_iter();
        Coming {
            version: candidate.version.to_string(),
            rule: self
                .jobs
                .origin(candidate.offer)
                .map(|origin| origin.rule)
                .unwrap_or_default(),
            files: candidate.parts.iter().map(|part| part.path.to_string()).collect(),
            files_needed: missing.map(ToString::to_string).collect(),
        }
    }

    /// Stages 5 to 7: decides, fetches, and changes one distribution after another.
    pub fn carry_out(&mut self) -> Result<Outcome> {
        let (decided, needs) = self.decide(false)?;
        let (count, bytes) = needs.total();
        if count > 0 && !self.archive.settings.dry_run {
            self.archive
                .reporter
                .status(&format!("Getting {count} files, {bytes} bytes..."));
        }
        let with_sha512 = decided.iter().any(|decided| {
            let job = self.jobs.jobs.get(decided.job);
            job.is_some_and(|job| job.distribution.digests.contains(&DigestKind::Sha512))
        });
        if self.archive.settings.dry_run {
            return Ok(self.dry_outcome(&decided));
        }
        if let Err(error) = room::check(self.archive, &needs) {
            self.fail_all(&decided, &Arc::new(error));
            return Ok(Outcome::default());
        }
        let mut files = needs.fetch(self.session, &mut self.transfer, with_sha512)?;
        for (codename, error) in std::mem::take(&mut files.failed) {
            self.fail(&codename, error);
        }
        let mut outcome = Outcome::default();
        for DecidedJob { job: number, targets } in decided {
            let Some(job) = self.jobs.jobs.get(number) else {
                continue;
            };
            let codename = job.distribution.codename.clone();
            if self.has_failed(&codename) {
                continue;
            }
            match self.carry_out_job(job, targets, &mut files) {
                Ok(rows) => outcome.rows.extend(rows),
                Err(error) => self.fail(&codename, Arc::new(error)),
            }
        }
        self.summarize(&files);
        if files.keep_rest()? {
            fsio::remove_tree(&download::waiting_room(self.archive))?;
        }
        Ok(outcome)
    }

    fn fail_all(&mut self, decided: &[DecidedJob], error: &Arc<OpsError>) {
        for DecidedJob { job, .. } in decided {
            if let Some(job) = self.jobs.jobs.get(*job) {
                let codename = job.distribution.codename.clone();
                self.fail(&codename, Arc::clone(error));
            }
        }
    }

    fn dry_outcome(&self, decided: &[DecidedJob]) -> Outcome {
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

    fn carry_out_job(&self, job: &Job<'_>, decided: Vec<Decided>, files: &mut Files) -> Result<Vec<PlanRow>> {
        let inputs: Vec<_> = decided
            .iter()
            .map(|decided| (decided.index.clone(), decided.input.clone()))
            .collect();
        let rows = self.carry_out_plan(job, decided, files)?;
        let snapshot = self.archive.snapshot()?;
        let mut seen = Seen::read(&self.archive.directories.list, job.distribution);
        for (index, input) in inputs {
            if let Some(input) = input {
                seen.note(&index, &input, &snapshot);
            }
        }
        seen.write()?;
        Ok(rows)
    }

    fn carry_out_plan(&self, job: &Job<'_>, decided: Vec<Decided>, files: &mut Files) -> Result<Vec<PlanRow>> {
        let overrides = OverrideFiles::read(job.distribution)?;
        let mut plan = Plan::default();
        let mut wanted = Vec::new();
        let mut origins = Vec::new();
        for Decided { index, fates, .. } in decided {
            for fate in fates {
                let replaced = overrides.find(index.kind.package_type(), fate.name.as_str());
                let changed = replaced.map(Replacement::changes).unwrap_or_default();
                let changes = fate.changes(&index, |candidate| {
                    let pool_files = files.of(&candidate)?;
                    wanted.extend(pool_files.iter().cloned());
                    let listed = candidate.listed(pool_files, &changed, &job.distribution.digests);
                    Some((listed, self.jobs.origin(candidate.offer)?))
                });
                let (changes, their): (Vec<_>, Vec<_>) = changes.into_iter().unzip();
                plan.changes.extend(changes);
                origins.extend(their);
            }
        }
        if plan.is_empty() {
            return Ok(Vec::new());
        }
        let store = self.session.open()?;
        let mut new = Vec::new();
        for file in wanted {
            if let Some(spooled) = files.take(&file.path) {
                new.push(NewFile {
                    file,
                    spooled,
                    file_list: None,
                });
            }
        }
        let places: Vec<_> = new.iter().map(|new| new.file.clone()).collect();
        download::refuse_strangers(self.archive, &store, &places)?;
        plan.new_files = new;
        let archived = archiving::pushed_out(&self.archive.conf, &store.snapshot()?, &plan.changes)?;
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
        Ok(self.session.carry_out_part(store, plan, &told)?.rows)
    }

    /// One line for each rule that brought files.
    fn summarize(&self, files: &Files) {
        for (rule, (count, bytes)) in &files.fetched {
            let plural = if *count == 1 { "" } else { "s" };
            self.archive
                .reporter
                .result(&format!("{rule}: {count} file{plural} fetched, {bytes} bytes"));
        }
    }
}
