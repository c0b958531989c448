//! How much a package may be: generous for any real one, and small enough that a hostile one costs neither the memory
//! nor the night.

/// The limits that reading a package keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The unpacked control member, in bytes.
    pub control_bytes: u64,
    /// The unpacked data member, in bytes.
    pub data_bytes: u64,
    /// What any compressed member may unpack to, however small it is, in bytes.
    pub free_bytes: u64,
    /// How many times its size a member may unpack to beyond `free_bytes`.
    pub ratio: u64,
    /// Entries of one tar archive.
    pub entries: u64,
    /// All paths of one package together, in bytes.
    pub path_bytes: u64,
    /// One path, or one extended header, in bytes.
    pub name_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            control_bytes: 16 << 20,
            data_bytes: 64 << 30,
            free_bytes: 1 << 30,
            ratio: 1000,
            entries: 5_000_000,
            path_bytes: 256 << 20,
            name_bytes: 64 << 10,
        }
    }
}

impl Limits {
    /// How many bytes a data member of this packed size may unpack to.
    pub(super) fn unpacked_bytes(&self, packed_bytes: u64) -> u64 {
        let by_ratio = packed_bytes.saturating_mul(self.ratio).saturating_add(self.free_bytes);
        by_ratio.min(self.data_bytes)
    }
}
