//! Nothing: the benchmarks are in `benches/`, and a package needs a library or a program.
