//! A client that does what the README's retry rules say, and nothing else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kit::clock::{Clock, SystemClock};
use prost::Message;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::pause::pause;
pub use crate::rules::reason;
use crate::rules::{Verdict, verdict};

/// The first pause between two tries; doubles, and is drawn from its upper half.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Where the doubling ends.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The deadline of one try.
const DEADLINE: Duration = Duration::from_secs(10);
/// Tokens are minted anew after this long.
const TOKEN_AGE: Duration = Duration::from_secs(600);

/// Where each service answers; several addresses are replicas.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Addresses {
    pub catalog: Vec<String>,
    pub room: Vec<String>,
    pub order: Vec<String>,
    pub fulfillment: Vec<String>,
}

/// How a call ended that was not answered with yes.
#[derive(Debug)]
pub enum Ended {
    /// The suite refused it.
    Refused { status: Status, tries: u32 },
    /// The client's patience ended before an answer came: what must not happen.
    GaveUp { status: Status, tries: u32 },
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (word, status, tries) = match self {
            Ended::Refused { status, tries } => ("refused", status, tries),
            Ended::GaveUp { status, tries } => ("gave up", status, tries),
        };
        let (code, reason) = (status.code(), crate::rules::reason(status));
        write!(
            f,
            "{word} after {tries} tries: {code:?} {reason}: {}",
            status.message()
        )
    }
}

impl std::error::Error for Ended {}

/// An answer, and what it took.
#[derive(Debug)]
pub struct Answered<A> {
    pub answer: A,
    pub tries: u32,
    pub waited: Duration,
}

type Mint = dyn Fn() -> String + Send + Sync;

/// Who calls: a token that is minted anew now and then.
#[derive(Clone)]
pub struct Bearer {
    mint: Arc<Mint>,
    current: Arc<Mutex<Option<(Instant, String)>>>,
}

impl Bearer {
    /// From a mint.
    pub fn minted(mint: impl Fn() -> String + Send + Sync + 'static) -> Bearer {
        Bearer {
            mint: Arc::new(mint),
            current: Arc::new(Mutex::new(None)),
        }
    }

    /// A token that lives long enough.
    pub fn fixed(token: String) -> Bearer {
        Bearer::minted(move || token.clone())
    }

    fn token(&self) -> String {
        let now = SystemClock.instant();
        let mut current = lock(&self.current);
        match &*current {
            Some((at, token)) if now.saturating_duration_since(*at) < TOKEN_AGE => token.clone(),
            _ => {
                let token = (self.mint)();
                *current = Some((now, token.clone()));
                token
            }
        }
    }
}

/// Connections to all replicas of all services, used in turn.
pub struct Network {
    areas: [(&'static str, Vec<Channel>); 4],
    next: AtomicUsize,
    random: Mutex<StdRng>,
    patience: Duration,
    met: Mutex<BTreeMap<String, u64>>,
}

impl Network {
    /// Connects when first used. A call is tried for at most `patience`.
    pub fn new(
        addresses: &Addresses,
        seed: u64,
        patience: Duration,
    ) -> anyhow::Result<Arc<Network>> {
        let channels = |given: &[String]| {
            given
                .iter()
                .map(|address| {
                    let endpoint = Endpoint::from_shared(address.clone())?
                        .connect_timeout(Duration::from_secs(2))
                        .http2_keep_alive_interval(Duration::from_secs(5))
                        .keep_alive_timeout(Duration::from_secs(5));
                    Ok(endpoint.connect_lazy())
                })
                .collect::<Result<Vec<_>, tonic::transport::Error>>()
        };
        Ok(Arc::new(Network {
            areas: [
                ("/vitrine.catalog.", channels(&addresses.catalog)?),
                ("/vitrine.room.", channels(&addresses.room)?),
                ("/vitrine.order.", channels(&addresses.order)?),
                ("/vitrine.fulfillment.", channels(&addresses.fulfillment)?),
            ],
            next: AtomicUsize::new(0),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            patience,
            met: Mutex::new(BTreeMap::new()),
        }))
    }

    fn channel(&self, path: &str) -> Result<Channel, Status> {
        let (_, channels) = self
            .areas
            .iter()
            .find(|(prefix, _)| path.starts_with(prefix))
            .ok_or_else(|| Status::internal(format!("{path} belongs to no service")))?;
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(channels[turn % channels.len()].clone())
    }

    /// The errors after which calls were tried again, and how often.
    pub fn met(&self) -> BTreeMap<String, u64> {
        lock(&self.met).clone()
    }

    fn jittered(&self, pause: Duration) -> Duration {
        let share = lock(&self.random).random_range(500..1_000_u32);
        pause * share / 1_000
    }
}

/// Somebody with a token.
#[derive(Clone)]
pub struct Caller {
    network: Arc<Network>,
    bearer: Bearer,
}

impl Caller {
    pub fn new(network: &Arc<Network>, bearer: Bearer) -> Caller {
        Caller {
            network: network.clone(),
            bearer,
        }
    }

    /// Asks until there is an answer, by the retry rules.
    pub async fn ask<Q, A>(&self, path: &'static str, request: &Q) -> Result<Answered<A>, Ended>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let began = SystemClock.instant();
        let mut backoff = FIRST_PAUSE;
        let mut tries = 0;
        loop {
            tries += 1;
            let status = match self.once(path, request).await {
                Ok(answer) => {
                    let waited = SystemClock.instant().saturating_duration_since(began);
                    return Ok(Answered {
                        answer,
                        tries,
                        waited,
                    });
                }
                Err(status) => status,
            };
            let at_least = match verdict(&status) {
                Verdict::Answer => return Err(Ended::Refused { status, tries }),
                Verdict::NotDone(named) => named.unwrap_or_default(),
                Verdict::Unknown => Duration::ZERO,
            };
            let met = match reason(&status).as_str() {
                // A library's or a connection's word; its own text says more.
                "" => format!("{:?} ({})", status.code(), cause(&status)),
                reason => format!("{:?} {reason}", status.code()),
            };
            *lock(&self.network.met).entry(met).or_default() += 1;
            let waited = SystemClock.instant().saturating_duration_since(began);
            if waited > self.network.patience {
                return Err(Ended::GaveUp { status, tries });
            }
            pause(self.network.jittered(backoff).max(at_least)).await;
            backoff = (backoff * 2).min(LONGEST_PAUSE);
        }
    }

    /// One try.
    pub async fn once<Q, A>(&self, path: &'static str, request: &Q) -> Result<A, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.network.channel(path)?);
        let mut request = self.request(request.clone())?;
        request.set_timeout(DEADLINE);
        let trying = async {
            grpc.ready()
                .await
                .map_err(|error| Status::unavailable(error.to_string()))?;
            let codec = ProstCodec::<Q, A>::default();
            grpc.unary(request, path_of(path), codec).await
        };
        match tokio::time::timeout(DEADLINE, trying).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("the client's own deadline")),
        }
    }

    /// Opens a stream.
    pub async fn watch<Q, A>(&self, path: &'static str, request: &Q) -> Result<Streaming<A>, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.network.channel(path)?);
        let request = self.request(request.clone())?;
        let opening = async {
            grpc.ready()
                .await
                .map_err(|error| Status::unavailable(error.to_string()))?;
            let codec = ProstCodec::<Q, A>::default();
            grpc.server_streaming(request, path_of(path), codec).await
        };
        match tokio::time::timeout(DEADLINE, opening).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("the client's own deadline")),
        }
    }

    fn request<Q>(&self, message: Q) -> Result<Request<Q>, Status> {
        let mut request = Request::new(message);
        let value = format!("Bearer {}", self.bearer.token())
            .parse()
            .map_err(|_| Status::internal("a token unfit for a header"))?;
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// What a library says of an error, to its root.
fn cause(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        text = error.to_string();
        source = error.source();
    }
    text.truncate(text.floor_char_boundary(60));
    text
}

fn path_of(path: &'static str) -> http::uri::PathAndQuery {
    http::uri::PathAndQuery::from_static(path)
}

/// A lock whose content stays right whatever a panicking holder did.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
