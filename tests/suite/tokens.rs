//! No method but health and reflection answers a caller whose token does not allow it: every method there is, over a
//! real socket, against the whole suite.

use std::time::Duration;

use contracts::common::v1::{Audience, RetailerRole};
use contracts::id::{OutletId, PartnerId, RoomId};
use contracts::policy::Policies;
use kit::auth::{AuthConfig, Claims, SigningKey, TokenSigner};
use tonic::Code;

use crate::raw;
use crate::topology::Running;

const HOUR: Duration = Duration::from_secs(3_600);

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

fn partner() -> PartnerId {
    PartnerId::from_uuid(1)
}

/// A signer whose key the suite does not know, under the name of an issuer that it does.
fn forger() -> TokenSigner {
    let clock: kit::clock::SharedClock = std::sync::Arc::new(kit::clock::SystemClock);
    let ids = std::sync::Arc::new(kit::ids::SystemIds::new(clock.clone()));
    TokenSigner::new(SigningKey::generate(), &AuthConfig::default(), clock, ids)
        .named(vitrine::keys::DEVELOPMENT_ISSUER)
}

fn unsigned(token: &str) -> String {
    use base64::Engine;
    let body = token.split('.').nth(1).expect("a JWT has three parts");
    let head =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    format!("{head}.{body}.")
}

fn all_scopes(policies: &Policies) -> Vec<String> {
    let mut scopes: Vec<String> = policies
        .methods()
        .flat_map(|m| m.access.iter().flat_map(|a| a.scopes.clone()))
        .collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_never_gets_in() {
    let running = Running::embedded().await;
    let channel = raw::connect(&running.addresses.order).await;
    let (signer, policies) = (running.signer(), Policies::load().expect("whole contracts"));
    let scopes = all_scopes(&policies);
    let good = Claims::retailer("ops", &ROLES).scopes(&scopes);
    let token = signer.mint(good.clone(), HOUR);
    let long_ago = kit::clock::ManualClock::new(kit::clock::Micros(
        kit::clock::Clock::now(&kit::clock::SystemClock).0 - 7_200_000_000,
    ));
    let expired = running
        .signer_at(std::sync::Arc::new(long_ago))
        .mint(good.clone(), HOUR);
    let bad: Vec<(&str, Option<String>)> = vec![
        ("none", None),
        ("garbage", Some("garbage".into())),
        ("unsigned", Some(unsigned(&token))),
        ("tampered", Some(format!("{}x", &token[..token.len() - 1]))),
        ("forged", Some(forger().mint(good.clone(), HOUR))),
        (
            "of another issuer",
            Some(signer.clone().named("somebody-else").mint(good, HOUR)),
        ),
        (
            "too long-lived",
            Some(signer.mint(
                Claims::retailer("ops", &ROLES).scopes(&scopes),
                HOUR * 1_000,
            )),
        ),
        (
            "a service's, by the development key",
            Some(signer.mint(Claims::service("order", None).scopes(&scopes), HOUR)),
        ),
        ("expired", Some(expired)),
    ];
    let mut methods = 0;
    for method in policies.methods() {
        methods += 1;
        for (what, token) in &bad {
            let status = raw::call(&channel, &method.path, token.as_deref(), Vec::new())
                .await
                .expect_err(what);
            assert_eq!(
                status.code(),
                Code::Unauthenticated,
                "{} with a token that is {what}",
                method.path
            );
        }
    }
    assert!(methods > 80, "only {methods} methods were tried");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_gets_in_only_where_it_may() {
    let running = Running::embedded().await;
    let channel = raw::connect(&running.addresses.order).await;
    let (signer, policies) = (running.signer(), Policies::load().expect("whole contracts"));
    let scopes = all_scopes(&policies);
    let (outlet, room) = (OutletId::from_uuid(2), RoomId::from_uuid(3));
    for method in policies.methods() {
        let may = |audience: Audience| method.access.iter().find(|a| a.audience == audience);
        let mut refused: Vec<(String, Claims)> = Vec::new();
        let partner_claims = Claims::partner("app", &partner());
        let viewer_claims = Claims::viewer(&partner(), &outlet, &room, "shopper");
        for (audience, claims) in [
            (Audience::Partner, &partner_claims),
            (Audience::Viewer, &viewer_claims),
        ] {
            match may(audience) {
                None => refused.push((
                    format!("{audience:?}, not named"),
                    claims.clone().scopes(&scopes),
                )),
                Some(access) => {
                    let fewer = scopes.iter().filter(|s| !access.scopes.contains(s));
                    refused.push((
                        format!("{audience:?} without its scope"),
                        claims.clone().scopes(fewer),
                    ));
                }
            }
        }
        for role in ROLES {
            let claims = Claims::retailer("staff", &[role]);
            match may(Audience::Retailer) {
                Some(access) if access.roles.contains(&role) => {
                    let fewer = scopes.iter().filter(|s| !access.scopes.contains(s));
                    refused.push((format!("{role:?} without its scope"), claims.scopes(fewer)));
                }
                _ => refused.push((format!("{role:?}, not named"), claims.scopes(&scopes))),
            }
        }
        for (what, claims) in refused {
            let token = signer.mint(claims, HOUR);
            let status = raw::call(&channel, &method.path, Some(&token), Vec::new())
                .await
                .expect_err(&what);
            assert_eq!(
                status.code(),
                Code::PermissionDenied,
                "{}: {what}: {}",
                method.path,
                status.message()
            );
        }
    }
    running.stop().await;
}
