//! `key package`: the `NAME-archive-keyring` package that brings the archive's keys and its source entry to clients.
//!
//! A binary package as deb(5) has it, written without other programs and without anything of the moment in it: the same
//! keys, words and time give the same bytes. The keyring is binary, since apt before 1.4 reads no armored one; the
//! source entry is in the deb822 style of sources.list(5).

mod deb;

use std::path::Path;

use crate::model::name::NameError;
use crate::model::version::VersionError;
use crate::model::{Architecture, Component, ErrorKind, PackageName, Suite, Version};
use crate::pgp::{self, KeyHome, Keyring};

/// What the package is to hold.
#[derive(Debug, Clone)]
pub struct KeyPackage<'a> {
    /// The archive's name; the package is `NAME-archive-keyring`.
    pub name: &'a str,
    /// The package's version; None: the date, such as `2026.11.23`.
    pub version: Option<&'a str>,
    /// `Name <address>`; None: the first key's user id.
    pub maintainer: Option<&'a str>,
    /// Which keys, as [`KeyHome::export`] takes them; none: all that can sign.
    pub keys: &'a [String],
    /// Where the archive is, such as `https://deb.example.org/`.
    pub uris: &'a [String],
    /// Suites or codenames.
    pub suites: &'a [String],
    /// Components.
    pub components: &'a [String],
    /// The architectures that the source entry is limited to; none: the client's.
    pub architectures: &'a [String],
    /// Whether the entry is for source packages too.
    pub sources: bool,
}

/// A finished package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltPackage {
    /// `NAME-archive-keyring_VERSION_all.deb`.
    pub file_name: String,
    /// The file.
    pub bytes: Vec<u8>,
    /// The fingerprints of the keys in it.
    pub fingerprints: Vec<String>,
}

/// The package cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keys cannot be had.
    #[error(transparent)]
    Keys(#[from] pgp::Error),
    /// A suite, component or architecture that is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A version that is none.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// Something else is not as it must be.
    #[error("invalid {what} `{value}`: {rule}")]
    Invalid {
        /// What it is.
        what: &'static str,
        /// What was given, cut to a printable length.
        value: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A list that must not be empty is.
    #[error("there is no {what}: the source entry needs at least one")]
    Missing {
        /// What is missing.
        what: &'static str,
    },
    /// None of the keys can sign.
    #[error("none of the keys in `{home}` can sign", home = home.display())]
    NoUsableKey {
        /// The key directory.
        home: std::path::PathBuf,
    },
    /// Writing in memory failed.
    #[error("cannot put the package together")]
    Archive {
        /// What the library said.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Keys(error) => error.kind(),
            Self::NoUsableKey { .. } => ErrorKind::Signing,
            Self::Name(_) | Self::Version(_) | Self::Invalid { .. } | Self::Missing { .. } => ErrorKind::Usage,
            Self::Archive { .. } => ErrorKind::General,
        }
    }

    /// What to do about it, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Keys(error) => error.hint(),
            Self::NoUsableKey { .. } => {
                Some("`aptrepo key check` says why; name keys on the command line to ship them all the same".into())
            }
            Self::Invalid { what: "maintainer", .. } => Some("name one with --maintainer 'Name <address>'".into()),
            _ => None,
        }
    }
}

/// Builds the package from the keys in `directory`. All times in it are `now` (Unix seconds).
///
/// # Errors
/// A name, version, URI or maintainer is none; there is no key to ship; a key is ambiguous or not there.
pub fn build(directory: &Path, wanted: &KeyPackage<'_>, now: i64) -> Result<BuiltPackage, Error> {
    let home = KeyHome::open(directory)?;
    let shipped = shipped_keys(&home, wanted.keys, now)?;
    let fingerprints: Vec<String> = shipped.iter().map(|key| key.fingerprint.clone()).collect();
    let keyring = Keyring::from_bytes(&home.export(&fingerprints)?, "the export of the keys")?.to_binary()?;

    let names = Names::new(wanted.name)?;
    let version = match wanted.version {
        Some(version) => Version::new(version)?,
        None => Version::new(&pgp::day(now).replace('-', "."))?,
    };
    let maintainer = match (wanted.maintainer, shipped.first()) {
        (Some(maintainer), _) => checked_maintainer(maintainer)?,
        (None, first) => checked_maintainer(first.and_then(|key| key.user_ids.first()).map_or("", String::as_str))?,
    };
    let texts = Texts {
        names: &names,
        version: &version,
        maintainer,
        now,
    };
    let files = texts.files(keyring, source_entry(wanted, &names)?)?;
    let control = [
        ("conffiles".into(), format!("/{}\n", texts.source_list()).into_bytes()),
        ("control".into(), texts.control(&files).into_bytes()),
    ];
    let bytes = deb::write(control.into(), &files, now).map_err(|source| Error::Archive { source })?;
    Ok(BuiltPackage {
        file_name: format!("{}_{}_all.deb", names.package, version.without_epoch()),
        bytes,
        fingerprints,
    })
}

fn shipped_keys(home: &KeyHome, keys: &[String], now: i64) -> Result<Vec<pgp::KeyRow>, Error> {
    let mut rows = home.list(now)?;
    if keys.is_empty() {
        rows.retain(|row| row.can_sign);
    } else {
        let named: Vec<String> = home
            .check(keys, now)?
            .into_iter()
            .map(|check| check.key.fingerprint)
            .collect();
        rows.retain(|row| named.contains(&row.fingerprint));
    }
    if rows.is_empty() {
        let home = home.directory().to_owned();
        return Err(Error::NoUsableKey { home });
    }
    Ok(rows)
}

/// The names that follow from the archive's.
struct Names {
    archive: String,
    package: PackageName,
    keyring: String,
}

impl Names {
    fn new(name: &str) -> Result<Self, Error> {
        let archive = name.strip_suffix("-archive-keyring").unwrap_or(name);
        let package = PackageName::new(&format!("{archive}-archive-keyring"))?;
        if package
            .as_str()
            .bytes()
            .any(|byte| byte.is_ascii_uppercase() || byte == b'_')
        {
            return Err(invalid(
                "archive name",
                name,
                "must be lower-case letters, digits and `+-.`",
            ));
        }
        Ok(Self {
            archive: archive.into(),
            keyring: format!("usr/share/keyrings/{package}.gpg"),
            package,
        })
    }
}

fn invalid(what: &'static str, value: &str, rule: &'static str) -> Error {
    Error::Invalid {
        what,
        value: value.chars().take(80).flat_map(char::escape_default).collect(),
        rule,
    }
}

fn checked_maintainer(text: &str) -> Result<&str, Error> {
    let address = text.strip_suffix('>').and_then(|text| text.split_once(" <"));
    match address {
        Some((name, address))
            if !name.trim().is_empty() && address.contains('@') && !text.chars().any(char::is_control) =>
        {
            Ok(text)
        }
        _ => Err(invalid("maintainer", text, "must be `Name <address>`")),
    }
}

fn checked_uri(uri: &str) -> Result<&str, Error> {
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
    let good_scheme = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if good_scheme && uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(uri)
    } else {
        Err(invalid(
            "URI",
            uri,
            "must be as `https://deb.example.org/path`, without blanks",
        ))
    }
}

/// The words of a list, each checked.
fn words<T: AsRef<str>>(
    what: &'static str,
    list: &[String],
    check: impl Fn(&str) -> Result<T, Error>,
) -> Result<String, Error> {
    if list.is_empty() {
        return Err(Error::Missing { what });
    }
    let mut words = String::new();
    for word in list {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(check(word)?.as_ref());
    }
    Ok(words)
}

fn source_entry(wanted: &KeyPackage<'_>, names: &Names) -> Result<String, Error> {
    let uris = words("URI", wanted.uris, |uri| checked_uri(uri).map(str::to_owned))?;
    let suites = words("suite", wanted.suites, |suite| Ok(Suite::new(suite)?))?;
    let components = words("component", wanted.components, |component| {
        Ok(Component::new(component)?)
    })?;
    let types = if wanted.sources { "deb deb-src" } else { "deb" };
    let mut entry = format!("Types: {types}\nURIs: {uris}\nSuites: {suites}\nComponents: {components}\n");
    if !wanted.architectures.is_empty() {
        let architectures = words("architecture", wanted.architectures, |name| {
            Ok(Architecture::new(name)?)
        })?;
        entry.push_str(&format!("Architectures: {architectures}\n"));
    }
    entry.push_str(&format!("Signed-By: /{}\n", names.keyring));
    Ok(entry)
}

/// What the texts of the package speak of.
struct Texts<'a> {
    names: &'a Names,
    version: &'a Version,
    maintainer: &'a str,
    now: i64,
}

impl Texts<'_> {
    fn source_list(&self) -> String {
        format!("etc/apt/sources.list.d/{}.sources", self.names.archive)
    }

    fn files(&self, keyring: Vec<u8>, entry: String) -> Result<Vec<deb::File>, Error> {
        let package = &self.names.package;
        let changelog = deb::gzip(self.changelog().as_bytes()).map_err(|source| Error::Archive { source })?;
        // Without a revision the package is native, and its changelog has the other name (Debian Policy 12.7).
        let changelog_name = if self.version.as_str().contains('-') {
            "changelog.Debian.gz"
        } else {
            "changelog.gz"
        };
        // lintian takes any source entry in a package for a mistake; here it is the purpose.
        let overrides = format!("{package}: package-installs-apt-sources\n");
        Ok(vec![
            (self.source_list(), entry.into_bytes()),
            (format!("usr/share/doc/{package}/{changelog_name}"), changelog),
            (
                format!("usr/share/doc/{package}/copyright"),
                self.copyright().into_bytes(),
            ),
            (self.names.keyring.clone(), keyring),
            (format!("usr/share/lintian/overrides/{package}"), overrides.into_bytes()),
        ])
    }

    fn time(&self, format: &str) -> String {
        jiff::Timestamp::from_second(self.now).map_or_else(|_| String::new(), |time| time.strftime(format).to_string())
    }

    fn changelog(&self) -> String {
        format!(
            "{} ({}) stable; urgency=medium\n\n  * Keys and source entry of the {} archive.\n\n -- {}  {}\n",
            self.names.package,
            self.version.as_str(),
            self.names.archive,
            self.maintainer,
            self.time("%a, %d %b %Y %H:%M:%S +0000"),
        )
    }

    fn copyright(&self) -> String {
        format!(
            "The public keys and the source entry of the {} archive.\n\nCopyright: {} {}\n\n\
             Everybody may use, copy, change and distribute the files of this package, for any purpose and without\n\
             conditions. There is no warranty.\n",
            self.names.archive,
            self.time("%Y"),
            self.maintainer,
        )
    }

    fn control(&self, files: &[deb::File]) -> String {
        let size_kib: usize = files.iter().map(|(_, content)| content.len().div_ceil(1024)).sum();
        format!(
            "Package: {}\nVersion: {}\nArchitecture: all\nMaintainer: {}\nInstalled-Size: {}\nSection: misc\n\
             Priority: optional\nMulti-Arch: foreign\nDescription: keys and source entry of the {archive} archive\n \
             With this package, apt gets packages from the {archive} archive and checks them\n against the archive's \
             keys. An update of the package brings new keys before\n the old ones expire.\n",
            self.names.package,
            self.version.as_str(),
            self.maintainer,
            size_kib,
            archive = self.names.archive,
        )
    }
}
