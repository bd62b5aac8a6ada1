//! What PostgreSQL does by itself with the same goods: one order per transaction on one hot row, and a hundred, by
//! pgbench, on a server of its own with the durability that it comes with, on the same disk in the same minutes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::json;
use store::private::PrivatePostgres;
use tokio::process::Command;

use super::Bench;
use super::house::start_postgres;
use super::report::Report;

/// What a shop would store of an order by itself, without attribution, audit and limits: a random id, the partner's
/// own key once, who, how much, how long it is held, what of it, and what others are told.
const TABLES: &str = "
DROP TABLE IF EXISTS stock, orders, order_lines, feed;
CREATE TABLE stock (stock_id text PRIMARY KEY, available bigint NOT NULL CHECK (available >= 0), held bigint NOT NULL);
CREATE TABLE orders (order_id uuid PRIMARY KEY, partner_id text NOT NULL, partner_order_id text NOT NULL,
    shopper_ref text NOT NULL, state text NOT NULL, currency_code text NOT NULL, payable bigint NOT NULL,
    region_code text NOT NULL, place_time timestamptz NOT NULL, hold_expire_time timestamptz NOT NULL,
    UNIQUE (partner_id, partner_order_id));
CREATE INDEX orders_by_hold ON orders (hold_expire_time) WHERE state = 'PENDING_PAYMENT';
CREATE TABLE order_lines (order_id uuid NOT NULL REFERENCES orders, line bigint NOT NULL, stock_id text NOT NULL,
    sku text NOT NULL, title text NOT NULL, quantity bigint NOT NULL, price bigint NOT NULL, PRIMARY KEY (order_id, line));
CREATE TABLE feed (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id uuid NOT NULL, content jsonb NOT NULL);
INSERT INTO stock VALUES ('stock-1', 1000000000000, 0);
";

/// One order: the hot row last, so that it is locked for as short as can be.
const HOT_ROW: &str = r"
\set shopper random(1, 1000000)
\set key random(1, 1000000000000)
BEGIN;
INSERT INTO orders VALUES (gen_random_uuid(), 'partner_01j', 'order-' || :key, 's-' || :shopper, 'PENDING_PAYMENT', 'EUR',
    34500, 'FR', now(), now() + interval '10 minutes') RETURNING order_id \gset
INSERT INTO order_lines VALUES (:order_id, 1, 'stock-1', 'MASK-50', 'Hydrating mask, 50 ml', 1, 34500);
INSERT INTO feed (order_id, content) VALUES (:order_id, jsonb_build_object('change', 'PLACED', 'order_id', :order_id::text,
    'shopper_ref', 's-' || :shopper, 'payable', 34500, 'currency_code', 'EUR', 'state', 'PENDING_PAYMENT'));
UPDATE stock SET available = available - 1, held = held + 1 WHERE stock_id = 'stock-1' AND available >= 1;
COMMIT;
";

/// A hundred orders, made by the server itself: a ceiling.
const BATCH: &str = r"
\set key random(1, 1000000000000)
BEGIN;
WITH placed AS (
    INSERT INTO orders SELECT gen_random_uuid(), 'partner_01j', 'order-' || (:key::bigint + n), 's-' || n, 'PENDING_PAYMENT',
        'EUR', 34500, 'FR', now(), now() + interval '10 minutes' FROM generate_series(1, 100) AS n
    RETURNING order_id, shopper_ref
), lines AS (
    INSERT INTO order_lines SELECT order_id, 1, 'stock-1', 'MASK-50', 'Hydrating mask, 50 ml', 1, 34500 FROM placed
)
INSERT INTO feed (order_id, content) SELECT order_id, jsonb_build_object('change', 'PLACED', 'order_id', order_id,
    'shopper_ref', shopper_ref, 'payable', 34500, 'currency_code', 'EUR', 'state', 'PENDING_PAYMENT') FROM placed;
UPDATE stock SET available = available - 100, held = held + 100 WHERE stock_id = 'stock-1' AND available >= 100;
COMMIT;
";

/// One row, by one client: what a commit takes.
const COMMIT: &str = "INSERT INTO feed (order_id, content) VALUES (gen_random_uuid(), '{}');\n";

const ORDERS_PER_BATCH: f64 = 100.0;

/// One look at what PostgreSQL does.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    one_client: f64,
    sixteen_clients: f64,
    batch_one_client: f64,
    batch_two_clients: f64,
    commit_us: f64,
}

impl Look {
    fn hot(&self) -> f64 {
        self.one_client.max(self.sixteen_clients)
    }

    fn batch(&self) -> f64 {
        self.batch_one_client.max(self.batch_two_clients)
    }
}

/// A PostgreSQL to compare with.
pub struct Baseline {
    postgres: PrivatePostgres,
    pgbench: PathBuf,
    seconds: u32,
    looks: Vec<Look>,
}

impl Baseline {
    /// Starts it with settings beside those it comes with; each run takes so many seconds.
    pub fn start(seconds: u32, quick: bool, settings: &[String]) -> anyhow::Result<Baseline> {
        let postgres = start_postgres(settings).map_err(|error| {
            anyhow::anyhow!("{error:#}. Without --no-baseline there are ratios to PostgreSQL's own speed, which need it")
        })?;
        let Some(pgbench) = find_pgbench(postgres.programs()) else {
            bail!(
                "pgbench is not beside PostgreSQL in {} and not on PATH: install it (postgresql-contrib), or go without the ratios with --no-baseline",
                postgres.programs().display()
            );
        };
        Ok(Baseline {
            postgres,
            pgbench,
            seconds: if quick { 1 } else { seconds.max(1) },
            looks: Vec::new(),
        })
    }

    /// Takes a look; several are averaged.
    pub async fn measure(&mut self, bench: &Bench) -> anyhow::Result<()> {
        self.run(TABLES, 1, &["-t", "1"]).await?;
        let seconds = self.seconds.to_string();
        let timed = ["-M", "prepared", "-T", &seconds];
        // Commits first, while nothing else is being written; the hundreds last, because they leave much to be written.
        let commits = self.run(COMMIT, 1, &["-M", "prepared", "-T", "1"]).await?;
        let look = Look {
            commit_us: 1e6 / commits.max(1.0),
            one_client: self.run(HOT_ROW, 1, &timed).await?,
            sixteen_clients: self.run(HOT_ROW, 16, &timed).await?,
            batch_one_client: self.run(BATCH, 1, &timed).await? * ORDERS_PER_BATCH,
            batch_two_clients: self.run(BATCH, 2, &timed).await? * ORDERS_PER_BATCH,
        };
        // What is left to be written must not be written while something else is measured.
        self.run("CHECKPOINT;\n", 1, &["-t", "1"]).await?;
        bench.say(&format!(
            "pgbench: {:.0} orders/s on the hot row, {:.0} in hundreds",
            look.hot(),
            look.batch()
        ));
        self.looks.push(look);
        Ok(())
    }

    /// The means, and every single look.
    pub fn tell(&self, report: &mut Report) {
        let mean = |of: fn(&Look) -> f64| {
            let sum: f64 = self.looks.iter().map(of).sum();
            (!self.looks.is_empty()).then(|| sum / self.looks.len() as f64)
        };
        report.rounded(
            "baseline_hot_row_per_s",
            mean(Look::hot),
            0,
            "pgbench, one order a transaction on one hot row, best of 1 and 16 clients",
        );
        report.rounded(
            "baseline_batch_per_s",
            mean(Look::batch),
            0,
            "pgbench, 100 orders a transaction, best of 1 and 2 clients",
        );
        report.rounded(
            "baseline_commit_us",
            mean(|look| look.commit_us),
            0,
            "pgbench, one row a transaction by one client, mean, µs",
        );
        let looks: Vec<_> = self
            .looks
            .iter()
            .map(|look| {
                json!({
                    "hot_row_1_client": look.one_client.round(),
                    "hot_row_16_clients": look.sixteen_clients.round(),
                    "batch_1_client": look.batch_one_client.round(),
                    "batch_2_clients": look.batch_two_clients.round(),
                    "commit_us": look.commit_us.round(),
                })
            })
            .collect();
        report.note("baseline_runs", looks);
    }

    /// Transactions a second of a script.
    async fn run(&self, script: &str, clients: u32, more: &[&str]) -> anyhow::Result<f64> {
        let file = std::env::temp_dir().join(format!("vitrine-bench-{}.sql", std::process::id()));
        fs::write(&file, script).context("a script for pgbench could not be written")?;
        let clients = clients.to_string();
        let output = Command::new(&self.pgbench)
            .arg("-n")
            .args(["-c", &clients, "-j", if clients == "1" { "1" } else { "2" }])
            .args(more)
            .arg("-f")
            .arg(&file)
            .arg("-h")
            .arg(self.postgres.socket_folder())
            .args(["-U", "vitrine", "postgres"])
            .kill_on_drop(true)
            .output()
            .await;
        let _ = fs::remove_file(&file);
        let output = output.context("pgbench could not be run")?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!(
                "pgbench failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        per_second(&text).with_context(|| format!("pgbench told no rate: {text}"))
    }
}

/// pgbench tells `tps = 2520.1 (without initial connection time)`.
fn per_second(text: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("tps = "))?;
    line.split(' ').next()?.parse().ok()
}

fn find_pgbench(beside: &Path) -> Option<PathBuf> {
    let path = kit::config::env_var("PATH").unwrap_or_default();
    std::iter::once(beside.to_owned())
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join("pgbench"))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_from_what_pgbench_tells() {
        let told = "number of transactions actually processed: 8123\nlatency average = 6.2 ms\ntps = 2520.123456 (without initial connection time)\n";
        assert_eq!(per_second(told), Some(2520.123456));
        assert_eq!(per_second("nothing"), None);
    }
}
