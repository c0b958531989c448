//! What became of the lines of an index between two states. Blocks that both have are not read: how many lines they
//! have is known.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::lines::{self, Hunk};
use crate::store::blocks::{BlockRef, Root};
use crate::store::objects::Objects;

/// A patch that adds more of the new text than one byte in this many is, compressed, hardly smaller than the index.
const MOST_ADDED: u64 = 3;
/// Texts that are compared at a time; there are as many as threads.
const MAX_STRETCH_BYTES: u64 = 32 << 20;

/// What became of an index.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    /// What turns its old text into the new one.
    pub(super) hunks: Vec<Hunk>,
    /// How many lines each block of the new state has.
    pub(super) lines: Vec<u32>,
}

/// Neighbouring blocks of both states, by their places in the roots: the same blocks, or such that hold the same range
/// of keys.
#[derive(Debug, PartialEq, Eq)]
struct Stretch {
    old: Range<usize>,
    new: Range<usize>,
    is_same: bool,
}

/// Compares two states of an index. `known` says how many lines each block of the old one has, if it is as long as that
/// has blocks; else they are counted.
///
/// None if a patch would not be worth its size, or blocks of the old state cannot be read any more.
pub(super) fn compare(objects: &Objects, old: &Root, new: &Root, known: &[u32]) -> Option<Comparison> {
    let counted;
    let known = if known.len() == old.blocks().len() {
        known
    } else {
        counted = count_all(objects, old)?;
        &counted
    };
    let added_bytes = AtomicU64::new(0);
    let most_added = new.text_bytes() / MOST_ADDED;
    let before = lines_before(known);
    let compared: Vec<(Vec<Hunk>, Vec<u32>)> = stretches(old.blocks(), new.blocks())
        .par_iter()
        .map(|stretch| {
            if stretch.is_same {
                return Some((Vec::new(), known.get(stretch.old.clone())?.to_vec()));
            }
            let (old, old_lines) = text_of(objects, old, &stretch.old)?;
            let (new, lines) = text_of(objects, new, &stretch.new)?;
            if known.get(stretch.old.clone())? != old_lines {
                return None;
            }
            let hunks = lines::difference(&old, &new, *before.get(stretch.old.start)?)?;
            let added = hunks.iter().map(|hunk| hunk.added.len() as u64).sum();
            let sum = added_bytes.fetch_add(added, Ordering::Relaxed).saturating_add(added);
            (sum <= most_added).then_some((hunks, lines))
        })
        .collect::<Option<_>>()?;
    let (mut hunks, mut lines) = (Vec::new(), Vec::with_capacity(new.blocks().len()));
    for (of_stretch, counts) in compared {
        of_stretch.into_iter().for_each(|hunk| lines::push(&mut hunks, hunk));
        lines.extend(counts);
    }
    Some(Comparison { hunks, lines })
}

fn count_all(objects: &Objects, root: &Root) -> Option<Vec<u32>> {
    let blocks = root.blocks().par_iter();
    blocks
        .map(|at| lines::count(&objects.block_text(&at.block).ok()?))
        .collect()
}

/// How many lines stand before each block, and before the end.
fn lines_before(counts: &[u32]) -> Vec<u64> {
    let sums = counts.iter().scan(0_u64, |before, count| {
        *before = before.saturating_add(u64::from(*count));
        Some(*before)
    });
    std::iter::once(0).chain(sums).collect()
}

/// The text of some blocks, and how many lines each has.
fn text_of(objects: &Objects, root: &Root, places: &Range<usize>) -> Option<(Vec<u8>, Vec<u32>)> {
    let blocks = root.blocks().get(places.clone())?;
    let length = blocks.iter().fold(0_u64, |sum, at| sum.saturating_add(at.text_bytes));
    if length > MAX_STRETCH_BYTES {
        return None;
    }
    let (mut text, mut counts) = (Vec::new(), Vec::with_capacity(blocks.len()));
    for at in blocks {
        let block = objects.block_text(&at.block).ok()?;
        counts.push(lines::count(&block)?);
        text.extend_from_slice(&block);
    }
    Some((text, counts))
}

/// Pairs the blocks of two states. Where a block starts depends on the keys alone, so most blocks that differ begin and
/// end with the same keys.
fn stretches(old: &[BlockRef], new: &[BlockRef]) -> Vec<Stretch> {
    let mut found = Vec::new();
    let (mut old_at, mut new_at) = (0, 0);
    loop {
        let (old_from, new_from) = (old_at, new_at);
        let is_same = match (old.get(old_at), new.get(new_at)) {
            (None, None) => return found,
            (Some(old), Some(new)) => old.block == new.block,
            _ => false,
        };
        loop {
            let (takes_old, takes_new) = match (old.get(old_at), new.get(new_at)) {
                (Some(old), Some(new)) => (old.first_key <= new.first_key, new.first_key <= old.first_key),
                (old, new) => (old.is_some(), new.is_some()),
            };
            old_at += usize::from(takes_old);
            new_at += usize::from(takes_new);
            let is_end = match (old.get(old_at), new.get(new_at)) {
                (Some(old), Some(new)) => old.first_key == new.first_key,
                (old, new) => old.is_none() && new.is_none(),
            };
            if is_same || is_end {
                break;
            }
        }
        found.push(Stretch {
            old: old_from..old_at,
            new: new_from..new_at,
            is_same,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::lines::{difference, patched, script_of};
    use super::*;
    use crate::store::blocks::{Item, RootId};

    type Items = BTreeMap<u16, (u8, usize)>;

    fn item(name: u16, value: u8, lines: usize) -> Item {
        Item {
            key: format!("p{name:05}\0").into_bytes(),
            meta: Vec::new(),
            text: format!(
                "Package: p{name:05}\n{}Value: {value}\n\n",
                "Same: line\n".repeat(lines)
            )
            .into_bytes(),
        }
    }

    fn build(objects: &Objects, items: &Items) -> (Option<RootId>, Root, Vec<u8>) {
        let all: Vec<Item> = items
            .iter()
            .map(|(name, (value, lines))| item(*name, *value, *lines))
            .collect();
        let text = all.iter().flat_map(|item| item.text.clone()).collect();
        let id = objects.build_index(all.into_iter().map(Ok)).unwrap();
        (id, objects.root_or_empty(id).unwrap(), text)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// Blocks of 64 packages each, some of which change, come, go, or are cut anew.
        #[test]
        fn the_hunks_of_blocks_are_those_of_the_texts(
            edits in proptest::collection::vec((0..1500_u16, proptest::option::weighted(0.6, 0..3_u8)), 0..40),
            start in 0..1000_u16,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let objects = Objects::at(directory.path());
            let mut items: Items = (start..1000).map(|name| (name, (9, usize::from(name % 3)))).collect();
            let (_, old, old_text) = build(&objects, &items);
            for (name, value) in edits {
                match value {
                    Some(value) => drop(items.insert(name, (value, usize::from(value)))),
                    None => drop(items.remove(&name)),
                }
            }
            let (_, new, new_text) = build(&objects, &items);
            let added: usize = difference(&old_text, &new_text, 0).unwrap().iter().map(|hunk| hunk.added.len()).sum();
            let Some(first) = compare(&objects, &old, &new, &[]) else {
                prop_assert!(added * 4 > new_text.len(), "{added} of {}", new_text.len());
                return Ok(());
            };
            prop_assert!(patched(&old_text, &script_of(&first.hunks).unwrap()) == new_text);
            let counts: u32 = first.lines.iter().sum();
            prop_assert_eq!(counts, lines::count(&new_text).unwrap());
            prop_assert_eq!(first.lines.len(), new.blocks().len());
            // back again, with what is known of the blocks
            if let Some(back) = compare(&objects, &new, &old, &first.lines) {
                prop_assert!(patched(&new_text, &script_of(&back.hunks).unwrap()) == old_text);
            }
        }
    }

    #[test]
    fn a_wrong_count_of_lines_makes_no_patch() {
        let directory = tempfile::tempdir().unwrap();
        let objects = Objects::at(directory.path());
        let mut items: Items = (0..300).map(|name| (name, (1, 0))).collect();
        let (_, old, _) = build(&objects, &items);
        items.insert(7, (2, 0));
        let (_, new, _) = build(&objects, &items);
        let right = compare(&objects, &old, &old, &[]).unwrap().lines;
        assert!(compare(&objects, &old, &new, &right).is_some());
        let wrong: Vec<u32> = right.iter().map(|count| count + 1).collect();
        assert_eq!(compare(&objects, &old, &new, &wrong), None);
    }
}
