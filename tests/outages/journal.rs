//! What the driver meant to do and what it was answered, on disk before it goes on.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use anyhow::Context;
use kit::clock::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Microseconds since 1970 UTC.
    pub at: i64,
    /// Ties a call's intent to its answer.
    pub call: u64,
    pub event: Event,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Who and what the driver works with.
    World(World),
    /// About to be asked for.
    Intent(Call),
    /// Acknowledged.
    Ack {
        answer: Answer,
        tries: u32,
        waited_ms: u64,
    },
    /// Refused: no effect.
    Refused { reason: String, tries: u32 },
    /// No answer within the driver's patience.
    GaveUp { status: String, tries: u32 },
    /// A read after an acknowledgement did not show it.
    Unseen { what: String },
    /// A feed's entry came in.
    Entry(Entry),
    /// A feed's stream broke and goes on from its cursor.
    Resumed { watcher: String, status: String },
}

/// What the driver works with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct World {
    pub partners: Vec<String>,
    pub allotments: Vec<String>,
    pub rooms: Vec<String>,
}

/// A call with an effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    Place {
        partner: String,
        key: String,
        /// Listing and quantity.
        lines: Vec<(String, i64)>,
        payable: i64,
    },
    Pay {
        order: String,
        reference: String,
        minor_units: i64,
    },
    Extend {
        order: String,
        key: String,
    },
    Cancel {
        order: String,
        key: String,
    },
    Contact {
        order: String,
        key: String,
        token: String,
    },
    Ship {
        fulfillment: String,
        order: String,
        key: String,
    },
    Track {
        shipment: String,
        event: String,
        status: i32,
    },
    Refund {
        refund: String,
        reference: String,
        executed: bool,
    },
    Reissue {
        refund: String,
        key: String,
    },
    Return {
        order: String,
        key: String,
    },
    Decide {
        goods_return: String,
    },
    Receive {
        goods_return: String,
    },
    Move {
        allotment: String,
        key: String,
        quantity: i64,
    },
    Product {
        key: String,
        sku: String,
    },
    Pause {
        listing: String,
        key: String,
        resume: bool,
    },
    Stop {
        listing: String,
        key: String,
    },
    Resume {
        stop: String,
        key: String,
    },
    Question {
        room: String,
        key: String,
        text: String,
    },
    Like {
        room: String,
        key: String,
        count: i32,
    },
}

/// What was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Placed {
        order: String,
        payable: i64,
        hold_until: i64,
    },
    Paid {
        payment: String,
        paid: bool,
        refund: String,
        refund_minor_units: i64,
    },
    Extended {
        until: i64,
    },
    Cancelled {
        outcome: i32,
    },
    Contact {
        version: i64,
    },
    Shipped {
        shipment: String,
        /// Order line and quantity.
        lines: Vec<(String, i64)>,
    },
    Tracked,
    Refunded {
        executed: bool,
        minor_units: i64,
    },
    Reissued {
        attempt: i64,
    },
    Returned {
        id: String,
    },
    Decided,
    Received,
    Moved {
        movement: String,
    },
    Product {
        product: String,
        variant: String,
    },
    Paused,
    Stopped {
        stop: String,
    },
    Resumed,
    Question {
        question: String,
    },
    Liked {
        total: i64,
    },
}

/// A feed's entry as a watcher got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub watcher: String,
    pub position: i64,
    pub digest: String,
}

struct Item {
    text: String,
    done: Option<oneshot::Sender<()>>,
}

/// The journal while it is written. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    items: mpsc::Sender<Item>,
    calls: Arc<AtomicU64>,
}

impl Journal {
    /// Begins a new one.
    pub fn create(path: &Path) -> anyhow::Result<Journal> {
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(path)
            .with_context(|| format!("the journal {} could not be made", path.display()))?;
        let (items, taken) = mpsc::channel();
        std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || write_all(file, &taken))?;
        Ok(Journal {
            items,
            calls: Arc::new(AtomicU64::new(1)),
        })
    }

    /// A number that ties the lines of one call together.
    pub fn call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns when the line is on disk.
    pub async fn write(&self, call: u64, event: Event) {
        let (done, written) = oneshot::channel();
        self.send(call, event, Some(done));
        written
            .await
            .expect("the journal is written until the process ends");
    }

    /// Returns at once; the line comes to disk with the next that is waited for.
    pub fn note(&self, event: Event) {
        self.send(0, event, None);
    }

    fn send(&self, call: u64, event: Event, done: Option<oneshot::Sender<()>>) {
        let at = SystemClock.now().0;
        let mut text =
            serde_json::to_string(&Line { at, call, event }).expect("a line is plain data");
        text.push('\n');
        self.items
            .send(Item { text, done })
            .expect("the journal is written until the process ends");
    }
}

/// Writes what has gathered, flushes it to disk, and only then says so.
fn write_all(mut file: File, taken: &mpsc::Receiver<Item>) {
    while let Ok(first) = taken.recv() {
        let mut text = first.text;
        let mut waiting: Vec<oneshot::Sender<()>> = first.done.into_iter().collect();
        while let Ok(item) = taken.try_recv() {
            text.push_str(&item.text);
            waiting.extend(item.done);
        }
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_data())
            .expect("the journal's disk works");
        for done in waiting {
            let _ = done.send(());
        }
    }
}

/// Reads a journal that is still being written: what is whole of it.
pub fn whole_lines(path: &Path) -> anyhow::Result<Vec<Line>> {
    let text = std::fs::read_to_string(path)?;
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

/// Reads a journal back.
pub fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let file = File::open(path).with_context(|| format!("no journal at {}", path.display()))?;
    BufReader::new(file)
        .lines()
        .enumerate()
        .map(|(n, line)| {
            let line = line?;
            serde_json::from_str(&line).with_context(|| format!("line {} of the journal", n + 1))
        })
        .collect()
}
