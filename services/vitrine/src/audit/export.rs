//! Makes checkpoints while the suite runs, at intervals and at the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kit::auth::SigningKey;
use kit::caller::Caller;
use kit::clock::SharedClock;
use kit::ids::SharedIds;
use kit::lifecycle::Lifecycle;
use store::Db;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use tokio::time::MissedTickBehavior;

use super::checkpoint::{Checkpoint, Keys};
use super::{folder, spoken};
use crate::config::VitrineConfig;

/// Makes the checkpoints of the services of one process.
#[derive(Default)]
pub struct Exporters {
    each: Vec<Arc<Exporter>>,
}

impl Exporters {
    /// Starts making them, when the configuration names a folder.
    pub fn start<'a>(
        config: &VitrineConfig,
        databases: impl Iterator<Item = &'a Db>,
        clock: &SharedClock,
        ids: &SharedIds,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Self> {
        let Some(folder) = &config.audit.checkpoint_dir else {
            return Ok(Exporters::default());
        };
        std::fs::create_dir_all(folder).with_context(|| {
            format!(
                "the folder of checkpoints {} could not be made: see audit.checkpoint_dir",
                folder.display()
            )
        })?;
        let key = super::signing_key(config)?;
        let interval = Duration::from_secs(config.audit.checkpoint_interval_s.max(1));
        let mut each = Vec::new();
        for db in databases {
            let exporter = Arc::new(Exporter::new(
                db.clone(),
                folder.clone(),
                key.clone(),
                clock.clone(),
                ids,
            ));
            let (working, end) = (exporter.clone(), lifecycle.token());
            lifecycle.spawn("audit.checkpoints", async move {
                let mut ticks = tokio::time::interval(interval);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while end.run_until_cancelled(ticks.tick()).await.is_some() {
                    working.tick().await;
                }
            });
            each.push(exporter);
        }
        Ok(Exporters { each })
    }

    /// The last ones, when nothing writes any more.
    pub async fn finish(&self) {
        for exporter in &self.each {
            exporter.tick().await;
        }
    }
}

/// What became of a try.
#[derive(Debug, PartialEq, Eq)]
pub enum Made {
    /// A checkpoint, as it was written.
    Checkpoint(String),
    /// Nothing, because the trail is where it was.
    Unchanged,
    /// Nothing, because the trail does not go on from the checkpoint at this position: it is not signed again.
    Refused(i64),
}

/// Makes the checkpoints of one trail.
pub struct Exporter {
    db: Db,
    folder: PathBuf,
    key: SigningKey,
    clock: SharedClock,
    series: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether the folder was looked into for what an earlier life of the process left.
    looked: bool,
    last: Option<Checkpoint>,
    number: u64,
}

impl Exporter {
    /// For one database, into a file of its own.
    pub fn new(
        db: Db,
        folder: PathBuf,
        key: SigningKey,
        clock: SharedClock,
        ids: &SharedIds,
    ) -> Self {
        let time = super::moment(clock.now()).replace([':', '-'], "");
        let series = format!("{}-{time}-{:08x}", db.service(), ids.random_u64() >> 32);
        Exporter {
            db,
            folder,
            key,
            clock,
            series,
            state: Mutex::default(),
        }
    }

    async fn tick(&self) {
        let service = self.db.service();
        match self.make().await {
            Ok(Made::Checkpoint(checkpoint)) => {
                tracing::info!(
                    service,
                    series = self.series,
                    checkpoint,
                    "audit checkpoint"
                );
            }
            Ok(Made::Unchanged) => {}
            Ok(Made::Refused(position)) => tracing::error!(
                service,
                position,
                "the audit trail does not go on from its last checkpoint: rows were changed or taken out, and no \
                 checkpoint is signed; run vitrine audit verify"
            ),
            Err(error) => tracing::error!(
                service,
                error = format!("{error:#}"),
                "no audit checkpoint could be made"
            ),
        }
    }

    /// Makes one now, unless nothing was written since the last.
    pub async fn make(&self) -> anyhow::Result<Made> {
        let mut state = self.state.lock().await;
        if !state.looked {
            state.last = folder::last(&self.folder, self.db.service(), &Keys::of(&self.key))?;
            state.looked = true;
        }
        let caller = Caller::system("audit");
        let head = store::audit::head(&self.db, &caller)
            .await
            .map_err(spoken)?;
        if let Some(last) = &state.last {
            if (head.position, hex::encode(&head.hash)) == (last.position, last.hash.clone()) {
                return Ok(Made::Unchanged);
            }
            let there = store::audit::links_at(&self.db, &caller, vec![last.position])
                .await
                .map_err(spoken)?;
            let same = there
                .first()
                .is_some_and(|(_, hash)| hex::encode(hash) == last.hash);
            if head.position < last.position || !same {
                return Ok(Made::Refused(last.position));
            }
        }
        if head.position == 0 {
            return Ok(Made::Unchanged);
        }
        let next = Checkpoint::new(
            self.db.service(),
            &head,
            self.clock.now(),
            &self.series,
            state.number + 1,
        );
        let line = next.sign(&self.key);
        self.append(&line).await?;
        state.number = next.number;
        state.last = Some(next);
        Ok(Made::Checkpoint(line))
    }

    /// On the disk when this returns.
    async fn append(&self, line: &str) -> anyhow::Result<()> {
        let path = folder::file(&self.folder, &self.series);
        let context = || format!("the checkpoint could not be written to {}", path.display());
        let mut file = tokio::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .await
            .with_context(context)?;
        file.write_all(format!("{line}\n").as_bytes())
            .await
            .with_context(context)?;
        file.sync_all().await.with_context(context)
    }
}
