//! What operators see of live rooms.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge};

use super::batch::PerClass;
use crate::events::frames::Outcome;
use crate::model::Class;

/// What operators see of live rooms.
pub struct Meter {
    watchers: Gauge<u64>,
    rooms: Gauge<u64>,
    starts: Counter<u64>,
    cuts: Counter<u64>,
    dropped: Counter<u64>,
}

impl Meter {
    /// The instruments of this process.
    pub fn new() -> Self {
        let meter = kit::telemetry::meter();
        Meter {
            watchers: meter
                .u64_gauge("vitrine.room.watchers")
                .with_description("open watches of rooms")
                .with_unit("{watch}")
                .build(),
            rooms: meter
                .u64_gauge("vitrine.room.watched")
                .with_description("rooms that somebody watches")
                .with_unit("{room}")
                .build(),
            starts: meter
                .u64_counter("vitrine.room.watch_starts")
                .with_description("watches that began, by how they began")
                .with_unit("{watch}")
                .build(),
            cuts: meter
                .u64_counter("vitrine.room.watch_cuts")
                .with_description("watches cut off because their reader was too slow")
                .with_unit("{watch}")
                .build(),
            dropped: meter
                .u64_counter("vitrine.room.dropped")
                .with_description("events left out for watchers, by delivery class")
                .with_unit("{event}")
                .build(),
        }
    }

    /// Somebody came or went.
    pub fn present(&self, watchers: usize, rooms: usize) {
        self.watchers.record(count(watchers), &[]);
        self.rooms.record(count(rooms), &[]);
    }

    /// A watch began.
    pub fn began(&self, outcome: Outcome) {
        let word = match outcome {
            Outcome::Resumed => "resumed",
            Outcome::Snapshot => "snapshot",
            Outcome::Reset => "reset",
        };
        self.starts.add(1, &[KeyValue::new("outcome", word)]);
    }

    /// A reader was too slow.
    pub fn cut(&self) {
        self.cuts.add(1, &[]);
    }

    /// Events were left out for one watcher.
    pub fn dropped(&self, dropped: &PerClass) {
        for (class, count) in Class::ALL.into_iter().zip(dropped) {
            if let Ok(count @ 1..) = u64::try_from(*count) {
                let word = KeyValue::new("class", class.word());
                self.dropped.add(count, &[word]);
            }
        }
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
