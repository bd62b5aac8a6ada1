//! Whatever happens to a file: no panic, no half row, and what is outside the damage is kept.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::shopify_tests::{Whole, read_as};
use super::*;

const HEADER: &str = "Handle,Title,Body (HTML),Vendor,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Qty,Variant Price,Image Src,Status\r\n";

/// Words that stay different when a letter of one changes.
const WORDS: [&str; 24] = [
    "alderwood",
    "birchbark",
    "cedarcone",
    "dogwoodly",
    "elmshadow",
    "firneedle",
    "gingkofan",
    "hazelnuts",
    "ironwoods",
    "juniperus",
    "kapoktree",
    "larchturn",
    "maplekeys",
    "nutmegoil",
    "oakgalley",
    "pinecones",
    "quincejam",
    "rowanred",
    "sycamores",
    "tamarindo",
    "umbrellas",
    "viburnums",
    "willowing",
    "yewhedges",
];

fn product(number: usize) -> String {
    let word = WORDS[number];
    let mut text = format!(
        "{word},\"The {word}, \"\"fine\"\"\",\"<p>Of {word},</p>\r\n<p>two lines</p>\",Lund,Size,S,SKU-{word}-1,{number},{number}.50,https://e.com/{word}.jpg,active\r\n"
    );
    if number.is_multiple_of(2) {
        text.push_str(&format!("{word},,,,,M,SKU-{word}-2,3,\"12.25\",,\r\n{word},,,,,,,,,https://e.com/{word}-2.jpg,\r\n"));
    }
    text
}

fn file() -> (Vec<u8>, Vec<usize>) {
    let mut text = HEADER.to_owned();
    let mut starts = Vec::new();
    for number in 0..WORDS.len() {
        starts.push(text.len());
        text.push_str(&product(number));
    }
    (text.into_bytes(), starts)
}

fn read(bytes: &[u8], step: usize) -> Whole {
    read_as(bytes, Some(Format::ShopifyCsv), Some("EUR"), step)
}

/// Products by key, without their lines.
fn by_key(whole: &Whole) -> BTreeMap<String, Vec<ReadRow>> {
    let mut found: BTreeMap<String, Vec<ReadRow>> = BTreeMap::new();
    for product in &whole.products {
        let rows = product.rows.iter().cloned().map(|row| ReadRow {
            line: 0,
            last_line: 0,
            ..row
        });
        found
            .entry(product.external_key.clone())
            .or_default()
            .extend(rows);
    }
    found
}

#[derive(Clone, Debug)]
enum Damage {
    Set(u8),
    Insert(Vec<u8>),
    Remove(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let byte = prop_oneof![
        Just(b'"'),
        Just(b','),
        Just(b'\n'),
        Just(b'\r'),
        Just(0),
        Just(0xe9),
        any::<u8>()
    ];
    prop_oneof![
        byte.clone().prop_map(Damage::Set),
        proptest::collection::vec(byte, 1..6).prop_map(Damage::Insert),
        (1usize..40).prop_map(Damage::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// One place is damaged: every product that does not touch it is read as before.
    #[test]
    fn what_is_outside_the_damage_is_kept(hurt in 0usize..WORDS.len(), at in any::<proptest::sample::Index>(), damage in damage(), step in 1usize..5_000) {
        let (mut bytes, starts) = file();
        let wanted = by_key(&read(&bytes, 4_096));
        prop_assert_eq!(wanted.len(), WORDS.len());
        let end = starts.get(hurt + 1).copied().unwrap_or(bytes.len());
        let place = starts[hurt] + at.index(end - starts[hurt]);
        match damage {
            Damage::Set(byte) => bytes[place] = byte,
            Damage::Insert(more) => {
                bytes.splice(place..place, more);
            }
            // The damage stays inside the product.
            Damage::Remove(count) => {
                bytes.drain(place..(place + count).min(end));
            }
        }
        let whole = read(&bytes, step);
        let found = by_key(&whole);
        // The end of the product's last line may be gone, and the next product's first line with it.
        let spared = |number: &usize| *number != hurt && *number != hurt + 1;
        for number in (0..WORDS.len()).filter(spared) {
            let word = WORDS[number];
            prop_assert_eq!(found.get(word), wanted.get(word), "{} is not as it was: {:?}", word, whole.told());
        }
        // Rows of the damaged ones are whole or not there.
        for number in [hurt, hurt + 1] {
            let Some(word) = WORDS.get(number) else { continue };
            for row in found.get(*word).into_iter().flatten() {
                let sku = row.variant.as_ref().map(|variant| variant.sku.as_str());
                prop_assert!(sku.is_none_or(|sku| !sku.is_empty()));
            }
        }
    }

    /// Two files cut and put together anywhere, and bytes of no file at all.
    #[test]
    fn anything_is_read_to_its_end(cut in any::<proptest::sample::Index>(), from in any::<proptest::sample::Index>(), noise in proptest::collection::vec(any::<u8>(), 0..200), step in 1usize..500) {
        let (bytes, _) = file();
        let mixed = [&bytes[..cut.index(bytes.len())], &noise[..], &bytes[from.index(bytes.len())..]].concat();
        let whole = read(&mixed, step);
        let mut skus = std::collections::BTreeSet::new();
        for (_, variant) in whole.variants() {
            prop_assert!(skus.insert(variant.sku.clone()), "{} twice", variant.sku);
        }
        read_as(&noise, None, Some("EUR"), step);
        read_as(&noise, Some(Format::MerchantTsv), None, step);
        read_as(&[b"<rss><item>".as_slice(), &noise].concat(), None, None, step);
    }

    /// The same for XML: items that were not hurt are kept, as long as the damage does not hide what follows.
    #[test]
    fn xml_is_read_to_its_end(at in any::<proptest::sample::Index>(), damage in damage(), step in 1usize..500) {
        let mut bytes = include_bytes!("../../../tests/data/merchant.rss.xml").to_vec();
        let place = at.index(bytes.len());
        match damage {
            Damage::Set(byte) => bytes[place] = byte,
            Damage::Insert(more) => {
                bytes.splice(place..place, more);
            }
            Damage::Remove(count) => {
                bytes.drain(place..(place + count).min(bytes.len()));
            }
        }
        let whole = read_as(&bytes, None, Some("EUR"), step);
        prop_assert!(whole.variants().count() <= 3);
        prop_assert!(whole.variants().count() + whole.told().len() + whole.problems.len() > 0);
    }
}
