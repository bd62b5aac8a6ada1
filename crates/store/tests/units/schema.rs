//! The tables of these tests and the units of work that most of them use.

use std::sync::Arc;

use kit::errors::Fault;
use sqlx::migrate::Migrator;
use store::{Db, DbConfig, Migrations, Operation, Tx, sql};
use testkit::{Setup, TestDb, op};
use tokio::sync::Semaphore;

static POSTGRES: Migrator = sqlx::migrate!("./tests/units/migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("./tests/units/migrations/sqlite");

pub const MIGRATIONS: Migrations = Migrations {
    postgres: &POSTGRES,
    sqlite: &SQLITE,
};

pub fn setup() -> Setup {
    Setup::new().migrations(MIGRATIONS)
}

pub fn limited(config: fn(&mut DbConfig)) -> Setup {
    setup().config(config)
}

/// Adds one row; a second time it finds the row and answers as the first time, as a keyed unit does.
pub struct Put {
    pub id: String,
    pub amount: i64,
}

impl Put {
    pub fn new(id: impl Into<String>) -> Self {
        Put {
            id: id.into(),
            amount: 1,
        }
    }
}

impl Operation for Put {
    type Output = String;

    fn name(&self) -> &'static str {
        "put"
    }

    async fn run(&self, tx: &mut Tx) -> Result<String, Fault> {
        sql!(
            tx,
            execute,
            "INSERT INTO effect (id, amount) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
            &self.id,
            self.amount
        )?;
        Ok(self.id.clone())
    }
}

/// A place where a unit waits until the test lets it go on.
#[derive(Clone)]
pub struct Gate {
    entered: Arc<Semaphore>,
    leave: Arc<Semaphore>,
}

impl Gate {
    pub fn new() -> Self {
        Gate {
            entered: Arc::new(Semaphore::new(0)),
            leave: Arc::new(Semaphore::new(0)),
        }
    }

    /// For the unit: says that it is here, and waits.
    pub async fn pass(&self) {
        self.entered.add_permits(1);
        self.leave
            .acquire()
            .await
            .expect("a gate is never closed")
            .forget();
    }

    /// For the test: waits until one unit is here.
    pub async fn reached(&self) {
        self.entered
            .acquire()
            .await
            .expect("a gate is never closed")
            .forget();
    }

    /// For the test: lets so many pass.
    pub fn open(&self, units: usize) {
        self.leave.add_permits(units);
    }

    /// A unit that waits here first and then adds a row.
    pub fn put(&self, id: &'static str) -> impl Operation<Output = ()> {
        let gate = self.clone();
        op("gated", move |tx| {
            let gate = gate.clone();
            Box::pin(async move {
                gate.pass().await;
                sql!(
                    tx,
                    execute,
                    "INSERT INTO effect (id, amount) VALUES ($1, 1)",
                    id
                )?;
                Ok(())
            })
        })
    }
}

/// The ids of all effects, in order.
pub async fn effects(db: &Db) -> Vec<String> {
    let all = op("effects", |tx| {
        Box::pin(async move {
            let rows = sql!(tx, all(String,), "SELECT id FROM effect ORDER BY id")?;
            Ok(rows.into_iter().map(|(id,)| id).collect())
        })
    });
    db.read(&kit::caller::Caller::system("test"), all)
        .await
        .expect("the effects")
}

/// How many rows the store's own audit table has.
pub async fn audit_rows(t: &TestDb) -> i64 {
    let count = op("audits", |tx| {
        Box::pin(async move {
            let (count,) = sql!(tx, one(i64,), "SELECT COUNT(*) FROM audit")?;
            Ok(count)
        })
    });
    t.read(count).await.expect("a count")
}
