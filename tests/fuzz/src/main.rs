//! The fuzzer: libFuzzer on the entry that the variable `ENTRY` names. `make fuzz` builds and runs it.
#![no_main]

mod entries;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static ENTRY: OnceLock<entries::Entry> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let entry = ENTRY.get_or_init(|| {
        let wanted = std::env::var("ENTRY").unwrap_or_default();
        let found = entries::ENTRIES.iter().find(|(name, _)| *name == wanted);
        let names = entries::ENTRIES.map(|(name, _)| name).join(" ");
        found.unwrap_or_else(|| panic!("ENTRY must be one of {names}")).1
    });
    entry(data);
});
