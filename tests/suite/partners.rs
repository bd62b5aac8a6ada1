//! Partners who write no Rust: the programs of `tests/partners`, each sale whole, over a network that keeps failing.

mod network;
mod programs;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use contracts::common::v1::RetailerRole;
use contracts::order::v1 as order;
use kit::auth::{Claims, SigningKey};
use kit::clock::{SharedClock, SystemClock};
use kit::ids::SystemIds;
use prost::Message;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio_util::sync::CancellationToken;
use vitrine::sandbox::{self, Partner, Sandbox};

use crate::topology::Running;
use crate::{raw, shop};
use network::Network;
use programs::Program;

/// Longer than any of the programs takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the network fails for a program: at each of the first lines that it prints after it found the room.
const FAILURES: usize = 8;

/// A suite with a sandbox, and a network between it and the partner.
struct Scene {
    running: Running,
    network: Network,
    partner: Partner,
    folder: tempfile::TempDir,
    over: CancellationToken,
    house: tokio::task::JoinHandle<()>,
}

impl Scene {
    async fn open() -> Scene {
        let running = Running::embedded().await;
        let network =
            Network::before(running.addresses.order[0].trim_start_matches("http://")).await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let endpoint = format!("http://{}", network.address());
        let sandbox = sandbox(&running, &endpoint, folder.path()).await;
        let over = CancellationToken::new();
        let partner = sandbox.partner.clone();
        let house = kit::spawn("sandbox", sandbox.work(over.clone()));
        Scene {
            running,
            network,
            partner,
            folder,
            over,
            house,
        }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("partner.json")
    }

    fn start(&self, program: &Program, script: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut child = program
            .command(script, &self.file())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the interpreter starts");
        let said = BufReader::new(child.stdout.take().expect("piped")).lines();
        (child, said)
    }

    /// What a program says, line by line; it has to end well. The network fails as often as told.
    async fn run(&self, program: &Program, script: &str, failures: usize) -> Vec<String> {
        let (child, mut said) = self.start(program, script);
        let mut lines = Vec::new();
        let mut failed = 0;
        let reading = async {
            while let Some(line) = said.next_line().await.expect("text") {
                if failed < failures && !line.starts_with("may sell") {
                    self.network.fail();
                    failed += 1;
                }
                lines.push(line);
            }
            child.wait_with_output().await.expect("it ends")
        };
        let ended = tokio::time::timeout(PATIENCE, reading).await;
        let told = lines.join("\n");
        let ended = ended.unwrap_or_else(|_| panic!("{script} did not end in time:\n{told}"));
        assert!(
            ended.status.success(),
            "{script} failed:\n{told}\n{}",
            String::from_utf8_lossy(&ended.stderr)
        );
        assert_eq!(failed, failures, "{told}");
        lines
    }

    /// What a program says until it is killed, at the first line that has this text.
    async fn run_until_killed(&self, program: &Program, at: &str) -> Vec<String> {
        let (mut child, mut said) = self.start(program, "partner");
        let mut lines = Vec::new();
        let reading = async {
            while let Some(line) = said.next_line().await.expect("text") {
                lines.push(line);
                if lines.last().is_some_and(|l| l.contains(at)) {
                    return child.kill().await.expect("it can be killed");
                }
            }
        };
        let ended = tokio::time::timeout(PATIENCE, reading).await;
        let told = lines.join("\n");
        assert!(
            ended.is_ok() && told.contains(at),
            "{at} was not said:\n{told}"
        );
        lines
    }

    async fn ask<Q: Message, A: Message + Default>(&self, method: &str, request: Q) -> A {
        let staff = Claims::retailer("test", &[RetailerRole::Ops]);
        let channel = raw::connect(&self.running.addresses.order).await;
        let path = format!("/vitrine.order.v1.OrderService/{method}");
        shop::ask(&channel, &self.running.token(staff), &path, &request)
            .await
            .expect("an answer")
    }

    /// However often the partner's calls were made, each was done once, and nothing was left undone.
    async fn assert_books(&self, sales: usize) {
        let partner_id = self.partner.partner_id.clone();
        let request = order::ListOrdersRequest {
            partner_id: partner_id.clone(),
            ..Default::default()
        };
        let orders: order::ListOrdersResponse = self.ask("ListOrders", request).await;
        let request = order::ListRefundsRequest {
            partner_id,
            ..Default::default()
        };
        let refunds: order::ListRefundsResponse = self.ask("ListRefunds", request).await;
        assert_eq!((orders.orders.len(), refunds.refunds.len()), (sales, sales));
        for order in &orders.orders {
            assert_eq!(
                (order.fulfillment_state(), order.payment_state()),
                (
                    order::FulfillmentState::Delivered,
                    order::PaymentState::Refunded
                ),
                "{order:?}"
            );
        }
        let executed = |r: &order::Refund| r.state() == order::RefundState::Executed;
        assert!(refunds.refunds.iter().all(executed), "{refunds:?}");
    }

    async fn close(self) {
        self.over.cancel();
        self.house.await.expect("the house ends");
        self.running.stop().await;
    }
}

async fn sandbox(running: &Running, endpoint: &str, folder: &Path) -> Sandbox {
    let clock: SharedClock = Arc::new(SystemClock);
    let options = sandbox::Options {
        address: running.addresses.order[0].clone(),
        endpoint: endpoint.into(),
        folder: folder.into(),
        signer: running.signer(),
        payment_key: SigningKey::from_seed(&[7; 32]),
        ids: Arc::new(SystemIds::new(clock)),
    };
    Sandbox::open(options)
        .await
        .unwrap_or_else(|e| panic!("no sandbox: {e:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_goes_on_where_it_was() {
    let running = Running::embedded().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = sandbox(&running, "http://a", folder.path()).await.partner;
    let again = sandbox(&running, "http://a", folder.path()).await.partner;
    assert_eq!(first, again, "the same partner, in the same room");
    // Its folder is gone: another partner.
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let other = sandbox(&running, "http://a", elsewhere.path())
        .await
        .partner;
    assert_ne!(first.partner_id, other.partner_id);
    running.stop().await;
}

/// Positions of the feed as a program printed them.
fn positions(lines: &[String]) -> Vec<u64> {
    let entry = |line: &String| {
        line.strip_prefix("feed")
            .map(str::trim_start)
            .map(str::to_owned)
    };
    lines
        .iter()
        .filter_map(entry)
        .map(|rest| {
            rest.split_whitespace()
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or_else(|| panic!("a feed line begins with a position: {rest}"))
        })
        .collect()
}

fn count(lines: &[String], beginning: &str) -> usize {
    lines.iter().filter(|l| l.starts_with(beginning)).count()
}

/// One sale over a failing network, and another by a program that goes on where the first ended.
async fn sells(program: Option<Program>) {
    let Some(program) = program else { return };
    let scene = Scene::open().await;
    let first = scene.run(&program, "partner", FAILURES).await;
    let second = scene.run(&program, "partner", 0).await;

    let told = first.join("\n");
    assert!(
        count(&first, "may sell") == 3 && count(&first, "done") == 1,
        "{told}"
    );
    assert!(
        count(&first, "stream   broke") > 0,
        "no stream was cut:\n{told}"
    );
    assert!(
        first.iter().any(|l| l.contains("SNAPSHOT")),
        "no room was seen:\n{told}"
    );
    let seen: Vec<u64> = positions(&first)
        .into_iter()
        .chain(positions(&second))
        .collect();
    let wanted: Vec<u64> = (1..=seen.len() as u64).collect();
    assert_eq!(seen, wanted, "{told}\n{}", second.join("\n"));

    scene.assert_books(2).await;
    scene.close().await;
}

/// A program that is killed when it hears of a refund, before or while it pays back, and is started again.
async fn survives(program: Option<Program>) {
    let Some(program) = program else { return };
    let scene = Scene::open().await;
    let killed = scene
        .run_until_killed(&program, "REFUND_STATE_AUTHORISED")
        .await;
    let again = scene.run(&program, "partner", 0).await;
    // The entry that it was killed at is told again, and nothing else.
    let (before, after) = (positions(&killed), positions(&again));
    let last = before.last().copied().unwrap_or_default();
    assert_eq!(before, (1..=last).collect::<Vec<u64>>());
    assert!(
        after.first().is_some_and(|n| [last, last + 1].contains(n)),
        "{again:?}"
    );
    scene.assert_books(2).await;
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_in_python_survives_a_kill() {
    survives(programs::python()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_in_node_survives_a_kill() {
    survives(programs::node()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_in_python_sells() {
    sells(programs::python()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_in_node_sells() {
    sells(programs::node()).await;
}

/// A dispute from the shopper's first words to the refund that an arbiter decided, over a failing network.
async fn disputes(program: Option<Program>) {
    let Some(program) = program else { return };
    let scene = Scene::open().await;
    let lines = scene.run(&program, "dispute", FAILURES).await;
    let told = lines.join("\n");
    for wanted in [
        "case     is a CASE_LEVEL_GRIEVANCE",
        "case     is a CASE_LEVEL_DISPUTE",
        "case     CASE_CHANGE_ARBITER_NAMED, next: CASE_PARTY_ARBITER",
        "decided  CASE_RULING_FOR_SHOPPER",
        "outcome  CASE_OUTCOME_KIND_REFUND",
        "case     CASE_STATE_CLOSED",
        "refused  CASE_CLOSED",
        "done ",
    ] {
        assert_eq!(count(&lines, wanted), 1, "{wanted}:\n{told}");
    }
    scene.assert_books(1).await;
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_in_python_plays_a_dispute() {
    disputes(programs::python()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_in_node_plays_a_dispute() {
    disputes(programs::node()).await;
}

/// What the libraries of other languages make of deadlines, silence and errors.
async fn understands(program: Option<Program>) {
    let Some(program) = program else { return };
    let scene = Scene::open().await;
    let lines = scene.run(&program, "checks", 0).await;
    assert!(count(&lines, "ok") >= 7, "{}", lines.join("\n"));
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_understands_errors_and_deadlines() {
    understands(programs::python()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_understands_errors_and_deadlines() {
    understands(programs::node()).await;
}

#[test]
fn no_lock_file_names_a_registry() {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("partners/node/package-lock.json");
    let text = std::fs::read_to_string(lock).expect("the lock file");
    assert!(
        !text.contains("\"resolved\""),
        "write it with omit-lockfile-registry-resolved"
    );
}
