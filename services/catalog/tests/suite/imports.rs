//! Imports of files through the call, on both engines.

use std::io::Write;

use contracts::ErrorReason;
use contracts::catalog::v1::import_products_request::Part;
use contracts::catalog::v1::*;
use contracts::common::v1::Money;
use testkit::{Setup, TestDb, on_both_engines};
use tonic::Status;

use crate::common::*;

const SHOPIFY: &str = include_str!("../data/shopify.csv");

/// What an import answered.
struct Answered {
    rows: Vec<ImportRow>,
    summary: ImportSummary,
}

impl Answered {
    fn told(&self) -> Vec<String> {
        let tell = |row: &ImportRow| {
            let outcome = row
                .outcome()
                .as_str_name()
                .trim_start_matches("IMPORT_OUTCOME_")
                .to_owned();
            let why: Vec<String> = row
                .problems
                .iter()
                .map(|p| {
                    format!(
                        " {}:{}",
                        p.column,
                        p.reason()
                            .as_str_name()
                            .trim_start_matches("IMPORT_REASON_")
                    )
                })
                .collect();
            format!("{} {outcome}{}", row.line, why.concat())
        };
        self.rows.iter().map(tell).collect()
    }

    fn outcomes(&self) -> Vec<ImportOutcome> {
        self.rows.iter().map(ImportRow::outcome).collect()
    }
}

fn header() -> ImportHeader {
    ImportHeader {
        source: "shop".into(),
        currency_code: "EUR".into(),
        ..ImportHeader::default()
    }
}

fn part(part: Part) -> ImportProductsRequest {
    ImportProductsRequest { part: Some(part) }
}

async fn send(hand: &Hand, requests: Vec<ImportProductsRequest>) -> Result<Answered, Status> {
    let stream = futures::stream::iter(requests);
    let mut answers = hand
        .products
        .clone()
        .import_products(stream)
        .await?
        .into_inner();
    let (mut rows, mut summary) = (Vec::new(), None);
    while let Some(response) = answers.message().await? {
        assert!(summary.is_none(), "nothing comes behind the summary");
        rows.extend(response.rows);
        summary = response.summary;
    }
    Ok(Answered {
        rows,
        summary: summary.ok_or_else(|| Status::data_loss("no summary"))?,
    })
}

async fn import_with(hand: &Hand, header: ImportHeader, bytes: &[u8]) -> Answered {
    let chunks = bytes
        .chunks(333)
        .map(|chunk| part(Part::Chunk(chunk.to_vec())));
    let requests = std::iter::once(part(Part::Header(header)))
        .chain(chunks)
        .collect();
    send(hand, requests).await.expect("an import")
}

async fn import(hand: &Hand, text: &str) -> Answered {
    import_with(hand, header(), text.as_bytes()).await
}

async fn products(hand: &Hand) -> Vec<Product> {
    let request = ListProductsRequest {
        page_size: 200,
        ..ListProductsRequest::default()
    };
    let mut products = call!(hand.products.list_products(request))
        .expect("a page")
        .products;
    products.sort_by(|a, b| a.external_key.cmp(&b.external_key));
    products
}

fn euro(minor_units: i64) -> Option<Money> {
    Some(money(minor_units, "EUR"))
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn a_file_gives_what_is_in_it_and_again_changes_nothing(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let check = ImportHeader { validate_only: true, ..header() };
        let checked = import_with(&ops, check.clone(), SHOPIFY.as_bytes()).await;
        assert_eq!(checked.outcomes(), [ImportOutcome::Created; 9]);
        assert!(checked.rows.iter().all(|row| row.product_id.is_empty() && row.variant_id.is_empty()));
        assert!(products(&ops).await.is_empty() && s.feed_of(&ops).await.is_empty());

        let first = import(&ops, SHOPIFY).await;
        assert_eq!(first.outcomes(), [ImportOutcome::Created; 9]);
        let sum = &first.summary;
        assert_eq!((sum.products_created, sum.rows_created, sum.variants, sum.units), (4, 9, 7, 28));
        assert_eq!(sum.format(), ImportFormat::ShopifyCsv);
        assert_eq!(sum.progress.map(|p| p.bytes_read), Some(SHOPIFY.len() as i64));
        let all = products(&ops).await;
        let [lamp, stool, caddy, throw] = &all[..] else { panic!("{all:?}") };
        assert_eq!((lamp.title.as_str(), lamp.brand.as_str(), lamp.category.as_str()), ("Brass Lamp", "Lund & Sons", "Lighting"));
        assert_eq!(lamp.description, "A desk lamp of brass.\n\n- 40 cm\n- E14 & dimmable");
        assert_eq!(lamp.image_uris.len(), 2);
        let source = lamp.source.as_ref().expect("it was imported");
        assert_eq!((source.source.as_str(), source.status.as_str(), &source.tags[..]), ("shop", "active", &["Brass".to_owned(), "Desk".to_owned()][..]));
        let of = |variant: &Variant| variant.source.clone().expect("it was imported");
        let (reference_price, compare_at_price) = (euro(12_950), euro(15_900));
        assert_eq!(of(&lamp.variants[0]), VariantSource { reference_price, compare_at_price, reported_stock: Some(3) });
        assert_eq!((throw.title.as_str(), throw.variants.len()), ("Wool Throw, \"Fjord\"", 3));
        assert_eq!(throw.variants[1].options.iter().map(|o| o.value.as_str()).collect::<Vec<_>>(), ["Blue", "Large"]);
        assert_eq!((throw.variants[0].gtin.as_str(), throw.variants[0].weight_grams), ("4006381333931", 650));
        assert_eq!((caddy.state(), of(&caddy.variants[0])), (ProductState::Draft, VariantSource::default()));
        assert_eq!(of(&stool.variants[1]).reported_stock, Some(2));
        let get = GetProductRequest { product_id: throw.product_id.clone() };
        assert_eq!(call!(ops.products.get_product(get)).expect("readable").product.as_ref(), Some(throw));

        let before = s.feed_of(&ops).await;
        let again = import(&ops, SHOPIFY).await;
        assert_eq!(again.outcomes(), [ImportOutcome::Unchanged; 9]);
        assert_eq!((products(&ops).await, s.feed_of(&ops).await), (all.clone(), before));
        assert_eq!(again.rows[2].variant_id, throw.variants[0].variant_id);
        let checked = import_with(&ops, check, SHOPIFY.as_bytes()).await;
        assert_eq!(checked.outcomes(), [ImportOutcome::Unchanged; 9]);
    }

    async fn bad_rows_are_told_and_good_ones_kept(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let broken = SHOPIFY.replace(",69.00,", ",\"1,299.00\",").replace("tea-caddy,Tea Caddy", "tea-caddy,\"Tea Caddy");
        let answered = import(&ops, &broken).await;
        assert_eq!(answered.told(), [
            "2 CREATED", "4 CREATED", "5 CREATED", "6 REJECTED Variant Price:BAD_PRICE", "7 CREATED", "8 CREATED",
            "9 REJECTED Title:BAD_QUOTE", "10 CREATED", "11 CREATED",
        ]);
        assert_eq!((answered.summary.products_created, answered.summary.progress.map(|p| p.rows_rejected)), (3, Some(2)));
        // What was corrected comes in; the rest is as it was.
        let mended = import(&ops, SHOPIFY).await;
        assert_eq!(mended.told()[3], "6 CREATED");
        assert_eq!(mended.told()[6], "9 CREATED");
        assert_eq!(mended.summary.rows_created, 2);
        let throw = &products(&ops).await[3];
        let skus: Vec<&str> = throw.variants.iter().map(|variant| variant.sku.as_str()).collect();
        assert_eq!(skus, ["THROW-B-S", "THROW-R-S", "THROW-B-L"]);
    }

    async fn what_changed_is_updated_and_published(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        import(&ops, SHOPIFY).await;
        let before = s.feed_of(&ops).await.len();
        let other = SHOPIFY.replace(",draft", ",active").replace("Oak Stool", "Oak Bar Stool").replace("THROW-B-L,900", "THROW-B-L,950").replace(",,0,,,69.00,", ",,5,,,71.00,");
        let answered = import(&ops, &other).await;
        let updated: Vec<i64> = answered.rows.iter().filter(|r| r.outcome() == ImportOutcome::Updated).map(|r| r.line).collect();
        assert_eq!(updated, [6, 9, 10]);
        assert_eq!(s.feed_of(&ops).await.len(), before + 3);
        let all = products(&ops).await;
        assert_eq!((all[2].state(), all[1].title.as_str(), all[3].variants[1].weight_grams), (ProductState::Active, "Oak Bar Stool", 950));
        let source = all[3].variants[1].source.clone().expect("imported");
        assert_eq!((source.reference_price, source.reported_stock), (euro(7_100), Some(5)));
        assert_eq!(all[0].etag, "v1");
        // Another source does not change it; another product's SKU is not taken.
        let stranger = ImportHeader { source: "other".into(), ..header() };
        let answered = import_with(&ops, stranger, SHOPIFY.as_bytes()).await;
        assert!(answered.outcomes().iter().all(|outcome| *outcome == ImportOutcome::Rejected));
        let row = "Handle,Title,Variant Price,Variant SKU\nnew,New,1,THROW-B-S\n";
        assert_eq!(import(&ops, row).await.told(), ["2 REJECTED :CONFLICT"]);
        assert_eq!(products(&ops).await, all);
    }

    async fn a_draft_is_not_listed_and_partners_see_nothing_of_the_source(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        import(&ops, SHOPIFY).await;
        let all = products(&ops).await;
        let partner_id = s.register_partner("north").await;
        let draft = proposal(&partner_id, &all[2].variants[0].variant_id);
        assert_eq!(reason(call!(ops.listings.propose_listing(draft))), ErrorReason::WrongState);
        let listing = s.propose(&partner_id, &all[0].variants[0].variant_id).await;
        assert_eq!(listing.variant.and_then(|variant| variant.source), None);
        let partner = s.partner(&partner_id);
        let get = GetProductRequest { product_id: all[0].product_id.clone() };
        let seen = call!(partner.products.get_product(get)).expect("listed").product.expect("it");
        assert_eq!((seen.title.as_str(), &seen.source), ("Brass Lamp", &None));
        assert!(seen.variants.iter().all(|variant| variant.source.is_none()));
        assert!(s.feed_of(&ops).await.iter().all(|entry| !format!("{entry:?}").contains("reported_stock: Some")));
    }

    async fn products_made_by_hand_are_taken_over_by_their_key(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let mut by_hand = product("LAMP", 0);
        by_hand.external_key = "brass-lamp".into();
        by_hand.variants = vec![Variant { options: Vec::new(), ..variant("LAMP-1") }];
        let request = CreateProductRequest { request_id: key(), product: Some(by_hand), validate_only: false };
        let made = call!(ops.products.create_product(request)).expect("made").product.expect("it");
        assert_eq!(made.source, None);
        let answered = import(&ops, SHOPIFY).await;
        assert_eq!(answered.told()[0], "2 UPDATED");
        // The file has no SKU for it, so the one that it has stays.
        assert_eq!((answered.rows[0].sku.as_str(), answered.rows[0].variant_id.as_str()), ("LAMP-1", made.variants[0].variant_id.as_str()));
        assert!(import(&ops, SHOPIFY).await.outcomes().iter().all(|outcome| *outcome == ImportOutcome::Unchanged));
    }

    async fn other_formats_and_packed_files_come_in_too(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let mut pack = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        pack.write_all(include_bytes!("../data/merchant.tsv")).expect("packed");
        let packed = pack.finish().expect("packed");
        let answered = import_with(&ops, header(), &packed).await;
        assert_eq!(answered.told(), ["2 CREATED", "3 CREATED", "4 CREATED"]);
        assert_eq!(answered.summary.progress.map(|p| p.bytes_read), Some(packed.len() as i64));
        // The same items as XML.
        let answered = import_with(&ops, header(), include_bytes!("../data/merchant.rss.xml")).await;
        let other = answered.outcomes().iter().filter(|outcome| **outcome != ImportOutcome::Unchanged).count();
        assert_eq!((answered.summary.format(), other), (ImportFormat::MerchantXml, 1), "{:?}", answered.told());
        let cut = import_with(&ops, header(), &packed[..packed.len() - 10]).await;
        assert_eq!(cut.summary.file_problems.len(), 1);
    }

    async fn rows_of_one_product_that_stand_apart_only_add_to_it(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let file = "id\titem_group_id\ttitle\tprice\tcolor\nA\tg\tMug\t1 EUR\tred\nX\t\tOther\t1 EUR\t\nB\tg\tMug again\t1 EUR\tblue\n";
        assert_eq!(import(&ops, file).await.told(), ["2 CREATED", "3 CREATED", "4 CREATED"]);
        assert_eq!(import(&ops, file).await.told(), ["2 UNCHANGED", "3 UNCHANGED", "4 UNCHANGED"]);
        let mug = &products(&ops).await[1];
        assert_eq!((mug.title.as_str(), mug.variants.len()), ("Mug", 2));
    }

    async fn what_is_no_import_is_refused(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let refused = |requests| async { fields(send(&ops, requests).await.map(|answered| answered.rows.len())) };
        assert_eq!(refused(Vec::new()).await, ["header"]);
        assert_eq!(refused(vec![part(Part::Chunk(vec![1]))]).await, ["header"]);
        let twice = vec![part(Part::Header(header())), part(Part::Header(header()))];
        assert_eq!(refused(twice).await, ["header"]);
        let wrong = ImportHeader { source: "My Shop".into(), currency_code: "euro".into(), format: 99, validate_only: false };
        assert_eq!(refused(vec![part(Part::Header(wrong))]).await, ["header.source", "header.format", "header.currency_code"]);
        let large = vec![part(Part::Header(header())), part(Part::Chunk(vec![b'x'; 1_048_577]))];
        assert_eq!(refused(large).await, ["chunk"]);
        let none = import(&ops, "").await;
        assert_eq!(none.summary.file_problems[0].reason(), ImportReason::Empty);
        let no_currency = ImportHeader { currency_code: String::new(), ..header() };
        let answered = import_with(&ops, no_currency, SHOPIFY.as_bytes()).await;
        assert_eq!(answered.summary.file_problems[0].reason(), ImportReason::BadPrice);
        assert!(answered.rows.is_empty() && products(&ops).await.is_empty());
    }

    async fn two_imports_of_one_file_at_a_time_make_each_product_once(t: TestDb) {
        let s = Server::start(&t).await;
        let (one, other) = (s.ops(), s.ops());
        let rows: String = (0..300).map(|n| format!("h-{n},Title {n},1.50,SKU-{n}\n")).collect();
        let file = format!("Handle,Title,Variant Price,Variant SKU\n{rows}");
        let (a, b) = futures::join!(import(&one, &file), import(&other, &file));
        let count = |answered: &Answered, wanted| answered.outcomes().iter().filter(|outcome| **outcome == wanted).count();
        let created = count(&a, ImportOutcome::Created) + count(&b, ImportOutcome::Created);
        let unchanged = count(&a, ImportOutcome::Unchanged) + count(&b, ImportOutcome::Unchanged);
        assert_eq!((created, unchanged), (300, 300));
        assert_eq!(s.feed_of(&one).await.len(), 300);
    }
}
