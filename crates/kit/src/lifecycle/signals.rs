//! Signals: the first asks for a drain, the second for an end at once, the third takes it.

use std::fmt;
use std::io;

use futures::stream::{BoxStream, StreamExt};

use super::{Lifecycle, ShutdownCause};

/// A signal that asks the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// What Kubernetes and systemd send.
    Term,
    /// What Ctrl-C sends.
    Interrupt,
}

impl Signal {
    /// The exit code by which shells know that this signal ended a process.
    pub fn exit_code(self) -> u8 {
        match self {
            Signal::Term => 128 + 15,
            Signal::Interrupt => 128 + 2,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Term => "SIGTERM",
            Signal::Interrupt => "SIGINT",
        })
    }
}

impl Lifecycle {
    /// Listens for SIGTERM and SIGINT from now on. The first asks for shutdown, the second ends the drain
    /// at once. A third means that even that did not end the process, and exits on the spot.
    pub fn handle_signals(&self) -> io::Result<()> {
        let life = self.clone();
        let signals = os_signals()?;
        drop(crate::spawn("signals", async move {
            if let Some(signal) = life.obey(signals).await {
                tracing::error!(%signal, "third signal, exiting without waiting any longer");
                std::process::exit(signal.exit_code().into());
            }
        }));
        Ok(())
    }

    /// Obeys the first two signals and returns the third.
    pub(super) async fn obey(&self, mut signals: BoxStream<'static, Signal>) -> Option<Signal> {
        let first = signals.next().await?;
        tracing::info!(signal = %first, "asked to end");
        self.request_shutdown(ShutdownCause::Signal(first));
        let second = signals.next().await?;
        tracing::warn!(signal = %second, "asked a second time, ending at once");
        self.end_now();
        signals.next().await
    }
}

#[cfg(unix)]
fn os_signals() -> io::Result<BoxStream<'static, Signal>> {
    use tokio::signal::unix::{SignalKind, signal};
    // Listening begins here, not when the stream is first polled, so nothing that comes later is missed.
    let term = signal(SignalKind::terminate())?;
    let interrupt = signal(SignalKind::interrupt())?;
    let signals =
        futures::stream::unfold((term, interrupt), |(mut term, mut interrupt)| async move {
            let signal = tokio::select! {
                got = term.recv() => got.map(|()| Signal::Term),
                got = interrupt.recv() => got.map(|()| Signal::Interrupt),
            };
            signal.map(|signal| (signal, (term, interrupt)))
        });
    Ok(signals.boxed())
}

#[cfg(not(unix))]
fn os_signals() -> io::Result<BoxStream<'static, Signal>> {
    let signals = futures::stream::unfold((), |()| async {
        tokio::signal::ctrl_c()
            .await
            .ok()
            .map(|()| (Signal::Interrupt, ()))
    });
    Ok(signals.boxed())
}
