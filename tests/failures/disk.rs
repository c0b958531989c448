//! A small file system under an archive: full, or read-only. Only root can mount one; else the tests are skipped.

use std::path::PathBuf;
use std::process::Command;

use crate::support::steps::copy_tree;
use crate::support::{TestEnv, TestResult, have_tools, skip};

const PAGE_BYTES: u64 = 4096;
const LARGE: &str = "size=64m,nr_inodes=20000";

/// What is taken of a file system, or left.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    pub pages: u64,
    pub files: u64,
}

/// How much room there is for a command.
#[derive(Debug, Clone, Copy)]
pub enum Room {
    /// So many pages of 4096 bytes.
    Pages(u64),
    /// So many files and directories.
    Files(u64),
}

/// A mounted file system, until it is dropped.
#[derive(Debug)]
pub struct Disk {
    place: PathBuf,
}

impl Disk {
    /// Puts a file system under the base directory of an archive; none where that is not possible.
    pub fn under(env: &TestEnv) -> TestResult<Option<Self>> {
        if !have_tools(&["mount", "umount"]) {
            return Ok(None);
        }
        let (place, kept) = (env.base(), env.root().join("kept"));
        copy_tree(&place, &kept)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", LARGE, "aptrepo-test"])
            .arg(&place)
            .output()?;
        if !mounted.status.success() {
            skip(&format!("cannot mount: {}", String::from_utf8_lossy(&mounted.stderr)));
            return Ok(None);
        }
        let disk = Self { place };
        copy_tree(&kept, &disk.place)?;
        Ok(Some(disk))
    }

    pub fn used(&self) -> TestResult<Used> {
        let found = rustix::fs::statvfs(&self.place)?;
        Ok(Used {
            pages: (found.f_blocks - found.f_bfree) * found.f_frsize / PAGE_BYTES,
            files: found.f_files - found.f_ffree,
        })
    }

    pub fn remount(&self, options: &str) -> TestResult {
        let mut mount = Command::new("mount");
        let status = mount
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.place)
            .status()?;
        assert!(status.success(), "mount -o remount,{options}");
        Ok(())
    }

    /// Makes room.
    pub fn enlarge(&self) -> TestResult {
        self.remount(LARGE)
    }

    /// Leaves so much room.
    pub fn leave(&self, room: Room) -> TestResult {
        let used = self.used()?;
        match room {
            Room::Pages(more) => self.remount(&format!("size={}", (used.pages + more) * PAGE_BYTES)),
            Room::Files(more) => self.remount(&format!("nr_inodes={}", used.files + more)),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.place).status();
    }
}
