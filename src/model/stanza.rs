//! deb822 stanzas (Debian Policy 5.1, deb822(5)): a zero-copy reader for whole indexes, and [`Stanza`], an owned
//! stanza whose field order and spelling are kept.
//!
//! Values are bytes: old packages carry Latin-1, and an index must come out as it went in.

use std::borrow::Cow;
use std::fmt;

/// Text that is no stanza.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct StanzaError {
    /// The line, counted from 1 in the text that was given.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

/// Most fields that one stanza may have.
const MAX_FIELDS: usize = 2000;
/// Longest stanza, in bytes. The longest of Debian has 76 kB, of a source with thousands of binaries 600 kB.
pub const MAX_STANZA_BYTES: usize = 8 << 20;

/// One field of a stanza, borrowed from its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as it is spelt there.
    pub name: &'a str,
    /// The value: blanks around it are cut, line ends and blanks inside are as they were.
    pub value: &'a [u8],
    /// The line of the name, counted from 1 in the text that was given.
    pub line: usize,
}

/// Cuts a text into its stanzas: runs of lines without an empty line. Carriage returns before line ends belong to them.
pub fn split_stanzas(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| !matches!(byte, b'\n' | b'\r'))?;
        let body = rest.split_at(start).1;
        let end = stanza_end(body);
        let (stanza, after) = body.split_at(end);
        rest = after;
        Some(stanza)
    })
}

/// The length of the stanza at the start of `body`, its last line end included.
fn stanza_end(body: &[u8]) -> usize {
    let mut from = 0;
    while let Some(at) = body.get(from..).and_then(|tail| memchr::memchr(b'\n', tail)) {
        let line_end = from + at + 1;
        match body.get(line_end..) {
            Some([b'\n', ..] | [b'\r', b'\n', ..]) => return line_end,
            _ => from = line_end,
        }
    }
    body.len()
}

/// The fields of one stanza, in order. Comment lines (`#` first) are passed over.
///
/// # Errors
/// [`StanzaError`] for a line that is neither a field nor its continuation, a field name with odd characters, or too
/// many fields. Fields before the error are still given.
pub fn fields(stanza: &[u8]) -> impl Iterator<Item = Result<Field<'_>, StanzaError>> {
    let mut reader = FieldReader {
        rest: stanza,
        line: 1,
        count: 0,
        failed: false,
    };
    std::iter::from_fn(move || reader.next_field())
}

struct FieldReader<'a> {
    rest: &'a [u8],
    line: usize,
    count: usize,
    failed: bool,
}

impl<'a> FieldReader<'a> {
    fn next_field(&mut self) -> Option<Result<Field<'a>, StanzaError>> {
        if self.failed {
            return None;
        }
        while matches!(self.rest, [b'#' | b'\n', ..] | [b'\r'] | [b'\r', b'\n', ..]) {
            self.take_line();
        }
        if self.rest.is_empty() {
            return None;
        }
        let found = self.read_field();
        self.failed = found.is_err();
        Some(found)
    }

    fn take_line(&mut self) -> &'a [u8] {
        let end = memchr::memchr(b'\n', self.rest).map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.line += 1;
        line
    }

    fn read_field(&mut self) -> Result<Field<'a>, StanzaError> {
        let (start, line) = (self.rest, self.line);
        let error = |problem: String| StanzaError { line, problem };
        self.count += 1;
        if self.count > MAX_FIELDS {
            return Err(error(format!("more than {MAX_FIELDS} fields in one stanza")));
        }
        let first = self.take_line();
        let shown = || {
            String::from_utf8_lossy(first)
                .trim_end()
                .chars()
                .take(60)
                .collect::<String>()
        };
        if matches!(first.first(), Some(b' ' | b'\t')) {
            return Err(error(format!("`{}` continues no field", shown().trim_start())));
        }
        let Some(colon) = memchr::memchr(b':', first) else {
            return Err(error(format!("`{}` is no field: no colon", shown())));
        };
        let (name, _) = first.split_at(colon);
        let name = std::str::from_utf8(name).ok().filter(|name| is_field_name(name));
        let name = name.ok_or_else(|| error(format!("`{}` does not start with a field name", shown())))?;
        while matches!(self.rest.first(), Some(b' ' | b'\t' | b'#')) {
            self.take_line();
        }
        let length = start.len() - self.rest.len();
        let value = start.get(colon + 1..length).unwrap_or_default();
        Ok(Field {
            name,
            value: trim_value(value),
            line,
        })
    }
}

fn is_field_name(name: &str) -> bool {
    // Policy 5.1: US-ASCII without control characters, blanks and colons, not starting with `#` or `-`
    !name.is_empty()
        && name.len() <= 100
        && !name.starts_with(['#', '-'])
        && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Cuts blanks before the value on its first line, and blanks and line ends after it.
fn trim_value(value: &[u8]) -> &[u8] {
    let start = value
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
        .count();
    let value = value.split_at(start).1;
    let end = value
        .iter()
        .rposition(|byte| !byte.is_ascii_whitespace())
        .map_or(0, |at| at + 1);
    value.split_at(end).0
}

/// An owned stanza. Field names are compared without regard to case, and kept as they were spelt.
///
/// There can be hundreds of thousands of them at once, so all names and values share one allocation.
#[derive(Clone, Default)]
pub struct Stanza {
    text: Vec<u8>,
    fields: Vec<Span>,
}

/// Where a field's name and value are in the text of its stanza.
#[derive(Debug, Clone, Copy)]
struct Span {
    name: (u32, u32),
    value: (u32, u32),
}

impl fmt::Debug for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .iter()
            .map(|(name, value)| (name, value.escape_ascii().to_string()));
        f.debug_map().entries(shown).finish()
    }
}

impl PartialEq for Stanza {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Stanza {}

impl Stanza {
    /// Reads one stanza.
    ///
    /// # Errors
    /// [`StanzaError`] for what [`fields`] refuses, a field that stands twice, a control character other than tab and
    /// line end in a value, a second stanza, or no field at all.
    pub fn parse(text: &[u8]) -> Result<Self, StanzaError> {
        let mut stanzas = split_stanzas(text);
        let first = stanzas.next().unwrap_or_default();
        let lines_before = text
            .iter()
            .take_while(|byte| matches!(byte, b'\n' | b'\r'))
            .filter(|b| **b == b'\n')
            .count();
        let at = |line: usize, problem: String| StanzaError {
            line: line + lines_before,
            problem,
        };
        if stanzas.next().is_some() {
            let lines = first.iter().filter(|byte| **byte == b'\n').count();
            return Err(at(lines + 2, "a second stanza where only one may be".into()));
        }
        if first.len() > MAX_STANZA_BYTES {
            return Err(at(
                1,
                format!("a stanza of {} bytes; the limit is {MAX_STANZA_BYTES}", first.len()),
            ));
        }
        let mut stanza = Self {
            text: Vec::with_capacity(first.len()),
            fields: Vec::new(),
        };
        for field in fields(first) {
            let field = field.map_err(|error| at(error.line, error.problem))?;
            if stanza.get_bytes(field.name).is_some() {
                return Err(at(field.line, format!("field `{}` stands twice", field.name)));
            }
            if let Some(byte) = control_character(field.value) {
                let problem = format!("field `{}` has the control character 0x{byte:02x}", field.name);
                return Err(at(field.line, problem));
            }
            stanza.push(field.name, &without_comments(field.value));
        }
        if stanza.fields.is_empty() {
            return Err(at(1, "no field where a stanza is expected".into()));
        }
        stanza.text.shrink_to_fit();
        stanza.fields.shrink_to_fit();
        Ok(stanza)
    }

    /// The value of a field, if it is there and is UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_bytes(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The value of a field as bytes.
    #[must_use]
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        let field = self.fields.get(self.position(name)?)?;
        Some(self.part(field.value))
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| {
            // a name is ASCII
            let name = std::str::from_utf8(self.part(field.name)).unwrap_or_default();
            (name, self.part(field.value))
        })
    }

    /// Adds a field at the end, or gives the field that is there already this value, in its place.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        match self.position(name) {
            Some(at) => {
                let value = self.append(value.as_ref());
                if let Some(field) = self.fields.get_mut(at) {
                    field.value = value;
                }
            }
            None => self.push(name, value.as_ref()),
        }
    }

    /// Takes a field out and gives its value back.
    pub fn remove(&mut self, name: &str) -> Option<Vec<u8>> {
        let field = self.fields.remove(self.position(name)?);
        Some(self.part(field.value).to_vec())
    }

    fn position(&self, name: &str) -> Option<usize> {
        let name = name.as_bytes();
        self.fields
            .iter()
            .position(|field| self.part(field.name).eq_ignore_ascii_case(name))
    }

    fn part(&self, (start, length): (u32, u32)) -> &[u8] {
        let start = start as usize;
        self.text.get(start..start + length as usize).unwrap_or_default()
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        let (name, value) = (self.append(name.as_bytes()), self.append(value));
        self.fields.push(Span { name, value });
    }

    /// What is read has at most [`MAX_STANZA_BYTES`], and what is set is of our own making: 32 bits are enough by far.
    fn append(&mut self, bytes: &[u8]) -> (u32, u32) {
        let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(u32::MAX - start);
        self.text
            .extend_from_slice(bytes.get(..length as usize).unwrap_or_default());
        (start, length)
    }

    /// The stanza as index text: a line per field, an empty line at the end.
    #[must_use]
    pub fn to_index_text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.text.len() + 3 * self.fields.len() + 1);
        for (name, value) in self.iter() {
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        text.push(b'\n');
        text
    }
}

/// A character that no value may have: in an index it would reach the terminals and parsers of others.
fn control_character(value: &[u8]) -> Option<u8> {
    let after = value.iter().skip(1).map(Some).chain([None]);
    let is_bad = |(byte, next): &(&u8, Option<&u8>)| match byte {
        b'\t' | b'\n' => false,
        b'\r' => *next != Some(&b'\n'),
        byte => byte.is_ascii_control(),
    };
    value.iter().zip(after).find(is_bad).map(|(byte, _)| *byte)
}

fn without_comments(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memmem::find(value, b"\n#").is_none() {
        return Cow::Borrowed(value);
    }
    let lines: Vec<&[u8]> = value
        .split(|byte| *byte == b'\n')
        .filter(|line| line.first() != Some(&b'#'))
        .collect();
    Cow::Owned(lines.join(&b'\n'))
}

impl fmt::Display for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_index_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_spelling_and_indentation_are_kept() {
        let text = b"Package: a\nX-Odd:   v  \nDescription: short\n   code\n .\n\tmore\n";
        let stanza = Stanza::parse(text).unwrap();
        assert_eq!(stanza.get("x-odd"), Some("v"));
        assert_eq!(stanza.get("description"), Some("short\n   code\n .\n\tmore"));
        assert_eq!(
            String::from_utf8(stanza.to_index_text()).unwrap(),
            "Package: a\nX-Odd: v\nDescription: short\n   code\n .\n\tmore\n\n"
        );
    }

    #[test]
    fn a_list_that_starts_on_the_next_line_keeps_its_form() {
        let stanza = Stanza::parse(b"Files:\n abc 1 x\n def 2 y\n").unwrap();
        assert_eq!(stanza.to_index_text(), b"Files: \n abc 1 x\n def 2 y\n\n");
    }

    #[test]
    fn a_text_is_cut_at_empty_lines_alone() {
        let text = b"\n\nA: 1\n \nB: 2\n\n\nC: 3\r\n\r\nD: 4";
        let stanzas: Vec<&[u8]> = split_stanzas(text).collect();
        assert_eq!(stanzas, [&b"A: 1\n \nB: 2\n"[..], b"C: 3\r\n", b"D: 4"]);
    }

    #[test]
    fn faults_name_their_line() {
        let problem = |text: &[u8]| Stanza::parse(text).unwrap_err().to_string();
        assert_eq!(problem(b"A: 1\nbroken\n"), "line 2: `broken` is no field: no colon");
        assert_eq!(problem(b" x\nA: 1\n"), "line 1: `x` continues no field");
        assert_eq!(problem(b"A: 1\nb: 2\na: 3\n"), "line 3: field `a` stands twice");
        assert_eq!(
            problem(b"A: 1\n\nB: 2\n"),
            "line 3: a second stanza where only one may be"
        );
        assert_eq!(problem(b"\n"), "line 2: no field where a stanza is expected");
        assert_eq!(
            problem(b"A B: 1\n"),
            "line 1: `A B: 1` does not start with a field name"
        );
    }

    #[test]
    fn control_characters_are_refused_and_no_line_is_dropped_in_silence() {
        let problem = |text: &[u8]| Stanza::parse(text).unwrap_err().to_string();
        for (value, code) in [
            ("a\0b", "00"),
            ("a\x1b[2J", "1b"),
            ("a\rPackage: x", "0d"),
            ("a\x7f", "7f"),
        ] {
            assert_eq!(
                problem(format!("A: 1\nB: {value}\n").as_bytes()),
                format!("line 2: field `B` has the control character 0x{code}")
            );
        }
        assert!(problem(b"A: 1\n\rB: 2\nC: 3\n").starts_with("line 2: "));
        let stanza = Stanza::parse(b"A: 1\r\nB: x\r\n\ty\r\n\r\n").unwrap();
        assert_eq!(stanza.get("B"), Some("x\r\n\ty"));
    }

    #[test]
    fn latin_1_and_comments_pass() {
        let stanza = Stanza::parse(b"# head\nMaintainer: J\xf6rg\n# between\nFiles:\n a\n# inside\n b\n").unwrap();
        assert_eq!(stanza.get("Maintainer"), None);
        assert_eq!(stanza.get_bytes("maintainer"), Some(&b"J\xf6rg"[..]));
        assert_eq!(stanza.get("Files"), Some("\n a\n b"));
    }
}
