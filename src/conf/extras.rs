//! What a rule takes of its upstream beside packages: `Translations`, `AppStream`, `CommandNotFound` and
//! `InstallerImages`. reprepro has no such fields.

use super::fault::{Error, Word};
use super::fields::{Fields, without_duplicates};

const LANGUAGE_RULE: &str = "must be a language as in `Translation-…`, such as `de` or `pt_BR`";

/// `Translations`: the languages of package descriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Languages {
    /// All that the upstream has: `all`.
    All,
    /// These: none for `no`.
    Only(Vec<String>),
}

impl Languages {
    /// Whether this language is wanted.
    #[must_use]
    pub fn has(&self, language: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(languages) => languages.iter().any(|wanted| wanted == language),
        }
    }
}

/// What a rule says of these files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extras {
    /// `Translations`.
    pub translations: Languages,
    /// `AppStream`: the catalogue of applications and its icons (DEP-11).
    pub app_stream: bool,
    /// `CommandNotFound`: which commands a package has.
    pub command_not_found: bool,
    /// `InstallerImages`: the installer's kernels and images.
    pub installer_images: bool,
}

/// The fields as they stand; what is not said is `None`.
#[derive(Debug, Clone, Default)]
pub(super) struct StatedExtras {
    translations: Option<Languages>,
    app_stream: Option<bool>,
    command_not_found: Option<bool>,
    installer_images: Option<bool>,
}

impl StatedExtras {
    /// Reads the fields of one stanza.
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        Self {
            translations: fields.list("Translations", language).map(languages),
            app_stream: fields.flag("AppStream"),
            command_not_found: fields.flag("CommandNotFound"),
            installer_images: fields.flag("InstallerImages"),
        }
    }

    /// This, and where it says nothing, what `parent` says.
    pub(super) fn over(self, parent: Self) -> Self {
        Self {
            translations: self.translations.or(parent.translations),
            app_stream: self.app_stream.or(parent.app_stream),
            command_not_found: self.command_not_found.or(parent.command_not_found),
            installer_images: self.installer_images.or(parent.installer_images),
        }
    }

    /// With the defaults for what nobody says. A rule that picks packages does not take lists that would offer the
    /// others to users; a translation of a package that is not there does no harm.
    pub(super) fn finish(self, picks_packages: bool) -> Extras {
        Extras {
            translations: self.translations.unwrap_or(Languages::All),
            app_stream: self.app_stream.unwrap_or(!picks_packages),
            command_not_found: self.command_not_found.unwrap_or(!picks_packages),
            installer_images: self.installer_images.unwrap_or(false),
        }
    }
}

fn language(word: &Word<'_>) -> Result<String, Error> {
    if is_language(word.text) {
        Ok(word.text.to_owned())
    } else {
        Err(Error::value(word, "language", LANGUAGE_RULE))
    }
}

/// `all` is all languages, `no` and `none` are no language; Norwegian is `nb` or `nn`.
fn languages(words: Vec<String>) -> Languages {
    if words.iter().any(|word| matches!(word.as_str(), "all" | "yes")) {
        return Languages::All;
    }
    let named = words
        .into_iter()
        .filter(|word| !matches!(word.as_str(), "no" | "none"))
        .collect();
    Languages::Only(without_duplicates(named))
}

/// Whether this can be the language in `Translation-…`.
#[must_use]
pub fn is_language(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_@-".contains(&byte))
}
