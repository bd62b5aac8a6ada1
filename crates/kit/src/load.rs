//! How long a call waited in queues of ours, told by whoever owns the queue.
//!
//! How long a call takes says little about load: reports are slow and long polls are meant to be. How long it
//! waited for its turn says all. So a queue tells the call that it held up, and the layer that decides how many
//! calls may be under way reads it when the call has ended.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Set when a queue sent the call away because its turn would have come too late.
const AWAY: u64 = 1 << 63;

/// What the queues told about one call. Clones tell of the same call; the default tells nobody.
#[derive(Clone, Default)]
pub struct QueueTime {
    // Microseconds and one, so that zero stands for a call that met no queue.
    told: Option<Arc<AtomicU64>>,
}

/// What a call met on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// No queue.
    Never,
    /// Queues that held it up for so long in all, which may be no time.
    For(Duration),
    /// A queue that sent it away.
    Away,
}

impl QueueTime {
    /// For a call that begins.
    #[must_use]
    pub fn new() -> Self {
        QueueTime {
            told: Some(Arc::default()),
        }
    }

    /// The call went through a queue and waited longer than it would have without load.
    pub fn add(&self, waited: Duration) {
        let Some(told) = &self.told else { return };
        let micros = u64::try_from(waited.as_micros()).unwrap_or(AWAY) & !AWAY;
        let more = |before: u64| Some((before & AWAY) | ((before & !AWAY).max(1) + micros) & !AWAY);
        let _ = told.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// A queue sent the call away.
    pub fn turned_away(&self) {
        if let Some(told) = &self.told {
            told.fetch_or(AWAY, Ordering::Relaxed);
        }
    }

    /// What it met.
    #[must_use]
    pub fn met(&self) -> Queued {
        match self
            .told
            .as_ref()
            .map_or(0, |told| told.load(Ordering::Relaxed))
        {
            0 => Queued::Never,
            told if told & AWAY != 0 => Queued::Away,
            told => Queued::For(Duration::from_micros(told - 1)),
        }
    }
}

impl fmt::Debug for QueueTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.met().fmt(f)
    }
}

/// Two calls are not different calls because one waited longer.
impl PartialEq for QueueTime {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for QueueTime {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_add_up_and_going_away_stays() {
        let told = QueueTime::new();
        assert_eq!(told.met(), Queued::Never);
        told.add(Duration::ZERO);
        assert_eq!(told.met(), Queued::For(Duration::ZERO));
        told.clone().add(Duration::from_millis(2));
        told.add(Duration::from_millis(3));
        assert_eq!(told.met(), Queued::For(Duration::from_millis(5)));
        told.turned_away();
        told.add(Duration::from_millis(3));
        assert_eq!(told.met(), Queued::Away);
        QueueTime::default().add(Duration::MAX);
        assert_eq!(QueueTime::default().met(), Queued::Never);
    }
}
