//! An upstream's Release (DebianRepository/Format, "Release files"): its dates, and what it promises of its indexes.

use std::collections::HashMap;

use jiff::fmt::rfc2822;

use crate::model::digest::ParseDigestError;
use crate::model::{DigestKind, Promise, Stanza};

/// What a Release says, as far as a mirror needs it.
#[derive(Debug, Clone, Default)]
pub struct UpstreamRelease {
    /// `Codename`.
    pub codename: Option<String>,
    /// `Suite`.
    pub suite: Option<String>,
    /// `Date`, in Unix seconds.
    pub date: Option<i64>,
    /// `Valid-Until`, in Unix seconds.
    pub valid_until: Option<i64>,
    /// `Acquire-By-Hash: yes`.
    pub by_hash: bool,
    files: HashMap<String, Promise>,
}

impl UpstreamRelease {
    /// Reads the text of a Release without its signature, and leaves out the digests of the kinds in `ignored`.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(text: &[u8], ignored: &[DigestKind]) -> Result<Self, String> {
        let stanza = Stanza::parse(text).map_err(|error| error.to_string())?;
        let word = |field: &str| stanza.get(field).map(str::to_owned);
        let mut release = Self {
            codename: word("Codename"),
            suite: word("Suite"),
            date: date(&stanza, "Date")?,
            valid_until: date(&stanza, "Valid-Until")?,
            by_hash: stanza
                .get("Acquire-By-Hash")
                .is_some_and(|value| value.eq_ignore_ascii_case("yes")),
            files: HashMap::new(),
        };
        for kind in DigestKind::ALL.into_iter().filter(|kind| !ignored.contains(kind)) {
            let lines = stanza.get(kind.release_field()).unwrap_or_default().lines();
            for line in lines.filter(|line| !line.trim().is_empty()) {
                release.read_line(kind, line)?;
            }
        }
        Ok(release)
    }

    fn read_line(&mut self, kind: DigestKind, line: &str) -> Result<(), String> {
        let field = kind.release_field();
        let mut words = line.split_ascii_whitespace();
        let (Some(digest), Some(size), Some(path), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(format!("`{}` in `{field}` is not digest, size and path", shown(line)));
        };
        let size_bytes: u64 = size
            .parse()
            .map_err(|_| format!("the size `{}` in `{field}` is no number", shown(size)))?;
        let mut line_promise = Promise {
            size_bytes: Some(size_bytes),
            ..Promise::default()
        };
        line_promise
            .set(kind, digest)
            .map_err(|error: ParseDigestError| error.to_string())?;
        match self.files.get_mut(path) {
            None => {
                self.files.insert(path.to_owned(), line_promise);
            }
            Some(known) if known.contradicts(&line_promise) => {
                return Err(format!("it lists `{}` twice and differently", shown(path)));
            }
            Some(known) => known.set(kind, digest).map_err(|error| error.to_string())?,
        }
        Ok(())
    }

    /// What is promised of a file, its path below the directory of the distribution.
    #[must_use]
    pub fn promise(&self, path: &str) -> Option<&Promise> {
        self.files.get(path)
    }

    /// The paths of all files that it promises, in no order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }
}

fn shown(text: &str) -> String {
    text.trim().chars().take(100).flat_map(char::escape_default).collect()
}

/// A date as Release files have it, RFC 2822 with `UTC` for the zone.
fn date(stanza: &Stanza, field: &str) -> Result<Option<i64>, String> {
    let Some(text) = stanza.get(field) else {
        return Ok(None);
    };
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let normal = words.join(" ");
    let normal = match normal.strip_suffix(" UTC").or_else(|| normal.strip_suffix(" Z")) {
        Some(rest) => format!("{rest} +0000"),
        None => normal,
    };
    rfc2822::parse(&normal)
        .map(|time| Some(time.timestamp().as_second()))
        .map_err(|_| format!("`{}` in `{field}` is no date", shown(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn promises_of_several_kinds_are_one() {
        let text = format!(
            "Suite: s\nDate: Mon, 23 Nov 2026 13:58:39 UTC\nMD5Sum:\n d41d8cd98f00b204e9800998ecf8427e    0 main/a\n\
             SHA256:\n {EMPTY} 0 main/a\n"
        );
        let release = UpstreamRelease::parse(text.as_bytes(), &[]).unwrap();
        let promise = release.promise("main/a").unwrap();
        assert!(promise.md5.is_some() && promise.sha256.is_some());
        assert_eq!(release.date, Some(1_795_442_319));
        let release = UpstreamRelease::parse(text.as_bytes(), &[DigestKind::Md5]).unwrap();
        assert!(release.promise("main/a").unwrap().md5.is_none());
    }

    #[test]
    fn a_release_that_contradicts_itself_is_refused() {
        for text in [
            format!("MD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 1 a\nSHA256:\n {EMPTY} 0 a\n"),
            format!("SHA256:\n {EMPTY} x a\n"),
            "SHA256:\n abc 0 a\n".to_owned(),
            format!("SHA256:\n {EMPTY} 0\n"),
            "Date: yesterday\n".to_owned(),
        ] {
            assert!(UpstreamRelease::parse(text.as_bytes(), &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn dates_of_old_tools_are_read() {
        for text in [
            "Thu, 01 Jan 1970 00:00:10 UTC",
            "Thu,  1 Jan 1970 00:00:10 GMT",
            "Thu, 1 Jan 1970 01:00:10 +0100",
        ] {
            let release = UpstreamRelease::parse(format!("Date: {text}\n").as_bytes(), &[]).unwrap();
            assert_eq!(release.date, Some(10), "{text}");
        }
    }
}
