//! What becomes of each package of one index: the versions that are there, what the rules of `Update:` or `Pull:` offer
//! one after another, and `-` (reprepro's rules). Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Entry, IndexId, ListedPackage, PackageName, Version};

use super::super::notify::Origin;
use super::super::plan::Change;

/// What a filter says to a package that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken.
    Take,
    /// It is not.
    Ignore,
    /// It is not, and what is there stays.
    Hold,
    /// It is not, and what is there goes.
    Supersede,
}

/// One version that is there afterwards, unless it is deleted.
#[derive(Debug)]
struct Chosen<C> {
    version: Version,
    /// Where it comes from; none for what is there already.
    candidate: Option<C>,
    is_deleted: bool,
}

/// One package.
#[derive(Debug)]
struct Marked<C> {
    in_use: Vec<Version>,
    chosen: Vec<Chosen<C>>,
    best_new: Option<Version>,
}

/// The packages of one index while it is being decided what becomes of them.
#[derive(Debug)]
pub struct Marks<C> {
    /// How many versions of a package there may be.
    limit: usize,
    /// Those that are there, by name.
    there: Vec<(PackageName, Marked<C>)>,
    /// Where the last one was that was asked for: most are offered in the order of their names.
    last: usize,
    /// Those that are not.
    new: BTreeMap<PackageName, Marked<C>>,
}

/// What becomes of one package. If nothing comes, goes or stays, it is only not there any more among what was taken.
#[derive(Debug)]
pub struct Fate<C> {
    pub name: PackageName,
    /// What comes in, highest version first.
    pub new: Vec<C>,
    /// What goes, highest version first.
    pub gone: Vec<Entry>,
    /// What stays.
    pub kept: Vec<Version>,
    /// The best version that was offered and would have been good enough.
    pub best_new: Option<Version>,
}

impl<C> Fate<C> {
    /// Whether something comes or goes.
    pub fn is_change(&self) -> bool {
        !self.new.is_empty() || !self.gone.is_empty()
    }

    /// The changes of an index that make it so, each with where it comes from. `listed` gives the packages that come.
    pub fn changes(
        self,
        index: &IndexId,
        mut listed: impl FnMut(C) -> Option<(ListedPackage, Arc<Origin>)>,
    ) -> Vec<(Change, Option<Arc<Origin>>)> {
        let mut gone = self.gone;
        let mut changes = Vec::new();
        for (new, origin) in self.new.into_iter().filter_map(&mut listed) {
            // the first that comes replaces all that goes
            let old = std::mem::take(&mut gone);
            let index = index.clone();
            let change = if old.is_empty() {
                Change::Add { index, new }
            } else {
                Change::Replace { index, new, old }
            };
            changes.push((change, Some(origin)));
        }
        let removed = gone.into_iter().map(|old| Change::Remove {
            index: index.clone(),
            old,
        });
        changes.extend(removed.map(|change| (change, None)));
        changes
    }
}

impl<C> Marks<C> {
    /// The marks of an index with these packages, sorted by name, of which it may have `limit` versions each (none: all).
    pub fn new(packages: impl IntoIterator<Item = (PackageName, Version)>, limit: Option<usize>) -> Self {
        let mut there: Vec<(PackageName, Marked<C>)> = Vec::new();
        for (name, version) in packages {
            let chosen = Chosen {
                version: version.clone(),
                candidate: None,
                is_deleted: false,
            };
            match there.last_mut() {
                Some((last, marked)) if *last == name => {
                    marked.chosen.push(chosen);
                    marked.in_use.push(version);
                }
                _ => {
                    let marked = Marked {
                        in_use: vec![version],
                        chosen: vec![chosen],
                        best_new: None,
                    };
                    there.push((name, marked));
                }
            }
        }
        Self {
            limit: limit.unwrap_or(usize::MAX),
            there,
            last: 0,
            new: BTreeMap::new(),
        }
    }

    fn find(&mut self, name: &PackageName) -> Option<&mut Marked<C>> {
        let is_at = |at: usize| self.there.get(at).is_some_and(|(known, _)| known == name);
        let at = match (is_at(self.last), is_at(self.last + 1)) {
            (true, _) => Some(self.last),
            (_, true) => Some(self.last + 1),
            _ => self.there.binary_search_by(|(known, _)| known.cmp(name)).ok(),
        };
        let Some(at) = at else {
            return self.new.get_mut(name);
        };
        self.last = at;
        self.there.get_mut(at).map(|(_, marked)| marked)
    }

    /// `-`: all that is not offered again goes.
    pub fn delete_all(&mut self) {
        let there = self.there.iter_mut().map(|(_, marked)| marked);
        for marked in there.chain(self.new.values_mut()) {
            marked.chosen.iter_mut().for_each(|chosen| chosen.is_deleted = true);
        }
    }

    /// Offers a package. `judge` is asked only if it could make a difference, and is told whether a package of that
    /// name is known already; with [`Verdict::Take`] it gives what is taken.
    ///
    /// # Errors
    /// Those of `judge`.
    pub fn offer<E>(
        &mut self,
        name: &PackageName,
        version: &Version,
        judge: impl FnOnce(bool) -> Result<(Verdict, Option<C>), E>,
    ) -> Result<(), E> {
        let limit = self.limit;
        let Some(marked) = self.find(name) else {
            let (verdict, candidate) = judge(false)?;
            if let (Verdict::Take, Some(candidate)) = (verdict, candidate) {
                let mut marked = Marked {
                    in_use: Vec::new(),
                    chosen: Vec::new(),
                    best_new: None,
                };
                marked.take(version, candidate, limit);
                self.new.insert(name.clone(), marked);
            }
            return Ok(());
        };
        if marked.makes_no_difference(version, limit) {
            marked.note(version);
            return Ok(());
        }
        let (verdict, candidate) = judge(true)?;
        match verdict {
            Verdict::Take => {
                if let Some(candidate) = candidate {
                    marked.take(version, candidate, limit);
                }
            }
            Verdict::Ignore => {}
            Verdict::Hold => marked.chosen.iter_mut().for_each(|chosen| chosen.is_deleted = false),
            Verdict::Supersede => {
                let older = marked
                    .chosen
                    .iter_mut()
                    .filter(|chosen| chosen.version.compare(version).is_le());
                older.for_each(|chosen| chosen.is_deleted = true);
            }
        }
        Ok(())
    }

    /// What became of every package, in the order of their names. `entries_of` gives the versions of a package that are
    /// there, and is asked only where some go.
    ///
    /// # Errors
    /// Those of `entries_of`.
    pub fn fates<E>(
        self,
        mut entries_of: impl FnMut(&PackageName) -> Result<Vec<Entry>, E>,
    ) -> Result<Vec<Fate<C>>, E> {
        let limit = self.limit;
        let marked = self.there.into_iter().chain(self.new);
        let mut fates = marked
            .map(|(name, marked)| marked.fate(name, limit, &mut entries_of))
            .collect::<Result<Vec<_>, E>>()?;
        // two sorted runs
        fates.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(fates)
    }
}

impl<C> Marked<C> {
    fn live(&self) -> impl Iterator<Item = &Chosen<C>> {
        self.chosen.iter().filter(|chosen| !chosen.is_deleted)
    }

    fn makes_no_difference(&self, version: &Version, limit: usize) -> bool {
        let is_there = self.live().any(|chosen| chosen.version.compare(version).is_eq());
        let is_full = self.live().count() >= limit;
        is_there || (is_full && self.live().all(|chosen| version.compare(&chosen.version).is_lt()))
    }

    fn note(&mut self, version: &Version) {
        if self.best_new.as_ref().is_none_or(|best| version.compare(best).is_gt()) {
            self.best_new = Some(version.clone());
        }
    }

    fn take(&mut self, version: &Version, candidate: C, limit: usize) {
        let is_in_use = self.in_use.iter().any(|there| there.compare(version).is_eq());
        // reprepro goes on naming what was chosen before it came back to what is there
        if !is_in_use || self.live().next().is_none() {
            self.best_new = Some(version.clone());
        }
        match self
            .chosen
            .iter_mut()
            .find(|chosen| chosen.version.compare(version).is_eq())
        {
            // what was marked for deletion is what is offered: it stays, and comes from where it came from
            Some(known) => known.is_deleted = false,
            None => {
                // most have one, and there are tens of thousands
                self.chosen.reserve_exact(1);
                self.chosen.push(Chosen {
                    version: version.clone(),
                    candidate: (!is_in_use).then_some(candidate),
                    is_deleted: false,
                });
            }
        }
        self.trim(limit);
        if limit == 1 {
            // of what a later rule may lift the deletion, only the last choice counts
            self.chosen.retain(|chosen| !chosen.is_deleted);
        }
    }

    /// Drops the lowest versions beyond the limit.
    fn trim(&mut self, limit: usize) {
        self.chosen.sort_by(|a, b| b.version.compare(&a.version));
        let mut left = limit;
        self.chosen.retain(|chosen| {
            let stays = chosen.is_deleted || left > 0;
            left = left.saturating_sub(usize::from(!chosen.is_deleted));
            stays
        });
    }

    fn fate<E>(
        mut self,
        name: PackageName,
        limit: usize,
        entries_of: impl FnOnce(&PackageName) -> Result<Vec<Entry>, E>,
    ) -> Result<Fate<C>, E> {
        self.trim(limit);
        let mut kept = Vec::new();
        let mut new = Vec::new();
        for chosen in self.chosen.into_iter().filter(|chosen| !chosen.is_deleted) {
            match chosen.candidate {
                Some(candidate) => {
                    new.reserve_exact(1);
                    new.push(candidate);
                }
                None => kept.push(chosen.version),
            }
        }
        let mut gone = Vec::new();
        if self.in_use.iter().any(|version| !kept.contains(version)) {
            gone = entries_of(&name)?;
            gone.retain(|entry| !kept.contains(&entry.version));
            gone.sort_by(|a, b| b.version.compare(&a.version));
        }
        Ok(Fate {
            name,
            new,
            gone,
            kept,
            best_new: self.best_new,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SourceName;
    use std::convert::Infallible;

    /// What one rule offers: versions of one package, and what its filter says to them.
    type Offer<'a> = (&'a [&'a str], Verdict);

    fn entry(version: &str) -> Entry {
        let name = PackageName::new("p").unwrap();
        let version = Version::new(version).unwrap();
        Entry {
            source: SourceName::from(&name),
            source_version: version.clone(),
            files: Vec::new(),
            name,
            version,
        }
    }

    fn there(version: &str) -> (PackageName, Version) {
        let Entry { name, version, .. } = entry(version);
        (name, version)
    }

    /// What is there after these rules, `None` being `-`: versions, those that are new with a `+`.
    fn after(in_use: &[&str], limit: Option<usize>, rules: &[Option<Offer<'_>>]) -> String {
        let mut marks: Marks<String> = Marks::new(in_use.iter().map(|version| there(version)), limit);
        for rule in rules {
            let Some((versions, verdict)) = rule else {
                marks.delete_all();
                continue;
            };
            for version in *versions {
                let name = PackageName::new("p").unwrap();
                let judge = |_| Ok::<_, Infallible>((*verdict, Some(format!("+{version}"))));
                marks.offer(&name, &Version::new(version).unwrap(), judge).unwrap();
            }
        }
        let mut there = Vec::new();
        let entries = |_: &_| Ok::<_, Infallible>(in_use.iter().map(|version| entry(version)).collect());
        for fate in marks.fates(entries).unwrap() {
            there.extend(fate.new);
            there.extend(fate.kept.iter().map(ToString::to_string));
        }
        there.join(" ")
    }

    fn take<'a>(versions: &'a [&'a str]) -> Option<Offer<'a>> {
        Some((versions, Verdict::Take))
    }

    fn hold<'a>(versions: &'a [&'a str]) -> Option<Offer<'a>> {
        Some((versions, Verdict::Hold))
    }

    fn supersede<'a>(versions: &'a [&'a str]) -> Option<Offer<'a>> {
        Some((versions, Verdict::Supersede))
    }

    /// Each row was observed with reprepro.
    #[test]
    fn rules_and_deletions_work_as_in_reprepro() {
        let one = Some(1);
        assert_eq!(after(&["1.0"], one, &[take(&["0.9"])]), "1.0");
        assert_eq!(after(&["1.0"], one, &[take(&["1.1"])]), "+1.1");
        assert_eq!(after(&["1.0"], one, &[None, take(&["0.9"])]), "+0.9");
        assert_eq!(after(&["2.0"], one, &[None, take(&["0.9", "1.5"])]), "+1.5");
        assert_eq!(after(&["1.0"], one, &[None, take(&["1.0", "0.9"])]), "1.0");
        assert_eq!(after(&["1.0"], one, &[take(&["2.0"]), None, take(&["1.5"])]), "+1.5");
        assert_eq!(after(&["1.0"], one, &[take(&["2.0"]), None, take(&["1.0"])]), "1.0");
        assert_eq!(after(&["1.0"], one, &[None, take(&["0.9"]), take(&["1.0"])]), "1.0");
        assert_eq!(after(&["1.0"], one, &[None, take(&["0.9"]), hold(&["1.5"])]), "+0.9");
        assert_eq!(after(&["1.0"], one, &[None, take(&["0.9"]), hold(&["0.8"])]), "+0.9");
        assert_eq!(after(&["1.0"], one, &[None, hold(&["0.8"])]), "1.0");
        assert_eq!(after(&["1.0"], one, &[take(&["1.5"]), hold(&["2.0"])]), "+1.5");
        assert_eq!(after(&["1.0"], one, &[supersede(&["1.0"])]), "1.0");
        assert_eq!(after(&["1.0"], one, &[supersede(&["1.1"])]), "");
        assert_eq!(after(&["1.0"], one, &[supersede(&["0.9"])]), "1.0");
        assert_eq!(after(&["1.0"], one, &[None, take(&["0.9"]), supersede(&["1.1"])]), "");
        assert_eq!(after(&["1.0"], one, &[take(&["1.1"]), supersede(&["1.5"])]), "");
        assert_eq!(after(&["1.0"], one, &[None, Some((&["1.1"], Verdict::Ignore))]), "");
    }

    /// Observed with reprepro, which `dumpupdate` shows.
    #[test]
    fn the_best_offer_is_what_reprepro_calls_so() {
        let best = |versions: &[&str]| {
            let mut marks: Marks<()> = Marks::new([there("1.1")], Some(1));
            marks.delete_all();
            for version in versions {
                let name = PackageName::new("p").unwrap();
                let judge = |_| Ok::<_, Infallible>((Verdict::Take, Some(())));
                marks.offer(&name, &Version::new(version).unwrap(), judge).unwrap();
            }
            let fate = marks
                .fates(|_| Ok::<_, Infallible>(vec![entry("1.1")]))
                .unwrap()
                .remove(0);
            fate.best_new.map(|version| version.to_string()).unwrap_or_default()
        };
        assert_eq!(best(&[]), "");
        assert_eq!(best(&["1.1", "1.0"]), "1.1");
        assert_eq!(best(&["1.0", "1.1"]), "1.0");
        assert_eq!(best(&["1.0", "1.2"]), "1.2");
    }

    #[test]
    fn with_a_limit_several_versions_are_there() {
        assert_eq!(after(&[], None, &[take(&["1.0", "1.2", "1.1"])]), "+1.2 +1.1 +1.0");
        assert_eq!(after(&["1.0"], Some(2), &[take(&["1.2", "1.1"])]), "+1.2 +1.1");
        assert_eq!(after(&["1.0"], Some(2), &[None, take(&["1.1"])]), "+1.1");
        assert_eq!(after(&["1.1", "1.0"], None, &[None, take(&["1.0", "0.9"])]), "+0.9 1.0");
        assert_eq!(after(&["1.1", "1.0"], Some(2), &[take(&["0.9"])]), "1.1 1.0");
    }

    #[test]
    fn what_cannot_make_a_difference_is_not_judged() {
        let mut marks: Marks<()> = Marks::new([there("1.0")], Some(1));
        let name = PackageName::new("p").unwrap();
        for version in ["1.0", "0.9"] {
            marks
                .offer(&name, &Version::new(version).unwrap(), |_| Err(()))
                .unwrap();
        }
        assert!(marks.offer(&name, &Version::new("1.1").unwrap(), |_| Err(())).is_err());
    }
}
