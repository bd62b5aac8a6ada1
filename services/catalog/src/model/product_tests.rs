use kit::errors::ErrorReason;
use proptest::prelude::*;

use super::*;

fn details(title: &str) -> ProductDetails {
    ProductDetails {
        title: title.into(),
        description: String::new(),
        brand: "Lund".into(),
        category: String::new(),
        image_uris: Vec::new(),
        external_key: String::new(),
        regulated_category: String::new(),
    }
}

fn variant(sku: &str, options: &[(&str, &str)]) -> VariantDetails {
    VariantDetails {
        sku: sku.into(),
        options: options
            .iter()
            .map(|(name, value)| VariantOption {
                name: (*name).into(),
                value: (*value).into(),
            })
            .collect(),
        unit: Unit::Each,
        quantity_step: 1,
        unit_policy: UnitPolicy::None,
        gtin: String::new(),
        weight_grams: 0,
    }
}

fn product(variants: &[VariantDetails]) -> Result<Product, Refusal> {
    let variants = (1..)
        .map(VariantId::from_uuid)
        .zip(variants.iter().cloned());
    Product::create(
        ProductId::from_uuid(1),
        details("Teapot"),
        variants.collect(),
        Micros(1),
    )
}

fn fields(refusal: &Refusal) -> Vec<&str> {
    refusal
        .violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect()
}

#[test]
fn siblings_differ_in_sku_and_options() {
    let red = [("Colour", "Red"), ("Size", "L")];
    let turned = [("Size", "L"), ("Colour", "Red")];
    assert!(product(&[variant("a", &red), variant("b", &[("Colour", "Red")])]).is_ok());
    let twins = product(&[variant("a", &red), variant("b", &turned)]).expect_err("same options");
    assert_eq!(fields(&twins), ["product.variants[1].options"]);
    let bare = product(&[variant("a", &[]), variant("b", &red), variant("c", &[])]);
    assert_eq!(
        fields(&bare.expect_err("both bare")),
        ["product.variants[2].options"]
    );
    let skus = product(&[variant("a", &[]), variant("a", &red)]).expect_err("same SKU");
    assert_eq!(fields(&skus), ["product.variants[1].sku"]);
}

#[test]
fn an_options_key_keeps_names_and_values_apart() {
    let key = |options: &[(&str, &str)]| variant("a", options).options_key();
    assert_ne!(key(&[("ab", "c")]), key(&[("a", "bc")]));
    assert_ne!(
        key(&[("a", "b"), ("c", "d")]),
        key(&[("a", "d"), ("c", "b")])
    );
    assert_ne!(key(&[]), key(&[("", "")]));
}

#[test]
fn variants_are_added_until_it_is_archived_or_full() {
    let mut product = product(&[variant("a", &[])]).expect("a product");
    let clash = product
        .add_variant(VariantId::from_uuid(9), variant("b", &[]), Micros(2))
        .expect_err("same options");
    assert_eq!(fields(&clash), ["variant.options"]);
    assert_eq!(product.version, Version::FIRST);
    for number in 1..VARIANTS_MAX {
        let name = number.to_string();
        let added = variant(&name, &[("Number", &name)]);
        assert_eq!(
            product.add_variant(VariantId::from_uuid(number as u128), added, Micros(2)),
            Ok(())
        );
    }
    let more = variant("z", &[("Number", "z")]);
    let full = product.add_variant(VariantId::from_uuid(0), more.clone(), Micros(3));
    assert_eq!(full.expect_err("full").reason, ErrorReason::WrongState);

    assert_eq!(product.archive(Micros(4)), Ok(()));
    let before = product.clone();
    assert!(product.archive(Micros(5)).is_err());
    assert!(
        product
            .add_variant(VariantId::from_uuid(0), more, Micros(5))
            .is_err()
    );
    assert_eq!(product, before);
}

proptest! {
    #[test]
    fn a_change_counts_only_when_something_is_different(title in "[ab]", brand in prop::option::of("[ab]")) {
        let mut product = Product::create(
            ProductId::from_uuid(1),
            ProductDetails { brand: "a".into(), ..details("a") },
            Vec::new(),
            Micros(1),
        ).expect("a product");
        let change = ProductChange { title: Some(title.clone()), brand: brand.clone(), ..ProductChange::default() };
        let differs = title != "a" || brand.as_deref().is_some_and(|brand| brand != "a");
        prop_assert_eq!(product.change(&change, Micros(2)), differs);
        prop_assert_eq!(product.version == Version(2), differs);
        prop_assert_eq!(product.update_time == Micros(2), differs);
        prop_assert_eq!(&product.details.title, &title);
        prop_assert!(!product.change(&change, Micros(3)), "the same again changes nothing");
    }
}
