//! Configuration. API skeleton: bodies follow.
#![allow(missing_docs)]
pub mod distribution;
