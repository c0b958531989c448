//! The fields of a distribution that say which index files are published: `DebIndices`, `UDebIndices`, `DscIndices`,
//! `Contents` with its limits, and `PDiffs`.

use super::distribution::{Compression, Contents, IndexFiles};
use super::distributions::part_of;
use super::fault::{Error, Word};
use super::fields::{Fields, without_duplicates};
use crate::model::{Architecture, Component};

const COMPRESSIONS: &str = "`.`, `.gz`, `.bz2`, `.xz` and `.zst`";

/// `DebIndices` where it says nothing.
pub(super) fn default_debs() -> IndexFiles {
    IndexFiles {
        file_name: "Packages".into(),
        release_name: Some("Release".into()),
        compressions: vec![Compression::Plain, Compression::Gzip, Compression::Xz],
        patches: 0,
    }
}

/// `UDebIndices` where it says nothing.
pub(super) fn default_udebs() -> IndexFiles {
    IndexFiles {
        release_name: None,
        ..default_debs()
    }
}

/// `DscIndices` where it says nothing.
pub(super) fn default_sources() -> IndexFiles {
    IndexFiles {
        file_name: "Sources".into(),
        release_name: Some("Release".into()),
        compressions: vec![Compression::Gzip, Compression::Xz],
        patches: 0,
    }
}

fn compression(word: &str) -> Option<Compression> {
    Compression::ALL.into_iter().find(|known| known.word() == word)
}

/// What reprepro's users name as an export hook to have patches made: its own program, and the script that comes with
/// it, under the names that it has had. The patches are made here, and no program is run for them.
const PATCH_HOOKS: &[&str] = &[
    "rredtool",
    "pdiff",
    "pdiff.example",
    "pdiff.py",
    "tiffany",
    "tiffany.example",
    "tiffany.py",
];
/// How many patches reprepro's program keeps.
const PATCHES_OF_A_HOOK: usize = 20;
/// A client that would need more patches than that has long been better off with the whole file.
const MAX_PATCHES: usize = 400;

/// `PDiffs`, if it is there: how many patches are kept of each index.
pub(super) fn patches(fields: &mut Fields<'_, '_>) -> Option<usize> {
    fields.word("PDiffs", |word| {
        let number = word.text.parse().ok().filter(|number| *number <= MAX_PATCHES);
        number.ok_or_else(|| {
            let rule = format!("must be a number of states, {MAX_PATCHES} at most; 0 is none");
            Error::value(word, "number of patches", rule)
        })
    })
}

fn is_patch_hook(word: &Word<'_>) -> bool {
    let name = word.text.rsplit('/').next();
    name.is_some_and(|name| PATCH_HOOKS.contains(&name))
}

/// Reads one of the fields: a file name, perhaps the name of a Release file, compressions, and perhaps a hook that asks
/// for patches. What `PDiffs` says about those goes before the hook.
pub(super) fn read(
    fields: &mut Fields<'_, '_>,
    name: &str,
    (default, patches): (fn() -> IndexFiles, Option<usize>),
) -> IndexFiles {
    let read = fields.read(name, |field| {
        let mut words = field.words().peekable();
        let first = words.next().ok_or_else(|| field.empty())?;
        let file_name = file_name(&first)?;
        let release_name = match words.next_if(|word| !word.text.starts_with('.')) {
            Some(word) => Some(self::file_name(&word)?),
            None => None,
        };
        let mut compressions = Vec::new();
        let mut patches_of_hook = 0;
        for word in words {
            if is_patch_hook(&word) {
                patches_of_hook = PATCHES_OF_A_HOOK;
                continue;
            }
            if !word.text.starts_with('.') {
                return Err(Error::NotSupported {
                    place: word.place.clone(),
                    what: format!("the export hook `{}` in `{name}`", word.text),
                });
            }
            let known = compression(word.text);
            compressions.push(
                known.ok_or_else(|| Error::value(&word, "compression", format!("must be one of {COMPRESSIONS}")))?,
            );
        }
        if compressions.is_empty() {
            let problem = format!("`{name}` must name one or more of {COMPRESSIONS}");
            return Err(Error::syntax(&field.place, problem));
        }
        Ok(IndexFiles {
            file_name,
            release_name,
            compressions: in_order(compressions),
            patches: patches_of_hook,
        })
    });
    let files = read.unwrap_or_else(default);
    IndexFiles {
        patches: patches.unwrap_or(files.patches),
        ..files
    }
}

fn in_order(mut compressions: Vec<Compression>) -> Vec<Compression> {
    compressions.sort_unstable();
    compressions.dedup();
    compressions
}

fn file_name(word: &Word<'_>) -> Result<String, Error> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    if word.text.starts_with('.') || word.text.len() > 100 || !word.text.chars().all(is_plain) {
        return Err(Error::value(
            word,
            "index file name",
            "must be letters, digits and `-_.+`, not starting with a dot",
        ));
    }
    Ok(word.text.into())
}

/// Reads `Contents` and the fields that limit it; `None` if it is not there, or turned off.
pub(super) fn contents(
    fields: &mut Fields<'_, '_>,
    all_architectures: &[Architecture],
    all_components: &[Component],
) -> Option<Contents> {
    for limit in ["ContentsArchitectures", "ContentsComponents", "ContentsUComponents"] {
        if let (None, Some(field)) = (fields.get("Contents"), fields.get(limit)) {
            fields
                .sink
                .warn(&field.place, format!("`{limit}` has no effect without `Contents`"));
        }
    }
    let words = contents_words(fields)?;
    let architectures = part_of(fields, "ContentsArchitectures", "Architectures", all_architectures);
    let components = part_of(fields, "ContentsComponents", "Components", all_components);
    let udeb_all = fields.names("UDebComponents").unwrap_or_default();
    let udeb_components = part_of(fields, "ContentsUComponents", "UDebComponents", &udeb_all);
    Some(Contents {
        // a limit that names components asks for the files, one that names none asks for none
        debs: components.as_ref().map_or(words.debs, |list| !list.is_empty()),
        udebs: udeb_components.as_ref().map_or(words.udebs, |list| !list.is_empty()),
        architectures: architectures.unwrap_or_else(|| all_architectures.to_vec()),
        components: components.unwrap_or_else(|| all_components.to_vec()),
        udeb_components: udeb_components.unwrap_or(udeb_all),
        ..words
    })
}

/// The words of `Contents`; the lists are empty.
fn contents_words(fields: &mut Fields<'_, '_>) -> Option<Contents> {
    let field = fields.get("Contents")?;
    let mut compressions = Vec::new();
    let mut options = Vec::new();
    for (position, word) in field.words().enumerate() {
        if let Some(compression) = compression(word.text) {
            compressions.push(compression);
        } else if CONTENTS_OPTIONS.contains(&word.text) {
            options.push(word.text);
        } else if position == 0 && word.text.bytes().all(|byte| byte.is_ascii_digit()) {
            let text = "`Contents` takes no number any more: leave it out, or the field if it is 0";
            fields.sink.warn(&word.place, text);
            if word.text.bytes().all(|byte| byte == b'0') {
                return None;
            }
        } else {
            let rule = format!("must be {}, or one of {COMPRESSIONS}", CONTENTS_OPTIONS.join(", "));
            fields.sink.errors.push(Error::value(&word, "Contents option", rule));
        }
    }
    let has = |option: &str| options.contains(&option);
    if has("allcomponents") && has("compatsymlink") {
        fields.sink.errors.push(Error::syntax(
            &field.place,
            "`allcomponents` and `compatsymlink` exclude each other: both are about `Contents-ARCHITECTURE`",
        ));
    }
    if compressions.is_empty() {
        compressions.push(Compression::Gzip);
    }
    Some(Contents {
        compressions: in_order(without_duplicates(compressions)),
        debs: !has("nodebs"),
        udebs: has("udebs"),
        per_component: has("percomponent") || !has("allcomponents"),
        all_components: has("allcomponents"),
        compat_symlink: !has("allcomponents") && !has("nocompatsymlink"),
        architectures: Vec::new(),
        components: Vec::new(),
        udeb_components: Vec::new(),
        patches: 0,
    })
}

const CONTENTS_OPTIONS: &[&str] = &[
    "udebs",
    "nodebs",
    "percomponent",
    "allcomponents",
    "compatsymlink",
    "nocompatsymlink",
];
