//! A self-hosted APT repository manager.
//!
//! # Layers
//! Each line uses those below it, never those above; `tests/layers.rs` holds the exact table.
//! ```text
//! cli       parses, runs one use case, prints          serve   the published tree over HTTP
//! ops       use cases, one a file: gather, plan, commit, publish
//! publish   a snapshot becomes the signed tree that apt clients read
//! store     the archive's state: block indexes, journal, lookup tables
//! ingest    packages and uploads from outside, spooled and checked
//! mirror    upstream archives: Release files, indexes, package files, fetched and checked
//! conf      the configuration, checked                 pgp     keys, signing, verifying
//! fsio      files: atomic, durable, limited            model   the words of an archive as checked types
//! ```
//!
//! # How a package travels
//! 1. `cli` reads the command line; `conf` the configuration; [`ops::session`] takes the lock.
//! 2. `ingest` brings the file into the spool, hashing and reading it in one pass, and checks what was promised of it.
//! 3. [`ops::include`] finds component, section and indexes, and makes an [`ops::plan::Plan`]; `--dry-run` prints it.
//! 4. The file is renamed into the pool; `store` writes the blocks that hold it, and commits by one line of the journal.
//! 5. `publish` builds the new `dists/CODENAME` beside the live one, signs it, and exchanges the two.
//! 6. Log lines are written, notifiers called, files whose time is over removed.
//!
//! # Words
//! - *archive*: everything below one base directory; *distribution*: what one stanza of conf/distributions describes,
//!   named by its *codename*, sometimes by its *suite*;
//! - *component*, *architecture*: the two ways in which a distribution is divided; *index*: the list of packages of one
//!   component and architecture, or of a component's sources;
//! - *stanza*: one package's text in an index; *entry*: what is kept of it beside that text;
//! - *pool*: the packages' files; *unreferenced*: a pool file that no index and no track names;
//! - *track*: the files of one source version in a distribution;
//! - *block*, *root*, *object*: an index is a list of blocks, which its root names; both are objects, files that never
//!   change and are named by their digest;
//! - *head*: the root that an index has now; *journal*: the file whose lines move heads; *snapshot*: all heads at one
//!   moment;
//! - *upload*: a .changes with what it lists; *upstream*: somebody else's archive that is mirrored.

pub mod cli;
pub mod conf;
pub mod fsio;
pub mod ingest;
pub mod mirror;
pub mod model;
pub mod ops;
pub mod pgp;
pub mod publish;
pub mod serve;
pub mod store;
