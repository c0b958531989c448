//! Contents indexes: which packages have a path (DebianRepository/Format, "Contents indices"). Such an index is made
//! from the indexes of packages and the file list of each .deb, and is a block index itself, by path: when packages
//! change, only the blocks with their paths do.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use super::Error;
use super::path_key::{key_of, path_of};
use super::path_sort::PathSorter;
use super::record::DerivedContents;
use crate::model::stanza;
use crate::model::{ArchivePath, IndexId, Sha256};
use crate::store::blocks::{Block, BlockId, Item, ItemRef, Root, RootId, group};
use crate::store::edit::{self, Ahead, BlockSource, BlockStore, Change};
use crate::store::objects::Objects;

/// A line is 70 bytes, a stanza 800: blocks of 64 lines would be far too many small files.
pub(super) const PATH_BLOCK_LEVEL: u32 = 11;
/// Between a path and its packages.
const SEPARATOR: &[u8] = b"\t    ";

/// Looks up the paths in a .deb, without `/` or `./` at the start; None if nobody has read that .deb.
pub type FileLists<'a> = dyn Fn(&Sha256) -> Result<Option<Vec<Vec<u8>>>, crate::store::Error> + Sync + 'a;

/// A .deb whose file list is not known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingFileList {
    /// Where it is, below the archive's root.
    pub path: ArchivePath,
    /// The SHA-256 under which its list is looked up.
    pub sha256: Sha256,
}

/// Makes Contents indexes.
pub(super) struct Deriver<'a> {
    pub(super) objects: &'a Objects,
    pub(super) file_lists: &'a FileLists<'a>,
    /// Where sorting may put its temporary files.
    pub(super) scratch: &'a Path,
}

/// The object store with the larger blocks of a Contents index.
struct PathBlocks<'a>(&'a Objects);

impl BlockSource for PathBlocks<'_> {
    type Error = Error;

    fn load(&self, id: &BlockId) -> Result<Block, Error> {
        self.0.load(id).map_err(Error::store)
    }

    fn load_all(&self, ids: &[BlockId]) -> Result<Vec<Block>, Error> {
        self.0.load_all(ids).map_err(Error::store)
    }
}

impl BlockStore for PathBlocks<'_> {
    fn save(&self, block: &Block) -> Result<BlockId, Error> {
        self.0.save(block).map_err(Error::store)
    }

    fn save_all(&self, blocks: &[Block]) -> Result<Vec<BlockId>, Error> {
        self.0.save_all(blocks).map_err(Error::store)
    }

    fn block_level(&self) -> u32 {
        PATH_BLOCK_LEVEL
    }
}

/// A package as Contents names it, sorted by package, then section.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    package: Vec<u8>,
    section: Vec<u8>,
}

/// What Contents takes from a stanza.
struct Listed {
    owner: Owner,
    deb: MissingFileList,
}

/// Paths with their packages.
type Owners = BTreeMap<Vec<u8>, BTreeSet<Owner>>;

/// The packages that gave up a path, and those that took it; one may be in both.
#[derive(Default)]
struct Move {
    gone: BTreeSet<Owner>,
    come: BTreeSet<Owner>,
}

impl Move {
    /// The line of the path after it, if any package still has it.
    fn moved(&self, key: &[u8], old: Option<ItemRef<'_>>) -> Option<Item> {
        let mut owners = old.map(read_line).unwrap_or_default();
        owners.retain(|owner| !self.gone.contains(owner));
        owners.extend(self.come.iter().cloned());
        (!owners.is_empty()).then(|| line(key.to_vec(), owners.iter().collect()))
    }
}

/// The paths whose owners differ.
fn moves(before: Owners, after: Owners) -> BTreeMap<Vec<u8>, Move> {
    let mut moves: BTreeMap<Vec<u8>, Move> = BTreeMap::new();
    for (key, owners) in before {
        moves.entry(key).or_default().gone = owners;
    }
    for (key, owners) in after {
        moves.entry(key).or_default().come = owners;
    }
    moves.retain(|_, owners| owners.gone != owners.come);
    moves
}

/// Why an index cannot be edited, and is made anew.
enum Edited {
    To(Option<RootId>),
    NotPossible,
}

impl Deriver<'_> {
    /// The Contents index of these indexes of packages: the previous one edited, or a new one.
    ///
    /// # Errors
    /// [`Error::FileListsMissing`] with all .debs whose list is not known; the caller reads them and tries again.
    pub(super) fn derive(
        &self,
        packages: Vec<(IndexId, Option<RootId>)>,
        previous: Option<&DerivedContents>,
    ) -> Result<DerivedContents, Error> {
        let ids = |packages: &[(IndexId, _)]| packages.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
        if let Some(previous) = previous
            && ids(&previous.packages) == ids(&packages)
        {
            let root = match self.edit(&packages, previous) {
                Ok(Edited::To(root)) => root,
                // if objects of the index or of what it was made from are lost, those of the new one may still be there
                Ok(Edited::NotPossible) | Err(Error::Store { .. }) => self.build(&packages)?,
                Err(error) => return Err(error),
            };
            return Ok(DerivedContents { packages, root });
        }
        let root = self.build(&packages)?;
        Ok(DerivedContents { packages, root })
    }

    fn build(&self, packages: &[(IndexId, Option<RootId>)]) -> Result<Option<RootId>, Error> {
        let mut owners = Vec::new();
        let mut missing = BTreeSet::new();
        let mut sorter = PathSorter::new(self.scratch);
        for (index, root) in packages {
            let root = self.objects.root_or_empty(*root).map_err(Error::store)?;
            for block in self.objects.blocks_of(&root) {
                let (_, block) = block.map_err(Error::store)?;
                for item in block.items() {
                    let listed = read_stanza(index, item)?;
                    let Some(keys) = self.keys(&listed.deb.sha256)? else {
                        missing.insert(listed.deb);
                        continue;
                    };
                    let number = u32::try_from(owners.len()).unwrap_or(u32::MAX);
                    owners.push(listed.owner);
                    // sorting is in vain once a list is missing
                    for key in keys.into_iter().filter(|_| missing.is_empty()) {
                        sorter.push(&key, number)?;
                    }
                }
            }
        }
        check_missing(missing)?;
        let mut sorted = sorter.finish()?.peekable();
        let items = std::iter::from_fn(|| {
            let (key, first) = match sorted.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            let mut found = BTreeSet::new();
            found.extend(owners.get(first as usize));
            while let Some(Ok((_, number))) = sorted.next_if(|next| next.as_ref().is_ok_and(|(other, _)| *other == key))
            {
                found.extend(owners.get(number as usize));
            }
            Some(Ok(line(key, found)))
        });
        let root = edit::build(&PathBlocks(self.objects), items)?;
        self.objects.put_root(&root).map_err(Error::store)
    }

    fn edit(&self, packages: &[(IndexId, Option<RootId>)], previous: &DerivedContents) -> Result<Edited, Error> {
        let mut changed: BTreeSet<Vec<u8>> = BTreeSet::new();
        let mut total = 0;
        for ((_, new), (_, old)) in packages.iter().zip(&previous.packages) {
            total += self.objects.root_or_empty(*new).map_err(Error::store)?.count();
            let each = |change: Change<'_>| {
                let (Change::Added(item) | Change::Removed(item) | Change::Replaced { new: item, .. }) = change;
                changed.insert(group(item.key).to_vec());
                Ok(())
            };
            self.objects.diff_indexes(*old, *new, each).map_err(Error::store)?;
        }
        // the paths of all changed packages are held in memory; making the index anew is then cheaper anyhow
        if changed.len() as u64 > total / 2 + 100 {
            return Ok(Edited::NotPossible);
        }
        let mut missing = BTreeSet::new();
        let before = self.owners(&previous.packages, &changed, &mut missing)?;
        if !missing.is_empty() {
            // a .deb that is gone took its list with it
            return Ok(Edited::NotPossible);
        }
        let after = self.owners(packages, &changed, &mut missing)?;
        check_missing(missing)?;
        let root = self.objects.root_or_empty(previous.root).map_err(Error::store)?;
        let moves = moves(before, after);
        let root = edit::edit(&PathBlocks(self.objects), &root, &moves, |key, owners, old| {
            Ok(owners.moved(key, old).map(Cow::Owned))
        })?;
        self.objects.put_root(&root).map(Edited::To).map_err(Error::store)
    }

    /// The paths of all versions of these packages in all of the indexes.
    fn owners(
        &self,
        packages: &[(IndexId, Option<RootId>)],
        names: &BTreeSet<Vec<u8>>,
        missing: &mut BTreeSet<MissingFileList>,
    ) -> Result<Owners, Error> {
        let mut owners = Owners::new();
        for (index, root) in packages {
            let root = self.objects.root_or_empty(*root).map_err(Error::store)?;
            let mut reader = Reader::new(self.objects, &root, names.iter().map(Vec::as_slice));
            for name in names {
                let Some(block) = reader.block_of(name)? else { continue };
                for item in block.items().filter(|item| group(item.key) == name.as_slice()) {
                    let listed = read_stanza(index, item)?;
                    let Some(keys) = self.keys(&listed.deb.sha256)? else {
                        missing.insert(listed.deb);
                        continue;
                    };
                    for key in keys {
                        owners.entry(key).or_default().insert(listed.owner.clone());
                    }
                }
            }
        }
        Ok(owners)
    }

    /// The keys of the paths in a .deb that a line can carry.
    fn keys(&self, deb: &Sha256) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let paths = (self.file_lists)(deb).map_err(Error::store)?;
        // a line end would forge an entry, and a key ends its group at a NUL
        let fits = |path: &Vec<u8>| !path.is_empty() && !path.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0));
        Ok(paths.map(|paths| {
            paths
                .iter()
                .filter(|path| fits(path))
                .map(|path| key_of(path))
                .collect()
        }))
    }
}

/// Fails if a list is missing.
pub(super) fn check_missing(missing: BTreeSet<MissingFileList>) -> Result<(), Error> {
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::FileListsMissing {
        packages: missing.into_iter().collect(),
    })
}

/// Reads the blocks of an index that ascending keys fall in, each once.
struct Reader<'a> {
    root: &'a Root,
    blocks: Ahead<'a, Objects>,
    last: Option<(BlockId, Block)>,
}

impl<'a> Reader<'a> {
    /// A reader that will be asked for just these keys.
    fn new<'k>(objects: &'a Objects, root: &'a Root, keys: impl Iterator<Item = &'k [u8]>) -> Self {
        let mut ids: VecDeque<BlockId> = VecDeque::new();
        for at in keys.filter_map(|key| root.block_of_group(key)) {
            if ids.back() != Some(&at.block) {
                ids.push_back(at.block);
            }
        }
        Self {
            root,
            blocks: Ahead::new(objects, ids),
            last: None,
        }
    }

    fn block_of(&mut self, key: &[u8]) -> Result<Option<&Block>, Error> {
        let Some(at) = self.root.block_of_group(key) else {
            return Ok(None);
        };
        if self.last.as_ref().is_none_or(|(id, _)| *id != at.block) {
            let next = self.blocks.load_next().map_err(Error::store)?;
            self.last = next.map(|block| (at.block, block));
        }
        Ok(self.last.as_ref().map(|(_, block)| block))
    }
}

fn read_stanza(index: &IndexId, item: ItemRef<'_>) -> Result<Listed, Error> {
    let package = group(item.key);
    let (mut section, mut path, mut sha256) = (&b""[..], None, None);
    for field in stanza::fields(item.text).map_while(Result::ok) {
        let text = std::str::from_utf8(field.value).ok();
        if field.name.eq_ignore_ascii_case("Section") {
            section = field.value;
        } else if field.name.eq_ignore_ascii_case("Filename") {
            path = text.and_then(|text| ArchivePath::new(text).ok());
        } else if field.name.eq_ignore_ascii_case("SHA256") {
            sha256 = text.and_then(|text| text.parse().ok());
        }
    }
    let (Some(path), Some(sha256)) = (path, sha256) else {
        return Err(Error::Stanza {
            index: index.clone(),
            package: String::from_utf8_lossy(package).into_owned(),
        });
    };
    // a section with a blank or comma in it would end the entry
    let is_word = section.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',');
    Ok(Listed {
        owner: Owner {
            package: package.to_vec(),
            section: if is_word { section.to_vec() } else { Vec::new() },
        },
        deb: MissingFileList { path, sha256 },
    })
}

fn line(key: Vec<u8>, owners: BTreeSet<&Owner>) -> Item {
    let mut text = [&path_of(&key), SEPARATOR].concat();
    for (number, owner) in owners.into_iter().enumerate() {
        if number > 0 {
            text.push(b',');
        }
        if !owner.section.is_empty() {
            text.extend_from_slice(&owner.section);
            text.push(b'/');
        }
        text.extend_from_slice(&owner.package);
    }
    text.push(b'\n');
    Item {
        key,
        meta: Vec::new(),
        text,
    }
}

fn read_line(item: ItemRef<'_>) -> BTreeSet<Owner> {
    let line = item.text.strip_suffix(b"\n").unwrap_or(item.text);
    let words = line
        .get(path_of(item.key).len() + SEPARATOR.len()..)
        .unwrap_or_default();
    let owner = |word: &[u8]| {
        let slash = memchr::memrchr(b'/', word);
        let (section, package) = slash.map_or((&[][..], word), |at| (word.split_at(at).0, word.split_at(at + 1).1));
        Owner {
            package: package.to_vec(),
            section: section.to_vec(),
        }
    };
    words.split(|byte| *byte == b',').map(owner).collect()
}
