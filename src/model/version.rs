//! Package versions: syntax of deb-version(7) and the order that dpkg gives them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A version that dpkg would not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid version `{text}`: {rule}")]
pub struct VersionError {
    /// What was given, control characters escaped and cut to a printable length.
    pub text: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

/// A package version, `[epoch:]upstream[-revision]`.
///
/// Equality is equality of the text: `1.0` and `1.0-0` are two texts of one place in the order. Ask
/// [`Version::compare`] for dpkg's order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(Arc<str>);

impl Version {
    /// The checked version.
    ///
    /// # Errors
    /// [`VersionError`] with the rule of deb-version(7) that the text breaks.
    pub fn new(text: &str) -> Result<Self, VersionError> {
        match broken_rule(text) {
            None => Ok(Self(text.into())),
            Some(rule) => {
                let text = text.chars().take(80).flat_map(char::escape_default).collect();
                Err(VersionError { text, rule })
            }
        }
    }

    /// The version as text, with its epoch.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The version as file names have it: without its epoch.
    #[must_use]
    pub fn without_epoch(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(_, rest)| rest)
    }

    /// dpkg's order of versions.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (parts(&self.0), parts(&other.0));
        compare_numbers(ours.epoch.as_bytes(), theirs.epoch.as_bytes())
            .then_with(|| compare_parts(ours.upstream.as_bytes(), theirs.upstream.as_bytes()))
            .then_with(|| compare_parts(ours.revision.as_bytes(), theirs.revision.as_bytes()))
    }

    /// Whether a binary package of this version can come from a source of `source`: equal, or a binNMU of it.
    #[must_use]
    pub fn is_binary_rebuild_of(&self, source: &Self) -> bool {
        self.0
            .strip_prefix(&*source.0)
            .and_then(|rest| rest.strip_prefix("+b"))
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

struct Parts<'a> {
    epoch: &'a str,
    upstream: &'a str,
    revision: &'a str,
}

fn parts(text: &str) -> Parts<'_> {
    let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    Parts {
        epoch,
        upstream,
        revision,
    }
}

fn broken_rule(text: &str) -> Option<&'static str> {
    if text.len() > 200 {
        return Some("must be at most 200 characters long");
    }
    let has_epoch = text.contains(':');
    let Parts {
        epoch,
        upstream,
        revision,
    } = parts(text);
    // dpkg reads the epoch into an int
    if has_epoch && !(epoch.bytes().all(|byte| byte.is_ascii_digit()) && epoch.parse::<i32>().is_ok()) {
        return Some("the epoch before `:` must be a number up to 2147483647");
    }
    if !upstream.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()) {
        return Some("the upstream version must start with a letter or digit");
    }
    if !upstream
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-+~:".contains(&byte))
    {
        return Some("the upstream version may contain only letters, digits and `.-+~:`");
    }
    if text.ends_with('-') {
        return Some("the revision after the last `-` must not be empty");
    }
    if !has_only_revision_characters(revision) {
        return Some("the revision may contain only letters, digits and `.+~`");
    }
    None
}

fn has_only_revision_characters(revision: &str) -> bool {
    revision
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".+~".contains(&byte))
}

/// The weight of a character: `~` before the end, the end before letters, letters before the rest.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        None => 0,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(b'~') => -1,
        Some(byte) => i32::from(*byte) + 256,
    }
}

fn compare_numbers(ours: &[u8], theirs: &[u8]) -> Ordering {
    let (ours, theirs) = (trim_zeros(ours), trim_zeros(theirs));
    ours.len().cmp(&theirs.len()).then_with(|| ours.cmp(theirs))
}

fn trim_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    digits.split_at(zeros).1
}

/// Compares by turns a run of other characters and a run of digits, as dpkg does.
fn compare_parts(mut ours: &[u8], mut theirs: &[u8]) -> Ordering {
    while !(ours.is_empty() && theirs.is_empty()) {
        loop {
            let (first, second) = (ours.first(), theirs.first());
            let is_text = |byte: Option<&u8>| byte.is_some_and(|byte| !byte.is_ascii_digit());
            if !is_text(first) && !is_text(second) {
                break;
            }
            let order = weight(first).cmp(&weight(second));
            if order != Ordering::Equal {
                return order;
            }
            ours = ours.split_first().map_or(ours, |(_, rest)| rest);
            theirs = theirs.split_first().map_or(theirs, |(_, rest)| rest);
        }
        let (our_number, our_rest) = split_digits(ours);
        let (their_number, their_rest) = split_digits(theirs);
        let order = compare_numbers(our_number, their_number);
        if order != Ordering::Equal {
            return order;
        }
        (ours, theirs) = (our_rest, their_rest);
    }
    Ordering::Equal
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn version(text: &str) -> Version {
        Version::new(text).unwrap()
    }

    #[test]
    fn the_order_of_a_version_scheme_for_two_stages_holds() {
        let ascending = [
            "1.3~rc1-0~precise0+dm1",
            "1.4-3~precise0+dm1",
            "1.4-3~precise0+dm2",
            "1.4-3~precise0+dm10",
            "1.4-3",
            "1.4-git20130905+1-ae42dc1",
            "1.5-0~precise0+dm1",
            "1.5-3ubuntu1~precise1+dm1",
            "1:0.9-0~precise0+dm1",
        ];
        for pair in ascending.windows(2) {
            let [lower, higher] = pair else { unreachable!() };
            assert_eq!(
                version(lower).compare(&version(higher)),
                Ordering::Less,
                "{lower} {higher}"
            );
            assert_eq!(
                version(higher).compare(&version(lower)),
                Ordering::Greater,
                "{lower} {higher}"
            );
        }
    }

    /// Versions made of the characters that matter, so that many land on the odd corners.
    fn nasty_versions() -> Vec<String> {
        let mut state = 20_261_123_u64;
        let mut next = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let alphabet = b"0019aZ.+~-:";
        let mut versions: Vec<String> = ["1.0", "1.0-0", "0:1.0", "1.", "1~", "1~0", "00000000000000000000000001"]
            .map(String::from)
            .to_vec();
        while versions.len() < 90 {
            let length = 1 + next(8);
            let text: String = (0..length)
                .map(|_| char::from(alphabet[next(alphabet.len() as u64) as usize]))
                .collect();
            versions.push(text);
        }
        versions
    }

    #[test]
    fn order_is_that_of_dpkg() {
        let versions: Vec<Version> = nasty_versions()
            .iter()
            .filter_map(|text| Version::new(text).ok())
            .take(24)
            .collect();
        for left in &versions {
            for right in &versions {
                let relation = match left.compare(right) {
                    Ordering::Less => "lt",
                    Ordering::Equal => "eq",
                    Ordering::Greater => "gt",
                };
                let agrees = Command::new("dpkg")
                    .args(["--compare-versions", left.as_str(), relation, right.as_str()])
                    .status()
                    .unwrap();
                assert!(agrees.success(), "{left} {relation} {right}");
            }
        }
    }

    #[test]
    fn what_dpkg_refuses_is_refused() {
        for text in [
            "",
            "1:",
            ":1",
            "-1:1",
            "a:1",
            "2147483648:1",
            "1 2",
            "1-",
            "-1",
            "1_2",
            "1-a:b",
            "~1",
            "1\n",
        ] {
            assert!(Version::new(text).is_err(), "{text:?}");
            assert!(
                serde_json::from_str::<Version>(&serde_json::to_string(text).unwrap()).is_err(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn file_names_have_no_epoch() {
        assert_eq!(version("2:3.0~rc1-1").without_epoch(), "3.0~rc1-1");
        assert_eq!(version("3.0-1").without_epoch(), "3.0-1");
    }

    #[test]
    fn a_binary_rebuild_has_a_number_of_its_own() {
        assert!(version("1.0-1+b2").is_binary_rebuild_of(&version("1.0-1")));
        assert!(!version("1.0-1+b").is_binary_rebuild_of(&version("1.0-1")));
        assert!(!version("1.0-1").is_binary_rebuild_of(&version("1.0-1")));
    }
}
