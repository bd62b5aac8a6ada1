//! A database that fails on request, at points no test can reach from outside.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use store::db::{Faults, Point};

/// Strikes that wait for their moment.
#[derive(Default)]
pub struct FaultPoints {
    waiting: Mutex<HashMap<Point, Vec<Strike>>>,
}

struct Strike {
    operation: Option<String>,
    times: u32,
}

impl FaultPoints {
    /// No strikes yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Strikes the next `times` units that come to `point`.
    pub fn strike(&self, point: Point, times: u32) {
        self.add(
            point,
            Strike {
                operation: None,
                times,
            },
        );
    }

    /// Strikes the next `times` runs of one operation that come to `point`.
    pub fn strike_operation(&self, point: Point, operation: &str, times: u32) {
        self.add(
            point,
            Strike {
                operation: Some(operation.to_owned()),
                times,
            },
        );
    }

    /// Forgets what has not struck yet.
    pub fn clear(&self) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// How many strikes still wait.
    pub fn left(&self) -> u32 {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.values().flatten().map(|strike| strike.times).sum()
    }

    fn add(&self, point: Point, strike: Strike) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(point)
            .or_default()
            .push(strike);
    }
}

impl Faults for FaultPoints {
    fn strike(&self, point: Point, operation: &'static str) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(strikes) = waiting.get_mut(&point) else {
            return false;
        };
        let meant = |strike: &Strike| {
            strike.times > 0
                && strike
                    .operation
                    .as_deref()
                    .is_none_or(|meant| meant == operation)
        };
        match strikes.iter_mut().find(|strike| meant(strike)) {
            Some(strike) => {
                strike.times -= 1;
                true
            }
            None => false,
        }
    }
}
