//! The difference of two texts by lines, and its form as an ed script of the commands `a`, `c` and `d` alone, the last
//! line first: what apt's `rred` method and reprepro apply (DebianRepository/Format, "indices diffs").

use std::collections::HashMap;

use memchr::memchr;

/// A difference within a difference is looked for this many times; what is left is replaced as a whole.
const MAX_DEPTH: u32 = 8;

/// Lines of a text that go, and lines that come into their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hunk {
    /// How many lines of the old text stand before it.
    pub(super) at: u64,
    /// How many lines of the old text go.
    pub(super) removed: u64,
    /// The lines that come.
    pub(super) added: Vec<u8>,
}

impl Hunk {
    fn end(&self) -> u64 {
        self.at.saturating_add(self.removed)
    }
}

/// Adds a hunk to those that stand before it, of which the last may touch it.
pub(super) fn push(hunks: &mut Vec<Hunk>, hunk: Hunk) {
    match hunks.last_mut() {
        Some(last) if last.end() == hunk.at => {
            last.removed = last.removed.saturating_add(hunk.removed);
            last.added.extend_from_slice(&hunk.added);
        }
        _ => hunks.push(hunk),
    }
}

/// What turns the lines of `old` into `new`, `before` lines of the old text standing before them. None if either ends
/// within a line.
pub(super) fn difference(old: &[u8], new: &[u8], before: u64) -> Option<Vec<Hunk>> {
    let (old, new_lines) = (lines_of(old)?, lines_of(new)?);
    let mut hunks = Vec::new();
    compare(&mut hunks, before, (&old, &new_lines), MAX_DEPTH);
    // what is wrong here would be wrong at every client
    (apply(&hunks, before, &old)? == new).then_some(hunks)
}

/// How many lines a text has; None if it ends within one.
pub(super) fn count(text: &[u8]) -> Option<u32> {
    let is_whole = text.last().is_none_or(|last| *last == b'\n');
    let count = u32::try_from(memchr::memchr_iter(b'\n', text).count()).ok()?;
    is_whole.then_some(count)
}

fn lines_of(text: &[u8]) -> Option<Vec<&[u8]>> {
    let mut lines = Vec::with_capacity(text.len() / 32);
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(memchr(b'\n', rest)? + 1)?;
        lines.push(line);
        rest = after;
    }
    Some(lines)
}

fn compare(hunks: &mut Vec<Hunk>, at: u64, (old, new): (&[&[u8]], &[&[u8]]), depth: u32) {
    let same_start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old, new) = (part(old, same_start, old.len()), part(new, same_start, new.len()));
    let same_end = old.iter().rev().zip(new.iter().rev());
    let same_end = same_end.take_while(|(old, new)| old == new).count();
    let (old, new) = (part(old, 0, old.len() - same_end), part(new, 0, new.len() - same_end));
    let at = at.saturating_add(same_start as u64);
    if old.is_empty() && new.is_empty() {
        return;
    }
    let anchors = match depth {
        0 => Vec::new(),
        _ => longest_rising(&lines_of_both(old, new)),
    };
    if anchors.is_empty() {
        let (removed, added) = (old.len() as u64, new.concat());
        push(hunks, Hunk { at, removed, added });
        return;
    }
    let (mut old_done, mut new_done) = (0, 0);
    for (in_old, in_new) in anchors.into_iter().chain([(old.len(), new.len())]) {
        let between = (part(old, old_done, in_old), part(new, new_done, in_new));
        compare(
            hunks,
            at.saturating_add(old_done as u64),
            between,
            depth.saturating_sub(1),
        );
        (old_done, new_done) = (in_old + 1, in_new + 1);
    }
}

fn part<'a, 'b>(lines: &'a [&'b [u8]], from: usize, to: usize) -> &'a [&'b [u8]] {
    lines.get(from..to).unwrap_or_default()
}

/// The places of the lines that each side has just once, in the order of the old.
fn lines_of_both(old: &[&[u8]], new: &[&[u8]]) -> Vec<(usize, usize)> {
    let mut places: HashMap<&[u8], [Option<usize>; 2]> = HashMap::with_capacity(old.len() + new.len());
    let mut repeated = Vec::new();
    for (side, lines) in [old, new].into_iter().enumerate() {
        for (place, line) in lines.iter().enumerate() {
            let seen = places.entry(line).or_default().get_mut(side);
            if seen.and_then(|seen| seen.replace(place)).is_some() {
                repeated.push(*line);
            }
        }
    }
    for line in repeated {
        places.remove(line);
    }
    let mut both: Vec<(usize, usize)> = places.into_values().filter_map(|[old, new]| old.zip(new)).collect();
    both.sort_unstable();
    both
}

/// A longest part of the pairs, sorted by their first number, in which the second rises, too.
fn longest_rising(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // for each length, the pair that ends a rising part of that length with the lowest number
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (position, (_, number)) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| pairs.get(*end).is_some_and(|(_, other)| other < number));
        before.push(length.checked_sub(1).and_then(|shorter| ends.get(shorter).copied()));
        match ends.get_mut(length) {
            Some(end) => *end = position,
            None => ends.push(position),
        }
    }
    let mut rising = Vec::with_capacity(ends.len());
    let mut next = ends.last().copied();
    while let Some(position) = next {
        rising.extend(pairs.get(position));
        next = before.get(position).copied().flatten();
    }
    rising.reverse();
    rising
}

/// The text that the hunks make of these lines; None if they do not fit.
fn apply(hunks: &[Hunk], before: u64, old: &[&[u8]]) -> Option<Vec<u8>> {
    let place = |line: u64| usize::try_from(line.checked_sub(before)?).ok();
    let mut text = Vec::new();
    let mut done = 0;
    for hunk in hunks {
        let kept = old.get(done..place(hunk.at)?)?;
        kept.iter().for_each(|line| text.extend_from_slice(line));
        text.extend_from_slice(&hunk.added);
        done = place(hunk.end())?;
    }
    old.get(done..)?.iter().for_each(|line| text.extend_from_slice(line));
    Some(text)
}

/// The hunks as an ed script. None if a line comes that no such script can carry: the one that ends an addition, or one
/// with a NUL byte, at which readers stop.
pub(super) fn script_of(hunks: &[Hunk]) -> Option<Vec<u8>> {
    let mut script = Vec::new();
    for hunk in hunks.iter().rev() {
        let first = hunk.at.saturating_add(1);
        let last = hunk.end();
        let command = if hunk.added.is_empty() { 'd' } else { 'c' };
        let line = match hunk.removed {
            0 => format!("{}a\n", hunk.at),
            1 => format!("{first}{command}\n"),
            _ => format!("{first},{last}{command}\n"),
        };
        script.extend_from_slice(line.as_bytes());
        if !hunk.added.is_empty() {
            let is_carried = |line: &&[u8]| **line != b".\n"[..] && memchr(0, line).is_none();
            if !lines_of(&hunk.added)?.iter().all(is_carried) {
                return None;
            }
            script.extend_from_slice(&hunk.added);
            script.extend_from_slice(b".\n");
        }
    }
    Some(script)
}

/// Applies a script as its definition says, knowing nothing of hunks.
#[cfg(test)]
pub(in crate::publish) fn patched(old: &[u8], script: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = lines_of(old).unwrap().into_iter().map(<[u8]>::to_vec).collect();
    let mut script = lines_of(script).unwrap().into_iter();
    while let Some(command) = script.next() {
        let command = std::str::from_utf8(command).unwrap().trim_end();
        let (range, letter) = command.split_at(command.len() - 1);
        let (first, last) = range.split_once(',').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let added = script.by_ref().take_while(|line| *line != b".\n").map(<[u8]>::to_vec);
        match letter {
            "a" => drop(lines.splice(last..last, added)),
            "c" => drop(lines.splice(first - 1..last, added)),
            "d" => drop(lines.drain(first - 1..last)),
            _ => panic!("{command}"),
        }
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            Just("\n".to_owned()),
            Just(" .\n".to_owned()),
            (0..6_u8).prop_map(|number| format!("Field: {number}\n")),
            (0..300_u32).prop_map(|number| format!("Package: p{number}\n")),
        ];
        proptest::collection::vec(line, 0..60).prop_map(|lines| lines.concat().into_bytes())
    }

    /// A text and another that shares runs of lines with it, in their order or not.
    fn texts() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let parts = (text(), text(), text(), text(), text());
        (parts, any::<bool>()).prop_map(|((a, b, c, d, e), is_moved)| {
            let old = [&a[..], &b, &c].concat();
            let new = if is_moved { [&c[..], &d, &a] } else { [&a[..], &e, &c] };
            (old, new.concat())
        })
    }

    proptest! {
        #[test]
        fn the_script_makes_the_new_text_of_the_old((old, new) in texts()) {
            let hunks = difference(&old, &new, 0).unwrap();
            prop_assert_eq!(patched(&old, &script_of(&hunks).unwrap()), new);
            prop_assert!(hunks.windows(2).all(|pair| pair[0].end() < pair[1].at), "{:?}", hunks);
        }
    }

    #[test]
    fn a_changed_line_of_many_is_the_only_one_in_the_script() {
        let stanza = |name: u32, version: u32| format!("Package: p{name}\nVersion: {version}\nSection: x\n\n");
        let old: String = (0..64).map(|name| stanza(name, 1)).collect();
        let new: String = (0..64)
            .map(|name| stanza(name, if name % 20 == 3 { 2 } else { 1 }))
            .collect();
        let hunks = difference(old.as_bytes(), new.as_bytes(), 1000).unwrap();
        let script = script_of(&hunks).unwrap();
        let change = |name: u64| format!("{}c\nVersion: 2\n.\n", 1000 + 4 * name + 2);
        let wanted: String = [63, 43, 23, 3].into_iter().map(change).collect();
        assert_eq!(String::from_utf8(script).unwrap(), wanted);
    }

    #[test]
    fn all_commands_are_those_of_ed() {
        let script = |old: &str, new: &str| {
            let hunks = difference(old.as_bytes(), new.as_bytes(), 0).unwrap();
            String::from_utf8(script_of(&hunks).unwrap()).unwrap()
        };
        assert_eq!(script("", "a\nb\n"), "0a\na\nb\n.\n");
        assert_eq!(script("a\nb\n", ""), "1,2d\n");
        assert_eq!(script("a\nb\nc\n", "a\nc\n"), "2d\n");
        assert_eq!(script("a\nb\nc\n", "a\nx\ny\nc\n"), "2c\nx\ny\n.\n");
        assert_eq!(script("a\nb\nc\nd\n", "a\nx\nd\n"), "2,3c\nx\n.\n");
        assert_eq!(script("a\n", "a\n"), "");
    }

    #[test]
    fn what_a_script_cannot_carry_makes_none() {
        assert_eq!(difference(b"a", b"a\n", 0), None);
        for line in [&b".\n"[..], b"nul\0\n"] {
            assert_eq!(script_of(&difference(b"", line, 0).unwrap()), None);
        }
    }

    #[test]
    fn the_programs_that_patch_agree() {
        let old: String = (0..200).map(|number| format!("Package: p{number}\n\n")).collect();
        let new = old.replace("p7\n", "p7\nVersion: 1\n").replace("Package: p90\n\n", "");
        let hunks = difference(old.as_bytes(), new.as_bytes(), 0).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        crate::fsio::write_new(&place("old"), old.as_bytes()).unwrap();
        crate::fsio::write_new(&place("script"), &script_of(&hunks).unwrap()).unwrap();
        let mut rredtool = Command::new("rredtool");
        let program = rredtool.arg("--patch").arg(place("old")).arg(place("script"));
        match program.stdin(Stdio::null()).output() {
            Ok(output) => assert!(output.stdout == new.as_bytes(), "{output:?}"),
            Err(error) if std::env::var_os("CI").is_none() => {
                let _ = writeln!(std::io::stderr(), "skipped: rredtool: {error}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}
