//! The driver: a process of its own that keeps partners, shoppers, the warehouse and viewers busy, and writes down
//! what it means to do before it asks, and what was acknowledged before it goes on.

mod aftercare;
mod audience;
mod buyer;
mod retailer;
mod setup;
mod watch;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use kit::clock::{SharedClock, SystemClock};
use kit::ids::SystemIds;
use prost::Message;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use vitrine::config::VitrineConfig;
use vitrine::keys;

use crate::client::{Addresses, Caller, Ended, Network, reason};
use crate::journal::{Answer, Call, Event, Journal};
use crate::pause::pause;
pub use setup::{PRODUCTS, World, euros, prepare};
pub use watch::Page;

/// What the driver is told on its command line, in a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub addresses: Addresses,
    /// The folder with the suite's development key.
    pub data_dir: PathBuf,
    pub journal: PathBuf,
    pub seed: u64,
    pub partners: usize,
    /// Shoppers at a time, for each partner.
    pub buyers: usize,
    /// About so many orders a second, all partners together.
    pub orders_per_s: f64,
    /// How long a call is tried before it counts as lost, in seconds.
    pub patience_s: u64,
}

/// What all actors share.
#[derive(Clone)]
pub struct Stage {
    pub journal: Journal,
    pub world: Arc<World>,
    /// Set when no new work is to be begun.
    pub stop: CancellationToken,
    pub tally: Arc<Tally>,
}

/// What was done so far.
#[derive(Default)]
pub struct Tally {
    pub acknowledged: AtomicU64,
    pub refused: AtomicU64,
    pub gave_up: AtomicU64,
    pub retried: AtomicU64,
    pub longest_ms: AtomicU64,
}

/// What the driver prints when it ends.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    pub acknowledged: u64,
    pub refused: u64,
    pub gave_up: u64,
    /// Calls that took more than one try.
    pub retried: u64,
    /// The longest that a call waited for its acknowledgement.
    pub longest_wait_ms: u64,
    /// The errors after which calls were tried again, and how often.
    pub tried_again_after: BTreeMap<String, u64>,
}

impl Tally {
    fn summary(&self, network: &Network) -> Summary {
        let of = |n: &AtomicU64| n.load(Ordering::Relaxed);
        Summary {
            acknowledged: of(&self.acknowledged),
            refused: of(&self.refused),
            gave_up: of(&self.gave_up),
            retried: of(&self.retried),
            longest_wait_ms: of(&self.longest_ms),
            tried_again_after: network.met(),
        }
    }
}

impl Stage {
    /// A call with an effect, journalled before and after.
    pub async fn call<Q, A>(
        &self,
        caller: &Caller,
        path: &'static str,
        request: &Q,
        what: Call,
        answer_of: impl FnOnce(&A) -> Answer,
    ) -> Option<A>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let call = self.journal.call();
        self.journal.write(call, Event::Intent(what)).await;
        match caller.ask::<Q, A>(path, request).await {
            Ok(answered) => {
                let waited_ms = u64::try_from(answered.waited.as_millis()).unwrap_or(u64::MAX);
                let event = Event::Ack {
                    answer: answer_of(&answered.answer),
                    tries: answered.tries,
                    waited_ms,
                };
                self.journal.write(call, event).await;
                self.tally.acknowledged.fetch_add(1, Ordering::Relaxed);
                self.tally
                    .longest_ms
                    .fetch_max(waited_ms, Ordering::Relaxed);
                self.count_tries(answered.tries);
                Some(answered.answer)
            }
            Err(Ended::Refused { status, tries }) => {
                self.journal
                    .write(
                        call,
                        Event::Refused {
                            reason: reason(&status),
                            tries,
                        },
                    )
                    .await;
                self.tally.refused.fetch_add(1, Ordering::Relaxed);
                self.count_tries(tries);
                None
            }
            Err(Ended::GaveUp { status, tries }) => {
                let status = format!("{:?}: {}", status.code(), status.message());
                self.journal
                    .write(call, Event::GaveUp { status, tries })
                    .await;
                self.tally.gave_up.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    fn count_tries(&self, tries: u32) {
        if tries > 1 {
            self.tally.retried.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets time pass, or less when the end is near.
    pub async fn rest(&self, time: Duration) {
        tokio::select! {
            () = pause(time) => {}
            () = self.stop.cancelled() => {}
        }
    }

    pub fn over(&self) -> bool {
        self.stop.is_cancelled()
    }
}

/// Mints tokens that a suite with this data folder accepts.
pub fn signer(data_dir: &Path) -> anyhow::Result<kit::auth::TokenSigner> {
    let config = VitrineConfig {
        data_dir: data_dir.to_owned(),
        ..VitrineConfig::default()
    };
    let clock: SharedClock = Arc::new(SystemClock);
    keys::development_signer(&config, clock.clone(), Arc::new(SystemIds::new(clock)))
}

/// `drive PLAN`: sets up, says `ready`, works until a line or the end of its input, and says what it did.
pub fn main(plan: &Path) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(plan).with_context(|| format!("no plan at {}", plan.display()))?;
    let plan: Plan = serde_json::from_str(&text)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    // Whoever started us has something to say once, or is gone.
    std::thread::Builder::new()
        .name("input".into())
        .spawn(move || {
            let _ = std::io::stdin().lock().read_line(&mut String::new());
            told.cancel();
        })?;
    let summary = runtime.block_on(drive(&plan, stop))?;
    println!("{}", serde_json::to_string(&summary)?);
    Ok(())
}

async fn drive(plan: &Plan, stop: CancellationToken) -> anyhow::Result<Summary> {
    let network = Network::new(
        &plan.addresses,
        plan.seed,
        Duration::from_secs(plan.patience_s),
    )?;
    let journal = Journal::create(&plan.journal)?;
    let signer = signer(&plan.data_dir)?;
    let world = setup::prepare(&network, &signer, plan.partners, "k").await?;
    journal.write(0, Event::World(world.facts())).await;
    let stage = Stage {
        journal,
        world: Arc::new(world),
        stop,
        tally: Arc::new(Tally::default()),
    };
    println!("ready");
    let watching = CancellationToken::new();
    let watchers = watch::start(&stage, &watching);
    let mut work = Vec::new();
    let buyers = plan.partners * plan.buyers;
    let gap = Duration::from_secs_f64(buyers as f64 / plan.orders_per_s.max(0.1));
    for n in 0..buyers {
        let seed = plan.seed.wrapping_mul(1_000).wrapping_add(n as u64);
        work.push(kit::spawn(
            "buyer",
            buyer::run(stage.clone(), n % plan.partners, n, seed, gap),
        ));
    }
    work.push(kit::spawn(
        "warehouse",
        retailer::warehouse(stage.clone(), plan.seed),
    ));
    work.push(kit::spawn(
        "stock",
        retailer::stock(stage.clone(), plan.seed),
    ));
    work.push(kit::spawn("catalogue", retailer::catalogue(stage.clone())));
    work.push(kit::spawn("stops", retailer::stops(stage.clone())));
    for partner in 0..plan.partners {
        let refunds = aftercare::refunds(stage.clone(), partner, plan.seed);
        work.push(kit::spawn("refunds", refunds));
        work.push(kit::spawn("viewer", audience::run(stage.clone(), partner)));
    }
    for task in work {
        task.await.context("an actor of the driver panicked")?;
    }
    // What was done last has reached the watchers when they have been silent for a while.
    watch::until_silent(&watchers, &SystemClock).await;
    watching.cancel();
    for watcher in watchers.tasks {
        watcher.await.context("a watcher of the driver panicked")?;
    }
    // Lines that nobody waited for go to disk with this one.
    stage
        .journal
        .write(0, Event::World(stage.world.facts()))
        .await;
    Ok(stage.tally.summary(&network))
}
