//! Contact data is sealed where it is kept, and erased when nothing needs it.

use std::time::Duration;

use contracts::common::v1::{ErasureDeferral, ErasureState, RetailerRole, ShopperErasure};
use contracts::order::v1 as pb;
use contracts::order::v1::contact::Form;
use kit::errors::Fault;
use order::ops::privacy::ContactErasure;
use store::erasure::Eraser;
use store::sql;
use testkit::{TestDb, on_both_engines, op};
use tonic::Code;

use crate::world::{World, refused, setup};

fn contact(name: &str) -> pb::Contact {
    let plain = pb::PlainContact {
        recipient_name: name.into(),
        phone_number: "+33612345678".into(),
        address_lines: vec!["1 rue de la Paix".into()],
        locality: "Paris".into(),
        postal_code: "75002".into(),
        region_code: "FR".into(),
    };
    pb::Contact {
        form: Some(Form::Plain(plain)),
    }
}

fn get(order_id: &str) -> pb::GetContactRequest {
    pb::GetContactRequest {
        order_id: order_id.into(),
        purpose: "label".into(),
    }
}

async fn set(world: &World, order_id: &str, name: &str) {
    let request = pb::SetContactRequest {
        request_id: format!("c-{name}"),
        order_id: order_id.into(),
        contact: Some(contact(name)),
    };
    world
        .partner(1)
        .orders
        .set_contact(request)
        .await
        .expect("set");
}

fn eraser(world: &World, retention_days: u32) -> Eraser<ContactErasure> {
    let retention = Duration::from_secs(24 * 3_600) * retention_days;
    let keys = world.t.keys.clone().expect("a key store");
    Eraser::new(world.t.db.clone(), keys, ContactErasure { retention })
}

async fn ask(world: &World, shopper_ref: &str) {
    let request = pb::EraseShopperRequest {
        request_id: "e-1".into(),
        partner_id: String::new(),
        shopper_ref: shopper_ref.into(),
    };
    let mut partner = world.partner(1);
    let first = partner
        .privacy
        .erase_shopper(request.clone())
        .await
        .expect("asked")
        .into_inner();
    let again = partner
        .privacy
        .erase_shopper(request)
        .await
        .expect("again")
        .into_inner();
    assert_eq!(first, again);
}

async fn told(world: &World, shopper_ref: &str) -> ShopperErasure {
    let request = pb::GetErasureRequest {
        partner_id: String::new(),
        shopper_ref: shopper_ref.into(),
    };
    let answer = world
        .partner(1)
        .privacy
        .get_erasure(request)
        .await
        .expect("told")
        .into_inner();
    answer.erasure.expect("it was asked for")
}

/// What the table holds of an order, as text.
async fn stored(world: &World, order_id: &str) -> Option<(String, String, Option<Vec<u8>>)> {
    let order_id = order_id.to_owned();
    let row = op("row", move |tx| {
        let order_id = order_id.clone();
        Box::pin(async move {
            let row = sql!(
                tx,
                optional(String, String, Option<Vec<u8>>),
                "SELECT recipient_name || phone_number || address_lines || locality || postal_code || token || \
                 masked_text, key_id, sealed FROM contact WHERE order_id = $1",
                order_id
            )?;
            Ok::<_, Fault>(row)
        })
    });
    world.t.read(row).await.expect("read")
}

mod security {
    use super::*;

    on_both_engines! {
        setup: setup();

        async fn personal_data_is_erased_when_its_order_needs_it_no_longer(t: TestDb) {
            let world = World::start(t).await;
            world.stock(3).await;
            let placed = world.place("o-1", &[(1, 1)]).await;
            let id = placed.order_id.clone();
            let shopper = world.get(&id).await.shopper_ref;
            set(&world, &id, "Ann Example").await;
            let (plain, key_id, sealed) = stored(&world, &id).await.expect("a row");
            assert!(plain.is_empty() && !key_id.is_empty());
            assert!(!String::from_utf8_lossy(&sealed.expect("sealed")).contains("Ann"));
            let mut care = world.retailer(RetailerRole::Care);
            let read = care.orders.get_contact(get(&id)).await.expect("read").into_inner();
            assert_eq!(read.contact, Some(contact("Ann Example")));

            ask(&world, &shopper).await;
            eraser(&world, 10).once().await.expect("looked");
            let field = told(&world, &shopper).await.fields[0];
            assert_eq!((field.state(), field.deferral()), (ErasureState::Deferred, ErasureDeferral::OrderOpen));
            let cancel = pb::CancelOrderRequest {
                request_id: "x".into(),
                order_id: id.clone(),
                lines: Vec::new(),
                reason: pb::CancelReason::ShopperRequest.into(),
            };
            world.partner(1).orders.cancel_order(cancel).await.expect("cancelled");
            world.t.clock.advance(Duration::from_secs(3_600));
            eraser(&world, 10).once().await.expect("looked");
            let field = told(&world, &shopper).await.fields[0];
            assert_eq!(field.deferral(), ErasureDeferral::LegalRetention);
            assert!(field.until_time.is_some());
            let order = world.get(&id).await;

            world.t.clock.advance(Duration::from_secs(11 * 24 * 3_600));
            eraser(&world, 10).once().await.expect("erased");
            let field = told(&world, &shopper).await.fields[0];
            assert_eq!((field.state(), field.deferral()), (ErasureState::Erased, ErasureDeferral::Unspecified));
            assert!(field.erase_time.is_some() && field.backups_until_time.is_some());
            let mut care = world.retailer(RetailerRole::Care);
            refused(care.orders.get_contact(get(&id)).await, "NOT_FOUND", Code::NotFound);
            assert_eq!(stored(&world, &id).await, None);
            assert_eq!(world.get(&id).await, order, "the order stays as it is");
        }

        async fn personal_data_from_before_there_were_seals_is_sealed(t: TestDb) {
            let world = World::start(t).await;
            world.stock(3).await;
            let placed = world.paid("o-1", &[(1, 1)]).await;
            let id = placed.order_id.clone();
            let order_id = id.clone();
            let before = op("before", move |tx| {
                let order_id = order_id.clone();
                Box::pin(async move {
                    let now = tx.now();
                    sql!(
                        tx,
                        execute,
                        "INSERT INTO contact (order_id, form, recipient_name, phone_number, address_lines, locality, \
                         postal_code, region_code, token, masked_text, contact_version, update_time) \
                         VALUES ($1, 'PLAIN', 'Ann Example', '+33612345678', '[\"1 rue de la Paix\"]', 'Paris', \
                         '75002', 'FR', '', '', 1, $2)",
                        order_id,
                        now
                    )?;
                    Ok::<_, Fault>(())
                })
            });
            world.t.execute(before).await.expect("as it was written before");
            let mut care = world.retailer(RetailerRole::Care);
            let read = care.orders.get_contact(get(&id)).await.expect("read").into_inner();
            assert_eq!(read.contact, Some(contact("Ann Example")), "readable meanwhile");
            let eraser = eraser(&world, 0);
            assert_eq!(eraser.seal(10).await.expect("sealed"), 1);
            assert_eq!(eraser.seal(10).await.expect("nothing left"), 0);
            let (plain, key_id, _) = stored(&world, &id).await.expect("a row");
            assert!(plain.is_empty() && !key_id.is_empty());
            let read = care.orders.get_contact(get(&id)).await.expect("read").into_inner();
            assert_eq!((read.contact, read.contact_version), (Some(contact("Ann Example")), 1));
        }

        async fn personal_data_of_anothers_shopper_is_not_theirs_to_erase(t: TestDb) {
            let world = World::start(t).await;
            let request = pb::EraseShopperRequest {
                request_id: "e".into(),
                partner_id: crate::world::partner(2).to_string(),
                shopper_ref: "s".into(),
            };
            let foreign = world.partner(1).privacy.erase_shopper(request).await;
            refused(foreign, "NOT_FOUND", Code::NotFound);
            let request = pb::GetErasureRequest { partner_id: String::new(), shopper_ref: "s".into() };
            refused(world.partner(1).privacy.get_erasure(request).await, "NOT_FOUND", Code::NotFound);
        }
    }
}
