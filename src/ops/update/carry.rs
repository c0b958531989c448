//! One run of `update`, second half: what becomes of every package, the files for it, and the change of one distribution
//! after another.

use std::sync::Arc;

use crate::conf::distribution::Distribution;
use crate::conf::overrides::Replacement;
use crate::fsio;
use crate::model::{DigestKind, IndexId, PoolFile};

use super::super::Result;
use super::super::notify::Cause;
use super::super::override_files::OverrideFiles;
use super::super::plan::{Change, NewFile, Plan, PlanRow};
use super::super::session::{Outcome, Told};
use super::Report;
use super::candidate::Candidate;
use super::decide::Context;
use super::download::{self, Files, Needs};
use super::jobs::Job;
use super::marks::Fate;
use super::run::{OpenTarget, Run};
use super::seen::Seen;

/// What was decided for one distribution.
#[derive(Debug)]
struct DecidedJob {
    /// Its place in the jobs.
    job: usize,
    targets: Vec<Decided>,
}

/// The packages of one index that are not simply as they were.
#[derive(Debug)]
struct Decided {
    index: IndexId,
    fates: Vec<Fate<Candidate>>,
    /// What it was decided from; none if that cannot tell whether it is the same next time.
    input: Option<String>,
}

impl Run<'_> {
    /// Stage 5: what becomes of the packages, and which files are needed for it. What is not in any plan is dropped
    /// unless `keeps_all`.
    fn decide(&mut self, keeps_all: bool) -> Result<(Vec<DecidedJob>, Needs)> {
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
        };
        let mut all = Vec::new();
        for OpenTarget { at, input } in open {
            let Some(target) = job.targets.get(at) else { continue };
            let mut fates = context.decide(job.distribution, target)?;
            if !keeps_all {
                fates.retain(|fate| !fate.new.is_empty() || !fate.gone.is_empty());
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
        for decided in decided.iter().flat_map(|job| &job.targets) {
            report.add(&decided.index, &decided.fates, &self.jobs, &needs);
        }
        let ((files, bytes), (others, other_bytes)) = (needs.total(), self.extras_to_fetch()?);
        report.files_to_fetch = files.saturating_add(others);
        report.bytes_to_fetch = bytes.saturating_add(other_bytes);
        Ok(report)
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
            self.tell_of_extras();
            return Ok(self.dry_outcome(&decided));
        }
        let extras = self.gather_extras()?;
        let mut files = needs.fetch(self.session, &mut self.transfer, with_sha512)?;
        for (rule, (count, bytes)) in extras {
            let (files, total) = files.fetched.entry(rule).or_default();
            *files = files.saturating_add(count);
            *total = total.saturating_add(bytes);
        }
        for (codename, error) in std::mem::take(&mut files.failed) {
            self.fail(&codename, error);
        }
        let mut outcome = Outcome::default();
        let carried: Vec<usize> = decided.iter().map(|decided| decided.job).collect();
        for DecidedJob { job: number, targets } in decided {
            let Some(job) = self.jobs.jobs.get(number) else {
                continue;
            };
            let codename = job.distribution.codename.clone();
            if self.has_failed(&codename) {
                continue;
            }
            let carried = self
                .keep_extras(number)
                .and_then(|()| self.carry_out_job(job, targets, &mut files));
            match carried {
                Ok(rows) => outcome.rows.extend(rows),
                Err(error) => self.fail(&codename, Arc::new(error)),
            }
        }
        self.keep_other_extras(&carried)?;
        self.summarize(&files);
        if files.keep_rest()? {
            fsio::remove_tree(&download::waiting_room(self.archive))?;
        }
        Ok(outcome)
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
        for Decided { index, fates, .. } in decided {
            for fate in fates {
                plan_fate(
                    &mut plan,
                    (&index, fate),
                    files,
                    (&overrides, job.distribution),
                    &mut wanted,
                );
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
        let cause = Cause {
            command: self.archive.settings.command.clone(),
            ..Cause::default()
        };
        let told = Told {
            cause,
            ..Told::default()
        };
        Ok(self.session.carry_out(store, plan, &told)?.rows)
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

/// Adds the changes of one package to a plan, and the files that it needs to `wanted`.
fn plan_fate(
    plan: &mut Plan,
    (index, fate): (&IndexId, Fate<Candidate>),
    files: &Files,
    (overrides, distribution): (&OverrideFiles, &Distribution),
    wanted: &mut Vec<PoolFile>,
) {
    let replaced = overrides.find(index.kind.package_type(), fate.name.as_str());
    let changed = replaced.map(Replacement::changes).unwrap_or_default();
    let mut gone = fate.gone;
    for candidate in &fate.new {
        let Some(pool_files) = files.of(candidate) else {
            continue;
        };
        wanted.extend(pool_files.iter().cloned());
        let new = candidate.listed(pool_files, &changed, &distribution.digests);
        // the first that comes replaces all that goes
        let old = std::mem::take(&mut gone);
        let index = index.clone();
        plan.changes.push(if old.is_empty() {
            Change::Add { index, new }
        } else {
            Change::Replace { index, new, old }
        });
    }
    plan.changes.extend(gone.into_iter().map(|old| Change::Remove {
        index: index.clone(),
        old,
    }));
}
