//! Other programs: run with a time limit, so that a hook that hangs never hangs the archive.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// Runs a program to its end. After `limit` it is killed, and all it started in its process group with it.
///
/// # Errors
/// The program cannot be started, or had to be killed.
pub fn run_limited(command: &mut Command, limit: Duration) -> io::Result<ExitStatus> {
    run_until(command, limit, || false)
}

/// The same, and it is killed when `is_over` says so, which is asked many times a second.
///
/// # Errors
/// The program cannot be started, or had to be killed.
pub fn run_until(command: &mut Command, limit: Duration, is_over: impl Fn() -> bool) -> io::Result<ExitStatus> {
    let mut child = start(command.process_group(0))?;
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let is_over = is_over();
        if is_over || start.elapsed() >= limit {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                rustix::process::kill_process_group(group, Signal::KILL)?;
            }
            child.wait()?;
            if is_over {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "it was told to stop"));
            }
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("did not end within {} s and was killed", limit.as_secs()),
            ));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Starts a program. One that somebody has open for writing, as while it is being saved, is given a moment.
fn start(command: &mut Command) -> io::Result<Child> {
    let mut left = 50_u32;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && left > 0 => left -= 1,
            outcome => return outcome,
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        let mut hanging = Command::new("sh");
        hanging.args(["-c", "sleep 60 & wait"]);
        let start = Instant::now();
        let error = run_limited(&mut hanging, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_program_that_ends_gives_its_status() {
        let status = run_limited(Command::new("sh").args(["-c", "exit 3"]), Duration::from_secs(10)).unwrap();
        assert_eq!(status.code(), Some(3));
    }
}
