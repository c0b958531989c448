//! `init`: a first configuration for a new archive.

use crate::conf::Directories;
use crate::fsio;
use crate::model::Codename;

use super::{Error, Result};

/// What the first configuration is to say.
#[derive(Debug, Clone)]
pub struct NewArchive {
    /// The distributions.
    pub codenames: Vec<Codename>,
    /// Who publishes the archive.
    pub origin: String,
    /// The architectures, `source` among them.
    pub architectures: Vec<String>,
    /// The components.
    pub components: Vec<String>,
}

const OPTIONS: &str = "\
# What every command takes unless the command line says otherwise.
# pool/ and dists/, all that a web server has to publish, lie below outdir.
outdir +b/www
logdir +b/logs
gnupghome +b/gpg
# Pool files that nothing refers to are kept so long, for clients with an old index.
retain 3d
";

/// Writes conf/options and conf/distributions.
///
/// # Errors
/// There is a configuration already, the origin cannot stand in one, or the directory cannot be written.
pub fn init(directories: &Directories, new: &NewArchive) -> Result<()> {
    let distributions = directories.conf.join("distributions");
    let options = directories.conf.join("options");
    for path in [&distributions, &options] {
        if path.exists() {
            return Err(Error::AlreadyThere { path: path.clone() });
        }
    }
    if new.origin.trim().is_empty() || new.origin.contains(|c: char| c.is_control() || c == '#') {
        return Err(Error::InvalidOrigin {
            origin: new.origin.clone(),
        });
    }
    fsio::create_dir_all(&directories.conf)?;
    let stanzas: Vec<String> = new.codenames.iter().map(|codename| stanza(codename, new)).collect();
    fsio::write_atomic(&options, OPTIONS.as_bytes())?;
    fsio::write_atomic(&distributions, stanzas.join("\n").as_bytes())?;
    Ok(())
}

fn stanza(codename: &Codename, new: &NewArchive) -> String {
    let NewArchive {
        origin,
        architectures,
        components,
        ..
    } = new;
    let is_staging = codename.as_str().ends_with("-staging");
    // apt gives a NotAutomatic distribution priority 1: it installs nothing from there unless told to
    let not_automatic = if is_staging { "NotAutomatic: yes\n" } else { "" };
    format!(
        "Origin: {origin}\n\
         Label: {origin} {codename}\n\
         Suite: {codename}\n\
         Codename: {codename}\n\
         Architectures: {}\n\
         Components: {}\n\
         Description: {origin} packages, {codename}\n\
         {not_automatic}\
         Contents: .gz\n\
         Tracking: keep\n\
         SignWith: yes\n\
         Log: {}.log\n",
        architectures.join(" "),
        components.join(" "),
        codename.as_str().replace('/', "-"),
    )
}
