//! Whether an answer comes fast enough to be waited for: a server that sends a byte now and then would never run into
//! a limit on silence, and hold up a run for days.

use std::time::Duration;

use tokio::time::Instant;

/// The least that has to come, on the average of the time that a server may be silent.
const LEAST_BYTES_PER_SECOND: u64 = 100;

/// The pace of one answer.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    since: Instant,
    bytes: u64,
}

impl Pace {
    /// The pace of an answer that begins now, from a server that may be silent for `window`.
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// Waits for what is not the server's doing.
    pub async fn rests(&mut self, pause: impl Future<Output = ()>) {
        let start = Instant::now();
        pause.await;
        self.since += start.elapsed();
    }

    /// Notes what arrived.
    ///
    /// # Errors
    /// It was too little for the time that it took: a text that says so.
    pub fn arrived(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let passed = self.since.elapsed();
        if passed < self.window {
            return Ok(());
        }
        let came = self.bytes;
        if came < LEAST_BYTES_PER_SECOND.saturating_mul(passed.as_secs()) {
            return Err(format!("only {came} bytes came in {} seconds", passed.as_secs()));
        }
        *self = Self::new(self.window);
        Ok(())
    }
}
