//! The records of the upstreams' other files, once they have come.

use super::super::super::session::Session;
use super::super::super::{Error as OpsError, Result, extras};
use super::super::run::Run;
use super::OpenExtras;

impl Run<'_> {
    /// Makes what was made of a distribution's other files its record, unless that was done.
    pub(in super::super) fn keep_extras(&mut self, session: &Session<'_>, job: usize) -> Result<()> {
        let open = self.extras.iter().position(|open| open.job == job && open.is_ready);
        let (Some(at), Some(job)) = (open, self.jobs.jobs.get(job)) else {
            return Ok(());
        };
        let codename = &job.distribution.codename;
        let OpenExtras { mut record, .. } = self.extras.swap_remove(at);
        let database = session.guard.database();
        // what was in the database before this run may have been collected meanwhile
        record.made.retain(|_, made| extras::is_whole(database, made));
        let encoded = record.encode().map_err(|source| OpsError::Publish {
            codename: codename.clone(),
            source,
        })?;
        Ok(session.guard.set_extras(codename, &encoded, &record.keeps())?)
    }

    /// Does so for the distributions in which nothing else changed.
    pub(in super::super) fn keep_other_extras(&mut self, last: &mut Option<Session<'_>>) -> Result<()> {
        let ready = self.extras.iter().filter(|open| open.is_ready);
        let jobs: Vec<usize> = ready.map(|open| open.job).collect();
        for number in jobs {
            let Some(codename) = self.jobs.jobs.get(number).map(|job| job.distribution.codename.clone()) else {
                continue;
            };
            if self.has_failed(&codename) {
                continue;
            }
            drop(last.take());
            let session = self.session()?;
            self.keep_extras(&session, number)?;
            self.done.insert(codename);
        }
        Ok(())
    }
}
