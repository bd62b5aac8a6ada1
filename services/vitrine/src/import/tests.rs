use clap::Parser;
use contracts::catalog::v1::{ImportOutcome, ImportRow};
use contracts::id::VariantId;

use super::tally::Tally;
use super::*;

fn row(line: i64, outcome: ImportOutcome, units: Option<i64>) -> ImportRow {
    ImportRow {
        line,
        outcome: outcome.into(),
        sku: format!("S-{line}"),
        variant_id: VariantId::from_uuid(u128::try_from(line).expect("positive")).to_string(),
        reported_stock: units,
        ..ImportRow::default()
    }
}

#[test]
fn a_broken_import_counts_each_row_once() {
    let mut tally = Tally::new(true);
    tally.add(&row(2, ImportOutcome::Created, Some(3)));
    tally.add(&row(3, ImportOutcome::Rejected, Some(9)));
    tally.again();
    let outcome = tally.add(&row(2, ImportOutcome::Unchanged, Some(3)));
    assert_eq!(outcome, ImportOutcome::Created);
    tally.add(&row(3, ImportOutcome::Rejected, Some(9)));
    tally.add(&row(4, ImportOutcome::Unchanged, Some(0)));
    tally.add(&row(5, ImportOutcome::Updated, None));
    let counts = [
        ImportOutcome::Created,
        ImportOutcome::Updated,
        ImportOutcome::Unchanged,
        ImportOutcome::Rejected,
    ];
    assert_eq!(counts.map(|outcome| tally.count(outcome)), [1, 1, 1, 1]);
    let stock: Vec<(i64, i64)> = tally
        .stock
        .iter()
        .map(|units| (units.line, units.units))
        .collect();
    assert_eq!(stock, [(2, 3), (4, 0)]);
}

#[test]
fn connect_needs_the_catalogue_and_orders_only() {
    let parse = |given: &[&str]| {
        addresses(
            &given
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>(),
        )
    };
    let one = parse(&["http://a:1"]).expect("one for all");
    assert_eq!(one.order, ["http://a:1"]);
    let two = parse(&["catalog=http://a:1", "order=http://b:1"]).expect("both");
    assert_eq!(
        (two.catalog, two.order),
        (vec!["http://a:1".to_owned()], vec!["http://b:1".to_owned()])
    );
    assert!(parse(&["order=http://b:1"]).is_err());
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: ImportArgs,
}

#[test]
fn the_command_line_has_defaults_and_names() {
    let args = Line::parse_from(["import", "a.csv"]).args;
    assert_eq!(
        (args.stock, args.check, args.currency.as_str()),
        (Stock::Initial, false, "EUR")
    );
    let args = Line::parse_from([
        "import",
        "a.csv",
        "--dry-run",
        "--format",
        "merchant-xml",
        "--stock",
        "sync",
    ])
    .args;
    assert_eq!(
        (args.stock, args.check, args.format),
        (Stock::Sync, true, Format::MerchantXml)
    );
}
