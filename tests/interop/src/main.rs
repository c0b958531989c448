//! `aptrepo-interop URL CODENAME...`: reads the archive at URL with debian-packaging, an implementation of the archive
//! format that shares no code with aptrepo, and checks that what Release promises is there: every index under its name
//! and its by-hash name, every package's fields, every file of the pool. It does not look at signatures: the library
//! does not verify them, and apt and gpgv do in the other tests.

mod check;
mod http;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), codenames) = (arguments.next(), arguments.collect::<Vec<_>>()) else {
        eprintln!("usage: aptrepo-interop URL CODENAME...");
        return ExitCode::from(2);
    };
    let (mut passed, mut failed) = (0, 0);
    for codename in &codenames {
        match check::distribution(&url, codename) {
            Ok(counts) => {
                println!("{codename}: {counts}");
                passed += 1;
            }
            Err(fault) => {
                eprintln!("{codename}: {fault}");
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if passed > 0 && failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
