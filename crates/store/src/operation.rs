//! A unit of work as a value.

use std::sync::Arc;

use kit::caller::{Caller, Tenant};
use kit::errors::Fault;

use crate::tx::Tx;

/// A unit of work: everything about one step, done in one transaction or not at all.
///
/// It is a value and not a closure because it may have to run more than once: when the database
/// reports a serialization failure or a deadlock, when the connection is lost before COMMIT, and when
/// the answer to COMMIT is lost. So `run` must decide from what it reads and from [`Tx::now`], keep
/// nothing between runs, and have no effect outside the transaction.
///
/// **Mutations must be keyed.** After a lost answer to COMMIT nobody knows whether the first run took
/// effect; the second must then find its key and answer with what the first one did (see
/// [`crate::idempotency`]), and it must claim that key before it reads anything else, so that it waits
/// for a first run that is still committing.
///
/// After a statement has failed the transaction is lost, on both engines alike: an operation may turn
/// the error into a refusal, but one that goes on and succeeds anyway is rolled back. Where a failure
/// is expected, wrap it in [`Tx::savepoint`].
pub trait Operation: Send + Sync + 'static {
    /// What a successful run answers.
    type Output: Send + 'static;

    /// The name in traces, metrics and the audit trail.
    fn name(&self) -> &'static str;

    /// Does the work. The caller commits.
    fn run(&self, tx: &mut Tx) -> impl Future<Output = Result<Self::Output, Fault>> + Send;

    /// Whether a run that wrote no audit row of its own gets one. Only housekeeping that changes
    /// nothing anybody could ask about (moving a cursor, sweeping what has expired) says no.
    fn audited(&self) -> bool {
        true
    }

    /// Whose rows it may see and change: the caller's. Only a batch says otherwise: those of all whose commands it
    /// carries out.
    fn tenant(&self, caller: &Caller) -> Tenant {
        caller.tenant()
    }
}

impl<O: Operation> Operation for Arc<O> {
    type Output = O::Output;

    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn run(&self, tx: &mut Tx) -> impl Future<Output = Result<Self::Output, Fault>> + Send {
        (**self).run(tx)
    }

    fn audited(&self) -> bool {
        (**self).audited()
    }

    fn tenant(&self, caller: &Caller) -> Tenant {
        (**self).tenant(caller)
    }
}

/// Runs the operation and writes what it published and audited; the transaction then only wants its
/// COMMIT. Answers whether there is something new in the feed.
pub(crate) async fn perform<O: Operation>(
    operation: &O,
    tx: &mut Tx,
) -> Result<(O::Output, bool), Fault> {
    let output = operation.run(tx).await;
    let output = tx.verdict(output)?;
    if !tx.is_write() {
        return Ok((output, false));
    }
    if operation.audited() && tx.audits.is_empty() {
        tx.audit(operation.name(), "", "done");
    }
    let published = !tx.outbox.is_empty();
    let flushed = crate::head::flush(tx).await.map_err(Fault::from);
    tx.verdict(flushed)?;
    Ok((output, published))
}
