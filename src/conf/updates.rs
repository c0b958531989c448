//! Reads conf/updates: one stanza for each update rule, and what each takes over from another by `From`.

use std::collections::HashSet;
use std::path::Path;

use super::distributions::digest_kind;
use super::extras::StatedExtras;
use super::fault::{Error, Place, Sink, Word};
use super::fields::{Fields, without_duplicates};
use super::filter::Filters;
use super::nearest;
use super::reader::{Field, read_stanzas};
use super::rename::{self, Architectures, Rename};
use super::update::{DownloadAs, ListForm, ListHook, Toleration, UpdateRule, UpstreamSuite};
use super::verify::{self, VerifyRelease};
use crate::fsio;
use crate::model::{Component, DigestKind};

const FIELDS: &[&str] = &[
    "AppStream",
    "Architectures",
    "CommandNotFound",
    "Components",
    "Config",
    "DownloadListsAs",
    "Fallback",
    "FilterFormula",
    "FilterList",
    "FilterSrcList",
    "Flat",
    "From",
    "GetInRelease",
    "IgnoreHashes",
    "IgnoreRelease",
    "InstallerImages",
    "ListHook",
    "ListShellHook",
    "Method",
    "Name",
    "OmitExtraSourceOnly",
    "Suite",
    "Tolerate",
    "Translations",
    "UDebComponents",
    "VerifyRelease",
];

/// The methods by which an upstream can be reached.
const METHODS: [&str; 4] = ["http", "https", "file", "copy"];

/// One stanza as it stands; what it does not say is `None`.
#[derive(Debug, Clone)]
struct Stated {
    place: Place,
    name: String,
    from: Option<String>,
    method: Option<String>,
    fallback: Option<String>,
    config: Option<Vec<String>>,
    suite: Option<UpstreamSuite>,
    components: Option<Vec<Rename<Component>>>,
    udeb_components: Option<Vec<Rename<Component>>>,
    architectures: Option<Architectures>,
    verify_release: Option<VerifyRelease>,
    get_in_release: Option<bool>,
    ignore_release: Option<bool>,
    ignore_hashes: Option<Vec<DigestKind>>,
    tolerated: Option<Vec<Toleration>>,
    flat: Option<Component>,
    download_lists_as: Option<Vec<DownloadAs>>,
    filters: Filters,
    omit_extra_source_only: Option<bool>,
    list_hook: Option<ListHook>,
    extras: StatedExtras,
}

/// Reads the rules of `path`.
///
/// # Errors
/// The file cannot be read; what is wrong inside goes to `sink`.
pub(super) fn read(path: &Path, sink: &mut Sink<'_>) -> Result<Vec<UpdateRule>, fsio::Error> {
    let mut stated: Vec<Stated> = Vec::new();
    for stanza in &read_stanzas(path, sink)? {
        let mut fields = Fields::new(stanza, "update rule", FIELDS, sink);
        let Some(rule) = read_stanza(&mut fields) else { continue };
        if let Some(other) = stated.iter().find(|other| other.name == rule.name) {
            let problem = format!("update rule `{}` is already defined at {}", rule.name, other.place);
            fields.sink.errors.push(Error::syntax(&rule.place, problem));
        } else {
            stated.push(rule);
        }
    }
    let rules: Vec<_> = stated.iter().map(|rule| inherit(rule, &stated)).collect();
    Ok(rules.into_iter().filter_map(|rule| sink.note(rule)).collect())
}

fn read_stanza(fields: &mut Fields<'_, '_>) -> Option<Stated> {
    fields.require("Name");
    check_combinations(fields);
    let name = fields.word("Name", rule_name);
    let rule = Stated {
        from: fields.word("From", |word| Ok(word.text.to_owned())),
        method: fields.word("Method", address),
        fallback: fields.word("Fallback", address),
        config: config(fields),
        suite: fields.word("Suite", suite),
        components: components(fields, "Components"),
        udeb_components: components(fields, "UDebComponents"),
        architectures: rename::architectures(fields),
        verify_release: verify_release(fields),
        get_in_release: fields.flag("GetInRelease"),
        ignore_release: fields.flag("IgnoreRelease"),
        ignore_hashes: fields.list("IgnoreHashes", |word| {
            digest_kind(word).ok_or_else(|| Error::value(word, "checksum", "must be md5, sha1, sha256 or sha512"))
        }),
        tolerated: fields.list("Tolerate", toleration),
        flat: fields.name("Flat"),
        download_lists_as: fields.list("DownloadListsAs", download_as),
        filters: Filters::read(fields),
        omit_extra_source_only: fields.flag("OmitExtraSourceOnly"),
        list_hook: list_hook(fields),
        extras: StatedExtras::read(fields),
        place: fields.place()?.clone(),
        name: name?,
    };
    check_addresses(&rule, fields);
    fields.is_sound().then_some(rule)
}

/// The name of a rule: any word that cannot be taken for `-`.
pub(super) fn rule_name(word: &Word<'_>) -> Result<String, Error> {
    if word.text == "-" {
        return Err(Error::value(
            word,
            "rule name",
            "in `Update` and `Pull` it means: remove what no later rule takes",
        ));
    }
    Ok(word.text.into())
}

fn check_combinations(fields: &mut Fields<'_, '_>) {
    let excluding = [
        ("From", "Method"),
        ("From", "Fallback"),
        ("From", "Config"),
        ("Flat", "Components"),
        ("Flat", "UDebComponents"),
        ("ListHook", "ListShellHook"),
    ];
    for (first, second) in excluding {
        if let (Some(_), Some(field)) = (fields.get(first), fields.get(second)) {
            let problem = format!("`{first}` and `{second}` exclude each other");
            fields.sink.errors.push(Error::syntax(&field.place, problem));
        }
    }
    if let (None, None, Some(place)) = (fields.get("From"), fields.get("Method"), fields.place())
        && fields.is_sound()
    {
        let problem = "an update rule needs either `Method` or `From`";
        fields.sink.errors.push(Error::syntax(place, problem));
    }
}

fn address(word: &Word<'_>) -> Result<String, Error> {
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    match word.text.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) && !rest.is_empty() => {
            Ok(word.text.strip_suffix('/').unwrap_or(word.text).to_owned())
        }
        _ => Err(Error::value(
            word,
            "address",
            "must start with its method, as in `https://` or `file:`",
        )),
    }
}

fn scheme(address: &str) -> &str {
    address.split(':').next().unwrap_or_default()
}

fn check_addresses(rule: &Stated, fields: &mut Fields<'_, '_>) {
    let Some(method) = rule.method.as_deref().map(scheme) else {
        return;
    };
    if rule
        .fallback
        .as_deref()
        .is_some_and(|fallback| !scheme(fallback).eq_ignore_ascii_case(method))
    {
        let rule = format!("must be by the method of `Method`, `{method}`");
        fields.word::<()>("Fallback", |word| Err(Error::value(word, "fallback", rule)));
    }
    if !METHODS.iter().any(|known| known.eq_ignore_ascii_case(method)) {
        fields.word::<()>("Method", |word| {
            Err(Error::NotSupported {
                place: word.place.clone(),
                what: format!("the method `{method}` (http, https, file and copy are)"),
            })
        });
    }
}

fn config(fields: &mut Fields<'_, '_>) -> Option<Vec<String>> {
    let field = fields.get("Config")?;
    Some(field.lines().map(|line| line.text.to_owned()).collect())
}

fn suite(word: &Word<'_>) -> Result<UpstreamSuite, Error> {
    let is_path = |text: &str| {
        !text.starts_with('/')
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"/._~+-:".contains(&byte))
            && text.split('/').all(|part| part != "..")
    };
    match word.text.strip_prefix('*') {
        Some("") => Ok(UpstreamSuite::Codename),
        Some(rest) => match rest.strip_prefix('/') {
            Some(rest) if is_path(rest) && !rest.is_empty() => Ok(UpstreamSuite::BelowCodename(rest.into())),
            _ => Err(Error::value(
                word,
                "suite",
                "after `*`, which is the codename, comes `/` and a path",
            )),
        },
        None if is_path(word.text) => Ok(UpstreamSuite::Named(word.text.into())),
        None => Err(Error::value(
            word,
            "suite",
            "must be a path below the upstream's `dists/`, without `..`",
        )),
    }
}

/// `Components`, `UDebComponents`: `none` stands for no component.
fn components(fields: &mut Fields<'_, '_>, name: &str) -> Option<Vec<Rename<Component>>> {
    let pairs = fields.list(name, |word| match word.text {
        "none" => Ok(None),
        _ => rename::pair(word).map(Some),
    })?;
    Some(without_duplicates(pairs.into_iter().flatten().collect()))
}

fn verify_release(fields: &mut Fields<'_, '_>) -> Option<VerifyRelease> {
    let directories = fields.sink.directories;
    fields.read("VerifyRelease", |field| verify::read(field, directories))
}

fn toleration(word: &Word<'_>) -> Result<Toleration, Error> {
    Ok(match word.text {
        "md5" => Toleration::Md5,
        "sha1" => Toleration::Sha1,
        "expired" => Toleration::Expired,
        "othername" => Toleration::OtherName,
        _ => {
            let rule = "must be one of `md5`, `sha1`, `expired` and `othername`";
            return Err(Error::value(word, "word of `Tolerate`", rule));
        }
    })
}

fn download_as(word: &Word<'_>) -> Result<DownloadAs, Error> {
    let (text, is_forced) = match word.text.strip_prefix("force") {
        Some(rest) => (rest, true),
        None => (word.text, false),
    };
    let form = match text {
        "." => ListForm::Plain,
        ".gz" => ListForm::Gzip,
        ".bz2" => ListForm::Bzip2,
        ".lzma" => ListForm::Lzma,
        ".xz" => ListForm::Xz,
        ".lz" => ListForm::Lzip,
        ".zst" => ListForm::Zstd,
        ".diff" => ListForm::Diff,
        _ => {
            let rule =
                "must be one of `.`, `.gz`, `.bz2`, `.lzma`, `.xz`, `.lz`, `.zst` and `.diff`, or `force` before it";
            return Err(Error::value(word, "form of an index", rule));
        }
    };
    Ok(DownloadAs { form, is_forced })
}

fn list_hook(fields: &mut Fields<'_, '_>) -> Option<ListHook> {
    if let Some(program) = fields.file("ListHook") {
        return Some(ListHook::Program(program));
    }
    fields.read("ListShellHook", shell_command).map(ListHook::Shell)
}

fn shell_command(field: &Field) -> Result<String, Error> {
    let lines: Vec<&str> = field.lines().map(|line| line.text).collect();
    if lines.is_empty() {
        Err(field.empty())
    } else {
        Ok(lines.join("\n"))
    }
}

/// The rule with what the rules say that its `From` leads to.
fn inherit(rule: &Stated, all: &[Stated]) -> Result<UpdateRule, Error> {
    let mut whole = rule.clone();
    let mut seen = HashSet::from([rule.name.as_str()]);
    let mut next = rule.from.as_deref();
    while let Some(name) = next {
        let Some(parent) = all.iter().find(|other| other.name == name) else {
            return Err(Error::Unknown {
                place: Some(rule.place.clone()),
                what: "update rule in `From`",
                name: name.to_owned(),
                nearest: nearest(name, all.iter().map(|other| other.name.as_str())).map(str::to_owned),
            });
        };
        if !seen.insert(name) {
            let problem = format!("`From` of update rule `{}` leads in a circle", rule.name);
            return Err(Error::syntax(&rule.place, problem));
        }
        whole = whole.over(parent.clone());
        next = parent.from.as_deref();
    }
    let place = whole.place.clone();
    whole
        .finish()
        .ok_or_else(|| Error::syntax(&place, "this update rule has no `Method`"))
}

impl Stated {
    /// This, and where it says nothing, what `parent` says.
    fn over(self, parent: Self) -> Self {
        Self {
            place: self.place,
            name: self.name,
            from: self.from,
            method: self.method.or(parent.method),
            fallback: self.fallback.or(parent.fallback),
            config: self.config.or(parent.config),
            suite: self.suite.or(parent.suite),
            components: self.components.or(parent.components),
            udeb_components: self.udeb_components.or(parent.udeb_components),
            architectures: self.architectures.or(parent.architectures),
            verify_release: self.verify_release.or(parent.verify_release),
            get_in_release: self.get_in_release.or(parent.get_in_release),
            ignore_release: self.ignore_release.or(parent.ignore_release),
            ignore_hashes: self.ignore_hashes.or(parent.ignore_hashes),
            tolerated: self.tolerated.or(parent.tolerated),
            flat: self.flat.or(parent.flat),
            download_lists_as: self.download_lists_as.or(parent.download_lists_as),
            filters: self.filters.over(parent.filters),
            omit_extra_source_only: self.omit_extra_source_only.or(parent.omit_extra_source_only),
            list_hook: self.list_hook.or(parent.list_hook),
            extras: self.extras.over(parent.extras),
        }
    }

    /// The rule with the defaults for what nobody says; `None` without an address.
    fn finish(self) -> Option<UpdateRule> {
        let extras = self.extras.finish(self.filters != Filters::default());
        Some(UpdateRule {
            place: self.place,
            name: self.name,
            from: self.from,
            method: self.method?,
            fallback: self.fallback,
            config: self.config.unwrap_or_default(),
            suite: self.suite.unwrap_or(UpstreamSuite::Codename),
            components: self.components,
            udeb_components: self.udeb_components,
            architectures: self.architectures,
            verify_release: self.verify_release,
            get_in_release: self.get_in_release.unwrap_or(true),
            ignore_release: self.ignore_release.unwrap_or(false),
            ignore_hashes: self.ignore_hashes.unwrap_or_default(),
            tolerated: self.tolerated.unwrap_or_default(),
            flat: self.flat,
            download_lists_as: self.download_lists_as,
            filters: self.filters,
            omit_extra_source_only: self.omit_extra_source_only.unwrap_or(true),
            list_hook: self.list_hook,
            extras,
        })
    }
}
