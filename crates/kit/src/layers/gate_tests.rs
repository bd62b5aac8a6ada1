//! The gate before simulated servers, in simulated time: a millisecond is one step, nothing sleeps.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::layers::ShedConfig;

const STEP: Duration = Duration::from_millis(1);

fn gate(config: &ShedConfig, clock: &Arc<ManualClock>) -> Arc<Gate> {
    Arc::new(Gate::adaptive(
        Limit::new(config.bounds()),
        Duration::from_millis(config.adjust_interval_ms),
        config.shares(config.critical_calls),
        clock.clone(),
        Box::new(|_, _, _| {}),
    ))
}

struct Waiting {
    permit: Permit,
    /// How many batches had begun when it came.
    batches: usize,
}

/// A server that takes what waits into one batch after another, as a lane does. A batch of one is a worker.
struct Server {
    batch_max: usize,
    fixed: Duration,
    each: Duration,
    begun: Vec<Instant>,
    money: VecDeque<Waiting>,
    normal: VecDeque<Waiting>,
    /// When what runs ends, and how long it takes is anybody's guess by so much.
    running: Vec<(Instant, Vec<Waiting>)>,
    workers: usize,
    noise: f64,
    sent_away: u64,
}

impl Server {
    fn lane(batch_max: usize, fixed: Duration, each: Duration) -> Self {
        Server {
            batch_max,
            fixed,
            each,
            begun: Vec::new(),
            money: VecDeque::new(),
            normal: VecDeque::new(),
            running: Vec::new(),
            workers: 1,
            noise: 0.0,
            sent_away: 0,
        }
    }

    fn workers(workers: usize, time: Duration) -> Self {
        Server {
            workers,
            ..Server::lane(1, time, Duration::ZERO)
        }
    }

    fn takes(&self, commands: usize) -> Duration {
        self.fixed + self.each * u32::try_from(commands).expect("few")
    }

    /// What it does at most in a second. Whole steps, as the simulation has them.
    fn capacity(&self) -> f64 {
        let took = self.takes(self.batch_max).as_secs_f64();
        let steps = (took / STEP.as_secs_f64()).ceil().max(1.0);
        (self.workers * self.batch_max) as f64 / (steps * STEP.as_secs_f64())
    }

    fn come(&mut self, permit: Permit) {
        let batches = self.begun.len();
        // A lane has a bound of its own; workers have none.
        let ahead = (self.money.len() + self.normal.len()) / self.batch_max;
        let wait = self.takes(self.batch_max) * u32::try_from(ahead).expect("few");
        let bounded = self.batch_max > 1 && permit.class != Class::Critical;
        if bounded && ahead > 0 && wait > Duration::from_millis(250) {
            permit.queue.turned_away();
            self.sent_away += 1;
            return;
        }
        let waiting = Waiting { permit, batches };
        match waiting.permit.class {
            Class::Critical => self.money.push_back(waiting),
            _ => self.normal.push_back(waiting),
        }
    }

    /// One step; answers how many calls were done.
    fn step(&mut self, now: Instant, random: &mut Random) -> u64 {
        let mut done = 0;
        self.running.retain_mut(|(ends, batch)| {
            let over = *ends <= now;
            if over {
                done += batch.drain(..).count() as u64;
            }
            !over
        });
        while self.running.len() < self.workers && self.money.len() + self.normal.len() > 0 {
            let money = self.money.len().min(self.batch_max);
            let normal = self.normal.len().min(self.batch_max - money);
            let batch: Vec<_> = self
                .money
                .drain(..money)
                .chain(self.normal.drain(..normal))
                .collect();
            for waiting in &batch {
                let left_out = self.begun.get(waiting.batches + self.workers - 1);
                let waited = left_out.map_or(Duration::ZERO, |at| now - *at);
                waiting.permit.queue.add(waited);
            }
            self.begun.push(now);
            let noise = 1.0 + self.noise * (random.unit() * 2.0 - 1.0);
            self.running
                .push((now + self.takes(batch.len()).mul_f64(noise), batch));
        }
        done
    }
}

struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Calls a second that come, by class.
#[derive(Clone, Copy, Default)]
struct Load {
    critical: f64,
    important: f64,
    reading: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    done: u64,
    came: [u64; 5],
    refused: [u64; 5],
    limit: usize,
    waiting: usize,
}

struct World {
    clock: Arc<ManualClock>,
    gate: Arc<Gate>,
    server: Server,
    random: Random,
    due: [f64; 5],
}

impl World {
    fn new(server: Server) -> Self {
        let clock = Arc::new(ManualClock::default());
        World {
            gate: gate(&ShedConfig::default(), &clock),
            clock,
            server,
            random: Random(0x5EED),
            due: [0.0; 5],
        }
    }

    fn run(&mut self, seconds: f64, load: Load) -> Outcome {
        let mut outcome = Outcome::default();
        let rates = [
            (Class::Critical, load.critical),
            (Class::Important, load.important),
            (Class::Reading, load.reading),
        ];
        for _ in 0..(seconds / STEP.as_secs_f64()) as u64 {
            outcome.done += self.server.step(self.clock.instant(), &mut self.random);
            for (class, rate) in rates {
                self.due[class as usize] += rate * STEP.as_secs_f64() * self.random.unit() * 2.0;
                while self.due[class as usize] >= 1.0 {
                    self.due[class as usize] -= 1.0;
                    outcome.came[class as usize] += 1;
                    match self.gate.enter(class) {
                        Some(permit) => self.server.come(permit),
                        None => outcome.refused[class as usize] += 1,
                    }
                }
            }
            self.clock.advance(STEP);
        }
        outcome.limit = self.gate.limit();
        outcome.waiting = self.server.normal.len();
        outcome
    }
}

fn ms(ms: f64) -> Duration {
    Duration::from_secs_f64(ms / 1_000.0)
}

fn is_nearly_peak(outcome: &Outcome, seconds: f64, capacity: f64) -> bool {
    outcome.done as f64 / seconds >= capacity * 0.9
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the server and however far beyond it the load: it does nine tenths of what it can, nobody whose
    /// money was taken is refused, what waits is short, and when the load ends so does the refusing.
    #[test]
    fn overload_costs_little_and_ends_by_itself(
        batch_max in 4usize..256, fixed_ms in 1.0f64..80.0, each_ms in 0.1f64..0.5, times in 2.0f64..10.0, money in 0.0f64..0.5,
    ) {
        let server = Server::lane(batch_max, ms(fixed_ms), ms(each_ms));
        let capacity = server.capacity();
        let mut world = World::new(server);
        let load = Load { critical: capacity * money, important: capacity * times, reading: 0.0 };
        world.run(4.0, load);
        world.server.sent_away = 0;
        let over = world.run(6.0, load);
        let important = Class::Important as usize;
        let away = world.server.sent_away as f64 / (over.came[important] - over.refused[important]) as f64;
        prop_assert!(over.limit <= 64 || away <= 0.17, "{away} were let in and sent away: {over:?}");
        prop_assert!(is_nearly_peak(&over, 6.0, capacity), "{over:?} of {capacity} a second");
        prop_assert_eq!(over.refused[Class::Critical as usize], 0);
        let queue_s = over.waiting as f64 / (capacity * (1.0 - money));
        let batch_s = world.server.takes(batch_max).as_secs_f64();
        prop_assert!(over.limit <= 64 || queue_s <= 0.25 + 2.0 * batch_s, "{queue_s} s wait: {over:?}");

        let easy = Load { critical: capacity * 0.2, important: capacity * 0.5, reading: 0.0 };
        world.run(5.0, easy);
        let after = world.run(3.0, easy);
        prop_assert_eq!(after.refused.iter().sum::<u64>(), 0, "{:?}", after);
    }

    /// The same for workers that take one call each, which only a limit keeps from a long queue.
    #[test]
    fn workers_stay_busy_and_their_queue_short(workers in 1usize..32, time_ms in 1u64..60, times in 2.0f64..10.0) {
        let server = Server::workers(workers, Duration::from_millis(time_ms));
        let capacity = server.capacity();
        let mut world = World::new(server);
        let load = Load { important: capacity * times, ..Load::default() };
        world.run(8.0, load);
        let over = world.run(4.0, load);
        prop_assert!(is_nearly_peak(&over, 4.0, capacity), "{over:?} of {capacity} a second");
        prop_assert!(over.limit <= 64 || over.waiting as f64 / capacity <= 0.2, "{over:?}");
    }

    /// However calls come and go, a class is never let in where a more important one is not, nothing exceeds its
    /// room, CRITICAL always finds its own, and all room comes back.
    #[test]
    fn the_important_are_never_shut_out_by_the_unimportant(
        whole in 1usize..40, reserved in 0usize..10, steps in proptest::collection::vec((0usize..5, any::<bool>()), 0..200),
    ) {
        let clock = Arc::new(ManualClock::default());
        let config = ShedConfig { max_calls: whole, critical_calls: reserved, ..ShedConfig::default() };
        let gate = gate(&config, &clock);
        let mut held: Vec<Permit> = Vec::new();
        for (class, leave) in steps {
            if leave {
                held.pop();
            }
            let class = Class::ALL[class];
            let critical = held.iter().filter(|permit| permit.class == Class::Critical).count();
            let used = held.len();
            let permit = gate.enter(class);
            let expected = match class {
                Class::Critical => critical < reserved || used < whole,
                _ => used < config.shares(reserved).of(class, whole),
            };
            prop_assert_eq!(permit.is_some(), expected);
            held.extend(permit);
            prop_assert!(held.len() <= whole + reserved);
        }
        drop(held);
        prop_assert_eq!((gate.used(), gate.critical.load(Ordering::SeqCst)), (0, 0));
    }
}

#[test]
fn a_slower_disk_does_not_starve_the_server_and_a_faster_one_is_used_at_once() {
    let mut world = World::new(Server::lane(512, ms(3.0), ms(0.15)));
    let quick = world.server.capacity();
    let load = Load {
        important: quick * 3.0,
        critical: quick * 0.1,
        reading: 0.0,
    };
    for _ in 0..2 {
        world.server.fixed = ms(3.0);
        world.run(2.0, load);
        let outcome = world.run(3.0, load);
        assert!(
            is_nearly_peak(&outcome, 3.0, quick),
            "{outcome:?} of {quick}"
        );
        world.server.fixed = ms(53.0);
        let slow = world.server.capacity();
        world.run(2.0, load);
        let outcome = world.run(3.0, load);
        assert!(is_nearly_peak(&outcome, 3.0, slow), "{outcome:?} of {slow}");
        assert_eq!(outcome.refused[Class::Critical as usize], 0);
    }
}

/// Between two batches nothing ends and many looks tell nothing; the time counts all the same once one has told.
#[test]
fn a_flood_finds_the_whole_server_soon_though_its_batches_are_slow() {
    let mut world = World::new(Server::lane(512, ms(103.0), ms(0.15)));
    let capacity = world.server.capacity();
    let load = |times: f64| Load {
        important: capacity * times,
        critical: capacity * times * 0.1,
        reading: 0.0,
    };
    world.run(3.0, load(3.0));
    world.run(6.0, load(0.5));
    world.run(1.5, load(9.0));
    let outcome = world.run(3.0, load(9.0));
    assert!(
        is_nearly_peak(&outcome, 3.0, capacity),
        "{outcome:?} of {capacity}"
    );
}

#[test]
fn those_who_only_look_give_way_first() {
    let mut world = World::new(Server::workers(8, Duration::from_millis(20)));
    let load = Load {
        critical: 50.0,
        important: 300.0,
        reading: 4_000.0,
    };
    world.run(5.0, load);
    let outcome = world.run(5.0, load);
    assert_eq!(outcome.refused[Class::Critical as usize], 0);
    assert_eq!(outcome.refused[Class::Important as usize], 0, "{outcome:?}");
    assert!(
        outcome.refused[Class::Reading as usize] > 10_000,
        "{outcome:?}"
    );
    assert!(is_nearly_peak(&outcome, 5.0, 400.0), "{outcome:?}");
}

#[test]
fn noise_under_capacity_refuses_nobody() {
    let mut server = Server::lane(128, ms(8.0), ms(0.2));
    server.noise = 0.8;
    let capacity = server.capacity();
    let mut world = World::new(server);
    let load = Load {
        critical: capacity * 0.1,
        important: capacity * 0.6,
        reading: 0.0,
    };
    let outcome = world.run(20.0, load);
    assert_eq!(outcome.refused, [0; 5], "{outcome:?}");
}

#[test]
fn a_burst_is_worked_off_and_forgotten() {
    let server = Server::lane(64, ms(10.0), ms(0.1));
    let capacity = server.capacity();
    let mut world = World::new(server);
    let burst = Load {
        important: capacity * 100.0,
        ..Load::default()
    };
    world.run(0.1, burst);
    world.run(2.0, Load::default());
    let easy = Load {
        important: capacity * 0.7,
        ..Load::default()
    };
    let outcome = world.run(2.0, easy);
    assert_eq!(outcome.refused, [0; 5], "{outcome:?}");
}

#[test]
fn a_slow_spell_long_ago_keeps_nobody_out() {
    let mut world = World::new(Server::workers(1, Duration::from_millis(200)));
    let load = Load {
        important: 500.0,
        ..Load::default()
    };
    let spell = world.run(20.0, load);
    assert_eq!(spell.limit, 64, "{spell:?}");
    while world.gate.used() > 0 {
        world.run(1.0, Load::default());
    }
    world.clock.advance(Duration::from_secs(60));
    drop(world.gate.enter(Class::Important));
    assert_eq!(world.gate.limit(), ShedConfig::default().max_calls);
}

#[test]
fn calls_that_take_long_on_purpose_are_no_sign_of_load() {
    let clock = Arc::new(ManualClock::default());
    let gate = gate(&ShedConfig::default(), &clock);
    let polls: Vec<_> = (0..1_000)
        .filter_map(|_| gate.enter(Class::Reading))
        .collect();
    for _ in 0..100 {
        clock.advance(Duration::from_millis(100));
        drop(gate.enter(Class::Important));
    }
    drop(polls);
    clock.advance(Duration::from_millis(100));
    drop(gate.enter(Class::Important));
    assert_eq!(gate.limit(), ShedConfig::default().max_calls);
}

#[test]
fn sending_away_late_makes_the_door_narrower() {
    let clock = Arc::new(ManualClock::default());
    let gate = gate(&ShedConfig::default(), &clock);
    for _ in 0..20 {
        clock.advance(Duration::from_millis(100));
        let calls: Vec<_> = (0..100)
            .filter_map(|_| gate.enter(Class::Important))
            .collect();
        for (number, permit) in calls.iter().enumerate() {
            if number % 2 == 0 {
                permit.queue.turned_away();
            } else {
                permit.queue.add(Duration::from_millis(10));
            }
        }
    }
    assert!(gate.limit() < 200, "{}", gate.limit());
}
