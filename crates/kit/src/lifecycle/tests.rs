use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::*;

const DRAIN: DrainConfig = DrainConfig {
    drain_delay_s: 5,
    drain_deadline_s: 25,
    flush_reserve_s: 3,
};

fn life() -> Lifecycle {
    Lifecycle::new()
}

/// Work that takes a while by the paused clock of these tests.
async fn takes(time: Duration) {
    let never = std::future::pending::<()>();
    drop(tokio::time::timeout(time, never).await);
}

#[tokio::test(start_paused = true)]
async fn drains_in_order() {
    let life = life();
    let (log, mut lines) = mpsc::unbounded_channel();
    let started = Instant::now();
    let say = move |log: &mpsc::UnboundedSender<(&'static str, u64)>, what| {
        log.send((what, started.elapsed().as_secs())).unwrap();
    };

    let acceptor = life.acceptor();
    let (token, log1) = (life.stop_accepting(), log.clone());
    crate::spawn("acceptor", async move {
        token.cancelled().await;
        takes(Duration::from_secs(1)).await;
        say(&log1, "stopped accepting");
        drop(acceptor);
    });
    let (token, log2) = (life.token(), log.clone());
    life.spawn("stream", async move {
        token.cancelled().await;
        say(&log2, "stream ended");
        takes(Duration::from_secs(2)).await;
        say(&log2, "task finished");
    });
    assert!(life.is_ready().await);
    let (watch, log3) = (life.clone(), log.clone());
    crate::spawn("prober", async move {
        watch.draining().cancelled().await;
        assert!(!watch.is_ready().await);
        say(&log3, "not ready");
    });

    let log4 = log.clone();
    let report = life
        .drain_with(&DRAIN, |left| async move {
            say(&log4, "flush");
            assert_eq!(left, Duration::from_secs(25 - 8));
            Ok::<_, String>(())
        })
        .await;

    lines.close();
    let lines: Vec<_> = std::iter::from_fn(|| lines.try_recv().ok()).collect();
    let order = [
        ("not ready", 0),
        ("stopped accepting", 6),
        ("stream ended", 6),
        ("task finished", 8),
        ("flush", 8),
    ];
    assert_eq!(lines, order);
    assert!(report.is_clean(), "{report}");
    assert_eq!(
        (report.exit_code(), report.took),
        (0, Duration::from_secs(8))
    );
    assert_eq!(report.cause, ShutdownCause::Requested);
}

#[tokio::test(start_paused = true)]
async fn reports_what_does_not_finish_and_still_flushes() {
    let life = life();
    let _acceptor = life.acceptor();
    for _ in 0..2 {
        life.track("connection", std::future::pending::<()>());
    }
    life.spawn("consumer", std::future::pending::<()>());
    let report = life
        .drain_with(&DRAIN, |left| async move {
            assert_eq!(left, Duration::from_secs(3));
            std::future::pending::<Result<(), String>>().await
        })
        .await;
    assert_eq!(
        report.unfinished,
        [
            Unfinished {
                task: "connection",
                count: 2
            },
            Unfinished {
                task: "consumer",
                count: 1
            }
        ]
    );
    assert_eq!((report.acceptors_open, report.exit_code()), (1, 1));
    assert_eq!(
        report.flush_failure.as_deref(),
        Some("not done within 3000 ms")
    );
    assert_eq!(report.took, Duration::from_secs(25));
    assert!(life.token().is_cancelled() && life.stop_accepting().is_cancelled());
    let said = report.to_string();
    assert!(
        said.contains("unfinished: connection × 2, consumer × 1"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn finished_work_is_not_waited_for() {
    let life = life();
    assert_eq!(life.track("call", async { 7 }).await.unwrap(), 7);
    let failed = life.track::<_>("call", async {
        assert!(std::env::args().count() == 0, "of a caller's doing")
    });
    assert!(failed.await.unwrap_err().is_panic());
    assert_eq!(life.cause(), None, "one call's panic is not the process's");
    let report = life.drain(&DrainConfig::quick()).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn background_work_that_ends_fails_the_process() {
    async fn fails() -> Result<(), std::io::Error> {
        Err(std::io::Error::other("disk on fire"))
    }
    async fn panics() {
        panic!("index {}", 3);
    }
    type Start = fn(&Lifecycle);
    let cases: [(Start, &str); 3] = [
        (
            |life| life.spawn("sweeper", async {}),
            "returned before it was told to",
        ),
        (|life| life.spawn("sweeper", panics()), "panicked: index 3"),
        (
            |life| life.spawn("sweeper", fails()),
            "failed: disk on fire",
        ),
    ];
    for (start, expected) in cases {
        let life = life();
        start(&life);
        let cause = life.wait_for_shutdown().await;
        let reason = expected.to_owned();
        assert_eq!(
            cause,
            ShutdownCause::TaskFailed {
                task: "sweeper",
                reason
            }
        );
        let report = life.drain(&DrainConfig::quick()).await;
        assert_eq!((report.cause.clone(), report.exit_code()), (cause, 1));
        assert!(report.to_string().contains(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn background_work_may_end_once_the_drain_begins() {
    let life = life();
    let draining = life.draining();
    life.spawn("early", async move { draining.cancelled().await });
    let token = life.token();
    life.spawn("late", async move {
        token.cancelled().await;
        Err::<(), _>("could not say goodbye")
    });
    let report = life.drain(&DRAIN).await;
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn work_that_outlives_the_drain_is_not_waited_for_and_still_watched() {
    let life = life();
    let stop = CancellationToken::new();
    life.spawn_until("admin", stop.clone(), stop.clone().cancelled_owned());
    assert!(life.drain(&DRAIN).await.is_clean());

    let life = Lifecycle::new();
    life.spawn_until("admin", CancellationToken::new(), async {});
    assert!(matches!(
        life.wait_for_shutdown().await,
        ShutdownCause::TaskFailed { task: "admin", .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn the_first_signal_drains_and_the_second_ends_it() {
    let life = life();
    life.spawn("stuck", std::future::pending::<()>());
    let (send, receive) = mpsc::channel(4);
    let signals = tokio_stream::wrappers::ReceiverStream::new(receive).boxed();
    let obeying = life.clone();
    let third = crate::spawn("signals", async move { obeying.obey(signals).await });

    send.send(Signal::Term).await.unwrap();
    assert_eq!(
        life.wait_for_shutdown().await,
        ShutdownCause::Signal(Signal::Term)
    );
    let (flushing, flushed) = oneshot::channel();
    let draining = life.clone();
    let drain = crate::spawn("drain", async move {
        let flush = |_| async move {
            flushing.send(()).unwrap();
            Ok::<_, String>(())
        };
        draining.drain_with(&DRAIN, flush).await
    });
    life.draining().cancelled().await;
    send.send(Signal::Interrupt).await.unwrap();
    let report = drain.await.unwrap();
    assert_eq!(report.cause, ShutdownCause::Signal(Signal::Term));
    assert!(
        report.immediate && report.took < Duration::from_secs(1),
        "{report}"
    );
    assert_eq!((report.exit_code(), report.unfinished.len()), (1, 1));
    assert!(
        flushed.await.is_err(),
        "who signals twice does not wait for telemetry"
    );

    send.send(Signal::Interrupt).await.unwrap();
    assert_eq!(third.await.unwrap(), Some(Signal::Interrupt));
    assert_eq!(
        (Signal::Interrupt.exit_code(), Signal::Term.exit_code()),
        (130, 143)
    );
}

#[tokio::test(start_paused = true)]
async fn a_check_is_asked_once_while_its_answer_is_fresh() {
    let life = life();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    life.add_check("database", move || {
        let before = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            takes(Duration::from_millis(10)).await;
            if before == 0 {
                Err("no schema".into())
            } else {
                Ok(())
            }
        }
    });
    let (one, two) = tokio::join!(life.readiness(), life.readiness());
    assert_eq!((one.is_ready(), &one), (false, &two));
    assert_eq!(one.to_string(), "not ready\ndatabase: no schema\n");
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "many probers at once ask once"
    );
    // Whoever waits for a process that was not ready is not kept waiting by an old answer.
    tokio::time::advance(Duration::from_millis(100)).await;
    assert!(life.is_ready().await && life.is_ready().await);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    tokio::time::advance(Duration::from_millis(900)).await;
    assert!(life.is_ready().await);
    assert_eq!(
        asked.load(Ordering::SeqCst),
        2,
        "a good answer is kept longer"
    );
    tokio::time::advance(Duration::from_millis(100)).await;
    assert!(life.is_ready().await);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_counts_as_failed() {
    let life = Lifecycle::with_ready(ReadyConfig {
        timeout_ms: 200,
        cache_ms: 0,
        ..ReadyConfig::default()
    });
    life.add_check("database", std::future::pending);
    let started = Instant::now();
    assert_eq!(
        life.readiness().await.to_string(),
        "not ready\ndatabase: no answer within 200 ms\n"
    );
    assert_eq!(started.elapsed(), Duration::from_millis(200));
}

#[tokio::test(start_paused = true)]
async fn checks_belong_to_services() {
    let life = life();
    let mut order =
        Parts::new("order", |_| ()).ready_when("database", || async { Err("gone".into()) });
    let mut room = Parts::new("room", |_| ())
        .ready_when("database", || async { Ok(()) })
        .task("counter", life.token().cancelled_owned());
    life.adopt(&mut order);
    life.adopt(&mut room);
    assert!(life.readiness_of("room").await.is_ready());
    assert!(!life.readiness_of("order").await.is_ready());
    let said = life.readiness().await.to_string();
    assert_eq!(said, "not ready\norder/database: gone\nroom/database: ok\n");
    life.add_check("disk", || async { Err("full".into()) });
    assert!(
        !life.readiness_of("room").await.is_ready(),
        "what belongs to nobody concerns all"
    );
    assert!(life.drain(&DRAIN).await.is_clean());
}
