//! What processes used, as the kernel counts it, and how fast the disk is.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::load::now;

/// The kernel's tick, in seconds; 100 a second on every Linux that user programs see.
const TICK_S: f64 = 0.01;
/// How often the disk is asked.
const WRITES: usize = 300;
const PAGE_BYTES: usize = 8_192;

/// CPU seconds by process since its start.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Usage {
    /// The benchmark itself: it makes the load and receives the answers.
    pub generator: f64,
    /// The order service, all replicas; none when it runs elsewhere.
    pub order: Option<f64>,
    /// The catalog service.
    pub catalog: Option<f64>,
    /// The fulfilment service, where it runs.
    pub fulfillment: Option<f64>,
    /// PostgreSQL with all its processes, where it is ours.
    pub postgres: Option<f64>,
}

impl Usage {
    /// What was used since `earlier`.
    pub fn since(&self, earlier: &Usage) -> Usage {
        let less = |now: Option<f64>, then: Option<f64>| Some(round(now? - then?));
        Usage {
            generator: round(self.generator - earlier.generator),
            order: less(self.order, earlier.order),
            catalog: less(self.catalog, earlier.catalog),
            fulfillment: less(self.fulfillment, earlier.fulfillment),
            postgres: less(self.postgres, earlier.postgres),
        }
    }

    /// The same for each of `count` things, in microseconds.
    pub fn each_us(&self, count: u64) -> Usage {
        let each = |seconds: f64| round(seconds * 1e6 / count.max(1) as f64);
        Usage {
            generator: each(self.generator),
            order: self.order.map(each),
            catalog: self.catalog.map(each),
            fulfillment: self.fulfillment.map(each),
            postgres: self.postgres.map(each),
        }
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// CPU seconds of a process, user and system; with those of its children where `family` is asked for.
pub fn cpu_of(pid: u32, family: bool) -> Option<f64> {
    let ticks = |pid: u32, reaped: bool| -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, which may hold anything, ends at the last bracket; utime is the 14th field of all.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let field = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
        let mut ticks = field(14)? + field(15)?;
        if reaped {
            ticks += field(16)? + field(17)?;
        }
        Some(ticks)
    };
    let mut all = ticks(pid, family)?;
    if family {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let each = children
            .split_whitespace()
            .filter_map(|child| child.parse().ok());
        all += each.filter_map(|child| ticks(child, false)).sum::<u64>();
    }
    Some(all as f64 * TICK_S)
}

/// The most that a process ever had resident, in MiB.
pub fn peak_rss_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kib / 1_024.0 * 10.0).round() / 10.0)
}

/// The median of writing a page at the end of a file and flushing it, in microseconds: what a commit waits for at least.
pub fn fdatasync_us(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("fdatasync.probe");
    let measure = || -> std::io::Result<f64> {
        let mut file = File::create(&path)?;
        let page = [0x5a_u8; PAGE_BYTES];
        // Written once before, so that no write has to find room for it.
        for _ in 0..WRITES {
            file.write_all(&page)?;
        }
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
        let mut took = Vec::with_capacity(WRITES);
        for _ in 0..WRITES {
            let start = now();
            file.write_all(&page)?;
            file.sync_data()?;
            took.push(now().saturating_duration_since(start).as_secs_f64() * 1e6);
        }
        took.sort_by(f64::total_cmp);
        Ok(round(took[WRITES / 2]))
    };
    let measured = measure();
    let _ = fs::remove_file(&path);
    measured.with_context(|| {
        format!(
            "{} cannot be written to: name another place with TMPDIR=…",
            folder.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_this_process() {
        assert!(cpu_of(std::process::id(), true).is_some());
        assert!(peak_rss_mib(std::process::id()).is_some_and(|mib| mib > 1.0));
        assert_eq!(cpu_of(u32::MAX, false), None);
    }

    #[test]
    fn a_share_is_of_what_was_used_in_between() {
        let before = Usage {
            generator: 1.0,
            order: Some(2.0),
            ..Usage::default()
        };
        let after = Usage {
            generator: 2.0,
            order: Some(5.0),
            postgres: Some(1.0),
            ..Usage::default()
        };
        let used = after.since(&before);
        assert_eq!(
            (used.generator, used.order, used.postgres),
            (1.0, Some(3.0), None)
        );
        assert_eq!(used.each_us(1_000).order, Some(3_000.0));
    }
}
