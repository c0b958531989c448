//! Conditional and range requests (RFC 9110 sections 8.8, 13 and 14): whether the client gets the file, a part of it,
//! or the word that it has it already. Pure; called by `respond`.

use hyper::header::{HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

/// What names one state of a file.
#[derive(Debug)]
pub(super) struct Validators {
    /// A strong entity tag, with its quotes.
    pub etag: String,
    /// `Last-Modified`.
    pub modified: Option<String>,
}

impl Validators {
    /// The validators of an open file: its inode, length, and time of last change (seconds and nanoseconds), at the
    /// time `now`.
    pub fn new(inode: u64, length: u64, (seconds, nanoseconds): (i64, i64), now: i64) -> Self {
        // apt knows dates only, and dates have whole seconds: a file that may yet be replaced by one of the same
        // second is given an older date, which makes the next request fetch it again instead of keeping, or
        // completing, an old file
        let shown = if now < seconds.saturating_add(2) {
            seconds.saturating_sub(1)
        } else {
            seconds
        };
        let modified = Timestamp::from_second(shown)
            .ok()
            .and_then(|time| DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok());
        Self {
            etag: format!("\"{inode:x}-{length:x}-{seconds:x}.{nanoseconds:x}\""),
            modified,
        }
    }

    /// Whether the date is the one that this file has. A later date is not enough: the file may be an older state that
    /// was brought back.
    fn is_date(&self, date: &str) -> bool {
        self.modified.as_deref() == Some(date)
    }
}

/// What the client is to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// 304.
    NotModified,
    /// 200.
    Whole,
    /// 206.
    Part {
        /// The first byte of the part.
        first: u64,
        /// Its length, not zero.
        length: u64,
    },
    /// 416.
    Unsatisfiable,
}

/// What a request with these headers gets of a file with these validators and this length. Ranges hold for GET alone.
pub(super) fn evaluate(headers: &HeaderMap, is_get: bool, validators: &Validators, length: u64) -> Outcome {
    if has_it_already(headers, validators) {
        return Outcome::NotModified;
    }
    let range = text(headers, RANGE).filter(|_| is_get && is_still_the_same(headers, validators));
    range.map_or(Outcome::Whole, |range| part(range, length))
}

fn text(headers: &HeaderMap, name: hyper::header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// If-None-Match, or else If-Modified-Since.
fn has_it_already(headers: &HeaderMap, validators: &Validators) -> bool {
    if headers.contains_key(IF_NONE_MATCH) {
        return headers
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim())
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == validators.etag);
    }
    text(headers, IF_MODIFIED_SINCE).is_some_and(|date| validators.is_date(date))
}

/// If-Range, which must name exactly this state, or a client joins the halves of two files.
fn is_still_the_same(headers: &HeaderMap, validators: &Validators) -> bool {
    match headers.get(IF_RANGE).map(|value| value.to_str().map(str::trim)) {
        None => true,
        Some(Ok(value)) => value == validators.etag || validators.is_date(value),
        Some(Err(_)) => false,
    }
}

/// One range of bytes; several ranges, or what is no range at all, stand for the whole file (RFC 9110 section 14.2).
fn part(range: &str, length: u64) -> Outcome {
    let Some((unit, set)) = range.split_once('=') else {
        return Outcome::Whole;
    };
    let Some((from, to)) = set.trim().split_once('-') else {
        return Outcome::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Outcome::Whole;
    }
    let (from, to) = (from.trim(), to.trim());
    let span = if from.is_empty() {
        number(to).map(|suffix| (length.saturating_sub(suffix), length))
    } else {
        let end = if to.is_empty() { Some(u64::MAX) } else { number(to) };
        number(from)
            .zip(end)
            .filter(|(first, last)| first <= last)
            .map(|(first, last)| (first, last.saturating_add(1).min(length)))
    };
    match span {
        None => Outcome::Whole,
        Some((first, end)) if first < end => Outcome::Part {
            first,
            length: end - first,
        },
        Some(_) => Outcome::Unsatisfiable,
    }
}

/// Digits alone: `parse` would take a sign.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // more digits than fit are simply past the end of every file
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const SECONDS: i64 = 784_111_777;

    fn outcome(headers: &[(&str, &str)]) -> Outcome {
        let validators = Validators::new(7, 100, (SECONDS, 5), SECONDS + 60);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: hyper::header::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        evaluate(&map, true, &validators, 100)
    }

    #[test]
    fn ranges() {
        let part = |first, length| Outcome::Part { first, length };
        for (range, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=10-19", part(10, 10)),
            ("bytes=90-", part(90, 10)),
            ("bytes=90-9999", part(90, 10)),
            ("bytes=-5", part(95, 5)),
            ("bytes=-500", part(0, 100)),
            ("bytes=0-99999999999999999999999999", part(0, 100)),
            ("bytes=100-", Outcome::Unsatisfiable),
            ("bytes=-0", Outcome::Unsatisfiable),
            ("bytes=9-3", Outcome::Whole),
            ("bytes=0-1,5-6", Outcome::Whole),
            ("bytes=+1-5", Outcome::Whole),
            ("bytes=-", Outcome::Whole),
            ("bytes", Outcome::Whole),
            ("lines=1-2", Outcome::Whole),
        ] {
            assert_eq!(outcome(&[("range", range)]), expected, "{range}");
        }
    }

    #[test]
    fn a_part_is_given_only_of_the_very_file_that_if_range_names() {
        let tag = Validators::new(7, 100, (SECONDS, 5), SECONDS + 60).etag;
        let weak = format!("W/{tag}");
        for (value, same) in [
            (tag.as_str(), true),
            (DATE, true),
            ("\"other\"", false),
            (weak.as_str(), false),
            ("Sun, 06 Nov 1994 08:49:36 GMT", false),
            ("Sun, 06 Nov 1994 08:49:38 GMT", false),
            ("tomorrow", false),
        ] {
            let part = matches!(
                outcome(&[("range", "bytes=50-"), ("if-range", value)]),
                Outcome::Part { .. }
            );
            assert_eq!(part, same, "{value}");
        }
    }

    #[test]
    fn a_client_that_has_the_file_is_told_so() {
        let tag = Validators::new(7, 100, (SECONDS, 5), SECONDS + 60).etag;
        let list = format!("\"a\", W/{tag}");
        for (headers, expected) in [
            (vec![("if-none-match", tag.as_str())], Outcome::NotModified),
            (vec![("if-none-match", list.as_str())], Outcome::NotModified),
            (vec![("if-none-match", "*")], Outcome::NotModified),
            (vec![("if-modified-since", DATE)], Outcome::NotModified),
            // the tag counts, not the date beside it
            (
                vec![("if-none-match", "\"a\""), ("if-modified-since", DATE)],
                Outcome::Whole,
            ),
            // an older state that was brought back must reach those who saw the newer one
            (
                vec![("if-modified-since", "Sun, 06 Nov 2039 08:49:37 GMT")],
                Outcome::Whole,
            ),
        ] {
            assert_eq!(outcome(&headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn two_states_of_one_second_never_share_a_date() {
        let early = Validators::new(1, 10, (SECONDS, 100), SECONDS);
        let late = Validators::new(2, 10, (SECONDS, 900), SECONDS + 2);
        assert_ne!(early.modified, late.modified);
        assert_ne!(early.etag, late.etag);
        assert_eq!(late.modified.as_deref(), Some(DATE));
    }
}
