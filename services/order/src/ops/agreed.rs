//! What was agreed for orders that were placed or paid of late, kept in memory.
//!
//! A placement never changes once it is committed, so whatever replica placed it, what is kept is right; an order that
//! is not kept is read. In a rush this spares each payment the reading of its whole order.

use std::sync::Arc;

use contracts::id::OrderId;
use moka::sync::Cache;

use crate::model::Placement;

/// Placements by order; cheap to clone.
#[derive(Clone, Debug)]
pub struct Agreed {
    kept: Cache<OrderId, Arc<Placement>>,
}

impl Agreed {
    /// Keeps at most so many.
    pub fn new(placements_max: u64) -> Self {
        Agreed {
            kept: Cache::new(placements_max),
        }
    }

    /// What is kept of an order.
    pub fn of(&self, order_id: &OrderId) -> Option<Arc<Placement>> {
        self.kept.get(order_id)
    }

    /// Keeps a placement that is committed.
    pub fn keep(&self, placement: &Arc<Placement>) {
        self.kept.insert(placement.order_id, placement.clone());
    }
}
