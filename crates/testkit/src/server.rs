//! The PostgreSQL server that all tests of a process share, and the databases on it.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use kit::clock::{Clock, SystemClock};
use kit::ids::SystemIds;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use store::{Db, DbConfig, Migrations};

use crate::environment::{server_url, skip_postgres};
use crate::private::{PrivatePostgres, Settings};

/// Databases of a run that died are swept from a shared server after this long.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 3_600);
const PREFIX: &str = "vitrine_test_";

/// The tables that a new database has.
#[derive(Clone, Copy)]
pub(crate) enum Contents {
    Nothing,
    Store,
    Service(Migrations),
}

enum Errand {
    Create {
        contents: Contents,
        reply: mpsc::Sender<Result<String, String>>,
    },
    Drop {
        name: String,
        reply: mpsc::Sender<()>,
    },
}

/// The server, and the thread that makes and drops databases on it: one at a time, because a template
/// must not be in use while it is copied.
pub(crate) struct Server {
    errands: mpsc::Sender<Errand>,
    place: Arc<Place>,
}

enum Place {
    Private(PrivatePostgres),
    Named(String),
}

/// The role that services run as on a server that `VITRINE_TEST_POSTGRES` names, and its password.
const SERVICE: &str = "vitrine_test_service";

impl Place {
    /// As the ordinary role that services run as.
    fn service_url(&self, database: &str) -> Result<String, String> {
        match self {
            Place::Private(server) => Ok(server.service_url(database)),
            Place::Named(_) => Ok(as_role(&self.url(database)?, SERVICE)),
        }
    }

    fn url(&self, database: &str) -> Result<String, String> {
        match self {
            Place::Private(server) => Ok(server.url(database)),
            Place::Named(url) => {
                // The path of the URL is the database.
                let (base, query) = url
                    .split_once('?')
                    .map_or((url.as_str(), ""), |(base, query)| (base, query));
                let (scheme, rest) = base
                    .split_once("://")
                    .ok_or("VITRINE_TEST_POSTGRES must be postgres://user@host/database")?;
                let host = rest.split_once('/').map_or(rest, |(host, _)| host);
                let query = if query.is_empty() {
                    String::new()
                } else {
                    format!("?{query}")
                };
                Ok(format!("{scheme}://{host}/{database}{query}"))
            }
        }
    }
}

/// The URL with another role, whose password is its name.
fn as_role(url: &str, role: &str) -> String {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = base.split_once("://").unwrap_or(("postgres", base));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let kept = query.split('&').filter(|pair| {
        !pair.is_empty() && !pair.starts_with("user=") && !pair.starts_with("password=")
    });
    let kept: Vec<&str> = kept.collect();
    // In the query, because a URL of a socket has no host to put a user before.
    let more = format!("user={role}&password={role}");
    let query: Vec<&str> = kept.into_iter().chain([more.as_str()]).collect();
    format!("{scheme}://{place}?{}", query.join("&"))
}

/// The server of this process; none when there is no PostgreSQL, which was then said.
pub(crate) fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
    match SERVER.get_or_init(Server::start) {
        Ok(server) => Some(server),
        Err(why) => {
            skip_postgres(why);
            None
        }
    }
}

impl Server {
    fn start() -> Result<Self, String> {
        let place = match server_url() {
            Some(url) => Place::Named(url),
            None => Place::Private(
                PrivatePostgres::start(Settings::default()).map_err(|error| error.to_string())?,
            ),
        };
        let place = Arc::new(place);
        let (errands, orders) = mpsc::channel();
        let clerk = Clerk {
            place: place.clone(),
            templates: HashMap::new(),
            count: 0,
        };
        thread::Builder::new()
            .name("test-databases".into())
            .spawn(move || clerk.serve(&orders))
            .map_err(|error| error.to_string())?;
        Ok(Server { errands, place })
    }

    /// Makes a database; the answer is its name.
    pub(crate) fn create(&self, contents: Contents) -> Result<String, String> {
        let (reply, answer) = mpsc::channel();
        self.errands
            .send(Errand::Create { contents, reply })
            .map_err(|error| error.to_string())?;
        answer.recv().map_err(|error| error.to_string())?
    }

    /// Drops a database. On a server that others use too this waits until it is gone.
    pub(crate) fn drop_database(&self, name: String) {
        let (reply, answer) = mpsc::channel();
        if self.errands.send(Errand::Drop { name, reply }).is_ok()
            && matches!(*self.place, Place::Named(_))
        {
            let _ = answer.recv();
        }
    }

    /// As the owner of the tables.
    pub(crate) fn url(&self, database: &str) -> String {
        self.place
            .url(database)
            .expect("the URL was used before to create the database")
    }

    /// As the ordinary role that services run as.
    pub(crate) fn service_url(&self, database: &str) -> String {
        self.place
            .service_url(database)
            .expect("the URL was used before to create the database")
    }
}

struct Clerk {
    place: Arc<Place>,
    templates: HashMap<u64, String>,
    count: u64,
}

impl Clerk {
    fn serve(mut self, orders: &mpsc::Receiver<Errand>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime of one thread needs nothing that could be missing");
        runtime.block_on(async move {
            if let Err(error) = self.sweep().await {
                eprintln!("cannot sweep old test databases: {error}");
            }
            if let Err(error) = self.make_role().await {
                eprintln!("cannot make the role {SERVICE}: {error}");
            }
            while let Ok(errand) = orders.recv() {
                match errand {
                    Errand::Create { contents, reply } => {
                        let _ = reply.send(self.create(contents).await);
                    }
                    Errand::Drop { name, reply } => {
                        let text = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                        if let Err(error) = self.administer(&text).await {
                            eprintln!("cannot drop the test database {name}: {error}");
                        }
                        let _ = reply.send(());
                    }
                }
            }
        });
    }

    async fn connect(&self) -> Result<PgConnection, String> {
        let url = self.place.url("postgres")?;
        let options = PgConnectOptions::from_str(&url).map_err(|error| error.to_string())?;
        options
            .connect()
            .await
            .map_err(|error| format!("cannot reach PostgreSQL: {error}"))
    }

    async fn administer(&self, text: &str) -> Result<(), String> {
        let mut connection = self.connect().await?;
        let done = connection.execute(AssertSqlSafe(text.to_owned())).await;
        done.map(drop).map_err(|error| format!("{text}: {error}"))
    }

    fn name(&mut self) -> String {
        self.count += 1;
        format!(
            "{PREFIX}{}_{}_{}",
            SystemClock.now().seconds(),
            std::process::id(),
            self.count
        )
    }

    async fn create(&mut self, contents: Contents) -> Result<String, String> {
        let mark = fingerprint(contents);
        let template = match self.templates.get(&mark) {
            Some(template) => template.clone(),
            None => {
                let template = self.name();
                self.administer(&format!(
                    "CREATE DATABASE {template} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
                ))
                .await?;
                self.fill(&template, contents).await?;
                self.templates.insert(mark, template.clone());
                template
            }
        };
        let name = self.name();
        self.administer(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await?;
        Ok(name)
    }

    async fn fill(&self, database: &str, contents: Contents) -> Result<(), String> {
        let clock = SystemClock::shared();
        let ids = SystemIds::shared(clock.clone());
        let config = DbConfig {
            migrate_url: Some(self.place.url(database)?),
            ..DbConfig::at(self.place.service_url(database)?)
        };
        let db = Db::open(&config, "template", clock, ids)
            .await
            .map_err(|error| error.to_string())?;
        let done = match contents {
            Contents::Nothing => Ok(()),
            Contents::Store => db.migrate_store().await,
            Contents::Service(migrations) => db.migrate(&migrations).await,
        };
        // The copy is refused while anybody is connected.
        db.close().await;
        done.map_err(|error| error.to_string())?;
        match contents {
            Contents::Store => self.let_tests_make_tables(database).await,
            Contents::Nothing | Contents::Service(_) => Ok(()),
        }
    }

    /// Tests of the store make tables of their own, as no service may.
    async fn let_tests_make_tables(&self, database: &str) -> Result<(), String> {
        let options =
            |url: String| PgConnectOptions::from_str(&url).map_err(|error| error.to_string());
        let service = options(self.place.service_url(database)?)?;
        let mut owner = options(self.place.url(database)?)?
            .connect()
            .await
            .map_err(|error| error.to_string())?;
        let text = format!(
            "GRANT CREATE ON SCHEMA public TO {}",
            service.get_username()
        );
        let done = owner.execute(AssertSqlSafe(text)).await;
        done.map_err(|error| error.to_string())?;
        owner.close().await.map_err(|error| error.to_string())
    }

    /// The ordinary role, on a server that does not come with it.
    async fn make_role(&self) -> Result<(), String> {
        if matches!(*self.place, Place::Private(_)) {
            return Ok(());
        }
        let made = format!("CREATE ROLE {SERVICE} LOGIN PASSWORD '{SERVICE}'");
        match self.administer(&made).await {
            // Another run made it.
            Err(error) if error.contains("already exists") || error.contains("duplicate key") => {
                Ok(())
            }
            done => done,
        }
    }

    /// Removes what runs that died left on a server that outlives them.
    async fn sweep(&self) -> Result<(), String> {
        if matches!(*self.place, Place::Private(_)) {
            return Ok(());
        }
        let mut connection = self.connect().await?;
        let names: Vec<(String,)> =
            sqlx::query_as("SELECT datname FROM pg_database WHERE starts_with(datname, $1)")
                .bind(PREFIX)
                .fetch_all(&mut connection)
                .await
                .map_err(|error| error.to_string())?;
        let oldest = SystemClock.now().minus(LEFTOVER_AGE).seconds();
        for (name,) in names {
            let made = name
                .strip_prefix(PREFIX)
                .and_then(|rest| rest.split('_').next()?.parse::<i64>().ok());
            if made.is_some_and(|made| made < oldest) {
                self.administer(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                    .await?;
            }
        }
        Ok(())
    }
}

fn fingerprint(contents: Contents) -> u64 {
    let mut hasher = DefaultHasher::new();
    std::mem::discriminant(&contents).hash(&mut hasher);
    if let Contents::Service(migrations) = contents {
        for migration in migrations.postgres.iter() {
            (migration.version, &*migration.checksum).hash(&mut hasher);
        }
    }
    hasher.finish()
}
