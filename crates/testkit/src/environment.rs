//! What the machine offers the tests.

use std::io::Write;
use std::sync::Once;

use kit::config::env_var;

/// The server to use instead of a private one.
pub(crate) fn server_url() -> Option<String> {
    env_var("VITRINE_TEST_POSTGRES")
}

/// Says, once and past libtest's capture, that there is no PostgreSQL; fails where there has to be one.
pub(crate) fn skip_postgres(why: &str) {
    static SAID: Once = Once::new();
    assert!(
        env_var("CI").as_deref() != Some("true"),
        "the tests on PostgreSQL cannot run, and CI=true says that they must: {why}"
    );
    SAID.call_once(|| {
        let line = format!("\nSKIPPED: every test on PostgreSQL of this binary: {why}\n");
        // Not eprintln!, which libtest keeps to itself when the test passes.
        let _ = std::io::stderr().write_all(line.as_bytes());
    });
}
