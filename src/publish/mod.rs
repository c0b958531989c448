//! Writes the tree that apt clients read.

mod compress;
mod parts;

use crate::fsio;

/// A distribution could not be published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] fsio::Error),
}
