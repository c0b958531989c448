//! aptrepo
fn main() {}
