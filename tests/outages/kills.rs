//! SIGKILL at random moments: any service, all of them, PostgreSQL; running, starting, draining, migrating.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use kit::clock::{Clock, SystemClock};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use testkit::Engine;
use vitrine::cli::Service;

use crate::check::{self, Facts, Findings, Place};
use crate::driver::Plan;
use crate::journal;
use crate::pause::pause_thread;
use crate::report::{Kill, Report, Times};
use crate::world::{Driver, World};

/// How a run is made.
#[derive(Clone, Debug)]
pub struct Options {
    pub engine: Engine,
    pub kills: u32,
    pub seed: u64,
    /// The program under test.
    pub program: PathBuf,
    /// Whether everything is left behind, to be looked at.
    pub keep: bool,
    pub report: Option<PathBuf>,
    pub orders_per_s: f64,
    /// Shoppers at a time, for each partner.
    pub buyers: usize,
    /// A start that takes longer fails the run; none: it is only reported.
    pub ready_within: Option<Duration>,
}

/// What is killed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Servers(Vec<usize>),
    Database,
    Everything,
}

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Running,
    Starting,
    Draining,
}

/// Makes a run; false when something was wrong. None where there is no PostgreSQL, which was then said.
pub fn run(options: &Options) -> anyhow::Result<Option<Report>> {
    let Some(world) = World::lay_out(options.engine, options.program.clone(), options.keep)? else {
        return Ok(None);
    };
    let mut run = Run {
        world,
        random: StdRng::seed_from_u64(options.seed),
        report: Report::new("kills", options.engine, options.seed),
        room_kills: Vec::new(),
        began: SystemClock.now().0,
        wanted: options.kills,
    };
    let done = run.all(options);
    if done.is_err() || !run.report.is_clean() {
        run.world.keep();
    }
    let mut report = run.report;
    done?;
    report.failed_starts.clone_from(&run.world.failed_starts);
    if let Some(limit) = options.ready_within {
        report.limit_readiness(limit);
    }
    if let Some(file) = &options.report {
        report.write(file)?;
    }
    Ok(Some(report))
}

struct Run {
    world: World,
    random: StdRng,
    report: Report,
    room_kills: Vec<i64>,
    began: i64,
    wanted: u32,
}

impl Run {
    fn all(&mut self, options: &Options) -> anyhow::Result<()> {
        self.migrations()?;
        self.world.start_all()?;
        let plan = Plan {
            addresses: self.world.addresses(),
            data_dir: self.world.data_dir(),
            journal: self.world.file("journal.jsonl"),
            seed: options.seed,
            partners: 2,
            buyers: options.buyers,
            orders_per_s: options.orders_per_s,
            patience_s: 300,
        };
        let driver = Driver::start(&plan, &self.world.folder)?;
        while self.done() < options.kills {
            self.kill_once()?;
        }
        // The last outage is over and its work is taken up again before the driver is told to end.
        self.rest(500..1_000);
        self.report.driver = driver.finish()?;
        self.check(&plan, options)
    }

    fn done(&self) -> u32 {
        u32::try_from(self.report.kills.len()).unwrap_or(u32::MAX)
    }

    fn rest(&mut self, ms: std::ops::Range<u64>) {
        let ms = self.random.random_range(ms);
        pause_thread(Duration::from_millis(ms));
    }

    fn note(&mut self, target: &str, moment: &str) {
        let kill = Kill {
            target: target.into(),
            moment: moment.into(),
            at_ms: (SystemClock.now().0 - self.began) / 1_000,
        };
        self.report.kills.push(kill);
        let n = self.report.kills.len();
        if n.is_multiple_of(10) || u32::try_from(n) == Ok(self.wanted) {
            println!(
                "  {n} of {} kills, the last: {target}, {moment}",
                self.wanted
            );
        }
    }

    /// Kills while tables are made: in new databases, so that there is something to make each time.
    fn migrations(&mut self) -> anyhow::Result<()> {
        let kills = (self.wanted / 20).max(1);
        let began = SystemClock.instant();
        self.world.move_on("measured")?;
        self.make_tables(None)?;
        let whole = SystemClock.instant().saturating_duration_since(began);
        let whole = u64::try_from(whole.as_millis()).unwrap_or(1_000).max(10);
        for n in 0..kills {
            self.world.move_on(&format!("made_{n}"))?;
            let after = self.random.random_range(0..whole);
            self.make_tables(Some(Duration::from_millis(after)))?;
            self.note("migrate", "migrating");
        }
        // The last of them is the one that goes on.
        Ok(())
    }

    /// Makes all tables; the first time around perhaps not to the end.
    fn make_tables(&mut self, killed_after: Option<Duration>) -> anyhow::Result<()> {
        match self.world.engine {
            Engine::Postgres => {
                if let Some(after) = killed_after {
                    let mut first = self.world.command("migrate", &["migrate"])?.spawn()?;
                    pause_thread(after);
                    first.kill()?;
                    first.wait()?;
                }
                self.world.migrate()
            }
            Engine::Sqlite => {
                if let Some(after) = killed_after {
                    self.world.start(0)?;
                    pause_thread(after);
                    self.world.kill(0)?;
                }
                self.world.start(0)?;
                self.world.until_ready(0)?;
                self.world.kill(0)
            }
        }
    }

    fn kill_once(&mut self) -> anyhow::Result<()> {
        let target = self.target();
        let moment = match self.random.random_range(0..10_u32) {
            0 | 1 => Moment::Starting,
            2 => Moment::Draining,
            _ => Moment::Running,
        };
        self.rest(50..1_500);
        match target {
            Target::Servers(servers) => self.kill_servers(&servers, moment),
            Target::Database => self.kill_database(false),
            Target::Everything => self.kill_database(true),
        }
    }

    fn target(&mut self) -> Target {
        let all: Vec<usize> = self.world.all().collect();
        if self.world.engine == Engine::Sqlite {
            return Target::Servers(all);
        }
        match self.random.random_range(0..100_u32) {
            0..62 => {
                let one = self.random.random_range(0..all.len());
                Target::Servers(vec![one])
            }
            62..70 => {
                let orders = all
                    .into_iter()
                    .filter(|n| self.world.servers[*n].service == Some(Service::Order));
                Target::Servers(orders.collect())
            }
            70..82 => Target::Servers(all),
            82..95 => Target::Database,
            _ => Target::Everything,
        }
    }

    fn kill_servers(&mut self, servers: &[usize], moment: Moment) -> anyhow::Result<()> {
        let name = match servers {
            [one] => self.world.servers[*one].name.clone(),
            some if some.len() == self.world.servers.len() => "all services".into(),
            _ => "both order replicas".into(),
        };
        if moment == Moment::Draining {
            for &n in servers {
                self.world.terminate(n)?;
            }
            self.rest(0..1_500);
        }
        self.kill_now(servers)?;
        self.rest(0..250);
        self.start(servers)?;
        if moment == Moment::Starting {
            // Again, before it is up.
            self.rest(0..400);
            self.kill_now(servers)?;
            self.start(servers)?;
        }
        for &n in servers {
            let took = self.world.until_ready(n)?;
            self.report.ready.add(took);
        }
        let moment = match moment {
            Moment::Running => "running",
            Moment::Starting => "starting",
            Moment::Draining => "draining",
        };
        self.note(&name, moment);
        Ok(())
    }

    fn start(&mut self, servers: &[usize]) -> anyhow::Result<()> {
        for &n in servers {
            self.world.start(n)?;
        }
        Ok(())
    }

    fn kill_now(&mut self, servers: &[usize]) -> anyhow::Result<()> {
        for &n in servers {
            if matches!(self.world.servers[n].service, None | Some(Service::Room)) {
                self.room_kills.push(SystemClock.now().0);
            }
            self.world.kill(n)?;
        }
        Ok(())
    }

    /// Kills PostgreSQL, and with `everything` the services as well; these may come up before it does.
    fn kill_database(&mut self, everything: bool) -> anyhow::Result<()> {
        let all: Vec<usize> = self.world.all().collect();
        if let Some(postgres) = self.world.postgres.as_mut() {
            postgres.kill();
        }
        if everything {
            self.kill_now(&all)?;
            self.start(&all)?;
        }
        self.rest(0..700);
        let down = SystemClock.instant();
        if let Some(postgres) = self.world.postgres.as_mut() {
            postgres.start_again()?;
        }
        let up = SystemClock.instant();
        self.report
            .database_recovery
            .add(up.saturating_duration_since(down));
        for n in all {
            self.world.until_ready(n)?;
        }
        let again = SystemClock.instant().saturating_duration_since(up);
        self.report.ready_after_database.add(again);
        self.note(
            if everything {
                "everything"
            } else {
                "PostgreSQL"
            },
            "running",
        );
        Ok(())
    }

    fn check(&mut self, plan: &Plan, options: &Options) -> anyhow::Result<()> {
        println!("  checking");
        let mut facts = Facts::of(journal::read(&plan.journal)?);
        facts.room_kills = std::mem::take(&mut self.room_kills);
        facts.like_loss_micros = match options.ready_within {
            // A second, and what the flush itself takes.
            Some(_) => 1_500_000,
            // On a machine that does other things too, as long as that may take.
            None => 5_000_000,
        };
        let findings = findings(&self.world, &facts)?;
        self.report.take(&facts, findings);
        Ok(())
    }
}

/// Where a world is read.
pub fn place(world: &World) -> Place {
    let databases: BTreeMap<&'static str, String> = Service::ALL
        .into_iter()
        .map(|service| (service.name(), world.database_url(service)))
        .collect();
    Place {
        addresses: world.addresses(),
        data_dir: world.data_dir(),
        databases,
    }
}

/// Waits until the suite is at rest, reads everything and holds it against the facts.
pub fn findings(world: &World, facts: &Facts) -> anyhow::Result<Findings> {
    let place = place(world);
    crate::runtime()?.block_on(async {
        check::settle(&place.databases).await?;
        let state = check::state(&place, &facts.world).await?;
        Ok(check::compare(facts, &state))
    })
}

impl Times {
    /// Milliseconds of one more.
    pub fn add(&mut self, time: Duration) {
        self.all_ms
            .push(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }
}
