//! How far a download is and how much it was, in the words of people.

use crate::mirror::Progress;

/// A number of bytes such as `12.3 MB`, a MB being a million bytes.
#[must_use]
pub fn human_bytes(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut tenths = u128::from(bytes).saturating_mul(10);
    let mut unit = None;
    for larger in units {
        // what would be shown as 1000.0 is one of the next unit
        if tenths < 10_000 && (unit.is_some() || bytes < 1000) {
            break;
        }
        tenths = (tenths + 500) / 1000;
        unit = Some(larger);
    }
    match unit {
        None => format!("{bytes} bytes"),
        Some(unit) => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

fn human_time(seconds: u64) -> String {
    match seconds {
        0..100 => format!("{seconds} s"),
        100..6000 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{} h", (seconds + 1800) / 3600),
    }
}

/// The line that says how far a download is.
pub(super) fn line(progress: &Progress) -> String {
    let mut line = format!(
        "{}/{} files, {}",
        progress.files_done,
        progress.files,
        human_bytes(progress.bytes_done)
    );
    if let Some(bytes) = progress.bytes {
        line += &format!("/{}", human_bytes(bytes));
    }
    line += &format!(", {}/s", human_bytes(progress.bytes_per_second));
    if let Some(seconds) = progress.seconds_left() {
        line += &format!(", {} left", human_time(seconds));
    }
    if let Some(current) = &progress.current {
        line += &format!(": {current}");
    }
    line
}

/// What a rule brought, for the end of a run.
pub(super) fn summary(rule: &str, files: u64, bytes: u64, seconds: u64) -> String {
    let plural = if files == 1 { "" } else { "s" };
    let bytes = human_bytes(bytes);
    format!(
        "{rule}: {files} file{plural} fetched, {bytes} in {}",
        human_time(seconds)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (12_345_678, "12.3 MB"),
            (999_949, "999.9 kB"),
            (999_951, "1.0 MB"),
            (5_000_000_000_000_000, "5000.0 TB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
        for (seconds, text) in [
            (0, "0 s"),
            (99, "99 s"),
            (100, "2 min"),
            (5999, "100 min"),
            (10_800, "3 h"),
        ] {
            assert_eq!(human_time(seconds), text);
        }
    }

    #[test]
    fn the_line_leaves_out_what_is_not_known() {
        let mut progress = Progress {
            files_done: 2,
            files: 7,
            bytes_done: 1_500_000,
            bytes: None,
            bytes_per_second: 300_000,
            current: Some("a_1_all.deb".into()),
        };
        assert_eq!(line(&progress), "2/7 files, 1.5 MB, 300.0 kB/s: a_1_all.deb");
        progress.bytes = Some(3_000_000);
        assert_eq!(
            line(&progress),
            "2/7 files, 1.5 MB/3.0 MB, 300.0 kB/s, 5 s left: a_1_all.deb"
        );
    }
}
