//! Use cases.
pub mod key_package;
pub mod keys;
pub mod notify;
pub mod plan;
pub mod query;
pub mod tracking;
/// x
pub type Result<T> = std::result::Result<T, crate::store::Error>;
