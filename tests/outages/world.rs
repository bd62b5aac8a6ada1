//! The processes under test: started, killed, drained and started again.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use kit::clock::{Clock, SystemClock};
use testkit::{Engine, PrivatePostgres, Settings};
use vitrine::cli::Service;

use crate::client::Addresses;

/// Ports are looked for here: below those that the kernel gives to outgoing connections, so that nothing takes the
/// port of a server that is down just now.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How long anything here may take on a busy machine.
pub const BOUND: Duration = Duration::from_secs(90);
/// A process that ended by itself at its start is started again at most so often.
const STARTS_MAX: u32 = 5;

/// One process of the suite.
pub struct Server {
    pub name: String,
    /// None: all services in one process.
    pub service: Option<Service>,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    child: Option<Child>,
    started: Instant,
}

/// A suite in processes, with its database.
pub struct World {
    pub engine: Engine,
    pub folder: PathBuf,
    pub program: PathBuf,
    pub postgres: Option<PrivatePostgres>,
    pub servers: Vec<Server>,
    /// Starts that ended by themselves before the process was ready, with the end of the log.
    pub failed_starts: Vec<String>,
    database: String,
    keep: bool,
}

/// Two replicas of the services that may have them.
fn replicas(service: Service) -> u8 {
    match service {
        Service::Catalog | Service::Order => 2,
        Service::Room | Service::Fulfillment => 1,
    }
}

/// Says which ports are free on every address that replicas listen on.
struct Ports(u16);

impl Ports {
    fn begin() -> Ports {
        let spread = u16::try_from(std::process::id() % 400).unwrap_or(0) * 29;
        Ports(PORTS.start + spread % (PORTS.end - PORTS.start))
    }

    fn next(&mut self) -> u16 {
        loop {
            self.0 = if self.0 + 1 < PORTS.end {
                self.0 + 1
            } else {
                PORTS.start
            };
            let free = |last| TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), self.0)).is_ok();
            if free(1) && free(2) {
                return self.0;
            }
        }
    }
}

impl World {
    /// Lays everything out and starts nothing but PostgreSQL, with `fsync` on. None where there is no PostgreSQL,
    /// which was then said.
    pub fn lay_out(engine: Engine, program: PathBuf, keep: bool) -> anyhow::Result<Option<World>> {
        let folder = tempfile::Builder::new()
            .prefix("vitrine-outages-")
            .tempdir()?
            .keep();
        let postgres = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                let settings = Settings {
                    fsync: true,
                    ..Settings::default()
                };
                match PrivatePostgres::start_or_skip(settings) {
                    Some(postgres) => Some(postgres),
                    None => return Ok(None),
                }
            }
        };
        let mut world = World {
            engine,
            folder,
            program,
            postgres,
            servers: Vec::new(),
            failed_starts: Vec::new(),
            database: "postgres".into(),
            keep,
        };
        let mut ports = Ports::begin();
        let at = |last, port| SocketAddr::from(([127, 0, 0, last], port));
        match engine {
            Engine::Sqlite => {
                let (listen, admin) = (at(1, ports.next()), at(1, ports.next()));
                world.add("suite".into(), None, listen, admin);
            }
            Engine::Postgres => {
                for service in Service::ALL {
                    let (listen, admin) = (ports.next(), ports.next());
                    for replica in 1..=replicas(service) {
                        let name = match replicas(service) {
                            1 => service.name().to_owned(),
                            _ => format!("{}-{replica}", service.name()),
                        };
                        let addresses = (at(replica, listen), at(replica, admin));
                        world.add(name, Some(service), addresses.0, addresses.1);
                    }
                }
            }
        }
        world.write_config()?;
        Ok(Some(world))
    }

    fn add(
        &mut self,
        name: String,
        service: Option<Service>,
        listen: SocketAddr,
        admin: SocketAddr,
    ) {
        self.servers.push(Server {
            name,
            service,
            listen,
            admin,
            child: None,
            started: SystemClock.instant(),
        });
    }

    /// Moves to a database (or a data folder) in which nothing is yet.
    pub fn move_on(&mut self, name: &str) -> anyhow::Result<()> {
        self.database = name.to_owned();
        if let Some(postgres) = &self.postgres {
            let url = postgres.url("postgres");
            let statement = format!("CREATE DATABASE {name}");
            crate::runtime()?.block_on(async {
                use sqlx::{AssertSqlSafe, Connection, Executor};
                let mut connection = sqlx::PgConnection::connect(&url).await?;
                connection
                    .execute(sqlx::raw_sql(AssertSqlSafe(statement)))
                    .await?;
                anyhow::Ok(())
            })?;
        }
        self.write_config()
    }

    /// Where the keys, and on SQLite the data, are.
    pub fn data_dir(&self) -> PathBuf {
        match self.engine {
            Engine::Sqlite => self.folder.join(&self.database),
            Engine::Postgres => self.folder.join("data"),
        }
    }

    /// Where a service's data is, for whoever reads it directly.
    pub fn database_url(&self, service: Service) -> String {
        match &self.postgres {
            Some(postgres) => postgres.url(&self.database),
            None => {
                let file = self.data_dir().join(format!("{}.db", service.name()));
                format!("sqlite:{}", file.display())
            }
        }
    }

    pub fn addresses(&self) -> Addresses {
        let of = |service: Service| {
            self.servers
                .iter()
                .filter(|s| s.service.is_none_or(|own| own == service))
                .map(|s| format!("http://{}", s.listen))
                .collect()
        };
        Addresses {
            catalog: of(Service::Catalog),
            room: of(Service::Room),
            order: of(Service::Order),
            fulfillment: of(Service::Fulfillment),
        }
    }

    /// One configuration for all processes, as an operator would write it.
    fn write_config(&self) -> anyhow::Result<()> {
        let mut text = format!(
            "data_dir = {:?}\n[drain]\ndrain_delay_s = 1\ndrain_deadline_s = 20\n",
            self.data_dir()
        );
        if self.engine == Engine::Postgres {
            let addresses = self.addresses();
            text.push_str("[peers]\n");
            for (name, of) in [
                ("catalog", &addresses.catalog),
                ("room", &addresses.room),
                ("order", &addresses.order),
                ("fulfillment", &addresses.fulfillment),
            ] {
                text.push_str(&format!("{name} = {:?}\n", of.join(",")));
            }
            for service in Service::ALL {
                let Some(postgres) = &self.postgres else {
                    break;
                };
                text.push_str(&format!(
                    "[database.{}]\nurl = {:?}\nmigrate_url = {:?}\nmax_connections = 8\n",
                    service.name(),
                    postgres.service_url(&self.database),
                    postgres.url(&self.database)
                ));
            }
        }
        fs::write(self.config_file(), text).context("the configuration could not be written")
    }

    fn config_file(&self) -> PathBuf {
        self.folder.join("vitrine.toml")
    }

    /// A command of the program with this world's configuration.
    pub fn command(&self, log: &str, arguments: &[&str]) -> anyhow::Result<Command> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join(format!("{log}.log")))?;
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .arg("--config")
            .arg(self.config_file())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }

    /// `vitrine migrate`, to its end.
    pub fn migrate(&self) -> anyhow::Result<()> {
        let status = self.command("migrate", &["migrate"])?.status()?;
        if !status.success() {
            bail!("vitrine migrate: {status}: {}", self.log("migrate"));
        }
        Ok(())
    }

    /// Starts a server; returns at once.
    pub fn start(&mut self, n: usize) -> anyhow::Result<()> {
        let server = &self.servers[n];
        let (listen, admin) = (server.listen.to_string(), server.admin.to_string());
        let mut arguments = vec!["serve"];
        arguments.extend(server.service.map(Service::name));
        arguments.extend(["--listen", &listen, "--admin", &admin]);
        let child = self.command(&server.name, &arguments)?.spawn()?;
        let server = &mut self.servers[n];
        server.child = Some(child);
        server.started = SystemClock.instant();
        Ok(())
    }

    /// SIGKILL, and until it is gone.
    pub fn kill(&mut self, n: usize) -> anyhow::Result<()> {
        if let Some(mut child) = self.servers[n].child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM; returns at once.
    pub fn terminate(&self, n: usize) -> anyhow::Result<()> {
        if let Some(child) = &self.servers[n].child {
            let sent = Command::new("kill")
                .args(["-TERM", &child.id().to_string()])
                .status()?;
            if !sent.success() {
                bail!("SIGTERM did not reach {}", self.servers[n].name);
            }
        }
        Ok(())
    }

    /// Waits until a server that was told to has ended.
    pub fn ended(&mut self, n: usize) -> anyhow::Result<ExitStatus> {
        let name = self.servers[n].name.clone();
        let Some(child) = self.servers[n].child.as_mut() else {
            bail!("{name} was not running");
        };
        let mut status = None;
        testkit::eventually(BOUND, || {
            status = child.try_wait().ok().flatten();
            status.is_some()
        });
        let Some(status) = status else {
            bail!("{name} did not end: {}", self.log(&name));
        };
        self.servers[n].child = None;
        Ok(status)
    }

    /// Waits until a server is ready; the answer is how long after its start that was. One that ends by itself is
    /// started again, as whatever runs it would do, and that is kept in mind.
    pub fn until_ready(&mut self, n: usize) -> anyhow::Result<Duration> {
        for _ in 0..STARTS_MAX {
            let server = &mut self.servers[n];
            let (admin, started) = (server.admin, server.started);
            let Some(child) = server.child.as_mut() else {
                bail!("{} was not started", server.name);
            };
            let mut ended = None;
            let ready = testkit::eventually(BOUND, || {
                ended = child.try_wait().ok().flatten();
                ended.is_some() || is_ready(admin)
            });
            let took = SystemClock.instant().saturating_duration_since(started);
            let name = server.name.clone();
            match ended {
                None if ready => return Ok(took),
                None => bail!("{name} did not become ready: {}", self.log(&name)),
                Some(status) => {
                    let why = format!("{name} ended at its start ({status}): {}", self.log(&name));
                    self.failed_starts.push(why);
                    self.start(n)?;
                }
            }
        }
        bail!(
            "{} cannot be started: {}",
            self.servers[n].name,
            self.failed_starts.join("\n")
        )
    }

    pub fn all(&self) -> std::ops::Range<usize> {
        0..self.servers.len()
    }

    /// Starts everything and waits until it is ready.
    pub fn start_all(&mut self) -> anyhow::Result<()> {
        for n in self.all() {
            self.start(n)?;
        }
        for n in self.all() {
            self.until_ready(n)?;
        }
        Ok(())
    }

    /// The end of a log, for whoever has to find out.
    pub fn log(&self, name: &str) -> String {
        let text = fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// A file in the world's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Leaves the folder behind, to be looked at.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for n in self.all() {
            let _ = self.kill(n);
        }
        if self.keep {
            println!("left behind: {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Whether the admin port says that the process is ready.
fn is_ready(admin: SocketAddr) -> bool {
    ask_ready(admin).unwrap_or(false)
}

fn ask_ready(admin: SocketAddr) -> std::io::Result<bool> {
    let limit = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&admin, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(answer.ends_with(b" 200"))
}

/// The driver's process.
pub struct Driver {
    child: Child,
    log: PathBuf,
    output: std::io::BufReader<std::process::ChildStdout>,
}

impl Driver {
    /// Starts it and waits until it has set up.
    pub fn start(plan: &crate::driver::Plan, folder: &Path) -> anyhow::Result<Driver> {
        let file = folder.join("plan.json");
        fs::write(&file, serde_json::to_string_pretty(plan)?)?;
        let log = folder.join("driver.log");
        let mut child = Command::new(std::env::current_exe()?)
            .arg("drive")
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let output = child.stdout.take().context("its output is piped")?;
        let mut driver = Driver {
            child,
            log,
            output: std::io::BufReader::new(output),
        };
        let said = driver.line()?;
        if said != "ready" {
            bail!("the driver could not set up: {said} {}", driver.told());
        }
        Ok(driver)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        use std::io::BufRead;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn told(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Tells it to finish what it has begun, and waits for what it has to say.
    pub fn finish(mut self) -> anyhow::Result<crate::driver::Summary> {
        if let Some(mut input) = self.child.stdin.take() {
            writeln!(input, "stop")?;
        }
        let said = self.line()?;
        let status = self.child.wait()?;
        serde_json::from_str(&said)
            .with_context(|| format!("the driver ended with {status}: {said} {}", self.told()))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It ends by itself when its input does; this is for when it cannot.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
