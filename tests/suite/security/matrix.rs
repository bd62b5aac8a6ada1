//! Every method there is, with every kind of wrong credential, over real sockets, against the whole suite: refused
//! before any handler, and before any database is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use contracts::policy::{MethodPolicy, Policies};
use futures::StreamExt;
use kit::auth::Claims;
use tonic::Code;
use tonic::transport::Channel;

use super::credentials::{self, Keys, Wrong};
use crate::raw;
use crate::topology::Running;

/// Calls under way at the same time.
const AT_ONCE: usize = 64;

async fn suite(keys: &Keys) -> Running {
    Running::embedded_with(|config| {
        config.auth.issuers.push(keys.issuer());
        // Here bad tokens come by the thousand in no time.
        config.server.layers.shed.unproven.per_second = 0;
        config.server.layers.rate_limit.retailer.per_second = 0;
        config.server.layers.rate_limit.partner.per_second = 0;
        config.server.layers.rate_limit.viewer.per_second = 0;
    })
    .await
}

/// Asks every method with each of what `wrong` says for it; how many calls that were.
async fn refuse_all(
    channel: &Channel,
    policies: &Policies,
    wrong: impl Fn(&MethodPolicy) -> Arc<Vec<Wrong>>,
) -> usize {
    let calls = AtomicUsize::new(0);
    let each = policies.methods().flat_map(|method| {
        let wrong = wrong(method);
        (0..wrong.len()).map(move |at| (method.clone(), wrong.clone(), at))
    });
    futures::stream::iter(each)
        .for_each_concurrent(AT_ONCE, |(method, wrong, at)| {
            let (wrong, channel) = (&wrong[at], channel.clone());
            let (path, calls) = (method.path.clone(), &calls);
            let (kind, headers, code) = (wrong.kind.clone(), wrong.headers.clone(), wrong.code);
            async move {
                let answer = raw::call_with(&channel, &path, &headers, Vec::new()).await;
                let status = answer.expect_err(&kind);
                if let Some(code) = code {
                    assert_eq!(
                        status.code(),
                        code,
                        "{path} with {kind}: {}",
                        status.message()
                    );
                }
                calls.fetch_add(1, Ordering::Relaxed);
            }
        })
        .await;
    calls.into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_wrong_credential_reaches_a_handler_or_a_database() {
    let keys = Keys::new();
    let running = suite(&keys).await;
    let channel = raw::connect(&running.addresses.order).await;
    let policies = Policies::load().expect("whole contracts");
    let methods = policies.methods().len();
    let before = running.let_in();

    let wrong = Arc::new(credentials::wrong_for_all(&running, &keys));
    let kinds = wrong.len();
    assert!(kinds >= 28, "only {kinds} kinds");
    let calls = refuse_all(&channel, &policies, |_| wrong.clone()).await;
    assert_eq!(calls, methods * kinds);
    let mut refused = calls;

    // Good tokens of somebody else: another audience, role or scope. A viewer's token elsewhere is among them.
    let (signer, scopes) = (running.signer(), credentials::all_scopes(&policies));
    let calls = refuse_all(&channel, &policies, |method| {
        Arc::new(credentials::not_for(method, &signer, &scopes))
    })
    .await;
    assert!(calls >= methods * 10, "only {calls} calls");
    refused += calls;
    let other = credentials::of_another_suite(&running);
    let service = other.mint(
        Claims::service("order", None).scopes(&scopes),
        credentials::HOUR,
    );
    let alien = Arc::new(vec![Wrong {
        kind: "a service of another suite".into(),
        headers: vec![("authorization", format!("Bearer {service}"))],
        code: Some(Code::Unauthenticated),
    }]);
    refuse_all(&channel, &policies, |_| alien.clone()).await;
    let after = running.let_in();
    assert_eq!(after.0, before.0, "a handler was asked");
    // What services read of each other's feeds meanwhile is counted too; what each of the calls would have asked for
    // would be many times as much.
    let asked = usize::try_from(after.1 - before.1).expect("few");
    assert!(asked * 10 < refused, "{asked} units for {refused} calls");

    // With nothing wrong the same tokens get in, and the counters move, so they would have told.
    for (made, (path, token)) in credentials::right(&running, &keys).into_iter().enumerate() {
        raw::call(&channel, path, Some(&token), Vec::new())
            .await
            .expect("a good token gets in");
        let made = u64::try_from(made).expect("few");
        assert_eq!(running.let_in().0, before.0 + made + 1);
    }
    assert!(running.let_in().1 > before.1);
    running.stop().await;
}
