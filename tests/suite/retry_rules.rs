//! The retry rules: what the README tells people, what the outages' client does, and what the contracts say of each
//! reason, are one thing.

#[path = "../outages/rules.rs"]
mod rules;

use std::collections::BTreeMap;
use std::time::Duration;

use kit::errors::{ErrorReason, Refusal, code_of, reason_name};
use rules::{Verdict, reason, verdict};
use tonic::{Code, Status};

/// The README's table: what to make of each reason named in it.
fn told() -> BTreeMap<String, String> {
    let readme = include_str!("../../README.md");
    let (_, rules) = readme
        .split_once("## Retry rules")
        .expect("the README has retry rules");
    let mut told = BTreeMap::new();
    for row in rules.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for name in cells[1].split(',') {
            told.insert(
                name.trim().trim_matches('`').to_owned(),
                cells[2].to_owned(),
            );
        }
        if cells[1].contains("INTERNAL") {
            break;
        }
    }
    told
}

fn reasons() -> impl Iterator<Item = ErrorReason> {
    (1..1_000).filter_map(|n| ErrorReason::try_from(n).ok())
}

#[test]
fn readme_contracts_and_client_agree() {
    let told = told();
    for named in reasons() {
        let name = reason_name(named);
        let wait = Duration::from_millis(700);
        let status = Status::from(Refusal::new(named, "No.").retry_after(wait));
        assert_eq!(reason(&status), name);
        let (cell, wanted) = match code_of(named) {
            Code::Unavailable | Code::ResourceExhausted => {
                (Some("not done"), Verdict::NotDone(Some(wait)))
            }
            Code::Unknown | Code::DeadlineExceeded => (Some("perhaps done"), Verdict::Unknown),
            Code::Internal => (Some("a fault of ours; perhaps done"), Verdict::Unknown),
            _ => (None, Verdict::Answer),
        };
        assert_eq!(
            told.get(name).map(String::as_str),
            cell,
            "{name} in the README"
        );
        assert_eq!(verdict(&status), wanted, "{name} in the client");
    }
    assert_eq!(told.len(), 6, "{told:?}");
}

#[test]
fn an_error_that_nobody_signed_leaves_open_what_was_done() {
    let readme = include_str!("../../README.md");
    for code in (0..17).map(Code::from_i32).filter(|code| *code != Code::Ok) {
        let unknown = matches!(
            code,
            Code::Unavailable
                | Code::Unknown
                | Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Internal
                | Code::ResourceExhausted
        );
        let wanted = if unknown {
            Verdict::Unknown
        } else {
            Verdict::Answer
        };
        assert_eq!(
            verdict(&Status::new(code, "broken pipe")),
            wanted,
            "{code:?}"
        );
    }
    for name in ["UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED"] {
        assert!(readme.contains(&format!("`{name}`")), "{name}");
    }
}
