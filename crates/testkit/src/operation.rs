//! Units of work written where they are used.

use futures::future::BoxFuture;
use kit::errors::Fault;
use store::{Operation, Tx};

/// A unit of work made from a closure; see [`op`].
pub struct Op<F> {
    name: &'static str,
    work: F,
}

/// A unit of work from a closure that gives a boxed future, for tests only: the suite's own units have
/// names and types.
///
/// ```
/// use store::sql;
/// use testkit::op;
///
/// let count = op("count", |tx| {
///     Box::pin(async move {
///         let (count,) = sql!(tx, one (i64,), "SELECT COUNT(*) FROM thing")?;
///         Ok(count)
///     })
/// });
/// # let _ = count;
/// ```
pub fn op<F, T>(name: &'static str, work: F) -> Op<F>
where
    F: for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<T, Fault>> + Send + Sync + 'static,
    T: Send + 'static,
{
    Op { name, work }
}

impl<F, T> Operation for Op<F>
where
    F: for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<T, Fault>> + Send + Sync + 'static,
    T: Send + 'static,
{
    type Output = T;

    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&self, tx: &mut Tx) -> impl Future<Output = Result<T, Fault>> + Send {
        (self.work)(tx)
    }
}
