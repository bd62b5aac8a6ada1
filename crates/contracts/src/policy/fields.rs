//! Reads and checks the policy of every field, and finds the fields that lack one.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

use super::{FieldPolicy, Ownership, PersonalData, PolicyError, field_option, is_ours, pb};

/// Last words of the names of fields that identify something.
const IDENTIFYING: &[&str] = &["id", "ids", "ref", "refs", "reference", "references"];

/// Words in the name of a field that always mean a person.
const PERSONAL: &[&str] = &[
    "shopper",
    "person",
    "recipient",
    "phone",
    "telephone",
    "mobile",
    "email",
    "mail",
    "address",
    "street",
    "postal",
    "postcode",
    "zip",
    "surname",
    "birth",
];

/// Words that mean a person in a message that holds personal data already, and mostly something else in others.
const PERSONAL_AMONG_PERSONAL: &[&str] = &[
    "name", "note", "notes", "text", "comment", "line", "lines", "locality", "city", "contact",
];

pub(super) fn read(pool: &DescriptorPool) -> (HashMap<String, FieldPolicy>, Vec<PolicyError>) {
    let mut policies = HashMap::new();
    let mut errors = Vec::new();
    for message in pool.all_messages() {
        if !is_ours(message.package_name()) || message.is_map_entry() {
            continue;
        }
        if let Err(error) = read_message(pool, &message, &mut policies, &mut errors) {
            errors.push(error);
        }
    }
    (policies, errors)
}

fn read_message(
    pool: &DescriptorPool,
    message: &MessageDescriptor,
    policies: &mut HashMap<String, FieldPolicy>,
    errors: &mut Vec<PolicyError>,
) -> Result<(), PolicyError> {
    let mut fields = Vec::new();
    for field in message.fields() {
        let policy = field_option(pool, &field)?.map(|option| typed(&option));
        fields.push((field, policy));
    }
    let is_personal = fields
        .iter()
        .flat_map(|(_, policy)| policy)
        .any(|policy| policy.personal_data == PersonalData::Direct);

    for (field, policy) in fields {
        let found = match &policy {
            None => missing(&field, is_personal).map(|why| PolicyError::MissingFieldPolicy {
                field: field.full_name().to_owned(),
                why,
            }),
            Some(policy) => incomplete(&field, policy, is_personal).map(|problem| {
                PolicyError::IncompleteFieldPolicy {
                    field: field.full_name().to_owned(),
                    problem,
                }
            }),
        };
        errors.extend(found);
        if let Some(policy) = policy {
            policies.insert(field.full_name().to_owned(), policy);
        }
    }
    Ok(())
}

fn typed(option: &pb::FieldPolicy) -> FieldPolicy {
    FieldPolicy {
        resource: Some(option.resource.clone()).filter(|resource| !resource.is_empty()),
        ownership: Ownership::try_from(option.ownership).unwrap_or(Ownership::Unspecified),
        // What this code does not know it hides.
        personal_data: PersonalData::try_from(option.personal_data).unwrap_or(PersonalData::Direct),
    }
}

fn missing(field: &FieldDescriptor, is_personal: bool) -> Option<&'static str> {
    if identifies(field) {
        Some("its name says that it identifies something")
    } else if names_a_person(field, is_personal) {
        Some("its name says that it holds personal data")
    } else {
        None
    }
}

fn incomplete(
    field: &FieldDescriptor,
    policy: &FieldPolicy,
    is_personal: bool,
) -> Option<&'static str> {
    let owned = policy.ownership != Ownership::Unspecified;
    let personal = policy.personal_data != PersonalData::Unspecified;
    match (&policy.resource, owned) {
        (Some(_), false) => Some("it names a resource and no known ownership"),
        (None, true) => Some("it names an ownership and no resource"),
        (None, false) if identifies(field) => Some(
            "its name says that it identifies something, and it names no resource and ownership",
        ),
        (None, false) if !personal => Some("it says nothing"),
        _ if !personal && names_a_person(field, is_personal) => {
            Some("its name says that it holds personal data, and it names no kind of personal data")
        }
        _ => None,
    }
}

/// Whether the name says that the text identifies something.
fn identifies(field: &FieldDescriptor) -> bool {
    is_text(field)
        && words(field.name())
            .next_back()
            .is_some_and(|last| IDENTIFYING.contains(&last))
}

/// Whether the name says that the text is about a person.
fn names_a_person(field: &FieldDescriptor, is_personal: bool) -> bool {
    is_text(field)
        && words(field.name()).any(|word| {
            PERSONAL.contains(&word) || (is_personal && PERSONAL_AMONG_PERSONAL.contains(&word))
        })
}

/// Text or bytes, single, repeated, or as the values of a map.
pub(super) fn is_text(field: &FieldDescriptor) -> bool {
    match field.kind() {
        Kind::String | Kind::Bytes => true,
        Kind::Message(entry) if entry.is_map_entry() => is_text(&entry.map_entry_value_field()),
        _ => false,
    }
}

fn words(name: &str) -> impl DoubleEndedIterator<Item = &str> {
    name.split('_')
}
