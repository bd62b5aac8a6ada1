//! What the migrations of every crate must hold.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use kit::clock::SystemClock;
use kit::ids::SystemIds;
use sqlx::migrate::{Migrate, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection};
use store::migrate::{SERVICE_TABLE, STORE, STORE_TABLE};
use store::{Db, DbConfig, Engine, Migrations};

use crate::database::Place;
use crate::engines::engines;
use crate::server::Contents;

/// Checks a service's migrations, and fails with everything that is wrong: both engines have the same
/// files and end with the same tables, columns and keys; every SQLite table is STRICT; no key holds a
/// NULL; migrating again changes nothing; and so does migrating from every earlier version.
pub fn check_migrations(migrations: Migrations) {
    check(Subject {
        migrations,
        table: SERVICE_TABLE,
        before: Contents::Store,
    });
}

/// The same for the store's own migrations.
pub fn check_store_migrations() {
    check(Subject {
        migrations: STORE,
        table: STORE_TABLE,
        before: Contents::Nothing,
    });
}

/// A column: its portable type, and whether it may be NULL.
type Column = (String, bool);

/// What a database looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Schema {
    tables: BTreeMap<String, BTreeMap<String, Column>>,
    /// Table, whether it is the primary key, whether it is partial, columns in order.
    keys: BTreeSet<(String, bool, bool, Vec<String>)>,
    loose: Vec<String>,
}

#[derive(Clone, Copy)]
struct Subject {
    migrations: Migrations,
    table: &'static str,
    before: Contents,
}

fn check(subject: Subject) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime needs nothing that could be missing");
    let mut problems = differing_files(subject.migrations);
    let mut schemas = Vec::new();
    for engine in engines() {
        let schema = runtime.block_on(check_engine(engine, subject, &mut problems));
        problems.extend(shortcomings(engine, &schema));
        schemas.push(schema);
    }
    if let [sqlite, postgres] = &schemas[..] {
        problems.extend(differences(sqlite, postgres));
    }
    assert!(
        problems.is_empty(),
        "the migrations are not right:\n- {}",
        problems.join("\n- ")
    );
}

fn differing_files(migrations: Migrations) -> Vec<String> {
    let names = |migrator: &Migrator| -> BTreeSet<_> {
        migrator
            .iter()
            .map(|migration| format!("{:04} {}", migration.version, migration.description))
            .collect()
    };
    let (postgres, sqlite) = (names(migrations.postgres), names(migrations.sqlite));
    let only = |name: &String, engine: &str| format!("file {name} is there for {engine} only");
    let mut problems: Vec<_> = postgres
        .difference(&sqlite)
        .map(|name| only(name, "PostgreSQL"))
        .collect();
    problems.extend(
        sqlite
            .difference(&postgres)
            .map(|name| only(name, "SQLite")),
    );
    problems
}

/// Migrates at once, again, and from every earlier version; the schemas must be one.
async fn check_engine(engine: Engine, subject: Subject, problems: &mut Vec<String>) -> Schema {
    let versions: Vec<i64> = subject
        .migrations
        .of(engine)
        .iter()
        .map(|migration| migration.version)
        .collect();
    let mut at_once = Schema::default();
    for start in [0].into_iter().chain(versions) {
        let place = tokio::task::spawn_blocking(move || Place::new(engine, subject.before));
        let place = place
            .await
            .expect("a place")
            .expect("the engine was there a moment ago");
        let url = place.url();
        let mut connection = Connected::to(engine, &url).await;
        if engine == Engine::Sqlite && matches!(subject.before, Contents::Store) {
            migrate(&url, None).await;
        }
        if start > 0 {
            connection.migrate_to(subject, start).await;
        }
        migrate(&url, Some(subject)).await;
        let first = connection.schema().await;
        migrate(&url, Some(subject)).await;
        let again = connection.schema().await;
        if again != first {
            problems.push(format!(
                "{}: migrating again changes the schema",
                engine.name()
            ));
        }
        if start == 0 {
            at_once = first;
        } else if first != at_once {
            problems.push(format!(
                "{}: an upgrade from version {start} ends in another schema",
                engine.name()
            ));
        }
        connection.close().await;
    }
    at_once
}

async fn migrate(url: &str, subject: Option<Subject>) {
    let clock = SystemClock::shared();
    let ids = SystemIds::shared(clock.clone());
    let db = Db::open(&DbConfig::at(url), "migrations", clock, ids)
        .await
        .expect("a database that opens");
    match subject {
        Some(Subject {
            migrations,
            before: Contents::Store,
            ..
        }) => {
            db.migrate(&migrations).await.expect("migrations that run");
            let pending = db.pending(&migrations).await.expect("what is pending");
            assert_eq!(
                pending,
                Vec::<String>::new(),
                "nothing is pending after migrating"
            );
        }
        _ => db
            .migrate_store()
            .await
            .expect("the store's migrations run"),
    }
    db.close().await;
}

/// Either connection, for looking at the schema.
enum Connected {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Connected {
    async fn to(engine: Engine, url: &str) -> Self {
        match engine {
            Engine::Postgres => {
                let options = PgConnectOptions::from_str(url).expect("the URL of a test database");
                Connected::Postgres(options.connect().await.expect("a connection"))
            }
            Engine::Sqlite => {
                let options =
                    SqliteConnectOptions::from_str(url).expect("the URL of a test database");
                Connected::Sqlite(
                    options
                        .create_if_missing(true)
                        .connect()
                        .await
                        .expect("a connection"),
                )
            }
        }
    }

    async fn close(self) {
        let closed = match self {
            Connected::Postgres(connection) => connection.close().await,
            Connected::Sqlite(connection) => connection.close().await,
        };
        closed.expect("a connection that closes");
    }

    async fn migrate_to(&mut self, subject: Subject, version: i64) {
        match self {
            Connected::Postgres(connection) => {
                apply_to(connection, subject, Engine::Postgres, version).await
            }
            Connected::Sqlite(connection) => {
                apply_to(connection, subject, Engine::Sqlite, version).await
            }
        }
    }

    async fn schema(&mut self) -> Schema {
        match self {
            Connected::Postgres(connection) => postgres_schema(connection).await,
            Connected::Sqlite(connection) => sqlite_schema(connection).await,
        }
    }
}

async fn apply_to<C: Migrate>(connection: &mut C, subject: Subject, engine: Engine, version: i64) {
    let migrator = Migrator {
        migrations: Cow::Borrowed(&subject.migrations.of(engine).migrations),
        table_name: subject.table.into(),
        locking: false,
        ..Migrator::DEFAULT
    };
    migrator
        .run_direct(Some(version), connection, false)
        .await
        .expect("migrations that run one by one");
}

async fn postgres_schema(connection: &mut PgConnection) -> Schema {
    let columns: Vec<(String, String, String, bool)> = sqlx::query_as(
        // INTEGER has four bytes here and eight on SQLite, so it is called by its other name.
        "SELECT c.table_name::TEXT, c.column_name::TEXT,
                CASE c.data_type WHEN 'integer' THEN 'int4' ELSE c.data_type::TEXT END, c.is_nullable = 'YES'
         FROM information_schema.columns c
         JOIN information_schema.tables t USING (table_schema, table_name)
         WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE'
           AND NOT starts_with(c.table_name::TEXT, '_migration')",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("the columns");
    let keys: Vec<(String, bool, bool, Vec<String>)> = sqlx::query_as(
        "SELECT t.relname::TEXT, i.indisprimary, i.indpred IS NOT NULL,
                ARRAY(SELECT COALESCE(a.attname::TEXT, '')
                      FROM UNNEST(i.indkey::SMALLINT[]) WITH ORDINALITY AS k (number, place)
                      LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
                      WHERE k.place <= i.indnkeyatts ORDER BY k.place)
         FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
         WHERE n.nspname = current_schema() AND i.indisunique AND NOT starts_with(t.relname::TEXT, '_migration')",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("the keys");
    schema_of(columns, keys, Vec::new())
}

async fn sqlite_schema(connection: &mut SqliteConnection) -> Schema {
    let columns: Vec<(String, String, String, bool)> = sqlx::query_as(
        "SELECT t.name, c.name, c.type,
                c.\"notnull\" = 0 AND NOT (c.pk = 1 AND c.type = 'INTEGER' AND
                    (SELECT COUNT(*) FROM pragma_table_info(t.name) p WHERE p.pk > 0) = 1)
         FROM pragma_table_list t JOIN pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name NOT GLOB 'sqlite_*' AND t.name NOT GLOB '_migration*'",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("the columns");
    let primary: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.name, c.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c
         WHERE t.type = 'table' AND c.pk > 0 AND t.name NOT GLOB 'sqlite_*' AND t.name NOT GLOB '_migration*'
         ORDER BY t.name, c.pk",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("the primary keys");
    let unique: Vec<(String, String, bool, Option<String>)> = sqlx::query_as(
        "SELECT t.name, i.name, i.partial = 1, c.name
         FROM pragma_table_list t JOIN pragma_index_list(t.name) i JOIN pragma_index_info(i.name) c
         WHERE t.type = 'table' AND i.\"unique\" = 1 AND i.origin <> 'pk'
           AND t.name NOT GLOB 'sqlite_*' AND t.name NOT GLOB '_migration*'
         ORDER BY t.name, i.name, c.seqno",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("the unique indexes");
    let loose: Vec<(String,)> = sqlx::query_as(
        "SELECT name FROM pragma_table_list
         WHERE type = 'table' AND strict = 0 AND name NOT GLOB 'sqlite_*' AND name NOT GLOB '_migration*'",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("the tables");
    let mut keys: BTreeMap<(String, String), (bool, bool, Vec<String>)> = BTreeMap::new();
    for (table, column) in primary {
        keys.entry((table, String::new()))
            .or_insert_with(|| (true, false, Vec::new()))
            .2
            .push(column);
    }
    for (table, index, partial, column) in unique {
        let column = column.unwrap_or_else(|| EXPRESSION.to_owned());
        keys.entry((table, index))
            .or_insert_with(|| (false, partial, Vec::new()))
            .2
            .push(column);
    }
    let keys = keys
        .into_iter()
        .map(|((table, _), (primary, partial, columns))| (table, primary, partial, columns));
    schema_of(
        columns,
        keys.collect(),
        loose.into_iter().map(|(name,)| name).collect(),
    )
}

/// Stands for anything in a key that is no column.
const EXPRESSION: &str = "(expression)";

fn schema_of(
    columns: Vec<(String, String, String, bool)>,
    keys: Vec<(String, bool, bool, Vec<String>)>,
    loose: Vec<String>,
) -> Schema {
    let mut tables: BTreeMap<String, BTreeMap<String, Column>> = BTreeMap::new();
    for (table, column, kind, nullable) in columns {
        tables
            .entry(table)
            .or_default()
            .insert(column, (portable(&kind), nullable));
    }
    let plain = |table: &str, column: String| {
        if tables
            .get(table)
            .is_some_and(|columns| columns.contains_key(&column))
        {
            column
        } else {
            EXPRESSION.to_owned()
        }
    };
    let keys = keys.into_iter().map(|(table, primary, partial, columns)| {
        let columns = columns
            .into_iter()
            .map(|column| plain(&table, column))
            .collect();
        (table, primary, partial, columns)
    });
    let keys = keys.collect();
    Schema {
        tables,
        keys,
        loose,
    }
}

/// One word for what both engines call differently.
fn portable(kind: &str) -> String {
    match kind.to_ascii_lowercase().as_str() {
        "bigint" | "integer" | "boolean" => "INTEGER or BOOLEAN".into(),
        "text" => "TEXT".into(),
        "bytea" | "blob" => "BYTES".into(),
        _ => kind.to_owned(),
    }
}

/// What is wrong with one engine's schema by itself.
fn shortcomings(engine: Engine, schema: &Schema) -> Vec<String> {
    let engine = engine.name();
    let mut problems: Vec<_> = schema
        .loose
        .iter()
        .map(|table| format!("{engine}: table {table} is not STRICT"))
        .collect();
    for (table, columns) in &schema.tables {
        for (column, (kind, _)) in columns {
            if !["INTEGER or BOOLEAN", "TEXT", "BYTES"].contains(&kind.as_str()) {
                problems.push(format!(
                    "{engine}: {table}.{column} has type {kind}, which is not portable"
                ));
            }
        }
    }
    for (table, _, _, columns) in &schema.keys {
        for column in columns {
            if schema.tables[table]
                .get(column)
                .is_some_and(|(_, nullable)| *nullable)
            {
                problems.push(format!(
                    "{engine}: {table}.{column} is in a key and may be NULL"
                ));
            }
        }
    }
    problems
}

fn differences(sqlite: &Schema, postgres: &Schema) -> Vec<String> {
    let mut problems = Vec::new();
    let names: BTreeSet<_> = sqlite.tables.keys().chain(postgres.tables.keys()).collect();
    for table in names {
        let (Some(left), Some(right)) = (sqlite.tables.get(table), postgres.tables.get(table))
        else {
            problems.push(format!("table {table} is there on one engine only"));
            continue;
        };
        let columns: BTreeSet<_> = left.keys().chain(right.keys()).collect();
        for column in columns {
            if left.get(column) != right.get(column) {
                let show = |found: Option<&Column>| match found {
                    Some((kind, nullable)) => {
                        format!("{kind}{}", if *nullable { "" } else { " NOT NULL" })
                    }
                    None => "not there".into(),
                };
                let (left, right) = (show(left.get(column)), show(right.get(column)));
                problems.push(format!(
                    "{table}.{column}: {left} on SQLite, {right} on PostgreSQL"
                ));
            }
        }
    }
    let show = |(table, primary, partial, columns): &(String, bool, bool, Vec<String>),
                engine: &str| {
        let kind = if *primary {
            "primary key"
        } else {
            "unique key"
        };
        let partial = if *partial { " (partial)" } else { "" };
        format!(
            "{kind} {table} ({}){partial} is there on {engine} only",
            columns.join(", ")
        )
    };
    problems.extend(
        sqlite
            .keys
            .difference(&postgres.keys)
            .map(|key| show(key, "SQLite")),
    );
    problems.extend(
        postgres
            .keys
            .difference(&sqlite.keys)
            .map(|key| show(key, "PostgreSQL")),
    );
    problems
}
