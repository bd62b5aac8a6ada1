use proptest::prelude::*;

use super::*;
use crate::common::v1::{FeedMeta, Money};
use crate::order::v1::{Contact, Order, PlainContact, ShipBlock, contact};

fn contact(name: &str) -> Contact {
    Contact {
        form: Some(contact::Form::Plain(PlainContact {
            recipient_name: name.into(),
            phone_number: "+33612345678".into(),
            address_lines: vec!["1 Secret Street".into()],
            locality: "Hiddenville".into(),
            postal_code: "75001".into(),
            ..PlainContact::default()
        })),
    }
}

#[test]
fn hides_what_identifies_or_reaches_a_person() {
    let text = redact_message(&contact("Marie Curie"));
    assert_eq!(
        text,
        "vitrine.order.v1.Contact { plain: { recipient_name: <hidden>, phone_number: <hidden>, \
         address_lines: <hidden>, locality: <hidden>, postal_code: <hidden> } }"
    );
}

#[test]
fn debug_hides_the_same() {
    let text = format!("{:?}", contact("Marie Curie"));
    assert!(text.contains("recipient_name: <hidden>"), "{text}");
    for personal in ["Marie", "33612345678", "Secret", "Hiddenville", "75001"] {
        assert!(!text.contains(personal), "{text}");
    }
}

#[test]
fn shows_the_rest() {
    let order = Order {
        order_id: "order_1".into(),
        shopper_ref: "shopper-7".into(),
        ship_blocks: vec![ShipBlock::Remorse.into(), 99],
        refund_due: Some(Money {
            currency_code: "EUR".into(),
            minor_units: -5,
        }),
        has_contact: true,
        ..Order::default()
    };
    assert_eq!(
        redact_message(&order),
        "vitrine.order.v1.Order { order_id: \"order_1\", shopper_ref: \"shopper-7\", \
         ship_blocks: [SHIP_BLOCK_REMORSE, 99], has_contact: true, \
         refund_due: { currency_code: \"EUR\", minor_units: -5 } }"
    );
    assert_eq!(
        redact_message(&Order::default()),
        "vitrine.order.v1.Order {}"
    );
}

#[test]
fn hides_credentials() {
    let touchpoint = crate::common::v1::Touchpoint {
        surface: "replay".into(),
        click_token: "signed".into(),
        ..Default::default()
    };
    assert_eq!(
        redact_message(&touchpoint),
        "vitrine.common.v1.Touchpoint { surface: \"replay\", click_token: <hidden> }"
    );
    let debug = format!("{touchpoint:?}");
    assert!(debug.contains("click_token: <hidden>"), "{debug}");

    let confirm = crate::order::v1::ConfirmPaymentRequest {
        statement: "e30.e30.c2ln".into(),
        ..Default::default()
    };
    assert!(!format!("{confirm:?}").contains("e30"));
    assert!(!redact_message(&confirm).contains("e30"));
}

#[test]
fn shows_where_a_list_goes_on() {
    let request = crate::order::v1::ListDropsRequest {
        page_token: "next".into(),
        ..Default::default()
    };
    let text = redact_message(&request);
    assert!(text.ends_with("{ page_token: \"next\" }"), "{text}");
}

#[test]
fn cuts_what_is_long() {
    let meta = FeedMeta {
        cursor: "é".repeat(500),
        ..FeedMeta::default()
    };
    let text = redact_message(&meta);
    assert!(text.ends_with("é\"… (1000 bytes) }"), "{text}");

    let order = Order {
        ship_blocks: vec![ShipBlock::Fraud.into(); 20],
        ..Order::default()
    };
    assert!(redact_message(&order).contains("SHIP_BLOCK_FRAUD, and 4 more]"));

    let huge = Order {
        lines: vec![
            crate::order::v1::OrderLine {
                title: "x".repeat(120),
                sku: "y".repeat(120),
                legal_entity: "z".repeat(120),
                unit_ids: vec!["u".repeat(100); 16],
                ..Default::default()
            };
            16
        ],
        ..Order::default()
    };
    let text = redact_message(&huge);
    assert!(text.len() < 9 * 1024, "{}", text.len());
    assert!(text.ends_with(" …"));
}

#[test]
fn what_cannot_be_read_is_not_printed() {
    assert_eq!(
        redact_bytes("vitrine.order.v1.Nothing", b"Marie"),
        "vitrine.order.v1.Nothing <unreadable, 5 bytes>"
    );
    assert_eq!(
        redact_bytes("vitrine.order.v1.Order", b"\x0aMarie"),
        "vitrine.order.v1.Order <unreadable, 6 bytes>"
    );
}

#[test]
fn fields_of_other_contracts_are_hidden() {
    let set = compile("message Thing { string title = 1; }");
    let pool = DescriptorPool::decode(&set[..]).unwrap();
    let descriptor = pool.get_message_by_name("test.v1.Thing").unwrap();
    let message = prost_reflect::DynamicMessage::decode(descriptor, &b"\x0a\x05Marie"[..]).unwrap();
    assert_eq!(redact(&message), "test.v1.Thing { title: <hidden> }");
}

proptest! {
    #[test]
    fn a_name_never_shows(name in "[A-Z][a-z]{11,60}") {
        let contact = contact(&name);
        prop_assert!(!redact_message(&contact).contains(&name));
        let debug = format!("{contact:?} {contact:#?}");
        prop_assert!(!debug.contains(&name));
    }

    #[test]
    fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = redact_bytes("vitrine.order.v1.Order", &bytes);
        prop_assert!(text.starts_with("vitrine.order.v1.Order "));
    }
}
