//! A rolling restart under load: SIGTERM, drain, a new process; one after the other.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::check::Facts;
use crate::driver::Plan;
use crate::journal;
use crate::kills::{Options, findings};
use crate::pause::pause_thread;
use crate::report::{Kill, Report};
use crate::world::{Driver, World};

/// Restarts every server `rounds` times around while the driver works. No call may fail that the retry rules would
/// not carry through, and no drain may leave anything unfinished.
pub fn run(options: &Options, rounds: u32) -> anyhow::Result<Option<Report>> {
    let Some(mut world) = World::lay_out(options.engine, options.program.clone(), options.keep)?
    else {
        return Ok(None);
    };
    let mut report = Report::new("rolling restart", options.engine, options.seed);
    let done = all(options, rounds, &mut world, &mut report);
    if done.is_err() || !report.is_clean() {
        world.keep();
    }
    done?;
    report.failed_starts.clone_from(&world.failed_starts);
    if let Some(file) = &options.report {
        report.write(file)?;
    }
    Ok(Some(report))
}

fn all(
    options: &Options,
    rounds: u32,
    world: &mut World,
    report: &mut Report,
) -> anyhow::Result<()> {
    world.move_on("suite")?;
    if world.postgres.is_some() {
        world.migrate()?;
    }
    world.start_all()?;
    let mut random = StdRng::seed_from_u64(options.seed);
    let plan = Plan {
        addresses: world.addresses(),
        data_dir: world.data_dir(),
        journal: world.file("journal.jsonl"),
        seed: options.seed,
        partners: 2,
        buyers: options.buyers,
        orders_per_s: options.orders_per_s,
        patience_s: 120,
    };
    let driver = Driver::start(&plan, &world.folder)?;
    for _ in 0..rounds {
        for n in world.all() {
            pause_thread(Duration::from_millis(random.random_range(100..700)));
            let name = world.servers[n].name.clone();
            world.terminate(n)?;
            let status = world.ended(n)?;
            if !status.success() {
                let why = format!("{name} ended with {status}: {}", world.log(&name));
                report.faults.push(why);
            }
            world.start(n)?;
            report.ready.add(world.until_ready(n)?);
            report.kills.push(Kill {
                target: name,
                moment: "SIGTERM".into(),
                at_ms: 0,
            });
        }
    }
    pause_thread(Duration::from_millis(500));
    report.driver = driver.finish()?;
    let facts = Facts::of(journal::read(&plan.journal)?);
    let findings = findings(world, &facts)?;
    report.take(&facts, findings);
    Ok(())
}
