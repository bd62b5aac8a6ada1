//! Identifiers and randomness, passed in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng;

use crate::clock::SharedClock;

/// Where identifiers and randomness come from.
pub trait IdSource: Send + Sync + 'static {
    /// A new UUID of version 7: sorts by time, to a quarter of a microsecond.
    fn next(&self) -> u128;
    /// 64 random bits.
    fn random_u64(&self) -> u64;
    /// Fills `into` with random bytes.
    fn random_bytes(&self, into: &mut [u8]);
}

/// A source that many hold.
pub type SharedIds = Arc<dyn IdSource>;

/// The machine's own randomness, fit for keys and tokens.
#[derive(Clone)]
pub struct SystemIds {
    clock: SharedClock,
}

impl SystemIds {
    /// Identifiers that carry the time of `clock`.
    pub fn new(clock: SharedClock) -> Self {
        SystemIds { clock }
    }

    /// The same, ready to be passed around.
    pub fn shared(clock: SharedClock) -> SharedIds {
        Arc::new(Self::new(clock))
    }
}

impl IdSource for SystemIds {
    fn next(&self) -> u128 {
        uuid_v7(self.clock.now().0, self.random_u64())
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that asks the machine for randomness"
    )]
    fn random_u64(&self) -> u64 {
        rand::rng().next_u64()
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that asks the machine for randomness"
    )]
    fn random_bytes(&self, into: &mut [u8]) {
        rand::rng().fill_bytes(into);
    }
}

/// The same identifiers on every run, for tests. Not fit for secrets.
pub struct SeededIds {
    state: AtomicU64,
    clock: SharedClock,
}

impl SeededIds {
    /// Identifiers that follow from `seed` and the time of `clock`.
    pub fn new(seed: u64, clock: SharedClock) -> Self {
        SeededIds {
            state: AtomicU64::new(seed),
            clock,
        }
    }

    /// The same, ready to be passed around.
    pub fn shared(seed: u64, clock: SharedClock) -> SharedIds {
        Arc::new(Self::new(seed, clock))
    }
}

impl IdSource for SeededIds {
    fn next(&self) -> u128 {
        uuid_v7(self.clock.now().0, self.random_u64())
    }

    // SplitMix64, because its output is fixed for ever, so that snapshots do not change with a library.
    fn random_u64(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self
            .state
            .fetch_add(STEP, Ordering::SeqCst)
            .wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn random_bytes(&self, into: &mut [u8]) {
        for chunk in into.chunks_mut(8) {
            let bytes = self.random_u64().to_be_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// 48 bits of milliseconds, 12 bits of the fraction below (RFC 9562, method 3), 62 random bits.
fn uuid_v7(micros: i64, random: u64) -> u128 {
    let micros = u64::try_from(micros).unwrap_or(0);
    let millis = u128::from((micros / 1_000) & 0xffff_ffff_ffff);
    let fraction = u128::from((micros % 1_000) * 4_096 / 1_000);
    let tail = u128::from(random & 0x3fff_ffff_ffff_ffff);
    (millis << 80) | (7 << 76) | (fraction << 64) | (0b10 << 62) | tail
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;
    use crate::clock::{ManualClock, Micros};

    #[test]
    fn ids_are_version_7_and_sort_by_time() {
        let clock = Arc::new(ManualClock::new(Micros(1_767_225_600_000_999)));
        let ids = SystemIds::new(clock.clone());
        let mut before = ids.next();
        for _ in 0..5_000 {
            clock.advance(Duration::from_micros(1));
            let id = uuid::Uuid::from_u128(ids.next());
            assert_eq!(
                (id.get_version_num(), id.get_variant()),
                (7, uuid::Variant::RFC4122)
            );
            assert!(id.as_u128() > before);
            before = id.as_u128();
        }
    }

    #[test]
    fn a_seed_gives_the_same_ids_and_no_id_twice() {
        let clock: SharedClock = Arc::new(ManualClock::default());
        let take = |seed| {
            let ids = SeededIds::new(seed, clock.clone());
            (0..1_000).map(|_| ids.next()).collect::<Vec<_>>()
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
        assert_eq!(take(1).into_iter().collect::<HashSet<_>>().len(), 1_000);
    }

    #[test]
    fn random_bytes_fill_every_length() {
        let ids = SeededIds::new(7, Arc::new(ManualClock::default()));
        for length in [0, 1, 8, 13, 32] {
            let mut bytes = vec![0; length];
            ids.random_bytes(&mut bytes);
            assert!(length < 8 || bytes.iter().any(|byte| *byte != 0));
        }
    }
}
