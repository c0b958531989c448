//! `pull`: takes packages over from other distributions of the archive, as the rules that `Pull:` names say; `checkpull`
//! and `dumppull` say what that would do. No file is copied: the pool has it.

use std::sync::Arc;

use crate::conf::distribution::{Distribution, UpdateStep};
use crate::conf::overrides::Replacement;
use crate::conf::pull::PullRule;
use crate::model::{Entry, IndexId, IndexKind, ListedPackage, PackageArchitecture, Stanza, stanza};
use crate::store::Snapshot;

use super::archive::Archive;
use super::notify::{Cause, Origin};
use super::override_files::OverrideFiles;
use super::plan::Plan;
use super::select::{self, Coming, Fate, Marks, Offer, Report, Restricted, Selector, Verdict};
use super::session::{Outcome, Session, Told};
use super::{Error, Result, archiving, rewrite};

/// Pulls into the named distributions, or into all that have a `Pull:`. All is decided from the state before.
///
/// # Errors
/// A rule's filter cannot be read or says `error`, or a distribution would lose much with `--onlysmalldeletes`: nothing
/// has changed then. Publishing can fail after the change of a distribution.
pub fn pull(archive: &Archive<'_>, names: &[String]) -> Result<Outcome> {
    let session = Session::begin(archive)?;
    let run = Run::new(archive)?;
    let mut decided = Vec::new();
    for distribution in distributions(archive, names)? {
        decided.push((distribution, run.decide(distribution, false)?));
    }
    let mut outcome = Outcome::default();
    for (distribution, targets) in decided {
        let (mut plan, told) = run.plan(distribution, targets)?;
        if !plan.is_empty() {
            let store = session.open()?;
            let archived = archiving::pushed_out(&archive.conf, &store.snapshot()?, &plan.changes)?;
            plan.changes.extend(archived);
            outcome.rows.extend(session.carry_out_part(plan, &told)?.rows);
        }
    }
    if !archive.settings.dry_run {
        session.finish()?;
    }
    Ok(outcome)
}

/// What [`pull`] would do. Never waits for a writer.
///
/// # Errors
/// As those of [`pull`] before anything is changed.
pub fn check(archive: &Archive<'_>, names: &[String]) -> Result<Report> {
    let run = Run::new(archive)?;
    let mut report = Report::default();
    for distribution in distributions(archive, names)? {
        // reprepro tells of the last index first
        for (index, fates) in run.decide(distribution, true)?.iter().rev() {
            report.add(index, fates, Candidate::coming);
        }
    }
    Ok(report)
}

/// The distributions with a `Pull:` among these.
fn distributions<'a>(archive: &'a Archive<'_>, names: &[String]) -> Result<Vec<&'a Distribution>> {
    let mut distributions = select::distributions(archive, names)?;
    distributions.retain(|distribution| !distribution.pull.is_empty());
    if distributions.is_empty() {
        let message = "Nothing to do, because none of the selected distributions has a Pull: field.";
        archive.reporter.note(message);
    }
    Ok(distributions)
}

/// A package that is taken over.
#[derive(Debug)]
struct Candidate<'a> {
    rule: &'a PullRule,
    entry: Entry,
    stanza: Stanza,
}

impl Candidate<'_> {
    fn coming(&self) -> Coming {
        Coming {
            version: self.entry.version.to_string(),
            rule: self.rule.name.clone(),
            files: self.entry.files.iter().map(|file| file.path.to_string()).collect(),
            files_needed: Vec::new(),
        }
    }
}

/// What was decided for one index.
type Decided<'a> = (IndexId, Vec<Fate<Candidate<'a>>>);

/// One run.
struct Run<'a> {
    archive: &'a Archive<'a>,
    /// The state before.
    snapshot: Snapshot,
    restricted: Restricted,
}

impl<'a> Run<'a> {
    fn new(archive: &'a Archive<'a>) -> Result<Self> {
        Ok(Self {
            archive,
            snapshot: archive.snapshot()?,
            restricted: Restricted::read(archive)?,
        })
    }

    /// What becomes of the packages of a distribution. What stays is left out unless `keeps_all`.
    fn decide(&self, distribution: &Distribution, keeps_all: bool) -> Result<Vec<Decided<'a>>> {
        let restriction = &self.archive.settings.restriction;
        let mut decided = Vec::new();
        for index in distribution.indexes() {
            if restriction.admits(&index) {
                let mut fates = self.decide_index(distribution, &index)?;
                if !keeps_all {
                    fates.retain(Fate::is_change);
                }
                decided.push((index, fates));
            }
        }
        Ok(decided)
    }

    fn decide_index(&self, distribution: &Distribution, index: &IndexId) -> Result<Vec<Fate<Candidate<'a>>>> {
        let there = self.snapshot.versions(index)?;
        let all = there.len();
        let mut marks = Marks::new(there, distribution.limit);
        for step in &distribution.pull {
            let name = match step {
                UpdateStep::Delete => {
                    marks.delete_all();
                    continue;
                }
                UpdateStep::Rule(name) => name,
            };
            let conf = &self.archive.conf;
            if let Some(rule) = conf.pull_rule(name)
                && let Some(from) = conf.by_codename(&rule.from)
            {
                for source in sources(rule, from, index) {
                    self.offer_all(&mut marks, index, rule, &source)?;
                }
            }
        }
        let mut reader = self.snapshot.reader(index)?;
        let fates = marks.fates(|name| reader.find(name))?;
        // what is gone from a distribution of our own is meant to be
        if self.archive.settings.options.only_small_deletes == Some(true) {
            select::refuse_many_deletes(index, &fates, all)?;
        }
        Ok(fates)
    }

    /// Offers the packages of the index `source` for the index `index`.
    fn offer_all(
        &self,
        marks: &mut Marks<Candidate<'a>>,
        index: &IndexId,
        rule: &'a PullRule,
        source: &IndexId,
    ) -> Result<()> {
        let selector = Selector::read(&rule.name, &rule.filters, &self.restricted)?;
        let mut failure = None;
        self.snapshot.for_each_package(source, |entry, text| {
            if failure.is_none() && fits(text, &index.kind) {
                let offered = marks.offer(&entry.name, &entry.version, |is_known| {
                    let stanza = read(text, source, &entry)?;
                    let offer = Offer {
                        name: &entry.name,
                        version: &entry.version,
                        source: &entry.source,
                        source_version: &entry.source_version,
                        stanza: &stanza,
                    };
                    let verdict = selector.judge(self.archive, &offer, index, is_known)?;
                    let candidate = (verdict == Verdict::Take).then(|| Candidate {
                        rule,
                        entry: entry.clone(),
                        stanza,
                    });
                    Ok((verdict, candidate))
                });
                failure = offered.err();
            }
            Ok(())
        })?;
        failure.map_or(Ok(()), Err)
    }

    fn plan(&self, distribution: &Distribution, targets: Vec<Decided<'_>>) -> Result<(Plan, Told)> {
        let overrides = OverrideFiles::read(distribution)?;
        let mut plan = Plan::default();
        let mut told = Told {
            cause: Cause {
                command: self.archive.settings.command.clone(),
                from: None,
            },
            ..Told::default()
        };
        for (index, fates) in targets {
            for fate in fates {
                let replaced = overrides.find(index.kind.package_type(), fate.name.as_str());
                let changed = replaced.map(Replacement::changes).unwrap_or_default();
                let changes = fate.changes(&index, |candidate| {
                    Some(listed(candidate, &index.kind, &changed, distribution))
                });
                for (change, origin) in changes {
                    plan.changes.push(change);
                    told.origins.push(origin);
                }
            }
        }
        Ok((plan, told))
    }
}

/// The indexes of `from` that a rule reads for an index.
fn sources(rule: &PullRule, from: &Distribution, into: &IndexId) -> Vec<IndexId> {
    let components = match into.kind {
        IndexKind::Udeb(_) => rule.udeb_components.as_ref().unwrap_or(&from.udeb_components),
        _ => rule.components.as_ref().unwrap_or(&from.components),
    };
    if !components.contains(&into.component) {
        return Vec::new();
    }
    let kinds: Vec<IndexKind> = match (&into.kind, &rule.architectures) {
        (kind, None) => vec![kind.clone()],
        (IndexKind::Source, Some(architectures)) if !architectures.has_sources => Vec::new(),
        (IndexKind::Source, Some(_)) => vec![IndexKind::Source],
        (IndexKind::Deb(to) | IndexKind::Udeb(to), Some(architectures)) => {
            let matching = architectures.binary.iter().filter(|pair| pair.to == *to);
            let kind = |architecture| match into.kind {
                IndexKind::Udeb(_) => IndexKind::Udeb(architecture),
                _ => IndexKind::Deb(architecture),
            };
            matching.map(|pair| kind(pair.from.clone())).collect()
        }
    };
    let there = from.indexes();
    let index = |kind| IndexId {
        codename: from.codename.clone(),
        component: into.component.clone(),
        kind,
    };
    kinds
        .into_iter()
        .map(index)
        .filter(|index| there.contains(index))
        .collect()
}

/// Whether a package is for the architecture of the index that it would go into: `a>b` takes from `a` what is for `b`
/// or for all.
fn fits(text: &[u8], kind: &IndexKind) -> bool {
    let (IndexKind::Deb(wanted) | IndexKind::Udeb(wanted)) = kind else {
        return true;
    };
    let mut fields = stanza::fields(text).filter_map(std::result::Result::ok);
    let architecture = fields.find(|field| field.name.eq_ignore_ascii_case("Architecture"));
    let word = architecture.and_then(|field| std::str::from_utf8(field.value).ok());
    match word.and_then(|word| word.trim().parse().ok()) {
        Some(PackageArchitecture::All) => true,
        Some(PackageArchitecture::Only(only)) => only == *wanted,
        None => false,
    }
}

fn read(text: &[u8], index: &IndexId, entry: &Entry) -> Result<Stanza> {
    Stanza::parse(text).map_err(|source| Error::Stanza {
        index: index.to_string(),
        package: entry.name.to_string(),
        source,
    })
}

/// A package as the distribution lists it, and where it comes from.
fn listed(
    candidate: Candidate<'_>,
    kind: &IndexKind,
    overrides: &[(String, Option<String>)],
    distribution: &Distribution,
) -> (ListedPackage, Arc<Origin>) {
    let Candidate { rule, entry, stanza } = candidate;
    let text = match (kind, entry.files.first()) {
        (IndexKind::Deb(_) | IndexKind::Udeb(_), Some(file)) => {
            rewrite::binary(&stanza, overrides, &distribution.digests, file)
        }
        _ => rewrite::source(&stanza, overrides, &distribution.digests, &entry.files),
    };
    let origin = Origin {
        rule: rule.name.clone(),
        from: rule.from.to_string(),
    };
    (ListedPackage { entry, text }, Arc::new(origin))
}
