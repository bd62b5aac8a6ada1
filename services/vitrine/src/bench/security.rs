//! What safety costs: the same load with everything that can be left out left out, and with all of it, in turns.
//!
//! Off is plaintext, a token that anybody could use who had it, and tables without row-level security. On is TLS with
//! a certificate of the client, tokens bound to that certificate, the policies of PostgreSQL, and signed checkpoints
//! of the audit trail. Everything else, such as sealed personal data and signed payments, is part of both, because it
//! cannot be left out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, crypto};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;

use super::calls::Calls;
use super::house::{Engine, House};
use super::load::{Arrivals, Plan, drive};
use super::record::Step;
use super::report::Report;
use super::shop::{Article, ENDLESS, Goods, Shop, bound_bearer};
use super::traffic::{Shoppers, back_off};
use super::usage::fdatasync_us;
use super::wire::Lines;
use super::{Bench, Common};

/// Off and on in turns, so that a machine that becomes slower or quicker meanwhile favours neither.
const TURNS: [bool; 4] = [false, true, true, false];
const HOLD_S: i64 = 1_800;
const WINDOW: Duration = Duration::from_secs(3);

/// `vitrine bench security`.
#[derive(Clone, Debug, Args)]
pub struct SecurityArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// How long each of the eight runs measures, after its warm-up [default: 6; 1 with --quick].
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Calls under way at the same time [default: 1024; 16 with --quick].
    #[arg(long)]
    in_flight: Option<usize>,
}

impl SecurityArgs {
    fn length(&self) -> Duration {
        let usual = if self.common.quick { 1.0 } else { 6.0 };
        Duration::from_secs_f64(self.seconds.unwrap_or(usual).max(0.5))
    }

    fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(if self.common.quick { 0.25 } else { 2.0 })
    }

    fn in_flight(&self) -> usize {
        self.in_flight
            .unwrap_or(if self.common.quick { 16 } else { 1_024 })
            .max(1)
    }
}

/// An authority's certificate, the server's and the client's, made for one run.
struct Certificates {
    settings: Vec<String>,
    connector: TlsConnector,
    /// SHA-256 of the client's certificate, to which its tokens are bound.
    client: [u8; 32],
}

impl Certificates {
    fn make(folder: &Path) -> anyhow::Result<Certificates> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        let root = authority.self_signed(&key)?;
        let issuer = Issuer::new(authority, key);
        let issued = |name: &str| -> anyhow::Result<(rcgen::Certificate, KeyPair)> {
            let key = KeyPair::generate()?;
            let params = CertificateParams::new(vec![name.to_owned()])?;
            Ok((params.signed_by(&key, &issuer)?, key))
        };
        let (server, server_key) = issued("127.0.0.1")?;
        let (client, client_key) = issued("bench.partner.example")?;
        let write = |name: &str, pem: String| -> anyhow::Result<PathBuf> {
            let file = folder.join(name);
            fs::write(&file, pem).context("a certificate could not be written")?;
            Ok(file)
        };
        let files = [
            ("cert_file", write("server.pem", server.pem())?),
            ("key_file", write("server.key", server_key.serialize_pem())?),
            ("client_ca_file", write("authority.pem", root.pem())?),
        ];
        let mut settings: Vec<String> = files
            .iter()
            .map(|(name, file)| format!("server.tls.{name}={}", file.display()))
            .collect();
        settings.push("server.tls.client_auth=required".into());
        settings.push("auth.require_certificate_binding=true".into());
        let trails = folder.join("checkpoints");
        settings.push(format!("audit.checkpoint_dir={}", trails.display()));
        settings.push("audit.checkpoint_interval_s=1".into());

        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone())?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(client_key.serialize_der()));
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![client.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Certificates {
            settings,
            connector: TlsConnector::from(Arc::new(config)),
            client: Sha256::digest(client.der()).into(),
        })
    }
}

/// Runs it.
pub async fn run(bench: &Bench, args: &SecurityArgs) -> anyhow::Result<Report> {
    ensure!(
        args.common.connect.is_empty(),
        "security sets up the order service itself, with and without: leave out --connect"
    );
    let house = bench.house(&[], &[])?;
    let mut report = Report::new(bench, "security", &house);
    report.rounded(
        "fdatasync_us",
        Some(fdatasync_us(house.disk())?),
        0,
        "median of one 8 KiB write and flush, µs",
    );
    bench.say("making what is for sale");
    let goods = Goods {
        partners: 1,
        articles: vec![Article {
            units: ENDLESS,
            sold_by: vec![0],
        }],
    };
    let shop = Shop::prepare(&house, &goods).await?;
    let certificates = Certificates::make(house.disk())?;
    let mut run = Run {
        bench,
        args,
        house,
        shop,
        certificates,
        report,
        rates: [[0.0; 2]; 2],
    };
    for (turn, on) in TURNS.into_iter().enumerate() {
        run.turn(turn, on).await?;
    }
    run.tell();
    Ok(run.report)
}

struct Run<'a> {
    bench: &'a Bench,
    args: &'a SecurityArgs,
    house: House,
    shop: Shop,
    certificates: Certificates,
    report: Report,
    /// Holds and complete orders a second, without and with; sums of the turns.
    rates: [[f64; 2]; 2],
}

impl Run<'_> {
    async fn turn(&mut self, turn: usize, on: bool) -> anyhow::Result<()> {
        let mut settings = self.bench.settings.clone();
        if on {
            settings.extend_from_slice(&self.certificates.settings);
        }
        policies(&self.house, on)?;
        self.house.restart_orders(settings)?;
        let word = if on { "on" } else { "off" };
        for (n, step) in [Step::Place, Step::Confirm].into_iter().enumerate() {
            let rate = self.rate(&format!("{word}_{turn}_{n}"), step, on).await?;
            self.bench.say(&format!(
                "{word}: {rate:.0} {} a second",
                ["holds", "complete orders"][n]
            ));
            self.rates[n][usize::from(on)] += rate;
        }
        Ok(())
    }

    async fn rate(&mut self, mark: &str, step: Step, on: bool) -> anyhow::Result<f64> {
        let connector = on.then(|| self.certificates.connector.clone());
        let connections = self.bench.common.connections;
        let lines = Lines::open_with(&self.house.addresses.order, connections, connector).await?;
        let (warm_up, length) = (self.args.warm_up(), self.args.length());
        let partner = &self.shop.partners[0];
        let listing = self.shop.articles[0].listings[0].1.as_str();
        let mut calls = Calls::new(&lines, partner, listing, Some(HOLD_S));
        if on {
            calls = calls.with_bearer(bound_bearer(
                &self.house,
                &partner.id,
                &self.certificates.client,
            )?);
        }
        let shoppers = Shoppers::new(calls, &self.bench.recorder(warm_up), mark);
        let in_flight = self.args.in_flight();
        let length = warm_up + length;
        let plan = Plan::new(Arrivals::Saturating { in_flight }, warm_up, length);
        let before = self.house.usage();
        let driven = drive(&plan, |n, due| {
            let shoppers = shoppers.clone();
            async move {
                match step {
                    Step::Place => back_off(&shoppers.hold(n, due).await).await,
                    _ => back_off(&shoppers.buy(n, due).await).await,
                }
            }
        })
        .await;
        let used = self.house.usage().since(&before);
        let rate = shoppers.record.borrow().peak_per_s(step, WINDOW, length);
        let left = driven.left;
        let (refused, mixed_up) = (shoppers.tally.not_paid.get(), shoppers.tally.mixed_up.get());
        self.report.must(left == 0, || {
            format!("{mark}: {left} shoppers had no answer within 30 s")
        });
        self.report.must(refused == 0 && mixed_up == 0, || {
            format!("{mark}: {refused} payments in time were not taken, {mixed_up} callers were given another's answer")
        });
        let count = match step {
            Step::Place => shoppers.tally.held.get(),
            _ => shoppers.tally.paid.get(),
        };
        self.report
            .must(count > 0, || format!("{mark}: nothing was done at all"));
        self.report
            .phase(self.bench, mark, shoppers.record, &used, count);
        Ok(rate)
    }

    fn tell(&mut self) {
        let turns = TURNS.len() as f64 / 2.0;
        let names = [
            (
                ["holds_off_per_s", "holds_on_per_s"],
                "ratio_holds_on_to_off",
            ),
            (
                ["orders_off_per_s", "orders_on_per_s"],
                "ratio_orders_on_to_off",
            ),
        ];
        for (n, (names, ratio)) in names.into_iter().enumerate() {
            let [off, on] = self.rates[n];
            let meanings = [
                "in plaintext, tables without policies",
                "TLS with clients' certificates, bound tokens, row-level security, checkpoints",
            ];
            for ((name, rate), meaning) in names.into_iter().zip([off, on]).zip(meanings) {
                self.report.rounded(name, Some(rate / turns), 0, meaning);
            }
            self.report.rounded(
                ratio,
                (off > 0.0).then(|| on / off),
                3,
                "the one ÷ the other",
            );
        }
        self.report.note("turns", json!(TURNS));
    }
}

/// Turns the policies of the order service's tables on or off, as the owner of the tables.
fn policies(house: &House, on: bool) -> anyhow::Result<()> {
    let Some(postgres) = &house.postgres else {
        ensure!(
            house.engine() == Engine::Sqlite,
            "whose tables have policies is only known of a PostgreSQL of our own: leave DATABASE_URL unset"
        );
        return Ok(());
    };
    let word = if on { "ENABLE" } else { "DISABLE" };
    let script = format!(
        "DO $$ DECLARE r record; BEGIN FOR r IN SELECT DISTINCT schemaname, tablename FROM pg_policies LOOP \
         EXECUTE format('ALTER TABLE %I.%I {word} ROW LEVEL SECURITY', r.schemaname, r.tablename); END LOOP; END $$"
    );
    let psql = postgres.programs().join("psql");
    let output = Command::new(psql)
        .args(["-q", "-v", "ON_ERROR_STOP=1", "-h"])
        .arg(postgres.socket_folder())
        .args(["-U", "vitrine", "-d", "postgres", "-c", &script])
        .output()
        .context("psql could not be run; it comes with PostgreSQL's programs")?;
    ensure!(
        output.status.success(),
        "the policies could not be changed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
