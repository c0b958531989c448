//! What the black-box tests share: packages made on the spot, a sandboxed archive to run the program in, and
//! checks of the published tree.
//!
//! The program under test is the built `aptrepo`, or whatever `APTREPO_TEST_BINARY` names: a reprepro there shows
//! whether a test asks for more than the behaviour that both share.
#![expect(dead_code, reason = "each test binary uses its own part of this module")]
#![expect(unused_imports, reason = "each test binary uses its own part of this module")]
#![expect(
    clippy::disallowed_methods,
    reason = "test fixtures need no atomic writes, and the environment says where we run"
)]

pub mod changes;
pub mod client;
pub mod clock;
pub mod deb;
pub mod env;
pub mod gpg;
pub mod index;
pub mod mirror;
pub mod nights;
pub mod rules;
pub mod scenario;
pub mod seen;
pub mod source;
pub mod state;
pub mod steps;
pub mod tree;
pub mod upstream;
pub mod verify;

pub use changes::{Changes, Fault};
pub use deb::{Compression, Deb};
pub use env::{Output, TestEnv, Tool};
pub use gpg::GnupgHome;
pub use source::Source;
pub use tree::Tree;

/// What a test gives back, so that it can use `?`.
pub type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Whether all these programs are installed. Without one of them a test is skipped on a developer's machine; where
/// `CI` is set it fails, so that no check is lost unnoticed.
pub fn have_tools(names: &[&str]) -> bool {
    let missing: Vec<_> = names.iter().filter(|name| find_program(name).is_none()).collect();
    missing.is_empty() || skip(&format!("not installed: {missing:?}"))
}

/// Says why a test cannot run here and returns false; fails the test where `CI` is set.
#[expect(clippy::print_stderr, reason = "a skipped test has to say so")]
pub fn skip(why: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "cannot run in CI: {why}");
    eprintln!("skipped: {why}");
    false
}

/// Where a program lies, by `PATH` and the usual system directories.
pub fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// A small deterministic random generator (splitmix64): the same seed gives the same scenario on every machine.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice that always fall alike for one seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `below`, which must not be 0.
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap_or_default()
    }

    /// One of `items`, which must not be empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let at = self.roll(items.len());
        items.get(at).unwrap_or_else(|| unreachable!("roll is below its bound"))
    }
}
