use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use tokio::net::TcpListener;

use super::*;
use crate::lifecycle::DrainConfig;

/// A name whose addresses the test decides.
#[derive(Default)]
struct Names(Mutex<Option<Vec<SocketAddr>>>);

impl Names {
    fn set(&self, addresses: &[SocketAddr]) {
        *self.0.lock().expect("whole") = Some(addresses.to_vec());
    }
}

impl Resolve for Names {
    fn resolve(&self) -> BoxFuture<'_, io::Result<Vec<SocketAddr>>> {
        let found = self.0.lock().expect("whole").clone();
        Box::pin(async move { found.ok_or_else(|| io::Error::other("the name server is down")) })
    }
}

struct Replica {
    address: SocketAddr,
    hits: Arc<AtomicUsize>,
    life: Lifecycle,
}

impl Replica {
    async fn start(bench: &Bench) -> Replica {
        let (hits, life) = (Arc::new(AtomicUsize::new(0)), Lifecycle::new());
        let address = serve(layered(counting(&hits), &bench.deps), &life).await;
        Replica {
            address,
            hits,
            life,
        }
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    async fn stop(&self) {
        let report = self.life.drain(&DrainConfig::quick()).await;
        assert!(report.is_clean(), "{report}");
    }
}

fn wire_over(names: &Arc<Names>, bench: &Bench) -> Wire {
    let config = RemoteConfig {
        resolve_interval_ms: 5,
        resolve_pause_ms: 1,
        avoid_ms: 60_000,
        ..RemoteConfig::default()
    };
    let deps = &bench.deps;
    Wire::remote_with(
        "http://replicas:7500",
        names.clone(),
        &config,
        &deps.clock,
        &deps.ids,
    )
    .expect("an address")
}

async fn call(wire: &Wire) -> Status {
    let sent = wire
        .clone()
        .call(request("/grpc.health.v1.Health/Check", None));
    match sent.await {
        Ok(answer) => status_of(answer).await,
        Err(error) => Status::from_error(error),
    }
}

/// Calls until the condition holds; the calls themselves are what it waits for.
async fn call_until(wire: &Wire, what: &str, done: impl Fn() -> bool) {
    let calling = async {
        while !done() {
            call(wire).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), calling)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn addresses_beside_each_other_are_replicas_too() {
    let bench = Bench::new();
    let (a, b) = (Replica::start(&bench).await, Replica::start(&bench).await);
    let wire = remote(
        &format!("http://{}, http://{}", a.address, b.address),
        &bench,
    );
    call_until(&wire, "both are called", || a.hits() > 0 && b.hits() > 0).await;
    a.stop().await;
    let before = b.hits();
    call_until(&wire, "the one that is left is called", || {
        b.hits() > before + 20
    })
    .await;
    b.stop().await;
}

#[tokio::test]
async fn calls_spread_over_all_replicas() {
    let bench = Bench::new();
    let (a, b) = (Replica::start(&bench).await, Replica::start(&bench).await);
    let names = Arc::new(Names::default());
    names.set(&[a.address, b.address]);
    let wire = wire_over(&names, &bench);
    for _ in 0..200 {
        assert_eq!(call(&wire).await.code(), Code::Ok);
    }
    assert_eq!(a.hits() + b.hits(), 200);
    assert!(
        a.hits() > 40 && b.hits() > 40,
        "{} and {}",
        a.hits(),
        b.hits()
    );
}

#[tokio::test]
async fn a_new_replica_gets_calls_and_one_that_left_gets_none() {
    let bench = Bench::new();
    let (a, b) = (Replica::start(&bench).await, Replica::start(&bench).await);
    let names = Arc::new(Names::default());
    names.set(&[a.address]);
    let wire = wire_over(&names, &bench);
    assert_eq!(call(&wire).await.code(), Code::Ok);
    assert_eq!((a.hits(), b.hits()), (1, 0));

    names.set(&[a.address, b.address]);
    call_until(&wire, "the new replica gets calls", || b.hits() > 0).await;

    names.set(&[b.address]);
    let mut quiet = 0;
    let leaving = async {
        while quiet < 50 {
            let before = a.hits();
            assert_eq!(call(&wire).await.code(), Code::Ok);
            quiet = if a.hits() == before { quiet + 1 } else { 0 };
        }
    };
    tokio::time::timeout(Duration::from_secs(20), leaving)
        .await
        .expect("the old one gets no more");

    // A name server that knows nobody, or is down, changes nothing.
    names.set(&[]);
    for _ in 0..20 {
        assert_eq!(call(&wire).await.code(), Code::Ok);
    }
}

#[tokio::test]
async fn a_replica_that_is_gone_costs_at_most_the_calls_that_find_out() {
    let bench = Bench::new();
    let (a, b) = (Replica::start(&bench).await, Replica::start(&bench).await);
    let names = Arc::new(Names::default());
    names.set(&[a.address, b.address]);
    let wire = wire_over(&names, &bench);
    call_until(&wire, "both have connections", || {
        a.hits() > 0 && b.hits() > 0
    })
    .await;
    a.stop().await;
    let mut failures = 0;
    for _ in 0..100 {
        let status = call(&wire).await;
        if status.code() != Code::Ok {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            failures += 1;
        }
    }
    assert!(failures <= 2, "{failures} of 100 calls failed");
}

#[tokio::test]
async fn when_nobody_is_there_callers_hear_that_nothing_was_done() {
    let bench = Bench::new();
    let names = Arc::new(Names::default());
    let nowhere = wire_over(&names, &bench);
    let not_done = |status: &Status| matches!(Fault::from_status(status), Fault::Busy { .. });
    let status = call(&nowhere).await;
    assert!(not_done(&status), "no address: {status:?}");

    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    names.set(&[closed.local_addr().expect("an address")]);
    drop(closed);
    let refused = wire_over(&names, &bench);
    let status = call(&refused).await;
    assert!(not_done(&status), "connection refused: {status:?}");

    // Recovers by itself once there is somebody.
    let replica = Replica::start(&bench).await;
    names.set(&[replica.address]);
    call_until(&refused, "it recovers", || replica.hits() > 0).await;
}

#[tokio::test]
async fn who_accepts_and_never_answers_does_not_hold_a_call_beyond_its_time() {
    let bench = Bench::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let names = Arc::new(Names::default());
    names.set(&[silent.local_addr().expect("an address")]);
    let wire = wire_over(&names, &bench);
    let mut client = HealthClient::new(wire);
    let mut asked = Call::new(ask());
    asked.set_timeout(Duration::from_millis(40));
    let status = client.check(asked).await.expect_err("nobody answers");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(
        matches!(Fault::from_status(&status), Fault::Unknown { .. }),
        "whether it was done is open"
    );
}

#[tokio::test]
async fn resolving_ends_with_the_wire() {
    let bench = Bench::new();
    let names = Arc::new(Names::default());
    let wire = wire_over(&names, &bench);
    call(&wire).await;
    drop(wire);
    let gone = async {
        while Arc::strong_count(&names) > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .expect("the task lets go of the resolver");
}
