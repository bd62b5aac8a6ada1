//! Places where a test may make the database fail, for what no test can bring about from outside.

/// A place in the life of a unit of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// Everything is written and COMMIT not yet sent; a strike loses the connection.
    BeforeCommit,
    /// COMMIT took effect; a strike loses the answer.
    AfterCommit,
}

/// Decides where the database fails. Only tests have one.
pub trait Faults: Send + Sync + 'static {
    /// Whether this unit fails here, this time.
    fn strike(&self, point: Point, operation: &'static str) -> bool;
}
