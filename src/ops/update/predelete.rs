//! `predelete`: takes out what the next update would replace or remove, to have room for what it brings. Until then
//! clients find neither the old nor the new.

use std::sync::Arc;

use super::super::Result;
use super::super::notify::Cause;
use super::super::plan::{Change, Plan, PlanRow};
use super::super::session::{Outcome, Told};
use super::carry::DecidedJob;
use super::run::Run;

impl<'a> Run<'a> {
    /// Removes what would go, from one distribution after another.
    pub fn predelete(&mut self) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        for job in self.decide_all(false)? {
            self.stop_if_told()?;
            let codename = job.distribution.codename.clone();
            match self.remove_what_goes(job) {
                Ok(rows) => {
                    outcome.rows.extend(rows);
                    self.done.insert(codename);
                }
                Err(error) => self.fail(&codename, Arc::new(error)),
            }
        }
        if !self.archive.settings.dry_run {
            self.finish(None)?;
        }
        Ok(outcome)
    }

    fn remove_what_goes(&self, job: DecidedJob<'a>) -> Result<Vec<PlanRow>> {
        let session = self.session()?;
        let job = if job.is_current(&session.before) {
            job
        } else {
            // nobody changes it any more
            self.decide((job.distribution, job.open), false)?
        };
        let mut plan = Plan::default();
        for target in job.targets {
            let gone = target.fates.into_iter().flat_map(|fate| fate.gone);
            plan.changes.extend(gone.map(|old| Change::Remove {
                index: target.index.clone(),
                old,
            }));
        }
        if plan.is_empty() {
            return Ok(Vec::new());
        }
        let told = Told {
            cause: Cause {
                command: self.archive.settings.command.clone(),
                ..Cause::default()
            },
            ..Told::default()
        };
        Ok(session.carry_out(plan, &told)?.rows)
    }
}
