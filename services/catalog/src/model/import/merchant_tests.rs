use super::shopify_tests::{Whole, read, read_as};
use super::*;

const TSV: &[u8] = include_bytes!("../../../tests/data/merchant.tsv");
const RSS: &[u8] = include_bytes!("../../../tests/data/merchant.rss.xml");
const ATOM: &[u8] = include_bytes!("../../../tests/data/merchant.atom.xml");

fn told(whole: &Whole) -> Vec<String> {
    let tell = |(product, v): (&ReadProduct, &ReadVariant)| {
        let options: Vec<String> = v
            .options
            .iter()
            .map(|o| format!("{}={}", o.name, o.value))
            .collect();
        let money = |money: Option<Option<Money>>| {
            money
                .flatten()
                .map_or("-".into(), |money| money.to_string())
        };
        format!(
            "{} {} [{}] {} {} {:?} {:?}",
            product.external_key,
            v.sku,
            options.join(","),
            money(v.reference_price),
            money(v.compare_at_price),
            v.reported_stock.flatten(),
            v.weight_grams
        )
    };
    whole.variants().map(tell).collect()
}

#[test]
fn tables_and_xml_say_the_same() {
    let wanted = [
        "mug MUG-W [Color=White] 14.50 EUR 18.00 EUR Some(20) Some(400)",
        "mug MUG-B [Color=Black] 18.00 EUR - Some(0) Some(400)",
        "BOARD BOARD [] 1200 JPY - None Some(900)",
    ];
    for (bytes, format) in [(TSV, Format::MerchantTsv), (RSS, Format::MerchantXml)] {
        for step in [1, 5, 1 << 20] {
            let whole = read_as(bytes, None, None, step);
            assert_eq!(
                (told(&whole), whole.told(), whole.file()),
                (wanted.map(String::from).to_vec(), vec![], vec![])
            );
            assert_eq!(whole.format, Some(format));
            let mug = &whole.products[0].rows[0];
            assert_eq!(mug.images.len(), 3, "{:?}", mug.images);
            let details = mug.details.as_ref().expect("every item has them");
            assert_eq!(details.description.as_deref(), Some("Holds 0.3 l."));
            assert_eq!(details.category.as_deref(), Some("Kitchen > Mugs"));
        }
    }
    let board = &read(RSS).products[1].rows[0];
    assert_eq!(
        board
            .details
            .as_ref()
            .and_then(|d| d.description.as_deref()),
        Some("Beech, \"oiled\" – café.")
    );
    assert_eq!((board.line, board.last_line), (40, 49));
    let atom = read_as(ATOM, None, None, 3);
    assert_eq!(
        (told(&atom), atom.told(), atom.file()),
        (
            vec!["BOARD BOARD [] 24.90 EUR - None None".to_owned()],
            vec![],
            vec![]
        )
    );
}

#[test]
fn a_damaged_item_costs_only_itself() {
    let rss = std::str::from_utf8(RSS).expect("UTF-8");
    for (from, to, wanted) in [
        (
            "<g:color>Black</g:color>",
            "<g:color>Black</g:colour>",
            "27-39 37: BAD_XML",
        ),
        (
            "<g:color>Black</g:color>",
            "<g:color>Bl & ack</g:color>",
            "27-39 37: BAD_XML",
        ),
        (
            "<g:color>Black</g:color>",
            "<g:color>&bomb;</g:color>",
            "27-39 37: BAD_XML",
        ),
        (
            "18.00 EUR</g:price>\n      <g:availability>out",
            "18,00 EUR</g:price>\n      <g:availability>out",
            "27-39 33:g:price BAD_PRICE",
        ),
        (
            "<g:id>MUG-B</g:id>",
            "<g:id></g:id>",
            "27-39 28:g:id MISSING_VALUE",
        ),
        (
            "<g:id>MUG-B</g:id>",
            "<g:id>MUG-W</g:id>",
            "27-39 27: DUPLICATE",
        ),
        (
            "<g:id>MUG-B</g:id>",
            "<g:id>MUG\u{1}B</g:id>",
            "27-39 28:g:id BAD_ENCODING",
        ),
    ] {
        assert!(rss.contains(from), "{from}");
        let whole = read(rss.replacen(from, to, 1).as_bytes());
        assert_eq!(whole.told(), [wanted], "{to}");
        assert_eq!(told(&whole).len(), 2, "{to}");
    }
    // Without its end an item can not be told from the next.
    let place = rss.find("</item>").expect("an item");
    let torn = format!("{}{}", &rss[..place], &rss[place + 7..]);
    let whole = read(torn.as_bytes());
    assert_eq!(
        (whole.told()[0].as_str(), told(&whole).len()),
        ("7-27 7: BAD_XML", 2)
    );
    // A section that is never closed ends where the next item begins.
    let torn = rss.replacen("]]>", "", 1);
    let whole = read(torn.as_bytes());
    assert_eq!(whole.file()[0].0, Reason::Truncated);
    let large = rss.replacen("Beech,", &"x".repeat(10 << 20), 1);
    let whole = read_as(large.as_bytes(), None, None, 65_536);
    assert!(
        whole.told()[0].contains("TOO_LARGE") && told(&whole).len() == 2,
        "{:?}",
        whole.told()
    );
    let mut latin = rss.as_bytes().to_vec();
    let place = rss.find("Black").expect("a colour");
    latin[place] = 0xe9;
    assert_eq!(read(&latin).told(), ["27-39 37: BAD_ENCODING"]);
}

#[test]
fn files_that_can_not_be_read_are_named() {
    let reason = |text: &[u8]| read(text).file().first().map(|(reason, _)| *reason);
    assert_eq!(
        reason(b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><rss></rss>"),
        Some(Reason::BadEncoding)
    );
    assert_eq!(
        reason(b"<rss><channel></channel></rss>"),
        Some(Reason::Empty)
    );
    assert_eq!(
        reason(b"<rss><channel><item><g:id>A</g:id>"),
        Some(Reason::Truncated)
    );
    assert_eq!(
        reason(b"id\ttitle\tlink\nA\tB\tC\n"),
        Some(Reason::BadHeader)
    );
    // What a document type declares is never used: the entity stays unknown, and nothing grows.
    let bomb = br#"<!DOCTYPE rss [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><rss><item><g:id>&b;</g:id></item></rss>"#;
    let whole = read(bomb);
    assert_eq!(whole.told(), ["1-1 1: BAD_XML"]);
}

#[test]
fn items_of_one_group_that_stand_apart_are_one_product() {
    let text = "id\titem_group_id\ttitle\tprice\tcolor\nA\tg\tMug\t1 EUR\tred\nX\t\tOther\t1 EUR\t\nB\tg\tMug again\t1 EUR\tblue\nC\tg\tMug\t1 EUR\tred\n";
    let whole = read(text.as_bytes());
    let keys: Vec<(&str, bool)> = whole
        .products
        .iter()
        .map(|p| (p.external_key.as_str(), p.continues))
        .collect();
    assert_eq!(keys, [("g", false), ("X", false), ("g", true)]);
}
