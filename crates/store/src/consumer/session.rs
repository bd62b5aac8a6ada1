//! A consumer from reading its cursor until something goes wrong.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use contracts::feed::FeedMessage;
use futures::{FutureExt, StreamExt};
use kit::clock::Micros;
use kit::errors::Fault;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::fault::{Outlook, outlook};
use super::parked::{Due, DueEntry, Postpone, Retry};
use super::source::Pages;
use super::work::{Apply, At, Create, Fence, Load, Park, UNKNOWN, position_of};
use super::{Consume, Consumer, FeedSource};

/// The largest page that every feed's contract allows.
const PAGE_MAX: u32 = 1_000;
/// The longest error text that is kept with a parked entry.
const ERROR_CHARS: usize = 500;
/// The most traces that one unit of work is linked to.
const LINKS_MAX: usize = 32;

/// How often in a row one entry failed for a reason that nobody knows.
#[derive(Clone, Copy, Default)]
pub(super) struct Doubt {
    position: i64,
    attempts: u32,
}

/// From reading the cursor until something goes wrong.
pub(super) struct Session<'a, F, S, H> {
    consumer: &'a Consumer<F, S, H>,
    drain: &'a CancellationToken,
    pub(super) at: At,
    pub(super) doubt: Doubt,
    /// Whether the cursor moved at all.
    pub(super) moved: bool,
    turns: Interval,
}

/// Whether the session goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    /// The cursor was moved by another replica.
    StartOver,
}

impl<'a, F, S, H> Session<'a, F, S, H>
where
    F: FeedMessage,
    S: FeedSource<F>,
    H: Consume<F>,
{
    pub(super) fn new(
        consumer: &'a Consumer<F, S, H>,
        drain: &'a CancellationToken,
        doubt: Doubt,
    ) -> Self {
        let mut turns =
            tokio::time::interval(Duration::from_millis(consumer.config.parked_poll_ms.max(1)));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Session {
            consumer,
            drain,
            at: At::default(),
            doubt,
            moved: false,
            turns,
        }
    }

    pub(super) async fn run(&mut self) -> Result<(), Fault> {
        self.load().await?;
        let limit = self.consumer.config.batch_max.clamp(1, PAGE_MAX);
        loop {
            if self.turns.tick().now_or_never().is_some() {
                self.retry_parked().await?;
            }
            let page = tokio::select! {
                biased;
                () = self.drain.cancelled() => return Ok(()),
                page = self.consumer.source.list(&self.at.cursor, limit) => page?,
            };
            let before = self.at.position;
            if self.advance(page).await? == Next::StartOver {
                return Ok(());
            }
            // Nothing there, or nothing that is not applied already.
            if self.at.position == before {
                break;
            }
        }
        self.consumer.status.caught_up(self.at.position);
        let pages = tokio::select! {
            biased;
            () = self.drain.cancelled() => return Ok(()),
            pages = self.consumer.source.watch(&self.at.cursor) => pages?,
        };
        self.follow(pages).await
    }

    async fn load(&mut self) -> Result<(), Fault> {
        let Consumer {
            db,
            caller,
            name: consumer,
            ..
        } = self.consumer;
        let found = match db.read(caller, Load { consumer }).await? {
            Some(found) => Some(found),
            None => {
                db.execute(caller, Create { consumer }).await?;
                db.read(caller, Load { consumer }).await?
            }
        };
        let (at, parked) = found.ok_or_else(|| Fault::internal("a consumer's cursor vanished"))?;
        self.at = at;
        self.consumer.status.set_parked(parked);
        Ok(())
    }

    async fn follow(&mut self, mut pages: Pages<F>) -> Result<(), Fault> {
        loop {
            if self.turns.tick().now_or_never().is_some() {
                self.retry_parked().await?;
            }
            let Some(page) = self.next_page(&mut pages).await? else {
                return Ok(());
            };
            let (entries, ended) = self.gather(page?, &mut pages);
            if self.advance(entries).await? == Next::StartOver {
                return Ok(());
            }
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    /// The next page; none when the feed or this process ends. Meanwhile parked entries have their turns.
    async fn next_page(
        &mut self,
        pages: &mut Pages<F>,
    ) -> Result<Option<Result<Vec<F>, Fault>>, Fault> {
        if let Some(page) = pages.next().now_or_never() {
            return Ok(page);
        }
        self.consumer.status.caught_up(self.at.position);
        loop {
            tokio::select! {
                biased;
                () = self.drain.cancelled() => return Ok(None),
                page = pages.next() => return Ok(page),
                _ = self.turns.tick() => self.retry_parked().await?,
            }
        }
    }

    /// Whatever else is there already goes along; an end or an error is met after it.
    fn gather(
        &self,
        mut entries: Vec<F>,
        pages: &mut Pages<F>,
    ) -> (Vec<F>, Option<Result<(), Fault>>) {
        while entries.len() < self.consumer.config.batch_max as usize {
            match pages.next().now_or_never() {
                Some(Some(Ok(more))) => entries.extend(more),
                Some(Some(Err(fault))) => return (entries, Some(Err(fault))),
                Some(None) => return (entries, Some(Ok(()))),
                None => break,
            }
        }
        (entries, None)
    }

    /// Applies entries in units of at most `batch_max`.
    async fn advance(&mut self, entries: Vec<F>) -> Result<Next, Fault> {
        let entries = Arc::new(check_order(&self.at, entries)?);
        let batch_max = self.consumer.config.batch_max.max(1) as usize;
        let mut start = 0;
        while start < entries.len() && !self.drain.is_cancelled() {
            let end = entries.len().min(start + batch_max);
            let span = tracing::info_span!(
                "feed.consume",
                consumer = self.consumer.name,
                entries = end - start
            );
            link_all(&span, &entries[start..end]);
            let next = self
                .apply_all(&entries, start..end)
                .instrument(span)
                .await?;
            if next == Next::StartOver {
                return Ok(Next::StartOver);
            }
            start = end;
        }
        Ok(Next::GoOn)
    }

    /// All in one unit; when one of them stands in the way, each in its own.
    async fn apply_all(
        &mut self,
        entries: &Arc<Vec<F>>,
        range: Range<usize>,
    ) -> Result<Next, Fault> {
        match self.apply(entries, range.clone()).await {
            Ok(next) => return Ok(next),
            Err(fault) if outlook(&fault) == Outlook::Passing => return Err(fault),
            Err(fault) if range.len() == 1 => {
                return self.settle(entries, range.start, fault).await;
            }
            Err(fault) => {
                tracing::debug!(consumer = self.consumer.name, error = %fault.chain(), "going on entry by entry");
            }
        }
        for index in range {
            if self.drain.is_cancelled() {
                break;
            }
            let next = match self.apply(entries, index..index + 1).await {
                Ok(next) => next,
                Err(fault) => self.settle(entries, index, fault).await?,
            };
            if next == Next::StartOver {
                return Ok(Next::StartOver);
            }
        }
        Ok(Next::GoOn)
    }

    async fn apply(&mut self, entries: &Arc<Vec<F>>, range: Range<usize>) -> Result<Next, Fault> {
        let apply = Apply {
            consumer: self.consumer.name,
            caller: self.consumer.caller.clone(),
            handler: self.consumer.handler.clone(),
            from: self.at.clone(),
            entries: entries.clone(),
            range: range.clone(),
            parked_max: self.consumer.config.parked_max,
        };
        let fence = self
            .consumer
            .db
            .execute(&self.consumer.caller, apply)
            .await?;
        Ok(self.passed(fence, &entries[range]))
    }

    /// Decides what becomes of one entry that failed.
    async fn settle(
        &mut self,
        entries: &Arc<Vec<F>>,
        index: usize,
        fault: Fault,
    ) -> Result<Next, Fault> {
        let position = position_of(entries[index].meta());
        match outlook(&fault) {
            Outlook::Passing => return Err(fault),
            Outlook::Lasting => {}
            Outlook::Doubtful => {
                if self.doubt.position != position {
                    self.doubt = Doubt {
                        position,
                        attempts: 0,
                    };
                }
                self.doubt.attempts += 1;
                if self.doubt.attempts < self.consumer.config.fault_attempts_max {
                    return Err(fault);
                }
            }
        }
        let error = error_text(&fault);
        tracing::error!(
            consumer = self.consumer.name,
            position,
            aggregate_id = entries[index].meta().aggregate_id,
            error,
            "feed entry parked"
        );
        let park = Park {
            consumer: self.consumer.name,
            from: self.at.clone(),
            entries: entries.clone(),
            index,
            error,
            retry_after: self.consumer.parked_pause(0),
            parked_max: self.consumer.config.parked_max,
        };
        let fence = self
            .consumer
            .db
            .execute(&self.consumer.caller, park)
            .await?;
        Ok(self.passed(fence, &entries[index..=index]))
    }

    fn passed(&mut self, fence: Fence, entries: &[F]) -> Next {
        let (Fence::Passed { parked }, Some(last)) = (fence, entries.last()) else {
            return Next::StartOver;
        };
        self.at = At::after(last.meta());
        self.moved = true;
        let time = last
            .meta()
            .commit_time
            .as_ref()
            .and_then(Micros::from_proto);
        self.consumer
            .status
            .moved(self.at.position, entries.len(), time);
        self.consumer.status.set_parked(parked);
        Next::GoOn
    }

    /// One turn over what is parked and due.
    async fn retry_parked(&mut self) -> Result<(), Fault> {
        let Consumer {
            db,
            caller,
            name: consumer,
            config,
            ..
        } = self.consumer;
        let mut left = config.parked_batch_max;
        while left > 0 && !self.drain.is_cancelled() {
            let (parked, due) = db
                .read(
                    caller,
                    Due {
                        consumer,
                        limit: left,
                    },
                )
                .await?;
            self.consumer.status.set_parked(parked);
            if due.is_empty() {
                return Ok(());
            }
            for entry in due {
                if self.drain.is_cancelled() {
                    return Ok(());
                }
                left = left.saturating_sub(1);
                self.retry(entry).await?;
            }
        }
        Ok(())
    }

    async fn retry(&self, due: DueEntry) -> Result<(), Fault> {
        let Consumer {
            db,
            caller,
            name: consumer,
            ..
        } = self.consumer;
        let (position, attempts) = (due.position, due.attempts);
        let retry = Retry {
            consumer,
            caller: caller.clone(),
            handler: self.consumer.handler.clone(),
            due,
            entry: std::marker::PhantomData::<fn() -> F>,
        };
        // Whatever it is, it is put off: one entry that keeps failing must not hold up the feed.
        let Err(fault) = db.execute(caller, retry).await else {
            return Ok(());
        };
        let error = error_text(&fault);
        tracing::warn!(
            consumer,
            position,
            attempts,
            error,
            "parked feed entry failed again"
        );
        let retry_after = self.consumer.parked_pause(attempts);
        db.execute(
            caller,
            Postpone {
                consumer,
                position,
                attempts,
                error,
                retry_after,
            },
        )
        .await
    }
}

/// Leaves out what is applied already and refuses a gap: an entry that never comes would be lost unnoticed.
fn check_order<F: FeedMessage>(at: &At, mut entries: Vec<F>) -> Result<Vec<F>, Fault> {
    let mut last = at.position;
    entries.retain(|entry| position_of(entry.meta()) > last);
    for entry in &entries {
        let position = position_of(entry.meta());
        if last != UNKNOWN && position != last + 1 {
            return Err(Fault::internal(format!(
                "the feed has a gap: {position} came after {last}"
            )));
        }
        if entry.meta().cursor.is_empty() {
            return Err(Fault::internal(format!(
                "the feed's entry {position} has no cursor"
            )));
        }
        last = position;
    }
    Ok(entries)
}

fn link_all<F: FeedMessage>(span: &tracing::Span, entries: &[F]) {
    let mut before = "";
    let traces = entries
        .iter()
        .map(|entry| entry.meta().traceparent.as_str());
    let distinct =
        traces.filter(|trace| !trace.is_empty() && std::mem::replace(&mut before, trace) != *trace);
    for trace in distinct.take(LINKS_MAX) {
        kit::telemetry::link(span, trace);
    }
}

fn error_text(fault: &Fault) -> String {
    fault
        .chain()
        .replace('\0', " ")
        .chars()
        .take(ERROR_CHARS)
        .collect()
}
