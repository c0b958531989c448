//! Getting the upstreams' other files in a run of `update`: which of a distribution's are not what they are to be, what
//! has to come for them, and the record of what they are then. What is in the database is not fetched.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::conf::update::ListForm;
use crate::fsio;
use crate::mirror::{self, Accepted, ChosenExtra, ExtraKind};
use crate::model::{ArchivePath, FileDigests, Restriction};
use crate::publish::{Extras, MadeExtra};
use crate::store::Database;

use super::super::super::{Error as OpsError, Result, extras};
use super::super::Error;
use super::super::files::{Fetched, Files};
use super::super::run::Run;
use super::make::{Held, NewFile, make, rule_of};
use super::{Offer, WantedExtra, sums};

/// The longest list of an installer's files.
const MAX_LIST_BYTES: u64 = 8 << 20;

/// What is to be done about a distribution's other files.
#[derive(Debug)]
pub(in super::super) struct OpenExtras {
    /// Its place in the jobs.
    pub(in super::super) job: usize,
    /// What stays as it is; when all came, what there is.
    pub(super) record: Extras,
    /// What is to be made anew.
    wanted: BTreeMap<ArchivePath, WantedExtra>,
    /// How many there were that are not as they are to be.
    old: usize,
    /// Whether all came.
    pub(super) is_ready: bool,
}

/// What came, and of each of it what it is; none for what the upstream lacks.
#[derive(Debug, Default)]
struct Gathered {
    held: BTreeMap<String, Option<Held>>,
    /// The files of the lists of the installer, by the path of the list here.
    images: BTreeMap<ArchivePath, BTreeMap<ArchivePath, FileDigests>>,
    fetched: BTreeMap<String, Fetched>,
    /// What the upstreams list and lack, by rule.
    absent: BTreeMap<String, Vec<String>>,
}

/// What tells files apart, whoever wants them.
fn key(chosen: &ChosenExtra) -> String {
    match chosen.contents().next() {
        Some((sha256, form)) => format!("{sha256} {form:?}"),
        None => format!("{chosen:?}"),
    }
}

impl Run<'_> {
    /// The distributions whose other files are not what the upstreams have now. A run that is restricted to some
    /// packages leaves them alone.
    pub(in super::super) fn open_extras(&mut self, releases: &[Option<Accepted>]) -> Result<Vec<OpenExtras>> {
        let settings = &self.archive.settings;
        let is_whole = settings.restriction == Restriction::default() && settings.options.restrict.is_empty();
        if !is_whole || !self.downloads() {
            return Ok(Vec::new());
        }
        let skips = settings.options.skip_old != Some(false);
        let database = self.archive.database()?;
        let (mut open, mut failures) = (Vec::new(), Vec::new());
        for (number, job) in self.healthy_jobs().filter(|(_, job)| job.distribution.export) {
            let mut wanted = match super::wanted(&self.jobs, job, releases) {
                Ok(wanted) => wanted,
                Err(failure) => {
                    failures.push(failure);
                    continue;
                }
            };
            let mut record = extras::record(&database, &job.distribution.codename)?;
            let count = record.made.len();
            record.made.retain(|path, made| {
                let is_same = |wanted: &WantedExtra| wanted.identity() == made.identity;
                skips && wanted.get(path).is_some_and(is_same) && extras::is_whole(&database, made)
            });
            wanted.retain(|path, _| !record.made.contains_key(path));
            let old = count.saturating_sub(record.made.len());
            if old > 0 || !wanted.is_empty() {
                open.push(OpenExtras {
                    job: number,
                    record,
                    wanted,
                    old,
                    is_ready: false,
                });
            }
        }
        self.upstreams_failed(failures)?;
        Ok(open)
    }

    /// How many files have to be fetched, and how many bytes they have, as far as can be told.
    pub(in super::super) fn extras_to_fetch(&self) -> Result<(usize, u64)> {
        let database = self.archive.database()?;
        let mut missing: BTreeMap<String, u64> = BTreeMap::new();
        for offer in self.open_offers() {
            if !offer
                .chosen
                .contents()
                .any(|(sha256, _)| database.extra_file(&sha256).exists())
            {
                missing.insert(key(&offer.chosen), offer.chosen.size_bytes());
            }
        }
        let bytes = missing.values().copied().fold(0, u64::saturating_add);
        Ok((missing.len(), bytes))
    }

    /// Says for each distribution how many of its other files would change.
    pub(in super::super) fn tell_of_extras(&self) {
        for open in &self.extras {
            let count = open.wanted.len().max(open.old);
            if let Some(job) = self.jobs.jobs.get(open.job) {
                self.archive.reporter.note(&format!(
                    "{}: {count} translations and other files of upstreams would change",
                    job.distribution.codename
                ));
            }
        }
    }

    fn open_offers(&self) -> impl Iterator<Item = &Offer> {
        let open = self.extras.iter().filter(|open| {
            let job = self.jobs.jobs.get(open.job);
            job.is_some_and(|job| !self.has_failed(&job.distribution.codename))
        });
        open.flat_map(|open| open.wanted.values()).flat_map(|file| &file.offers)
    }

    /// Gets what is missing and makes what is to be published. What came is told to `files`.
    pub(in super::super) fn gather_extras(&mut self, files: &mut Files) -> Result<()> {
        let offers: Vec<Offer> = self.open_offers().cloned().collect();
        if self.extras.is_empty() {
            return Ok(());
        }
        self.archive.reporter.status("Getting translations and the like...");
        let mut gathered = Gathered::default();
        self.hold(&offers, &mut gathered)?;
        self.hold_images(&mut gathered)?;
        for (rule, paths) in &gathered.absent {
            let (count, first) = (paths.len(), paths.first().map_or("", String::as_str));
            let what = if count == 1 { "a file" } else { "files" };
            self.archive.reporter.warning(&format!(
                "rule `{rule}`: the upstream lists {what} that it does not have, `{first}`{}: left out",
                if count > 1 {
                    format!(" and {} more", count - 1)
                } else {
                    String::new()
                }
            ));
        }
        let mut extras = std::mem::take(&mut self.extras);
        for open in &mut extras {
            let Some(job) = self.jobs.jobs.get(open.job) else {
                continue;
            };
            let codename = job.distribution.codename.clone();
            if self.has_failed(&codename) {
                continue;
            }
            match self.make_all(open, &gathered) {
                Ok(()) => open.is_ready = true,
                Err(error) => self.fail(&codename, Arc::new(error)),
            }
        }
        if extras.iter().all(|open| open.is_ready) {
            self.archive.database()?.clear_extras_room()?;
        }
        self.extras = extras;
        for (rule, more) in gathered.fetched {
            let fetched = files.fetched.entry(rule).or_default();
            fetched.files = fetched.files.saturating_add(more.files);
            fetched.bytes = fetched.bytes.saturating_add(more.bytes);
            fetched.time = fetched.time.saturating_add(more.time);
        }
        Ok(())
    }

    /// Brings the files of these offers into the database.
    fn hold(&mut self, offers: &[Offer], gathered: &mut Gathered) -> Result<()> {
        let database = self.archive.database()?;
        let mut missing: BTreeMap<String, &Offer> = BTreeMap::new();
        for offer in offers {
            let key = key(&offer.chosen);
            if gathered.held.contains_key(&key) || missing.contains_key(&key) {
                continue;
            }
            match held_already(&database, &offer.chosen) {
                Some(held) => drop(gathered.held.insert(key, Some(held))),
                None => drop(missing.insert(key, offer)),
            }
        }
        let chosen: Vec<ChosenExtra> = missing.values().map(|offer| offer.chosen.clone()).collect();
        if chosen.is_empty() {
            return Ok(());
        }
        let room = database.extras_room()?;
        let start = Instant::now();
        let results = mirror::fetch_extras(&mut self.transfer, &chosen, &room);
        let time = start.elapsed();
        self.stop_if_told()?;
        let mut failures = Vec::new();
        for ((key, offer), result) in missing.into_iter().zip(results) {
            let held = match result {
                Ok(Some(place)) => {
                    database.put_extra(&place.file, &place.packed.digests.sha256)?;
                    let fetched = gathered.fetched.entry(offer.rule.clone()).or_default();
                    fetched.files = fetched.files.saturating_add(1);
                    fetched.bytes = fetched.bytes.saturating_add(place.packed.size_bytes);
                    fetched.time = fetched.time.max(time);
                    Some(Held {
                        form: place.form,
                        packed: place.packed,
                        plain: place.plain,
                    })
                }
                Ok(None) => {
                    gathered
                        .absent
                        .entry(offer.rule.clone())
                        .or_default()
                        .push(offer.path.clone());
                    None
                }
                Err(error) => {
                    failures.push((offer.upstream, error));
                    continue;
                }
            };
            gathered.held.insert(key, held);
        }
        self.upstreams_failed(failures)
    }

    /// Fails the distributions that use these upstreams, or the run, if one answered wrongly.
    fn upstreams_failed(&mut self, failures: Vec<(usize, mirror::Error)>) -> Result<()> {
        let mut is_refused = false;
        for (upstream, error) in failures {
            is_refused |= !error.is_unreachable();
            let users = self.jobs.jobs.iter().filter_map(|job| {
                let (rule, _) = job.rules.iter().find(|(_, number)| *number == upstream)?;
                Some((job.distribution.codename.clone(), rule.name.clone()))
            });
            let users = users.collect();
            self.fail_users(error, users);
        }
        self.stop_if_refused(is_refused)
    }

    /// Brings in what the lists of the installer name.
    fn hold_images(&mut self, gathered: &mut Gathered) -> Result<()> {
        let database = self.archive.database()?;
        let mut lists = Vec::new();
        for open in &self.extras {
            for (path, wanted) in &open.wanted {
                if matches!(wanted.kind, ExtraKind::Installer(..)) {
                    lists.extend(
                        wanted
                            .offers
                            .first()
                            .map(|offer| (open.job, path.clone(), offer.clone())),
                    );
                }
            }
        }
        let mut images = Vec::new();
        for (job, path, list) in lists {
            let Some(held) = gathered.held.get(&key(&list.chosen)).copied().flatten() else {
                continue;
            };
            let file = database.extra_file(&held.packed.digests.sha256);
            let text = fsio::read_limited(&file, MAX_LIST_BYTES)?;
            match (sums::read(&text), self.jobs.upstreams.get(list.upstream)) {
                (Ok(files), Some(upstream)) => {
                    let there = list.path.rsplit_once('/').map_or("", |(directory, _)| directory);
                    for (name, sha256) in files {
                        let from = format!("{there}/{name}");
                        let chosen = ChosenExtra::of_digest(upstream, &from, sha256);
                        let offer = Offer {
                            path: from,
                            chosen,
                            ..list.clone()
                        };
                        images.push((path.clone(), name, offer));
                    }
                }
                (Err(problem), _) => self.fail_extra(job, &list.rule, &list.path, problem),
                (Ok(_), None) => {}
            }
        }
        let offers: Vec<Offer> = images.iter().map(|(.., offer)| offer.clone()).collect();
        self.hold(&offers, gathered)?;
        for (list, name, offer) in images {
            let held = gathered.held.get(&key(&offer.chosen)).copied().flatten();
            let directory = ArchivePath::new(list.directory());
            if let (Some(held), Ok(Ok(path))) = (held, directory.map(|directory| directory.join(name.as_str()))) {
                gathered.images.entry(list).or_default().insert(path, held.packed);
            }
        }
        Ok(())
    }

    /// Fails all distributions whose other files are not as they are to be.
    pub(in super::super) fn fail_extras(&mut self, error: &Arc<OpsError>) {
        let jobs = self.extras.iter().filter_map(|open| self.jobs.jobs.get(open.job));
        let codenames: Vec<_> = jobs.map(|job| job.distribution.codename.clone()).collect();
        for codename in codenames {
            self.fail(&codename, Arc::clone(error));
        }
    }

    fn fail_extra(&mut self, job: usize, rule: &str, path: &str, problem: String) {
        let Some(job) = self.jobs.jobs.get(job) else { return };
        let codename = job.distribution.codename.clone();
        let error = Error::Extra {
            rule: rule.to_owned(),
            path: path.to_owned(),
            problem,
        };
        self.fail(&codename, Arc::new(error.into()));
    }

    /// Makes all files of a distribution that are to be made.
    fn make_all(&self, open: &mut OpenExtras, gathered: &Gathered) -> Result<()> {
        let database = self.archive.database()?;
        let room = database.extras_room()?;
        let none = BTreeMap::new();
        let make_one = |(path, wanted): (&ArchivePath, &WantedExtra)| {
            let mut held = Vec::new();
            for offer in &wanted.offers {
                match gathered.held.get(&key(&offer.chosen)) {
                    Some(file) => held.extend(*file),
                    // its distribution has failed with it
                    None => return Err(not_gathered(wanted, path)),
                }
            }
            let images = gathered.images.get(path).unwrap_or(&none);
            let (made, new) = make((path, wanted), &held, images, (&database, &room))?;
            Ok((path.clone(), made, new))
        };
        let made: Vec<(ArchivePath, MadeExtra, Option<NewFile>)> = std::mem::take(&mut open.wanted)
            .into_par_iter()
            .map(|(path, wanted)| make_one((&path, &wanted)))
            .collect::<Result<_>>()?;
        for (path, made, new) in made {
            if let Some((file, content)) = new {
                database.put_extra(&file, &content)?;
            }
            open.record.made.insert(path, made);
        }
        Ok(())
    }
}

fn not_gathered(wanted: &WantedExtra, path: &ArchivePath) -> OpsError {
    Error::Extra {
        rule: rule_of(wanted),
        path: path.to_string(),
        problem: "it did not come".into(),
    }
    .into()
}

/// The content in the database that will do, if it is there and sound.
fn held_already(database: &Database, chosen: &ChosenExtra) -> Option<Held> {
    let check = |file: &Path, form: ListForm| chosen.check(file, form, &file.display().to_string()).ok();
    chosen.contents().find_map(|(sha256, form)| {
        let file = database.extra_file(&sha256);
        let place = file.exists().then(|| check(&file, form)).flatten()?;
        Some(Held {
            form: place.form,
            packed: place.packed,
            plain: place.plain,
        })
    })
}
