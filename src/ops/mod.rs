//! Follows.
pub mod key_package;
pub mod keys;
