//! Contact data: who may set it, who may read it, and where it never shows.

use contracts::common::v1::RetailerRole;
use contracts::order::v1 as pb;
use contracts::order::v1::contact::Form;
use contracts::order::v1::order_feed_entry::Content;
use kit::errors::Fault;
use store::sql;
use testkit::{TestDb, on_both_engines, op};
use tonic::Code;

use crate::progress::{Apply, Line, entry};
use crate::world::{World, fields, nth, refused, setup};

fn plain(name: &str, region_code: &str) -> pb::Contact {
    let contact = pb::PlainContact {
        recipient_name: name.into(),
        phone_number: "+33612345678".into(),
        address_lines: vec!["1 rue de la Paix".into(), "Bâtiment B".into()],
        locality: "Paris".into(),
        postal_code: "75002".into(),
        region_code: region_code.into(),
    };
    pb::Contact {
        form: Some(Form::Plain(contact)),
    }
}

fn set(key: &str, order_id: &str, contact: pb::Contact) -> pb::SetContactRequest {
    pb::SetContactRequest {
        request_id: key.into(),
        order_id: order_id.into(),
        contact: Some(contact),
    }
}

fn get(order_id: &str) -> pb::GetContactRequest {
    pb::GetContactRequest {
        order_id: order_id.into(),
        purpose: "label".into(),
    }
}

on_both_engines! {
    setup: setup();

    async fn is_set_changed_and_read(t: TestDb) {
        let world = World::start(t).await;
        world.stock(3).await;
        let placed = world.paid("o-1", &[(1, 1)]).await;
        let id = placed.order_id.as_str();
        let (mut partner, mut warehouse) = (world.partner(1), world.retailer(RetailerRole::Warehouse));
        refused(warehouse.orders.get_contact(get(id)).await, "NOT_FOUND", Code::NotFound);

        let first = set("c-1", id, plain("Ann Example", "FR"));
        let version = partner.orders.set_contact(first.clone()).await.expect("set").into_inner();
        assert_eq!(version.contact_version, 1);
        assert_eq!(partner.orders.set_contact(first).await.expect("again").into_inner(), version);
        let other = set("c-1", id, plain("Bob Example", "FR"));
        refused(partner.orders.set_contact(other).await, "KEY_REUSED", Code::AlreadyExists);
        let token = pb::TokenContact { token: "tok-9".into(), masked_text: "A*** E***".into(), region_code: "FR".into() };
        let token = pb::Contact { form: Some(Form::Token(token)) };
        let second = partner.orders.set_contact(set("c-2", id, token.clone())).await.expect("changed").into_inner();
        assert_eq!(second.contact_version, 2);

        let found = warehouse.orders.get_contact(get(id)).await.expect("there").into_inner();
        assert_eq!((found.contact, found.contact_version), (Some(token), 2));
        let order = world.get(id).await;
        assert!(order.has_contact && order.ship_blocks.is_empty());
        let changes = world.feed(world.partner(1)).await;
        let changes = changes.iter().filter(|entry| matches!(
            &entry.content, Some(Content::OrderChanged(changed)) if changed.change() == pb::OrderChange::ContactSet
        ));
        assert_eq!(changes.count(), 2);
    }

    async fn goes_where_the_order_goes(t: TestDb) {
        let world = World::start(t).await;
        world.stock(3).await;
        let placed = world.place("o-1", &[(1, 1)]).await;
        let mut partner = world.partner(1);
        let elsewhere = set("c-1", &placed.order_id, plain("Ann Example", "DE"));
        let status = refused(partner.orders.set_contact(elsewhere).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(fields(&status), ["contact.region_code"]);
        let nowhere = pb::SetContactRequest { contact: None, ..set("c", &placed.order_id, plain("", "")) };
        let status = refused(partner.orders.set_contact(nowhere).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(fields(&status), ["contact"]);
    }

    async fn may_change_until_something_has_shipped(t: TestDb) {
        let world = World::start(t).await;
        world.stock(5).await;
        let placed = world.paid("o-1", &[(1, 2)]).await;
        let mut partner = world.partner(1);
        partner.orders.set_contact(set("c-1", &placed.order_id, plain("Ann", "FR"))).await.expect("set");
        world.t.execute(Apply(entry(&placed, &[Line { shipped: 1, ..Line::default() }]))).await.expect("applied");
        let late = set("c-2", &placed.order_id, plain("Bob", "FR"));
        refused(partner.orders.set_contact(late).await, "TOO_LATE", Code::FailedPrecondition);
        let gone = world.place("o-2", &[(1, 1)]).await;
        let cancel = pb::CancelOrderRequest {
            request_id: "x".into(), order_id: gone.order_id.clone(), lines: Vec::new(),
            reason: pb::CancelReason::ShopperRequest.into(),
        };
        partner.orders.cancel_order(cancel).await.expect("cancelled");
        let late = set("c-3", &gone.order_id, plain("Ann", "FR"));
        refused(partner.orders.set_contact(late).await, "WRONG_STATE", Code::FailedPrecondition);
    }

    async fn every_read_is_in_the_audit_trail_and_nothing_else_holds_it(t: TestDb) {
        let world = World::start(t).await;
        world.stock(3).await;
        let placed = world.paid("o-1", &[(1, 1)]).await;
        let id = placed.order_id.clone();
        let mut partner = world.partner(1);
        partner.orders.set_contact(set("c-1", &id, plain("Zebulon Quixote", "FR"))).await.expect("set");
        for mut reader in [world.retailer(RetailerRole::Care), world.service()] {
            reader.orders.get_contact(get(&id)).await.expect("read");
        }
        refused(world.ops().orders.get_contact(get(&id)).await, "PERMISSION_DENIED", Code::PermissionDenied);
        refused(partner.orders.get_contact(get(&id)).await, "PERMISSION_DENIED", Code::PermissionDenied);

        let looked_for = id.clone();
        let rows = op("look", move |tx| {
            let id = looked_for.clone();
            Box::pin(async move {
                let rows = sql!(
                    tx,
                    all (String, String),
                    "SELECT who, outcome FROM audit WHERE action = 'contact.read' AND resource_id = $1 ORDER BY position",
                    id
                )?;
                Ok::<_, Fault>(rows)
            })
        });
        let rows = world.t.read(rows).await.expect("the audit trail");
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|(_, outcome)| outcome == "read for: label"), "{rows:?}");
        assert!(rows[0].0.contains("ana") && rows[1].0.contains("fulfillment"), "{rows:?}");

        let everything = op("dump", |tx| {
            Box::pin(async move {
                let mut texts = Vec::new();
                let payloads = sql!(tx, all (Vec<u8>,), "SELECT payload FROM feed")?;
                texts.extend(payloads.into_iter().map(|(payload,)| String::from_utf8_lossy(&payload).into_owned()));
                let kept = sql!(tx, all (Vec<u8>,), "SELECT response FROM idempotency")?;
                texts.extend(kept.into_iter().map(|(kept,)| String::from_utf8_lossy(&kept).into_owned()));
                let audits = sql!(tx, all (String, String), "SELECT action, outcome FROM audit")?;
                texts.extend(audits.into_iter().map(|(action, outcome)| action + &outcome));
                Ok::<_, Fault>(texts)
            })
        });
        let texts = world.t.read(everything).await.expect("everything");
        assert!(texts.len() > 5 && texts.iter().all(|text| !text.contains("Zebulon") && !text.contains("rue de la")));
    }

    async fn anothers_order_is_no_order(t: TestDb) {
        let world = World::start(t).await;
        world.stock(3).await;
        let placed = world.paid("o-1", &[(1, 1)]).await;
        let mut other = world.partner(2);
        let unknown = nth::<contracts::id::kind::Order>(77).to_string();
        let foreign = other.orders.set_contact(set("c-1", &placed.order_id, plain("Ann", "FR"))).await;
        let foreign = refused(foreign, "NOT_FOUND", Code::NotFound);
        let unknown = other.orders.set_contact(set("c-1", &unknown, plain("Ann", "FR"))).await;
        assert_eq!(foreign.message(), refused(unknown, "NOT_FOUND", Code::NotFound).message());
    }
}
