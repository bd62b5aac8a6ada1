//! The queue before a simulated lane: time is told, nothing sleeps.

use kit::clock::ManualClock;
use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn queue(batch_max: u32, normal_wait_max_ms: u64) -> Queue<u64, ()> {
    Queue::new(&LaneConfig {
        batch_max,
        normal_wait_max_ms,
        ..LaneConfig::default()
    })
}

/// Lanes, as far as the queue knows them, with a clock of their own.
struct Lane {
    queue: Queue<u64, ()>,
    now: Instant,
    told: Vec<QueueTime>,
}

impl Lane {
    fn new(batch_max: u32, normal_wait_max_ms: u64) -> Self {
        Lane {
            queue: queue(batch_max, normal_wait_max_ms),
            now: ManualClock::default().instant(),
            told: Vec::new(),
        }
    }

    fn push(&mut self, priority: Priority, within: Option<Duration>) -> Result<(), Duration> {
        let (reply, answer) = oneshot::channel();
        drop(answer);
        let queue = QueueTime::new();
        self.told.push(queue.clone());
        let waiting = Waiting {
            command: 0,
            deadline: within.map(|within| self.now + within),
            span: tracing::Span::none(),
            queue,
            reply,
        };
        match self.queue.push(waiting, priority, self.now) {
            Ok(()) => Ok(()),
            Err(Fault::Busy { retry_after, .. }) => Err(retry_after),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn begin(&mut self) -> usize {
        let batch = {
            let mut state = self.queue.lock();
            state.take(self.queue.batch_max, self.now)
        };
        self.queue.begin(self.now, batch.commands.len());
        batch.commands.len()
    }

    fn end(&mut self, after: Duration) {
        self.now += after;
        self.queue.end(self.now);
    }

    /// One batch from beginning to end.
    fn run(&mut self, takes: impl Fn(usize) -> Duration) -> usize {
        let commands = self.begin();
        self.end(takes(commands));
        commands
    }

    fn fill(&mut self, commands: usize) -> usize {
        (0..commands)
            .filter(|_| self.push(Priority::Normal, None).is_ok())
            .count()
    }
}

#[test]
fn nothing_waits_longer_than_the_queue_may_be() {
    let mut lane = Lane::new(10, 250);
    lane.fill(10);
    lane.run(|_| 100 * MS);
    lane.fill(1);
    lane.begin();
    // 100 ms are left of the running batch, so the third from here would begin after 300 ms.
    assert_eq!(lane.fill(100), 20);
    let after = lane.push(Priority::Normal, None).expect_err("too long");
    assert!(after >= 300 * MS && after <= 650 * MS, "{after:?}");
    assert_eq!(
        lane.told.last().map(QueueTime::met),
        Some(kit::load::Queued::Away)
    );
    for _ in 0..50 {
        lane.push(Priority::MoneyTaken, Some(Duration::from_secs(10)))
            .expect("money has time until its deadline");
    }
}

#[test]
fn the_next_batch_is_open_however_slow_batches_are() {
    let mut lane = Lane::new(10, 250);
    lane.fill(1);
    lane.run(|_| Duration::from_secs(2));
    lane.fill(1);
    lane.begin();
    assert_eq!(lane.fill(100), 10, "as many as one batch takes");
    lane.end(Duration::from_secs(2));
    assert_eq!(lane.begin(), 10);
}

#[test]
fn a_jump_is_noticed_while_the_batch_still_runs() {
    let mut lane = Lane::new(10, 50);
    for _ in 0..10 {
        lane.fill(10);
        lane.run(|_| 10 * MS);
    }
    lane.fill(10);
    lane.begin();
    assert_eq!(lane.fill(30), 30, "30 ms");
    lane.now += 100 * MS;
    lane.push(Priority::Normal, None)
        .expect_err("it lasts already ten times as long");
    let deadline = Some(60 * MS);
    lane.push(Priority::MoneyTaken, deadline)
        .expect_err("and will not be done within 60 ms");
    lane.end(MS);
    lane.begin();
    lane.end(10 * MS);
    lane.begin();
    lane.end(10 * MS);
    lane.push(Priority::Normal, None)
        .expect("it was one batch only");
}

#[test]
fn a_slow_spell_long_ago_keeps_nobody_out() {
    let mut lane = Lane::new(10, 250);
    lane.fill(10);
    lane.run(|_| Duration::from_secs(30));
    lane.now += Duration::from_secs(20);
    lane.push(Priority::Normal, Some(MS))
        .expect("the lane is idle");
    lane.begin();
    assert_eq!(lane.fill(100), 100);
    for _ in 0..5 {
        lane.push(Priority::Normal, Some(20 * MS))
            .expect("and was slow long ago");
    }
}

#[test]
fn only_being_left_out_counts_as_waiting() {
    use kit::load::Queued;
    let mut lane = Lane::new(2, 10_000);
    lane.fill(1);
    lane.begin();
    lane.fill(5);
    lane.end(40 * MS);
    for _ in 0..3 {
        lane.run(|_| 40 * MS);
    }
    let met: Vec<_> = lane.told.iter().map(QueueTime::met).collect();
    let waited = |ms: u64| Queued::For(Duration::from_millis(ms));
    let expected = [0, 0, 0, 40, 40, 80].map(waited);
    assert_eq!(met, expected);
}

proptest! {
    /// However batches grow and slow down, nothing that was let in waits much longer than the queue may be, once
    /// the lane has learned; and no batch that could be full is not.
    #[test]
    fn the_wait_that_was_promised_is_kept(
        fixed_ms in 0u64..60, each_us in 10u64..300, batch_max in 8u32..256, wait_max_ms in 50u64..300, jump_ms in 0u64..60,
    ) {
        let takes = |extra: u64| move |commands: usize| {
            Duration::from_millis(1 + fixed_ms + extra) + Duration::from_micros(each_us) * u32::try_from(commands).expect("few")
        };
        let mut lane = Lane::new(batch_max, wait_max_ms);
        lane.fill(1);
        let mut learned = lane.now;
        for round in 0..60u32 {
            if round == 7 || round == 37 {
                learned = lane.now;
            }
            let takes = takes(if round < 30 { 0 } else { jump_ms });
            let longest = takes(batch_max as usize);
            let batch = lane.begin();
            let asked = 4 * batch_max as usize;
            // They come while it runs, half at the beginning and half towards the end.
            lane.fill(asked);
            let half = takes(batch) / 2;
            lane.now += half;
            lane.fill(asked);
            lane.end(takes(batch) - half);
            if round > 0 {
                prop_assert_eq!(batch, batch_max as usize);
            }
            // Who came before it was known how slow batches are was promised something else.
            let bound = Duration::from_millis(wait_max_ms) + longest * 2;
            let front = lane.queue.lock().normal.front().map(|queued| queued.since);
            let knows = (7..30).contains(&round) || round > 37;
            if let Some(since) = front.filter(|since| knows && *since > learned) {
                let waits = lane.now - since;
                prop_assert!(waits <= bound, "{waits:?} of {bound:?} in round {round}");
            }
        }
    }
}
