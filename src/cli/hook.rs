//! The program of `--endhook`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::model::ErrorKind;

use super::Error;
use super::term::exit_code;

/// Runs the program of `--endhook` when all locks are released. Its exit code takes the place of ours.
pub fn run_end_hook(
    hook: PathBuf,
    arguments: &[OsString],
    environment: Vec<(&'static str, PathBuf)>,
    code: u8,
) -> Result<u8, Error> {
    let status = Command::new(&hook)
        .args(arguments)
        .envs(environment)
        .env("REPREPRO_EXIT_CODE", code.to_string())
        .status()
        .map_err(|source| Error::Hook { hook, source })?;
    let ended = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ended.unwrap_or_else(|| exit_code(ErrorKind::General)))
}
