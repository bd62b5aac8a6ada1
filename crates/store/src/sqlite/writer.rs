//! The one writer of a SQLite file.
//!
//! A flush costs the same for one unit as for a hundred, so units that wait are run in one transaction,
//! each inside a savepoint of its own: one that fails is undone alone, and the others never notice.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kit::caller::{Caller, Tenant};
use kit::errors::Fault;
use kit::scope::Scope;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Held, SqliteUnit, open_writer, panicked};
use crate::db::{Point, Shared, Started};
use crate::error::{Class, StoreError, TOO_LATE, busy, lost, unknown};
use crate::macros::control;
use crate::operation::{Operation, perform};
use crate::tx::{Conn, Tx};

/// A handle on the writer's queue.
pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Box<dyn Waiting>>,
    stop: CancellationToken,
    task: Mutex<Option<kit::Threaded<()>>>,
}

impl Writer {
    pub(super) fn start(shared: Arc<Shared>, connection: SqliteConnection) -> Self {
        let (queue, waiting) = mpsc::channel(shared.config.queue_max);
        let stop = CancellationToken::new();
        let desk = Desk {
            shared: shared.clone(),
            connection: Some(connection),
        };
        let task = kit::spawn_thread("sqlite-writer", desk.serve(waiting, stop.clone()));
        Writer {
            shared,
            queue,
            stop,
            task: Mutex::new(Some(task)),
        }
    }

    pub(super) async fn run<O: Operation>(
        &self,
        started: Started,
        caller: Arc<Caller>,
        operation: O,
    ) -> Result<O::Output, Fault> {
        let (reply, answer) = oneshot::channel();
        let unit = Box::new(Asked {
            shared: self.shared.clone(),
            started,
            caller,
            operation,
            output: None,
            runs: 0,
            in_doubt: false,
            reply,
            span: tracing::debug_span!("unit", operation = started.operation, engine = "sqlite"),
            scope: Scope::is_set().then(Scope::current),
        });
        // A refused unit answers for itself, so that it is observed like any other.
        match self.queue.try_send(unit) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(unit)) => {
                unit.answer(Err(busy(
                    "too many units of work wait for the database; try again",
                )));
            }
            Err(mpsc::error::TrySendError::Closed(unit)) => {
                unit.answer(Err(busy("the server is stopping; try again")));
            }
        }
        let stopped = |_| {
            Err(unknown(
                "the server stopped before the database had answered",
            ))
        };
        answer.await.unwrap_or_else(stopped)
    }

    pub(super) async fn close(&self) {
        self.stop.cancel();
        if let Some(task) = self.task.lock().await.take()
            && task.await.is_none()
        {
            tracing::error!("the writer had already ended when it was closed");
        }
    }
}

/// A unit that waits for the writer, whatever it answers with.
trait Waiting: Send {
    fn operation(&self) -> &'static str;
    /// On whose word, and whose rows it may see and change.
    fn caller(&self) -> (Arc<Caller>, Tenant);
    /// Whether the caller's time is up and nothing needs settling.
    fn is_late(&self) -> bool;
    /// Counts the run that is about to begin; false when there may be no more.
    fn may_run(&mut self) -> bool;
    /// Runs it and keeps its output; tells whether it has something for the feed.
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<bool, Fault>>;
    /// From here on nothing but success is an answer: a COMMIT that held it may have taken effect.
    fn doubt(&mut self);
    /// Answers with the kept output, or with the fault.
    fn answer(self: Box<Self>, done: Result<(), Fault>);
}

struct Asked<O: Operation> {
    shared: Arc<Shared>,
    started: Started,
    caller: Arc<Caller>,
    operation: O,
    output: Option<O::Output>,
    runs: u32,
    in_doubt: bool,
    reply: oneshot::Sender<Result<O::Output, Fault>>,
    span: tracing::Span,
    scope: Option<Scope>,
}

impl<O: Operation> Waiting for Asked<O> {
    fn operation(&self) -> &'static str {
        self.started.operation
    }

    fn caller(&self) -> (Arc<Caller>, Tenant) {
        (self.caller.clone(), self.operation.tenant(&self.caller))
    }

    fn is_late(&self) -> bool {
        let deadline = self.scope.as_ref().and_then(|scope| scope.deadline);
        let late = |deadline| deadline <= self.shared.around.clock.instant();
        !self.in_doubt && deadline.is_some_and(late)
    }

    fn may_run(&mut self) -> bool {
        self.runs += 1;
        self.runs <= self.shared.config.attempts_max
    }

    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<bool, Fault>> {
        self.output = None;
        let (span, scope) = (self.span.clone(), self.scope.clone());
        let work = async move {
            let (output, published) = perform(&self.operation, tx).await?;
            self.output = Some(output);
            Ok(published)
        };
        match scope {
            Some(scope) => scope.run(work.instrument(span)).boxed(),
            None => work.instrument(span).boxed(),
        }
    }

    fn doubt(&mut self) {
        self.in_doubt = true;
    }

    fn answer(self: Box<Self>, done: Result<(), Fault>) {
        let answer = match (done, self.output) {
            (Ok(()), Some(output)) => Ok(output),
            (Ok(()), None) => Err(Fault::internal("a unit of work ended without an output")),
            (Err(_), _) if self.in_doubt => Err(unknown(
                "whether this was done cannot be told just now; ask again with the same key",
            )),
            (Err(fault), _) => Err(fault),
        };
        let runs = self.runs.min(self.shared.config.attempts_max);
        // Whoever asked may have gone; the work is done all the same.
        let _ = self
            .reply
            .send(self.shared.ended(&self.started, runs, answer));
    }
}

/// How the transaction of a group ended.
enum Group {
    Committed,
    /// Proven: nothing of it took effect.
    RolledBack(StoreError),
    /// It may have taken effect.
    InDoubt(StoreError),
}

/// A unit of the open transaction and how its run ended.
struct Member {
    unit: Box<dyn Waiting>,
    done: Result<bool, Fault>,
}

/// Owns the connection and serves the queue.
struct Desk {
    shared: Arc<Shared>,
    connection: Option<SqliteConnection>,
}

impl Desk {
    async fn serve(
        mut self,
        mut waiting: mpsc::Receiver<Box<dyn Waiting>>,
        stop: CancellationToken,
    ) {
        loop {
            let first = tokio::select! {
                biased;
                () = stop.cancelled(), if !waiting.is_closed() => {
                    // Nobody can join the queue any more; who is in it is served.
                    waiting.close();
                    continue;
                }
                first = waiting.recv() => first,
            };
            match first {
                Some(first) => self.serve_group(first, &mut waiting).await,
                None => break,
            }
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::error!(%error, "cannot close the database cleanly");
        }
    }

    /// Runs a group in one transaction. If the transaction is lost, its members run once more, each
    /// alone, so that one of them cannot take the others down twice.
    async fn serve_group(
        &mut self,
        first: Box<dyn Waiting>,
        waiting: &mut mpsc::Receiver<Box<dyn Waiting>>,
    ) {
        let (members, end) = self.run_group(first, Some(waiting)).await;
        let alone = members.len() == 1;
        let (doubtful, error) = match end {
            Group::Committed => return self.answer_all(members),
            Group::RolledBack(error) => (false, error),
            Group::InDoubt(error) => (true, error),
        };
        if doubtful {
            // If it did take effect, readers of the feed should look.
            self.shared.published();
        }
        tracing::warn!(%error, doubtful, units = members.len(), "the transaction of a group was lost");
        for mut member in members {
            if doubtful {
                // One that failed was undone before the COMMIT, and of that there is no doubt.
                if member.done.is_ok() {
                    member.unit.doubt();
                }
            } else if alone && error.class() != Class::ConnectionLost {
                // What failed it alone would fail it again.
                member.unit.answer(Err(member
                    .done
                    .err()
                    .unwrap_or_else(|| error.clone().into())));
                continue;
            }
            self.serve_alone(member.unit).await;
        }
    }

    async fn serve_alone(&mut self, unit: Box<dyn Waiting>) {
        let (members, end) = self.run_group(unit, None).await;
        match end {
            Group::Committed => self.answer_all(members),
            Group::RolledBack(error) => {
                for member in members {
                    member.unit.answer(Err(member
                        .done
                        .err()
                        .unwrap_or_else(|| error.clone().into())));
                }
            }
            Group::InDoubt(error) => {
                tracing::warn!(%error, "lost the answer to COMMIT again");
                for mut member in members {
                    member.unit.doubt();
                    member.unit.answer(Err(error.clone().into()));
                }
            }
        }
    }

    fn answer_all(&self, members: Vec<Member>) {
        if members.iter().any(|member| matches!(member.done, Ok(true))) {
            self.shared.published();
        }
        for member in members {
            member.unit.answer(member.done.map(drop));
        }
    }

    /// One transaction: the first unit and, as long as there is room, those that wait.
    async fn run_group(
        &mut self,
        first: Box<dyn Waiting>,
        mut waiting: Option<&mut mpsc::Receiver<Box<dyn Waiting>>>,
    ) -> (Vec<Member>, Group) {
        let mut members = Vec::new();
        let mut tx = match self.begin(first.operation(), first.caller()).await {
            Ok(tx) => tx,
            Err(error) => {
                members.push(Member {
                    unit: first,
                    done: Err(error.clone().into()),
                });
                return (members, Group::RolledBack(error));
            }
        };
        let mut next = Some(first);
        while let Some(unit) = next {
            let (member, intact) = self.run_member(unit, &mut tx).await;
            members.push(member);
            if let Err(error) = intact {
                // SQLite itself ended the transaction, as it does when the disk is full.
                let end = self.give_up(tx, error, false).await;
                return (members, end);
            }
            let room = members.len() < self.shared.config.group_max;
            next = waiting
                .as_mut()
                .filter(|_| room)
                .and_then(|waiting| waiting.try_recv().ok());
        }
        let operations = members
            .iter()
            .map(|member| member.unit.operation())
            .collect();
        let end = self.commit(tx, operations).await;
        (members, end)
    }

    async fn begin(
        &mut self,
        operation: &'static str,
        caller: (Arc<Caller>, Tenant),
    ) -> Result<Tx, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => open_writer(&self.shared).await?,
        };
        let conn = Conn::Sqlite(SqliteUnit::writer(connection));
        let mut tx = Tx::new(
            conn,
            self.shared
                .scope(operation, caller, self.shared.around.clock.now(), true),
        );
        match control(&mut tx, "BEGIN IMMEDIATE").await {
            Ok(()) => Ok(tx),
            Err(error) => {
                self.keep(tx);
                Err(error)
            }
        }
    }

    /// Runs one unit inside its savepoint. The second answer is an error when the transaction around it
    /// is gone.
    async fn run_member(
        &self,
        mut unit: Box<dyn Waiting>,
        tx: &mut Tx,
    ) -> (Member, Result<(), StoreError>) {
        loop {
            if unit.is_late() {
                let done = Err(busy(TOO_LATE));
                return (Member { unit, done }, Ok(()));
            }
            if !unit.may_run() {
                let done = Err(Fault::Conflict(
                    "the unit conflicts with itself, however often it runs".into(),
                ));
                return (Member { unit, done }, Ok(()));
            }
            let now = self.shared.around.clock.now();
            tx.reuse(
                self.shared
                    .scope(unit.operation(), unit.caller(), now, true),
            );
            if let Err(error) = control(tx, "SAVEPOINT unit").await {
                return (
                    Member {
                        unit,
                        done: Err(error.clone().into()),
                    },
                    Err(error),
                );
            }
            let done = self.run_guarded(&mut *unit, tx).await;
            let ended = if done.is_ok() {
                control(tx, "RELEASE SAVEPOINT unit").await
            } else {
                control(tx, "ROLLBACK TO SAVEPOINT unit; RELEASE SAVEPOINT unit").await
            };
            match (&done, &ended) {
                // There is nobody else to wait for: the next run sees what this one could not.
                (Err(Fault::Conflict(_)), Ok(())) => {}
                _ => return (Member { unit, done }, ended),
            }
        }
    }

    async fn run_guarded(&self, unit: &mut dyn Waiting, tx: &mut Tx) -> Result<bool, Fault> {
        let operation = unit.operation();
        let limit = Duration::from_millis(self.shared.config.unit_timeout_ms);
        let run = AssertUnwindSafe(unit.run(tx)).catch_unwind();
        match tokio::time::timeout(limit, run).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(panicked(operation)),
            Err(_) => Err(Fault::internal(format!(
                "operation {operation} held the writer for more than {limit:?}"
            ))),
        }
    }

    async fn commit(&mut self, mut tx: Tx, operations: Vec<&'static str>) -> Group {
        let strikes = |point| {
            operations
                .iter()
                .any(|operation| self.shared.strikes(point, operation))
        };
        if strikes(Point::BeforeCommit) {
            return self.give_up(tx, lost("before COMMIT"), false).await;
        }
        self.shared.delay_commit().await;
        let committed = control(&mut tx, "COMMIT").await;
        if strikes(Point::AfterCommit) {
            return Group::InDoubt(lost("COMMIT"));
        }
        match committed {
            Ok(()) => {
                self.keep(tx);
                Group::Committed
            }
            Err(error) => self.give_up(tx, error, true).await,
        }
    }

    /// Ends a transaction that failed. After a COMMIT that failed, only a ROLLBACK that found it still
    /// open proves that nothing took effect; an I/O error leaves that open even then, since the log may
    /// have reached the disk.
    async fn give_up(&mut self, mut tx: Tx, error: StoreError, commit_sent: bool) -> Group {
        let rolled_back = control(&mut tx, "ROLLBACK").await.is_ok();
        if rolled_back && !error.is_sqlite_io() {
            self.keep(tx);
            return Group::RolledBack(error);
        }
        // The connection cannot be trusted any more; the next group opens another.
        drop(tx);
        if commit_sent {
            Group::InDoubt(error)
        } else {
            Group::RolledBack(error)
        }
    }

    fn keep(&mut self, tx: Tx) {
        if let Conn::Sqlite(SqliteUnit {
            connection: Held::Writer(connection),
        }) = tx.conn
        {
            self.connection = Some(*connection);
        }
    }
}
