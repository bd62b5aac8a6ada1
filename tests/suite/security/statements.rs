//! Whose rows the statements of the services ask for, read out of the sources.
//!
//! Every unit of work has a tenant, and PostgreSQL's policies hold whatever a statement says. This is about the first
//! wall, the statements themselves: one that reads or changes a table of partners has to name the partner, or the key of
//! what is asked for, whose owner the operation then checks (which the scenarios of strangers prove on SQLite, where there
//! are no policies). What is left goes over rows of many partners, and is listed here with the reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Only units of the suite itself run it, as time passes or for a feed.
const TIME: &str = "time";
/// Only methods for the retailer run it.
const RETAILER: &str = "retailer";
/// The partner's condition is added as the statement is put together, in the same file.
const BUILT: &str = "built";
/// It holds a lock of nobody's.
const LOCK: &str = "lock";
/// A room is shown at outlets of several partners; who asks is let in by outlet before, and is told what is for it.
const ROOM: &str = "room";

/// Statements over rows of many partners: file, function (or the macro that writes it), reason.
const SCANS: &[(&str, &str, &str)] = &[
    ("catalog/src/store/listing.rs", "listing_due", TIME),
    ("catalog/src/store/listing.rs", "listing_of_product", TIME),
    ("room/src/store/channel.rs", "channel_save", RETAILER),
    ("room/src/store/occupancy.rs", "on_air_delete", RETAILER),
    ("room/src/store/occupancy.rs", "latest", BUILT),
    ("room/src/store/question.rs", "questions_answered", ROOM),
    ("room/src/store/question.rs", "questions", BUILT),
    ("room/src/store/room.rs", "with_next", ROOM),
    ("room/src/store/room.rs", "room_rewrite", RETAILER),
    ("order/src/store/ledger.rs", "sums", BUILT),
    ("order/src/store/ledger.rs", "backlog_page", TIME),
    ("order/src/store/mirrors.rs", "product_put", TIME),
    ("order/src/store/money.rs", "proposal_columns", RETAILER),
    ("order/src/store/order.rs", "orders_overdue", TIME),
    ("order/src/store/order_list.rs", "order_page", RETAILER),
    (
        "order/src/store/order_progress.rs",
        "orders_to_complete",
        TIME,
    ),
    ("order/src/store/sales.rs", "refunds_due", BUILT),
    ("order/src/store/sales.rs", "refunds_executed", BUILT),
    ("order/src/store/sales.rs", "conversions", BUILT),
    ("order/src/store/sales.rs", "reversals", BUILT),
    ("order/src/store/stop.rs", "stop_target", RETAILER),
    (
        "fulfillment/src/store/aftersale_list.rs",
        "aftersales_due",
        TIME,
    ),
    ("fulfillment/src/store/aftersale_list.rs", "matters", BUILT),
    ("fulfillment/src/store/care/list.rs", "created", BUILT),
    (
        "fulfillment/src/store/care/list.rs",
        "open_of_agent",
        RETAILER,
    ),
    ("fulfillment/src/store/care/list.rs", "queue_head", RETAILER),
    ("fulfillment/src/store/care/list.rs", "cases_due", TIME),
    ("fulfillment/src/store/care/list.rs", "opening_lock", LOCK),
    (
        "fulfillment/src/store/care/topic.rs",
        "topic_counts",
        RETAILER,
    ),
    ("fulfillment/src/store/care/topic.rs", "topic_waiting", TIME),
    (
        "fulfillment/src/store/fulfillment.rs",
        "fulfillments_lapsed",
        TIME,
    ),
    ("fulfillment/src/store/list.rs", "fulfillments", BUILT),
    ("fulfillment/src/store/list.rs", "work_list", RETAILER),
    ("fulfillment/src/store/list.rs", "shipments", BUILT),
    ("fulfillment/src/store/return_list.rs", "returns", BUILT),
];

/// Keys of things that belong to one partner each.
const KEYS: &[&str] = &[
    "order_id",
    "payment_id",
    "refund_id",
    "fulfillment_id",
    "shipment_id",
    "return_id",
    "aftersale_id",
    "case_id",
    "listing_id",
    "question_id",
    "payment_key_id",
    "licence_id",
    "outlet_id",
    "conversion_id",
    "deep_link_id",
    "conversion_reversal_id",
    "compensation_id",
    "chargeback_id",
    "refund_proposal_id",
    "made_id",
    "message_id",
    "token_key_id",
    "client_certificate_id",
    "ledger_adjustment_id",
];

/// Where a unit looks beyond its tenant.
const WIDENED: &[(&str, &str)] = &[(
    "services/catalog/src/store/listing.rs",
    "others' claims stand in the way of an exclusive listing; they are not named",
)];

/// Where it is said whose rows a unit may see, otherwise than by its caller.
const TENANTS: &[&str] = &[
    "crates/store/src/batch.rs",
    "crates/store/src/batch/worker.rs",
    "crates/store/src/operation.rs",
    "crates/store/src/tx.rs",
    "services/order/src/ops/desk.rs",
];

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("tests/ is in the workspace")
        .to_path_buf()
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|own| own == ending) {
            found.push(path);
        }
    }
}

fn sources(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&root().join(folder), ending, &mut found);
    let named = found.into_iter().map(|path| {
        let text = fs::read_to_string(&path).expect("a source");
        let name = path.strip_prefix(root()).expect("below the root");
        (name.to_string_lossy().into_owned(), text)
    });
    named.collect()
}

/// The tables of a service that have a policy.
fn guarded(service: &str) -> BTreeSet<String> {
    let folder = format!("services/{service}/migrations/postgres");
    let mut tables = BTreeSet::new();
    for (_, text) in sources(&folder, "sql") {
        let words = words(&text);
        for window in words.windows(5) {
            if let ["CREATE", "POLICY", _, "ON", table] = window {
                tables.insert((*table).to_owned());
            }
        }
    }
    tables
}

/// The words of a statement, and the signs that matter here.
fn words(text: &str) -> Vec<&str> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = text.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let from = at;
        while at < bytes.len() && is_word(bytes[at]) {
            at += 1;
        }
        if at > from {
            found.push(&text[from..at]);
        } else {
            if bytes[at] == b'=' {
                found.push("=");
            }
            at += 1;
        }
    }
    found
}

/// Every string of a source with the function or macro that it stands in.
fn strings(source: &str) -> Vec<(String, String)> {
    let bytes = source.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    let mut place = String::new();
    while at < bytes.len() {
        let rest = &source.as_bytes()[at..];
        if rest.starts_with(b"//") {
            at += rest
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(rest.len());
        } else if rest.starts_with(b"'\"'") {
            at += 3;
        } else if rest[0] == b'"' {
            let (mut end, mut text) = (at + 1, Vec::new());
            while end < bytes.len() && bytes[end] != b'"' {
                if bytes[end] == b'\\' {
                    end += 1;
                } else {
                    text.push(bytes[end]);
                }
                end += 1;
            }
            found.push((place.clone(), String::from_utf8_lossy(&text).into_owned()));
            at = end + 1;
        } else {
            for mark in ["fn ", "macro_rules! "] {
                let starts =
                    at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
                if starts && rest.starts_with(mark.as_bytes()) {
                    let name = rest[mark.len()..].iter().copied();
                    let name =
                        name.take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
                    place = String::from_utf8_lossy(&name.collect::<Vec<u8>>()).into_owned();
                }
            }
            at += 1;
        }
    }
    found
}

/// Whether a statement goes over rows of these tables without saying whose, nor which.
fn scans(text: &str, tables: &BTreeSet<String>) -> bool {
    let words = words(text);
    let reads = words
        .windows(2)
        .any(|pair| matches!(pair[0], "FROM" | "JOIN" | "UPDATE") && tables.contains(pair[1]));
    let keyed = words
        .windows(2)
        .any(|pair| KEYS.contains(&pair[0]) && matches!(pair[1], "=" | "IN"));
    reads && !keyed && !words.contains(&"partner_id")
}

#[test]
fn tenancy_is_said_by_every_statement_or_there_is_a_reason() {
    let mut problems = Vec::new();
    let mut statements = 0;
    for service in ["catalog", "room", "order", "fulfillment"] {
        let tables = guarded(service);
        assert!(tables.len() > 5, "{service}: {tables:?}");
        for (name, source) in sources(&format!("services/{service}/src/store"), "rs") {
            let name = name.trim_start_matches("services/");
            for (place, text) in strings(&source) {
                statements += usize::from(text.contains("FROM ") || text.contains("UPDATE "));
                let listed = SCANS
                    .iter()
                    .any(|(file, function, _)| *file == name && *function == place);
                if scans(&text, &tables) && !listed && !name.contains("test") {
                    problems.push(format!("{name}: {place}: {}", text.trim()));
                }
            }
        }
    }
    assert!(statements > 200, "only {statements} statements were found");
    assert!(
        problems.is_empty(),
        "statements over rows of many partners; name the partner or the key, or list the function in SCANS:\n- {}",
        problems.join("\n- ")
    );
}

#[test]
fn tenancy_is_looked_beyond_only_where_it_is_listed() {
    let mut widened = BTreeSet::new();
    let mut tenants = BTreeSet::new();
    let mut settings = BTreeSet::new();
    for folder in ["services", "crates/store/src"] {
        for (name, source) in sources(folder, "rs") {
            if source.contains(".widen(") {
                widened.insert(name.clone());
            }
            if source.contains("fn tenant(") && !name.contains("/tests/") {
                tenants.insert(name.clone());
            }
            if source.contains("'vitrine.partners'") {
                settings.insert(name);
            }
        }
    }
    assert_eq!(
        widened,
        WIDENED.iter().map(|(file, _)| (*file).to_owned()).collect()
    );
    assert_eq!(
        tenants,
        TENANTS.iter().map(|file| (*file).to_owned()).collect()
    );
    let wanted = ["crates/store/src/postgres.rs", "crates/store/src/tx.rs"];
    assert_eq!(settings, wanted.map(str::to_owned).into());
}

#[test]
fn tenancy_statements_are_told_apart() {
    let tables: BTreeSet<String> = ["orders".to_owned(), "contact".to_owned()].into();
    for (text, is_scan) in [
        ("SELECT * FROM orders", true),
        ("SELECT order_id FROM orders WHERE state = 'PAID'", true),
        ("SELECT state FROM orders WHERE order_id = $1", false),
        (
            "SELECT state FROM orders AS o WHERE o.partner_id = $1",
            false,
        ),
        (
            "DELETE FROM contact WHERE order_id IN (SELECT value->>0 FROM json_each($1))",
            false,
        ),
        ("UPDATE orders SET state = 'X'", true),
        ("SELECT * FROM sale_stop", false),
        ("INSERT INTO orders (order_id) VALUES ($1)", false),
    ] {
        assert_eq!(scans(text, &tables), is_scan, "{text}");
    }
    let source = "fn one() { a(\"SELECT \\\n x\") } // \"no\"\nfn two() { b('\"', \"y\") }";
    let found = strings(source);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[1], ("two".to_owned(), "y".to_owned()));
}
