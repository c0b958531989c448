//! The commands and their arguments. A name, a version or an architecture is checked here, at the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::model::{PackageName, SourceName, Version};

use super::options::GlobalOptions;

/// The whole command line.
#[derive(Debug)]
pub struct CommandLine {
    /// What every command takes.
    pub global: GlobalOptions,
    /// The command.
    pub command: Command,
}

impl CommandLine {
    /// What the parser is to know.
    pub fn command() -> clap::Command {
        Command::augment_subcommands(Top::command())
    }

    /// The same with one command alone: the parser copies every option of [`GlobalOptions`] to each command it knows,
    /// which takes longer than all else at the start.
    pub fn with_command(name: &str) -> Option<clap::Command> {
        let one = commands().find_subcommand(name).cloned()?;
        Some(Top::command().subcommand(one))
    }

    /// What the parser has found.
    pub fn of(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            global: GlobalOptions::from_arg_matches(matches)?,
            command: Command::from_arg_matches(matches)?,
        })
    }
}

/// All commands, without what stands beside them.
pub fn commands() -> clap::Command {
    Command::augment_subcommands(clap::Command::new("aptrepo"))
}

/// What stands beside the command.
#[derive(Debug, Parser)]
#[command(
    name = "aptrepo",
    bin_name = "aptrepo",
    version,
    about = "A self-hosted APT repository manager",
    infer_long_args = true,
    disable_help_subcommand = true,
    disable_help_flag = true,
    disable_version_flag = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Top {
    #[command(flatten)]
    _global: GlobalOptions,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[command(rename_all = "lower")]
pub enum Command {
    /// Write a first configuration for a new archive
    Init(Init),
    /// Read the configuration and report every fault in it
    #[command(name = "check-conf")]
    CheckConf,
    /// Make, import, export, list and check the keys that sign the archive
    Key(super::keys::KeyCommand),

    /// Add all that a .changes file lists
    Include(IncludeChanges),
    /// Add .deb files
    IncludeDeb(IncludeFiles),
    /// Add .udeb files
    IncludeUdeb(IncludeFiles),
    /// Add source packages
    IncludeDsc(IncludeFiles),

    /// Bring distributions up to date with their upstreams
    Update(Distributions),
    /// Print what update would do
    CheckUpdate(Distributions),
    /// Print what update would do, for scripts
    DumpUpdate(Distributions),

    /// Remove what update would replace or remove, to have room for what it brings
    PreDelete(Distributions),
    /// Remove downloaded indexes that no update rule uses
    CleanLists,
    /// Take packages over from other distributions of the archive
    Pull(Distributions),
    /// Print what pull would do
    CheckPull(Distributions),
    /// Print what pull would do, for scripts
    DumpPull(Distributions),

    /// Copy packages of these names into another distribution
    Copy(Copy),
    /// Copy a source with all its binaries into another distribution
    CopySrc(CopySource),
    /// Copy packages whose name matches a glob into another distribution
    CopyMatched(CopyMatched),
    /// Copy packages that fulfil a formula into another distribution
    CopyFilter(CopyFiltered),
    /// Remove packages of these names, `name` or `name=version`
    Remove(Remove),
    /// Remove a source with all its binaries
    RemoveSrc(RemoveSource),
    /// Remove several sources with all their binaries, `source` or `source=version`
    RemoveSrcs(RemoveSources),
    /// Remove packages whose name matches a glob
    RemoveMatched(Matched),
    /// Remove packages that fulfil a formula
    RemoveFilter(Filtered),

    /// List the packages of a distribution
    List(List),
    /// List the packages whose name matches a glob
    ListMatched(Matched),
    /// List the packages that fulfil a formula
    ListFilter(Filtered),
    /// Show where a package is, over all distributions
    Ls(Named),
    /// Show where a package is, with its components
    LsByComponent(Named),
    /// Print the stanzas of a package, and the indexes that list it
    Show(Show),

    /// Write and sign the indexes of distributions, changed or not
    Export(Distributions),
    /// Make the links of suite names to codenames
    CreateSymlinks(Distributions),
    /// Serve the published archive over HTTP
    Serve(Serve),

    /// Check that all files of all packages are there
    Check(Distributions),
    /// Check the content of every file in the pool; `fast`: only its size
    CheckPool(CheckPool),
    /// List the pool files that nothing refers to
    DumpUnreferenced,
    /// Delete the pool files that nothing refers to
    DeleteUnreferenced,
    /// List what refers to each pool file
    DumpReferences,
    /// Call the notifiers for every package that is there
    RerunNotifiers(Distributions),
    /// Forget the packages of distributions, components and architectures that conf no longer has
    ClearVanished,
    /// Write the whole state of the archive as text to stdout
    Dump,
    /// Read the state that `dump` wrote, from stdin, into an empty database
    Load,
    /// Rebuild a damaged database from what is left of it, the published indexes, the pool and the last saved dump
    Recover(Recover),

    /// Print the tracking data of distributions
    DumpTracks(Distributions),
    /// Build the tracking data of distributions anew
    Retrack(Distributions),
    /// Drop tracked files that are no longer wanted
    TidyTracks(Distributions),
    /// Forget one tracked source version
    RemoveTrack(RemoveTrack),
    /// Forget all tracking data of distributions
    RemoveAllTracks(Distributions),

    /// List the codenames of the configuration
    #[command(name = "_listcodenames", hide = true)]
    ListCodenames,
    /// Compare two versions
    #[command(name = "_versioncompare", hide = true)]
    VersionCompare(VersionCompare),

    /// A command that there is none of, or none yet.
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

impl Command {
    /// Whether it may change what the database holds.
    pub fn is_writing(&self) -> bool {
        matches!(
            self,
            Self::Include(_)
                | Self::IncludeDeb(_)
                | Self::IncludeUdeb(_)
                | Self::IncludeDsc(_)
                | Self::Update(_)
                | Self::PreDelete(_)
                | Self::Pull(_)
                | Self::Copy(_)
                | Self::CopySrc(_)
                | Self::CopyMatched(_)
                | Self::CopyFilter(_)
                | Self::Remove(_)
                | Self::RemoveSrc(_)
                | Self::RemoveSrcs(_)
                | Self::RemoveMatched(_)
                | Self::RemoveFilter(_)
                | Self::Export(_)
                | Self::Check(_)
                | Self::ClearVanished
                | Self::Load
                | Self::Retrack(_)
                | Self::TidyTracks(_)
                | Self::RemoveTrack(_)
                | Self::RemoveAllTracks(_)
        )
    }
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Codenames of the distributions; one that ends in `-staging` gets `NotAutomatic: yes` [default: stable]
    pub codenames: Vec<crate::model::Codename>,
    /// Who publishes the archive: Origin in Release
    #[arg(long, default_value = "Local")]
    pub origin: String,
}

/// Arguments of `include`.
#[derive(Debug, Args)]
pub struct IncludeChanges {
    /// Codename or suite
    pub distribution: String,
    /// The .changes file
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

/// Arguments of `includedeb` and its relatives.
#[derive(Debug, Args)]
pub struct IncludeFiles {
    /// Codename or suite
    pub distribution: String,
    /// The files; all of them come in, or none
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

/// Arguments of `copy`.
#[derive(Debug, Args)]
pub struct Copy {
    /// Where to
    pub destination: String,
    /// Where from
    pub source: String,
    /// The packages, `name` or `name=version`
    #[arg(required = true)]
    pub names: Vec<String>,
}

/// Arguments of `copysrc`.
#[derive(Debug, Args)]
pub struct CopySource {
    /// Where to
    pub destination: String,
    /// Where from
    pub source: String,
    /// The source package
    pub name: SourceName,
    /// Only these versions of it
    pub versions: Vec<Version>,
}

/// Arguments of `copymatched`.
#[derive(Debug, Args)]
pub struct CopyMatched {
    /// Where to
    pub destination: String,
    /// Where from
    pub source: String,
    /// A glob, as in the shell
    pub glob: String,
}

/// Arguments of `remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// Codename or suite
    pub distribution: String,
    /// The packages
    #[arg(required = true)]
    pub names: Vec<String>,
}

/// Arguments of `removesrc`.
#[derive(Debug, Args)]
pub struct RemoveSource {
    /// Codename or suite
    pub distribution: String,
    /// The source package
    pub name: SourceName,
    /// Only this version of it
    pub version: Option<Version>,
}

/// Arguments of `removesrcs`.
#[derive(Debug, Args)]
pub struct RemoveSources {
    /// Codename or suite
    pub distribution: String,
    /// The source packages
    #[arg(required = true)]
    pub names: Vec<String>,
}

/// A distribution and a glob.
#[derive(Debug, Args)]
pub struct Matched {
    /// Codename or suite
    pub distribution: String,
    /// A glob, as in the shell
    pub glob: String,
}

/// Arguments of `copyfilter`.
#[derive(Debug, Args)]
pub struct CopyFiltered {
    /// Where to
    pub destination: String,
    /// Where from
    pub source: String,
    /// A formula, as in FilterFormula: `Section (== web), $Version (>= 1.2)`
    pub formula: String,
}

/// A distribution and a formula.
#[derive(Debug, Args)]
pub struct Filtered {
    /// Codename or suite
    pub distribution: String,
    /// A formula, as in FilterFormula: `Section (== web), $Version (>= 1.2)`
    pub formula: String,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Codename or suite
    pub distribution: String,
    /// Only packages of this name
    pub name: Option<String>,
}

/// A package name.
#[derive(Debug, Args)]
pub struct Named {
    /// The package
    pub name: PackageName,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The package
    pub name: PackageName,
    /// Only in these distributions
    pub distributions: Vec<String>,
}

/// Names of distributions; none means all.
#[derive(Debug, Args)]
pub struct Distributions {
    /// Codenames or suites [default: all]
    pub distributions: Vec<String>,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: std::net::SocketAddr,
}

/// Arguments of `checkpool`.
#[derive(Debug, Args)]
pub struct CheckPool {
    /// `fast` looks at sizes only
    #[arg(value_parser = ["fast"])]
    pub depth: Option<String>,
}

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct Recover {
    /// Rebuild a database, too, in which nothing is found damaged
    #[arg(long)]
    pub anyway: bool,
}

/// Arguments of `removetrack`.
#[derive(Debug, Args)]
pub struct RemoveTrack {
    /// Codename or suite
    pub distribution: String,
    /// The source package
    pub name: SourceName,
    /// Its version
    pub version: Version,
}

/// Arguments of `_versioncompare`.
#[derive(Debug, Args)]
pub struct VersionCompare {
    /// One version
    pub first: Version,
    /// Another
    pub second: Version,
}
