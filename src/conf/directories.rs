//! The directories of one archive, and the file names of the configuration that lie in them: `+b/` the base
//! directory, `+o/` the published tree, `+c/` the configuration.

use std::path::{Path, PathBuf};

use super::fault::{Error, Warning};
use super::options::Options;

/// Where everything of one archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// `+b/`: the root for everything else.
    pub base: PathBuf,
    /// `+c/`: the configuration.
    pub conf: PathBuf,
    /// `+o/`: holds `pool/` and `dists/`; what a web server publishes.
    pub out: PathBuf,
    /// The index tree, `+o/dists`.
    pub dist: PathBuf,
    /// The database.
    pub db: PathBuf,
    /// Downloaded indexes of upstreams.
    pub list: PathBuf,
    /// Log files.
    pub log: PathBuf,
    /// Where pool files go that are to be deleted; without it they are deleted.
    pub morgue: Option<PathBuf>,
    /// The OpenPGP keys; `+b/gpg` where no option names it.
    pub gnupg: PathBuf,
    /// The user's home directory, for file names that start with `~/`.
    pub home: Option<PathBuf>,
}

impl Directories {
    /// All directories at their default places below `base`.
    #[must_use]
    pub fn below(base: &Path) -> Self {
        Self {
            base: base.into(),
            conf: base.join("conf"),
            out: base.into(),
            dist: base.join("dists"),
            db: base.join("db"),
            list: base.join("lists"),
            log: base.join("logs"),
            morgue: None,
            gnupg: base.join("gpg"),
            home: None,
        }
    }

    /// Where the file is that the configuration calls `name`: absolute, `./` from the current directory, `~/` from the
    /// home directory, `+b/`, `+o/`, `+c/`, else from the directory of the configuration.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        if let (Some(home), Some(rest)) = (&self.home, name.strip_prefix("~/")) {
            return home.join(rest);
        }
        let bases = [("+b/", &self.base), ("+o/", &self.out), ("+c/", &self.conf)];
        for (prefix, directory) in bases {
            if let Some(rest) = name.strip_prefix(prefix) {
                return below(directory, rest);
            }
        }
        if name.starts_with("./") {
            return name.into();
        }
        self.conf.join(name)
    }

    /// The directories that `options` name, with the warnings about them.
    ///
    /// # Errors
    /// A name that starts with a `+` prefix which that directory may not use.
    pub fn resolve(options: &Options, home: Option<PathBuf>) -> Result<(Self, Vec<Warning>), Error> {
        let mut namer = Namer {
            bases: Vec::new(),
            warnings: Vec::new(),
        };
        let base = PathBuf::from(options.basedir.as_deref().unwrap_or("."));
        namer.bases.push(("+b/", base.clone()));
        let conf = namer.name("confdir", options.confdir.as_deref().unwrap_or("+b/conf"))?;
        namer.bases.push(("+c/", conf.clone()));
        let out = namer.name("outdir", options.outdir.as_deref().unwrap_or("+b/"))?;
        namer.bases.push(("+o/", out.clone()));
        let directories = Self {
            dist: namer.name("distdir", options.distdir.as_deref().unwrap_or("+o/dists"))?,
            db: namer.name("dbdir", options.dbdir.as_deref().unwrap_or("+b/db"))?,
            list: namer.name("listdir", options.listdir.as_deref().unwrap_or("+b/lists"))?,
            log: namer.name("logdir", options.logdir.as_deref().unwrap_or("+b/logs"))?,
            morgue: (options.morguedir.as_deref())
                .map(|name| namer.name("morguedir", name))
                .transpose()?,
            gnupg: namer.name("gnupghome", options.gnupghome.as_deref().unwrap_or("+b/gpg"))?,
            base,
            conf,
            out,
            home,
        };
        Ok((directories, namer.warnings))
    }
}

fn below(directory: &Path, rest: &str) -> PathBuf {
    let rest = rest.trim_start_matches('/');
    if rest.is_empty() {
        directory.into()
    } else {
        directory.join(rest)
    }
}

/// Turns the arguments of directory options into paths, knowing the prefixes allowed so far.
struct Namer {
    bases: Vec<(&'static str, PathBuf)>,
    warnings: Vec<Warning>,
}

impl Namer {
    fn name(&mut self, option: &str, name: &str) -> Result<PathBuf, Error> {
        for (prefix, directory) in &self.bases {
            if let Some(rest) = name.strip_prefix(prefix) {
                return Ok(below(directory, rest));
            }
        }
        if name.starts_with('+') {
            let allowed: Vec<_> = self.bases.iter().map(|(prefix, _)| format!("`{prefix}`")).collect();
            return Err(Error::Option {
                place: None,
                problem: format!(
                    "invalid {option} `{name}`: may start with {} (a directory of that name is `./{name}`)",
                    allowed.join(" or ")
                ),
            });
        }
        if !name.starts_with('/') && !name.starts_with("./") {
            self.warnings.push(Warning {
                place: None,
                text: format!("{option} `{name}` is taken from the current directory: write `./{name}` or `+b/{name}`"),
            });
        }
        Ok(name.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(settings: &[(&str, &str)]) -> Options {
        let mut options = Options::default();
        for (name, argument) in settings {
            options.set(name, Some(argument)).unwrap();
        }
        options
    }

    #[test]
    fn prefixes_name_the_other_directories() {
        let options = options(&[
            ("basedir", "/srv/apt"),
            ("outdir", "+b/www"),
            ("distdir", "+o/d"),
            ("logdir", "+c/../logs"),
        ]);
        let (directories, warnings) = Directories::resolve(&options, Some("/root".into())).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(directories.out, Path::new("/srv/apt/www"));
        assert_eq!(directories.dist, Path::new("/srv/apt/www/d"));
        assert_eq!(directories.log, Path::new("/srv/apt/conf/../logs"));
        assert_eq!(directories.gnupg, Path::new("/srv/apt/gpg"));
        assert_eq!(directories.file("x"), Path::new("/srv/apt/conf/x"));
        assert_eq!(directories.file("+o/x"), Path::new("/srv/apt/www/x"));
        assert_eq!(directories.file("~/x"), Path::new("/root/x"));
        assert_eq!(directories.file("./x"), Path::new("./x"));
        assert_eq!(directories.file("/x"), Path::new("/x"));
    }

    #[test]
    fn a_prefix_that_is_not_known_yet_is_refused() {
        for (name, argument) in [("confdir", "+o/x"), ("outdir", "+o/x"), ("logdir", "++b/x")] {
            let error = Directories::resolve(&options(&[(name, argument)]), None).unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("invalid {name} `{argument}`")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_plain_name_warns() {
        let (directories, warnings) = Directories::resolve(&options(&[("dbdir", "db")]), None).unwrap();
        assert_eq!(directories.db, Path::new("db"));
        assert!(warnings[0].to_string().contains("current directory"));
    }
}
