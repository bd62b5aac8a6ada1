//! Who is let in under load, and who is not let in by whom.

use contracts::policy::Criticality;
use tokio::task::JoinHandle;

use super::*;

struct World {
    bench: Bench,
    hits: Arc<AtomicUsize>,
    service: LayeredService,
}

fn world(change: impl FnOnce(&mut LayersConfig)) -> World {
    let mut config = LayersConfig::default();
    change(&mut config);
    let bench = Bench::with(config);
    let hits = Arc::new(AtomicUsize::new(0));
    let service = layered(counting(&hits), &bench.deps);
    World {
        bench,
        hits,
        service,
    }
}

impl World {
    /// A unary method for partners.
    fn method(&self, criticality: Criticality) -> Arc<MethodPolicy> {
        self.bench.method(|method| {
            method.is_unary()
                && method.criticality == criticality
                && method.access[0].audience == Audience::Partner
        })
    }

    fn of(&self, partner: u128, method: &MethodPolicy) -> Request {
        let claims = Claims::partner("x", &PartnerId::from_uuid(partner));
        let token = self
            .bench
            .suite
            .mint(claims.scopes(&method.access[0].scopes), HOUR);
        request(&method.path, Some(&token))
    }

    async fn call(&self, request: Request) -> Status {
        status_of(self.service.answer(request).await).await
    }

    /// Calls that stay, and what came of each.
    async fn stay(&self, partner: u128, method: &MethodPolicy, calls: usize) -> Staying {
        let token = self.of(partner, method);
        let before = self.hits.load(Ordering::SeqCst);
        let mut staying = Staying::default();
        for _ in 0..calls {
            let answer = self.service.answer(with(again(&token), "x-behave", "hang"));
            staying.calls.push(crate::spawn("call", answer));
            tokio::task::yield_now().await;
        }
        settle().await;
        staying.let_in = self.hits.load(Ordering::SeqCst) - before;
        staying
    }
}

#[derive(Default)]
struct Staying {
    calls: Vec<JoinHandle<Response>>,
    let_in: usize,
}

impl Drop for Staying {
    fn drop(&mut self) {
        self.calls.iter().for_each(JoinHandle::abort);
    }
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// The same call with the same token.
fn again(call: &Request) -> Request {
    let mut copy = request(call.uri().path(), None);
    *copy.headers_mut() = call.headers().clone();
    copy
}

fn refused(status: &Status) -> (Code, String) {
    let retry = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    assert!(
        retry.is_some_and(|retry| !retry.is_zero()),
        "when to retry: {status:?}"
    );
    (status.code(), reason_of(status))
}

fn overloaded() -> (Code, String) {
    (Code::Unavailable, "OVERLOADED".into())
}

fn limited() -> (Code, String) {
    (Code::ResourceExhausted, "RATE_LIMITED".into())
}

#[tokio::test(start_paused = true)]
async fn however_much_one_partner_asks_for_there_is_room_for_another() {
    let world = world(|config| config.shed.max_calls = 1_000);
    let (holds, looks) = (
        world.method(Criticality::Important),
        world.method(Criticality::Normal),
    );
    let noisy = world.stay(1, &holds, 1_500).await;
    // Four fifths of what IMPORTANT calls may fill.
    assert!((700..=725).contains(&noisy.let_in), "{}", noisy.let_in);
    assert_eq!(
        refused(&world.call(world.of(1, &holds)).await),
        overloaded()
    );
    // Another partner gets the same share of what is left, not leavings: both asked again, they come to the same.
    let modest = world.stay(2, &holds, 100).await;
    assert_eq!(modest.let_in, 100);
    drop(noisy);
    settle().await;
    let again = world.stay(1, &holds, 1_500).await;
    assert!((600..=645).contains(&again.let_in), "{}", again.let_in);
    let second = world.stay(2, &holds, 1_500).await;
    assert!(second.let_in + 100 >= 200, "{}", second.let_in);
    assert_eq!(world.call(world.of(3, &holds)).await.code(), Code::Ok);
    // What is only looked at gave way long ago.
    assert_eq!(
        refused(&world.call(world.of(3, &looks)).await),
        overloaded()
    );
}

#[tokio::test(start_paused = true)]
async fn money_already_taken_has_room_whatever_else_is_asked_for() {
    let world = world(|config| {
        config.shed.max_calls = 100;
        config.shed.critical_calls = 50;
    });
    let (holds, money) = (
        world.method(Criticality::Important),
        world.method(Criticality::Critical),
    );
    let mut all = Vec::new();
    for partner in 1..=20 {
        all.push(world.stay(partner, &holds, 100).await);
    }
    let taken: usize = all.iter().map(|staying| staying.let_in).sum();
    assert!((80..=90).contains(&taken), "{taken}");
    let confirms = world.stay(1, &money, 100).await;
    assert!((38..=42).contains(&confirms.let_in), "{}", confirms.let_in);
    assert_eq!(
        refused(&world.call(world.of(1, &money)).await),
        overloaded()
    );
    assert_eq!(
        world.call(world.of(2, &money)).await.code(),
        Code::Ok,
        "its own share"
    );
}

#[tokio::test]
async fn confirmations_are_not_held_up_by_the_rate_of_other_calls() {
    let world = world(|config| {
        let slow = Rate {
            per_second: 1,
            burst: 1,
        };
        config.rate_limit.partner = slow;
        let own = Rate {
            per_second: 10,
            burst: 30,
        };
        config.rate_limit.partner_critical = own;
    });
    let (holds, money) = (
        world.method(Criticality::Important),
        world.method(Criticality::Critical),
    );
    assert_eq!(world.call(world.of(1, &holds)).await.code(), Code::Ok);
    for _ in 0..30 {
        assert_eq!(refused(&world.call(world.of(1, &holds)).await), limited());
        assert_eq!(world.call(world.of(1, &money)).await.code(), Code::Ok);
    }
    assert_eq!(
        refused(&world.call(world.of(1, &money)).await),
        limited(),
        "they have a bound too"
    );
    assert_eq!(world.call(world.of(2, &money)).await.code(), Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_partner_may_be_held_to_a_number_of_calls() {
    let world = world(|config| {
        config.rate_limit.partner_calls_max = 5;
        let own = PartnerId::from_uuid(7).to_string();
        config.rate_limit.partners_calls_max.insert(own, 2);
    });
    let (holds, money) = (
        world.method(Criticality::Important),
        world.method(Criticality::Critical),
    );
    let usual = world.stay(1, &holds, 10).await;
    let own = world.stay(7, &holds, 10).await;
    assert_eq!((usual.let_in, own.let_in), (5, 2));
    assert_eq!(refused(&world.call(world.of(7, &holds)).await), limited());
    assert_eq!(world.call(world.of(7, &money)).await.code(), Code::Ok);
    drop(own);
    settle().await;
    assert_eq!(
        world.call(world.of(7, &holds)).await.code(),
        Code::Ok,
        "there is room again"
    );
}

#[tokio::test]
async fn who_is_refused_again_and_again_is_refused_at_the_door() {
    let world = world(|config| {
        config.rate_limit.partner = Rate {
            per_second: 1,
            burst: 1,
        }
    });
    let holds = world.method(Criticality::Important);
    let token = world.of(1, &holds);
    let asked = async || world.service.answer(again(&token)).await;
    assert_eq!(status_of(asked().await).await.code(), Code::Ok);
    let inside = asked().await;
    assert!(
        inside.headers().contains_key(REQUEST_ID),
        "it came as far as its token"
    );
    let door = asked().await;
    assert!(
        !door.headers().contains_key(REQUEST_ID),
        "it was not even given a name"
    );
    assert_eq!(refused(&status_of(door).await), limited());
    world.bench.clock.advance(Duration::from_secs(2));
    assert_eq!(status_of(asked().await).await.code(), Code::Ok);
}

#[tokio::test]
async fn a_flood_of_forged_tokens_takes_nothing_from_honest_callers() {
    let world = world(|config| {
        config.shed.unproven = Rate {
            per_second: 10,
            burst: 20,
        };
        config.shed.max_calls = 10;
        config.shed.critical_calls = 5;
    });
    let money = world.method(Criticality::Critical);
    let known = world.of(1, &money);
    assert_eq!(
        world.call(again(&known)).await.code(),
        Code::Ok,
        "known from before"
    );
    let mut looked_at = 0;
    for number in 0..1_000 {
        let token = world.bench.token_for(&money);
        let forged = format!("{}{number}", &token[..token.len() - 4]);
        let status = world.call(request(&money.path, Some(&forged))).await;
        match status.code() {
            Code::Unauthenticated => looked_at += 1,
            _ => assert_eq!(refused(&status), overloaded()),
        }
        if number % 10 == 0 {
            assert_eq!(world.call(again(&known)).await.code(), Code::Ok);
        }
    }
    let stranger = world.of(2, &money);
    assert_eq!(looked_at, 20, "no more are looked at than the bucket holds");
    assert_eq!(
        refused(&world.call(again(&stranger)).await),
        overloaded(),
        "a stranger so far"
    );
    world.bench.clock.advance(Duration::from_millis(100));
    assert_eq!(
        world.call(again(&stranger)).await.code(),
        Code::Ok,
        "its turn came"
    );
    for _ in 0..10 {
        assert_eq!(
            world.call(again(&stranger)).await.code(),
            Code::Ok,
            "and is known from now on"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_caller_cannot_take_all_streams() {
    let world = world(|config| config.shed.max_streams = 100);
    let watch = world.bench.method(|method| {
        method.server_streaming
            && method
                .access
                .iter()
                .any(|access| access.audience == Audience::Partner)
    });
    let access = watch
        .access
        .iter()
        .find(|access| access.audience == Audience::Partner);
    let scopes = &access.expect("for partners").scopes;
    let mut open = Vec::new();
    let mut refusals = 0;
    for partner in [1, 2] {
        let claims = Claims::partner("x", &PartnerId::from_uuid(partner));
        let token = world.bench.suite.mint(claims.scopes(scopes), HOUR);
        for _ in 0..60 {
            let asked = with(request(&watch.path, Some(&token)), "x-behave", "stream");
            let answer = world.service.answer(asked).await;
            match answer.headers().contains_key("grpc-status") {
                true => refusals += 1,
                false => open.push((partner, answer)),
            }
        }
        let own = open.iter().filter(|(of, _)| *of == partner).count();
        assert!(
            own >= if partner == 1 { 38 } else { 7 },
            "{own} of {partner}"
        );
    }
    assert!(refusals > 0);
}
