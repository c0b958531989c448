//! Use cases: one file for each, the same for every way in. A use case gathers, plans, commits and publishes; it tells
//! through a [`Reporter`] and prints nothing.

pub mod archive;
mod archiving;
pub mod check;
pub mod copy;
pub mod dump;
pub mod error;
pub mod export;
mod extras;
pub mod garbage;
pub mod include;
pub mod init;
pub mod key_package;
pub mod keys;
mod list_format;
mod lookup;
mod lost;
pub mod notify;
mod override_files;
pub mod place;
pub mod plan;
pub mod pull;
pub mod query;
pub mod recover;
pub mod remove;
pub mod rerun;
mod rewrite;
pub mod select;
pub mod session;
mod tracking;
pub mod tracks;
pub mod update;
pub mod vanished;

pub use archive::{Archive, Reporter};
pub use error::{Error, Result, with_causes};
