//! One file out of those of several upstreams. What an earlier one has wins: a description by package and digest of the
//! English text, the commands of a package by its name, an application by its ID. Nothing holds a whole file.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read, Write};

use crate::mirror::ExtraKind;
use crate::model::Sha256;

/// The longest stanza or document.
const MAX_UNIT_BYTES: u64 = 8 << 20;

/// What a file is a sequence of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Stanzas with blank lines between, each known by these fields.
    Stanzas(&'static [&'static str]),
    /// YAML documents, each known by its `ID` and begun by `---`.
    Documents,
}

impl Shape {
    /// That of such a file; none for those that cannot be merged.
    pub(super) fn of(kind: &ExtraKind) -> Option<Self> {
        match kind {
            ExtraKind::Translation(_) => Some(Self::Stanzas(&["Package", "Description-md5"])),
            ExtraKind::Commands(_) => Some(Self::Stanzas(&["name"])),
            ExtraKind::AppStream(_) => Some(Self::Documents),
            ExtraKind::Icons(_) | ExtraKind::Installer(..) => None,
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Stanzas(fields) => fields,
            Self::Documents => &["ID"],
        }
    }

    /// Whether a line ends a unit; and whether it begins the next one.
    fn cuts(self, line: &[u8]) -> (bool, bool) {
        match self {
            Self::Stanzas(_) => (line.trim_ascii().is_empty(), false),
            Self::Documents => (line.starts_with(b"---"), true),
        }
    }

    /// What a unit is known by; none for a header.
    fn key(self, unit: &[u8]) -> Option<Sha256> {
        let mut found = Vec::new();
        for key in self.keys() {
            let value = unit.split(|byte| *byte == b'\n').find_map(|line| {
                let (name, value) = line.split_at_checked(key.len())?;
                let value = value.strip_prefix(b":")?;
                name.eq_ignore_ascii_case(key.as_bytes()).then(|| value.trim_ascii())
            })?;
            found.extend_from_slice(value);
            found.push(b'\n');
        }
        Some(Sha256::of(&found))
    }
}

/// Writes what the sources have together. Headers are those of the first.
///
/// # Errors
/// A source cannot be read or has a longer unit than any real one, or `out` cannot be written.
pub(super) fn merge(shape: Shape, sources: Vec<impl BufRead>, out: &mut impl Write) -> io::Result<()> {
    let mut seen: BTreeSet<Sha256> = BTreeSet::new();
    for (number, source) in sources.into_iter().enumerate() {
        let mut units = Units {
            shape,
            source,
            next: Vec::new(),
        };
        // what one source has twice is not for us to judge
        let mut new = BTreeSet::new();
        while let Some(unit) = units.next()? {
            let key = shape.key(&unit);
            let is_wanted = match key {
                Some(key) => !seen.contains(&key),
                None => number == 0,
            };
            if !is_wanted {
                continue;
            }
            new.extend(key);
            out.write_all(&unit)?;
            if matches!(shape, Shape::Stanzas(_)) {
                out.write_all(b"\n")?;
            }
        }
        seen.append(&mut new);
    }
    Ok(())
}

/// The units of one source.
struct Units<R> {
    shape: Shape,
    source: R,
    /// A line that was read and begins the next unit.
    next: Vec<u8>,
}

impl<R: BufRead> Units<R> {
    /// The next one, each line with its end.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut unit = std::mem::take(&mut self.next);
        loop {
            let start = unit.len();
            let left = MAX_UNIT_BYTES.saturating_sub(start as u64);
            let count = (&mut self.source).take(left).read_until(b'\n', &mut unit)?;
            let line = unit.get(start..).unwrap_or_default();
            if count == 0 && left == 0 {
                let problem = format!("a part of it is longer than {MAX_UNIT_BYTES} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            if count == 0 {
                return Ok((!unit.is_empty()).then_some(unit));
            }
            let (ends, begins) = self.shape.cuts(line);
            if ends && start > 0 {
                let line = unit.split_off(start);
                if begins {
                    self.next = line;
                }
                return Ok(Some(unit));
            }
            if ends && !begins {
                unit.clear();
            } else if unit.last() != Some(&b'\n') && (unit.len() as u64) < MAX_UNIT_BYTES {
                unit.push(b'\n');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Architecture;

    fn merged(kind: &ExtraKind, sources: &[&str]) -> String {
        let mut out = Vec::new();
        let sources = sources.iter().map(|text| text.as_bytes()).collect();
        merge(Shape::of(kind).unwrap(), sources, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_translation_is_known_by_package_and_digest() {
        let first = "Package: a\nDescription-md5: 1\nDescription-de: alt\n eins\n\n\nPackage: b\nDescription-md5: 2\nDescription-de: b";
        let second = "Package: a\nDescription-md5: 1\nDescription-de: neu\n\nPackage: a\nDescription-md5: 3\nDescription-de: c\n";
        assert_eq!(
            merged(&ExtraKind::Translation("de".into()), &[first, second]),
            "Package: a\nDescription-md5: 1\nDescription-de: alt\n eins\n\nPackage: b\nDescription-md5: 2\n\
             Description-de: b\n\nPackage: a\nDescription-md5: 3\nDescription-de: c\n\n"
        );
    }

    #[test]
    fn commands_and_applications_keep_the_header_of_the_first() {
        let amd64 = || Architecture::new("amd64").unwrap();
        assert_eq!(
            merged(
                &ExtraKind::Commands(amd64()),
                &[
                    "suite: s\ncomponent: main\n\nname: a\ncommands: x\n",
                    "suite: t\n\nname: a\ncommands: y\n\nname: b\ncommands: z\n"
                ]
            ),
            "suite: s\ncomponent: main\n\nname: a\ncommands: x\n\nname: b\ncommands: z\n\n"
        );
        assert_eq!(
            merged(
                &ExtraKind::AppStream(amd64()),
                &[
                    "---\nFile: DEP-11\nOrigin: one\n---\nType: font\nID: a\n---\nID: b",
                    "---\nFile: DEP-11\nOrigin: two\n---\nID: b\nName: x\n---\nID: c\nPackage: c\n"
                ]
            ),
            "---\nFile: DEP-11\nOrigin: one\n---\nType: font\nID: a\n---\nID: b\n---\nID: c\nPackage: c\n"
        );
    }

    #[test]
    fn a_part_without_end_is_refused() {
        let long = vec![b'x'; usize::try_from(MAX_UNIT_BYTES).unwrap() + 1];
        let kind = ExtraKind::Translation("de".into());
        let mut out = Vec::new();
        assert!(merge(Shape::of(&kind).unwrap(), vec![&long[..]], &mut out).is_err());
    }
}
