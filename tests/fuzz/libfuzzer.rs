//! libFuzzer's way in. `VITRINE_FUZZ_TARGET` names the target: one binary for all of them, because linking the suite
//! takes longer than most runs.

#![no_main]

mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use targets::{Guard, Target};

static TARGET: OnceLock<(Box<dyn Target>, Guard)> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let (target, guard) = TARGET.get_or_init(|| {
        let name = kit::config::env_var("VITRINE_FUZZ_TARGET").unwrap_or_default();
        let target = targets::open(&name).unwrap_or_else(|| {
            panic!(
                "VITRINE_FUZZ_TARGET must be one of {}",
                targets::NAMES.join(", ")
            )
        });
        if let Some(folder) = kit::config::env_var("VITRINE_FUZZ_SEEDS") {
            for (number, seed) in target.seeds().iter().enumerate() {
                let file = std::path::Path::new(&folder).join(format!("seed-{number}"));
                std::fs::write(file, seed).expect("a folder for seeds");
            }
        }
        (target, Guard::new())
    });
    // libFuzzer itself ends the process at a panic on any thread, and at a hang.
    target.run(data);
    guard.check_memory();
});
