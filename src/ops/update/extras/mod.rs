//! The files of upstreams that are no packages, as far as the rules of a distribution want them: which there are to be,
//! and what each is made from. Pure; `gather` gets them, `make` makes them, `keep` records them.

mod gather;
mod keep;
mod make;
mod merge;
mod sums;

use std::collections::BTreeMap;

use crate::conf::distribution::Distribution;
use crate::conf::update::UpdateRule;
use crate::mirror::{self, Accepted, ChosenExtra, ExtraKind, Upstream, offered_extras};
use crate::model::{Architecture, ArchivePath, Component, Sha256};

use super::jobs::{Job, Jobs, sources_of};

pub(super) use gather::OpenExtras;

/// Changes whenever the same files are made into something else.
const MAKING_VERSION: u32 = 1;
/// The most of these files that a Release may list for one component: Debian has 70 without the installer.
const MAX_OFFERED: usize = 2000;

/// A file of an upstream.
#[derive(Debug, Clone)]
struct Offer {
    /// Its upstream's place in [`Jobs::upstreams`].
    upstream: usize,
    rule: String,
    /// Its path there, unpacked.
    path: String,
    chosen: ChosenExtra,
}

/// A file that is to be published.
#[derive(Debug)]
struct WantedExtra {
    kind: ExtraKind,
    component: Component,
    /// What it is made from, that of the first rule first.
    offers: Vec<Offer>,
}

impl WantedExtra {
    /// What tells what it is made from.
    fn identity(&self) -> String {
        let mut text = format!("{MAKING_VERSION} {:?}", self.kind);
        for offer in &self.offers {
            text.push('\n');
            text.push_str(&offer.chosen.identity());
            // other files belong to it, which are found beside it
            if matches!(self.kind, ExtraKind::Installer(..)) {
                text.push_str(&offer.path);
            }
        }
        Sha256::of(text.as_bytes()).to_string()
    }
}

/// All such files of a distribution, by their path unpacked; or which upstream is to blame.
fn wanted(
    jobs: &Jobs<'_>,
    job: &Job<'_>,
    releases: &[Option<Accepted>],
) -> Result<BTreeMap<ArchivePath, WantedExtra>, (usize, mirror::Error)> {
    let mut wanted = BTreeMap::new();
    for (rule, number) in &job.rules {
        let release = releases.get(*number).and_then(Option::as_ref);
        let (Some(upstream), Some(accepted), None) = (jobs.upstreams.get(*number), release, &rule.flat) else {
            continue;
        };
        let from = From {
            rule,
            number: *number,
            upstream,
            accepted,
        };
        for component in &job.distribution.components {
            let there = sources_of(rule.components.as_deref(), &job.distribution.components, component);
            for there in there.into_iter().flatten() {
                from.add(&mut wanted, job.distribution, (&there, component))
                    .map_err(|error| (*number, error))?;
            }
        }
    }
    without_nested_lists(&mut wanted);
    Ok(wanted)
}

/// One rule with its upstream.
struct From<'a> {
    rule: &'a UpdateRule,
    number: usize,
    upstream: &'a Upstream,
    accepted: &'a Accepted,
}

impl From<'_> {
    /// Adds what the upstream has for the component `there`, which is `here` with us.
    fn add(
        &self,
        wanted: &mut BTreeMap<ArchivePath, WantedExtra>,
        distribution: &Distribution,
        (there, here): (&Component, &Component),
    ) -> Result<(), mirror::Error> {
        let malformed = |problem: String| mirror::Error::Release {
            url: self.accepted.url.clone(),
            problem,
        };
        let mut offered = offered_extras(&self.accepted.release, there);
        offered.retain(|kind| self.wants(kind));
        if offered.len() > MAX_OFFERED {
            let problem = format!("it lists more than {MAX_OFFERED} translations and the like of `{there}`");
            return Err(malformed(problem));
        }
        for kind in offered {
            let Some(chosen) = ChosenExtra::listed(self.upstream, self.accepted, &kind, there)? else {
                continue;
            };
            let offer = Offer {
                upstream: self.number,
                rule: self.rule.name.clone(),
                path: kind.path(there),
                chosen,
            };
            for kind in self.here(&kind, distribution) {
                let path = ArchivePath::new(&kind.path(here)).map_err(|error| malformed(error.to_string()))?;
                let file = wanted.entry(path).or_insert_with(|| WantedExtra {
                    kind,
                    component: here.clone(),
                    offers: Vec::new(),
                });
                let is_merged = merge::Shape::of(&file.kind).is_some();
                let is_known = |known: &Offer| known.upstream == offer.upstream && known.path == offer.path;
                if file.offers.is_empty() || is_merged && !file.offers.iter().any(is_known) {
                    file.offers.push(offer.clone());
                }
            }
        }
        Ok(())
    }

    fn wants(&self, kind: &ExtraKind) -> bool {
        let extras = &self.rule.extras;
        match kind {
            ExtraKind::Translation(language) => extras.translations.has(language),
            ExtraKind::AppStream(_) | ExtraKind::Icons(_) => extras.app_stream,
            ExtraKind::Commands(_) => extras.command_not_found,
            ExtraKind::Installer(..) => extras.installer_images,
        }
    }

    /// What a file of the upstream is here: for another architecture, for several, or for none that there is.
    fn here(&self, kind: &ExtraKind, distribution: &Distribution) -> Vec<ExtraKind> {
        let Some(there) = kind.architecture() else {
            return vec![kind.clone()];
        };
        let is_ours = |architecture: &&Architecture| distribution.architectures.contains(*architecture);
        let architectures: Vec<&Architecture> = match &self.rule.architectures {
            None => vec![there],
            Some(architectures) => {
                let pairs = architectures.binary.iter().filter(|pair| pair.from == *there);
                pairs.map(|pair| &pair.to).collect()
            }
        };
        architectures
            .into_iter()
            .filter(is_ours)
            .map(|architecture| kind.clone().for_architecture(architecture.clone()))
            .collect()
    }
}

/// Leaves out the installer's lists in directories that are below another one's: both could name the same file.
fn without_nested_lists(wanted: &mut BTreeMap<ArchivePath, WantedExtra>) {
    let lists: Vec<String> = wanted
        .iter()
        .filter(|(_, file)| matches!(file.kind, ExtraKind::Installer(..)))
        .map(|(path, _)| format!("{}/", path.directory()))
        .collect();
    wanted.retain(|path, file| {
        let is_below = |list: &String| path.as_str().starts_with(list) && format!("{}/", path.directory()) != *list;
        !matches!(file.kind, ExtraKind::Installer(..)) || !lists.iter().any(is_below)
    });
}
