//! What is measured: the order service in processes of its own, the catalog that tells it what is for sale, and
//! PostgreSQL where it is asked for. Everything is started here, in a folder of its own, and ends with the benchmark,
//! however that ends.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use kit::clock::SystemClock;
use kit::config::{Env, env_var};
use kit::ids::{IdSource, SystemIds};
use store::DbConfig;
use store::private::{PrivatePostgres, Settings};

use super::load::now;
use super::usage::{Usage, cpu_of, peak_rss_mib};
use crate::cli::Service;
use crate::config::{Flags, VitrineConfig};
use crate::demo::Addresses;

/// How long anything here may take to start or to end on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(10);
/// Ports are looked for here, below those that the kernel gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// PostgreSQL as it comes, where the private server of tests is set up otherwise.
const AS_IT_COMES: [&str; 4] = [
    "wal_level=replica",
    "max_wal_senders=10",
    "shared_buffers=128MB",
    "max_wal_size=1GB",
];
/// What a partner may send: more than there is.
const UNLIMITED: u32 = 1_000_000;

/// The database of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// A file in a folder of the benchmark's own, written through at each commit (synchronous=FULL).
    Sqlite,
    /// A PostgreSQL of the benchmark's own, or the one that DATABASE_URL names.
    Postgres,
}

impl Engine {
    /// As reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        }
    }
}

/// How the house is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database.
    pub engine: Engine,
    /// Processes of the order service; more than one on PostgreSQL only.
    pub replicas: usize,
    /// Configuration of the order service, each `key=value`, over what is said here.
    pub settings: Vec<String>,
    /// More of `postgresql.conf`, each `name=value`.
    pub postgres: Vec<String>,
    /// Whether fulfilment runs too and follows the orders, on the same cores.
    pub with_fulfillment: bool,
    /// Leaves logs and data behind.
    pub keep: bool,
}

/// One process.
pub struct Server {
    /// Which one.
    pub service: Service,
    /// Where it answers gRPC.
    pub listen: SocketAddr,
    admin: SocketAddr,
    log: PathBuf,
    child: Option<Child>,
}

/// Everything that runs for one benchmark.
pub struct House {
    /// Logs, and the data folder.
    pub folder: PathBuf,
    /// Where the services answer.
    pub addresses: Addresses,
    /// Ours, where there is one.
    pub postgres: Option<PrivatePostgres>,
    /// The processes.
    pub servers: Vec<Server>,
    options: Options,
    keys: PathBuf,
}

impl House {
    /// Starts everything and waits until it is ready.
    pub fn start(options: Options) -> anyhow::Result<House> {
        if options.engine == Engine::Sqlite && options.replicas > 1 {
            bail!("SQLite is one process's own: leave out --replicas, or take --engine postgres");
        }
        let ids = SystemIds::new(Arc::new(SystemClock));
        let folder = std::env::temp_dir().join(format!("vitrine-bench-{:032x}", ids.next()));
        fs::create_dir_all(&folder).with_context(|| {
            format!(
                "the folder {} could not be made: name a place with TMPDIR=…",
                folder.display()
            )
        })?;
        let mut house = House {
            keys: folder.join("data"),
            folder,
            addresses: Addresses::default(),
            postgres: None,
            servers: Vec::new(),
            options,
        };
        house.lay_out(&format!("{:08x}", ids.random_u64() >> 32))?;
        for n in 0..house.servers.len() {
            house.launch(n)?;
        }
        house.until_ready()?;
        Ok(house)
    }

    /// A suite that runs elsewhere; its processes are not ours to measure.
    pub fn elsewhere(addresses: Addresses, data_dir: &Path, options: Options) -> House {
        House {
            folder: std::env::temp_dir(),
            addresses,
            postgres: None,
            servers: Vec::new(),
            options,
            keys: data_dir.to_owned(),
        }
    }

    /// Where to prepare from: services that do not run are not connected to.
    pub fn reachable(&self) -> Addresses {
        let mut addresses = self.addresses.clone();
        if !self.servers.is_empty() {
            addresses.room.clone_from(&addresses.catalog);
            addresses.fulfillment.clone_from(&addresses.catalog);
        }
        addresses
    }

    /// Where the keys are that tokens are signed with.
    pub fn data_dir(&self) -> &Path {
        &self.keys
    }

    /// Where the services' data are on this disk, for whoever measures it.
    pub fn disk(&self) -> &Path {
        &self.folder
    }

    /// Which database it runs on.
    pub fn engine(&self) -> Engine {
        self.options.engine
    }

    fn lay_out(&mut self, mark: &str) -> anyhow::Result<()> {
        let mut ports = Ports::begin();
        let mut services = vec![Service::Catalog];
        services.extend(vec![Service::Order; self.options.replicas.max(1)]);
        if self.options.with_fulfillment {
            services.push(Service::Fulfillment);
        }
        for service in services {
            let log = self
                .folder
                .join(format!("{}-{}.log", service.name(), self.servers.len()));
            self.servers.push(Server {
                service,
                listen: ports.next()?,
                admin: ports.next()?,
                log,
                child: None,
            });
        }
        let nowhere = vec![format!("http://{}", ports.next()?)];
        let of = |service: Service| -> Vec<String> {
            let own = self.servers.iter().filter(|s| s.service == service);
            own.map(|s| format!("http://{}", s.listen)).collect()
        };
        self.addresses = Addresses {
            catalog: of(Service::Catalog),
            room: nowhere.clone(),
            order: of(Service::Order),
            fulfillment: match self.options.with_fulfillment {
                true => of(Service::Fulfillment),
                false => nowhere,
            },
        };
        let database = self.database()?;
        fs::write(self.config_file(), self.config(database.as_deref(), mark))
            .context("the configuration of the services could not be written")?;
        if database.is_some() {
            self.migrate()?;
        }
        Ok(())
    }

    /// The URL of PostgreSQL, started if it is to be ours.
    fn database(&mut self) -> anyhow::Result<Option<String>> {
        if self.options.engine == Engine::Sqlite {
            return Ok(None);
        }
        if let Some(url) = env_var("DATABASE_URL") {
            return Ok(Some(url));
        }
        let postgres = start_postgres(&self.options.postgres)?;
        let url = postgres.service_url("postgres");
        self.postgres = Some(postgres);
        Ok(Some(url))
    }

    /// What all processes are told; what differs is on their command lines.
    fn config(&self, database: Option<&str>, mark: &str) -> String {
        let mut text = format!("data_dir = {:?}\n[peers]\n", self.keys);
        let of = &self.addresses;
        let named = [
            ("catalog", &of.catalog),
            ("room", &of.room),
            ("order", &of.order),
            ("fulfillment", &of.fulfillment),
        ];
        for (name, addresses) in named {
            text.push_str(&format!("{name} = {:?}\n", addresses.join(",")));
        }
        for service in Service::ALL {
            let Some(url) = database else { break };
            let name = service.name();
            text.push_str(&format!("[database.{name}]\nurl = {url:?}\n"));
            match &self.postgres {
                Some(own) => {
                    let owner = own.url("postgres");
                    text.push_str(&format!("migrate_url = {owner:?}\n"));
                }
                // Somebody else's server: nothing of what is there may be touched, and whoever named it may have named
                // a superuser.
                None => text.push_str(&format!(
                    "schema = \"bench_{mark}_{name}\"\nallow_bypass_role = true\n"
                )),
            }
        }
        for who in ["partner", "partner_critical", "retailer"] {
            text.push_str(&format!(
                "[server.layers.rate_limit.{who}]\nper_second = {UNLIMITED}\nburst = {UNLIMITED}\n"
            ));
        }
        text.push_str("[telemetry]\nlog_level = \"warn\"\n");
        text
    }

    /// What was set up otherwise than it comes, for the report.
    pub fn told(&self) -> Vec<String> {
        let mut told = vec![
            format!(
                "server.layers.rate_limit.{{partner,partner_critical}}=({UNLIMITED}/s, burst {UNLIMITED})"
            ),
            "telemetry.log_level=warn".to_owned(),
        ];
        told.extend(self.options.settings.iter().cloned());
        told.extend(
            self.options
                .postgres
                .iter()
                .map(|s| format!("postgres {s}")),
        );
        told
    }

    fn config_file(&self) -> PathBuf {
        self.folder.join("vitrine.toml")
    }

    fn command(&self, log: &Path) -> anyhow::Result<Command> {
        let program = std::env::current_exe().context("this program cannot find itself")?;
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(program);
        command
            .arg("--config")
            .arg(self.config_file())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }

    fn migrate(&self) -> anyhow::Result<()> {
        let log = self.folder.join("migrate.log");
        let status = self.command(&log)?.arg("migrate").status()?;
        if !status.success() {
            bail!("`vitrine migrate` failed: {}", tail(&log));
        }
        Ok(())
    }

    fn launch(&mut self, n: usize) -> anyhow::Result<()> {
        let server = &self.servers[n];
        let mut command = self.command(&server.log)?;
        command
            .args(["serve", server.service.name()])
            .args(["--listen", &server.listen.to_string()])
            .args(["--admin", &server.admin.to_string()]);
        if server.service == Service::Order {
            command.args(self.options.settings.iter().flat_map(|s| ["--set", s]));
        }
        let child = command.spawn().context("a service could not be started")?;
        self.servers[n].child = Some(child);
        Ok(())
    }

    fn until_ready(&mut self) -> anyhow::Result<()> {
        let until = now() + START_LIMIT;
        for server in &mut self.servers {
            while !is_ready(server.admin) {
                let child = server.child.as_mut().context("a service was not started")?;
                if let Some(status) = child.try_wait()? {
                    let name = server.service.name();
                    bail!(
                        "{name} ended at its start ({status}): {}",
                        tail(&server.log)
                    );
                }
                if now() > until {
                    let name = server.service.name();
                    bail!("{name} did not become ready: {}", tail(&server.log));
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    /// Stops the order service and starts it with other settings, on the same data.
    pub fn restart_orders(&mut self, settings: Vec<String>) -> anyhow::Result<()> {
        self.stop_orders();
        self.start_orders(settings)
    }

    /// Stops the order service; its database is then nobody's.
    pub fn stop_orders(&mut self) {
        let orders = self
            .servers
            .iter_mut()
            .filter(|s| s.service == Service::Order);
        orders.for_each(Server::stop);
    }

    /// Starts the order service again.
    pub fn start_orders(&mut self, settings: Vec<String>) -> anyhow::Result<()> {
        self.options.settings = settings;
        for n in 0..self.servers.len() {
            if self.servers[n].service == Service::Order {
                self.launch(n)?;
            }
        }
        self.until_ready()
    }

    /// Where the order service keeps its data; none when it runs elsewhere.
    pub fn order_database(&self) -> anyhow::Result<Option<DbConfig>> {
        if self.servers.is_empty() {
            return Ok(None);
        }
        let file = self.config_file();
        let config = VitrineConfig::load(Some(&file), &Env::empty(), &Flags::default())?;
        Ok(Some(config.database_of(Service::Order)))
    }

    /// What each process has used so far.
    pub fn usage(&self) -> Usage {
        let of = |service: Service| -> Option<f64> {
            let mut all = self
                .servers
                .iter()
                .filter(|s| s.service == service)
                .peekable();
            all.peek()?;
            Some(
                all.filter_map(|s| cpu_of(s.child.as_ref()?.id(), false))
                    .sum(),
            )
        };
        let postgres = self.postgres.as_ref().and_then(PrivatePostgres::pid);
        Usage {
            generator: cpu_of(std::process::id(), false).unwrap_or_default(),
            order: of(Service::Order),
            catalog: of(Service::Catalog),
            fulfillment: of(Service::Fulfillment),
            postgres: postgres.and_then(|pid| cpu_of(pid.parse().ok()?, true)),
        }
    }

    /// The most memory that an order process ever had resident, in MiB.
    pub fn rss_mib(&self) -> Option<f64> {
        let orders = self.servers.iter().filter(|s| s.service == Service::Order);
        orders
            .filter_map(|s| peak_rss_mib(s.child.as_ref()?.id()))
            .reduce(f64::max)
    }

    /// What the order service logged at last, for whoever has to find out.
    pub fn log(&self) -> String {
        let orders = self.servers.iter().filter(|s| s.service == Service::Order);
        orders.map(|s| tail(&s.log)).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        for server in &mut self.servers {
            server.kill();
        }
        if self.servers.is_empty() {
            return;
        }
        if self.options.keep {
            eprintln!("left behind: {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

impl Server {
    /// SIGTERM, and its end; SIGKILL when it does not come.
    fn stop(&mut self) {
        let Some(child) = self.child.as_mut() else {
            return;
        };
        let pid = child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let until = now() + STOP_LIMIT;
        while matches!(child.try_wait(), Ok(None)) && now() < until {
            std::thread::sleep(LOOK);
        }
        self.kill();
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A PostgreSQL with the durability and the memory that it comes with.
pub fn start_postgres(more: &[String]) -> anyhow::Result<PrivatePostgres> {
    let mut settings = AS_IT_COMES.map(str::to_owned).to_vec();
    settings.extend_from_slice(more);
    PrivatePostgres::start(Settings {
        fsync: true,
        more: settings,
        ..Settings::default()
    })
    .context("PostgreSQL could not be started; --engine sqlite needs none (with --no-baseline), DATABASE_URL=postgres://… names one")
}

/// Says which ports are free.
struct Ports(u16);

impl Ports {
    fn begin() -> Ports {
        let spread = u16::try_from(std::process::id() % 400).unwrap_or(0) * 29;
        Ports(PORTS.start + spread % (PORTS.end - PORTS.start))
    }

    fn next(&mut self) -> anyhow::Result<SocketAddr> {
        for _ in PORTS {
            self.0 = if self.0 + 1 < PORTS.end {
                self.0 + 1
            } else {
                PORTS.start
            };
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.0));
            if TcpListener::bind(address).is_ok() {
                return Ok(address);
            }
        }
        bail!("no port between {} and {} is free", PORTS.start, PORTS.end)
    }
}

fn is_ready(admin: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let limit = Duration::from_secs(2);
        let mut stream = TcpStream::connect_timeout(&admin, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(answer.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

/// The end of a log.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
