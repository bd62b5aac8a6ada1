//! A PostgreSQL server of one's own, which does not outlive the process that started it: for tests and benchmarks.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kit::clock::{Clock, SystemClock};
use kit::config::env_var;
use kit::ids::{IdSource, SystemIds};

/// How long starting may take on a busy machine.
const START_BOUND: Duration = Duration::from_secs(120);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(2);
const SUPERUSER: &str = "vitrine";
/// An ordinary role, which services run as: the policies of tables hold for it.
const SERVICE: &str = "vitrine_service";

/// How a private server is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether what it acknowledged survives `kill -9` of the machine; slower, so off unless a test is about it.
    /// What it acknowledged survives `kill -9` of the server either way.
    pub fsync: bool,
    /// Connections that it takes.
    pub max_connections: u32,
    /// More of `postgresql.conf`, each `name=value`.
    pub more: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            fsync: false,
            max_connections: 200,
            more: Vec::new(),
        }
    }
}

/// A private server: started with its own data folder on a Unix socket, ended and removed when this is
/// dropped or when the process dies, however it dies.
pub struct PrivatePostgres {
    folder: PathBuf,
    programs: PathBuf,
    user: Option<User>,
    settings: Settings,
    keeper: Option<Child>,
}

// Sets the server up, runs it, and waits for its own standard input: a line says how to end, and the end
// of the input says that whoever started us is gone.
const KEEPER: &str = r#"
folder=$1 programs=$2
shift 2
if [ ! -d "$folder/data" ]; then
    "$programs/initdb" -D "$folder/data" -U vitrine -A trust -E UTF8 --locale=C --no-sync \
        >>"$folder/log" 2>&1 </dev/null || exit 1
    echo "CREATE ROLE vitrine_service LOGIN" |
        "$programs/postgres" --single -D "$folder/data" postgres >>"$folder/log" 2>&1 || exit 1
fi
"$programs/postgres" -D "$folder/data" "$@" >>"$folder/log" 2>&1 </dev/null &
server=$!
read -r word || word=gone
case $word in
    keep) kill -INT "$server" 2>/dev/null; wait "$server" ;;
    killed) wait "$server" ;;
    *) kill -QUIT "$server" 2>/dev/null; wait "$server"; rm -rf "$folder" ;;
esac
"#;

impl PrivatePostgres {
    /// Starts a server and waits until it takes connections. An error says what is missing.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let programs = programs().ok_or_else(|| {
            io::Error::other(
                "no postgres and initdb on PATH or under /usr/lib/postgresql/*/bin: install PostgreSQL",
            )
        })?;
        // Kept: the keeper removes it, even when we cannot any more.
        let ids = SystemIds::new(Arc::new(SystemClock));
        let folder = env::temp_dir().join(format!("vitrine-pg-{:032x}", ids.next()));
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let user = server_user(&folder)?;
        if let Some(user) = user {
            chown(&folder, Some(user.uid), Some(user.gid))?;
        }
        let mut server = PrivatePostgres {
            folder,
            programs,
            user,
            settings,
            keeper: None,
        };
        server.launch()?;
        Ok(server)
    }

    /// Where to connect to one of its databases as a superuser, who owns what migrations make; `postgres` is always
    /// there.
    pub fn url(&self, database: &str) -> String {
        self.url_as(database, SUPERUSER)
    }

    /// The same as the ordinary role that services run as; it owns nothing, and migrations grant it what it needs.
    pub fn service_url(&self, database: &str) -> String {
        self.url_as(database, SERVICE)
    }

    fn url_as(&self, database: &str, user: &str) -> String {
        let folder = self.folder.display();
        format!("postgres:///{database}?host={folder}&user={user}")
    }

    /// The folder with its socket.
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// The socket itself.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// The folder with `postgres`, `initdb` and what else came with them.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// What it logged, for whoever has to find out.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// `kill -9`: connections break, and what was not acknowledged may be lost.
    pub fn kill(&mut self) {
        if let Some(pid) = self.pid() {
            // Stopped, it has no more children while they are counted.
            signal("-STOP", &pid);
            let children = children_of(&pid);
            signal("-KILL", &pid);
            // The children would notice, but only when they next wait for something; and while one of them
            // lives, its memory keeps the next server from starting.
            children.iter().for_each(|child| signal("-KILL", child));
            eventually(START_BOUND, || !children.iter().any(|child| lives(child)));
        }
        self.dismiss("killed");
    }

    /// Stops it in order; its data stay.
    pub fn stop(&mut self) {
        self.dismiss("keep");
    }

    /// Starts it again after [`Self::kill`] or [`Self::stop`], on the same data and the same socket.
    pub fn start_again(&mut self) -> io::Result<()> {
        self.dismiss("keep");
        self.launch()
    }

    fn launch(&mut self) -> io::Result<()> {
        let on = if self.settings.fsync { "on" } else { "off" };
        let max_connections = self.settings.max_connections;
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "keeper"])
            .args([&self.folder, &self.programs])
            .arg("-k")
            .arg(&self.folder)
            .args(["-c", "listen_addresses="])
            .args(["-c", &format!("fsync={on}")])
            .args(["-c", &format!("full_page_writes={on}")])
            .args(["-c", &format!("max_connections={max_connections}")])
            .args(["-c", "max_wal_senders=0", "-c", "wal_level=minimal"])
            .args(["-c", "shared_buffers=64MB", "-c", "max_wal_size=512MB"])
            .args([
                "-c",
                "log_min_messages=warning",
                "-c",
                "unix_socket_permissions=0777",
            ])
            .args(
                self.settings
                    .more
                    .iter()
                    .flat_map(|setting| ["-c", setting]),
            )
            .current_dir(&self.folder)
            // Ctrl-C at the terminal ends whoever started it; the keeper ends by itself after them.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        let _ = fs::remove_file(self.pid_file());
        let mut keeper = command.spawn()?;
        let up = eventually(START_BOUND, || {
            self.is_ready() || matches!(keeper.try_wait(), Ok(Some(_)))
        });
        let ready = up && self.is_ready();
        self.keeper = Some(keeper);
        if ready {
            return Ok(());
        }
        let log = self.log();
        let last = log
            .lines()
            .rev()
            .take(8)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
            .join("\n");
        Err(io::Error::other(format!(
            "PostgreSQL did not start; the end of its log:\n{last}"
        )))
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("data/postmaster.pid")
    }

    /// The server writes its state into the eighth line of its pid file.
    fn is_ready(&self) -> bool {
        let lines = fs::read_to_string(self.pid_file()).unwrap_or_default();
        lines
            .lines()
            .nth(7)
            .is_some_and(|state| state.trim() == "ready")
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<String> {
        let lines = fs::read_to_string(self.pid_file()).ok()?;
        let pid = lines.lines().next()?.trim();
        pid.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| pid.to_owned())
    }

    fn dismiss(&mut self, word: &str) {
        if let Some(mut keeper) = self.keeper.take() {
            if let Some(mut input) = keeper.stdin.take() {
                let _ = writeln!(input, "{word}");
            }
            let _ = keeper.wait();
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.dismiss("gone");
        // After a kill or a stop there is no keeper left to do it.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn eventually(bound: Duration, mut state: impl FnMut() -> bool) -> bool {
    let start = SystemClock.instant();
    loop {
        if state() {
            return true;
        }
        if SystemClock.instant().saturating_duration_since(start) > bound {
            return false;
        }
        std::thread::sleep(LOOK);
    }
}

fn children_of(pid: &str) -> Vec<String> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().map(str::to_owned).collect()
}

fn signal(signal: &str, pid: &str) {
    let _ = Command::new("kill")
        .args([signal, pid])
        .stderr(Stdio::null())
        .status();
}

/// Whether it is there, and not only its exit code for somebody to fetch.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which may hold anything.
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The folder with `postgres` and `initdb`: on PATH, or the newest under `/usr/lib/postgresql`.
pub fn programs() -> Option<PathBuf> {
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
struct User {
    uid: u32,
    gid: u32,
}

/// Who the server runs as: none when it may run as whoever owns `folder`, which we just made.
fn server_user(folder: &Path) -> std::io::Result<Option<User>> {
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
