use super::*;
use crate::model::import::ReadVariant;
use crate::model::import::shopify_tests::{SHOPIFY, read};

const MOST: usize = 5;

/// A row of a product, read from a real file, as often as wanted.
fn row(line: u64) -> KeyedRow {
    let product = read(SHOPIFY).products.swap_remove(0);
    let mut row = product.rows.into_iter().next().expect("a first row");
    row.line = line;
    row.last_line = line;
    if let Some(variant) = &mut row.variant {
        *variant = ReadVariant {
            sku: format!("LAMP-{line}"),
            ..variant.clone()
        };
        variant.options = vec![VariantOption {
            name: "Size".into(),
            value: line.to_string(),
        }];
    }
    KeyedRow {
        external_key: product.external_key,
        row,
    }
}

fn damaged(line: u64) -> Refused {
    let problem = Problem::row(line, Reason::BadQuote, "a quote is open", "Close it.");
    Refused::lines(line, line, problem)
}

/// Lines of what is told, one after the other, while the product is still open.
fn told(groups: &mut Groups) -> Vec<u64> {
    let pieces = std::iter::from_fn(|| groups.complete());
    let lines = pieces.map(|piece| match piece {
        Piece::Refused(refused) => refused.line,
        Piece::Product(product) => panic!("{} is not complete", product.external_key),
    });
    lines.collect()
}

fn product(groups: &mut Groups) -> ReadProduct {
    groups.flush();
    match groups.complete() {
        Some(Piece::Product(product)) => *product,
        other => panic!("no product: {other:?}"),
    }
}

#[test]
fn rows_beyond_the_most_of_a_product_are_told_at_once() {
    let mut groups = Groups::new(MOST);
    for line in 2..=100 {
        groups.add(Ok(row(line)));
        let expected = (line > 6).then_some(line);
        assert_eq!(told(&mut groups), Vec::from_iter(expected));
    }
    let product = product(&mut groups);
    assert_eq!((product.rows.len(), product.refused.len()), (MOST, 0));
}

#[test]
fn damaged_rows_behind_a_good_one_are_kept_up_to_the_same_bound() {
    let mut groups = Groups::new(MOST);
    groups.add(Ok(row(2)));
    for line in 3..=100 {
        groups.add(Err(damaged(line)));
        let expected = (line > 6).then_some(line);
        assert_eq!(told(&mut groups), Vec::from_iter(expected));
    }
    let product = product(&mut groups);
    let refused: Vec<u64> = product.refused.iter().map(|row| row.line).collect();
    assert_eq!((product.rows.len(), refused), (1, vec![3, 4, 5, 6]));
}
