//! Habits of the suite's own contracts.

use std::collections::BTreeSet;

use prost_reflect::{Kind, MessageDescriptor};

use super::*;

fn policies() -> Policies {
    match Policies::load() {
        Ok(policies) => policies,
        Err(errors) => {
            let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
            panic!("the contracts have holes:\n{}", lines.join("\n"))
        }
    }
}

#[test]
fn have_no_hole() {
    let policies = policies();
    assert!(policies.methods().len() > 50);
    let services: BTreeSet<_> = policies.methods().map(|m| m.service.clone()).collect();
    for area in ["catalog", "room", "order", "fulfillment"] {
        let package = format!("vitrine.{area}.v1.");
        assert!(services.iter().any(|service| service.starts_with(&package)));
    }
}

#[test]
fn money_already_taken_is_refused_last() {
    let policies = policies();
    let place = policies
        .method("/vitrine.order.v1.OrderService/PlaceOrder")
        .unwrap();
    assert_eq!(place.idempotency_key, ["partner_order_id"]);
    let confirm = policies
        .method("/vitrine.order.v1.OrderService/ConfirmPayment")
        .unwrap();
    assert_eq!(confirm.criticality, Criticality::Critical);
    assert_eq!(confirm.idempotency_key, ["payment_reference", "order_id"]);
}

/// Requests and responses belong to one method each, so that either can change alone.
#[test]
fn have_requests_and_responses_of_their_own() {
    for method in policies().methods() {
        let name = |full: &str| full.rsplit('.').next().map(str::to_owned);
        assert_eq!(
            name(&method.request),
            Some(format!("{}Request", method.name))
        );
        assert_eq!(
            name(&method.response),
            Some(format!("{}Response", method.name))
        );
    }
}

#[test]
fn page_every_list() {
    let policies = policies();
    let has = |message: &str, field: &str| {
        policies
            .pool()
            .get_message_by_name(message)
            .and_then(|message| message.get_field_by_name(field))
            .is_some()
    };
    for method in policies.methods().filter(|m| m.name.starts_with("List")) {
        assert!(has(&method.request, "page_size"), "{}", method.path);
        let by_token =
            has(&method.request, "page_token") && has(&method.response, "next_page_token");
        let by_cursor = has(&method.request, "cursor") && has(&method.response, "next_cursor");
        assert!(by_token || by_cursor, "{}", method.path);
    }
}

/// No field of any type that an entry can hold: what cannot be said in a feed is never said by mistake.
#[test]
fn keep_personal_data_out_of_feeds() {
    let policies = policies();
    let mut found = BTreeSet::new();
    for entry in policies.pool().all_messages() {
        let is_entry = entry.get_field_by_name("meta").is_some_and(
            |meta| matches!(meta.kind(), Kind::Message(meta) if meta.name() == "FeedMeta"),
        );
        if is_entry {
            direct_fields(&policies, &entry, &mut BTreeSet::new(), &mut found);
        }
    }
    assert_eq!(found, BTreeSet::new());
}

fn direct_fields(
    policies: &Policies,
    message: &MessageDescriptor,
    seen: &mut BTreeSet<String>,
    found: &mut BTreeSet<String>,
) {
    if !seen.insert(message.full_name().to_owned()) {
        return;
    }
    for field in message.fields() {
        let policy = policies.field(field.full_name());
        if policy.is_some_and(|policy| policy.personal_data == PersonalData::Direct) {
            found.insert(field.full_name().to_owned());
        }
        if let Kind::Message(inner) = field.kind() {
            direct_fields(policies, &inner, seen, found);
        }
    }
}

#[test]
fn money_is_never_a_float() {
    for message in descriptor_pool().all_messages() {
        if is_ours(message.package_name()) {
            for field in message.fields() {
                let kind = field.kind();
                assert!(
                    !matches!(kind, Kind::Float | Kind::Double),
                    "{}",
                    field.full_name()
                );
            }
        }
    }
}

#[test]
fn reflection_can_decode_the_details_of_errors() {
    let mut pool = DescriptorPool::new();
    for set in crate::reflection_sets() {
        pool.decode_file_descriptor_set(set).unwrap();
    }
    for name in [
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
        "google.rpc.PreconditionFailure",
        "google.rpc.RetryInfo",
        "vitrine.order.v1.Order",
    ] {
        assert!(pool.get_message_by_name(name).is_some(), "{name}");
    }
}
