//! The stanzas of new packages, read again from the upstreams' indexes when they are written: those of a first mirror
//! would fill the memory.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::conf::distribution::Distribution;
use crate::conf::overrides::Replacement;
use crate::fsio::{self, AtPath};
use crate::model::{DigestKind, Entry, IndexId, IndexKind, PackageType, Stanza};

use super::super::override_files::OverrideFiles;
use super::super::plan::{Change, Texts};
use super::super::{Result, rewrite};
use super::glance::Glance;

/// Where a stanza is in an upstream's index.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub list: Arc<List>,
    pub offset: u64,
    pub length: usize,
}

/// An upstream's index as it was read.
#[derive(Debug)]
pub(super) struct List {
    pub path: PathBuf,
    /// The file itself where the next one takes its name.
    pub file: Option<File>,
}

/// Reads stanzas again.
#[derive(Debug, Default)]
struct StanzaReader {
    last: Option<(Arc<List>, File)>,
}

impl StanzaReader {
    /// The stanza at a place, which is that of this package.
    ///
    /// # Errors
    /// It cannot be read, or something else stands there now.
    fn read(&mut self, place: &Place, entry: &Entry) -> std::result::Result<Stanza, fsio::Error> {
        let path = &place.list.path;
        if self
            .last
            .as_ref()
            .is_none_or(|(list, _)| !Arc::ptr_eq(list, &place.list))
        {
            let file = match &place.list.file {
                Some(file) => file.try_clone().at("read", path)?,
                None => fsio::open_regular(path)?,
            };
            self.last = Some((Arc::clone(&place.list), file));
        }
        let mut text = vec![0; place.length];
        if let Some((_, file)) = &self.last {
            file.read_exact_at(&mut text, place.offset).at("read", path)?;
        }
        let is_same = |glance: Glance| glance.name == entry.name && glance.version == entry.version;
        let stanza = Stanza::parse(&text).ok();
        stanza
            .filter(|_| Glance::at(&text, PackageType::Dsc).is_ok_and(is_same))
            .ok_or_else(|| io::Error::other("somebody has changed it while it was in use"))
            .at("read", path)
    }
}

/// Makes the stanzas of a distribution's new packages of those in the upstreams' indexes.
#[derive(Debug)]
pub(super) struct LateTexts {
    reader: RefCell<StanzaReader>,
    places: Vec<Option<Place>>,
    overrides: OverrideFiles,
    kinds: Vec<DigestKind>,
}

impl LateTexts {
    /// Those of packages of a distribution whose stanzas are in these places, by the change that brings them.
    ///
    /// # Errors
    /// An override file cannot be read.
    pub fn new(distribution: &Distribution, places: Vec<Option<Place>>) -> Result<Self> {
        Ok(Self {
            reader: RefCell::default(),
            places,
            overrides: OverrideFiles::read(distribution)?,
            kinds: distribution.digests.clone(),
        })
    }
}

impl Texts for LateTexts {
    fn text(&self, at: usize, change: &Change) -> std::result::Result<Vec<u8>, fsio::Error> {
        let (Some(new), Some(Some(place))) = (change.new_package(), self.places.get(at)) else {
            return Ok(Vec::new());
        };
        let stanza = self.reader.borrow_mut().read(place, &new.entry)?;
        let IndexId { kind, .. } = change.index();
        let replaced = self.overrides.find(kind.package_type(), new.entry.name.as_str());
        let overrides = replaced.map(Replacement::changes).unwrap_or_default();
        Ok(match (kind, new.entry.files.as_slice()) {
            (IndexKind::Source, files) => rewrite::source(&stanza, &overrides, &self.kinds, files),
            (_, [file]) => rewrite::binary(&stanza, &overrides, &self.kinds, file),
            (_, _) => Vec::new(),
        })
    }
}
