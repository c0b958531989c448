//! Use cases.
pub mod notify;
pub mod plan;
pub mod query;
pub mod tracking;
/// x
pub type Result<T> = std::result::Result<T, crate::store::Error>;
