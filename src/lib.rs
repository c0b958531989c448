//! A self-hosted APT repository manager.
//!
//! How the layers lie on each other (`tests/layers.rs` holds it): `model` is pure and used by all; `conf`, `pgp` and
//! `fsio` stand on it; `ingest` reads packages, `mirror` brings upstream archives, `store` keeps the archive's state, `publish` writes the tree that apt
//! clients read; `ops` has one use case a file; `serve` and `cli` are the two ways in.

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
