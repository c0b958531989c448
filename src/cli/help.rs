//! The page that `aptrepo --help` prints: the commands grouped by what one wants to do, with examples.

/// What is before the options.
pub const OVERVIEW: &str = "\
Usage: aptrepo [OPTIONS] COMMAND [ARGUMENTS]

Set up:
  init              Write a first configuration for a new archive
  check-conf        Read the configuration and report every fault in it
  key               Make, import, export, list and check the keys that sign the archive

Bring packages in:
  include           Add all that a .changes file lists
  includedeb        Add .deb files
  includeudeb       Add .udeb files
  includedsc        Add source packages

Move and remove packages:
  copy              Copy packages of these names into another distribution
  copysrc           Copy a source with all its binaries
  copymatched       Copy packages whose name matches a glob
  copyfilter        Copy packages that fulfil a formula
  remove            Remove packages of these names
  removesrc         Remove a source with all its binaries
  removesrcs        Remove several sources with all their binaries
  removematched     Remove packages whose name matches a glob
  removefilter      Remove packages that fulfil a formula

Look:
  list              List the packages of a distribution
  listmatched       List the packages whose name matches a glob
  listfilter        List the packages that fulfil a formula
  ls                Show where a package is, over all distributions
  lsbycomponent     Show where a package is, with its components
  show              Print the stanzas of a package, and the indexes that list it

Publish:
  export            Write and sign the indexes of distributions, changed or not
  createsymlinks    Make the links of suite names to codenames
  serve             Serve the published archive over HTTP

Look after it:
  check             Check that all files of all packages are there
  checkpool         Check the content of every file in the pool
  dumpunreferenced  List the pool files that nothing refers to
  deleteunreferenced  Delete them
  dumpreferences    List what refers to each pool file
  rerunnotifiers    Call the notifiers for every package that is there
  dump, load        Write the whole state as text; read it into an empty database

Tracking:
  dumptracks        Print the tracking data of distributions
  retrack           Build it anew
  tidytracks        Drop tracked files that are no longer wanted
  removetrack       Forget one tracked source version
  removealltracks   Forget all tracking data of distributions

`aptrepo COMMAND --help` tells the arguments of a command.
";

/// What is after the options.
pub const EXAMPLES: &str = "\
Examples:
  aptrepo -b /srv/apt init noble-staging noble-prod
  aptrepo -b /srv/apt -C main include noble-staging hello_1.0-1_amd64.changes
  aptrepo -b /srv/apt -C main copysrc noble-prod noble-staging hello
  aptrepo -b /srv/apt --dry-run removesrc noble-staging hello
  aptrepo -b /srv/apt --json ls hello

Exit codes: 0 done or nothing to do, 1 command line wrong, 239 locked, 243 not
permitted, 248 unknown field in the configuration, 249 unknown distribution,
250 bad signature, 251 cannot sign, 254 wrong checksum or missing file, 255 else.
";
