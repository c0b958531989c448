//! What the archive spends its time on, function by function, on made-up packages: parsing, versions, digests, editing
//! a block index, and publishing (rendering, compression, Contents) whole and after one change.

mod archive;

use std::borrow::Cow;
use std::collections::BTreeMap;

use aptrepo::model::stanza::split_stanzas;
use aptrepo::model::{BinaryControl, Hasher, Sha256, Stanza, Version};
use aptrepo::store::blocks::{Block, BlockId, Item, Root, encode_rows};
use aptrepo::store::edit::{self, BlockSource, BlockStore};
use archive::{Archive, stanza};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

/// Packages in what is read and published.
const PACKAGES: usize = 2_000;

fn main() {
    divan::main();
}

fn index() -> Vec<u8> {
    (0..PACKAGES).flat_map(|number| stanza(number, 1)).collect()
}

#[divan::bench]
fn parse_packages(bencher: Bencher) {
    let text = index();
    bencher.counter(BytesCount::new(text.len())).bench(|| {
        for text in split_stanzas(black_box(&text)) {
            let stanza = Stanza::parse(text).expect("a stanza");
            black_box(BinaryControl::from_stanza(stanza).expect("a package"));
        }
    });
}

#[divan::bench]
fn compare_versions(bencher: Bencher) {
    let texts = [
        "1.0-1",
        "1:2.3~rc1+dfsg-0ubuntu1~18.04",
        "1:2.3~rc1+dfsg-0ubuntu1~18.04.1",
        "20240101+git1a2b3c-2+b1",
    ];
    let versions = texts.map(|text| Version::new(text).expect("a version"));
    bencher
        .counter(ItemsCount::new(versions.len() * versions.len()))
        .bench(|| {
            for a in black_box(&versions) {
                for b in black_box(&versions) {
                    black_box(a.compare(b));
                }
            }
        });
}

#[divan::bench(args = ["sha256", "md5 sha1 sha256", "md5 sha1 sha256 sha512"])]
fn hash(bencher: Bencher, kinds: &str) {
    let text = vec![0x61; 1 << 20];
    bencher.counter(BytesCount::new(text.len())).bench(|| match kinds {
        "sha256" => drop(black_box(Sha256::of(black_box(&text)))),
        "md5 sha1 sha256" => drop(black_box(digests(Hasher::default(), &text))),
        _ => drop(black_box(digests(Hasher::with_sha512(), &text))),
    });
}

fn digests(mut hasher: Hasher, text: &[u8]) -> Sha256 {
    hasher.update(black_box(text));
    hasher.finish().digests.sha256
}

/// Blocks in memory, named as on disk.
#[derive(Default)]
struct Memory(std::cell::RefCell<BTreeMap<BlockId, Block>>);

impl BlockSource for Memory {
    type Error = String;

    fn load(&self, id: &BlockId) -> Result<Block, String> {
        self.0
            .borrow()
            .get(id)
            .cloned()
            .ok_or_else(|| "no such block".to_owned())
    }
}

impl BlockStore for Memory {
    fn save(&self, block: &Block) -> Result<BlockId, String> {
        let table = encode_rows(block.rows()).map_err(|error| error.to_string())?;
        let id = BlockId(Sha256::of(
            &[*Sha256::of(&table).as_bytes(), *Sha256::of(block.text()).as_bytes()].concat(),
        ));
        self.0.borrow_mut().insert(id, block.clone());
        Ok(id)
    }
}

fn item(number: usize, revision: usize) -> Item {
    let key = format!("package{number:06}\0{revision}").into_bytes();
    Item {
        key,
        meta: vec![0; 120],
        text: stanza(number, revision),
    }
}

#[divan::bench(args = [1_000, 10_000, 60_000])]
fn edit_one_item(bencher: Bencher, packages: usize) {
    let store = Memory::default();
    let root: Root = edit::build(&store, (0..packages).map(|number| Ok(item(number, 1)))).expect("an index");
    let (old, new) = (item(packages / 2, 1), item(packages / 2, 2));
    let edits = BTreeMap::from([(old.key, None), (new.key.clone(), Some(new))]);
    bencher.bench_local(|| {
        edit::edit(&store, black_box(&root), &edits, |_, new: &Option<Item>, _| {
            Ok(new.as_ref().map(Cow::Borrowed))
        })
        .expect("an index")
    });
}

/// What conf lets be published.
const FORMS: [&str; 5] = [
    "Packages .",
    "Packages .gz",
    "Packages .xz",
    "Packages .zst",
    "Contents",
];

#[divan::bench(args = FORMS, sample_count = 10)]
fn publish_whole(bencher: Bencher, form: &str) {
    let mut archive = Archive::new(form, PACKAGES);
    bencher.bench_local(|| archive.publish_anew());
}

#[divan::bench(args = FORMS, sample_count = 20, sample_size = 1)]
fn publish_one_change(bencher: Bencher, form: &str) {
    let archive = std::cell::RefCell::new(Archive::new(form, PACKAGES));
    archive.borrow_mut().publish();
    let mut revision = 1;
    let change = || {
        revision += 1;
        archive.borrow_mut().put(PACKAGES / 2, revision);
    };
    bencher
        .with_inputs(change)
        .bench_local_values(|()| archive.borrow_mut().publish());
}
