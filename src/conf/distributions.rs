//! Reads conf/distributions: one stanza for each distribution.

use std::path::Path;
use std::str::FromStr;

use super::distribution::{Contents, Distribution, SignWith, UpdateStep};
use super::fault::{Error, Sink, Word, printable};
use super::fields::{Fields, architecture, checked, without_duplicates};
use super::reader::{Field, Stanza, read_stanzas};
use super::{index_files, nearest};
use super::{log, tracking};
use crate::fsio;
use crate::model::name::NameError;
use crate::model::{Architecture, Codename, DigestKind, IndexId, Suite};

const FIELDS: &[&str] = &[
    "AlsoAcceptFor",
    "Architectures",
    "Archive",
    "ButAutomaticUpgrades",
    "Checksums",
    "Codename",
    "Components",
    "Contents",
    "ContentsArchitectures",
    "ContentsComponents",
    "ContentsUComponents",
    "DebIndices",
    "DebOverride",
    "Description",
    "DscIndices",
    "DscOverride",
    "ExportOptions",
    "Label",
    "Limit",
    "Log",
    "NotAutomatic",
    "Origin",
    "PDiffs",
    "Pull",
    "ReadOnly",
    "SignWith",
    "Signed-By",
    "Suite",
    "Tracking",
    "UDebComponents",
    "UDebIndices",
    "UDebOverride",
    "Update",
    "Uploaders",
    "ValidFor",
    "Version",
];

/// Fields of reprepro whose function is not there: refused, since to skip them would change what is published.
const UNSUPPORTED_FIELDS: &[&str] = &["ByHandHooks", "DDebComponents", "DDebIndices", "FakeComponentPrefix"];

/// A Valid-Until further away than a hundred years is a typing error.
const MAX_VALID_DAYS: u32 = 100 * 365;

/// The rules that `Update` and `Pull` can name; `None` if their file has faults, so that a missing one is no news.
#[derive(Debug, Default)]
pub(super) struct KnownRules {
    pub(super) update: Option<Vec<String>>,
    pub(super) pull: Option<Vec<String>>,
}

/// Reads the distributions of `path` in the order in which they stand there.
///
/// # Errors
/// The file cannot be read; what is wrong inside goes to `sink`.
pub(super) fn read(path: &Path, rules: &KnownRules, sink: &mut Sink<'_>) -> Result<Vec<Distribution>, fsio::Error> {
    let mut known = [FIELDS, UNSUPPORTED_FIELDS].concat();
    known.sort_unstable();
    let mut distributions: Vec<Distribution> = Vec::new();
    for stanza in &read_stanzas(path, sink)? {
        let mut fields = Fields::new(stanza, "distribution", &known, sink);
        if let Some(distribution) = read_stanza(stanza, rules, &mut fields) {
            check_against_earlier(&distribution, &distributions, &mut fields);
            distributions.push(distribution);
        }
    }
    Ok(distributions)
}

fn check_against_earlier(distribution: &Distribution, earlier: &[Distribution], fields: &mut Fields<'_, '_>) {
    let find = |codename: &Codename| earlier.iter().find(|other| other.codename == *codename);
    if let Some(other) = find(&distribution.codename) {
        fields.read::<()>("Codename", |field| {
            let problem = format!(
                "codename `{}` is already defined at {}",
                distribution.codename, other.place
            );
            Err(Error::syntax(&field.place, problem))
        });
    }
    let Some(codename) = &distribution.archive else { return };
    let refused = match find(codename) {
        None => Some("it must be defined earlier in this file".into()),
        Some(archive) => (distribution.indexes().into_iter())
            .find(|index| {
                let there = IndexId {
                    codename: codename.clone(),
                    ..index.clone()
                };
                !archive.indexes().contains(&there)
            })
            .map(|index| {
                format!(
                    "it must have every index of `{}`, but has none for `{index}`",
                    distribution.codename
                )
            }),
    };
    if let Some(rule) = refused {
        fields.word::<()>("Archive", |word| Err(Error::value(word, "archive", rule)));
    }
}

fn read_stanza(stanza: &Stanza, rules: &KnownRules, fields: &mut Fields<'_, '_>) -> Option<Distribution> {
    for name in UNSUPPORTED_FIELDS {
        fields.read::<()>(name, |field| {
            Err(Error::NotSupported {
                place: field.place.clone(),
                what: format!("field `{name}`"),
            })
        });
    }
    for name in ["Codename", "Architectures", "Components"] {
        fields.require(name);
    }
    let (architectures, has_sources) = architectures(fields);
    let components = fields.names("Components").unwrap_or_default();
    let codename = fields.name("Codename");
    let export_options = export_options(fields);
    let patches = index_files::patches(fields);
    let distribution = Distribution {
        suite: fields.name("Suite"),
        origin: fields.line("Origin"),
        label: fields.line("Label"),
        version: fields.line("Version"),
        description: fields.line("Description"),
        not_automatic: fields.line("NotAutomatic"),
        but_automatic_upgrades: fields.line("ButAutomaticUpgrades"),
        signed_by: stanza.get("Signed-By").and_then(joined_lines),
        valid_for_days: fields.read("ValidFor", valid_for),
        udeb_components: part_of(fields, "UDebComponents", "Components", &components).unwrap_or_default(),
        also_accept_for: fields.list("AlsoAcceptFor", accepted_name).unwrap_or_default(),
        update: steps(fields, "Update", "update rule", rules.update.as_deref()),
        pull: steps(fields, "Pull", "pull rule", rules.pull.as_deref()),
        sign_with: sign_with(fields),
        deb_indices: index_files::read(fields, "DebIndices", (index_files::default_debs, patches)),
        udeb_indices: index_files::read(fields, "UDebIndices", (index_files::default_udebs, patches)),
        dsc_indices: index_files::read(fields, "DscIndices", (index_files::default_sources, patches)),
        export: !export_options.contains(&"noexport"),
        keep_unknown: export_options.contains(&"keepunknown"),
        contents: index_files::contents(fields, &architectures, &components).map(|contents| Contents {
            patches: patches.unwrap_or(0),
            ..contents
        }),
        uploaders: fields.file("Uploaders"),
        tracking: tracking::read(fields),
        log: log::read(fields),
        deb_override: fields.file("DebOverride"),
        udeb_override: fields.file("UDebOverride"),
        dsc_override: fields.file("DscOverride"),
        read_only: fields.flag("ReadOnly").unwrap_or(false),
        limit: limit(fields),
        archive: fields.name("Archive"),
        digests: digests(fields),
        architectures,
        has_sources,
        components,
        // last, so that a wrong codename does not hide other faults
        place: fields.place()?.clone(),
        codename: codename?,
    };
    fields.is_sound().then_some(distribution)
}

/// A field that lists some of what an earlier field lists; none of it if it is empty.
pub(super) fn part_of<T: FromStr<Err = NameError> + PartialEq>(
    fields: &mut Fields<'_, '_>,
    name: &str,
    whole_name: &str,
    whole: &[T],
) -> Option<Vec<T>> {
    fields.require_order(whole_name, name);
    let part = fields.list(name, |word| match checked(word) {
        Ok(element) if whole.contains(&element) => Ok(element),
        // where the whole is wrong, that is said already
        Ok(element) if whole.is_empty() => Ok(element),
        Ok(_) => Err(Error::syntax(
            &word.place,
            format!("`{}` of `{name}` is not among `{whole_name}`", word.text),
        )),
        Err(error) => Err(error),
    });
    part.map(without_duplicates)
}

/// The binary architectures, and whether `source` is among the words.
fn architectures(fields: &mut Fields<'_, '_>) -> (Vec<Architecture>, bool) {
    let words = fields.list("Architectures", |word| match word.text {
        "source" => Ok(None),
        _ => architecture(word).map(Some),
    });
    let words = words.unwrap_or_default();
    let has_sources = words.contains(&None);
    (without_duplicates(words.into_iter().flatten().collect()), has_sources)
}

fn joined_lines(field: &Field) -> Option<String> {
    let lines: Vec<_> = field.lines().map(|line| line.text.to_owned()).collect();
    (!lines.is_empty()).then(|| lines.join(" "))
}

/// `ValidFor`: a sum of days, months of 31 days and years of 365, as `1m 11d`; a number without unit is days.
fn valid_for(field: &Field) -> Result<u32, Error> {
    const RULE: &str = "must be numbers with `d`, `m` or `y` for days, months and years, as in `1m 11d`";
    let mut days = 0_u32;
    for word in field.words() {
        let units = [("d", 1), ("m", 31), ("y", 365)];
        let (digits, unit_days) = (units.into_iter())
            .find_map(|(unit, days)| Some((word.text.strip_suffix(unit)?, days)))
            .unwrap_or((word.text, 1));
        let number = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse::<u32>().ok());
        days = (number.flatten())
            .and_then(|number| number.checked_mul(unit_days)?.checked_add(days))
            .filter(|days| *days <= MAX_VALID_DAYS)
            .ok_or_else(|| Error::value(&word, "validity", RULE))?;
    }
    if days == 0 { Err(field.empty()) } else { Ok(days) }
}

fn accepted_name(word: &Word<'_>) -> Result<String, Error> {
    checked::<Suite>(word).map(String::from)
}

fn steps(fields: &mut Fields<'_, '_>, name: &str, what: &'static str, known: Option<&[String]>) -> Vec<UpdateStep> {
    let step = |word: &Word<'_>| match (word.text, known) {
        ("-", _) => Ok(UpdateStep::Delete),
        (rule, Some(known)) if !known.iter().any(|name| name == rule) => Err(Error::Unknown {
            place: Some(word.place.clone()),
            what,
            name: printable(rule),
            nearest: nearest(rule, known.iter().map(String::as_str)).map(str::to_owned),
        }),
        (rule, _) => Ok(UpdateStep::Rule(rule.into())),
    };
    fields.list(name, step).unwrap_or_default()
}

/// `SignWith`: `yes` or `default`, keys, or `!` and a program.
fn sign_with(fields: &mut Fields<'_, '_>) -> Option<SignWith> {
    let directories = fields.sink.directories;
    fields.read("SignWith", |field| {
        let words: Vec<&str> = field.words().map(|word| word.text).collect();
        if let Some(rest) = words.first().and_then(|word| word.strip_prefix('!')) {
            let script: Vec<&str> = (std::iter::once(rest).chain(words.iter().skip(1).copied()))
                .filter(|word| !word.is_empty())
                .collect();
            return match script.as_slice() {
                [script] => Ok(SignWith::Script(directories.file(script))),
                _ => Err(Error::syntax(&field.place, "after `!` comes the name of one program")),
            };
        }
        match words.as_slice() {
            [] => Err(field.empty()),
            [word] if ["yes", "default"].iter().any(|known| word.eq_ignore_ascii_case(known)) => Ok(SignWith::Default),

            keys => Ok(SignWith::Keys(keys.iter().map(|key| (*key).to_owned()).collect())),
        }
    })
}

fn export_options<'a>(fields: &mut Fields<'a, '_>) -> Vec<&'a str> {
    let option = |word: &Word<'a>| match word.text {
        "noexport" | "keepunknown" => Ok(word.text),
        _ => Err(Error::value(word, "export option", "must be noexport or keepunknown")),
    };
    fields.list("ExportOptions", option).unwrap_or_default()
}

/// `Limit`: zero and negative numbers are no limit.
fn limit(fields: &mut Fields<'_, '_>) -> Option<usize> {
    let limit = fields.word("Limit", |word| {
        let number: Result<i64, _> = word.text.parse();
        number.map_err(|_| Error::value(word, "limit", "must be a whole number; 0 is no limit"))
    });
    match limit.map(usize::try_from) {
        None => Some(1),
        Some(Ok(0) | Err(_)) => None,
        Some(Ok(limit)) => Some(limit),
    }
}

/// `Checksums`: which digests are written, `md5 sha1 sha256` where nothing is said.
fn digests(fields: &mut Fields<'_, '_>) -> Vec<DigestKind> {
    let Some(field) = fields.get("Checksums") else {
        return vec![DigestKind::Md5, DigestKind::Sha1, DigestKind::Sha256];
    };
    let kinds = fields.list("Checksums", |word| {
        digest_kind(word).ok_or_else(|| Error::value(word, "checksum", "must be md5, sha1, sha256 or sha512"))
    });
    let kinds = kinds.unwrap_or_default();
    if !kinds.contains(&DigestKind::Sha256) {
        fields.sink.errors.push(Error::syntax(
            &field.place,
            "`Checksums` must name sha256: clients take no weaker one",
        ));
    }
    DigestKind::ALL
        .into_iter()
        .filter(|kind| kinds.contains(kind))
        .collect()
}

/// The digest that a word such as `sha256` names.
pub(super) fn digest_kind(word: &Word<'_>) -> Option<DigestKind> {
    let name = word.text.to_ascii_uppercase();
    DigestKind::ALL.into_iter().find(|kind| kind.to_string() == name)
}
