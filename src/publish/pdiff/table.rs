//! The text of `Packages.diff/Index`, and the names of patches. Pure. Fields and forms are those of Debian's own
//! archive; reprepro reads the fields of SHA-1 alone, apt all kinds that Release has, too.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::Patch;
use crate::model::{DigestKind, FileDigests};

/// The kinds of digest among these that a table has.
pub(super) fn kinds(digests: &[DigestKind]) -> impl Iterator<Item = DigestKind> {
    digests.iter().copied().filter(|kind| *kind != DigestKind::Md5)
}

/// The name of a patch without its ending: clients apply patches in the order of their names.
pub(super) fn name_of(named: i64) -> String {
    let time = Timestamp::from_second(named).unwrap_or_default();
    time.strftime("%Y-%m-%d-%H%M.%S").to_string()
}

/// Whether a file of a directory of patches is called as a patch is. The names of reprepro's patches, which are merged,
/// have two times, or other words before the time.
pub(super) fn is_name(name: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00-0000.00";
    let fits = |(form, byte): (&u8, &u8)| {
        if *form == b'0' {
            byte.is_ascii_digit()
        } else {
            form == byte
        }
    };
    let stem = name.strip_suffix(".gz").map(str::as_bytes);
    let time = stem.and_then(<[u8]>::last_chunk::<{ FORM.len() }>);
    time.is_some_and(|time| FORM.iter().zip(time).all(fits))
}

/// The table of patches that lead to the state `current`.
pub(super) fn render(patches: &[Patch], current: &FileDigests, digests: &[DigestKind]) -> String {
    // a kind that was not taken of an earlier state would leave a gap, and apt makes nothing of such a list
    let has_all = |kind: DigestKind| {
        let of_patches = patches
            .iter()
            .flat_map(|patch| [&patch.from, &patch.script, &patch.packed]);
        of_patches
            .chain([current])
            .all(|content| content.digests.hex(kind).is_some())
    };
    let kinds: Vec<DigestKind> = kinds(digests).filter(|kind| has_all(*kind)).collect();
    let mut text = String::new();
    for kind in &kinds {
        let line = line(current, *kind);
        // writing to a String cannot fail
        let _ = writeln!(text, "{}-Current: {line}", kind.release_field());
    }
    let mut list = |field: &str, ending: &str, content: fn(&Patch) -> &FileDigests| {
        for kind in &kinds {
            let _ = writeln!(text, "{}-{field}:", kind.release_field());
            for patch in patches {
                let line = line(content(patch), *kind);
                let _ = writeln!(text, " {line} {}{ending}", name_of(patch.named));
            }
        }
    };
    list("History", "", |patch| &patch.from);
    list("Patches", "", |patch| &patch.script);
    list("Download", ".gz", |patch| &patch.packed);
    text
}

fn line(content: &FileDigests, kind: DigestKind) -> String {
    let digest = content.digests.hex(kind).unwrap_or_default();
    format!("{digest} {}", content.size_bytes)
}

#[cfg(test)]
mod tests {
    use super::super::digests_of;
    use super::*;

    #[test]
    fn the_table_has_the_fields_of_debian() {
        let kinds = [DigestKind::Sha1, DigestKind::Sha256];
        let patch = Patch {
            named: 1_795_464_432,
            from: digests_of(b"a\n", &kinds),
            script: digests_of(b"1c\nb\n.\n", &kinds),
            packed: digests_of(b"packed", &kinds),
        };
        let text = render(&[patch], &digests_of(b"b\n", &kinds), &DigestKind::ALL);
        // computed apart, with Python's hashlib
        assert_eq!(
            text,
            "SHA1-Current: 89e6c98d92887913cadf06b2adb97f26cde4849b 2\n\
             SHA256-Current: 0263829989b6fd954f72baaf2fc64bc2e2f01d692d4de72986ea808f6e99813f 2\n\
             SHA1-History:\n\
             \x203f786850e387550fdab836ed7e6dc881de23001b 2 2026-11-23-2007.12\n\
             SHA256-History:\n\
             \x2087428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7 2 2026-11-23-2007.12\n\
             SHA1-Patches:\n\
             \x207b4c63fcca6efbd891ad67fff429fc2b935f3d39 7 2026-11-23-2007.12\n\
             SHA256-Patches:\n\
             \x2039123bb961f257f8c78880b36a2923fc0982baffbacf8e8fc7b0e55bfe090ff6 7 2026-11-23-2007.12\n\
             SHA1-Download:\n\
             \x207aca22de0b050687b471256624fbefc0b93a1ef5 6 2026-11-23-2007.12.gz\n\
             SHA256-Download:\n\
             \x2088cb8a087b6e8cebfc9ae5602f5a2159a6bcf923e7f2c56809bcda6cad1727a7 6 2026-11-23-2007.12.gz\n"
        );
    }

    #[test]
    fn names_are_told_from_others() {
        for theirs in [
            "2026-11-23-2033.41+2026-11-23-2033.44.gz",
            "aptbug545699+2026-11-23-2033.44.gz",
        ] {
            assert!(is_name(theirs), "{theirs}");
        }
        assert!(is_name(&format!("{}.gz", name_of(1_795_464_432))));
        for other in ["2026-11-23-2007.12", "notes.gz", "2026-11-23-2007x12.gz", "Index"] {
            assert!(!is_name(other), "{other}");
        }
    }
}
