//! Signals belong to the whole process, so this stays the only test of its binary.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::time::Duration;

use kit::lifecycle::{DrainConfig, Lifecycle, ShutdownCause, Signal};

async fn signal_myself(name: &str) {
    let status = tokio::process::Command::new("sh")
        .args(["-c", &format!("kill -s {name} {}", std::process::id())])
        .status()
        .await;
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn real_signals_drain_and_then_end_the_process() {
    let life = Lifecycle::new();
    life.handle_signals().unwrap();
    life.spawn("stuck", std::future::pending::<()>());

    signal_myself("TERM").await;
    let bound = Duration::from_secs(20);
    let cause = tokio::time::timeout(bound, life.wait_for_shutdown())
        .await
        .unwrap();
    assert_eq!(cause, ShutdownCause::Signal(Signal::Term));

    let draining = life.clone();
    let config = DrainConfig {
        drain_delay_s: 0,
        drain_deadline_s: 60,
        flush_reserve_s: 0,
    };
    let drain = kit::spawn("drain", async move { draining.drain(&config).await });
    signal_myself("INT").await;
    let report = tokio::time::timeout(bound, drain).await.unwrap().unwrap();
    assert!(report.immediate && report.exit_code() == 1, "{report}");
    assert_eq!(report.unfinished.len(), 1);
}
