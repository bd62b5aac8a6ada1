//! What a group keeps of each delivery class.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The latest entries of a sequence, numbered without a gap.
#[derive(Debug)]
pub struct Window<T> {
    entries: VecDeque<T>,
    /// The number of the last entry that is no longer here.
    gone: i64,
    size: usize,
}

impl<T> Window<T> {
    /// An empty window of a sequence that has come to `at`.
    pub fn new(at: i64, size: usize) -> Self {
        Window {
            entries: VecDeque::new(),
            gone: at,
            size: size.max(1),
        }
    }

    /// The number of the last entry.
    pub fn last(&self) -> i64 {
        self.gone + i64::try_from(self.entries.len()).unwrap_or(i64::MAX)
    }

    /// Adds an entry; gives the oldest one, with its number, when there is no room for both.
    pub fn push(&mut self, entry: T) -> Option<(i64, T)> {
        self.entries.push_back(entry);
        if self.entries.len() <= self.size {
            return None;
        }
        self.gone += 1;
        self.entries.pop_front().map(|oldest| (self.gone, oldest))
    }

    /// How many entries after a number are no longer here.
    pub fn lost_after(&self, number: i64) -> i64 {
        (self.gone - number).max(0)
    }

    /// The entries after a number that are still here.
    pub fn after(&self, number: i64) -> impl Iterator<Item = (i64, &T)> {
        let skip = usize::try_from(number - self.gone).unwrap_or(0);
        (self.gone + 1..).zip(&self.entries).skip(skip)
    }
}

/// The latest value of each key, numbered by when it came.
#[derive(Debug)]
pub struct Latest<K, V> {
    version: i64,
    by_version: BTreeMap<i64, (K, V)>,
    by_key: HashMap<K, i64>,
}

impl<K, V> Default for Latest<K, V> {
    fn default() -> Self {
        Latest {
            version: 0,
            by_version: BTreeMap::new(),
            by_key: HashMap::new(),
        }
    }
}

impl<K: Copy + Eq + Hash, V> Latest<K, V> {
    /// How many values came.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Puts a value in the place of the one before.
    pub fn put(&mut self, key: K, value: V) {
        self.version += 1;
        if let Some(before) = self.by_key.insert(key, self.version) {
            self.by_version.remove(&before);
        }
        self.by_version.insert(self.version, (key, value));
    }

    /// Forgets keys.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.by_key.retain(|key, _| keep(key));
        self.by_version.retain(|_, (key, _)| keep(key));
    }

    /// The values that came after a version and are still the latest.
    pub fn after(&self, version: i64) -> impl Iterator<Item = (i64, &V)> {
        self.by_version
            .range(version + 1..)
            .map(|(version, (_, value))| (*version, value))
    }
}

/// Lets so many through each second.
#[derive(Debug)]
pub struct Rate {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Rate {
    /// `per_second`, and at most as many at once.
    pub fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second.max(1));
        Rate {
            per_second,
            left: per_second,
            at: now,
        }
    }

    /// Whether one more may pass now.
    pub fn pass(&mut self, now: Instant) -> bool {
        self.settle(now);
        let passes = self.left >= 1.0;
        if passes {
            self.left -= 1.0;
        }
        passes
    }

    /// Counts one that passes in any case.
    pub fn force(&mut self, now: Instant) {
        self.settle(now);
        self.left = (self.left - 1.0).max(0.0);
    }

    fn settle(&mut self, now: Instant) {
        let elapsed: Duration = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        self.left = (self.left + elapsed.as_secs_f64() * self.per_second).min(self.per_second);
    }
}

#[cfg(test)]
mod tests {
    use kit::clock::{Clock, ManualClock};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A window says of every number either what it was or that it is lost, and never holds more than its size.
        #[test]
        fn a_window_knows_what_it_lost(start in 0i64..100, size in 1usize..10, count in 0i64..40, after in 0i64..40) {
            let mut window = Window::new(start, size);
            let mut fell = Vec::new();
            for n in 1..=count {
                fell.extend(window.push(start + n));
            }
            prop_assert!(fell.iter().all(|(number, value)| number == value));
            let after = start + after.min(count);
            let seen: Vec<i64> = window.after(after).map(|(number, value)| { assert_eq!(number, *value); number }).collect();
            let lost = window.lost_after(after);
            prop_assert_eq!(lost + seen.len() as i64, start + count - after);
            prop_assert!(seen.len() <= size);
            prop_assert!(seen.windows(2).all(|pair| pair[0] + 1 == pair[1]));
            prop_assert_eq!(seen.last().copied().unwrap_or(after), window.last().max(after));
        }

        /// Whoever reads from any version on ends with the final value of every key that changed since.
        #[test]
        fn the_final_value_of_every_key_is_never_lost(puts in proptest::collection::vec((0u8..5, any::<u16>()), 0..60), from in 0usize..60) {
            let mut latest = Latest::default();
            let mut expected: HashMap<u8, u16> = HashMap::new();
            for (n, (key, value)) in puts.iter().enumerate() {
                latest.put(*key, (*key, *value));
                if n >= from {
                    expected.insert(*key, *value);
                }
            }
            let from = from.min(puts.len()) as i64;
            let seen: HashMap<u8, u16> = latest.after(from).map(|(_, pair)| *pair).collect();
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(latest.version(), puts.len() as i64);
        }
    }

    #[test]
    fn a_rate_lets_so_many_through_each_second() {
        let clock = ManualClock::default();
        let mut rate = Rate::new(5, clock.instant());
        let passed = |rate: &mut Rate, clock: &ManualClock| {
            (0..20).filter(|_| rate.pass(clock.instant())).count()
        };
        assert_eq!(passed(&mut rate, &clock), 5);
        clock.advance(Duration::from_millis(400));
        assert_eq!(passed(&mut rate, &clock), 2);
        clock.advance(Duration::from_secs(60));
        rate.force(clock.instant());
        assert_eq!(passed(&mut rate, &clock), 4);
    }
}
