//! The service behind its layers, people with tokens, and short ways to make things.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use contracts::common::v1::{Audience, RetailerRole, Window};
use contracts::id::{OutletId, RoomId};
use contracts::policy::Policies;
use contracts::room::v1::audience_service_client::AudienceServiceClient;
use contracts::room::v1::channel_service_client::ChannelServiceClient;
use contracts::room::v1::creator_service_client::CreatorServiceClient;
use contracts::room::v1::follow_service_client::FollowServiceClient;
use contracts::room::v1::host_service_client::HostServiceClient;
use contracts::room::v1::programme_service_client::ProgrammeServiceClient;
use contracts::room::v1::room_event::Content;
use contracts::room::v1::room_feed_service_client::RoomFeedServiceClient;
use contracts::room::v1::room_service_client::RoomServiceClient;
use contracts::room::v1::showcase_service_client::ShowcaseServiceClient;
use contracts::room::v1::*;
use kit::auth::{AuthConfig, Claims, ServiceTokens, SigningKey, TokenSigner, TokenVerifier};
use kit::caller::Caller;
use kit::clock::{Clock, ManualClock};
use kit::errors::{ErrorReason, Fault, Refusal};
use kit::layers::{LayerDeps, LayersConfig, Rate, RateLimitConfig, layered};
use kit::lifecycle::{DrainConfig, Lifecycle};
use kit::telemetry::Metrics;
use kit::wire::Wire;
use room::{Config, Deps};
use store::{Operation, Tx};
use testkit::{Setup, TestDb};
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::{InterceptedService, Interceptor};
use tonic::{Request, Status, Streaming};

use crate::catalog::{FakeCatalog, outlet_id, partner_id, product_id};

/// The bound on every wait: far beyond what anything takes, so that only a hang meets it.
pub const BOUND: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

pub fn setup() -> Setup {
    Setup::new().migrations(room::migrations())
}

/// Rhythms that do not keep a test waiting.
pub fn brisk() -> Config {
    Config {
        counter_tick_ms: 5,
        tail_poll_ms: 5,
        tail_gather_ms: 0,
        flush_interval_ms: 5,
        director_poll_ms: 5,
        programme_interval_s: 1,
        ..Config::default()
    }
}

/// Adds a bearer token.
#[derive(Clone)]
pub struct Bearer(String);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = format!("Bearer {}", self.0);
        let value: MetadataValue<_> = value.parse().expect("a token is plain ASCII");
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

type Through = InterceptedService<Wire, Bearer>;

/// Somebody with a token.
#[derive(Clone)]
pub struct Hand {
    pub hosts: HostServiceClient<Through>,
    pub rooms: RoomServiceClient<Through>,
    pub showcase: ShowcaseServiceClient<Through>,
    pub audience: AudienceServiceClient<Through>,
    pub feed: RoomFeedServiceClient<Through>,
    pub channels: ChannelServiceClient<Through>,
    pub programme: ProgrammeServiceClient<Through>,
    pub creators: CreatorServiceClient<Through>,
    pub follows: FollowServiceClient<Through>,
}

/// Makes a call as somebody: `call!(hand.rooms.get_room(request))`. Answers a Result.
macro_rules! call {
    ($hand:ident.$service:ident.$method:ident($request:expr)) => {
        $hand
            .$service
            .clone()
            .$method($request)
            .await
            .map(tonic::Response::into_inner)
    };
}
pub(crate) use call;

/// A key that nobody used before.
pub fn key() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("k-{}", NEXT.fetch_add(1, Ordering::SeqCst))
}

/// Why a call was refused.
pub fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> Refusal {
    let status = answer.expect_err("a refusal");
    match Fault::from_status(&status) {
        Fault::Refused(refusal) => refusal,
        Fault::Busy {
            message,
            retry_after,
        } => {
            // The wire says more than the fault keeps.
            let reason = match status.code() {
                tonic::Code::ResourceExhausted => ErrorReason::RateLimited,
                _ => ErrorReason::Overloaded,
            };
            Refusal::new(reason, message).retry_after(retry_after)
        }
        other => panic!("no refusal: {other:?} from {status:?}"),
    }
}

/// The reason that a call was refused for.
pub fn reason<T: std::fmt::Debug>(answer: Result<T, Status>) -> ErrorReason {
    refusal(answer).reason
}

/// The fields that a call was refused for.
pub fn fields<T: std::fmt::Debug>(answer: Result<T, Status>) -> Vec<String> {
    refusal(answer)
        .violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

/// Looks again and again until it holds.
pub async fn until<F, R>(what: &str, holds: F)
where
    F: FnMut() -> R,
    R: Future<Output = bool>,
{
    assert!(
        testkit::eventually_async(BOUND, holds).await,
        "never happened: {what}"
    );
}

/// The service, served inside this process.
pub struct Server {
    pub life: Lifecycle,
    pub catalog: FakeCatalog,
    pub wire: Wire,
    pub db: store::Db,
    signer: TokenSigner,
    clock: Arc<ManualClock>,
    now: kit::clock::Micros,
}

impl Server {
    /// With two partners, 1 and 2; outlets 11 and 12 of the first, 21 of the second; products 1 to 4.
    pub async fn start(t: &TestDb) -> Server {
        Self::start_with(t, brisk()).await
    }

    pub async fn start_with(t: &TestDb, config: Config) -> Server {
        let server = Self::start_on(t, t.db.clone(), config, FakeCatalog::new()).await;
        server.furnish();
        server.caught_up().await;
        server
    }

    /// On a handle of its own and a catalogue that is there already.
    pub async fn start_on(
        t: &TestDb,
        db: store::Db,
        config: Config,
        catalog: FakeCatalog,
    ) -> Server {
        let auth = AuthConfig::default();
        let life = Lifecycle::new();
        let key = SigningKey::from_seed(&[7; 32]);
        let signer = TokenSigner::new(key, &auth, t.clock.clone(), t.ids.clone());
        let issuer = signer.issuer(&[
            Audience::Partner,
            Audience::Retailer,
            Audience::Viewer,
            Audience::Service,
        ]);
        let layers = LayerDeps {
            verifier: TokenVerifier::new(&auth, vec![issuer], t.clock.clone()),
            policies: Policies::load().expect("complete policies"),
            config: LayersConfig {
                rate_limit: no_limits(),
                ..LayersConfig::default()
            },
            clock: t.clock.clone(),
            ids: t.ids.clone(),
            metrics: Metrics::global(),
            drain: life.token(),
        };
        let mut routes = tonic::service::Routes::builder();
        catalog.add_to(&mut routes);
        let tokens = ServiceTokens::new(
            signer.clone(),
            "room",
            &["feed.read", "catalog.read"],
            &auth,
        );
        let deps = Deps {
            db: db.clone(),
            clock: t.clock.clone(),
            ids: t.ids.clone(),
            lifecycle: life.clone(),
            catalog: Wire::local(layered(routes.routes(), &layers)).authorized(tokens),
            signer: signer.clone(),
        };
        let mut parts = room::assemble(config, deps)
            .await
            .expect("it can be put together");
        life.adopt(&mut parts);
        let readiness = life.readiness().await;
        assert!(readiness.is_ready(), "{readiness}");
        let mut routes = tonic::service::Routes::builder();
        (parts.routes)(&mut routes);
        let wire = Wire::local(layered(routes.routes(), &layers));
        Server {
            life,
            catalog,
            wire,
            db,
            signer,
            clock: t.clock.clone(),
            now: t.clock.now(),
        }
    }

    fn furnish(&self) {
        use contracts::catalog::v1::PartnerState;
        for partner in [1, 2] {
            self.catalog.partner(partner, PartnerState::Active);
        }
        for (outlet, partner) in [(11, 1), (12, 1), (21, 2)] {
            self.catalog.outlet(outlet, partner);
        }
        for product in 1..=4 {
            self.catalog
                .product(product, &format!("Product {product}"), "Acme");
        }
    }

    /// Until everything that the catalogue has said was applied.
    pub async fn caught_up(&self) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Whatever was said before this is there once this is.
        let number = 1_000_000 + u128::from(NEXT.fetch_add(1, Ordering::SeqCst));
        self.catalog.outlet(number, 9);
        until("the catalogue is applied", || async {
            let known = self
                .db
                .read(&Caller::system("test"), OutletIsKnown(outlet_id(number)))
                .await;
            known.expect("an answer")
        })
        .await;
    }

    pub async fn stop(self) {
        let report = self.life.drain(&DrainConfig::quick()).await;
        assert!(report.is_clean(), "{report:?}");
    }

    /// Somebody with these claims and every scope.
    pub fn hand(&self, claims: Claims) -> Hand {
        let scopes = ["room.read", "room.write", "room.view", "feed.read"];
        self.bearer(&self.signer.mint(claims.scopes(scopes), HOUR))
    }

    /// Somebody with this token.
    pub fn bearer(&self, token: &str) -> Hand {
        let bearer = Bearer(token.to_owned());
        let wire = &self.wire;
        Hand {
            hosts: HostServiceClient::with_interceptor(wire.clone(), bearer.clone()),
            rooms: RoomServiceClient::with_interceptor(wire.clone(), bearer.clone()),
            showcase: ShowcaseServiceClient::with_interceptor(wire.clone(), bearer.clone()),
            audience: AudienceServiceClient::with_interceptor(wire.clone(), bearer.clone()),
            feed: RoomFeedServiceClient::with_interceptor(wire.clone(), bearer.clone()),
            channels: ChannelServiceClient::with_interceptor(wire.clone(), bearer.clone()),
            programme: ProgrammeServiceClient::with_interceptor(wire.clone(), bearer.clone()),
            creators: CreatorServiceClient::with_interceptor(wire.clone(), bearer.clone()),
            follows: FollowServiceClient::with_interceptor(wire.clone(), bearer),
        }
    }

    pub fn ops(&self) -> Hand {
        self.hand(Claims::retailer("ops", &[RetailerRole::Ops]))
    }

    pub fn partner(&self, number: u128) -> Hand {
        self.hand(Claims::partner("gateway", &partner_id(number)))
    }

    /// A shopper with a token that the partner got for them.
    pub async fn viewer(&self, room_id: &str, outlet: u128, shopper: &str) -> Hand {
        let partner = self.partner(outlet / 10);
        let request = CreateViewerTokenRequest {
            room_id: room_id.into(),
            outlet_id: outlet_id(outlet).into(),
            shopper_ref: shopper.into(),
        };
        let answer = call!(partner.audience.create_viewer_token(request)).expect("a token");
        self.bearer(&answer.token)
    }

    /// Lets a moment pass, so that what is made after it has a larger id.
    fn moment(&self) {
        self.clock.advance(Duration::from_micros(1));
    }

    /// A host, perhaps approved.
    pub async fn host(&self, approved: bool) -> String {
        let ops = self.ops();
        self.moment();
        let host = Host {
            display_name: "Ana".into(),
            ..Host::default()
        };
        let request = RegisterHostRequest {
            request_id: key(),
            host: Some(host),
        };
        let host_id = call!(ops.hosts.register_host(request))
            .expect("a host")
            .host
            .expect("the host")
            .host_id;
        if approved {
            self.decide(&host_id, HostState::Approved).await;
        }
        host_id
    }

    pub async fn decide(&self, host_id: &str, decision: HostState) {
        let ops = self.ops();
        let request = DecideHostRequest {
            request_id: key(),
            host_id: host_id.into(),
            decision: decision.into(),
            reason: "as agreed".into(),
            etag: String::new(),
        };
        call!(ops.hosts.decide_host(request)).expect("a decision");
    }

    /// What a room at these outlets is created from.
    pub fn draft(&self, host_id: &str, outlets: &[u128]) -> Room {
        Room {
            title: "Evening".into(),
            host_ids: vec![host_id.into()],
            outlet_ids: outlets
                .iter()
                .map(|outlet| outlet_id(*outlet).into())
                .collect(),
            ..Room::default()
        }
    }

    /// A room in DRAFT.
    pub async fn room(&self, outlets: &[u128]) -> String {
        let (ops, host) = (self.ops(), self.host(true).await);
        self.moment();
        let request = CreateRoomRequest {
            request_id: key(),
            room: Some(self.draft(&host, outlets)),
        };
        call!(ops.rooms.create_room(request))
            .expect("a room")
            .room
            .expect("the room")
            .room_id
    }

    pub fn hours(&self, from: i64, to: i64) -> Option<Window> {
        let at = |hours: i64| kit::clock::Micros(self.now.0 + hours * 3_600_000_000).to_proto();
        Some(Window {
            start_time: Some(at(from)),
            end_time: Some(at(to)),
        })
    }

    pub async fn schedule(&self, room_id: &str) -> Result<ScheduleRoomResponse, Status> {
        let ops = self.ops();
        let schedule = self.hours(1, 3);
        let request = ScheduleRoomRequest {
            request_id: key(),
            room_id: room_id.into(),
            schedule,
            etag: String::new(),
        };
        call!(ops.rooms.schedule_room(request))
    }

    pub async fn go_live(&self, room_id: &str) -> Result<GoLiveResponse, Status> {
        let ops = self.ops();
        let request = GoLiveRequest {
            request_id: key(),
            room_id: room_id.into(),
            etag: String::new(),
        };
        call!(ops.rooms.go_live(request))
    }

    pub async fn pause(&self, room_id: &str) -> Result<PauseRoomResponse, Status> {
        let ops = self.ops();
        let request = PauseRoomRequest {
            request_id: key(),
            room_id: room_id.into(),
            reason: "Tea.".into(),
            etag: String::new(),
        };
        call!(ops.rooms.pause_room(request))
    }

    pub async fn resume(&self, room_id: &str) -> Result<ResumeRoomResponse, Status> {
        let ops = self.ops();
        let request = ResumeRoomRequest {
            request_id: key(),
            room_id: room_id.into(),
            etag: String::new(),
        };
        call!(ops.rooms.resume_room(request))
    }

    pub async fn end(&self, room_id: &str) -> Result<EndRoomResponse, Status> {
        let ops = self.ops();
        let request = EndRoomRequest {
            request_id: key(),
            room_id: room_id.into(),
            reason: "Good night.".into(),
            etag: String::new(),
        };
        call!(ops.rooms.end_room(request))
    }

    /// A room on air.
    pub async fn live_room(&self, outlets: &[u128]) -> String {
        let room_id = self.room(outlets).await;
        self.schedule(&room_id).await.expect("scheduled");
        self.go_live(&room_id).await.expect("on air");
        room_id
    }

    pub async fn get_room(&self, room_id: &str) -> Room {
        let ops = self.ops();
        let request = GetRoomRequest {
            room_id: room_id.into(),
        };
        call!(ops.rooms.get_room(request))
            .expect("the room")
            .room
            .expect("the room")
    }

    pub async fn counters(&self, room_id: &str) -> RoomCounters {
        self.get_room(room_id).await.counters.expect("counters")
    }

    pub async fn try_add(&self, room_id: &str, product: u128) -> Result<AddItemResponse, Status> {
        let ops = self.ops();
        let rank = i32::try_from(product).expect("a small number");
        let product_id = product_id(product).into();
        let request = AddItemRequest {
            request_id: key(),
            room_id: room_id.into(),
            product_id,
            rank,
        };
        call!(ops.showcase.add_item(request))
    }

    pub async fn add(&self, room_id: &str, product: u128) -> String {
        self.try_add(room_id, product)
            .await
            .expect("an item")
            .item
            .expect("the item")
            .showcase_item_id
    }

    pub async fn pin(&self, item_id: &str, pin: bool) -> ShowcaseItem {
        let ops = self.ops();
        let (request_id, showcase_item_id) = (key(), item_id.to_owned());
        let item = match pin {
            true => call!(ops.showcase.pin_item(PinItemRequest {
                request_id,
                showcase_item_id
            }))
            .map(|a| a.item),
            false => call!(ops.showcase.unpin_item(UnpinItemRequest {
                request_id,
                showcase_item_id
            }))
            .map(|a| a.item),
        };
        item.expect("done").expect("the item")
    }

    pub async fn remove(&self, item_id: &str) -> Result<RemoveItemResponse, Status> {
        let ops = self.ops();
        call!(ops.showcase.remove_item(RemoveItemRequest {
            request_id: key(),
            showcase_item_id: item_id.into()
        }))
    }

    pub async fn explain(&self, item_id: &str) -> Result<StartExplainingResponse, Status> {
        let ops = self.ops();
        let request = StartExplainingRequest {
            request_id: key(),
            showcase_item_id: item_id.into(),
        };
        call!(ops.showcase.start_explaining(request))
    }

    pub async fn stop_explaining(&self, item_id: &str) -> Result<StopExplainingResponse, Status> {
        let ops = self.ops();
        let request = StopExplainingRequest {
            request_id: key(),
            showcase_item_id: item_id.into(),
        };
        call!(ops.showcase.stop_explaining(request))
    }

    pub async fn items(
        &self,
        room_id: &str,
        hand: &Hand,
        outlet: Option<u128>,
    ) -> Result<Vec<ShowcaseItem>, Status> {
        let request = ListItemsRequest {
            room_id: room_id.into(),
            outlet_id: outlet
                .map(|outlet| outlet_id(outlet).into())
                .unwrap_or_default(),
            ..ListItemsRequest::default()
        };
        call!(hand.showcase.list_items(request)).map(|answer| answer.items)
    }

    pub async fn answer(&self, question_id: &str, answer: &str) -> Result<Question, Status> {
        let ops = self.ops();
        let request = AnswerQuestionRequest {
            request_id: key(),
            question_id: question_id.into(),
            answer: answer.into(),
        };
        call!(ops.audience.answer_question(request))
            .map(|answer| answer.question.expect("the question"))
    }
}

struct OutletIsKnown(OutletId);

impl Operation for OutletIsKnown {
    type Output = bool;

    fn name(&self) -> &'static str {
        "test.outlet"
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        Ok(!room::store::mirror::places_by_outlets(tx, &[self.0])
            .await?
            .is_empty())
    }
}

fn no_limits() -> RateLimitConfig {
    let free = Rate {
        per_second: 0,
        burst: 0,
    };
    RateLimitConfig {
        partner: free,
        viewer: free,
        retailer: free,
        ..RateLimitConfig::default()
    }
}

pub async fn ask(viewer: &Hand, text: &str) -> Result<Question, Status> {
    let request = AskQuestionRequest {
        request_id: key(),
        text: text.into(),
        product_id: String::new(),
    };
    call!(viewer.audience.ask_question(request))
        .map(|answer| answer.question.expect("the question"))
}

pub async fn like(viewer: &Hand, count: i32) -> Result<i64, Status> {
    call!(viewer.audience.like_room(LikeRoomRequest {
        request_id: key(),
        count
    }))
    .map(|answer| answer.likes)
}

/// A room that nobody made.
pub fn unknown_room() -> String {
    RoomId::from_uuid(987_654_321).into()
}

/// A watch and everything that came.
pub struct Watch {
    stream: Streaming<WatchRoomResponse>,
    /// The last cursor.
    pub cursor: String,
    /// The first frame.
    pub first: WatchRoomResponse,
    /// All events, in the order in which they came.
    pub events: Vec<RoomEvent>,
    /// What was left out, by class.
    pub dropped: BTreeMap<DeliveryClass, i64>,
}

/// How a watch went on.
#[derive(Debug)]
pub enum Went {
    /// A frame came.
    On,
    /// The room is over.
    Over,
    /// The stream ended with this.
    Broke(Status),
}

impl Watch {
    /// Begins to watch and reads the first frame.
    pub async fn begin(
        hand: &Hand,
        room_id: &str,
        outlet: Option<u128>,
        cursor: &str,
    ) -> Result<Watch, Status> {
        let request = WatchRoomRequest {
            room_id: room_id.into(),
            cursor: cursor.into(),
            outlet_id: outlet
                .map(|outlet| outlet_id(outlet).into())
                .unwrap_or_default(),
        };
        let stream = hand
            .audience
            .clone()
            .watch_room(request)
            .await?
            .into_inner();
        let mut watch = Watch {
            stream,
            cursor: String::new(),
            first: WatchRoomResponse::default(),
            events: Vec::new(),
            dropped: BTreeMap::new(),
        };
        match watch.next().await {
            Went::On => Ok(watch),
            Went::Over => panic!("a watch has a first frame"),
            Went::Broke(status) => Err(status),
        }
    }

    /// The next frame.
    pub async fn next(&mut self) -> Went {
        let frame = tokio::time::timeout(BOUND, self.stream.message())
            .await
            .expect("a frame within the bound");
        match frame {
            Err(status) => Went::Broke(status),
            Ok(None) => Went::Over,
            Ok(Some(frame)) => {
                assert!(!frame.cursor.is_empty(), "every frame has a cursor");
                if self.cursor.is_empty() {
                    self.first = frame.clone();
                } else {
                    assert_eq!(
                        frame.resume_outcome(),
                        ResumeOutcome::Unspecified,
                        "only the first frame says how"
                    );
                    assert_eq!(frame.snapshot, None);
                }
                self.cursor = frame.cursor;
                self.events.extend(frame.events);
                for dropped in frame.dropped {
                    *self.dropped.entry(dropped.delivery_class()).or_default() += dropped.count;
                }
                Went::On
            }
        }
    }

    /// Reads until something holds of what came.
    pub async fn until(&mut self, what: &str, holds: impl Fn(&Watch) -> bool) {
        while !holds(self) {
            match self.next().await {
                Went::On => {}
                went => panic!("{what}: {went:?} after {:?}", self.events),
            }
        }
    }

    /// Reads to the end.
    pub async fn read_to_end(&mut self) -> Went {
        loop {
            match self.next().await {
                Went::On => {}
                went => return went,
            }
        }
    }

    pub fn outcome(&self) -> ResumeOutcome {
        self.first.resume_outcome()
    }

    pub fn snapshot(&self) -> &RoomSnapshot {
        self.first.snapshot.as_ref().expect("a snapshot")
    }

    /// What happened, of one class.
    pub fn of(&self, class: DeliveryClass) -> Vec<Content> {
        let of_class = self
            .events
            .iter()
            .filter(|event| event.delivery_class() == class);
        of_class
            .map(|event| event.content.clone().expect("content"))
            .collect()
    }

    pub fn ledger(&self) -> Vec<Content> {
        self.of(DeliveryClass::Ledger)
    }

    /// The LEDGER in short: `LIVE`, `+1`, `pin 1`, `explain 1`, `-`.
    pub fn story(&self) -> Vec<String> {
        self.ledger().iter().map(in_short).collect()
    }

    /// The texts of what was asked and answered: `? text`, `! answer`.
    pub fn talk(&self) -> Vec<String> {
        let line = |content: &Content| match content {
            Content::QuestionAsked(question) => format!("? {}", question.text),
            Content::QuestionAnswered(question) => format!("! {}", question.answer),
            other => panic!("no talk: {other:?}"),
        };
        self.of(DeliveryClass::Chat).iter().map(line).collect()
    }

    /// The last totals.
    pub fn totals(&self) -> RoomCounters {
        let last = self.of(DeliveryClass::Counter).pop();
        match last {
            Some(Content::Counters(counters)) => counters,
            other => panic!("no totals: {other:?}"),
        }
    }
}

/// A LEDGER event in short; items by their rank.
pub fn in_short(content: &Content) -> String {
    match content {
        Content::StateChanged(changed) => changed.state().as_str_name().replace("ROOM_STATE_", ""),
        Content::ItemChanged(item) => {
            let mark = |on: bool, word: &str| if on { word.to_owned() } else { String::new() };
            format!(
                "{}{}{}",
                item.rank,
                mark(item.pinned, " pinned"),
                mark(item.explaining, " explained")
            )
        }
        Content::ItemRemoved(_) => "removed".into(),
        other => panic!("not of the LEDGER: {other:?}"),
    }
}
