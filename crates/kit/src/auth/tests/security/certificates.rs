//! Who connects with which certificate, and what tokens are good for then.

use rstest::rstest;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_certificate_there_is_no_connection() {
    let world = World::new(Plan::default()).await;
    let good = world.authority.client(SPIFFE);
    let stranger = Authority::new("other").client(SPIFFE);
    let not_for_clients = world.authority.server();
    let mut borrowed = world.authority.client(SPIFFE);
    borrowed.key = stranger.key.clone();
    for (what, leaf) in [
        ("none", None),
        ("of another authority", Some(&stranger)),
        ("for servers", Some(&not_for_clients)),
    ] {
        let channel = world.connect(world.address, leaf);
        let answer = world.call_as(&channel, Audience::Partner).await;
        assert!(answer.is_err(), "a certificate: {what}");
    }
    assert_eq!(world.hits(), 0);
    let channel = world.connect(world.address, Some(&good));
    world
        .call_as(&channel, Audience::Partner)
        .await
        .expect("let in");
    assert_eq!(world.hits(), 1);
    let shown = good.peer.spiffe_id();
    assert_eq!(shown, Some(SPIFFE), "the certificate's own name");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_is_refused_on_new_and_on_open_connections() {
    let world = World::new(Plan::default()).await;
    let (stays, goes) = (
        world.authority.client(SPIFFE),
        world.authority.client(SPIFFE),
    );
    let staying = world.connect(world.address, Some(&stays));
    let going = world.connect(world.address, Some(&goes));
    for channel in [&staying, &going] {
        world
            .call_as(channel, Audience::Partner)
            .await
            .expect("let in");
    }
    world.write("clients.crl", &world.authority.revoked(&[&goes]));
    let world = &world;
    let refused = |channel: &Channel| {
        let channel = channel.clone();
        async move { world.call_as(&channel, Audience::Partner).await.is_err() }
    };
    eventually("the open connection is refused", || refused(&going)).await;
    let anew = world.connect(world.address, Some(&goes));
    assert!(refused(&anew).await, "a new connection");
    assert!(!refused(&staying).await, "another client");

    // What is no list, or no longer there, changes nothing: neither is who was revoked let in again.
    for broken in ["", "-----BEGIN X509 CRL-----\nMIIB", "nonsense"] {
        world.write("clients.crl", broken);
        world.write("tls.crt", &world.authority.server().cert);
        let mut rounds = tokio::time::interval(Duration::from_millis(700));
        for _ in 0..3 {
            rounds.tick().await;
        }
        assert!(refused(&world.connect(world.address, Some(&goes))).await);
        assert!(!refused(&world.connect(world.address, Some(&stays))).await);
    }
}

#[rstest]
#[case::required(ClientAuth::Required)]
#[case::optional(ClientAuth::Optional)]
#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_is_good_with_its_certificate_alone(#[case] client_auth: ClientAuth) {
    let auth = AuthConfig {
        require_certificate_binding: true,
        ..AuthConfig::default()
    };
    let world = World::new(Plan {
        client_auth,
        auth,
        ..Plan::default()
    })
    .await;
    let (own, other) = (
        world.authority.client(SPIFFE),
        world.authority.client(SPIFFE),
    );
    let suite = world.bench.suite.clone();
    let channel = world.connect(world.address, Some(&own));
    let (world, suite) = (&world, &suite);
    let with = |channel: Channel, bound: Option<PeerCertificate>| async move {
        world
            .call_with(&channel, suite, |claims| match &bound {
                Some(bound) => claims.bound_to(bound),
                None => claims,
            })
            .await
    };
    with(channel.clone(), Some(own.peer.clone()))
        .await
        .expect("its own certificate");
    for (what, bound) in [("another's", Some(other.peer.clone())), ("none", None)] {
        let answer = with(channel.clone(), bound).await;
        assert_eq!(reason(answer), "UNAUTHENTICATED", "bound to {what}");
    }
    assert_eq!(world.hits(), 1);
    // Only partners' tokens must be bound.
    world
        .call_as(&channel, Audience::Retailer)
        .await
        .expect("a retailer");
    // Other ways of proof are not understood, so such a token is nobody's.
    let claims = world
        .call_with(&channel, suite, |mut claims| {
            claims.cnf = Some(crate::auth::Confirmation {
                certificate_sha256: "short".into(),
            });
            claims
        })
        .await;
    assert_eq!(reason(claims), "UNAUTHENTICATED");
    if client_auth == ClientAuth::Optional {
        let bare = world.connect(world.address, None);
        for bound in [Some(own.peer.clone()), None] {
            assert_eq!(reason(with(bare.clone(), bound).await), "UNAUTHENTICATED");
        }
        world
            .call_as(&bare, Audience::Viewer)
            .await
            .expect("viewers have no certificate");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_is_refused_where_nobody_shows_certificates() {
    let world = World::new(Plan {
        client_auth: ClientAuth::Off,
        ..Plan::default()
    })
    .await;
    let channel = world.connect(world.address, None);
    let suite = &world.bench.suite;
    let own = world.authority.client(SPIFFE);
    let answer = world
        .call_with(&channel, suite, |claims| claims.bound_to(&own.peer))
        .await;
    assert_eq!(reason(answer), "UNAUTHENTICATED");
    world
        .call_with(&channel, suite, |claims| claims)
        .await
        .expect("nobody asked for more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_names_the_certificates_of_its_partner() {
    let pinned = Authority::new("elsewhere").client("spiffe://acme.example/pinned");
    let hex = hex::encode(pinned.peer.sha256());
    for (what, rule, fits) in [
        (
            "a SPIFFE id",
            IssuerConfig {
                spiffe_ids: vec!["spiffe://acme.example/other".into(), SPIFFE.into()],
                ..acme()
            },
            true,
        ),
        (
            "another SPIFFE id",
            IssuerConfig {
                spiffe_ids: vec!["spiffe://acme.example/gateway2".into()],
                ..acme()
            },
            false,
        ),
        (
            "another certificate",
            IssuerConfig {
                certificate_sha256: vec![hex.clone()],
                ..acme()
            },
            false,
        ),
        (
            "the SPIFFE id, and another certificate",
            IssuerConfig {
                spiffe_ids: vec![SPIFFE.into()],
                certificate_sha256: vec![hex.clone()],
                ..acme()
            },
            false,
        ),
    ] {
        let mut auth = AuthConfig::default();
        auth.issuers.push(IssuerConfig {
            jwks: Some(key_set(&[2])),
            ..rule
        });
        let world = World::new(Plan {
            client_auth: ClientAuth::Optional,
            auth,
            ..Plan::default()
        })
        .await;
        let shown = world.authority.client(SPIFFE);
        let (signer, bare) = (world.signer(2), world.connect(world.address, None));
        let channel = world.connect(world.address, Some(&shown));
        let answer = world.call_with(&channel, &signer, |claims| claims).await;
        assert_eq!(answer.is_ok(), fits, "{what}: {answer:?}");
        let answer = world.call_with(&bare, &signer, |claims| claims).await;
        assert_eq!(
            reason(answer),
            "UNAUTHENTICATED",
            "{what}, and none is shown"
        );
        // Its viewers' apps have no certificate.
        let (method, access) = world.method_for(Audience::Viewer);
        let viewer = signer.mint(claims_for(&access).scopes(&access.scopes), HOUR);
        call(&bare, &method.path, Some(&viewer))
            .await
            .expect("a viewer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partners_own_authority_is_trusted_without_a_restart() {
    let world = World::new(Plan::default()).await;
    // A list of it is needed too: the server was told to look at lists.
    let partner = Authority::new("partner");
    let leaf = partner.client(SPIFFE);
    let both = format!("{}{}", world.authority.pem(), partner.pem());
    let lists = format!("{}{}", world.authority.revoked(&[]), partner.revoked(&[]));
    world.write("clients.crt", &both);
    world.write("clients.crl", &lists);
    let channel = || world.connect(world.address, Some(&leaf));
    eventually("the new authority is trusted", || async {
        world.call_as(&channel(), Audience::Partner).await.is_ok()
    })
    .await;
}
