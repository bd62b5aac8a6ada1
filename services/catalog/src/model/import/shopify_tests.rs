use super::reader::{Next, Reader};
use super::*;

pub(super) const SHOPIFY: &[u8] = include_bytes!("../../../tests/data/shopify.csv");

pub(super) fn limits() -> Limits {
    Limits {
        record_bytes: 1 << 20,
        scan_bytes: 12 << 20,
        resync_bytes: 64 << 10,
        rescan_bytes: 64 << 20,
        columns: 512,
        product_rows: 1_000,
        rows: 1_000_000,
        bytes: 1 << 32,
    }
}

pub(super) struct Whole {
    pub(super) products: Vec<ReadProduct>,
    pub(super) refused: Vec<Refused>,
    pub(super) problems: Vec<Problem>,
    pub(super) format: Option<Format>,
}

impl Whole {
    pub(super) fn variants(&self) -> impl Iterator<Item = (&ReadProduct, &ReadVariant)> {
        let rows = self
            .products
            .iter()
            .flat_map(|product| product.rows.iter().map(move |row| (product, row)));
        rows.filter_map(|(product, row)| Some((product, row.variant.as_ref()?)))
    }

    /// Lines, columns and reasons of what was refused, within products too.
    pub(super) fn told(&self) -> Vec<String> {
        let inner = self.products.iter().flat_map(|product| &product.refused);
        let mut all: Vec<&Refused> = inner.chain(&self.refused).collect();
        all.sort_by_key(|refused| refused.line);
        let tell = |refused: &Refused| {
            let why: Vec<String> = refused
                .problems
                .iter()
                .map(|p| format!("{}:{} {}", p.line, p.column, p.reason))
                .collect();
            format!("{}-{} {}", refused.line, refused.last_line, why.join("; "))
        };
        all.into_iter().map(tell).collect()
    }

    pub(super) fn file(&self) -> Vec<(Reason, &str)> {
        self.problems
            .iter()
            .map(|problem| (problem.reason, problem.column.as_str()))
            .collect()
    }
}

pub(super) fn read_as(
    bytes: &[u8],
    format: Option<Format>,
    currency: Option<&str>,
    step: usize,
) -> Whole {
    let currency = currency.map(|code| code.parse().expect("a currency"));
    let mut reader = Reader::new(Expect { format, currency }, limits());
    let mut chunks = bytes.chunks(step);
    let (mut products, mut refused) = (Vec::new(), Vec::new());
    loop {
        match reader.step() {
            Next::More => match chunks.next() {
                Some(chunk) => reader.push(chunk),
                None => reader.end(),
            },
            Next::Piece(Piece::Product(product)) => products.push(*product),
            Next::Piece(Piece::Refused(row)) => refused.push(row),
            Next::End => break,
        }
    }
    Whole {
        products,
        refused,
        problems: reader.problems().to_vec(),
        format: reader.format(),
    }
}

pub(super) fn read(bytes: &[u8]) -> Whole {
    read_as(bytes, None, Some("EUR"), 4_096)
}

fn edited(from: &str, to: &str) -> Whole {
    let text = std::str::from_utf8(SHOPIFY).expect("UTF-8");
    assert!(text.contains(from), "{from}");
    read(text.replacen(from, to, 1).as_bytes())
}

fn skus(whole: &Whole) -> Vec<&str> {
    whole
        .variants()
        .map(|(_, variant)| variant.sku.as_str())
        .collect()
}

const ALL: [&str; 7] = [
    "brass-lamp",
    "THROW-B-S",
    "THROW-B-L",
    "THROW-R-S",
    "tea-caddy",
    "oak-stool-45-cm-2b07a035",
    "oak-stool-65-cm-a2cfffaf",
];

#[test]
fn the_file_gives_what_is_in_it() {
    let whole = read(SHOPIFY);
    assert_eq!(
        (whole.told(), whole.file(), whole.format),
        (vec![], vec![], Some(Format::ShopifyCsv))
    );
    assert_eq!(skus(&whole), ALL);
    let keys: Vec<&str> = whole
        .products
        .iter()
        .map(|product| product.external_key.as_str())
        .collect();
    assert_eq!(keys, ["brass-lamp", "wool-throw", "tea-caddy", "oak-stool"]);
    let told: Vec<String> = whole
        .variants()
        .map(|(_, v)| {
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
                "{} | {} | {} | {:?} | {:?}",
                options.join(","),
                money(v.reference_price),
                money(v.compare_at_price),
                v.reported_stock,
                v.weight_grams
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            " | 129.50 EUR | 159.00 EUR | Some(Some(3)) | Some(1800)",
            "Colour=Blue,Size=Small | 49.00 EUR | - | Some(Some(12)) | Some(650)",
            "Colour=Blue,Size=Large | 69.00 EUR | - | Some(Some(0)) | Some(900)",
            "Colour=Red,Size=Small | 49.00 EUR | - | Some(Some(7)) | Some(650)",
            " | - | - | Some(None) | Some(0)",
            "Height=45 cm | 220.00 EUR | - | Some(Some(4)) | Some(0)",
            "Height=65 cm | 245.90 EUR | 260.00 EUR | Some(Some(2)) | Some(0)",
        ]
    );
    let lamp = &whole.products[0].rows;
    let details = lamp[0].details.as_ref().expect("the first row");
    assert_eq!(
        details.description.as_deref(),
        Some("A desk lamp of brass.\n\n- 40 cm\n- E14 & dimmable")
    );
    assert_eq!(
        (details.brand.as_deref(), details.for_sale),
        (Some("Lund & Sons"), Some(true))
    );
    assert_eq!(
        details.tags.as_deref(),
        Some(&["Brass".to_owned(), "Desk".to_owned()][..])
    );
    // The description has a line end of its own.
    assert_eq!(
        (
            lamp[0].line,
            lamp[0].last_line,
            lamp[1].line,
            lamp[1].images.len()
        ),
        (2, 3, 4, 1)
    );
    let caddy = &whole.products[2].rows[0];
    let notes: Vec<(Reason, &str)> = caddy
        .notes
        .iter()
        .map(|note| (note.reason, note.column.as_str()))
        .collect();
    assert_eq!(
        notes,
        [
            (Reason::MissingValue, "Variant Price"),
            (Reason::LeftOut, "Image Src")
        ]
    );
    assert_eq!(
        caddy.details.as_ref().map(|details| details.for_sale),
        Some(Some(false))
    );
    let barcode = whole
        .variants()
        .nth(1)
        .and_then(|(_, variant)| variant.gtin.clone());
    assert_eq!(barcode.as_deref(), Some("4006381333931"));
}

#[test]
fn every_encoding_line_end_and_separator_gives_the_same() {
    let text = std::str::from_utf8(SHOPIFY).expect("UTF-8");
    let wanted = read(SHOPIFY).products;
    let little: Vec<u8> = std::iter::once(0xfeff)
        .chain(text.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let forms = [
        format!("\u{feff}{text}").into_bytes(),
        little,
        text.replace("\r\n", "\n").into_bytes(),
        text.replace("\r\n", "\r").into_bytes(),
        text.trim_end().as_bytes().to_vec(),
        format!("\r\n\r\n{text}\r\n\r\n")
            .replace("\r\n\r\nHandle", "Handle")
            .into_bytes(),
    ];
    for form in forms {
        for step in [1, 7, 1 << 20] {
            let whole = read_as(&form, None, Some("EUR"), step);
            assert_eq!(whole.products, wanted);
            assert_eq!((whole.told(), whole.file()), (vec![], vec![]));
        }
    }
}

#[test]
fn columns_may_come_in_any_order_and_with_others() {
    let wanted = read(b"Handle,Title,Variant Price,Variant SKU\na,A,1.50,S\n");
    assert_eq!((skus(&wanted), wanted.told()), (vec!["S"], vec![]));
    let other =
        read(b"Variant SKU;TITLE;Colour;handle;Variant Price;Variant SKU 2\nS;A;x;a;1.50;y\n");
    assert_eq!((skus(&other), other.told()), (vec!["S"], vec![]));
    let told = |text: &str| {
        read(text.as_bytes())
            .file()
            .into_iter()
            .map(|(reason, column)| (reason, column.to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        told("Handle,Variant Price\na,1\n"),
        [(Reason::BadHeader, "title".to_owned())]
    );
    assert_eq!(
        told("Handle,Title,Title,Variant Price\na,1,2,3\n"),
        [(Reason::BadHeader, "Title".to_owned())]
    );
    assert_eq!(
        told("Handle,Title\na,1\n"),
        [(Reason::BadHeader, "variant price".to_owned())]
    );
    assert_eq!(
        told("name,amount\na,1\n"),
        [(Reason::BadHeader, String::new())]
    );
    assert_eq!(
        told("Handle,Ti\0tle,Variant Price\na,1,2\n")[0].0,
        Reason::BadEncoding
    );
    assert_eq!(told(""), [(Reason::Empty, String::new())]);
    assert_eq!(told("\n\n  \n"), [(Reason::Empty, String::new())]);
    assert_eq!(
        told("Handle,Title,Variant Price\n"),
        [(Reason::Empty, String::new())]
    );
    assert_eq!(
        told("Handle,Title,Variant Price"),
        [(Reason::Empty, String::new())]
    );
    assert_eq!(
        told("\"Handle,Title,Variant Price\na,b,c\n")[0].0,
        Reason::BadQuote
    );
    assert_eq!(told("PK\u{3}\u{4}rest")[0].0, Reason::BadEncoding);
    let none = read_as(SHOPIFY, None, None, 99);
    assert_eq!(none.file()[0].0, Reason::BadPrice);
    let wrong = read_as(SHOPIFY, Some(Format::MerchantXml), Some("EUR"), 99);
    assert_eq!(wrong.file(), [(Reason::BadHeader, "")]);
}

#[test]
fn wrong_values_cost_their_row_and_name_their_column() {
    for (from, to, wanted, lost) in [
        (",69.00,", ",69,00,", "6-6 6: BAD_CELL_COUNT", "THROW-B-L"),
        (
            ",69.00,",
            ",\"69,00\",",
            "6-6 6:Variant Price BAD_PRICE",
            "THROW-B-L",
        ),
        (
            ",69.00,",
            ",-69.00,",
            "6-6 6:Variant Price BAD_PRICE",
            "THROW-B-L",
        ),
        (
            ",69.00,",
            ",sixty,",
            "6-6 6:Variant Price BAD_PRICE",
            "THROW-B-L",
        ),
        (
            ",,7,,,49,",
            ",,-7,,,49,",
            "7-7 7:Variant Inventory Qty BAD_STOCK",
            "THROW-R-S",
        ),
        (
            ",,7,,,49,",
            ",,99999999999999999999,,,49,",
            "7-7 7:Variant Inventory Qty BAD_STOCK",
            "THROW-R-S",
        ),
        (
            ",,7,,,49,",
            ",,7.5,,,49,",
            "7-7 7:Variant Inventory Qty BAD_STOCK",
            "THROW-R-S",
        ),
        (
            "THROW-R-S,650",
            "THROW-R-S,heavy",
            "7-7 7:Variant Grams BAD_VALUE",
            "THROW-R-S",
        ),
        ("THROW-R-S", "THROW-B-S", "7-7 7: DUPLICATE", "THROW-R-S"),
        ("Red,,Small", "Blue,,Small", "7-7 7: DUPLICATE", "THROW-R-S"),
        (
            "Red,,Small",
            "Red,,",
            "7-7 7:Option2 Value MISSING_VALUE",
            "THROW-R-S",
        ),
        (
            "THROW-R-S",
            "THROW\0R-S",
            "7-7 7:Variant SKU BAD_ENCODING",
            "THROW-R-S",
        ),
        (
            "wool-throw,,,,,,,,Red",
            "wool-throw,,,,,,,Shade,Red",
            "7-7 7:Option1 Name BAD_VALUE",
            "THROW-R-S",
        ),
        (
            "https://img.example.com/throw-red.jpg,2",
            "img.example.com/throw-red.jpg,2",
            "7-7 7:Image Src BAD_VALUE",
            "THROW-R-S",
        ),
        (",draft", ",retired", "9-9 9:Status BAD_VALUE", "tea-caddy"),
        (",draft", ",draft,", "9-9 9: BAD_CELL_COUNT", "tea-caddy"),
        ("Tea Caddy", "", "9-9 9: MISSING_VALUE", "tea-caddy"),
        (
            "tea-caddy,",
            " ,",
            "9-9 9:Handle MISSING_VALUE",
            "tea-caddy",
        ),
    ] {
        let whole = edited(from, to);
        assert_eq!(whole.told(), [wanted], "{from} -> {to}");
        let left: Vec<&str> = ALL.into_iter().filter(|sku| *sku != lost).collect();
        assert_eq!(skus(&whole), left, "{from} -> {to}");
        assert_eq!(whole.file(), [], "{from} -> {to}");
    }
}

#[test]
fn rows_that_want_a_refused_first_row_are_refused_with_it() {
    let whole = edited(",49,,,,'4006", ",49.001,,,,'4006");
    assert_eq!(
        whole.told(),
        [
            "5-5 5:Variant Price BAD_PRICE",
            "6-6 6: DEPENDS",
            "7-7 7: DEPENDS",
            "8-8 8: DEPENDS",
        ]
    );
    assert_eq!(whole.products.len(), 3);
}

#[test]
fn damaged_quotes_cost_their_rows_and_no_others() {
    // The quote that opens the description of line 2 is never closed there.
    let whole = edited("&amp; dimmable</li></ul>\"", "&amp; dimmable</li></ul>");
    assert_eq!(
        whole.told(),
        ["2-3 2:Body (HTML) BAD_QUOTE", "4-4 4: DEPENDS"]
    );
    assert_eq!(skus(&whole), ALL[1..]);
    let whole = edited("\"Wool Throw, \"\"Fjord\"\"\"", "\"Wool Throw, \"Fjord\"\"");
    assert_eq!(whole.told()[0], "5-5 5:Title BAD_QUOTE");
    assert_eq!(whole.products.len(), 3);
    // Opened where no other quote follows: everything to the end would be swallowed.
    let whole = edited("tea-caddy,Tea Caddy", "tea-caddy,\"Tea Caddy");
    assert_eq!(whole.told(), ["9-9 9:Title BAD_QUOTE"]);
    assert_eq!(skus(&whole), [&ALL[..4], &ALL[5..]].concat());
}

#[test]
fn other_encodings_cost_the_rows_that_are_not_ascii() {
    let text = std::str::from_utf8(SHOPIFY).expect("UTF-8");
    let latin: Vec<u8> = text
        .chars()
        .map(|letter| u8::try_from(u32::from(letter)).expect("Latin-1"))
        .collect();
    let whole = read(&latin);
    assert_eq!(whole.told()[0], "5-5 5:Body (HTML) BAD_ENCODING");
    assert_eq!(whole.products.len(), 3);
}

#[test]
fn a_file_that_is_cut_keeps_its_whole_rows() {
    for cut in 0..SHOPIFY.len() {
        let whole = read(&SHOPIFY[..cut]);
        let wanted = read(SHOPIFY);
        // A cut just before the last cell's text leaves a row that is whole in form.
        let is_whole = cut > 0 && SHOPIFY[cut - 1] == b',';
        for (product, variant) in whole.variants() {
            let known = wanted
                .variants()
                .find(|(_, known)| known.sku == variant.sku);
            let (known_product, known) =
                known.unwrap_or_else(|| panic!("{cut}: {variant:?} is half a row"));
            let same = product.rows[0].details == known_product.rows[0].details || is_whole;
            assert!(variant == known && same, "{cut}: {variant:?}");
        }
        let refused = whole.told().len();
        assert!(
            refused <= 1 && (whole.problems.is_empty() || whole.products.is_empty()),
            "{cut}: {:?}",
            whole.told()
        );
    }
}

#[test]
fn a_cell_of_ten_megabytes_is_refused_and_the_rest_kept() {
    let large = "x".repeat(10 << 20);
    for from in ["Soft throw, 130 × 170 cm.", "Solid oak."] {
        let text = std::str::from_utf8(SHOPIFY)
            .expect("UTF-8")
            .replacen(from, &large, 1);
        let whole = read_as(text.as_bytes(), None, Some("EUR"), 65_536);
        assert!(
            whole.told()[0].ends_with("Body (HTML) TOO_LARGE"),
            "{:?}",
            whole.told()[0]
        );
        assert_eq!(whole.products.len(), 3);
    }
    let lines = "x\n".repeat(5 << 20);
    let text = std::str::from_utf8(SHOPIFY)
        .expect("UTF-8")
        .replacen("Soft throw, ", &lines, 1);
    let whole = read_as(text.as_bytes(), None, Some("EUR"), 65_536);
    assert_eq!(
        (whole.products.len(), whole.told().len()),
        (3, 4),
        "{:?}",
        whole.told()
    );
    let without_end = text.replacen("170 cm.\"", "170 cm.", 1);
    let whole = read_as(without_end.as_bytes(), None, Some("EUR"), 65_536);
    assert_eq!(whole.products.len(), 3, "{:?}", whole.told());
}

#[test]
fn made_skus_are_short_and_tell_variants_apart() {
    let long = "h".repeat(200);
    let text = format!(
        "Handle,Title,Option1 Name,Option1 Value,Variant Price\n{long},T,Size,A/B,1\n{long},,,A-B,1\n{long},,,Ünïcode,1\nß,T,Title,Default Title,1\n"
    );
    let whole = read(text.as_bytes());
    assert_eq!(whole.told(), Vec::<String>::new());
    let skus = skus(&whole);
    assert!(
        skus.iter().all(|sku| sku.len() <= 64 && !sku.is_empty()),
        "{skus:?}"
    );
    assert_eq!(
        skus.iter().collect::<std::collections::BTreeSet<_>>().len(),
        4
    );
}
