//! Global Trade Item Numbers.

/// Why a text is no GTIN; ends the sentence "The GTIN …".
pub fn problem(gtin: &str) -> Option<&'static str> {
    if !matches!(gtin.len(), 8 | 12 | 13 | 14) || !gtin.bytes().all(|digit| digit.is_ascii_digit())
    {
        return Some("must have 8, 12, 13 or 14 digits.");
    }
    // From the right, the check digit included, digits weigh 1 and 3 in turn and sum to a multiple of ten.
    let sum: u32 = gtin
        .bytes()
        .rev()
        .zip([1, 3].into_iter().cycle())
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    (!sum.is_multiple_of(10)).then_some("has a wrong check digit, its last one.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn real_numbers_pass() {
        for gtin in [
            "96385074",
            "036000291452",
            "4006381333931",
            "10012345678902",
        ] {
            assert_eq!(problem(gtin), None, "{gtin}");
        }
    }

    #[test]
    fn other_texts_do_not() {
        for text in [
            "",
            "9638507",
            "4006381333932",
            "40063813339310",
            "abcdefgh",
            "４006381333931",
            "-9638507",
        ] {
            assert!(problem(text).is_some(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn one_wrong_digit_never_passes(place in 0usize..13, digit in 0u8..10) {
            let mut gtin = "4006381333931".to_owned().into_bytes();
            prop_assume!(gtin[place] != b'0' + digit);
            gtin[place] = b'0' + digit;
            let gtin = String::from_utf8(gtin).expect("digits");
            prop_assert!(problem(&gtin).is_some());
        }
    }
}
