//! Reading the upstreams' indexes and deciding what becomes of each package of one index of ours.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::conf::distribution::Distribution;
use crate::fsio::{self, AtPath};
use crate::mirror::{self, Interrupt};
use crate::model::{IndexId, IndexKind, PackageArchitecture, stanza};
use crate::store::Snapshot;

use super::super::Result;
use super::super::archive::Archive;
use super::super::select::{Fate, Marks, Restricted, Selector, Verdict, refuse_many_deletes};
use super::candidate::{Candidate, Glance, List, Offered, Place, or_fault};
use super::jobs::{Jobs, Source, Step, Target};
use super::{Error, hook};

/// The longest index that is read.
const MAX_INDEX_BYTES: u64 = 2 << 30;
/// How much of one is looked at at a time.
const CHUNK_BYTES: u64 = 4 << 20;

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
        let mut reader = ChunkReader::open(&path)?;
        let list = Arc::new(List {
            // what a hook wrote makes room for what the next one writes
            file: (path != list).then(|| fsio::open_regular(&path)).transpose()?,
            path: path.clone(),
        });
        let package_type = target.index.kind.package_type();
        let mut of_other_architectures = 0_usize;
        while let Some((offset, chunk)) = reader.next_chunk()? {
            let texts: Vec<&[u8]> = stanza::split_stanzas(&chunk).collect();
            let glances: Vec<_> = texts.par_iter().map(|text| Glance::at(text, package_type)).collect();
            for (text, glance) in texts.into_iter().zip(glances) {
                if self.interrupt.is_told() {
                    return Err(Error::Transfer(mirror::Error::Interrupted).into());
                }
                let glance = or_fault(glance, &rule.name, &path, text)?;
                if !fits(&target.index, glance.architecture.as_deref()) {
                    of_other_architectures += 1;
                    continue;
                }
                marks.offer(&glance.name, &glance.version, |is_known| {
                    let offered = or_fault(Offered::read(text, package_type), &rule.name, &path, text)?;
                    let verdict = selector.judge(self.archive, &offered.offer(), &target.index, is_known)?;
                    if verdict != Verdict::Take {
                        return Ok::<_, super::super::Error>((verdict, None));
                    }
                    let place = Place {
                        list: Arc::clone(&list),
                        offset: offset + (text.as_ptr().addr() - chunk.as_ptr().addr()) as u64,
                        length: text.len(),
                    };
                    let candidate = Candidate::new(offered, &target.index, number, place);
                    Ok((verdict, Some(or_fault(candidate, &rule.name, &path, text)?)))
                })?;
            }
        }
        if of_other_architectures > 0 && !source.is_mixed {
            self.archive.reporter.warning(&format!(
                "rule `{}`: `{}` has {of_other_architectures} packages of another architecture, which are left out",
                rule.name, source.path
            ));
        }
        Ok(())
    }
}

/// Reads an index in chunks that end where a stanza does.
struct ChunkReader<'a> {
    file: File,
    path: &'a Path,
    /// The start of a stanza that the last chunk did not have whole.
    rest: Vec<u8>,
    read_bytes: u64,
}

impl<'a> ChunkReader<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        Ok(Self {
            file: fsio::open_regular(path)?,
            path,
            rest: Vec::new(),
            read_bytes: 0,
        })
    }

    /// The next whole stanzas and where they start; none at the end.
    fn next_chunk(&mut self) -> Result<Option<(u64, Vec<u8>)>> {
        let mut chunk = std::mem::take(&mut self.rest);
        loop {
            let mut more = (&mut self.file).take(CHUNK_BYTES);
            let count = more.read_to_end(&mut chunk).at("read", self.path)?;
            if count == 0 {
                let offset = self.read_bytes - chunk.len() as u64;
                return Ok((!chunk.is_empty()).then_some((offset, chunk)));
            }
            self.read_bytes = self.read_bytes.saturating_add(count as u64);
            if self.read_bytes > MAX_INDEX_BYTES {
                let problem = format!("longer than {MAX_INDEX_BYTES} bytes");
                Err(io::Error::other(problem)).at("read", self.path)?;
            }
            // one with other line ends becomes a single chunk
            if let Some(end) = memchr::memmem::rfind(&chunk, b"\n\n") {
                self.rest = chunk.split_off(end + 2);
                let offset = self.read_bytes - (chunk.len() + self.rest.len()) as u64;
                return Ok(Some((offset, chunk)));
            }
        }
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
