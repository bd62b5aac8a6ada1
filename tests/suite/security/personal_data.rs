//! Personal data stands nowhere in readable form: not in database files, write-ahead logs or dumps, not in logs,
//! refusals, feeds or the audit. Once its key is destroyed nobody reads it, from a backup neither.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::common::v1::{ErasureState, RetailerRole, ShopperErasure};
use contracts::fulfillment::v1 as fulfillment;
use contracts::order::v1 as order;
use contracts::order::v1::contact::Form;
use kit::auth::Claims;
use prost::Message;
use tonic::Status;
use tonic::transport::Channel;

use crate::raw;
use crate::shop::{Shop, ask};
use crate::topology::Running;

/// Every marker begins so, and nothing else in the world does.
const MARK: &str = "mkrzq";
/// The same for telephone numbers, which are digits.
const PHONE: &str = "+3399977701";
/// How many markers there are to be.
const MARKERS: usize = 10_000;
/// Markers in a long text.
const PER_TEXT: usize = 150;

const ORDER: &str = "/vitrine.order.v1.OrderService";
const CARE: &str = "/vitrine.fulfillment.v1.CareService";

/// Makes markers, each once.
#[derive(Default)]
struct Marks(usize);

impl Marks {
    fn one(&mut self) -> String {
        self.0 += 1;
        format!("{MARK}{:05}", self.0)
    }

    fn phone(&mut self) -> String {
        self.0 += 1;
        format!("{PHONE}{:05}", self.0)
    }

    fn text(&mut self, count: usize) -> String {
        let mut text = String::new();
        for _ in 0..count {
            write!(text, "{} ", self.one()).expect("memory");
        }
        text.trim_end().to_owned()
    }

    fn plain(&mut self) -> order::Contact {
        let plain = order::PlainContact {
            recipient_name: self.text(10),
            phone_number: self.phone(),
            address_lines: (0..6).map(|_| self.text(10)).collect(),
            locality: self.text(8),
            postal_code: self.one(),
            region_code: "FR".into(),
        };
        order::Contact {
            form: Some(Form::Plain(plain)),
        }
    }

    fn token(&mut self) -> order::Contact {
        let token = order::TokenContact {
            token: self.text(80),
            masked_text: self.text(20),
            region_code: "FR".into(),
        };
        order::Contact {
            form: Some(Form::Token(token)),
        }
    }
}

/// Whether bytes hold a marker.
fn is_marked(bytes: &[u8]) -> bool {
    [MARK, &PHONE[1..]].iter().any(|mark| {
        bytes
            .windows(mark.len())
            .any(|window| window == mark.as_bytes())
    })
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Records what this process logs, with the fields of its spans, which are what is traced.
    fn start() -> Log {
        let log = Log::default();
        let to = log.clone();
        let recorder = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || to.clone());
        // Where another test of this process has one already, its lines are not ours to read.
        let _ = recorder.try_init();
        log
    }

    fn bytes(&self) -> Vec<u8> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The people of the test, and what they were told when they were refused.
struct Play {
    shop: Shop,
    care: Channel,
    agent: String,
    refusals: Vec<Status>,
    marks: Marks,
}

impl Play {
    async fn open(running: &Running) -> Play {
        let shop = Shop::open(running, 100).await;
        shop.until_on_sale().await;
        Play {
            shop,
            care: raw::connect(&running.addresses.fulfillment).await,
            agent: running.token(Claims::retailer(
                "ann",
                &[RetailerRole::Ops, RetailerRole::Care],
            )),
            refusals: Vec::new(),
            marks: Marks::default(),
        }
    }

    async fn set(&mut self, order_id: &str, contact: order::Contact) {
        let request = order::SetContactRequest {
            request_id: format!("c-{}", self.marks.0),
            order_id: order_id.into(),
            contact: Some(contact),
        };
        let path = format!("{ORDER}/SetContact");
        let done: Result<order::SetContactResponse, Status> =
            ask(&self.shop.order, &self.shop.partner, &path, &request).await;
        done.expect("set");
    }

    async fn refused<Q: Message>(&mut self, channel: &Channel, path: &str, request: Q) {
        let token = self.shop.partner.clone();
        let answer = raw::call(channel, path, Some(&token), request.encode_to_vec()).await;
        self.refusals.push(answer.expect_err("a refusal"));
    }

    fn opening(&mut self, order: &order::Order) -> fulfillment::OpenCaseRequest {
        fulfillment::OpenCaseRequest {
            request_id: format!("o-{}", self.marks.0),
            shopper_ref: order.shopper_ref.clone(),
            category: fulfillment::CaseCategory::Other.into(),
            message: Some(fulfillment::CaseMessageDraft {
                text: self.marks.text(PER_TEXT),
                visibility: fulfillment::MessageVisibility::ShopperAndAll.into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    async fn talk(&mut self, order: &order::Order) -> String {
        let opening = self.opening(order);
        let path = format!("{CARE}/OpenCase");
        let opened: fulfillment::OpenCaseResponse =
            ask(&self.care, &self.shop.partner, &path, &opening)
                .await
                .expect("opened");
        let case_id = opened.care_case.expect("the case").case_id;
        for _ in 0..8 {
            let request = fulfillment::PostMessageRequest {
                request_id: format!("m-{}", self.marks.0),
                case_id: case_id.clone(),
                message: Some(fulfillment::CaseMessageDraft {
                    text: self.marks.text(PER_TEXT),
                    visibility: fulfillment::MessageVisibility::ShopperAndAll.into(),
                    ..Default::default()
                }),
                ..Default::default()
            };
            let path = format!("{CARE}/PostMessage");
            let posted: Result<fulfillment::PostMessageResponse, Status> =
                ask(&self.care, &self.shop.partner, &path, &request).await;
            posted.expect("posted");
        }
        case_id
    }

    /// A dispute with an arbiter and a decision.
    async fn dispute(&mut self, case_id: &str) {
        let escalate = fulfillment::EscalateCaseRequest {
            request_id: format!("e-{case_id}"),
            case_id: case_id.into(),
            level: fulfillment::CaseLevel::Dispute.into(),
            reason: "not content".into(),
            ..Default::default()
        };
        let path = format!("{CARE}/EscalateCase");
        let _: fulfillment::EscalateCaseResponse = ask(&self.care, &self.agent, &path, &escalate)
            .await
            .expect("escalated");
        let name = fulfillment::NameArbiterRequest {
            request_id: format!("n-{case_id}"),
            case_id: case_id.into(),
            arbiter: Some(fulfillment::CaseArbiter {
                display_name: self.marks.text(10),
                organisation: "Chamber".into(),
                subject: String::new(),
            }),
            ..Default::default()
        };
        let path = format!("{CARE}/NameArbiter");
        let _: fulfillment::NameArbiterResponse = ask(&self.care, &self.agent, &path, &name)
            .await
            .expect("named");
        let decide = fulfillment::DecideDisputeRequest {
            request_id: format!("d-{case_id}"),
            case_id: case_id.into(),
            decision: Some(fulfillment::CaseDecision {
                ruling: fulfillment::CaseRuling::ForRetailer.into(),
                reason: self.marks.text(PER_TEXT),
                document: Some(fulfillment::CaseAttachment {
                    attachment_reference: "doc-1".into(),
                    sha256_digest: "a".repeat(64),
                    media_type: "application/pdf".into(),
                    size_bytes: 10,
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let path = format!("{CARE}/DecideDispute");
        let _: fulfillment::DecideDisputeResponse = ask(&self.care, &self.agent, &path, &decide)
            .await
            .expect("decided");
    }

    /// Calls that are refused with personal data in them.
    async fn fail(&mut self, order: &order::Order) {
        let (order_channel, care) = (self.shop.order.clone(), self.care.clone());
        let mut elsewhere = self.marks.plain();
        if let Some(Form::Plain(plain)) = &mut elsewhere.form {
            plain.region_code = "DE".into();
        }
        let mut wrong = self.marks.plain();
        if let Some(Form::Plain(plain)) = &mut wrong.form {
            plain.recipient_name = self.marks.text(60);
            plain.phone_number = self.marks.one();
            plain.postal_code = self.marks.text(10);
            plain.address_lines = vec![format!("{}\0", self.marks.one()); 9];
        }
        let long = order::TokenContact {
            token: self.marks.text(200),
            masked_text: self.marks.text(90),
            region_code: self.marks.one(),
        };
        let contacts = [
            elsewhere,
            wrong,
            order::Contact {
                form: Some(Form::Token(long)),
            },
        ];
        for (at, contact) in contacts.into_iter().enumerate() {
            let request = order::SetContactRequest {
                request_id: format!("f-{at}"),
                order_id: order.order_id.clone(),
                contact: Some(contact),
            };
            self.refused(&order_channel, &format!("{ORDER}/SetContact"), request)
                .await;
        }
        let mut opening = self.opening(order);
        opening.shopper_ref = String::new();
        self.refused(&care, &format!("{CARE}/OpenCase"), opening)
            .await;
        let note = fulfillment::RequestReturnRequest {
            request_id: "r".into(),
            order_id: order.order_id.clone(),
            kind: fulfillment::ReturnKind::ReturnAndRefund.into(),
            shopper_note: self.marks.text(60),
            ..Default::default()
        };
        let path = "/vitrine.fulfillment.v1.ReturnService/RequestReturn";
        self.refused(&care, path, note).await;
    }

    async fn contact(&self, order_id: &str) -> Result<order::GetContactResponse, Status> {
        let request = order::GetContactRequest {
            order_id: order_id.into(),
            purpose: "test".into(),
        };
        ask(
            &self.shop.order,
            &self.agent,
            &format!("{ORDER}/GetContact"),
            &request,
        )
        .await
    }

    async fn said(&self, case_id: &str) -> Vec<fulfillment::CaseMessage> {
        let request = fulfillment::ListMessagesRequest {
            case_id: case_id.into(),
            page_size: 100,
            purpose: "test".into(),
            ..Default::default()
        };
        let path = format!("{CARE}/ListMessages");
        let answer: fulfillment::ListMessagesResponse =
            ask(&self.care, &self.agent, &path, &request)
                .await
                .expect("read");
        answer.messages
    }

    async fn erasure(
        &self,
        channel: &Channel,
        service: &str,
        of: &order::Order,
    ) -> Option<ShopperErasure> {
        let request = order::GetErasureRequest {
            partner_id: String::new(),
            shopper_ref: of.shopper_ref.clone(),
        };
        let path = format!("/vitrine.{service}.v1.PrivacyService/GetErasure");
        let answer: Result<order::GetErasureResponse, Status> =
            ask(channel, &self.shop.partner, &path, &request).await;
        answer.ok()?.erasure
    }

    async fn erase(&self, of: &order::Order) {
        let request = order::EraseShopperRequest {
            request_id: format!("erase-{}", of.shopper_ref),
            partner_id: String::new(),
            shopper_ref: of.shopper_ref.clone(),
        };
        let path = "/vitrine.order.v1.PrivacyService/EraseShopper";
        let asked: order::EraseShopperResponse =
            ask(&self.shop.order, &self.shop.partner, path, &request)
                .await
                .expect("asked");
        assert_eq!(asked.erasure.expect("told").fields.len(), 1);
    }

    async fn until_erased(
        &self,
        channel: &Channel,
        service: &str,
        of: &order::Order,
        fields: usize,
    ) {
        let erased = testkit::eventually_async(Duration::from_secs(20), || async {
            let told = self.erasure(channel, service, of).await;
            told.is_some_and(|told| {
                let erased = told
                    .fields
                    .iter()
                    .filter(|f| f.state() == ErasureState::Erased);
                erased.count() == fields
            })
        });
        assert!(
            erased.await,
            "{:?}",
            self.erasure(channel, service, of).await
        );
    }

    /// Everything that follows feeds reads.
    async fn feeds(&self) -> Vec<Vec<u8>> {
        let list = order::ListOrderFeedRequest {
            cursor: String::new(),
            page_size: 500,
        };
        let path = "/vitrine.order.v1.OrderFeedService/ListOrderFeed";
        let orders = raw::call(
            &self.shop.order,
            path,
            Some(&self.shop.partner),
            list.encode_to_vec(),
        );
        let list = fulfillment::ListFulfillmentFeedRequest {
            cursor: String::new(),
            page_size: 500,
        };
        let path = "/vitrine.fulfillment.v1.FulfillmentFeedService/ListFulfillmentFeed";
        let goods = raw::call(
            &self.care,
            path,
            Some(&self.shop.partner),
            list.encode_to_vec(),
        );
        vec![
            orders.await.expect("the feed"),
            goods.await.expect("the feed"),
        ]
    }
}

/// The orders of the test with contact data, and the case of each.
type Held = Vec<(order::Order, String)>;

/// Fills the suite with markers, and looks for them wherever callers, readers of feeds and of logs look.
async fn fill(play: &mut Play, log: &Log) -> Held {
    let mut held = Vec::new();
    let mut at = 0;
    while play.marks.0 < MARKERS {
        at += 1;
        let placed = play.shop.place(&format!("o-{at}")).await.expect("placed");
        let order = play.shop.order(&placed.order_id).await.expect("the order");
        let plain = play.marks.plain();
        play.set(&order.order_id, plain).await;
        if at % 2 == 0 {
            let token = play.marks.token();
            play.set(&order.order_id, token).await;
        }
        let case_id = play.talk(&order).await;
        held.push((order, case_id));
    }
    let disputed = held[0].1.clone();
    play.dispute(&disputed).await;
    let order = held[0].0.clone();
    play.fail(&order).await;
    for (order, case_id) in &held {
        let found = play
            .contact(&order.order_id)
            .await
            .expect("readable")
            .encode_to_vec();
        assert!(is_marked(&found), "it can be read by those who may");
        let said = play.said(case_id).await;
        assert!(said.len() == 9 && said.iter().all(|one| is_marked(one.text.as_bytes())));
    }
    assert!(play.marks.0 >= MARKERS);
    for status in &play.refusals {
        let shown = format!("{status:?}");
        assert!(
            !is_marked(shown.as_bytes()) && !is_marked(status.details()),
            "{shown}"
        );
    }
    assert!(
        play.feeds().await.iter().all(|feed| !is_marked(feed)),
        "a feed tells"
    );
    assert!(!is_marked(&log.bytes()), "a log line tells");
    held
}

/// Files in a folder, whatever depth, that hold a marker. With grep, because it is many megabytes.
fn marked_files(folder: &Path) -> Vec<String> {
    let found = Command::new("grep")
        .args(["-rlaF", "-e", MARK, "-e", &PHONE[1..]])
        .arg(folder)
        .output()
        .expect("grep runs");
    // 1 is that nothing was found; 2 that a file went away meanwhile.
    let listed = String::from_utf8_lossy(&found.stdout);
    listed.lines().map(str::to_owned).collect()
}

async fn cancel(play: &Play, order: &order::Order) {
    let cancel = order::CancelOrderRequest {
        request_id: format!("x-{}", order.order_id),
        order_id: order.order_id.clone(),
        lines: Vec::new(),
        reason: order::CancelReason::ShopperRequest.into(),
    };
    let path = format!("{ORDER}/CancelOrder");
    let _: order::CancelOrderResponse = ask(&play.shop.order, &play.shop.partner, &path, &cancel)
        .await
        .expect("cancelled");
}

fn brisk(config: &mut vitrine::config::VitrineConfig) {
    config.sealing.limits.erase_interval_ms = 20;
    config.sealing.limits.erase_retry_s = 1;
}

fn copy(from: &Path, to: &Path, name: &str) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("listed").flatten() {
        let file = entry.file_name();
        if file.to_string_lossy().starts_with(name) {
            std::fs::copy(entry.path(), to.join(&file)).expect("copied");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn is_in_no_file_and_unreadable_after_erasure_from_a_backup_too() {
    let log = Log::start();
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let start = || {
        let data = data.clone();
        Running::embedded_with(move |config| {
            config.data_dir = data;
            brisk(config);
        })
    };
    let running = start().await;
    let mut play = Play::open(&running).await;
    let held = fill(&mut play, &log).await;
    assert_eq!(
        marked_files(&data),
        Vec::<String>::new(),
        "while it runs, the logs of writes included"
    );

    // One shopper is erased, the others are not. What is open defers it, and it follows by itself.
    let (gone, gone_case) = &held[1];
    let (kept, _) = &held[2];
    let stock = play.shop.allotment().await;
    play.erase(gone).await;
    let told = play
        .erasure(&play.shop.order, "order", gone)
        .await
        .expect("told");
    assert_eq!(told.fields[0].state(), ErasureState::Deferred);
    assert!(
        play.contact(&gone.order_id).await.is_ok(),
        "an open order needs it"
    );
    // A backup from before.
    let backup = folder.path().join("backup");
    copy(&data, &backup, "order.db");
    cancel(&play, gone).await;
    let orders = play.shop.orders().await;
    play.until_erased(&play.shop.order, "order", gone, 1).await;
    let refused = play.contact(&gone.order_id).await.expect_err("gone");
    assert_eq!(refused.code(), tonic::Code::NotFound);
    assert!(
        play.contact(&kept.order_id).await.is_ok(),
        "another shopper's stays"
    );
    assert_eq!(
        play.shop.orders().await,
        orders,
        "orders and money stay as they are"
    );
    let after = play.shop.allotment().await;
    assert_eq!((stock.supplied, stock.sold), (after.supplied, after.sold));
    // Their case is open, so what they said stays until it is closed.
    let told = play.erasure(&play.care, "fulfillment", gone).await;
    assert!(told.is_some_and(|told| told.fields.len() == 2));
    assert!(
        play.said(gone_case)
            .await
            .iter()
            .all(|one| is_marked(one.text.as_bytes()))
    );
    running.stop().await;

    // The backup is restored, with the keys of today.
    copy(&backup, &data, "order.db");
    let running = start().await;
    play.shop.order = raw::connect(&running.addresses.order).await;
    play.agent = running.token(Claims::retailer(
        "ann",
        &[RetailerRole::Ops, RetailerRole::Care],
    ));
    let refused = play
        .contact(&gone.order_id)
        .await
        .expect_err("its key is destroyed");
    assert_eq!(refused.code(), tonic::Code::NotFound);
    assert!(play.contact(&kept.order_id).await.is_ok());
    running.stop().await;
    assert_eq!(marked_files(&data), Vec::<String>::new());
    assert!(!is_marked(&log.bytes()));
}

#[test]
fn is_in_no_file_and_no_dump_of_postgresql() {
    testkit::run(
        testkit::Engine::Postgres,
        testkit::Setup::new(),
        |database| async move {
            let log = Log::start();
            let place = database.config().clone();
            let running = Running::four_with(|_| place.clone(), brisk).await;
            let mut play = Play::open(&running).await;
            let held = fill(&mut play, &log).await;
            let (gone, _) = &held[1];
            play.erase(gone).await;
            cancel(&play, gone).await;
            play.until_erased(&play.shop.order, "order", gone, 1).await;
            assert!(play.contact(&gone.order_id).await.is_err());
            dumped(database.owner_url()).await;
            running.stop().await;
            assert!(!is_marked(&log.bytes()));
        },
    );
}

/// Looks through a dump, and the server's folder where that is on this machine.
async fn dumped(url: &str) {
    use sqlx::{Connection, Executor};
    let mut server = sqlx::PgConnection::connect(url)
        .await
        .expect("a connection");
    server.execute("CHECKPOINT").await.expect("written down");
    let (folder,): (String,) = sqlx::query_as("SELECT current_setting('data_directory')")
        .fetch_one(&mut server)
        .await
        .expect("its folder");
    server.close().await.expect("closed");
    assert_eq!(marked_files(Path::new(&folder)), Vec::<String>::new());
    let program = store::private::programs().map(|folder| folder.join("pg_dump"));
    if let Some(program) = program.filter(|program| program.exists()) {
        let dump = Command::new(program)
            .arg(url)
            .output()
            .expect("pg_dump runs");
        assert!(
            dump.status.success(),
            "{}",
            String::from_utf8_lossy(&dump.stderr)
        );
        assert!(
            dump.stdout.len() > 10_000 && !is_marked(&dump.stdout),
            "the dump tells"
        );
    }
}
