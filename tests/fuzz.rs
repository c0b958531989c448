//! A short run of the fuzzer's entries with every build: what is in `tests/fixtures/fuzz`, and some seconds of seeded
//! mutations of it. Each input must be done with soon, in little memory, and without a panic. `make fuzz` searches in
//! earnest; what it finds is mended and its input joins the fixtures.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a failure of the checks is what the test is for"
)]

#[path = "fuzz/src/entries.rs"]
mod entries;
mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use entries::{ENTRIES, Entry};
use support::{Dice, TestResult};

/// How long each entry gets mutations.
const EACH: Duration = Duration::from_millis(600);
/// The longest that one input may take: far more than any needs, as a loaded machine may run this.
const MOST_TIME: Duration = Duration::from_secs(20);
/// The most memory that all inputs together may ever have needed, in kilobytes.
const MOST_KILOBYTES: u64 = 512 << 10;
/// The longest input that mutations grow to, in bytes.
const MOST_BYTES: usize = 64 << 10;
/// What readers look for, to be put anywhere.
const TOKENS: [&[u8]; 24] = [
    b"\n",
    b"\n\n",
    b"\n---\n",
    b"\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"#",
    b"/",
    b"../",
    b"-",
    b"~",
    b"(",
    b")",
    b"|",
    b"*",
    b"\\",
    b"\xff",
    b"`\n",
    b"99999999999999999999",
    b"-1",
    b"\n-----BEGIN PGP SIGNATURE-----\n",
    b"\x1b[2J",
];

fn corpus(entry: &str) -> TestResult<Vec<Vec<u8>>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/fuzz")
        .join(entry);
    let mut paths: Vec<_> = fs::read_dir(directory)?
        .map(|file| Ok(file?.path()))
        .collect::<TestResult<_>>()?;
    paths.sort();
    paths.iter().map(|path| Ok(fs::read(path)?)).collect()
}

fn mutated(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = dice.pick(corpus).clone();
    for _ in 0..=dice.roll(6) {
        let at = dice.roll(input.len() + 1);
        let end = (at + dice.roll(64)).min(input.len());
        match dice.roll(6) {
            0 => drop(input.drain(at..end)),
            1 => drop(input.splice(at..at, dice.pick(&TOKENS).iter().copied())),
            2 => drop(input.splice(at..at, input[at..end].to_vec().repeat(1 + dice.roll(30)))),
            3 if at < input.len() => input[at] ^= 1 << dice.roll(8),
            4 if at < input.len() => input[at] = u8::try_from(dice.roll(256)).unwrap_or_default(),
            _ => {
                let other = dice.pick(corpus);
                let from = dice.roll(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
    input.truncate(MOST_BYTES);
    input
}

/// Runs one entry on its corpus and on mutations of it; an error names the input that it failed on.
fn run(entry: Entry, corpus: &[Vec<u8>], input: &Mutex<Vec<u8>>) -> Result<(), String> {
    let mut dice = Dice::new(20);
    let until = Instant::now() + EACH;
    let mut given = corpus.iter().cloned();
    loop {
        let next = match given.next() {
            Some(next) => next,
            None if Instant::now() < until => mutated(corpus, &mut dice),
            None => return Ok(()),
        };
        input.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&next);
        catch_unwind(AssertUnwindSafe(|| entry(&next)))
            .map_err(|_| format!("fails on b\"{}\"", next.escape_ascii()))?;
    }
}

#[test]
fn no_input_brings_a_reader_down() -> TestResult {
    for (name, entry) in ENTRIES {
        let corpus = corpus(name)?;
        let input = Arc::new(Mutex::new(Vec::new()));
        let (done, result) = channel();
        let shared = Arc::clone(&input);
        std::thread::spawn(move || done.send(run(entry, &corpus, &shared)));
        let mut last = Vec::new();
        loop {
            match result.recv_timeout(MOST_TIME) {
                Ok(outcome) => break outcome.map_err(|failure| format!("{name} {failure}"))?,
                Err(RecvTimeoutError::Disconnected) => return Err(format!("{name} has died").into()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = input.lock().unwrap_or_else(PoisonError::into_inner).clone();
            assert!(
                now != last,
                "{name} does not come back from b\"{}\"",
                now.escape_ascii()
            );
            last = now;
        }
    }
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
    let peak: u64 = peak.ok_or("the kernel does not tell")?.trim().parse()?;
    assert!(peak < MOST_KILOBYTES, "{peak} kB were needed");
    Ok(())
}
