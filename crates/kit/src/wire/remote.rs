//! A wire across the network.
//!
//! A tonic channel resolves a name once, when it connects, and then stays: behind a headless service all
//! calls would go to one replica for ever. Here the name is resolved again and again, each address has a
//! channel, and each call goes to the less busy of two chosen at random, past those that failed just now.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{ConnectError, Status, TimeoutExpired};
use tower::ServiceExt;

use super::target::{RemoteConfig, Target};
use super::{Carrier, Resolve, authorized};
use crate::clock::SharedClock;
use crate::errors::{BoxError, Fault};
use crate::ids::SharedIds;
use crate::layers::{Request, Response};
use crate::server::pem::SETTLED;

/// One address and the connection to it.
struct Backend {
    address: SocketAddr,
    channel: Channel,
    /// The number of the certificates that it was opened with.
    credentials: u64,
    in_flight: AtomicUsize,
    avoid_until: Mutex<Option<Instant>>,
}

impl Backend {
    fn avoid_until(&self) -> Option<Instant> {
        *self
            .avoid_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn avoid(&self, until: Option<Instant>) {
        *self
            .avoid_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = until;
    }
}

type Backends = Arc<[Arc<Backend>]>;

pub(super) struct Remote {
    target: Target,
    config: RemoteConfig,
    clock: SharedClock,
    ids: SharedIds,
    /// None until the name was resolved for the first time, or could not be.
    backends: watch::Sender<Option<Backends>>,
    unreachable: Arc<Notify>,
    /// Held while backends are replaced.
    updating: Mutex<()>,
    _stop: DropGuard,
}

/// Calls under way hold the shared half; resolving ends when the last of them has gone.
pub(super) struct Shared(Arc<Remote>);

impl Remote {
    pub(super) fn start(
        target: Target,
        names: Arc<dyn Resolve>,
        config: &RemoteConfig,
        clock: &SharedClock,
        ids: &SharedIds,
    ) -> Shared {
        let stop = CancellationToken::new();
        let remote = Arc::new(Remote {
            target,
            config: config.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
            backends: watch::Sender::new(None),
            unreachable: Arc::new(Notify::new()),
            updating: Mutex::new(()),
            _stop: stop.clone().drop_guard(),
        });
        let resolving = keep_resolved(
            Arc::downgrade(&remote),
            names,
            config.clone(),
            remote.unreachable.clone(),
        );
        let renewing = keep_renewed(Arc::downgrade(&remote), config.clone());
        drop(crate::spawn("resolve", async move {
            let both = futures::future::join(resolving, renewing);
            stop.run_until_cancelled(both).await;
        }));
        Shared(remote)
    }

    /// Takes over what the name means now. Connections to addresses that stay are kept.
    fn update(&self, mut found: Vec<SocketAddr>) {
        let _one = self.updating.lock().unwrap_or_else(PoisonError::into_inner);
        let credentials = self.credentials();
        found.sort_unstable();
        found.dedup();
        if found.len() > self.config.max_addresses {
            tracing::warn!(
                host = self.target.host,
                found = found.len(),
                "more addresses than are used"
            );
            found.truncate(self.config.max_addresses);
        }
        let current = self.backends.borrow().clone().unwrap_or_default();
        let kept: BTreeMap<_, _> = current
            .iter()
            .filter(|backend| backend.credentials == credentials)
            .map(|backend| (backend.address, backend))
            .collect();
        let backends: Backends = found
            .into_iter()
            .filter_map(|address| match kept.get(&address) {
                Some(backend) => Some(Arc::clone(backend)),
                None => self.connect(address, credentials),
            })
            .collect();
        let addresses = |backends: &Backends| {
            backends
                .iter()
                .map(|backend| backend.address)
                .collect::<Vec<_>>()
        };
        if addresses(&backends) != addresses(&current) {
            tracing::info!(host = self.target.host, addresses = ?addresses(&backends), "addresses changed");
        }
        self.backends.send_replace(Some(backends));
    }

    fn credentials(&self) -> u64 {
        self.target.tls.as_ref().map_or(0, |tls| tls.number())
    }

    /// Opens new connections with the certificates that count now. Calls that are under way end on the old ones.
    fn reconnect(&self) {
        let current = self.backends.borrow().clone();
        if let Some(current) = current {
            self.update(current.iter().map(|backend| backend.address).collect());
        }
    }

    fn connect(&self, address: SocketAddr, credentials: u64) -> Option<Arc<Backend>> {
        match self.target.channel(address, &self.config) {
            Ok(channel) => Some(Arc::new(Backend {
                address,
                channel,
                credentials,
                in_flight: AtomicUsize::new(0),
                avoid_until: Mutex::new(None),
            })),
            Err(error) => {
                tracing::error!(%address, error = %crate::errors::chain(&error), "address cannot be used");
                None
            }
        }
    }

    /// The less busy of two chosen at random, past those that failed just now while there are others.
    fn choose(&self, backends: &Backends) -> Option<Arc<Backend>> {
        let now = self.clock.instant();
        let fine = |backend: &&Arc<Backend>| backend.avoid_until().is_none_or(|until| until <= now);
        let mut candidates: Vec<_> = backends.iter().filter(fine).collect();
        if candidates.is_empty() {
            candidates = backends.iter().collect();
        }
        let random = self.ids.random_u64();
        let pick = |random: u64| {
            let count = u64::try_from(candidates.len())
                .ok()
                .filter(|count| *count > 0)?;
            candidates
                .get(usize::try_from(random % count).ok()?)
                .copied()
        };
        let (one, other) = (pick(random >> 32)?, pick(random & 0xffff_ffff)?);
        let busy = |backend: &Backend| backend.in_flight.load(Ordering::Relaxed);
        Some(if busy(other) < busy(one) {
            other.clone()
        } else {
            one.clone()
        })
    }

    async fn send(&self, request: Request) -> Result<Response, BoxError> {
        let mut resolved = self.backends.subscribe();
        let backends = match resolved.wait_for(Option::is_some).await {
            Ok(backends) => backends.clone().unwrap_or_default(),
            Err(_) => Backends::default(),
        };
        let Some(backend) = self.choose(&backends) else {
            self.unreachable.notify_one();
            return Err(unreachable_now());
        };
        backend.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = Place(backend.clone());
        match backend.channel.clone().oneshot(request).await {
            Ok(answer) => {
                backend.avoid(None);
                Ok(answer.map(|inner| {
                    Body::new(PlacedBody {
                        inner,
                        _place: place,
                    })
                }))
            }
            Err(error) => Err(self.failed(&backend, error)),
        }
    }

    fn failed(&self, backend: &Backend, error: tonic::transport::Error) -> BoxError {
        if caused_by::<TimeoutExpired>(&error) {
            return Status::from(authorized::over()).into();
        }
        let until = self.clock.instant() + Duration::from_millis(self.config.avoid_ms);
        backend.avoid(Some(until));
        self.unreachable.notify_one();
        let chain = crate::errors::chain(&error);
        tracing::warn!(address = %backend.address, error = %chain, "a call found nobody there");
        // Only when there was no connection is it sure that nothing was done.
        if caused_by::<ConnectError>(&error) {
            unreachable_now()
        } else {
            error.into()
        }
    }
}

impl Carrier for Shared {
    fn carry(self: Arc<Self>, request: Request) -> BoxFuture<'static, Result<Response, BoxError>> {
        let remote = self.0.clone();
        // The channel's own timeout does not count the time that a call waits for its connection.
        let patience = authorized::asked(request.headers())
            .unwrap_or_else(|| Duration::from_millis(remote.config.answer_timeout_ms.max(1)));
        Box::pin(async move {
            match timeout(patience, remote.send(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(Status::from(authorized::over()).into()),
            }
        })
    }
}

fn unreachable_now() -> BoxError {
    let fault = Fault::busy(
        "The service that this needs cannot be reached just now and nothing was done; try again.",
        Duration::from_millis(500),
    );
    Status::from(fault).into()
}

fn caused_by<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<E>() {
            return true;
        }
        cause = error.source();
    }
    false
}

async fn keep_resolved(
    remote: std::sync::Weak<Remote>,
    names: Arc<dyn Resolve>,
    config: RemoteConfig,
    unreachable: Arc<Notify>,
) {
    let interval = Duration::from_millis(config.resolve_interval_ms.max(1));
    loop {
        let limit = Duration::from_millis(config.resolve_timeout_ms.max(1));
        let found = timeout(limit, names.resolve()).await;
        let Some(remote) = remote.upgrade() else {
            return;
        };
        match found {
            Ok(Ok(found)) if !found.is_empty() => remote.update(found),
            // A name server that is down, or that knows nobody for a moment, takes no connection away.
            failed => {
                let error = match failed {
                    Ok(Ok(_)) => "it has no address".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "it took too long".to_owned(),
                };
                tracing::warn!(host = remote.target.host, error, "name not resolved");
                remote.backends.send_if_modified(|backends| {
                    let first = backends.is_none();
                    backends.get_or_insert_default();
                    first
                });
            }
        }
        drop(remote);
        let early = async {
            unreachable.notified().await;
            tokio::time::sleep(Duration::from_millis(config.resolve_pause_ms)).await;
        };
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = early => {}
        }
    }
}

/// Reads the certificates again and again; never returns for a wire without any.
async fn keep_renewed(remote: std::sync::Weak<Remote>, config: RemoteConfig) {
    let interval = Duration::from_secs(config.reload_interval_s.max(1));
    loop {
        tokio::time::sleep(interval).await;
        let Some(look) =
            (remote.upgrade()).and_then(|remote| remote.target.tls.as_ref()?.look(&config))
        else {
            continue;
        };
        tokio::time::sleep(SETTLED).await;
        if let Some(remote) = remote.upgrade()
            && let Some(tls) = &remote.target.tls
            && tls.renew(&config, look)
        {
            tracing::info!(host = remote.target.host, "certificates renewed");
            remote.reconnect();
        }
    }
}

/// A call's place among those in flight on a backend; streams keep it until they end.
struct Place(Arc<Backend>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

struct PlacedBody {
    inner: Body,
    _place: Place,
}

impl HttpBody for PlacedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.get_mut().inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
