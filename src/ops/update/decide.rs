//! Reading the upstreams' indexes and deciding what becomes of each package of one index of ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::conf::distribution::Distribution;
use crate::fsio;
use crate::mirror::{self, Interrupt};
use crate::model::{IndexId, IndexKind, PackageArchitecture};
use crate::store::Snapshot;

use super::super::Result;
use super::super::archive::Archive;
use super::super::select::{Fate, Marks, Restricted, Selector, Verdict, refuse_many_deletes};
use super::candidate::{Candidate, Offered, or_fault};
use super::glance::{self, Glanced};
use super::jobs::{Jobs, Source, Step, Target};
use super::texts::{List, Place};
use super::{Error, hook};

/// What is needed to decide.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub archive: &'a Archive<'a>,
    pub interrupt: &'a Interrupt,
    pub snapshot: &'a Snapshot,
    pub jobs: &'a Jobs<'a>,
    /// The copies of the upstreams' indexes, by their place in [`Jobs::sources`].
    pub lists: &'a BTreeMap<usize, PathBuf>,
    /// The packages that the run is about.
    pub restricted: &'a Restricted,
}

impl Context<'_> {
    /// What becomes of every package of an index.
    ///
    /// # Errors
    /// An upstream's index is malformed, a filter cannot be read or says `error`, or suspiciously much would go.
    pub fn decide(&self, distribution: &Distribution, target: &Target) -> Result<Vec<Fate<Candidate>>> {
        let there = self.snapshot.versions(&target.index)?;
        let all = there.len();
        let mut marks = Marks::new(there, distribution.limit);
        for step in &target.steps {
            match step {
                Step::Delete => marks.delete_all(),
                Step::Offer(number) => {
                    if let (Some(source), Some(list)) = (self.jobs.sources.get(*number), self.lists.get(number)) {
                        self.offer_all(&mut marks, target, (*number, source), list)?;
                    }
                }
            }
        }
        let mut reader = self.snapshot.reader(&target.index)?;
        let fates = marks.fates(|name| reader.find(name))?;
        if self.archive.settings.options.only_small_deletes != Some(false) {
            refuse_many_deletes(&target.index, &fates, all)?;
        }
        Ok(fates)
    }

    fn offer_all(
        &self,
        marks: &mut Marks<Candidate>,
        target: &Target,
        (number, source): (usize, &Source<'_>),
        list: &Path,
    ) -> Result<()> {
        let rule = source.rule;
        let selector = Selector::read(&rule.name, &rule.filters, self.restricted)?
            .omitting_extra_sources(rule.omit_extra_source_only);
        let path = hook::run(self.archive, self.interrupt, (rule, list), &target.index)?;
        let list = Arc::new(List {
            // what a hook wrote makes room for what the next one writes
            file: (path != list).then(|| fsio::open_regular(&path)).transpose()?,
            path: path.clone(),
        });
        let package_type = target.index.kind.package_type();
        let mut of_other_architectures = 0_usize;
        let each = |Glanced { offset, text, glance }: Glanced<'_>| {
            if self.interrupt.is_told() {
                return Err(Error::Transfer(mirror::Error::Interrupted).into());
            }
            let glance = or_fault(glance, &rule.name, &path, text)?;
            if !fits(&target.index, glance.architecture.as_deref()) {
                of_other_architectures += 1;
                return Ok(());
            }
            marks.offer(&glance.name, &glance.version, |is_known| {
                let offered = or_fault(Offered::read(text, package_type), &rule.name, &path, text)?;
                let verdict = selector.judge(self.archive, &offered.offer(), &target.index, is_known)?;
                if verdict != Verdict::Take {
                    return Ok::<_, super::super::Error>((verdict, None));
                }
                let place = Place {
                    list: Arc::clone(&list),
                    offset,
                    length: text.len(),
                };
                let candidate = Candidate::new(offered, &target.index, number, place);
                Ok((verdict, Some(or_fault(candidate, &rule.name, &path, text)?)))
            })
        };
        glance::each_stanza(&path, package_type, each)?;
        if of_other_architectures > 0 && !source.is_mixed {
            self.archive.reporter.warning(&format!(
                "rule `{}`: `{}` has {of_other_architectures} packages of another architecture, which are left out",
                rule.name, source.path
            ));
        }
        Ok(())
    }
}

/// Whether a package of this architecture belongs into an index of ours. The one that an index is renamed to counts, as
/// in reprepro: with `amd64>i386` an i386 index gets no amd64 packages.
fn fits(index: &IndexId, architecture: Option<&str>) -> bool {
    match (&index.kind, architecture) {
        (IndexKind::Source, _) => true,
        (IndexKind::Deb(wanted) | IndexKind::Udeb(wanted), Some(word)) => match word.parse() {
            Ok(PackageArchitecture::All) => true,
            Ok(PackageArchitecture::Only(only)) => only == *wanted,
            Err(_) => false,
        },
        (IndexKind::Deb(_) | IndexKind::Udeb(_), None) => false,
    }
}
