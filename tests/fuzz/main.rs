//! The fuzz targets without libFuzzer: a loop of random changes that any toolchain can run, so that every run of the
//! tests fuzzes a little. Inputs whose outcome is new are kept and changed further.
//!
//! ```text
//! cargo test -p tests --test fuzz                              each target for two seconds
//! cargo test -p tests --test fuzz -- requests --seconds 600    one target for longer
//! cargo test -p tests --test fuzz -- requests --input FILE     one input again
//! ```
//!
//! `.ci/fuzz` runs the same targets under libFuzzer, which sees which code an input reaches.

mod targets;

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kit::clock::{Clock, SystemClock};
use kit::ids::{IdSource, SeededIds};
use targets::{Guard, NAMES, Target};

/// No input may take longer.
const HANG: Duration = Duration::from_secs(30);
/// Inputs kept beside the seeds.
const KEPT_MAX: usize = 4_096;
const INPUT_MAX: usize = 16_384;

/// What is being tried, for the last words of a process.
static TRYING: Mutex<(String, Vec<u8>)> = Mutex::new((String::new(), Vec::new()));
static ROUND: AtomicU64 = AtomicU64::new(0);
static FOUND: AtomicBool = AtomicBool::new(false);

struct Asked {
    names: Vec<&'static str>,
    seconds: u64,
    seed: u64,
    input: Option<PathBuf>,
    list: bool,
}

/// Arguments as cargo's own tests take them, too: what is unknown and begins with a dash is for others.
fn asked(arguments: impl Iterator<Item = String>) -> Asked {
    let mut asked = Asked {
        names: Vec::new(),
        seconds: 2,
        seed: 1,
        input: None,
        list: false,
    };
    let (mut filters, mut arguments) = (Vec::new(), arguments);
    while let Some(argument) = arguments.next() {
        let mut number = |otherwise: u64| {
            arguments
                .next()
                .and_then(|text| text.parse().ok())
                .unwrap_or(otherwise)
        };
        match argument.as_str() {
            "--seconds" => asked.seconds = number(2),
            "--seed" => asked.seed = number(1),
            "--input" => asked.input = arguments.next().map(PathBuf::from),
            "--list" => asked.list = true,
            "--test-threads" | "--skip" | "--format" | "--color" => drop(arguments.next()),
            flag if flag.starts_with('-') => {}
            filter => filters.push(filter.to_owned()),
        }
    }
    let wanted = |name: &&str| {
        let whole = format!("security::fuzz::{name}");
        filters.is_empty() || filters.iter().any(|filter| whole.contains(filter.as_str()))
    };
    asked.names = NAMES.into_iter().filter(wanted).collect();
    asked
}

fn main() -> ExitCode {
    let asked = asked(std::env::args().skip(1));
    if asked.list {
        NAMES
            .iter()
            .for_each(|name| println!("security::fuzz::{name}: test"));
        return ExitCode::SUCCESS;
    }
    watch();
    for name in &asked.names {
        let target = targets::open(name).expect("a name of the list");
        let guard = Guard::new();
        match &asked.input {
            Some(file) => {
                let data = std::fs::read(file).expect("the input");
                try_one(name, &*target, &data);
            }
            None => {
                let done = fuzz(name, &*target, &guard, &asked);
                let (now, warm) = guard.memory();
                println!(
                    "security::fuzz::{name} ... ok ({} inputs, {} outcomes, {} MiB, {} when warm)",
                    done.0,
                    done.1,
                    now >> 20,
                    warm >> 20
                );
            }
        }
    }
    println!("\n{} passed, 0 failed", asked.names.len());
    ExitCode::SUCCESS
}

/// Tells of panics on any thread and of inputs that take too long, with the input, and ends the process.
fn watch() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        found("a panic");
    }));
    let watching = std::thread::Builder::new().name("watch".into());
    let watched = watching.spawn(|| {
        let (mut seen, mut since) = (0, SystemClock.instant());
        loop {
            std::thread::park_timeout(Duration::from_millis(500));
            let round = ROUND.load(Ordering::Relaxed);
            let now = SystemClock.instant();
            if round != seen {
                (seen, since) = (round, now);
            } else if round % 2 == 1 && now.duration_since(since) > HANG {
                found("a hang");
            }
        }
    });
    drop(watched.expect("a thread"));
}

/// Keeps the input and ends the process.
fn found(what: &str) {
    if FOUND.swap(true, Ordering::SeqCst) {
        return;
    }
    let trying = TRYING.lock().unwrap_or_else(PoisonError::into_inner);
    let file = std::env::temp_dir().join(format!("fuzz-{}-{}", trying.0, std::process::id()));
    let kept = std::fs::write(&file, &trying.1).is_ok();
    eprintln!("security::fuzz::{} ... FAILED: {what}", trying.0);
    if kept {
        eprintln!(
            "again: cargo test -p tests --test fuzz -- {} --input {}",
            trying.0,
            file.display()
        );
    }
    eprintln!("\n0 passed, 1 failed");
    std::process::exit(1);
}

fn try_one(name: &str, target: &dyn Target, data: &[u8]) -> u64 {
    {
        let mut trying = TRYING.lock().unwrap_or_else(PoisonError::into_inner);
        if trying.0 != name {
            trying.0 = name.into();
        }
        trying.1.clear();
        trying.1.extend_from_slice(data);
    }
    // Odd while an input is tried.
    ROUND.fetch_add(1, Ordering::Relaxed);
    let outcome = target.run(data);
    ROUND.fetch_add(1, Ordering::Relaxed);
    outcome
}

/// How many inputs were tried and how many outcomes there were.
fn fuzz(name: &str, target: &dyn Target, guard: &Guard, asked: &Asked) -> (u64, usize) {
    let random = SeededIds::new(asked.seed, std::sync::Arc::new(SystemClock));
    let end: Instant = SystemClock.instant() + Duration::from_secs(asked.seconds);
    let (mut kept, mut outcomes, mut tried) = (target.seeds(), HashSet::new(), 0_u64);
    let seeds = kept.len();
    // Not from the first to the last: a short run sees some of each kind.
    for at in 0..seeds {
        let at = (at * 61 + 17) % seeds;
        outcomes.insert(try_one(name, target, &kept[at]));
        tried += 1;
        if SystemClock.instant() >= end {
            break;
        }
    }
    while SystemClock.instant() < end {
        let data = changed(&kept, &random);
        let outcome = try_one(name, target, &data);
        guard.check_memory();
        tried += 1;
        if outcomes.insert(outcome) {
            if kept.len() < seeds + KEPT_MAX {
                kept.push(data);
            } else {
                let at = seeds + pick(&random, KEPT_MAX);
                kept[at] = data;
            }
        }
    }
    (tried, outcomes.len())
}

fn pick(random: &SeededIds, below: usize) -> usize {
    usize::try_from(random.random_u64() % below.max(1) as u64).unwrap_or_default()
}

/// One of the inputs with a few changes.
fn changed(kept: &[Vec<u8>], random: &SeededIds) -> Vec<u8> {
    const BYTES: [u8; 12] = [
        0, 1, 2, 0x20, 0x22, 0x2e, 0x3d, 0x41, 0x7f, 0x80, 0xfe, 0xff,
    ];
    let mut data = kept
        .get(pick(random, kept.len()))
        .cloned()
        .unwrap_or_default();
    for _ in 0..=pick(random, 4) {
        let at = pick(random, data.len());
        let byte = BYTES[pick(random, BYTES.len())];
        match pick(random, 9) {
            0 if !data.is_empty() => data[at] ^= 1 << pick(random, 8),
            1 if !data.is_empty() => data[at] = byte,
            2 if !data.is_empty() => data[at] = random.random_u64() as u8,
            3 => data.insert(at, byte),
            4 if !data.is_empty() => drop(data.remove(at)),
            5 => data.truncate(at),
            6 => {
                // Something of another one, put in.
                let other = &kept[pick(random, kept.len())];
                let from = pick(random, other.len());
                let part = &other[from..(from + pick(random, 64)).min(other.len())];
                drop(data.splice(at..at, part.iter().copied()));
            }
            7 if !data.is_empty() => {
                let end = (at + pick(random, 32)).min(data.len());
                let part = data[at..end].to_vec();
                (0..pick(random, 8)).for_each(|_| data.extend_from_slice(&part));
            }
            _ => {
                let fresh = pick(random, 24);
                data.extend((0..fresh).map(|_| random.random_u64() as u8));
            }
        }
        data.truncate(INPUT_MAX);
    }
    data
}
