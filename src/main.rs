//! Runs the command line and gives its exit code to the system.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(aptrepo::cli::run(std::env::args_os().collect()))
}
