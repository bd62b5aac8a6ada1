use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;
use rstest::rstest;

use super::*;

struct Vector;

impl Kind for Vector {
    const PREFIX: &'static str = "prefix";
}

/// The published vectors of the TypeID specification, with one prefix for all.
#[rstest]
#[case::nil("00000000000000000000000000", 0)]
#[case::one("00000000000000000000000001", 1)]
#[case::ten("0000000000000000000000000a", 10)]
#[case::sixteen("0000000000000000000000000g", 16)]
#[case::thirty_two("00000000000000000000000010", 32)]
#[case::max("7zzzzzzzzzzzzzzzzzzzzzzzzz", u128::MAX)]
#[case::alphabet("0123456789abcdefghjkmnpqrs", 0x0110c853_1d09_52d8_d73e_1194e95b5f19)]
#[case::uuid_v7("01h455vb4pex5vsknk084sn02q", 0x01890a5d_ac96_774b_bcce_b302099a8057)]
fn agrees_with_the_specification(#[case] suffix: &str, #[case] uuid: u128) {
    let text = format!("prefix_{suffix}");
    let id = Id::<Vector>::from_uuid(uuid);
    assert_eq!(id.as_str(), text);
    assert_eq!(id.uuid(), uuid);
    assert_eq!(Id::<Vector>::parse(&text), Ok(id));
}

#[rstest]
#[case::empty("", IdError::Prefix { expected: "prefix" })]
#[case::prefix_only("prefix", IdError::Prefix { expected: "prefix" })]
#[case::upper_case_prefix("PREFIX_00000000000000000000000000", IdError::Prefix { expected: "prefix" })]
#[case::other_prefix("order_00000000000000000000000000", IdError::Prefix { expected: "prefix" })]
#[case::longer_prefix("prefixes_00000000000000000000000000", IdError::Prefix { expected: "prefix" })]
#[case::space_before(" prefix_00000000000000000000000000", IdError::Prefix { expected: "prefix" })]
#[case::no_prefix("00000000000000000000000000", IdError::Prefix { expected: "prefix" })]
#[case::no_separator("prefix00000000000000000000000000", IdError::Prefix { expected: "prefix" })]
#[case::other_separator("prefix-00000000000000000000000000", IdError::Prefix { expected: "prefix" })]
#[case::no_suffix("prefix_", IdError::Length { expected: "prefix" })]
#[case::short("prefix_1234567890123456789012345", IdError::Length { expected: "prefix" })]
#[case::long("prefix_123456789012345678901234567", IdError::Length { expected: "prefix" })]
#[case::two_separators("prefix__0000000000000000000000000", IdError::Character)]
#[case::upper_case("prefix_0123456789ABCDEFGHJKMNPQRS", IdError::Character)]
#[case::hyphens("prefix_123456789-123456789-123456", IdError::Character)]
#[case::ambiguous_letters("prefix_ooooooiiiiiiuuuuuuulllllll", IdError::Character)]
#[case::ambiguous_digits("prefix_i23456789ol23456789oi23456", IdError::Character)]
#[case::space_inside("prefix_ 0000000000000000000000000", IdError::Character)]
#[case::nul("prefix_0000000000000000000000000\0", IdError::Character)]
#[case::two_byte_letters("prefix_ääääääääääääa", IdError::Length { expected: "prefix" })]
#[case::two_byte_letters_of_the_right_length("prefix_äääääääääääää", IdError::Character)]
#[case::too_large("prefix_8zzzzzzzzzzzzzzzzzzzzzzzzz", IdError::TooLarge)]
#[case::far_too_large("prefix_zzzzzzzzzzzzzzzzzzzzzzzzzz", IdError::TooLarge)]
fn refuses(#[case] text: &str, #[case] error: IdError) {
    assert_eq!(Id::<Vector>::parse(text), Err(error));
}

#[test]
fn errors_say_what_is_expected_and_never_what_was_sent() {
    assert_eq!(
        OrderId::parse("room_00000000000000000000000000")
            .unwrap_err()
            .to_string(),
        "must be an id that starts with `order_`"
    );
    assert_eq!(
        OrderId::parse("order_0").unwrap_err().to_string(),
        "must have 26 characters after `order_`"
    );
}

#[test]
fn prefixes_are_short_distinct_lower_case_words() {
    let distinct: BTreeSet<_> = PREFIXES.iter().collect();
    assert_eq!(distinct.len(), PREFIXES.len());
    for prefix in PREFIXES {
        assert!(prefix.len() <= MAX_PREFIX_LEN, "{prefix}");
        assert!(prefix.bytes().all(|b| b.is_ascii_lowercase()), "{prefix}");
    }
}

#[test]
fn the_longest_prefix_fits() {
    let id = AllotmentId::from_uuid(u128::MAX);
    assert_eq!(id.as_str(), "allotment_7zzzzzzzzzzzzzzzzzzzzzzzzz");
    assert_eq!(AllotmentId::LEN, id.as_str().len());
}

#[test]
fn a_map_by_id_can_be_asked_with_text() {
    let id = RoomId::from_uuid(77);
    let rooms = HashMap::from([(id, "one")]);
    assert_eq!(rooms.get(id.as_str()), Some(&"one"));
    assert_eq!(rooms.get("room_00000000000000000000000000"), None);
}

#[test]
fn prints_and_converts() {
    let id = OrderId::from_uuid(1);
    let text = "order_00000000000000000000000001";
    assert_eq!(id.to_string(), text);
    assert_eq!(format!("{id:?}"), text);
    assert_eq!(format!("{id:>34}"), format!("  {text}"));
    assert_eq!(String::from(id), text);
    assert_eq!(id, text);
    assert_eq!(text.parse::<OrderId>(), Ok(id));
    assert_eq!(OrderId::try_from(text.to_owned()), Ok(id));
}

#[test]
fn travels_through_serde_as_text() {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};

    let read = |text: &'static str| {
        let from: StrDeserializer<'_, Error> = text.into_deserializer();
        OrderId::deserialize(from)
    };
    assert_eq!(
        read("order_00000000000000000000000001"),
        Ok(OrderId::from_uuid(1))
    );
    let error = read("room_00000000000000000000000001").unwrap_err();
    assert_eq!(error.to_string(), "must be an id that starts with `order_`");
}

proptest! {
    #[test]
    fn round_trips(uuid: u128) {
        let id = ListingId::from_uuid(uuid);
        prop_assert_eq!(id.uuid(), uuid);
        prop_assert_eq!(ListingId::parse(id.as_str()), Ok(id));
    }

    #[test]
    fn sorts_as_the_uuid_does(a: u128, b: u128) {
        prop_assert_eq!(DropId::from_uuid(a).cmp(&DropId::from_uuid(b)), a.cmp(&b));
        prop_assert_eq!(
            DropId::from_uuid(a).as_str().cmp(DropId::from_uuid(b).as_str()),
            a.cmp(&b)
        );
    }

    #[test]
    fn any_text_is_refused_or_kept_as_it_is(text in "(order_)?[0-9a-zA-Z_ ]{0,30}") {
        if let Ok(id) = OrderId::parse(&text) {
            prop_assert_eq!(id.as_str(), &text);
            prop_assert_eq!(OrderId::from_uuid(id.uuid()), id);
        }
    }

    #[test]
    fn any_suffix_of_the_alphabet_is_an_id(suffix in "[0-7][0-9a-hjkmnp-tv-z]{25}") {
        let text = format!("order_{suffix}");
        prop_assert!(OrderId::parse(&text).is_ok());
    }

    #[test]
    fn never_panics(text in ".{0,60}") {
        let _ = OrderId::parse(&text);
    }
}
