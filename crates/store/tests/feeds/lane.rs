//! Many commands in one transaction, and everybody their own answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::ErrorReason;
use kit::caller::{Caller, Tenant};
use kit::clock::{Clock, ManualClock};
use kit::errors::{Fault, Refusal};
use kit::scope::Scope;
use store::batch::{Admission, BatchRun, Lane, LaneConfig, Priority};
use store::{Db, Tx, sql};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::support::*;
use testkit::{TestDb, on_both_engines};

/// What a caller hears: the id of the thing, or a refusal of its own.
type Verdict = Result<String, Refusal>;
type Things = Lane<Command, Verdict>;

on_both_engines! {
    setup: patient();

    async fn commands_gather_while_a_batch_runs_and_each_hears_its_own(t: TestDb) {
        let bench = Bench::new(&t, LaneConfig { batch_max: 20, ..LaneConfig::default() }).await;
        let first = bench.submit(Command::of("first"), Admission::default());
        bench.runs(1).await;
        let rest: Vec<_> = (0..50).map(|number| {
            let id = if number % 10 == 7 { format!("refuse-{number}") } else { format!("thing-{number}") };
            bench.submit(Command::of(&id), Admission::default())
        }).collect();
        bench.waiting(50).await;
        bench.open();
        assert_eq!(first.await.expect("a caller").expect("a verdict"), Ok("first".into()));
        for (number, caller) in rest.into_iter().enumerate() {
            let verdict = caller.await.expect("a caller").expect("a verdict");
            if number % 10 == 7 {
                assert_eq!(verdict.expect_err("refused").metadata["id"], format!("refuse-{number}"));
            } else {
                assert_eq!(verdict, Ok(format!("thing-{number}")));
            }
        }
        assert_eq!(bench.sizes(), [1, 20, 20, 10]);
        assert_eq!(count(&t.db, "thing").await, 46);
    }

    async fn money_goes_first(t: TestDb) {
        let bench = Bench::new(&t, LaneConfig { batch_max: 3, ..LaneConfig::default() }).await;
        bench.submit(Command::of("first"), Admission::default());
        bench.runs(1).await;
        let money = Admission { priority: Priority::MoneyTaken, ..Admission::default() };
        let mut callers = Vec::new();
        for (id, how) in [("n1", Admission::default()), ("n2", Admission::default()), ("m1", money), ("m2", money)] {
            let before = bench.lane.waiting();
            callers.push(bench.submit(Command::of(id), how));
            bench.waiting(before + 1).await;
        }
        bench.open();
        for caller in callers {
            caller.await.expect("a caller").expect("a verdict").expect("done");
        }
        assert_eq!(bench.ran(), [vec!["first"], vec!["m1", "m2", "n1"], vec!["n2"]]);
    }

    async fn what_fails_a_batch_fails_alone(t: TestDb) {
        let bench = Bench::new(&t, LaneConfig::default()).await;
        let first = bench.submit(Command::of("first"), Admission::default());
        bench.runs(1).await;
        let poison = |number: usize| number == 11 || number == 30;
        let callers: Vec<_> = (0..33).map(|number| {
            let size = if poison(number) { -1 } else { 1 };
            bench.submit(Command { id: format!("thing-{number}"), size }, Admission::default())
        }).collect();
        bench.waiting(33).await;
        bench.open();
        first.await.expect("a caller").expect("a verdict").expect("done");
        for (number, caller) in callers.into_iter().enumerate() {
            let answer = caller.await.expect("a caller");
            assert_eq!(matches!(answer, Err(Fault::Internal(_))), poison(number), "{number} {answer:?}");
            assert_eq!(answer.is_ok(), !poison(number));
        }
        assert_eq!(count(&t.db, "thing").await, 32);
    }

    async fn a_command_that_panics_fails_alone(t: TestDb) {
        let bench = Bench::new(&t, LaneConfig::default()).await;
        let first = bench.submit(Command::of("first"), Admission::default());
        bench.runs(1).await;
        let callers: Vec<_> = ["a", "panic", "b"].into_iter()
            .map(|id| bench.submit(Command::of(id), Admission::default())).collect();
        bench.waiting(3).await;
        bench.open();
        first.await.expect("a caller").expect("a verdict").expect("done");
        let mut answers = Vec::new();
        for caller in callers {
            answers.push(caller.await.expect("a caller").is_ok());
        }
        assert_eq!(answers, [true, false, true]);
    }

    async fn dividing_is_bounded(t: TestDb) {
        let bench = Bench::new(&t, LaneConfig { bisect_runs_max: 1, ..LaneConfig::default() }).await;
        let first = bench.submit(Command::of("first"), Admission::default());
        bench.runs(1).await;
        let callers: Vec<_> = (0..8).map(|number| {
            let command = Command { id: format!("thing-{number}"), size: -1 };
            bench.submit(command, Admission::default())
        }).collect();
        bench.waiting(8).await;
        bench.open();
        first.await.expect("a caller").expect("a verdict").expect("done");
        for caller in callers {
            assert!(matches!(caller.await.expect("a caller"), Err(Fault::Internal(_))));
        }
        assert_eq!(bench.sizes(), [1, 8, 4, 4]);
        assert_eq!(count(&t.db, "thing").await, 1);
    }

    async fn what_may_pass_is_told_to_all_without_dividing(t: TestDb) {
        let bench = Bench::new(&t, LaneConfig::default()).await;
        let first = bench.submit(Command::of("first"), Admission::default());
        bench.runs(1).await;
        let callers: Vec<_> = ["a", "busy", "b"].into_iter()
            .map(|id| bench.submit(Command::of(id), Admission::default())).collect();
        bench.waiting(3).await;
        bench.open();
        first.await.expect("a caller").expect("a verdict").expect("done");
        for caller in callers {
            assert!(matches!(caller.await.expect("a caller"), Err(Fault::Busy { .. })));
        }
        assert_eq!(bench.sizes(), [1, 3]);
    }

    async fn a_deadline_that_cannot_be_met_is_refused_at_once(t: TestDb) {
        let bench = Bench::new(&t, LaneConfig { batch_max: 2, ..LaneConfig::default() }).await;
        bench.open();
        // A batch takes 100 ms by the clock that the lane measures with.
        bench.slow.store(100, Ordering::SeqCst);
        bench.submit(Command::of("measure"), Admission::default()).await.expect("a caller").expect("a verdict").expect("done");
        until("the lane has measured", || async { bench.lane.batch_time() == Duration::from_millis(100) }).await;
        // Idle, it lets in whatever is not late already.
        bench.slow.store(0, Ordering::SeqCst);
        bench.close();
        let now = t.clock.instant();
        let by = |ms: u64| Admission { deadline: Some(now + Duration::from_millis(ms)), ..Admission::default() };
        let late = bench.submit(Command::of("late"), by(0)).await.expect("a caller");
        assert!(matches!(late, Err(Fault::Busy { .. })));
        let idle = bench.submit(Command::of("idle"), by(1));
        bench.runs(2).await;
        // Busy, one has to wait for the running batch and for its own.
        let refused = bench.submit(Command::of("refused"), by(200)).await.expect("a caller");
        assert!(matches!(refused, Err(Fault::Busy { retry_after, .. }) if retry_after >= Duration::from_millis(200)), "{refused:?}");
        let mut taken = vec![bench.submit(Command::of("a"), by(201)), bench.submit(Command::of("b"), by(201))];
        bench.waiting(2).await;
        let refused = bench.submit(Command::of("refused"), by(201)).await.expect("a caller");
        assert!(matches!(refused, Err(Fault::Busy { .. })), "two of two are before it");
        let money = Admission { priority: Priority::MoneyTaken, ..by(201) };
        taken.push(bench.submit(Command::of("money"), money));
        bench.waiting(3).await;
        bench.open();
        for caller in taken {
            caller.await.expect("a caller").expect("a verdict").expect("done");
        }
        idle.await.expect("a caller").expect("a verdict").expect("done");
        assert!(!bench.ran().concat().contains(&"refused".to_owned()), "it cost nothing");
    }

    async fn a_turn_that_comes_too_late_is_not_run(t: TestDb) {
        let bench = Bench::new(&t, LaneConfig::default()).await;
        let first = bench.submit(Command::of("first"), Admission::default());
        bench.runs(1).await;
        let deadline = t.clock.instant() + Duration::from_secs(1);
        let scope = Scope { deadline: Some(deadline), ..Scope::default() };
        // The deadline of the call in progress counts when none is given.
        let lane = bench.lane.clone();
        let late = kit::spawn("test", scope.run(async move { lane.submit(Command::of("late"), Admission::default()).await }));
        let patient = bench.submit(Command::of("patient"), Admission::default());
        bench.waiting(2).await;
        t.clock.advance(Duration::from_secs(2));
        bench.open();
        assert!(matches!(late.await.expect("a caller"), Err(Fault::Busy { .. })));
        first.await.expect("a caller").expect("a verdict").expect("done");
        patient.await.expect("a caller").expect("a verdict").expect("done");
        assert_eq!(count(&t.db, "thing").await, 2);
    }

    async fn the_queue_is_bounded_and_money_has_room_of_its_own(t: TestDb) {
        let bench = Bench::new(&t, LaneConfig { queue_max: 3, ..LaneConfig::default() }).await;
        let first = bench.submit(Command::of("first"), Admission::default());
        bench.runs(1).await;
        let mut callers: Vec<_> = (0..3).map(|n| bench.submit(Command::of(&format!("n{n}")), Admission::default())).collect();
        bench.waiting(3).await;
        let full = bench.submit(Command::of("n3"), Admission::default()).await.expect("a caller");
        assert!(matches!(full, Err(Fault::Busy { .. })));
        let money = Admission { priority: Priority::MoneyTaken, ..Admission::default() };
        callers.push(bench.submit(Command::of("m0"), money));
        bench.waiting(4).await;
        bench.open();
        for caller in callers {
            caller.await.expect("a caller").expect("a verdict").expect("done");
        }
        first.await.expect("a caller").expect("a verdict").expect("done");
    }

    async fn a_caller_who_leaves_stops_nothing(t: TestDb) {
        let bench = Bench::new(&t, LaneConfig::default()).await;
        let first = bench.submit(Command::of("first"), Admission::default());
        bench.runs(1).await;
        let callers: Vec<_> = (0..10).map(|n| bench.submit(Command::of(&format!("n{n}")), Admission::default())).collect();
        bench.waiting(10).await;
        callers.iter().for_each(JoinHandle::abort);
        first.abort();
        bench.open();
        until("all of it is done", || async { count(&t.db, "thing").await == 11 }).await;
    }

    async fn several_lanes_do_the_same_and_end_after_their_work(t: TestDb) {
        let config = LaneConfig { lanes: 4, batch_max: 8, ..LaneConfig::default() };
        let bench = Bench::new(&t, config).await;
        let callers: Vec<_> = (0..200u64).map(|number| {
            let affinity = (number % 2 == 0).then_some(number);
            bench.submit(Command::of(&format!("thing-{number}")), Admission { affinity, ..Admission::default() })
        }).collect();
        let Bench { lane, gate, .. } = bench;
        drop(lane);
        gate.add_permits(1_000_000);
        for caller in callers {
            caller.await.expect("a caller").expect("a verdict").expect("done");
        }
        assert_eq!(count(&t.db, "thing").await, 200);
        assert_eq!(count(&t.db, "feed").await, 200);
    }
}

#[derive(Clone)]
struct Command {
    id: String,
    size: i64,
}

impl Command {
    fn of(id: &str) -> Self {
        Command {
            id: id.to_owned(),
            size: 1,
        }
    }
}

/// A lane whose batches wait at a gate.
struct Bench {
    lane: Things,
    gate: Arc<Semaphore>,
    batches: Arc<Mutex<Vec<Vec<String>>>>,
    slow: Arc<AtomicUsize>,
}

impl Bench {
    async fn new(t: &TestDb, config: LaneConfig) -> Self {
        t.db.execute(&system(), Ddl::Things).await.expect("a table");
        let gate = Arc::new(Semaphore::new(0));
        let batches = Arc::new(Mutex::new(Vec::new()));
        let slow = Arc::new(AtomicUsize::new(0));
        let runner = Runner {
            gate: gate.clone(),
            batches: batches.clone(),
            clock: t.clock.clone(),
            slow: slow.clone(),
        };
        Bench {
            lane: start(&t.db, runner, &config),
            gate,
            batches,
            slow,
        }
    }

    fn submit(&self, command: Command, how: Admission) -> JoinHandle<Result<Verdict, Fault>> {
        let lane = self.lane.clone();
        kit::spawn("test", async move { lane.submit(command, how).await })
    }

    /// Lets batches through from now on.
    fn open(&self) {
        self.gate.add_permits(1_000_000);
    }

    fn close(&self) {
        self.gate.forget_permits(usize::MAX);
    }

    /// Until so many batches have begun.
    async fn runs(&self, number: usize) {
        until("the batch has begun", || async {
            self.ran().len() >= number
        })
        .await;
    }

    async fn waiting(&self, number: usize) {
        until("the commands wait", || async {
            self.lane.waiting() == number
        })
        .await;
    }

    fn ran(&self) -> Vec<Vec<String>> {
        self.batches.lock().expect("no panic holds it").clone()
    }

    fn sizes(&self) -> Vec<usize> {
        self.ran().iter().map(Vec::len).collect()
    }
}

fn start(db: &Db, runner: Runner, config: &LaneConfig) -> Things {
    Lane::start(db, runner, config)
}

struct Runner {
    gate: Arc<Semaphore>,
    batches: Arc<Mutex<Vec<Vec<String>>>>,
    clock: Arc<ManualClock>,
    slow: Arc<AtomicUsize>,
}

impl BatchRun<Command, Verdict> for Runner {
    fn name(&self) -> &'static str {
        "test.batch"
    }

    fn tenant(&self, _: &[Command]) -> Tenant {
        Tenant::of([&Caller::system("test")])
    }

    async fn run(&self, tx: &mut Tx, commands: &[Command]) -> Result<Vec<Verdict>, Fault> {
        let ids = commands.iter().map(|command| command.id.clone()).collect();
        self.batches.lock().expect("no panic holds it").push(ids);
        self.gate.acquire().await.expect("never closed").forget();
        self.clock.advance(Duration::from_millis(
            self.slow.load(Ordering::SeqCst) as u64
        ));
        let mut verdicts = Vec::new();
        for Command { id, size } in commands {
            match id.as_str() {
                "busy" => return Err(Fault::busy("told to be", Duration::from_millis(1))),
                "panic" => panic!("told to"),
                id if id.starts_with("refuse") => {
                    let refusal = Refusal::new(ErrorReason::WrongState, "told to refuse");
                    verdicts.push(Err(refusal.with("id", id)));
                    continue;
                }
                _ => {}
            }
            sql!(
                tx,
                execute,
                "INSERT INTO thing (id, creator, size) VALUES ($1, 'lane', $2)",
                id,
                *size
            )?;
            tx.publish(entry(None, id, 1));
            verdicts.push(Ok(id.clone()));
        }
        Ok(verdicts)
    }
}
