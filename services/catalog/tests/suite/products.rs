//! Products and variants.

use contracts::ErrorReason;
use contracts::catalog::v1::*;
use contracts::common::v1::{Unit, UnitPolicy};
use contracts::id::ProductId;
use testkit::{Setup, TestDb, on_both_engines};

use crate::common::*;

fn create(product: Product) -> CreateProductRequest {
    CreateProductRequest {
        request_id: key(),
        product: Some(product),
        validate_only: false,
    }
}

fn add(product_id: &str, variant: Variant) -> AddVariantRequest {
    AddVariantRequest {
        request_id: key(),
        product_id: product_id.into(),
        variant: Some(variant),
    }
}

fn update(product: Product, paths: &[&str]) -> UpdateProductRequest {
    UpdateProductRequest {
        request_id: key(),
        product: Some(product),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).into()).collect(),
        }),
    }
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn a_product_comes_back_as_it_was_created(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let sent = Product {
            description: "Stoneware.\nHolds 1 l.".into(),
            category: "tableware/tea".into(),
            image_uris: vec!["https://example.com/a.jpg".into()],
            external_key: "teapot".into(),
            variants: vec![
                Variant { gtin: "4006381333931".into(), weight_grams: 900, ..variant("A") },
                Variant { unit: Unit::Gram.into(), quantity_step: 500, weight_grams: 7, ..variant("B") },
            ],
            ..product("TEA", 0)
        };
        let request = create(sent.clone());
        let answer = call!(ops.products.create_product(request.clone())).expect("created");
        assert_eq!(call!(ops.products.create_product(request)).expect("replayed"), answer);
        let made = answer.product.expect("the product");
        assert_eq!(made.state(), ProductState::Active);
        assert_eq!(
            (&made.description, &made.image_uris, &made.external_key),
            (&sent.description, &sent.image_uris, &sent.external_key)
        );
        let [a, b] = &made.variants[..] else { panic!("{made:?}") };
        assert_eq!((a.sku.as_str(), a.quantity_step, a.weight_grams), ("A", 1, 900));
        assert_eq!((b.sku.as_str(), b.quantity_step, b.weight_grams), ("B", 500, 0));
        assert!(made.variants.iter().all(|v| v.unit_policy() == UnitPolicy::None && v.product_id == made.product_id));
        let get = GetProductRequest { product_id: made.product_id.clone() };
        assert_eq!(call!(ops.products.get_product(get)).expect("readable").product, Some(made));
        let unknown = GetProductRequest { product_id: ProductId::from_uuid(1).to_string() };
        assert_eq!(reason(call!(ops.products.get_product(unknown))), ErrorReason::NotFound);
    }

    async fn a_check_creates_nothing_and_says_what_creating_would(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let check = CreateProductRequest { validate_only: true, ..create(product("TEA", 2)) };
        let checked = call!(ops.products.create_product(check.clone())).expect("right").product.expect("it");
        assert_eq!((checked.product_id.as_str(), checked.etag.as_str(), checked.create_time), ("", "", None));
        assert!(checked.variants.iter().all(|variant| variant.variant_id.is_empty()));
        assert!(s.feed_of(&ops).await.is_empty());

        let real = CreateProductRequest { validate_only: false, ..check.clone() };
        call!(ops.products.create_product(real)).expect("a check uses up no key");
        let refusal = refusal(call!(ops.products.create_product(check)));
        assert_eq!(refusal.reason, ErrorReason::AlreadyExists);
        assert_eq!(refusal.metadata["field"], "product.variants[0].sku");
    }

    async fn what_is_taken_is_named(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        s.create_product("TEA", 2).await;
        let clash = Product { variants: vec![variant("X"), variant("TEA-1")], ..product("X", 0) };
        let refused = refusal(call!(ops.products.create_product(create(clash))));
        assert_eq!(
            (refused.reason, refused.metadata["field"].as_str()),
            (ErrorReason::AlreadyExists, "product.variants[1].sku")
        );
        // Nothing of the refused one stayed.
        call!(ops.products.create_product(create(product("X", 1)))).expect("X is free");
        let keyed = |sku: &str| Product { external_key: "handle".into(), ..product(sku, 1) };
        call!(ops.products.create_product(create(keyed("K1")))).expect("the key is free");
        let refused = refusal(call!(ops.products.create_product(create(keyed("K2")))));
        assert_eq!(
            (refused.reason, refused.metadata["field"].as_str()),
            (ErrorReason::AlreadyExists, "product.external_key")
        );
        let twins = Product { variants: vec![variant("Y"), Variant { sku: "Z".into(), ..variant("Y") }], ..product("Y", 0) };
        assert_eq!(fields(call!(ops.products.create_product(create(twins)))), ["product.variants[1].options"]);
    }

    async fn every_wrong_field_of_a_product_is_named(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let none = Product { title: String::new(), variants: Vec::new(), ..product("A", 0) };
        assert_eq!(fields(call!(ops.products.create_product(create(none)))), ["product.title", "product.variants"]);
        let option = |name: &str, value: &str| VariantOption { name: name.into(), value: value.into() };
        let wrong = Product {
            title: "x".repeat(201),
            description: "x".repeat(10_001),
            brand: "x".repeat(121),
            category: "x".repeat(201),
            external_key: "a\0b".into(),
            image_uris: vec!["https://a.example/x".into(), "http://a.example".into(), "https:///x".into()],
            variants: vec![
                variant("A"),
                Variant { sku: String::new(), unit: 0, quantity_step: -1, unit_policy: 77, weight_grams: -1, ..variant("B") },
                Variant { gtin: "4006381333932".into(), options: vec![option("S", "a"), option("S", "b")], ..variant("C") },
                Variant { options: vec![option("", ""); 3], quantity_step: 1_000_001, ..variant("D") },
                Variant { options: vec![option("S", "a"); 4], ..variant("E") },
            ],
            ..Product::default()
        };
        let mut found = fields(call!(ops.products.create_product(create(wrong))));
        let mut expected = vec![
            "product.title", "product.description", "product.brand", "product.category", "product.external_key",
            "product.image_uris[1]", "product.image_uris[2]", "product.variants[1].sku", "product.variants[1].unit",
            "product.variants[1].quantity_step", "product.variants[1].unit_policy", "product.variants[1].weight_grams",
            "product.variants[2].gtin", "product.variants[2].options[1].name",
            "product.variants[3].options[0].name", "product.variants[3].options[0].value",
            "product.variants[3].options[1].name", "product.variants[3].options[1].value",
            "product.variants[3].options[2].name", "product.variants[3].options[2].value",
            "product.variants[3].quantity_step", "product.variants[4].options",
        ];
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }

    async fn what_is_not_offered_yet_is_said_and_not_ignored(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let regulated = Product { regulated_category: "Wine!".into(), ..product("A", 1) };
        assert_eq!(fields(call!(ops.products.create_product(create(regulated)))), ["product.regulated_category"]);
        let serial = Variant { unit_policy: UnitPolicy::SerialAtPack.into(), ..variant("S") };
        let product = Product { variants: vec![variant("A"), serial.clone()], ..product("A", 0) };
        let refused = refusal(call!(ops.products.create_product(create(product))));
        assert_eq!(refused.metadata["field"], "product.variants[1].unit_policy");
        let made = s.create_product("TEA", 1).await;
        assert_eq!(reason(call!(ops.products.add_variant(add(&made.product_id, serial)))), ErrorReason::NotOffered);
    }

    async fn an_update_changes_what_the_mask_names(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let made = s.create_product("TEA", 1).await;
        let new = Product { title: "Kettle".into(), brand: "Ignored".into(), etag: made.etag.clone(), ..made.clone() };
        let request = update(new.clone(), &["title", "image_uris"]);
        let answer = call!(ops.products.update_product(request.clone())).expect("updated");
        assert_eq!(call!(ops.products.update_product(request)).expect("replayed"), answer);
        let changed = answer.product.expect("the product");
        assert_eq!((changed.title.as_str(), changed.brand.as_str()), ("Kettle", "Lund"));
        assert_ne!(changed.etag, made.etag);

        assert_eq!(reason(call!(ops.products.update_product(update(new.clone(), &["title"])))), ErrorReason::EtagMismatch);
        let same = Product { etag: String::new(), ..new.clone() };
        let same = call!(ops.products.update_product(update(same, &["title"]))).expect("nothing to do").product;
        assert_eq!(same.expect("it").etag, changed.etag);
        for paths in [&[][..], &["state"], &["title", "variants"]] {
            assert_eq!(fields(call!(ops.products.update_product(update(new.clone(), paths)))), ["update_mask"]);
        }
        let wrong = Product { product_id: String::new(), title: String::new(), ..new.clone() };
        assert_eq!(
            fields(call!(ops.products.update_product(update(wrong, &["title"])))),
            ["product.product_id", "product.title"]
        );
        let unknown = Product { product_id: ProductId::from_uuid(1).to_string(), ..new };
        assert_eq!(reason(call!(ops.products.update_product(update(unknown, &["title"])))), ErrorReason::NotFound);
    }

    async fn variants_are_added_until_the_product_is_archived(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let made = s.create_product("TEA", 1).await;
        let other = s.create_product("CUP", 1).await;
        let request = add(&made.product_id, variant("TEA-X"));
        let answer = call!(ops.products.add_variant(request.clone())).expect("added");
        assert_eq!(call!(ops.products.add_variant(request)).expect("replayed"), answer);
        let grown = answer.product.expect("the product");
        assert_eq!(grown.variants.iter().map(|v| v.sku.as_str()).collect::<Vec<_>>(), ["TEA-0", "TEA-X"]);
        let taken = refusal(call!(ops.products.add_variant(add(&other.product_id, variant("TEA-X")))));
        assert_eq!((taken.reason, taken.metadata["field"].as_str()), (ErrorReason::AlreadyExists, "variant.sku"));
        let twin = Variant { sku: "TEA-Y".into(), ..variant("TEA-X") };
        assert_eq!(fields(call!(ops.products.add_variant(add(&made.product_id, twin)))), ["variant.options"]);

        let archive = |etag: &str| ArchiveProductRequest {
            request_id: key(),
            product_id: made.product_id.clone(),
            etag: etag.into(),
        };
        assert_eq!(reason(call!(ops.products.archive_product(archive(&made.etag)))), ErrorReason::EtagMismatch);
        let archived = call!(ops.products.archive_product(archive(&grown.etag))).expect("archived");
        assert_eq!(archived.product.expect("it").state(), ProductState::Archived);
        assert_eq!(reason(call!(ops.products.archive_product(archive("")))), ErrorReason::WrongState);
        let late = add(&made.product_id, variant("TEA-Z"));
        assert_eq!(reason(call!(ops.products.add_variant(late))), ErrorReason::WrongState);
    }

    async fn a_product_may_have_as_many_variants_as_the_contract_says(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let made = s.create_product("TEA", 250).await;
        let skus: Vec<_> = (0..250).map(|number| format!("TEA-{number}")).collect();
        assert_eq!(made.variants.iter().map(|v| v.sku.clone()).collect::<Vec<_>>(), skus);
        let get = GetProductRequest { product_id: made.product_id.clone() };
        assert_eq!(call!(ops.products.get_product(get)).expect("readable").product.as_ref(), Some(&made));
        assert_eq!(fields(call!(ops.products.create_product(create(product("X", 251))))), ["product.variants"]);
        assert_eq!(reason(call!(ops.products.add_variant(add(&made.product_id, variant("more"))))), ErrorReason::WrongState);
    }
}
