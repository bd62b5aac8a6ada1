//! The house rules that a compiler does not know: who may depend on whom, and where which library may be named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the workspace")
        .to_path_buf()
}

fn metadata() -> Value {
    let out = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).expect("cargo metadata is JSON")
}

fn packages(metadata: &Value) -> BTreeMap<String, &Value> {
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|p| (p["name"].as_str().expect("a name").to_owned(), p))
        .collect()
}

/// What a package depends on inside the workspace, outside its tests.
fn inner_dependencies(package: &Value, names: &BTreeSet<String>) -> BTreeSet<String> {
    package["dependencies"]
        .as_array()
        .expect("dependencies")
        .iter()
        .filter(|d| d["kind"].as_str() != Some("dev"))
        .filter_map(|d| d["name"].as_str())
        .filter(|d| names.contains(*d))
        .map(str::to_owned)
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata();
    let packages = packages(&metadata);
    let names: BTreeSet<String> = packages.keys().cloned().collect();
    let service = &["contracts", "kit", "store"][..];
    let allowed: &[(&str, &[&str])] = &[
        ("contracts", &[]),
        ("kit", &["contracts"]),
        ("store", &["contracts", "kit"]),
        ("testkit", service),
        ("catalog", service),
        ("room", service),
        ("order", service),
        ("fulfillment", service),
        (
            "vitrine",
            &[
                "contracts",
                "kit",
                "store",
                "catalog",
                "room",
                "order",
                "fulfillment",
            ],
        ),
        ("tests", &[]),
    ];
    assert_eq!(
        names,
        allowed.iter().map(|(n, _)| (*n).to_owned()).collect(),
        "every member has its place"
    );
    for (name, may) in allowed {
        for dependency in inner_dependencies(packages[*name], &names) {
            assert!(
                may.contains(&dependency.as_str()),
                "{name} must not depend on {dependency}"
            );
        }
    }
}

#[test]
fn libraries_stay_where_they_belong() {
    let metadata = metadata();
    for (name, package) in packages(&metadata) {
        let direct: BTreeSet<&str> = package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .filter(|d| d["kind"].as_str() != Some("dev"))
            .filter_map(|d| d["name"].as_str())
            .collect();
        if matches!(name.as_str(), "contracts" | "kit" | "vitrine") {
            assert!(!direct.contains("sqlx"), "{name} must not know SQL");
        }
        for banned in ["openssl", "ring", "native-tls"] {
            assert!(
                !direct.contains(banned),
                "{name} must not use {banned}: there is one crypto provider"
            );
        }
        assert_eq!(
            package["features"].as_object().map(|f| f.len()),
            Some(0),
            "{name}: no cargo features for business"
        );
    }
}

#[test]
fn there_is_one_binary() {
    let metadata = metadata();
    let binaries: Vec<String> = packages(&metadata)
        .values()
        .flat_map(|p| p["targets"].as_array().expect("targets").clone())
        .filter(|t| {
            t["kind"]
                .as_array()
                .is_some_and(|k| k.iter().any(|k| k == "bin"))
        })
        .map(|t| t["name"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(binaries, ["vitrine"]);
}

struct Source {
    /// Relative to the workspace, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// Code that only tests use.
    fn is_test(&self) -> bool {
        let in_tests = self
            .path
            .split('/')
            .any(|part| part == "tests" || part == "examples" || part == "benches");
        let named = self.path.ends_with("tests.rs") || self.path.ends_with("_test.rs");
        in_tests || named || self.path.starts_with("crates/testkit/")
    }

    /// Whether a line is in a test that pauses time.
    fn time_is_paused_at(&self, line: usize) -> bool {
        self.text
            .lines()
            .take(line)
            .filter(|line| {
                line.trim_start().starts_with("#[tokio::test") || line.trim() == "#[test]"
            })
            .last()
            .is_some_and(|test| test.contains("start_paused = true"))
    }

    /// The lines that run in production, without comments: everything before a trailing `mod tests`.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let cut = self
            .text
            .find("#[cfg(test)]\nmod tests {")
            .unwrap_or(self.text.len());
        self.text[..cut]
            .lines()
            .enumerate()
            .map(|(n, l)| (n + 1, l))
            .filter(|(_, l)| !l.trim_start().starts_with("//"))
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["crates", "services", "tests"]
        .iter()
        .map(|d| root().join(d))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let relative = path.strip_prefix(root()).expect("inside the workspace");
                found.push(Source {
                    path: relative
                        .components()
                        .map(|c| c.as_os_str().to_string_lossy())
                        .collect::<Vec<_>>()
                        .join("/"),
                    text: fs::read_to_string(&path).expect("a readable file"),
                });
            }
        }
    }
    assert!(found.len() > 100, "only {} sources found", found.len());
    found
}

/// Every production line that holds one of the words must be in a file that passes.
fn only_in(words: &[&str], why: &str, passes: impl Fn(&str) -> bool) {
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|s| !s.is_test() && !passes(&s.path))
    {
        for (n, line) in source.code() {
            if let Some(word) = words.iter().find(|w| line.contains(**w)) {
                wrong.push(format!("{}:{n}: {word}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{why}:\n{}", wrong.join("\n"));
}

fn is_service(path: &str) -> bool {
    ["catalog", "room", "order", "fulfillment"]
        .iter()
        .any(|s| path.starts_with(&format!("services/{s}/")))
}

fn inside(path: &str, part: &str) -> bool {
    path.contains(&format!("/src/{part}/")) || path.ends_with(&format!("/src/{part}.rs"))
}

#[test]
fn status_is_only_named_at_the_edge() {
    only_in(
        &["tonic::Status", "tonic::{Request, Response, Status}"],
        "tonic::Status belongs to kit and rpc/",
        |path| {
            path.starts_with("crates/kit/")
                || path.starts_with("services/vitrine/")
                || inside(path, "rpc")
        },
    );
}

#[test]
fn sql_is_only_written_in_the_store() {
    only_in(
        &["sqlx::", "use sqlx"],
        "sqlx belongs to store and services/*/src/store/",
        |path| path.starts_with("crates/store/") || inside(path, "store"),
    );
    only_in(
        &["sql!(", "bulk!(", "insert!("],
        "SQL belongs to store and services/*/src/store/",
        |path| path.starts_with("crates/store/") || inside(path, "store"),
    );
}

#[test]
fn generated_messages_stop_at_the_edge() {
    let areas = [
        "contracts::catalog::",
        "contracts::room::",
        "contracts::order::",
        "contracts::fulfillment::",
    ];
    only_in(
        &areas,
        "generated messages belong to rpc/ and events.rs",
        |path| !is_service(path) || inside(path, "rpc") || inside(path, "events"),
    );
}

#[test]
fn models_are_plain() {
    let words = [
        "async fn", ".await", "tonic::", "sqlx::", "prost::", "::v1::",
    ];
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|s| is_service(&s.path) && s.path.contains("/src/model/"))
    {
        for (n, line) in source.code() {
            if let Some(word) = words.iter().find(|w| line.contains(**w)) {
                wrong.push(format!("{}:{n}: {word}", source.path));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "a model has no async, no SQL, no gRPC and no generated message:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn nothing_is_left_undone_or_skipped() {
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|s| !s.path.ends_with("suite/architecture.rs"))
    {
        for (n, line) in source.text.lines().enumerate() {
            let line = line.trim_start();
            if line.starts_with("//") {
                continue;
            }
            let undone = ["todo!(", "unimplemented!(", "#[ignore"]
                .iter()
                .any(|w| line.contains(w));
            // The places that wait for a state, with a bound, or pause between tries, and test nothing themselves.
            let waits = [
                "crates/testkit/src/wait.rs",
                "tests/outages/pause.rs",
                "tests/attacks/pause.rs",
            ]
            .contains(&source.path.as_str());
            // In time that is paused nobody waits: it leaps to the next moment at which something happens.
            let paused = source.time_is_paused_at(n);
            let sleeps = !waits
                && !paused
                && source.is_test()
                && (line.contains("thread::sleep(") || line.contains("time::sleep("));
            if undone || sleeps {
                wrong.push(format!("{}:{}: {line}", source.path, n + 1));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "unfinished, ignored or sleeping:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn files_hold_one_thing() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|s| !s.is_test())
        .map(|s| (s.code().count(), &s.path))
        .filter(|(lines, _)| *lines > 550)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    assert!(
        long.is_empty(),
        "files of more than about 500 lines hold more than one thing:\n{}",
        long.join("\n")
    );
}

#[test]
fn both_engines_have_the_same_migrations() {
    for home in [
        "crates/store",
        "services/catalog",
        "services/room",
        "services/order",
        "services/fulfillment",
    ] {
        let names = |engine: &str| -> BTreeSet<String> {
            fs::read_dir(root().join(home).join("migrations").join(engine))
                .unwrap_or_else(|e| panic!("{home}/migrations/{engine}: {e}"))
                .map(|e| {
                    e.expect("an entry")
                        .file_name()
                        .to_string_lossy()
                        .into_owned()
                })
                .collect()
        };
        assert!(!names("sqlite").is_empty(), "{home} has tables");
        assert_eq!(names("sqlite"), names("postgres"), "{home}");
    }
}

#[test]
fn the_direct_calls_are_banned() {
    let clippy = fs::read_to_string(root().join("clippy.toml")).expect("clippy.toml");
    for ban in [
        "std::time::SystemTime::now",
        "std::time::Instant::now",
        "std::env::var",
        "tokio::spawn",
        "sqlx::Pool::begin",
    ] {
        assert!(clippy.contains(ban), "clippy.toml must ban {ban}");
    }
}
