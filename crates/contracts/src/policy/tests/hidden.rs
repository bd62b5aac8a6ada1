//! Every field that identifies or reaches a person, filled with a marker and printed.

use std::fmt::Debug;

use prost::Message;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value};

use super::*;

const MARK: &str = "mkrzq-secret";

/// A message with a marker in each of its hidden fields, and how many those are.
fn marked(descriptor: &MessageDescriptor) -> (DynamicMessage, usize) {
    let mut message = DynamicMessage::new(descriptor.clone());
    let mut count = 0;
    for field in descriptor.fields() {
        let policy = field_option(descriptor_pool(), &field).unwrap();
        let direct = policy.is_some_and(|p| p.personal_data == PersonalData::Direct as i32);
        if !direct {
            continue;
        }
        assert_eq!(field.kind(), Kind::String, "{}", field.full_name());
        let text = Value::String(MARK.into());
        let value = if field.is_list() {
            Value::List(vec![text])
        } else {
            text
        };
        message.set_field(&field, value);
        count += 1;
    }
    (message, count)
}

fn printed<M: Message + Default + Debug>(message: &DynamicMessage) -> String {
    let typed = M::decode(message.encode_to_vec().as_slice()).unwrap();
    format!("{typed:?} {typed:#?}")
}

macro_rules! printers {
    ($($name:literal => $kind:ty),+ $(,)?) => {
        fn print(name: &str, message: &DynamicMessage) -> Option<String> {
            match name {
                $($name => Some(printed::<$kind>(message)),)+
                _ => None,
            }
        }
    };
}

printers! {
    "vitrine.order.v1.PlainContact" => crate::order::v1::PlainContact,
    "vitrine.order.v1.TokenContact" => crate::order::v1::TokenContact,
    "vitrine.room.v1.AskQuestionRequest" => crate::room::v1::AskQuestionRequest,
    "vitrine.room.v1.Question" => crate::room::v1::Question,
    "vitrine.fulfillment.v1.RequestReturnRequest" => crate::fulfillment::v1::RequestReturnRequest,
    "vitrine.fulfillment.v1.GetReturnResponse" => crate::fulfillment::v1::GetReturnResponse,
    "vitrine.fulfillment.v1.CaseMessage" => crate::fulfillment::v1::CaseMessage,
    "vitrine.fulfillment.v1.CaseMessageDraft" => crate::fulfillment::v1::CaseMessageDraft,
    "vitrine.fulfillment.v1.CaseArbiter" => crate::fulfillment::v1::CaseArbiter,
    "vitrine.fulfillment.v1.CaseDecision" => crate::fulfillment::v1::CaseDecision,
}

mod security {
    use super::*;

    #[test]
    fn personal_data_of_every_field_is_not_in_debug_and_not_in_what_is_logged() {
        let mut fields = 0;
        for descriptor in descriptor_pool().all_messages() {
            if !is_ours(descriptor.package_name()) {
                continue;
            }
            let (message, count) = marked(&descriptor);
            if count == 0 {
                continue;
            }
            fields += count;
            let name = descriptor.full_name();
            let shown = print(name, &message).unwrap_or_else(|| {
                panic!("{name} holds personal data: add it to the printers of this test")
            });
            assert!(
                shown.contains("<hidden>") && !shown.contains(MARK),
                "{shown}"
            );
            assert!(!redact(&message).contains(MARK));
        }
        assert!(fields >= 15, "{fields} fields");
    }
}
