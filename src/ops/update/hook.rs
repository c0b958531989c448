//! `ListHook` and `ListShellHook`: programs that change an upstream's index before it is read.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::conf::update::{ListHook, UpdateRule};
use crate::fsio::{AtPath, process};
use crate::mirror::Interrupt;
use crate::model::IndexId;

use super::super::archive::Archive;
use super::super::session::script_directories;
use super::super::{Result, with_causes};
use super::Error;

/// How long a hook may run.
const HOOK_LIMIT: Duration = Duration::from_secs(600);

/// The index as the rule's hook leaves it, for one index of ours; the copy itself if there is no hook.
///
/// # Errors
/// The hook fails or takes too long, or a signal came.
pub(super) fn run(
    archive: &Archive<'_>,
    interrupt: &Interrupt,
    (rule, list): (&UpdateRule, &Path),
    index: &IndexId,
) -> Result<PathBuf> {
    let Some(hook) = &rule.list_hook else {
        return Ok(list.to_owned());
    };
    let lists = &archive.directories.list;
    let output = lists.join(".hooked");
    crate::fsio::remove_if_there(&output)?;
    let failed = |problem: String| Error::Hook {
        rule: rule.name.clone(),
        list: list.to_owned(),
        problem,
    };
    let mut command = match hook {
        ListHook::Program(program) => {
            let mut command = Command::new(program);
            command.arg(list).arg(&output).stdin(Stdio::null());
            command
        }
        ListHook::Shell(text) => {
            let target = File::options()
                .write(true)
                .create_new(true)
                .open(&output)
                .at("create", &output)?;
            let mut command = Command::new("sh");
            command
                .args(["-c", text])
                .stdin(File::open(list).at("open", list)?)
                .stdout(target);
            command
        }
    };
    command.envs(script_directories(&archive.directories));
    let variables = [
        ("REPREPRO_FILTER_CODENAME", index.codename.as_str()),
        ("REPREPRO_FILTER_PACKAGETYPE", index.kind.package_type().as_str()),
        ("REPREPRO_FILTER_COMPONENT", index.component.as_str()),
        ("REPREPRO_FILTER_ARCHITECTURE", index.kind.architecture_word()),
        ("REPREPRO_FILTER_PATTERN", rule.name.as_str()),
    ];
    command.envs(variables);
    match process::run_until(&mut command, HOOK_LIMIT, || interrupt.is_told()) {
        Ok(status) if status.success() && output.is_file() => Ok(output),
        Ok(status) if status.success() => Err(failed("it wrote no index".into()).into()),
        Ok(status) => Err(failed(status.to_string()).into()),
        Err(error) => Err(failed(with_causes(&error)).into()),
    }
}
