//! The benchmark itself: small and short, it ends with a whole report and exact books. No figure is asserted.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const FIELDS: [&str; 18] = [
    "engine",
    "holds_per_s",
    "orders_per_s",
    "baseline_hot_row_per_s",
    "baseline_batch_per_s",
    "ratio_holds",
    "ratio_orders",
    "ratio_holds_to_batch",
    "place_p50_ms",
    "place_p99_ms",
    "confirm_p99_ms",
    "feed_lag_p99_ms",
    "units_supplied",
    "units_sold",
    "units_oversold",
    "sold_out_after_s",
    "rss_mib",
    "fdatasync_us",
];

/// Runs `vitrine bench` and reads its report.
fn bench(arguments: &[&str], folder: &Path) -> Value {
    let (report, svg) = (folder.join("report.json"), folder.join("chart.svg"));
    let output = Command::new(env!("CARGO_BIN_EXE_vitrine"))
        .arg("bench")
        .args(arguments)
        .args(["--quick", "--report"])
        .arg(&report)
        .arg("--svg")
        .arg(&svg)
        .env_remove("DATABASE_URL")
        .output()
        .expect("the program runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    let drawn = std::fs::read_to_string(svg).expect("a chart");
    assert!(
        drawn.starts_with("<svg") && drawn.ends_with("</svg>\n"),
        "{drawn}"
    );
    let text = std::fs::read_to_string(report).expect("a report");
    serde_json::from_str(&text).expect("the report is JSON")
}

fn flash_sale(engine: &str, more: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut arguments = vec![
        "flash-sale",
        "--engine",
        engine,
        "--units",
        "120",
        "--seconds",
        "0.5",
    ];
    arguments.extend_from_slice(more);
    let report = bench(&arguments, folder.path());
    for field in FIELDS {
        assert!(
            report.get(field).is_some(),
            "{field} is missing: {report:#}"
        );
    }
    assert_eq!(report["engine"], engine);
    assert_eq!(report["units_supplied"], 120, "{report:#}");
    assert_eq!(report["units_sold"], 120, "{report:#}");
    assert_eq!(report["units_oversold"], 0, "{report:#}");
    assert_eq!(report["units_confirmed_by_orders"], 120, "{report:#}");
    assert_eq!(report["invariants_broken"], serde_json::json!([]));
    for field in [
        "holds_per_s",
        "orders_per_s",
        "place_p99_ms",
        "feed_lag_p99_ms",
        "sold_out_after_s",
        "rss_mib",
        "fdatasync_us",
    ] {
        assert!(
            report[field].as_f64().is_some_and(|value| value > 0.0),
            "{field}: {report:#}"
        );
    }
    if !more.contains(&"--no-baseline") {
        assert!(
            report["ratio_holds"]
                .as_f64()
                .is_some_and(|value| value > 0.0),
            "{report:#}"
        );
    }
}

/// Whether the programs of PostgreSQL are there; with `CI=true` they must be.
fn has_postgres() -> bool {
    let has = store::private::programs().is_some();
    let ci = kit::config::env_var("CI").as_deref() == Some("true");
    assert!(
        has || !ci,
        "the benchmark on PostgreSQL cannot run, and CI=true says that it must"
    );
    has
}

#[test]
fn a_flash_sale_is_exact_on_sqlite() {
    flash_sale("sqlite", &["--no-baseline"]);
}

#[test]
fn a_flash_sale_is_exact_on_postgres_with_two_replicas() {
    if has_postgres() {
        flash_sale("postgres", &["--replicas", "2", "--baseline-seconds", "1"]);
    }
}

#[test]
fn an_ordinary_day_is_exact() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = bench(
        &[
            "mixed",
            "--engine",
            "sqlite",
            "--seconds",
            "0.5",
            "--listings",
            "12",
        ],
        folder.path(),
    );
    assert_eq!(report["invariants_broken"], serde_json::json!([]));
    assert!(
        report["visits_per_s"]
            .as_f64()
            .is_some_and(|value| value > 0.0),
        "{report:#}"
    );
    assert!(
        report["units_sold"].as_i64().is_some_and(|sold| sold > 0),
        "{report:#}"
    );
}

/// A rehearsal on SQLite, and that its report has these figures; on a machine as busy as this may be, they may be null.
fn rehearsed(arguments: &[&str], fields: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let mut all = arguments.to_vec();
    all.extend_from_slice(&["--engine", "sqlite"]);
    let report = bench(&all, folder.path());
    assert_eq!(report["invariants_broken"], serde_json::json!([]));
    for field in fields {
        assert!(report.get(*field).is_some(), "{field}: {report:#}");
    }
    report
}

#[test]
fn growth_counts_what_was_there_and_what_came() {
    let fields = [
        "ratio_full_to_empty",
        "orders_per_s_empty",
        "orders_per_s_full",
        "disk_mib_empty",
        "disk_mib_full",
        "load_s",
    ];
    let report = rehearsed(&["growth", "--orders", "500", "--seconds", "0.5"], &fields);
    assert_eq!(report["orders_stored"], 500, "{report:#}");
}

#[test]
fn an_overload_refuses_no_payment() {
    let fields = [
        "peak_goodput_per_s",
        "overload_goodput_per_s",
        "goodput_ratio",
        "as_it_is_goodput_ratio",
        "slow_commits_goodput_ratio",
    ];
    let report = rehearsed(
        &["overload", "--seconds", "1", "--commit-delay-ms", "20"],
        &fields,
    );
    assert!(report.get("recovery_s").is_some(), "{report:#}");
    assert_eq!(report["confirmations_refused"], 0, "{report:#}");
    assert_eq!(report["units_sold"], report["paid"], "{report:#}");
}

#[test]
fn fairness_counts_the_others_apart() {
    let fields = [
        "others_accepted_ratio",
        "others_accepted_ratio_alone",
        "others_place_p99_ms",
        "quota_per_s",
    ];
    let report = rehearsed(&["fairness", "--seconds", "0.5"], &fields);
    let (sold, paid) = (&report["units_sold"], &report["paid"]);
    assert!(sold.as_u64() >= paid.as_u64(), "{report:#}");
    assert!(report["noisy"]["sent"].as_u64() > Some(0), "{report:#}");
}

#[test]
fn what_cannot_be_is_said_with_its_mend() {
    let told = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_vitrine"))
            .arg("bench")
            .args(arguments)
            .output()
            .expect("the program runs");
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let replicas = told(&["flash-sale", "--engine", "sqlite", "--replicas", "2"]);
    assert!(replicas.contains("take --engine postgres"), "{replicas}");
    let folder = told(&[
        "flash-sale",
        "--engine",
        "sqlite",
        "--report",
        "/nowhere/at/all.json",
    ]);
    assert!(folder.contains("make it first"), "{folder}");
    let rate = told(&[
        "flash-sale",
        "--engine",
        "sqlite",
        "--quick",
        "--only",
        "latency",
        "--no-baseline",
    ]);
    assert!(rate.contains("--rate"), "{rate}");
}
