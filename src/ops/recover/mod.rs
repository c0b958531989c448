//! `recover`: rebuilds a database that is damaged or lost. What is whole in it stays. What is not comes from the
//! published indexes, which are checked against their Release and the pool, or from the last saved dump: from the one
//! that gives just what was there, as the heads in the journal prove; else from the younger one.
//!
//! All of it is built in a directory beside the database and put in its place in the end. Neither `pool/` nor `dists/`
//! is touched: the next command that writes publishes.

mod pool;
mod published;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::conf::distribution::Distribution;
use crate::fsio;
use crate::model::release::format_date;
use crate::model::{DigestKind, IndexId, ListedPackage, PoolFile, Promise, Track};
use crate::store::{Dumped, HeadId, Provenance, Rebuilt, Remains, RootId, SavedDump, saved_dumps};

use super::archive::Archive;
use super::{Error, Result, with_causes};
use pool::Pool;
use published::Published;

/// What was found, and what was not.
#[derive(Debug, Default)]
pub struct Report {
    /// What there is to tell, a line each.
    pub lines: Vec<String>,
    losses: usize,
}

impl Report {
    /// Whether all of it could be had.
    ///
    /// # Errors
    /// [`Error::Lost`]: the database is rebuilt, but something is not in it.
    pub fn outcome(&self) -> Result<()> {
        match self.losses {
            0 => Ok(()),
            count => Err(Error::Lost { count }),
        }
    }

    fn tell(&mut self, line: String) {
        self.lines.push(line);
    }

    fn lost(&mut self, what: &str) {
        self.losses += 1;
        self.lines.push(format!("lost: {what}"));
    }
}

/// Rebuilds the database. With `--dry-run` all is done but the last step, and what was built is removed.
///
/// # Errors
/// Nothing is damaged and `anyway` is not given, another process has the database, or the new one cannot be written:
/// then the old one is as it was.
pub fn recover(archive: &Archive<'_>, anyway: bool) -> Result<Report> {
    let settings = &archive.settings;
    // a link leads to the directory that is to be replaced
    let database = std::fs::canonicalize(&archive.directories.db).unwrap_or_else(|_| archive.directories.db.clone());
    let remains = Remains::examine(&database, &settings.command_line, settings.options.lock_patience())?;
    let faults = remains.faults();
    if faults.is_empty() && !anyway {
        return Err(Error::NotDamaged { path: database });
    }
    let mut recovery = Recovery {
        archive,
        remains: &remains,
        dump: None,
        published: BTreeMap::new(),
        pool: Pool::new(archive),
        report: Report::default(),
    };
    faults
        .into_iter()
        .for_each(|fault| recovery.report.tell(format!("damaged: {fault}")));
    let work = beside(&database, ".recovering");
    let built = recovery.build(&work);
    let mut report = recovery.report;
    let placed = match built {
        Ok(rebuilt) if !settings.dry_run => {
            let aside = free_name(&database, (settings.clock)());
            let placed = rebuilt.put_in_place(&aside);
            report.tell(format!("the old database is now `{}`", aside.display()));
            placed.map_err(Error::from)
        }
        other => {
            fsio::remove_tree(&work)?;
            other.map(drop)
        }
    };
    placed.map(|()| report)
}

fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(ending);
    name.into()
}

/// `db.damaged-20261123`, or with `-1`, `-2` … behind it where that is taken.
fn free_name(database: &Path, now: i64) -> PathBuf {
    let day: String = crate::pgp::day(now).chars().filter(char::is_ascii_digit).collect();
    let endings =
        std::iter::once(format!(".damaged-{day}")).chain((1_u32..).map(|number| format!(".damaged-{day}-{number}")));
    let mut names = endings.map(|ending| beside(database, &ending));
    names.find(|name| !name.exists()).unwrap_or_default()
}

/// Where the contents of a head can be had from.
struct Offer {
    contents: Vec<Dumped>,
    from: String,
    /// The time of the state that it is of, in Unix seconds.
    unix_seconds: i64,
    /// What is missing in it.
    missing: Vec<String>,
}

/// The last dump that can be read.
struct LastDump {
    saved: SavedDump,
    contents: BTreeMap<HeadId, Vec<Dumped>>,
}

struct Recovery<'a> {
    archive: &'a Archive<'a>,
    remains: &'a Remains,
    dump: Option<LastDump>,
    published: BTreeMap<String, Option<Published>>,
    pool: Pool<'a>,
    report: Report,
}

impl<'a> Recovery<'a> {
    fn build(&mut self, work: &Path) -> Result<Rebuilt<'a>> {
        let remains = self.remains;
        let mut rebuilt = remains.begin(work)?;
        let is_all_there = remains.is_last() && remains.heads().keys().all(|head| remains.is_whole(head));
        if !is_all_there {
            self.read_last_dump();
        }
        let mut heads: BTreeSet<HeadId> = remains.heads().keys().cloned().collect();
        if !remains.is_last() {
            let distributions = &self.archive.conf.distributions;
            heads.extend(distributions.iter().flat_map(Distribution::indexes).map(HeadId::Index));
            let tracking = distributions
                .iter()
                .filter(|distribution| distribution.tracking.is_some());
            heads.extend(tracking.map(|distribution| HeadId::Tracks(distribution.codename.clone())));
            heads.extend(self.dump.iter().flat_map(|dump| dump.contents.keys().cloned()));
        }
        let mut kept = 0;
        for head in &heads {
            if remains.is_last() && remains.is_whole(head) {
                rebuilt.keep(head)?;
                kept += 1;
            } else {
                self.restore(&mut rebuilt, head)?;
            }
        }
        if kept > 0 {
            self.report
                .tell(format!("{kept} indexes and tracks were whole, and are as they were"));
        }
        self.tell_of_history();
        let settings = &self.archive.settings;
        rebuilt.finish(&Provenance {
            unix_seconds: (settings.clock)(),
            user: settings.user.clone(),
            command: settings.command_line.clone(),
        })?;
        Ok(rebuilt)
    }

    fn tell_of_history(&mut self) {
        let remains = self.remains;
        if !remains.is_last() {
            let what = match remains.sequence() {
                0 => "changes that were not published and are in no dump, if there were any".to_owned(),
                last => {
                    format!("changes after number {last} that were not published and are in no dump, if there were any")
                }
            };
            self.report.tell(format!("cannot be known: {what}"));
        }
        if remains.kept_lines() < remains.sequence() || !remains.is_last() {
            let kept = remains.kept_lines();
            self.report.tell(format!(
                "the journal tells of {kept} changes; what is told of later ones is only in the old one"
            ));
        }
    }

    fn read_last_dump(&mut self) {
        let dumps = match saved_dumps(&self.archive.directories.db) {
            Ok(dumps) => dumps,
            Err(error) => return self.report.tell(format!("no saved dump: {}", with_causes(&error))),
        };
        for saved in dumps {
            let mut contents: BTreeMap<HeadId, Vec<Dumped>> = BTreeMap::new();
            match saved.read(|dumped| contents.entry(dumped.head()).or_default().push(dumped)) {
                Ok(()) => {
                    self.dump = Some(LastDump { saved, contents });
                    return;
                }
                Err(error) => {
                    let path = saved.path.display();
                    self.report
                        .tell(format!("`{path}` cannot be used: {}", with_causes(&error)));
                }
            }
        }
        self.report.tell("there is no saved dump that can be used".into());
    }

    /// Puts a head together from the best that there is.
    fn restore(&mut self, rebuilt: &mut Rebuilt<'a>, head: &HeadId) -> Result<()> {
        let wanted = self
            .remains
            .heads()
            .get(head)
            .copied()
            .filter(|_| self.remains.is_last());
        let mut offers: Vec<Offer> = Vec::new();
        if let HeadId::Index(index) = head {
            offers.extend(self.published_offer(index));
        }
        offers.extend(self.tables_offer(head));
        offers.extend(self.dumped_offer(head));
        let patched = offers.iter().map(|offer| self.patched_offer(head, Some(offer)));
        let mut patched: Vec<Offer> = patched.chain([self.patched_offer(head, None)]).flatten().collect();
        if wanted.is_some() {
            // what is still there is of the last change: the rest is only to fill its gaps
            patched.sort_by_key(|offer| offer.missing.len());
            offers = patched.into_iter().chain(offers).collect();
        } else {
            // sorting is stable: of two that are equally young the published index comes first
            offers.extend(patched);
            offers.sort_by_key(|offer| std::cmp::Reverse(offer.unix_seconds));
        }
        for offer in offers.iter().filter(|_| wanted.is_some()) {
            if rebuilt.put(head, &offer.contents)? == wanted {
                let (count, from) = (offer.contents.len(), &offer.from);
                self.report
                    .tell(format!("`{head}`: {count} from {from}, just what was there"));
                return Ok(());
            }
        }
        self.take_best(rebuilt, head, (&offers, wanted))
    }

    fn take_best(
        &mut self,
        rebuilt: &mut Rebuilt<'a>,
        head: &HeadId,
        (offers, wanted): (&[Offer], Option<RootId>),
    ) -> Result<()> {
        let Some(best) = offers.first() else {
            rebuilt.put(head, &[])?;
            let is_known = self.remains.heads().contains_key(head);
            match head {
                HeadId::Index(_) if is_known => self.report.lost(&format!("all of `{head}`: no source tells of it")),
                HeadId::Index(_) => {}
                HeadId::Tracks(codename) => self.report.lost(&format!(
                    "the tracking data of `{codename}`, which no index tells; `aptrepo retrack {codename}` builds new \
                     of the packages that are there"
                )),
            }
            return Ok(());
        };
        rebuilt.put(head, &best.contents)?;
        let (count, from) = (best.contents.len(), &best.from);
        if count > 0 || wanted.is_some() {
            self.report.tell(format!("`{head}`: {count} from {from}"));
        }
        if wanted.is_some() && best.missing.is_empty() {
            self.report.lost(&format!("`{head}` is not just what it was"));
        }
        best.missing.iter().for_each(|missing| self.report.lost(missing));
        Ok(())
    }

    fn published_offer(&mut self, index: &IndexId) -> Option<Offer> {
        let archive = self.archive;
        let distributions = &archive.conf.distributions;
        let distribution = distributions.iter().find(|known| known.codename == index.codename)?;
        let name = index.codename.to_string();
        if !self.published.contains_key(&name) {
            let read = published::read(archive, distribution);
            if let Err(problem) = &read {
                self.report
                    .tell(format!("the published indexes of `{name}` cannot be used: {problem}"));
            }
            self.published.insert(name.clone(), read.ok());
        }
        let published = self.published.get(&name)?.as_ref()?;
        let &Published {
            date,
            unix_seconds,
            trust,
            ..
        } = published;
        let listed = match published.packages(distribution, index) {
            Ok(listed) => listed,
            Err(problem) => {
                self.report
                    .tell(format!("the published index of `{index}` cannot be used: {problem}"));
                return None;
            }
        };
        let paths = listed.iter().flat_map(|listed| &listed.package.files);
        self.pool.look_at(paths.map(|(path, _)| path));
        let with_sha512 = distribution.digests.contains(&DigestKind::Sha512);
        let mut offer = Offer {
            contents: Vec::new(),
            from: format!("the index published on {}; {trust}", format_date(date)),
            unix_seconds,
            missing: Vec::new(),
        };
        for listed in listed {
            let files = listed.package.files.iter();
            let files: std::result::Result<Vec<PoolFile>, String> = files
                .map(|(path, promise)| self.pool.file(path, promise, with_sha512))
                .collect();
            let (name, version) = (listed.package.name.clone(), listed.package.version.clone());
            match files {
                Ok(files) => offer
                    .contents
                    .push(Dumped::Package(index.clone(), listed.with_files(files))),
                Err(problem) => offer.missing.push(format!("{index}: {name} {version}: {problem}")),
            }
        }
        Some(offer)
    }

    fn dumped_offer(&mut self, head: &HeadId) -> Option<Offer> {
        let dump = self.dump.as_mut()?;
        let contents = dump.contents.remove(head).unwrap_or_default();
        let unix_seconds = dump.saved.unix_seconds;
        let from = format!(
            "the dump of change {}, saved on {}",
            dump.saved.sequence,
            format_date(unix_seconds)
        );
        Some(self.with_pool_files(contents, from, unix_seconds))
    }

    /// What can still be read of a head, with its gaps filled from another offer.
    fn patched_offer(&self, head: &HeadId, other: Option<&Offer>) -> Option<Offer> {
        let (contents, missing) = self.remains.patch(head, other.map_or(&[], |other| &other.contents))?;
        let from = format!("what can still be read of change {}", self.remains.sequence());
        Some(Offer {
            contents,
            from: other.map_or(from.clone(), |other| {
                format!("{from}, its gaps filled from {}", other.from)
            }),
            // with a part lost it is the last to be taken
            unix_seconds: if missing == 0 {
                self.remains.unix_seconds()
            } else {
                i64::MIN
            },
            missing: (0..missing)
                .map(|_| format!("a package or source of `{head}` that nothing tells of"))
                .collect(),
        })
    }

    fn tables_offer(&mut self, head: &HeadId) -> Option<Offer> {
        let contents = self.remains.tracks_in_tables(head)?;
        let from = format!("the tables of change {}", self.remains.sequence());
        Some(self.with_pool_files(contents, from, self.remains.unix_seconds()))
    }

    /// Leaves out what lacks its files.
    fn with_pool_files(&mut self, contents: Vec<Dumped>, from: String, unix_seconds: i64) -> Offer {
        self.pool
            .look_at(contents.iter().flat_map(files_of).map(|file| &file.path));
        let mut offer = Offer {
            contents: Vec::new(),
            from,
            unix_seconds,
            missing: Vec::new(),
        };
        let fault = |file: &PoolFile| self.pool.file(&file.path, &Promise::from(&file.content), false).err();
        for dumped in contents {
            match dumped {
                Dumped::Package(index, package) => match package.entry.files.iter().find_map(fault) {
                    None => offer.contents.push(Dumped::Package(index, package)),
                    Some(problem) => {
                        let ListedPackage { entry, .. } = package;
                        let line = format!("{index}: {} {}: {problem}", entry.name, entry.version);
                        offer.missing.push(line);
                    }
                },
                Dumped::Track(codename, mut track) => {
                    let Track { source, version, files } = &mut track;
                    files.retain(|tracked| match fault(&tracked.file) {
                        None => true,
                        Some(problem) => {
                            let line = format!("tracking data of {codename}: {source} {version}: {problem}");
                            offer.missing.push(line);
                            false
                        }
                    });
                    offer.contents.push(Dumped::Track(codename, track));
                }
            }
        }
        offer
    }
}

fn files_of(dumped: &Dumped) -> Vec<&PoolFile> {
    match dumped {
        Dumped::Package(_, package) => package.entry.files.iter().collect(),
        Dumped::Track(_, track) => track.files.iter().map(|tracked| &tracked.file).collect(),
    }
}
