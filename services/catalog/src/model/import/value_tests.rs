use proptest::prelude::*;

use super::*;

fn eur() -> Currency {
    "EUR".parse().expect("a currency")
}

fn cents(text: &str) -> Result<i64, Reason> {
    price(text, eur())
        .map(|money| money.minor_units)
        .map_err(|(reason, ..)| reason)
}

#[test]
fn prices_are_exact_or_refused() {
    for (text, wanted) in [
        ("19.99", 1_999),
        ("50", 5_000),
        ("0", 0),
        ("0.5", 50),
        ("9.990", 999),
        ("007.1", 710),
        ("9999999999.99", 999_999_999_999),
    ] {
        assert_eq!(cents(text), Ok(wanted), "{text}");
    }
    for text in [
        "",
        "-1",
        "1,299.00",
        "19,99",
        "1 299",
        "$5",
        "5 EUR",
        "5.",
        ".5",
        "1.2.3",
        "1e3",
        "NaN",
        "inf",
        "19.999",
        "٣",
        "1_000",
        "99999999999999999999",
        "10000000000000.01",
        "+5",
        "０",
    ] {
        assert_eq!(cents(text), Err(Reason::BadPrice), "{text}");
    }
    let yen: Currency = "JPY".parse().expect("a currency");
    let dinar: Currency = "KWD".parse().expect("a currency");
    assert_eq!(price("1200.00", yen).expect("whole").minor_units, 1_200);
    assert!(price("1200.50", yen).is_err());
    assert_eq!(
        price("1.234", dinar).expect("three decimals").minor_units,
        1_234
    );
}

#[test]
fn prices_may_name_their_currency() {
    let read =
        |text: &str, default| price_with_currency(text, default).map(|money| money.to_string());
    assert_eq!(read("19.99 USD", None), Ok("19.99 USD".into()));
    assert_eq!(read("usd 19.99", Some(eur())), Ok("19.99 USD".into()));
    assert_eq!(read("19.99", Some(eur())), Ok("19.99 EUR".into()));
    for text in ["19.99", "19.99 XXQ", "19.99 US Dollars", "19,99 EUR", ""] {
        assert_eq!(
            read(text, None).expect_err(text).0,
            Reason::BadPrice,
            "{text}"
        );
    }
}

#[test]
fn counts_are_whole_and_not_negative() {
    for (text, wanted) in [
        ("0", 0),
        ("12", 12),
        ("12.0", 12),
        ("007", 7),
        ("1000000000000", 1_000_000_000_000),
    ] {
        assert_eq!(stock(text), Ok(wanted), "{text}");
    }
    for text in [
        "-1",
        "-0.5",
        "1.5",
        "1,000",
        "ten",
        "",
        "1000000000001",
        "99999999999999999999999",
        "1e6",
        "+1",
    ] {
        assert_eq!(stock(text).expect_err(text).0, Reason::BadStock, "{text}");
    }
}

#[test]
fn weights_become_grams() {
    for (text, wanted) in [
        ("500", 500),
        ("1.5 kg", 1_500),
        ("0", 0),
        ("1 lb", 454),
        ("2oz", 57),
        ("0.0004 kg", 0),
        ("900.0", 900),
    ] {
        assert_eq!(weight(text), Ok(wanted), "{text}");
    }
    for text in [
        "",
        "-1",
        "kg",
        "1 stone",
        "1,5 kg",
        "99999999999999999999 g",
        "2000000 kg",
        ".5 kg",
    ] {
        assert!(weight(text).is_err(), "{text}");
    }
}

#[test]
fn addresses_are_https_or_left_out_or_refused() {
    let kept = "https://burst.shopifycdn.com/photos/city-woman-fashion_925x@2x.jpg";
    assert_eq!(image(kept), Ok(Image::Kept(kept.into())));
    assert!(matches!(
        image("http://example.com/a.jpg"),
        Ok(Image::LeftOut(_))
    ));
    for text in [
        "",
        "a.jpg",
        "https://",
        "https:///a",
        "ftp://example.com/a",
        "https://example.com/a b.jpg",
        "http://",
        "//example.com",
    ] {
        assert!(image(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,40}") {
        let _ = (price(&text, eur()), price_with_currency(&text, None), stock(&text), weight(&text), image(&text), line(&text, 5));
    }

    #[test]
    fn every_amount_comes_back(minor_units in 0i64..=most::PRICE) {
        let text = Money::new(eur(), minor_units).to_string();
        prop_assert_eq!(price_with_currency(&text, None).expect("its own text").minor_units, minor_units);
    }
}
