//! A PostgreSQL server of one's own, which does not outlive the process that started it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::environment::{User, programs, server_user, skip_postgres};
use crate::wait::eventually;

/// How long starting may take on a busy machine.
const START_BOUND: Duration = Duration::from_secs(120);
const SUPERUSER: &str = "vitrine";

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
                "no postgres and initdb on PATH or under /usr/lib/postgresql/*/bin, and VITRINE_TEST_POSTGRES is not set",
            )
        })?;
        // Kept: the keeper removes it, even when we cannot any more.
        let folder = tempfile::Builder::new()
            .prefix("vitrine-pg-")
            .tempdir()?
            .keep();
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

    /// The same for a test that is skipped where the programs are missing, which is then said. They are
    /// needed even where `VITRINE_TEST_POSTGRES` names a server: that one is not ours to kill.
    pub fn start_or_skip(settings: Settings) -> Option<Self> {
        if programs().is_none() {
            skip_postgres("no postgres and initdb on PATH or under /usr/lib/postgresql/*/bin");
            return None;
        }
        Some(Self::start(settings).expect("a private PostgreSQL that starts"))
    }

    /// Where to connect to one of its databases; `postgres` is always there.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres:///{database}?host={}&user={SUPERUSER}",
            self.folder.display()
        )
    }

    /// The folder with its socket.
    pub fn socket_folder(&self) -> &Path {
        &self.folder
    }

    /// The socket itself.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// What it logged, for a failing test to show.
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
            // Ctrl-C at the terminal ends the tests; the keeper ends by itself after them.
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

    fn pid(&self) -> Option<String> {
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
