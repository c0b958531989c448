//! Building, editing and comparing block indexes. Pure: blocks come from a [`BlockSource`] and go to a [`BlockStore`].

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::blocks::{BLOCK_LEVEL, Block, BlockId, BlockRef, Item, ItemRef, Root, Row, cut_level, group};

/// How many blocks are loaded or saved at a time, by all threads. As many wait in memory.
const BATCH_BLOCKS: usize = 16;

/// Where blocks are read.
pub trait BlockSource {
    /// Why a block cannot be had or kept.
    type Error;
    /// The block of that name.
    ///
    /// # Errors
    /// It is not there, or not what its name says.
    fn load(&self, id: &BlockId) -> Result<Block, Self::Error>;
    /// The blocks of these names; a source that can do several things at once loads them so.
    ///
    /// # Errors
    /// As [`Self::load`].
    fn load_all(&self, ids: &[BlockId]) -> Result<Vec<Block>, Self::Error> {
        ids.iter().map(|id| self.load(id)).collect()
    }
}

/// Where blocks are kept.
pub trait BlockStore: BlockSource {
    /// Keeps a block under its name.
    ///
    /// # Errors
    /// It cannot be written.
    fn save(&self, block: &Block) -> Result<BlockId, Self::Error>;
    /// Keeps blocks and gives their names; a store that can do several things at once saves them so.
    ///
    /// # Errors
    /// As [`Self::save`].
    fn save_all(&self, blocks: &[Block]) -> Result<Vec<BlockId>, Self::Error> {
        blocks.iter().map(|block| self.save(block)).collect()
    }
    /// The [`cut_level`] that starts a block of the indexes kept here, always the same for the same index.
    fn block_level(&self) -> u32 {
        BLOCK_LEVEL
    }
}

/// A block behind a [`Cutter`].
enum Cut {
    Saved(BlockRef),
    Unsaved(Block),
}

/// Cuts items, fed in key order, into blocks; blocks that are known whole are passed through.
struct Cutter<'s, S> {
    store: &'s S,
    done: Vec<Cut>,
    unsaved: usize,
    open: Block,
    last_group: Option<Vec<u8>>,
}

impl<'s, S: BlockStore> Cutter<'s, S> {
    fn new(store: &'s S) -> Self {
        Self {
            store,
            done: Vec::new(),
            unsaved: 0,
            open: Block::default(),
            last_group: None,
        }
    }

    fn finish(mut self) -> Result<Root, S::Error> {
        self.close()?;
        self.save()?;
        let saved = self.done.into_iter().filter_map(|cut| match cut {
            Cut::Saved(block) => Some(block),
            Cut::Unsaved(_) => None,
        });
        Ok(Root::new(saved.collect()))
    }

    fn feed(&mut self, item: ItemRef<'_>) -> Result<(), S::Error> {
        let group = group(item.key);
        let is_new_group = self.last_group.as_deref() != Some(group);
        if is_new_group && cut_level(group) >= self.store.block_level() {
            self.close()?;
        } else if self.open.rows().is_empty()
            && let Some(last) = self.done.pop()
        {
            // the item belongs to a block that was passed through
            self.open = match last {
                Cut::Saved(block) => self.store.load(&block.block)?,
                Cut::Unsaved(block) => {
                    self.unsaved -= 1;
                    block
                }
            };
        }
        if is_new_group {
            self.last_group = Some(group.to_vec());
        }
        self.open.push(item);
        Ok(())
    }

    fn close(&mut self) -> Result<(), S::Error> {
        if self.open.rows().is_empty() {
            return Ok(());
        }
        self.done.push(Cut::Unsaved(std::mem::take(&mut self.open)));
        self.unsaved += 1;
        if self.unsaved < BATCH_BLOCKS {
            return Ok(());
        }
        self.save()
    }

    /// Saves all that is not yet.
    fn save(&mut self) -> Result<(), S::Error> {
        let mut blocks = Vec::new();
        let mut places = Vec::new();
        for place in self.done.iter_mut().rev() {
            if blocks.len() == self.unsaved {
                break;
            }
            if let Cut::Unsaved(block) = place {
                blocks.push(std::mem::take(block));
                places.push(place);
            }
        }
        let ids = self.store.save_all(&blocks)?;
        for ((place, block), id) in places.into_iter().zip(&blocks).zip(ids) {
            let first_key = block.rows().first().map(|row| row.key.clone());
            *place = Cut::Saved(BlockRef {
                first_key: first_key.unwrap_or_default(),
                block: id,
                text_bytes: block.text().len() as u64,
                count: u32::try_from(block.rows().len()).unwrap_or(u32::MAX),
            });
        }
        self.unsaved = 0;
        Ok(())
    }

    fn pass(&mut self, block: &BlockRef) -> Result<(), S::Error> {
        self.close()?;
        self.last_group = None;
        self.done.push(Cut::Saved(block.clone()));
        Ok(())
    }
}

/// Loads blocks that will be asked for in this order, some ahead.
#[derive(Debug)]
pub struct Ahead<'s, S> {
    store: &'s S,
    ids: VecDeque<BlockId>,
    loaded: VecDeque<Block>,
}

impl<'s, S: BlockSource> Ahead<'s, S> {
    /// The blocks of these names, of which none is loaded yet.
    pub fn new(store: &'s S, ids: VecDeque<BlockId>) -> Self {
        Self {
            store,
            ids,
            loaded: VecDeque::new(),
        }
    }

    /// The next block; none after the last.
    ///
    /// # Errors
    /// What the store fails with.
    pub fn load_next(&mut self) -> Result<Option<Block>, S::Error> {
        if self.loaded.is_empty() {
            let count = self.ids.len().min(BATCH_BLOCKS);
            let ids: Vec<BlockId> = self.ids.drain(..count).collect();
            self.loaded = self.store.load_all(&ids)?.into();
        }
        Ok(self.loaded.pop_front())
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

/// The root after edits, each a key with what `item_of` makes its new item of, knowing the item that is there: none to
/// remove it. Loads and saves only the blocks that the keys fall in, and their neighbours where a cut comes or goes.
///
/// # Errors
/// What the store fails with.
pub fn edit<S: BlockStore, E>(
    store: &S,
    root: &Root,
    edits: &BTreeMap<Vec<u8>, E>,
    item_of: impl for<'e> Fn(&[u8], &'e E, Option<ItemRef<'_>>) -> Result<Option<Cow<'e, Item>>, S::Error>,
) -> Result<Root, S::Error> {
    let feed_new = |cutter: &mut Cutter<'_, S>, (key, edit): (&Vec<u8>, &E), old: Option<ItemRef<'_>>| match item_of(
        key, edit, old,
    )? {
        Some(new) => cutter.feed(new.view()),
        None => Ok(()),
    };
    let mut cutter = Cutter::new(store);
    let mut ahead = Ahead::new(store, edited_blocks(root, edits));
    let mut edits = edits.iter().peekable();
    for (block, next_key) in with_next_key(root) {
        let is_before_next = |key: &[u8]| next_key.is_none_or(|next| key < next);
        let is_edited = edits.peek().is_some_and(|(key, _)| is_before_next(key));
        // a version put before all others of a package that starts a block takes the start from them
        let loses_start = cutter.last_group.as_deref() == Some(group(&block.first_key));
        if !is_edited && !loses_start {
            cutter.pass(block)?;
            continue;
        }
        let loaded = match if is_edited { ahead.load_next()? } else { None } {
            Some(loaded) => loaded,
            None => store.load(&block.block)?,
        };
        for item in loaded.items() {
            while let Some(edit) = edits.next_if(|(key, _)| key.as_slice() < item.key) {
                feed_new(&mut cutter, edit, None)?;
            }
            match edits.next_if(|(key, _)| key.as_slice() == item.key) {
                Some(edit) => feed_new(&mut cutter, edit, Some(item))?,
                None => cutter.feed(item)?,
            }
        }
        while let Some(edit) = edits.next_if(|(key, _)| is_before_next(key)) {
            feed_new(&mut cutter, edit, None)?;
        }
    }
    for edit in edits {
        feed_new(&mut cutter, edit, None)?;
    }
    cutter.finish()
}

/// The blocks of a root, each with the first key of the one after it.
fn with_next_key(root: &Root) -> impl Iterator<Item = (&BlockRef, Option<&[u8]>)> {
    let next_keys = root.blocks().iter().skip(1).map(|next| Some(next.first_key.as_slice()));
    root.blocks().iter().zip(next_keys.chain(std::iter::once(None)))
}

/// The blocks that edits fall in.
fn edited_blocks<E>(root: &Root, edits: &BTreeMap<Vec<u8>, E>) -> VecDeque<BlockId> {
    let mut keys = edits.keys().peekable();
    let mut edited = VecDeque::new();
    for (block, next_key) in with_next_key(root) {
        let is_before_next = |key: &&Vec<u8>| next_key.is_none_or(|next| key.as_slice() < next);
        if keys.next_if(is_before_next).is_some() {
            edited.push_back(block.block);
            while keys.next_if(is_before_next).is_some() {}
        }
    }
    edited
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
pub fn diff<S: BlockSource>(
    store: &S,
    old: &Root,
    new: &Root,
    mut each: impl FnMut(Change<'_>) -> Result<(), S::Error>,
) -> Result<(), S::Error> {
    let ids = |root: &Root| -> BTreeSet<BlockId> { root.blocks().iter().map(|at| at.block).collect() };
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
    blocks: Ahead<'s, S>,
    loaded: Block,
    row: usize,
    text_start: usize,
}

impl<'s, S: BlockSource> Side<'s, S> {
    fn new(store: &'s S, root: &Root, shared: &BTreeSet<BlockId>) -> Self {
        let own = root.blocks().iter().map(|at| at.block);
        Self {
            blocks: Ahead::new(store, own.filter(|id| !shared.contains(id)).collect()),
            loaded: Block::default(),
            row: 0,
            text_start: 0,
        }
    }

    fn fill(&mut self) -> Result<(), S::Error> {
        while self.row >= self.loaded.rows().len()
            && let Some(next) = self.blocks.load_next()?
        {
            self.loaded = next;
            (self.row, self.text_start) = (0, 0);
        }
        Ok(())
    }

    fn item(&self) -> Option<ItemRef<'_>> {
        let row = self.loaded.rows().get(self.row)?;
        Some(ItemRef {
            key: &row.key,
            meta: &row.meta,
            text: self.loaded.text().get(self.text_start..self.text_end(row))?,
        })
    }

    fn text_end(&self, row: &Row) -> usize {
        usize::try_from(row.text_bytes).map_or(usize::MAX, |length| self.text_start.saturating_add(length))
    }

    fn advance(&mut self) {
        if let Some(row) = self.loaded.rows().get(self.row) {
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
    use crate::model::Sha256;
    use crate::store::blocks::encode_rows;

    #[derive(Default)]
    struct Memory {
        blocks: RefCell<BTreeMap<BlockId, Block>>,
        loads: RefCell<usize>,
    }

    impl BlockSource for Memory {
        type Error = Infallible;

        fn load(&self, id: &BlockId) -> Result<Block, Infallible> {
            *self.loads.borrow_mut() += 1;
            Ok(self.blocks.borrow()[id].clone())
        }
    }

    impl BlockStore for Memory {
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

    fn as_it_is<'i>(
        _: &[u8],
        new: &'i Option<Item>,
        _: Option<ItemRef<'_>>,
    ) -> Result<Option<Cow<'i, Item>>, Infallible> {
        Ok(new.as_ref().map(Cow::Borrowed))
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
                let next = edit(&store, &root, &edits, as_it_is).unwrap();
                prop_assert_eq!(&next, &root_of(&store, &items));
                let difference = changes(&store, &root, &next);
                prop_assert!(difference.keys().all(|key| edits.contains_key(key)));
                prop_assert_eq!(&edit(&store, &root, &difference, as_it_is).unwrap(), &next);
                prop_assert_eq!(Root::decode(&next.encode().unwrap()).unwrap(), next.clone());
                root = next;
            }
            for key in items.keys() {
                let of_group = |other: &[u8]| group(other) == group(key);
                let at = root.block_of_group(group(key)).unwrap();
                let found = store.load(&at.block).unwrap();
                let found: Vec<&[u8]> = found.items().map(|item| item.key).filter(|key| of_group(key)).collect();
                let wanted: Vec<&[u8]> = items.keys().map(Vec::as_slice).filter(|key| of_group(key)).collect();
                prop_assert_eq!(found, wanted);
            }
        }
    }

    #[test]
    fn an_edit_sees_the_item_that_is_there() {
        fn one_more<'e>(
            _: &[u8],
            group: &'e u16,
            old: Option<ItemRef<'_>>,
        ) -> Result<Option<Cow<'e, Item>>, Infallible> {
            let value = old.map_or(0, |old| old.meta[0] + 1);
            Ok((*group != 2).then(|| Cow::Owned(item(*group, 1, value))))
        }

        let store = Memory::default();
        let items: Items = [1, 2]
            .map(|group| item(group, 1, 7))
            .map(|item| (item.key.clone(), item))
            .into();
        let root = root_of(&store, &items);
        let edits = BTreeMap::from([1, 2, 3].map(|group| (item(group, 1, 0).key, group)));
        let next = edit(&store, &root, &edits, one_more).unwrap();
        let wanted = [item(1, 1, 8), item(3, 1, 0)].map(|item| (item.key.clone(), item));
        assert_eq!(next, root_of(&store, &wanted.into()));
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
        let next = edit(&store, &root, &edits, as_it_is).unwrap();
        assert_eq!(*store.loads.borrow(), 1);
        assert_eq!(store.blocks.borrow().len(), saved + 1);

        *store.loads.borrow_mut() = 0;
        let block = next.block_of(&new.key).unwrap();
        assert_eq!(store.load(&block.block).unwrap().find(&new.key), Some(new.view()));
        assert_eq!(changes(&store, &root, &next).len(), 1);
        assert_eq!(*store.loads.borrow(), 3);
    }
}
