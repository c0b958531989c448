//! The block index: a sorted list of items cut into blocks, where a cut depends on the keys alone. Pure, and knows
//! nothing of packages: keys, values, text slices, hashes.
//!
//! The same set of items always has the same blocks, whatever edits led to it. So an edit rewrites only the blocks
//! that hold its keys, two states are compared by skipping the blocks that they share, and what is made from a block
//! (a gzip member, an xz block) stays good for as long as the block does.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256 as Sha256Hasher};

use crate::model::Sha256;

/// A group whose [`cut_level`] is at least this starts a block: one group in 64.
pub const BLOCK_LEVEL: u32 = 6;

/// The name of a block: SHA-256 over the SHA-256 of its table and the SHA-256 of its text. So either half can be
/// checked without the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockId(pub Sha256);

/// The name of a root: the SHA-256 of its encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RootId(pub Sha256);

/// A table or a root that cannot be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}: {problem}")]
pub struct CodecError {
    /// `block table` or `root`.
    pub what: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// One item on its way into an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it is sorted, in byte order.
    pub key: Vec<u8>,
    /// Values that are read without the text.
    pub meta: Vec<u8>,
    /// Its slice of the index's text.
    pub text: Vec<u8>,
}

impl Item {
    /// The same item, borrowed.
    #[must_use]
    pub fn view(&self) -> ItemRef<'_> {
        ItemRef {
            key: &self.key,
            meta: &self.meta,
            text: &self.text,
        }
    }
}

/// One item of a block, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemRef<'a> {
    /// Where it is sorted.
    pub key: &'a [u8],
    /// Values that are read without the text.
    pub meta: &'a [u8],
    /// Its slice of the index's text.
    pub text: &'a [u8],
}

/// What a block's table says of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where the item is sorted.
    pub key: Vec<u8>,
    /// Its values.
    pub meta: Vec<u8>,
    /// The length of its text.
    pub text_bytes: u64,
}

/// A run of items, with the text of all of them in one piece.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    rows: Vec<Row>,
    text: Vec<u8>,
}

/// Where an index's root says that a block is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRef {
    /// The key of its first item.
    pub first_key: Vec<u8>,
    /// The block.
    pub block: BlockId,
    /// The length of its text.
    pub text_bytes: u64,
    /// How many items it has.
    pub count: u32,
}

/// The list of an index's blocks, in key order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Root {
    blocks: Vec<BlockRef>,
}

/// Where blocks are kept.
pub trait BlockStore {
    /// Why a block cannot be had or kept.
    type Error;
    /// The block of that name.
    ///
    /// # Errors
    /// It is not there, or not what its name says.
    fn load(&self, id: &BlockId) -> Result<Block, Self::Error>;
    /// Keeps a block under its name.
    ///
    /// # Errors
    /// It cannot be written.
    fn save(&self, block: &Block) -> Result<BlockId, Self::Error>;
    /// The [`cut_level`] that starts a block of the indexes kept here, always the same for the same index.
    fn block_level(&self) -> u32 {
        BLOCK_LEVEL
    }
}

#[derive(Serialize, Deserialize)]
struct RowForm<'a>(&'a [u8], &'a [u8], u64);
#[derive(Serialize, Deserialize)]
struct BlockRefForm<'a>(&'a [u8], [u8; 32], u64, u32);

/// The part of a key that decides where blocks start: all before its first NUL byte.
#[must_use]
pub fn group(key: &[u8]) -> &[u8] {
    let end = memchr::memchr(0, key).unwrap_or(key.len());
    key.get(..end).unwrap_or(key)
}

/// How strongly a group cuts: the number of zero bits that its SHA-256 starts with, up to 64. Level `n` or more has one
/// group in 2ⁿ. Never to be changed: the blocks of every archive hang on it.
#[must_use]
pub fn cut_level(group: &[u8]) -> u32 {
    let digest: [u8; 32] = Sha256Hasher::digest(group).into();
    let (first, _) = digest.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    u64::from_be_bytes(*first).leading_zeros()
}

/// Encodes a value in the one binary form of the store.
pub(super) fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, CodecError> {
    postcard::to_allocvec(value).map_err(|source| CodecError {
        what,
        problem: source.to_string(),
    })
}

/// Decodes a value that takes up all of `bytes`.
pub(super) fn decode<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<T, CodecError> {
    let error = |problem: String| CodecError { what, problem };
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|source| error(source.to_string()))?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(error(format!("{} bytes too many", rest.len())))
    }
}

impl Block {
    /// The block of a table and its text.
    ///
    /// # Errors
    /// The lengths of the table do not add up to the text's, or the block has no item.
    pub fn new(rows: Vec<Row>, text: Vec<u8>) -> Result<Self, CodecError> {
        let sum = rows.iter().try_fold(0_u64, |sum, row| sum.checked_add(row.text_bytes));
        if sum == Some(text.len() as u64) && !rows.is_empty() {
            return Ok(Self { rows, text });
        }
        Err(CodecError {
            what: "block table",
            problem: format!("its items do not add up to the {} bytes of the text", text.len()),
        })
    }

    /// The table.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The text of all items in order.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The items in key order.
    pub fn items(&self) -> impl Iterator<Item = ItemRef<'_>> {
        let mut rest = self.text.as_slice();
        self.rows.iter().map(move |row| {
            let length = usize::try_from(row.text_bytes).map_or(rest.len(), |length| length.min(rest.len()));
            let (text, after) = rest.split_at(length);
            rest = after;
            ItemRef {
                key: &row.key,
                meta: &row.meta,
                text,
            }
        })
    }

    /// The item of that key.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<ItemRef<'_>> {
        self.items().find(|item| item.key == key)
    }

    fn push(&mut self, item: ItemRef<'_>) {
        self.rows.push(Row {
            key: item.key.to_vec(),
            meta: item.meta.to_vec(),
            text_bytes: item.text.len() as u64,
        });
        self.text.extend_from_slice(item.text);
    }
}

/// The encoding of a block's table.
///
/// # Errors
/// Memory runs out.
pub fn encode_rows(rows: &[Row]) -> Result<Vec<u8>, CodecError> {
    let forms: Vec<RowForm<'_>> = rows
        .iter()
        .map(|row| RowForm(&row.key, &row.meta, row.text_bytes))
        .collect();
    encode("block table", &forms)
}

/// Reads a block's table.
///
/// # Errors
/// The bytes are no table, or its keys are not in order.
pub fn decode_rows(bytes: &[u8]) -> Result<Vec<Row>, CodecError> {
    let forms: Vec<RowForm<'_>> = decode("block table", bytes)?;
    check_order("block table", forms.iter().map(|form| form.0))?;
    let row = |RowForm(key, meta, text_bytes): &RowForm<'_>| Row {
        key: key.to_vec(),
        meta: meta.to_vec(),
        text_bytes: *text_bytes,
    };
    Ok(forms.iter().map(row).collect())
}

fn check_order<'a>(what: &'static str, mut keys: impl Iterator<Item = &'a [u8]>) -> Result<(), CodecError> {
    let mut last = keys.next();
    for key in keys {
        if last.is_some_and(|last| last >= key) {
            let problem = "its keys are not in order".into();
            return Err(CodecError { what, problem });
        }
        last = Some(key);
    }
    Ok(())
}

impl Root {
    /// The blocks in key order.
    #[must_use]
    pub fn blocks(&self) -> &[BlockRef] {
        &self.blocks
    }

    /// Whether the index has no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// How many items the index has.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.count)).sum()
    }

    /// The length of the index's text.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        self.blocks
            .iter()
            .fold(0, |sum: u64, block| sum.saturating_add(block.text_bytes))
    }

    /// The block that holds `key`, if any does.
    #[must_use]
    pub fn block_of(&self, key: &[u8]) -> Option<&BlockRef> {
        let after = self.blocks.partition_point(|block| block.first_key.as_slice() <= key);
        self.blocks.get(after.checked_sub(1)?)
    }

    /// The one block that holds the keys of `group`, if any does.
    #[must_use]
    pub fn block_of_group(&self, group: &[u8]) -> Option<&BlockRef> {
        // the least key after all of the group, whose keys are `group` itself and `group\0…`
        let end = [group, &[1]].concat();
        let after = self.blocks.partition_point(|block| block.first_key < end);
        self.blocks.get(after.checked_sub(1)?)
    }

    /// The encoding whose SHA-256 is the root's name.
    ///
    /// # Errors
    /// Memory runs out.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let forms: Vec<BlockRefForm<'_>> = self
            .blocks
            .iter()
            .map(|at| BlockRefForm(&at.first_key, *at.block.0.as_bytes(), at.text_bytes, at.count))
            .collect();
        encode("root", &forms)
    }

    /// Reads an encoded root.
    ///
    /// # Errors
    /// The bytes are no root, or its blocks are not in order.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let forms: Vec<BlockRefForm<'_>> = decode("root", bytes)?;
        check_order("root", forms.iter().map(|form| form.0))?;
        let block = |BlockRefForm(first_key, block, text_bytes, count): &BlockRefForm<'_>| BlockRef {
            first_key: first_key.to_vec(),
            block: BlockId(Sha256::from_bytes(*block)),
            text_bytes: *text_bytes,
            count: *count,
        };
        Ok(Self {
            blocks: forms.iter().map(block).collect(),
        })
    }
}

/// Cuts items, fed in key order, into blocks; blocks that are known whole are passed through.
struct Cutter<'s, S> {
    store: &'s S,
    done: Vec<BlockRef>,
    open: Block,
    last_group: Option<Vec<u8>>,
}

impl<'s, S: BlockStore> Cutter<'s, S> {
    fn new(store: &'s S) -> Self {
        Self {
            store,
            done: Vec::new(),
            open: Block::default(),
            last_group: None,
        }
    }

    fn finish(mut self) -> Result<Root, S::Error> {
        self.close()?;
        Ok(Root { blocks: self.done })
    }

    fn feed(&mut self, item: ItemRef<'_>) -> Result<(), S::Error> {
        let group = group(item.key);
        let is_new_group = self.last_group.as_deref() != Some(group);
        if is_new_group && cut_level(group) >= self.store.block_level() {
            self.close()?;
        } else if self.open.rows.is_empty()
            && let Some(last) = self.done.pop()
        {
            // the item belongs to a block that was passed through
            self.open = self.store.load(&last.block)?;
        }
        if is_new_group {
            self.last_group = Some(group.to_vec());
        }
        self.open.push(item);
        Ok(())
    }

    fn feed_new(&mut self, item: Option<&Item>) -> Result<(), S::Error> {
        item.map_or(Ok(()), |item| self.feed(item.view()))
    }

    fn close(&mut self) -> Result<(), S::Error> {
        let Some(first) = self.open.rows.first() else {
            return Ok(());
        };
        self.done.push(BlockRef {
            first_key: first.key.clone(),
            block: self.store.save(&self.open)?,
            text_bytes: self.open.text.len() as u64,
            count: u32::try_from(self.open.rows.len()).unwrap_or(u32::MAX),
        });
        self.open = Block::default();
        Ok(())
    }

    fn pass(&mut self, block: &BlockRef) -> Result<(), S::Error> {
        self.close()?;
        self.last_group = None;
        self.done.push(block.clone());
        Ok(())
    }
}

/// The root of items that come in ascending key order, their blocks saved.
///
/// # Errors
/// What the items' source or the store fails with.
pub fn build<S: BlockStore>(store: &S, items: impl Iterator<Item = Result<Item, S::Error>>) -> Result<Root, S::Error> {
    let mut cutter = Cutter::new(store);
    for item in items {
        let item = item?;
        cutter.feed(item.view())?;
    }
    cutter.finish()
}

/// The root after edits, each a key with its new item or `None` to remove it. Loads and saves only the blocks that the
/// keys fall in, and their neighbours where a cut comes or goes.
///
/// # Errors
/// What the store fails with.
pub fn edit<S: BlockStore>(store: &S, root: &Root, edits: &BTreeMap<Vec<u8>, Option<Item>>) -> Result<Root, S::Error> {
    let mut cutter = Cutter::new(store);
    let mut edits = edits.iter().peekable();
    for (at, block) in root.blocks.iter().enumerate() {
        let next_key = root.blocks.get(at + 1).map(|next| next.first_key.as_slice());
        let is_before_next = |key: &[u8]| next_key.is_none_or(|next| key < next);
        let is_edited = edits.peek().is_some_and(|(key, _)| is_before_next(key));
        // a version put before all others of a package that starts a block takes the start from them
        let loses_start = cutter.last_group.as_deref() == Some(group(&block.first_key));
        if !is_edited && !loses_start {
            cutter.pass(block)?;
            continue;
        }
        let loaded = store.load(&block.block)?;
        for item in loaded.items() {
            while let Some((_, new)) = edits.next_if(|(key, _)| key.as_slice() < item.key) {
                cutter.feed_new(new.as_ref())?;
            }
            match edits.next_if(|(key, _)| key.as_slice() == item.key) {
                Some((_, new)) => cutter.feed_new(new.as_ref())?,
                None => cutter.feed(item)?,
            }
        }
        while let Some((_, new)) = edits.next_if(|(key, _)| is_before_next(key)) {
            cutter.feed_new(new.as_ref())?;
        }
    }
    for (_, new) in edits {
        cutter.feed_new(new.as_ref())?;
    }
    cutter.finish()
}

/// What became of one key between two states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// The key is new.
    Added(ItemRef<'a>),
    /// The key is gone.
    Removed(ItemRef<'a>),
    /// The key has another value or text.
    Replaced {
        /// What it was.
        old: ItemRef<'a>,
        /// What it is.
        new: ItemRef<'a>,
    },
}

/// Calls `each` for every key whose item differs, in key order. Blocks that both states have are not read.
///
/// # Errors
/// What the store or `each` fails with.
pub fn diff<S: BlockStore>(
    store: &S,
    old: &Root,
    new: &Root,
    mut each: impl FnMut(Change<'_>) -> Result<(), S::Error>,
) -> Result<(), S::Error> {
    let ids = |root: &Root| -> BTreeSet<BlockId> { root.blocks.iter().map(|at| at.block).collect() };
    let (old_ids, new_ids) = (ids(old), ids(new));
    let mut old_side = Side::new(store, old, &new_ids);
    let mut new_side = Side::new(store, new, &old_ids);
    loop {
        old_side.fill()?;
        new_side.fill()?;
        let order = match (old_side.item(), new_side.item()) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(ours), Some(theirs)) => ours.key.cmp(theirs.key),
        };
        match (order, old_side.item(), new_side.item()) {
            (Ordering::Less, Some(item), _) => each(Change::Removed(item))?,
            (Ordering::Greater, _, Some(item)) => each(Change::Added(item))?,
            (_, Some(old), Some(new)) if old != new => each(Change::Replaced { old, new })?,
            _ => {}
        }
        if order != Ordering::Greater {
            old_side.advance();
        }
        if order != Ordering::Less {
            new_side.advance();
        }
    }
}

/// One state in a comparison: its items, less those in blocks that the other has too.
struct Side<'s, S> {
    store: &'s S,
    blocks: Vec<BlockId>,
    loaded: Block,
    row: usize,
    text_start: usize,
}

impl<'s, S: BlockStore> Side<'s, S> {
    fn new(store: &'s S, root: &Root, shared: &BTreeSet<BlockId>) -> Self {
        let own = root.blocks.iter().rev().map(|at| at.block);
        Self {
            store,
            blocks: own.filter(|id| !shared.contains(id)).collect(),
            loaded: Block::default(),
            row: 0,
            text_start: 0,
        }
    }

    fn fill(&mut self) -> Result<(), S::Error> {
        while self.row >= self.loaded.rows.len()
            && let Some(next) = self.blocks.pop()
        {
            self.loaded = self.store.load(&next)?;
            (self.row, self.text_start) = (0, 0);
        }
        Ok(())
    }

    fn item(&self) -> Option<ItemRef<'_>> {
        let row = self.loaded.rows.get(self.row)?;
        Some(ItemRef {
            key: &row.key,
            meta: &row.meta,
            text: self.loaded.text.get(self.text_start..self.text_end(row))?,
        })
    }

    fn text_end(&self, row: &Row) -> usize {
        usize::try_from(row.text_bytes).map_or(usize::MAX, |length| self.text_start.saturating_add(length))
    }

    fn advance(&mut self) {
        if let Some(row) = self.loaded.rows.get(self.row) {
            self.text_start = self.text_end(row);
        }
        self.row += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Memory {
        blocks: RefCell<BTreeMap<BlockId, Block>>,
        loads: RefCell<usize>,
    }

    impl BlockStore for Memory {
        type Error = Infallible;

        fn load(&self, id: &BlockId) -> Result<Block, Infallible> {
            *self.loads.borrow_mut() += 1;
            Ok(self.blocks.borrow()[id].clone())
        }

        fn save(&self, block: &Block) -> Result<BlockId, Infallible> {
            let table = Sha256::of(&encode_rows(block.rows()).unwrap());
            let id = BlockId(Sha256::of(format!("{table}{}", Sha256::of(block.text())).as_bytes()));
            self.blocks.borrow_mut().insert(id, block.clone());
            Ok(id)
        }
    }

    type Items = BTreeMap<Vec<u8>, Item>;

    fn item(group: u16, version: u8, value: u8) -> Item {
        Item {
            key: format!("g{group}\0{version}").into_bytes(),
            meta: vec![value],
            text: format!("text {value}").into_bytes(),
        }
    }

    fn root_of(store: &Memory, items: &Items) -> Root {
        build(store, items.values().cloned().map(Ok)).unwrap()
    }

    fn changes(store: &Memory, old: &Root, new: &Root) -> BTreeMap<Vec<u8>, Option<Item>> {
        let mut edits = BTreeMap::new();
        let own = |item: ItemRef<'_>| Item {
            key: item.key.into(),
            meta: item.meta.into(),
            text: item.text.into(),
        };
        diff(store, old, new, |change| {
            let (key, new) = match change {
                Change::Removed(old) => (old.key, None),
                Change::Added(new) | Change::Replaced { new, .. } => (new.key, Some(own(new))),
            };
            assert!(edits.insert(key.to_vec(), new).is_none(), "a key comes twice");
            Ok(())
        })
        .unwrap();
        edits
    }

    /// Groups that cut are one in 64; a test of few items needs more of them.
    fn groups() -> impl Strategy<Value = u16> {
        let (cutting, other): (Vec<u16>, Vec<u16>) =
            (0..3000).partition(|group| cut_level(format!("g{group}").as_bytes()) >= BLOCK_LEVEL);
        prop_oneof![
            proptest::sample::select(cutting[..12].to_vec()),
            proptest::sample::select(other[..40].to_vec())
        ]
    }

    fn edit_steps() -> impl Strategy<Value = Vec<Vec<(u16, u8, Option<u8>)>>> {
        let one = (groups(), 0..4_u8, proptest::option::weighted(0.6, 0..3_u8));
        proptest::collection::vec(proptest::collection::vec(one, 0..25), 1..8)
    }

    proptest! {
        #[test]
        fn any_edits_give_the_root_of_building_anew(steps in edit_steps()) {
            let store = Memory::default();
            let mut items = Items::new();
            let mut root = Root::default();
            for step in steps {
                let mut edits = BTreeMap::new();
                for (group, version, value) in step {
                    let key = item(group, version, 0).key;
                    let new = value.map(|value| item(group, version, value));
                    match &new {
                        Some(new) => drop(items.insert(key.clone(), new.clone())),
                        None => drop(items.remove(&key)),
                    }
                    edits.insert(key, new);
                }
                let next = edit(&store, &root, &edits).unwrap();
                prop_assert_eq!(&next, &root_of(&store, &items));
                let difference = changes(&store, &root, &next);
                prop_assert!(difference.keys().all(|key| edits.contains_key(key)));
                prop_assert_eq!(&edit(&store, &root, &difference).unwrap(), &next);
                prop_assert_eq!(Root::decode(&next.encode().unwrap()).unwrap(), next.clone());
                root = next;
            }
            for group in (0..3000_u16).step_by(7) {
                let name = format!("g{group}");
                let found: Vec<Vec<u8>> = root
                    .block_of_group(name.as_bytes())
                    .map(|at| store.load(&at.block).unwrap())
                    .iter()
                    .flat_map(|block| block.items().map(|item| item.key.to_vec()).collect::<Vec<_>>())
                    .filter(|key| super::group(key) == name.as_bytes())
                    .collect();
                let wanted: Vec<Vec<u8>> = items
                    .keys()
                    .filter(|key| super::group(key) == name.as_bytes())
                    .cloned()
                    .collect();
                prop_assert_eq!(found, wanted);
            }
        }

        #[test]
        fn bytes_that_are_no_table_or_root_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(rows) = decode_rows(&bytes) {
                prop_assert!(rows.windows(2).all(|pair| pair[0].key < pair[1].key));
            }
            if let Ok(root) = Root::decode(&bytes) {
                prop_assert!(root.blocks().windows(2).all(|pair| pair[0].first_key < pair[1].first_key));
            }
        }
    }

    #[test]
    fn one_edit_touches_one_block_of_many() {
        let store = Memory::default();
        let items: Items = (0..5000)
            .map(|group| item(group, 1, 0))
            .map(|item| (item.key.clone(), item))
            .collect();
        let root = root_of(&store, &items);
        let blocks = root.blocks().len();
        assert!((40..160).contains(&blocks), "{blocks} blocks of about 64 items");
        assert_eq!(root.count(), 5000);

        let saved = store.blocks.borrow().len();
        let new = item(2500, 1, 9);
        let edits = BTreeMap::from([(new.key.clone(), Some(new.clone()))]);
        let next = edit(&store, &root, &edits).unwrap();
        assert_eq!(*store.loads.borrow(), 1);
        assert_eq!(store.blocks.borrow().len(), saved + 1);

        *store.loads.borrow_mut() = 0;
        let block = next.block_of(&new.key).unwrap();
        assert_eq!(store.load(&block.block).unwrap().find(&new.key), Some(new.view()));
        assert_eq!(changes(&store, &root, &next).len(), 1);
        assert_eq!(*store.loads.borrow(), 3);
    }

    #[test]
    fn cut_levels_never_change() {
        // computed apart, with Python's hashlib
        for (group, level) in [("", 0), ("bash", 2), ("libc6", 0), ("g190", 9), ("g898", 11)] {
            assert_eq!(cut_level(group.as_bytes()), level, "{group}");
        }
    }
}
