//! How far the transfer of several files is: counted where bytes arrive, added up a few times a second for whoever
//! watches.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often it is told.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// The time over which the rate is taken.
const RATE_TIME: Duration = Duration::from_secs(10);

/// How far a transfer is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files that arrived or failed.
    pub files_done: usize,
    /// All files.
    pub files: usize,
    /// Bytes that are here.
    pub bytes_done: u64,
    /// Bytes of all files, where that is known.
    pub bytes: Option<u64>,
    /// Bytes a second, over the last seconds.
    pub bytes_per_second: u64,
    /// One of the files that are on their way.
    pub current: Option<String>,
}

impl Progress {
    /// How many seconds the rest takes at this rate; none if that cannot be said.
    #[must_use]
    pub fn seconds_left(&self) -> Option<u64> {
        let left = self.bytes?.saturating_sub(self.bytes_done);
        left.checked_div(self.bytes_per_second)
    }
}

/// One file on its way.
#[derive(Debug)]
pub(super) struct Gauge {
    name: String,
    length: AtomicU64,
    received: Arc<AtomicU64>,
}

impl Gauge {
    /// An attempt begins with so many bytes that are here.
    pub(super) fn begin(&self, length: u64) {
        self.length.store(length, Ordering::Relaxed);
    }

    /// So many bytes came.
    pub(super) fn add(&self, count: u64) {
        self.length.fetch_add(count, Ordering::Relaxed);
        self.received.fetch_add(count, Ordering::Relaxed);
    }
}

/// All files of one transfer.
#[derive(Debug)]
pub(super) struct Meter {
    files: usize,
    bytes: Option<u64>,
    files_done: usize,
    bytes_done: u64,
    running: BTreeMap<usize, Arc<Gauge>>,
    received: Arc<AtomicU64>,
    samples: VecDeque<(Instant, u64)>,
    shown: Instant,
}

impl Meter {
    /// For files of these sizes.
    pub(super) fn new(sizes: impl ExactSizeIterator<Item = Option<u64>>) -> Self {
        let now = Instant::now();
        Self {
            files: sizes.len(),
            bytes: sizes.sum(),
            files_done: 0,
            bytes_done: 0,
            running: BTreeMap::new(),
            received: Arc::default(),
            samples: VecDeque::from([(now, 0)]),
            shown: now,
        }
    }

    /// The file of this number and address begins.
    pub(super) fn begin(&mut self, number: usize, url: &str) -> Arc<Gauge> {
        let gauge = Arc::new(Gauge {
            name: url.rsplit('/').next().unwrap_or(url).to_owned(),
            length: AtomicU64::new(0),
            received: Arc::clone(&self.received),
        });
        self.running.insert(number, Arc::clone(&gauge));
        gauge
    }

    /// The file of this number arrived or failed.
    pub(super) fn end(&mut self, number: usize) {
        self.files_done += 1;
        if let Some(gauge) = self.running.remove(&number) {
            self.bytes_done = self.bytes_done.saturating_add(gauge.length.load(Ordering::Relaxed));
        }
    }

    /// Whether it is time to tell again.
    pub(super) fn is_due(&mut self) -> bool {
        let is_due = self.shown.elapsed() >= TICK;
        if is_due {
            self.shown = Instant::now();
        }
        is_due
    }

    /// How far it is now.
    pub(super) fn progress(&mut self) -> Progress {
        let running = self.running.values();
        let lengths = running.map(|gauge| gauge.length.load(Ordering::Relaxed));
        let bytes_done = lengths.fold(self.bytes_done, u64::saturating_add);
        Progress {
            files_done: self.files_done,
            files: self.files,
            bytes_done,
            bytes: self.bytes,
            bytes_per_second: self.rate(Instant::now()),
            // the one that is on its way the longest
            current: self.running.values().next().map(|gauge| gauge.name.clone()),
        }
    }

    fn rate(&mut self, now: Instant) -> u64 {
        let received = self.received.load(Ordering::Relaxed);
        self.samples.push_back((now, received));
        while self.samples.len() > 2
            && self
                .samples
                .front()
                .is_some_and(|(time, _)| now.saturating_duration_since(*time) > RATE_TIME)
        {
            self.samples.pop_front();
        }
        let Some((start, before)) = self.samples.front() else {
            return 0;
        };
        let milliseconds = now.saturating_duration_since(*start).as_millis();
        let bytes = u128::from(received.saturating_sub(*before)).saturating_mul(1000);
        u64::try_from(bytes.checked_div(milliseconds).unwrap_or(0)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_here_before_counts_as_done_and_not_for_the_rate() {
        let mut meter = Meter::new([Some(1000), Some(500)].into_iter());
        let (first, second) = (meter.begin(0, "http://h/pool/a.deb"), meter.begin(1, "http://h/b.deb"));
        first.begin(400);
        first.add(100);
        second.add(500);
        meter.end(1);
        let start = meter.samples.front().map(|(start, _)| *start).unwrap();
        assert_eq!(meter.rate(start + Duration::from_secs(2)), 300);
        let progress = meter.progress();
        assert_eq!(
            (progress.files_done, progress.files, progress.bytes_done, progress.bytes),
            (1, 2, 1000, Some(1500))
        );
        assert_eq!(progress.current.as_deref(), Some("a.deb"));
        let at_a_rate = Progress {
            bytes_per_second: 100,
            ..progress.clone()
        };
        assert_eq!(at_a_rate.seconds_left(), Some(5));
        let standing = Progress {
            bytes_per_second: 0,
            ..progress
        };
        assert_eq!(standing.seconds_left(), None);
    }

    #[test]
    fn without_the_size_of_each_there_is_no_sum() {
        let mut meter = Meter::new([Some(1000), None].into_iter());
        assert_eq!(meter.progress().bytes, None);
    }
}
