//! The block index: a sorted list of items cut into blocks, where a cut depends on the keys alone. Pure, and knows
//! nothing of packages: keys, values, text slices, hashes.
//!
//! The same set of items always has the same blocks, whatever edits led to it. So an edit rewrites only the blocks
//! that hold its keys, two states are compared by skipping the blocks that they share, and what is made from a block
//! (a gzip member, an xz block) stays good for as long as the block does.

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

    /// A block of which the text is not wanted: its items have none.
    pub(super) fn of_table(mut rows: Vec<Row>) -> Self {
        rows.iter_mut().for_each(|row| row.text_bytes = 0);
        Self { rows, text: Vec::new() }
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

    /// Adds an item, whose key must come after all that are there.
    pub(super) fn push(&mut self, item: ItemRef<'_>) {
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
/// The keys are not in ascending order.
pub fn encode_rows(rows: &[Row]) -> Result<Vec<u8>, CodecError> {
    check_order("block table", rows.iter().map(|row| row.key.as_slice()))?;
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
    /// The root of blocks in key order.
    pub(super) fn new(blocks: Vec<BlockRef>) -> Self {
        Self { blocks }
    }

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
    /// The blocks are not in ascending order.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        check_order("root", self.blocks.iter().map(|at| at.first_key.as_slice()))?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
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
    fn cut_levels_never_change() {
        // computed apart, with Python's hashlib
        for (group, level) in [("", 0), ("bash", 2), ("libc6", 0), ("g190", 9), ("g898", 11)] {
            assert_eq!(cut_level(group.as_bytes()), level, "{group}");
        }
    }
}
