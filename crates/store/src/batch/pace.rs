//! How long batches take.
//!
//! A batch costs something by itself, mostly the flush of the commit, and something for each command. Both are
//! learned, because batches grow under load: from the mean alone, a full batch would seem as quick as the small
//! ones before it, and a small one as slow as the full ones.

use std::time::{Duration, Instant};

/// How much the last batch counts.
const WEIGHT: f64 = 0.3;
/// What was learned counts half after so much idle time: what made batches slow may be over.
const HALF_LIFE_S: f64 = 1.0;

#[derive(Debug, Default)]
pub(super) struct Pace {
    commands: f64,
    seconds: f64,
    /// How sizes vary, and how time varies with them.
    spread: f64,
    together: f64,
    learned_at: Option<Instant>,
}

impl Pace {
    /// A batch of so many commands took so long.
    pub(super) fn learn(&mut self, commands: usize, took: Duration, now: Instant) {
        let (commands, seconds) = (commands as f64, took.as_secs_f64());
        if self.learned_at.replace(now).is_none() {
            (self.commands, self.seconds) = (commands, seconds);
            return;
        }
        let (more, longer) = (commands - self.commands, seconds - self.seconds);
        self.commands += WEIGHT * more;
        self.seconds += WEIGHT * longer;
        self.spread = (1.0 - WEIGHT) * (self.spread + WEIGHT * more * more);
        self.together = (1.0 - WEIGHT) * (self.together + WEIGHT * more * longer);
    }

    /// How long a batch of so many commands will take, when it begins now.
    pub(super) fn expect(&self, commands: usize, now: Instant) -> Duration {
        let Some(learned_at) = self.learned_at else {
            return Duration::ZERO;
        };
        // More commands never make a batch quicker, and one without commands would take no less than nothing.
        let steepest = self.seconds / self.commands.max(1.0);
        let each = match self.spread > 0.01 {
            true => (self.together / self.spread).clamp(0.0, steepest),
            false => 0.0,
        };
        let seconds = self.seconds + each * (commands as f64 - self.commands);
        let idle = now.saturating_duration_since(learned_at).as_secs_f64();
        let worth = (-idle / HALF_LIFE_S).exp2();
        Duration::from_secs_f64((seconds * worth).clamp(0.0, 3_600.0))
    }

    /// How long batches took of late, whatever their size.
    pub(super) fn usual(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.clamp(0.0, 3_600.0))
    }
}

#[cfg(test)]
mod tests {
    use kit::clock::{Clock, ManualClock};
    use proptest::prelude::*;

    use super::*;

    fn batch(commands: usize, fixed_ms: f64, each_ms: f64) -> Duration {
        Duration::from_secs_f64((fixed_ms + each_ms * commands as f64) / 1_000.0)
    }

    proptest! {
        /// Whatever sizes it saw, it knows what a batch of another size will take, within what is seen of both.
        #[test]
        fn growing_batches_are_foreseen(fixed in 0.5f64..60.0, each in 0.01f64..0.2, sizes in proptest::collection::vec(1usize..512, 8..40), asked in 1usize..512) {
            let (mut pace, now) = (Pace::default(), ManualClock::default().instant());
            for size in &sizes {
                pace.learn(*size, batch(*size, fixed, each), now);
            }
            prop_assume!(sizes.iter().skip(sizes.len() - 6).any(|size| size.abs_diff(sizes[sizes.len() - 7]) > 40));
            let expected = pace.expect(asked, now).as_secs_f64();
            let truth = batch(asked, fixed, each).as_secs_f64();
            prop_assert!((expected - truth).abs() <= truth * 0.05, "{expected} for {truth}");
        }

        #[test]
        fn no_history_makes_a_bigger_batch_quicker(times in proptest::collection::vec((1usize..512, 0u64..500), 1..30), small in 1usize..512, more in 0usize..512) {
            let (mut pace, now) = (Pace::default(), ManualClock::default().instant());
            for (size, ms) in times {
                pace.learn(size, Duration::from_millis(ms), now);
            }
            prop_assert!(pace.expect(small, now) <= pace.expect(small + more, now));
        }
    }

    #[test]
    fn a_jump_of_the_commit_is_believed_after_a_few_batches() {
        let (mut pace, now) = (Pace::default(), ManualClock::default().instant());
        for _ in 0..100 {
            pace.learn(512, batch(512, 2.0, 0.03), now);
        }
        for _ in 0..8 {
            pace.learn(512, batch(512, 52.0, 0.03), now);
        }
        let expected = pace.expect(512, now);
        assert!(expected > batch(512, 48.0, 0.03), "{expected:?}");
        for _ in 0..8 {
            pace.learn(512, batch(512, 2.0, 0.03), now);
        }
        let expected = pace.expect(512, now);
        assert!(expected < batch(512, 6.0, 0.03), "{expected:?}");
    }

    #[test]
    fn what_was_learned_long_ago_is_forgotten() {
        let (mut pace, now) = (Pace::default(), ManualClock::default().instant());
        assert_eq!(pace.expect(512, now), Duration::ZERO);
        pace.learn(1, Duration::from_secs(8), now);
        assert_eq!(pace.expect(1, now), Duration::from_secs(8));
        assert_eq!(
            pace.expect(1, now + Duration::from_secs(3)),
            Duration::from_secs(1)
        );
        assert!(pace.expect(1, now + Duration::from_secs(60)).is_zero());
    }
}
