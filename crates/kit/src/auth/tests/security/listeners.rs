//! Two ports: nobody gets in at the other one.

use super::*;

const AUDIENCES: [Audience; 4] = [
    Audience::Partner,
    Audience::Viewer,
    Audience::Retailer,
    Audience::Service,
];

async fn two_ports(change: impl Fn(&mut LayersConfig)) -> World {
    let mut plan = Plan {
        client_auth: ClientAuth::Optional,
        internal: true,
        ..Plan::default()
    };
    change(&mut plan.layers);
    World::new(plan).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_audience_has_its_port_and_is_refused_at_the_other_before_any_handler() {
    for retailer_too in [false, true] {
        let world = two_ports(|layers| layers.retailer_on_partner_port = retailer_too).await;
        let front = world.connect(world.address, None);
        let internal = world.connect(world.internal.expect("two ports"), None);
        let mut let_in = 0;
        for audience in AUDIENCES {
            let outside = matches!(audience, Audience::Partner | Audience::Viewer);
            let at_front = outside || (retailer_too && audience == Audience::Retailer);
            for (channel, may) in [(&front, at_front), (&internal, !outside)] {
                let answer = world.call_as(channel, audience).await;
                if may {
                    answer.unwrap_or_else(|status| panic!("{audience:?}: {status:?}"));
                    let_in += 1;
                } else {
                    let status = answer.clone().expect_err("the wrong port");
                    assert_eq!(status.code(), Code::PermissionDenied);
                    assert_eq!(reason(answer), "WRONG_LISTENER", "{audience:?}");
                }
                assert_eq!(world.hits(), let_in, "{audience:?} reached a handler");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_answers_inside_and_for_partners_only_where_configured() {
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for partners_too in [false, true] {
        let world = two_ports(|layers| layers.reflection_on_partner_port = partners_too).await;
        let front = world.connect(world.address, None);
        let internal = world.connect(world.internal.expect("two ports"), None);
        call(&internal, reflection, None).await.expect("inside");
        assert_eq!(call(&front, reflection, None).await.is_ok(), partners_too);
        let health = "/grpc.health.v1.Health/Check";
        for channel in [&front, &internal] {
            call(channel, health, None)
                .await
                .expect("health is for everybody");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_port_is_for_everybody() {
    let world = World::new(Plan {
        client_auth: ClientAuth::Off,
        ..Plan::default()
    })
    .await;
    assert_eq!(world.internal, None);
    let channel = world.connect(world.address, None);
    for audience in AUDIENCES {
        world
            .call_as(&channel, audience)
            .await
            .expect("the only port");
    }
}
