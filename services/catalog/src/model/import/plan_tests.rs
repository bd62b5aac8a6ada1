use kit::ids::IdSource;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::shopify_tests::{SHOPIFY, read};
use super::*;
use crate::model::product::ProductState;

#[derive(Default)]
struct Numbers(AtomicU64);

impl IdSource for Numbers {
    fn next(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)) + (0x7 << 76) + (0x8 << 60)
    }

    fn random_u64(&self) -> u64 {
        4
    }

    fn random_bytes(&self, into: &mut [u8]) {
        into.fill(4);
    }
}

/// A catalogue that holds what was written.
#[derive(Default)]
struct Catalogue {
    ids: Numbers,
    products: BTreeMap<String, Known>,
}

impl Catalogue {
    fn import(&mut self, text: &str) -> Vec<Verdict> {
        self.import_from("shop", text)
    }

    fn import_from(&mut self, source: &str, text: &str) -> Vec<Verdict> {
        let whole = read(text.as_bytes());
        let mut all: Vec<Verdict> = whole.refused.into_iter().map(Verdict::from).collect();
        for product in whole.products {
            let owners = self.products.values().flat_map(|known| {
                let key = known.product.details.external_key.clone();
                let id = known.product.product_id;
                known
                    .product
                    .variants
                    .iter()
                    .map(move |v| (v.details.sku.clone(), (id, key.clone())))
            });
            let owners: HashMap<_, _> = owners.collect();
            let around = Around {
                source,
                owners: &owners,
                ids: &self.ids,
                now: Micros(7),
            };
            let key = product.external_key.clone();
            let plan = plan(product, self.products.get(&key).cloned(), &around);
            assert_eq!(
                plan.write.is_some(),
                matches!(plan.outcome, Outcome::Created | Outcome::Updated)
            );
            if let Some(write) = plan.write {
                self.write(&key, *write);
            }
            all.extend(plan.verdicts);
        }
        in_order(all)
    }

    fn write(&mut self, key: &str, write: Write) {
        let known = self
            .products
            .entry(key.to_owned())
            .or_insert_with(|| Known {
                product: write.product.clone(),
                source: None,
                variants: BTreeMap::new(),
            });
        known.product = write.product;
        known.source = write.source.or(known.source.take());
        known.variants.extend(write.variants);
    }

    fn product(&self, key: &str) -> &Known {
        &self.products[key]
    }
}

fn told(verdicts: &[Verdict]) -> Vec<String> {
    verdicts
        .iter()
        .map(|v| {
            let why: Vec<&str> = v
                .problems
                .iter()
                .map(|problem| problem.reason.word())
                .collect();
            format!("{} {} {}", v.line, v.outcome, why.join(","))
                .trim_end()
                .to_owned()
        })
        .collect()
}

fn text() -> String {
    String::from_utf8(SHOPIFY.to_vec()).expect("UTF-8")
}

#[test]
fn the_same_again_changes_nothing() {
    let mut catalogue = Catalogue::default();
    let first = catalogue.import(&text());
    assert_eq!(first.len(), 9);
    assert!(
        first
            .iter()
            .all(|verdict| verdict.outcome == Outcome::Created),
        "{:?}",
        told(&first)
    );
    let before = catalogue.products.clone();
    let again = catalogue.import(&text());
    assert!(
        again
            .iter()
            .all(|verdict| verdict.outcome == Outcome::Unchanged),
        "{:?}",
        told(&again)
    );
    assert_eq!(catalogue.products, before);
    let caddy = catalogue.product("tea-caddy");
    assert_eq!(caddy.product.state, ProductState::Draft);
    let throw = catalogue.product("wool-throw");
    assert_eq!(throw.product.details.image_uris.len(), 3);
}

#[test]
fn only_the_rows_that_differ_are_updates() {
    let mut catalogue = Catalogue::default();
    catalogue.import(&text());
    let other = text()
        .replace(",69.00,", ",71.00,")
        .replace(",draft", ",active");
    let verdicts = catalogue.import(&other);
    let updated: Vec<u64> = verdicts
        .iter()
        .filter(|v| v.outcome == Outcome::Updated)
        .map(|v| v.line)
        .collect();
    assert_eq!(updated, [6, 9]);
    assert!(
        verdicts
            .iter()
            .all(|v| v.outcome != Outcome::Created && v.outcome != Outcome::Rejected)
    );
    let throw = catalogue.product("wool-throw");
    assert_eq!(throw.product.version, Version(2));
    let price = throw.variants[&throw.product.variants[1].variant_id].reference_price;
    assert_eq!(price.map(|money| money.minor_units), Some(7_100));
    assert_eq!(
        catalogue.product("tea-caddy").product.state,
        ProductState::Active
    );
    assert_eq!(catalogue.product("brass-lamp").product.version, Version(1));
    // A file that does not say something leaves it as it is.
    let verdicts = catalogue.import("Handle,Title,Variant Price\nbrass-lamp,Brass Lamp,129.50\n");
    assert_eq!(told(&verdicts), ["2 UNCHANGED"]);
    // Another variant is added to those that are there; none is taken away.
    let verdicts = catalogue.import("Handle,Title,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant Price,Variant SKU\nwool-throw,\"Wool Throw, \"\"Fjord\"\"\",Colour,Red,Size,Large,80,THROW-R-L\n");
    assert_eq!(told(&verdicts), ["2 CREATED"]);
    assert_eq!(catalogue.product("wool-throw").product.variants.len(), 4);
}

#[test]
fn what_the_catalogue_does_not_allow_costs_the_row() {
    let mut catalogue = Catalogue::default();
    catalogue.import(&text());
    let before = catalogue.products.clone();
    let verdicts = catalogue.import_from("other", &text());
    assert!(
        verdicts
            .iter()
            .all(|v| v.problems[0].reason == Reason::Conflict),
        "{:?}",
        told(&verdicts)
    );
    // The SKU of another product; other options under a known SKU; another SKU for known options.
    for row in [
        "new,New,Size,L,1,THROW-B-S",
        "wool-throw,T,Size,L,1,THROW-B-S",
    ] {
        let verdicts = catalogue.import(&format!(
            "Handle,Title,Option1 Name,Option1 Value,Variant Price,Variant SKU\n{row}\n"
        ));
        assert_eq!(told(&verdicts), ["2 REJECTED CONFLICT"], "{row}");
    }
    let renamed = text().replace("THROW-R-S", "THROW-RED");
    let verdicts = catalogue.import(&renamed);
    assert_eq!(
        told(&verdicts)[3..6],
        ["6 UNCHANGED", "7 REJECTED CONFLICT", "8 UNCHANGED"]
    );
    assert!(
        verdicts
            .iter()
            .filter(|v| v.outcome == Outcome::Rejected)
            .count()
            == 1
    );
    // The image of the refused row is none of the product's any more; nothing else changed.
    let mut after = catalogue.products.clone();
    let throw = after.get_mut("wool-throw").expect("a product");
    assert_eq!(throw.product.details.image_uris.len(), 2);
    throw.product = before["wool-throw"].product.clone();
    assert_eq!(throw.product.details.image_uris.len(), 3);
    assert_eq!(after, before);
}

#[test]
fn a_new_product_whose_first_row_is_refused_is_not_made_by_the_others() {
    let mut catalogue = Catalogue::default();
    catalogue.import("Handle,Title,Variant Price,Variant SKU\nold,Old,1,THROW-B-S\n");
    let verdicts = catalogue.import(&text());
    assert_eq!(
        told(&verdicts)[2..6],
        [
            "5 REJECTED CONFLICT",
            "6 REJECTED DEPENDS",
            "7 REJECTED DEPENDS",
            "8 REJECTED DEPENDS"
        ]
    );
    assert!(!catalogue.products.contains_key("wool-throw"));
}

#[test]
fn images_beyond_the_most_are_left_out_and_said() {
    let mut catalogue = Catalogue::default();
    let rows: String = (0..25)
        .map(|n| {
            format!(
                "a,{},{},https://e.com/{n}.jpg\n",
                if n == 0 { "A" } else { "" },
                if n == 0 { "1" } else { "" }
            )
        })
        .collect();
    let file = format!("Handle,Title,Variant Price,Image Src\n{rows}");
    let verdicts = catalogue.import(&file);
    assert_eq!(verdicts.iter().filter(|v| !v.notes.is_empty()).count(), 5);
    assert_eq!(catalogue.product("a").product.details.image_uris.len(), 20);
    assert!(
        catalogue
            .import(&file)
            .iter()
            .all(|v| v.outcome == Outcome::Unchanged)
    );
}
