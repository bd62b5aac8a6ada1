//! What the machine offers the tests.

use std::env;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

use kit::config::env_var;

/// The server to use instead of a private one.
pub(crate) fn server_url() -> Option<String> {
    env_var("VITRINE_TEST_POSTGRES")
}

/// The folder with `postgres` and `initdb`: on PATH, or the newest under `/usr/lib/postgresql`.
pub(crate) fn programs() -> Option<PathBuf> {
    let path = env_var("PATH").unwrap_or_default();
    env::split_paths(&path)
        .filter_map(|folder| {
            folder
                .join("postgres")
                .canonicalize()
                .ok()?
                .parent()
                .map(Path::to_owned)
        })
        .chain(packaged())
        .find(|folder| folder.join("postgres").is_file() && folder.join("initdb").is_file())
}

fn packaged() -> Vec<PathBuf> {
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else {
        return Vec::new();
    };
    let number = |folder: &PathBuf| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let mut folders: Vec<_> = versions
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    folders.sort_by_key(|folder| std::cmp::Reverse(number(folder)));
    folders
        .into_iter()
        .map(|folder| folder.join("bin"))
        .collect()
}

/// A user and its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Who the server runs as: none when it may run as whoever owns `folder`, which we just made.
pub(crate) fn server_user(folder: &Path) -> std::io::Result<Option<User>> {
    if std::fs::metadata(folder)?.uid() != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let user = ["postgres", "nobody"]
        .iter()
        .find_map(|name| user_named(&users, name));
    match user {
        Some(user) => Ok(Some(user)),
        None => Err(std::io::Error::other(
            "PostgreSQL will not run as root, and there is no user postgres or nobody",
        )),
    }
}

fn user_named(users: &str, name: &str) -> Option<User> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (uid != 0).then_some(User { uid, gid })
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_users_but_never_root() {
        let users = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\nodd:x:0:5::/:\n";
        assert_eq!(
            user_named(users, "nobody"),
            Some(User {
                uid: 65534,
                gid: 65534
            })
        );
        for name in ["root", "odd", "postgres", "no"] {
            assert_eq!(user_named(users, name), None);
        }
    }
}
