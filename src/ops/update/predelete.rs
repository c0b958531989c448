//! `predelete`: takes out what the next update would replace or remove, to have room for what it brings. Until then
//! clients find neither the old nor the new.

use std::sync::Arc;

use crate::model::Codename;

use super::super::Result;
use super::super::notify::Cause;
use super::super::plan::{Change, Plan, PlanRow};
use super::super::session::{Outcome, Told};
use super::carry::DecidedJob;
use super::run::Run;

impl Run<'_> {
    /// Removes what would go, from one distribution after another.
    pub fn predelete(&mut self) -> Result<Outcome> {
        let (decided, _) = self.decide(false)?;
        let mut outcome = Outcome::default();
        for DecidedJob { job, targets } in decided {
            let mut plan = Plan::default();
            for target in targets {
                let gone = target.fates.into_iter().flat_map(|fate| fate.gone);
                plan.changes.extend(gone.map(|old| Change::Remove {
                    index: target.index.clone(),
                    old,
                }));
            }
            let Some(job) = self.jobs.jobs.get(job) else { continue };
            let codename = job.distribution.codename.clone();
            match self.remove(&codename, plan) {
                Ok(rows) => outcome.rows.extend(rows),
                Err(error) => self.fail(&codename, Arc::new(error)),
            }
        }
        Ok(outcome)
    }

    fn remove(&self, codename: &Codename, plan: Plan) -> Result<Vec<PlanRow>> {
        if plan.is_empty() || self.has_failed(codename) {
            return Ok(Vec::new());
        }
        let told = Told {
            cause: Cause {
                command: self.archive.settings.command.clone(),
                ..Cause::default()
            },
            ..Told::default()
        };
        let store = self.session.open()?;
        Ok(self.session.carry_out_part(store, plan, &told)?.rows)
    }
}
