//! SIGINT and SIGTERM while upstreams are asked: noted, so that what is under way can be left in good order. A second
//! one ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::{Error, Result};

/// Whether somebody asked to stop; all clones know the same.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    is_told: AtomicBool,
    wake: Notify,
}

impl Interrupt {
    /// Catches the signals from now on, for the rest of the program's life. A second signal calls `at_once`.
    ///
    /// # Errors
    /// The system gives no thread or no signal handler.
    pub fn catch(at_once: fn()) -> Result<Self> {
        let failed = |error: std::io::Error| Error::Signals {
            problem: error.to_string(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let entered = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        drop(entered);
        let caught = Self::default();
        let told = caught.clone();
        let watch = move || {
            runtime.block_on(async {
                for is_second in [false, true] {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if is_second {
                        at_once();
                    }
                    told.tell();
                }
            });
        };
        let thread = std::thread::Builder::new().name("signals".into()).spawn(watch);
        thread.map_err(failed)?;
        Ok(caught)
    }

    fn tell(&self) {
        self.state.is_told.store(true, Ordering::SeqCst);
        self.state.wake.notify_waiters();
    }

    /// Whether a signal came.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.state.is_told.load(Ordering::SeqCst)
    }

    /// Waits for a signal.
    pub(super) async fn told(&self) {
        // made before the question, so that a signal between the two is not missed
        let waked = self.state.wake.notified();
        if !self.is_told() {
            waked.await;
        }
    }
}
