//! Keys that were used a moment ago.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use kit::errors::Refusal;
use store::idempotency::Fingerprint;

/// Stands for a key: keys are long, and there are many.
type Short = u128;

fn short(key: &str) -> Short {
    let whole = Fingerprint::default().text(key).finish();
    let (half, _) = whole.split_first_chunk().expect("half of 32 bytes is 16");
    Short::from_be_bytes(*half)
}

/// Remembers keys and what they stood for, for a while and at most so many.
#[derive(Debug)]
pub struct Recent {
    values: HashMap<Short, i64>,
    order: VecDeque<(Instant, Short)>,
    keep: Duration,
    size: usize,
}

impl Recent {
    /// Remembers at most `size` keys, each for `keep`.
    pub fn new(keep: Duration, size: usize) -> Self {
        Recent {
            values: HashMap::new(),
            order: VecDeque::new(),
            keep,
            size: size.max(1),
        }
    }

    /// Whether the key is new. Refuses a key that stood for something else.
    pub fn is_new(&mut self, key: &str, value: i64, now: Instant) -> Result<bool, Refusal> {
        self.forget(now);
        match self.values.get(&short(key)) {
            None => Ok(true),
            Some(before) if *before == value => Ok(false),
            Some(_) => Err(store::idempotency::key_reused()),
        }
    }

    /// Remembers a new key from now on.
    pub fn remember(&mut self, key: &str, value: i64, now: Instant) {
        let key = short(key);
        if self.order.len() >= self.size
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
        self.values.insert(key, value);
        self.order.push_back((now, key));
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, _)) = self.order.front()
            && now.saturating_duration_since(*at) >= self.keep
        {
            if let Some((_, oldest)) = self.order.pop_front() {
                self.values.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::ErrorReason;
    use kit::clock::{Clock, ManualClock};

    use super::*;

    #[test]
    fn a_key_counts_once_while_it_is_remembered() {
        let clock = ManualClock::default();
        let mut recent = Recent::new(Duration::from_secs(60), 2);
        let mut ask = |key: &str, value, clock: &ManualClock| {
            let is_new = recent.is_new(key, value, clock.instant())?;
            if is_new {
                recent.remember(key, value, clock.instant());
            }
            Ok::<bool, Refusal>(is_new)
        };
        assert_eq!(ask("a", 5, &clock), Ok(true));
        assert_eq!(ask("a", 5, &clock), Ok(false));
        assert_eq!(
            ask("a", 6, &clock).expect_err("other content").reason,
            ErrorReason::KeyReused
        );
        clock.advance(Duration::from_secs(60));
        assert_eq!(ask("a", 6, &clock), Ok(true));
        assert_eq!(ask("b", 1, &clock), Ok(true));
        assert_eq!(ask("c", 1, &clock), Ok(true));
        assert_eq!(ask("a", 6, &clock), Ok(true), "the oldest made room");
        assert_eq!(ask("c", 1, &clock), Ok(false));
    }
}
