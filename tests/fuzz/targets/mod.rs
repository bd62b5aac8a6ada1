//! What is fuzzed: each target takes any bytes, and nothing that they do may panic, hang, answer INTERNAL or keep memory.
//! The same targets run under libFuzzer (`libfuzzer.rs`) and under a plain loop of random changes (`main.rs`).

pub mod http2;
pub mod import;
pub mod material;
#[allow(dead_code, reason = "the suite's own tests use more of it")]
#[path = "../../suite/raw.rs"]
mod raw;
pub mod requests;
pub mod texts;
pub mod world;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kit::clock::{Clock, SystemClock};

/// Something that takes any bytes.
pub trait Target: Send + Sync {
    /// Takes them; panics when that shows a fault. The answer tells kinds of outcome apart: an input with a new one is
    /// worth keeping.
    fn run(&self, data: &[u8]) -> u64;

    /// Inputs to begin with.
    fn seeds(&self) -> Vec<Vec<u8>>;
}

/// All targets.
pub const NAMES: [&str; 6] = ["requests", "http2", "jws", "tokens", "config", "import"];

/// A target by name, with what it needs started.
pub fn open(name: &str) -> Option<Box<dyn Target>> {
    Some(match name {
        "requests" => Box::new(requests::Requests::new()),
        "http2" => Box::new(http2::Http2::new()),
        "jws" => Box::new(texts::Jws::new()),
        "tokens" => Box::new(texts::Tokens::new()),
        "config" => Box::new(texts::Config::new()),
        "import" => Box::new(import::Import),
        _ => return None,
    })
}

/// One number for what came out.
pub fn outcome(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// How much more memory a process may hold than when it was warm.
const GROWTH_MAX: u64 = 128 << 20;
/// When it is warm: caches are filled, the allocator has its arenas.
const WARM_ROUNDS: u64 = 4_096;
const WARM_AFTER: Duration = Duration::from_secs(15);

/// Watches over the memory of the process.
pub struct Guard {
    started: Instant,
    rounds: AtomicU64,
    warm: AtomicU64,
}

impl Guard {
    /// From now on.
    pub fn new() -> Self {
        Guard {
            started: SystemClock.instant(),
            rounds: AtomicU64::new(0),
            warm: AtomicU64::new(0),
        }
    }

    /// Called after each input.
    pub fn check_memory(&self) {
        let round = self.rounds.fetch_add(1, Ordering::Relaxed);
        if !round.is_multiple_of(64) {
            return;
        }
        let (now, warm) = (resident(), self.warm.load(Ordering::Relaxed));
        if warm == 0 {
            let waited = SystemClock.instant().duration_since(self.started);
            if round >= WARM_ROUNDS || waited >= WARM_AFTER {
                self.warm.store(now, Ordering::Relaxed);
            }
            return;
        }
        assert!(
            now < warm + GROWTH_MAX,
            "memory grew from {} to {} MiB",
            warm >> 20,
            now >> 20
        );
    }

    /// What is held now, and what was held when it was warm; in bytes.
    pub fn memory(&self) -> (u64, u64) {
        (resident(), self.warm.load(Ordering::Relaxed))
    }
}

/// Memory that this process holds, in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0_u64) * 4_096
}
