//! Channels that somebody watches.
//!
//! One look at the database tells for all of them which have something new; only those who watch these read it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::id::ChannelId;
use kit::caller::Caller;
use kit::errors::Fault;
use tokio::sync::watch;

use super::lock;
use super::rooms::Around;
use crate::config::Config;
use crate::ops::channels::ReadChannelHeads;

/// All channels that somebody watches.
pub struct Channels {
    around: Around,
    config: Arc<Config>,
    watched: Mutex<HashMap<ChannelId, Watched>>,
    caller: Caller,
}

struct Watched {
    /// How often what the channel shows had changed when it was looked at last.
    head: watch::Sender<i64>,
    watchers: usize,
}

/// Tells one watcher of changes, until it is dropped.
pub struct ChannelWatch {
    channels: Arc<Channels>,
    channel_id: ChannelId,
    head: watch::Receiver<i64>,
}

impl Drop for ChannelWatch {
    fn drop(&mut self) {
        let mut watched = lock(&self.channels.watched);
        if let Entry::Occupied(mut entry) = watched.entry(self.channel_id) {
            entry.get_mut().watchers -= 1;
            if entry.get().watchers == 0 {
                entry.remove();
            }
        }
    }
}

impl Channels {
    /// Nobody watches yet.
    pub fn new(config: Arc<Config>, around: Around) -> Self {
        Channels {
            around,
            config,
            watched: Mutex::default(),
            caller: Caller::system("room-channels"),
        }
    }

    /// What channels need around them.
    pub fn around(&self) -> &Around {
        &self.around
    }

    /// Joins those who watch a channel. What is read after this is told of or read.
    pub fn enter(self: &Arc<Self>, channel_id: ChannelId) -> Result<ChannelWatch, Fault> {
        let mut watched = lock(&self.watched);
        let all: usize = watched.values().map(|channel| channel.watchers).sum();
        if all >= self.config.channel_watchers_max {
            let message = "As many watch channels as this server can serve; nothing was done, try again later.";
            return Err(Fault::busy(message, Duration::from_secs(5)));
        }
        let new = || Watched {
            head: watch::Sender::new(-1),
            watchers: 0,
        };
        let channel = watched.entry(channel_id).or_insert_with(new);
        channel.watchers += 1;
        Ok(ChannelWatch {
            channels: self.clone(),
            channel_id,
            head: channel.head.subscribe(),
        })
    }

    /// Follows the database until `drain`: after each commit here, and every now and then for what other processes did.
    pub async fn run(self: Arc<Self>) {
        let mut commits = self.around.db.commits();
        let drain = self.around.drain.clone();
        let poll = Duration::from_millis(self.config.tail_poll_ms.max(1));
        let gather = Duration::from_millis(self.config.tail_gather_ms);
        while !drain.is_cancelled() {
            tokio::select! {
                biased;
                () = drain.cancelled() => return,
                Ok(()) = commits.changed() => tokio::time::sleep(gather).await,
                () = tokio::time::sleep(poll) => {}
            }
            commits.borrow_and_update();
            if let Err(fault) = self.look().await {
                tracing::warn!(error = %fault.chain(), "cannot see what is new on channels, trying again");
                tokio::time::sleep(poll).await;
            }
        }
    }

    async fn look(&self) -> Result<(), Fault> {
        let channels: Vec<ChannelId> = lock(&self.watched).keys().copied().collect();
        if channels.is_empty() {
            return Ok(());
        }
        let heads = self
            .around
            .db
            .read(&self.caller, ReadChannelHeads { channels })
            .await?;
        let watched = lock(&self.watched);
        for (channel, head) in heads {
            if let Some(channel) = watched.get(&channel) {
                channel
                    .head
                    .send_if_modified(|known| std::mem::replace(known, head) != head);
            }
        }
        Ok(())
    }
}

impl ChannelWatch {
    /// What is known now counts as seen.
    pub fn mark_seen(&mut self) {
        self.head.borrow_and_update();
    }

    /// Until there may be something new, or `wait` is over; false when the server drains.
    pub async fn changed(&mut self, wait: Option<Duration>) -> bool {
        let drain = self.channels.around.drain.clone();
        // Beyond a day it does not matter when.
        let wait = wait.unwrap_or(Duration::from_secs(86_400));
        tokio::select! {
            biased;
            () = drain.cancelled() => false,
            changed = self.head.changed() => changed.is_ok(),
            () = tokio::time::sleep(wait) => true,
        }
    }
}
