//! Small units of work that the tests are made of.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use contracts::catalog::v1::CatalogFeedEntry;
use contracts::common::v1::{Audience, FeedMeta};
use contracts::feed::FeedMessage;
use contracts::id::PartnerId;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use store::consumer::{Consume, Consumer, ConsumerConfig, Direct, FeedSource, Status};
use store::feed::{Entry, FeedConfig, FeedReader};
use store::{Db, NewEntry, Operation, Tx, sql};
use testkit::Setup;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The bound on every wait: far beyond what anything takes, so that only a hang meets it.
pub const BOUND: Duration = Duration::from_secs(120);

/// Waits until `holds`; looks again and again, and gives up at the bound.
pub async fn until<F, R>(what: &str, holds: F)
where
    F: FnMut() -> R,
    R: Future<Output = bool>,
{
    assert!(
        testkit::eventually_async(BOUND, holds).await,
        "never happened: {what}"
    );
}

/// A database that waits as long as the tests do: a machine that builds and tests at the same time may stand
/// still for seconds, and then nothing here is busy in earnest.
pub fn patient() -> Setup {
    Setup::new().config(|config| {
        config.acquire_timeout_ms = 60_000;
        config.lock_timeout_ms = 60_000;
        config.statement_timeout_ms = 120_000;
        config.idle_in_transaction_timeout_ms = 120_000;
    })
}

pub fn partner(number: u128) -> PartnerId {
    PartnerId::from_uuid(number)
}

pub fn system() -> Caller {
    Caller::system("test")
}

pub fn partner_caller(number: u128) -> Caller {
    Caller {
        audience: Audience::Partner,
        partner_id: Some(partner(number)),
        ..system()
    }
}

pub fn reader(db: &Db) -> FeedReader {
    FeedReader::new(
        db.clone(),
        "catalog",
        FeedConfig {
            watch_poll_ms: 10,
            watch_gather_ms: 0,
            ..FeedConfig::default()
        },
    )
}

/// An entry of an aggregate, with its number in that aggregate as etag.
pub fn entry(owner: Option<u128>, aggregate: &str, number: i64) -> NewEntry {
    let entry =
        NewEntry::new("test", aggregate, &CatalogFeedEntry::default()).etag(number.to_string());
    match owner {
        Some(owner) => entry.partner(partner(owner)),
        None => entry,
    }
}

/// Publishes, and refuses afterwards when told to.
pub struct Publish {
    pub entries: Vec<NewEntry>,
    pub refuse: bool,
}

impl Publish {
    pub fn of(entries: impl IntoIterator<Item = NewEntry>) -> Self {
        Publish {
            entries: entries.into_iter().collect(),
            refuse: false,
        }
    }
}

impl Operation for Publish {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.publish"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        for entry in &self.entries {
            tx.publish(entry.clone());
        }
        if self.refuse {
            return Err(Refusal::wrong_state("test", "REFUSED", "told to refuse").into());
        }
        Ok(())
    }
}

/// Publishes `count` entries of one aggregate, numbered from `first`.
pub async fn publish(db: &Db, owner: Option<u128>, aggregate: &str, first: i64, count: i64) {
    let entries = (first..first + count).map(|number| entry(owner, aggregate, number));
    db.execute(&system(), Publish::of(entries))
        .await
        .expect("publishing");
}

/// All that is kept.
pub async fn everything(db: &Db) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let after = all.last().map_or(0, |entry| entry.position);
        let page = reader(db)
            .list(&system(), after, 1_000, None)
            .await
            .expect("a page");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Tables of a made-up service, and statements on them that only tests need.
pub enum Ddl {
    /// `effect(position, aggregate, number)`, one row for each entry applied; nothing keeps a second one out.
    Effects,
    /// `thing(id, creator)`, and `audit` unprotected.
    Things,
}

impl Operation for Ddl {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.ddl"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        match self {
            Ddl::Effects => sql!(
                tx,
                execute,
                "CREATE TABLE effect (position BIGINT NOT NULL, aggregate TEXT NOT NULL, number BIGINT NOT NULL, \
                 CHECK (number < 1000000))"
            )?,
            Ddl::Things => sql!(
                tx,
                execute,
                "CREATE TABLE thing (id TEXT PRIMARY KEY, creator TEXT NOT NULL, size BIGINT NOT NULL CHECK (size >= 0))"
            )?,
        };
        Ok(())
    }
}

/// Counts rows.
pub struct Count(pub &'static str);

impl Operation for Count {
    type Output = i64;

    fn name(&self) -> &'static str {
        "test.count"
    }

    async fn run(&self, tx: &mut Tx) -> Result<i64, Fault> {
        let (count,) = match self.0 {
            "effect" => sql!(tx, one(i64,), "SELECT COUNT(*) FROM effect")?,
            "thing" => sql!(tx, one(i64,), "SELECT COUNT(*) FROM thing")?,
            "audit" => sql!(tx, one(i64,), "SELECT COUNT(*) FROM audit")?,
            "feed" => sql!(tx, one(i64,), "SELECT COUNT(*) FROM feed")?,
            "idempotency" => sql!(tx, one(i64,), "SELECT COUNT(*) FROM idempotency")?,
            other => unreachable!("no such table: {other}"),
        };
        Ok(count)
    }
}

pub async fn count(db: &Db, table: &'static str) -> i64 {
    db.read(&system(), Count(table)).await.expect("a count")
}

/// The aggregate of an effect that came out of its order.
pub const DISORDER: &str = "out of order";

/// A consumer's handler that writes one effect for each entry, checks the order inside each aggregate, and
/// fails where `mind` says.
pub struct Effects<M> {
    mind: M,
}

impl<M: Fn(&FeedMeta) -> Option<Fault>> Effects<M> {
    pub fn new(mind: M) -> Self {
        Effects { mind }
    }
}

impl<M> Consume<CatalogFeedEntry> for Effects<M>
where
    M: Fn(&FeedMeta) -> Option<Fault> + Send + Sync + 'static,
{
    async fn apply(&self, tx: &mut Tx, entry: &CatalogFeedEntry) -> Result<(), Fault> {
        let meta = entry.meta();
        if let Some(fault) = (self.mind)(meta) {
            return Err(fault);
        }
        let number: i64 = meta.etag.parse().map_err(Fault::internal)?;
        let (last,) = sql!(
            tx,
            one(i64,),
            "SELECT COALESCE(MAX(number), CAST(0 AS BIGINT)) FROM effect WHERE aggregate = $1",
            &meta.aggregate_id
        )?;
        let aggregate = if number == last + 1 {
            meta.aggregate_id.as_str()
        } else {
            DISORDER
        };
        sql!(
            tx,
            execute,
            "INSERT INTO effect (position, aggregate, number) VALUES ($1, $2, $3)",
            meta.position,
            aggregate,
            number
        )?;
        Ok(())
    }
}

/// The service's own feed, read without a wire.
pub fn direct(db: &Db) -> Direct {
    Direct::new(reader(db), system(), CancellationToken::new())
}

/// Short pauses, because tests have no time to lose.
pub fn quick() -> ConsumerConfig {
    ConsumerConfig {
        backoff_ms: 1,
        backoff_max_ms: 10,
        parked_poll_ms: 1,
        parked_backoff_ms: 1_000,
        parked_backoff_max_ms: 8_000,
        ..ConsumerConfig::default()
    }
}

/// A consumer that runs.
pub struct Running {
    pub status: Arc<Status>,
    drain: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub fn start<S, H>(db: &Db, source: S, handler: H, config: ConsumerConfig) -> Self
    where
        S: FeedSource<CatalogFeedEntry>,
        H: Consume<CatalogFeedEntry>,
    {
        Running::of(Consumer::new(db.clone(), "test", source, handler, config))
    }

    pub fn of<S, H>(consumer: Consumer<CatalogFeedEntry, S, H>) -> Self
    where
        S: FeedSource<CatalogFeedEntry>,
        H: Consume<CatalogFeedEntry>,
    {
        let (status, drain) = (consumer.status(), CancellationToken::new());
        let task = kit::spawn("test", consumer.run(drain.clone()));
        Running {
            status,
            drain,
            task,
        }
    }

    /// Until everything up to this position is applied or put aside.
    pub async fn caught_up(&self, position: i64) {
        until("the consumer catches up", || async {
            self.status.is_caught_up() && self.status.position() == position
        })
        .await;
    }

    /// Lets it end between two units of work.
    pub async fn stop(self) {
        self.drain.cancel();
        tokio::time::timeout(BOUND, self.task)
            .await
            .expect("in time")
            .expect("it ends");
    }

    /// Takes it away in the middle of whatever it does.
    pub fn crash(self) {
        self.task.abort();
    }
}

/// What was applied, in the order of positions: aggregate and number.
pub async fn effects(db: &Db) -> Vec<(String, i64)> {
    db.read(&system(), ReadEffects).await.expect("effects")
}

struct ReadEffects;

impl Operation for ReadEffects {
    type Output = Vec<(String, i64)>;

    fn name(&self) -> &'static str {
        "test.effects"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        Ok(sql!(
            tx,
            all(String, i64),
            "SELECT aggregate, number FROM effect ORDER BY position"
        )?)
    }
}
