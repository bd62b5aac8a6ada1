//! The whole suite in this process, with a partner, listings, stock and a room, and tokens for everybody.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use contracts::common::v1::{Audience, RetailerRole};
use contracts::policy::Policies;
use kit::auth::{Claims, SigningKey, TokenSigner};
use kit::clock::{Clock, SharedClock, SystemClock};
use kit::ids::{SharedIds, SystemIds};
use kit::layers::Rate;
use kit::lifecycle::{DrainConfig, Lifecycle};
use kit::telemetry::{Metrics, TelemetryConfig, TelemetryGuard};
use tonic::transport::Channel;
use vitrine::config::VitrineConfig;
use vitrine::keys;
use vitrine::sandbox::{Options, Partner, Sandbox};
use vitrine::suite::Suite;

use super::raw;

/// How long tokens are used; they are good for longer.
const RENEWAL: Duration = Duration::from_secs(240);
const LIFE: Duration = Duration::from_secs(800);
/// Ids remembered of each kind.
const IDS_MAX: usize = 48;

const ROLES: [RetailerRole; 8] = [
    RetailerRole::Ops,
    RetailerRole::Host,
    RetailerRole::Moderator,
    RetailerRole::Care,
    RetailerRole::Warehouse,
    RetailerRole::Carrier,
    RetailerRole::Finance,
    RetailerRole::Inspector,
];

/// A suite that is called with whatever comes.
pub struct World {
    pub runtime: tokio::runtime::Runtime,
    pub policies: Policies,
    pub channel: Channel,
    pub address: SocketAddr,
    pub payment_key: SigningKey,
    partner: Partner,
    development: TokenSigner,
    own: TokenSigner,
    tokens: Mutex<(Instant, HashMap<Audience, String>)>,
    ids: Mutex<HashMap<String, Vec<String>>>,
    _suite: Suite,
    _telemetry: Option<TelemetryGuard>,
    _folder: tempfile::TempDir,
}

impl World {
    /// Starts it, on files in memory where there are such.
    pub fn new() -> World {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let folder = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .expect("a temporary folder");
        runtime.block_on(Self::start(folder)).with(runtime)
    }

    async fn start(folder: tempfile::TempDir) -> Started {
        // Whatever answers INTERNAL says why in the log.
        let telemetry = TelemetryConfig {
            log_level: "error".into(),
            ..TelemetryConfig::default()
        };
        let telemetry = kit::telemetry::init(&telemetry, "fuzz").ok();
        let config = config(&folder);
        let suite = Suite::start(
            &config,
            &[],
            Lifecycle::new(),
            prometheus::Registry::new(),
            Metrics::global(),
        )
        .await
        .expect("a suite that starts");
        let clock: SharedClock = Arc::new(SystemClock);
        let ids: SharedIds = Arc::new(SystemIds::new(clock.clone()));
        let development =
            keys::development_signer(&config, clock.clone(), ids.clone()).expect("a key");
        let own = TokenSigner::new(
            keys::own(&config).expect("a key"),
            &config.auth,
            clock,
            ids.clone(),
        );
        let payment_key = keys::payment(&config).expect("a key");
        let address = format!("http://{}", suite.address);
        let sandbox = Sandbox::open(Options {
            address: address.clone(),
            endpoint: address.clone(),
            folder: folder.path().join("partner"),
            signer: development.clone(),
            payment_key: payment_key.clone(),
            ids,
        })
        .await
        .expect("a sandbox");
        Started {
            channel: raw::connect(&[address]).await,
            partner: sandbox.partner.clone(),
            suite,
            telemetry,
            folder,
            development,
            own,
            payment_key,
        }
    }

    /// A token with everything that such a caller can have.
    pub fn token(&self, audience: Audience) -> String {
        let now = SystemClock.instant();
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(tokens.0) > RENEWAL {
            *tokens = (now, HashMap::new());
        }
        tokens
            .1
            .entry(audience)
            .or_insert_with(|| self.mint(audience))
            .clone()
    }

    fn mint(&self, audience: Audience) -> String {
        let scopes: BTreeSet<String> = self
            .policies
            .methods()
            .flat_map(|method| {
                method
                    .access
                    .iter()
                    .flat_map(|access| access.scopes.clone())
            })
            .collect();
        let partner = self
            .partner
            .partner_id
            .parse()
            .expect("the sandbox's partner");
        match audience {
            Audience::Partner => self
                .development
                .mint(Claims::partner("fuzz", &partner).scopes(&scopes), LIFE),
            Audience::Viewer => {
                let outlet = self
                    .partner
                    .outlet_id
                    .parse()
                    .expect("the sandbox's outlet");
                let room = self.partner.room_id.parse().expect("the sandbox's room");
                let claims = Claims::viewer(&partner, &outlet, &room, "shopper-1");
                self.development.mint(claims.scopes(&scopes), LIFE)
            }
            Audience::Service => self.own.mint(
                Claims::service("order", None).scopes(&scopes),
                Duration::from_secs(290),
            ),
            _ => self
                .development
                .mint(Claims::retailer("fuzz", &ROLES).scopes(&scopes), LIFE),
        }
    }

    /// Ids that were seen so far.
    pub fn ids(&self) -> HashMap<String, Vec<String>> {
        self.ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Remembers the ids in an answer.
    pub fn learn(&self, answer: &[u8]) {
        let is_of_id =
            |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        for word in answer.split(|byte| !is_of_id(byte)) {
            let Some((prefix, suffix)) = std::str::from_utf8(word)
                .ok()
                .and_then(|word| word.split_once('_'))
            else {
                continue;
            };
            if suffix.len() != 26 {
                continue;
            }
            let known = ids.entry(prefix.to_owned()).or_default();
            let id = format!("{prefix}_{suffix}");
            if known.len() < IDS_MAX && !known.contains(&id) {
                known.push(id);
            }
        }
    }

    /// An honest call, which has to be answered in good time whatever else goes on.
    pub fn assert_answers(&self) {
        let token = self.token(Audience::Retailer);
        let call = raw::call(
            &self.channel,
            "/vitrine.catalog.v1.PartnerService/ListPartners",
            Some(&token),
            Vec::new(),
        );
        let answer = self
            .runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(10), call).await });
        match answer {
            Ok(Ok(answer)) => self.learn(&answer),
            Ok(Err(status)) => panic!("an honest call was refused: {status}"),
            Err(_) => panic!("an honest call was not answered within 10 s"),
        }
    }

    /// Learns what there is from all lists.
    fn look_around(&self) {
        // First of all, so that it is the first partner that is known; see Names::first_partner.
        self.learn(self.partner.partner_id.as_bytes());
        for method in self
            .policies
            .methods()
            .filter(|method| method.is_unary() && !method.is_mutation())
        {
            for access in &method.access {
                let token = self.token(access.audience);
                let call = raw::call(&self.channel, &method.path, Some(&token), Vec::new());
                if let Ok(answer) = self.runtime.block_on(call) {
                    self.learn(&answer);
                }
            }
        }
    }
}

struct Started {
    channel: Channel,
    partner: Partner,
    suite: Suite,
    telemetry: Option<TelemetryGuard>,
    folder: tempfile::TempDir,
    development: TokenSigner,
    own: TokenSigner,
    payment_key: SigningKey,
}

impl Started {
    fn with(self, runtime: tokio::runtime::Runtime) -> World {
        let world = World {
            runtime,
            policies: Policies::load().expect("whole contracts"),
            channel: self.channel,
            address: self.suite.address,
            payment_key: self.payment_key,
            partner: self.partner,
            development: self.development,
            own: self.own,
            tokens: Mutex::new((SystemClock.instant(), HashMap::new())),
            ids: Mutex::default(),
            _suite: self.suite,
            _telemetry: self.telemetry,
            _folder: self.folder,
        };
        world.look_around();
        world
    }
}

fn config(folder: &tempfile::TempDir) -> VitrineConfig {
    let mut config = VitrineConfig {
        data_dir: folder.path().join("data"),
        drain: DrainConfig::quick(),
        ..VitrineConfig::default()
    };
    config.server.address.set_port(0);
    config.admin.address.set_port(0);
    // Refusals for coming too often are no findings, and hide them.
    let free = Rate {
        per_second: 0,
        burst: 0,
    };
    let rates = &mut config.server.layers.rate_limit;
    (
        rates.partner,
        rates.partner_critical,
        rates.viewer,
        rates.retailer,
    ) = (free, free, free, free);
    config
}
