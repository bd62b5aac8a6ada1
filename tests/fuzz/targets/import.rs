//! Files of products, in every form that there is, cut into pieces of any size.

use catalog::model::import::reader::{Next, Reader};
use catalog::model::import::{Expect, Format, Limits, Piece};

use super::material::Material;
use super::{Target, outcome};

/// Pieces of one file: none can be longer than the file.
const STEPS_MAX: usize = 1 << 20;

/// The first byte chooses the form that is expected, the second the size of the pieces.
pub struct Import;

impl Target for Import {
    fn run(&self, data: &[u8]) -> u64 {
        let mut material = Material::new(data);
        let format = [
            None,
            Some(Format::ShopifyCsv),
            Some(Format::MerchantTsv),
            Some(Format::MerchantXml),
        ][usize::from(material.byte() % 4)];
        let step = 1 + material.below(4_096);
        let bytes = material.rest();
        let expect = Expect {
            format,
            currency: "EUR".parse().ok(),
        };
        let mut reader = Reader::new(expect, limits());
        let mut chunks = bytes.chunks(step);
        let (mut products, mut refused, mut steps) = (0_usize, 0_usize, 0_usize);
        loop {
            steps += 1;
            assert!(steps < STEPS_MAX, "it does not come to an end");
            match reader.step() {
                Next::More => match chunks.next() {
                    Some(chunk) => reader.push(chunk),
                    None => reader.end(),
                },
                Next::Piece(Piece::Product(_)) => products += 1,
                Next::Piece(Piece::Refused(row)) => {
                    assert!(
                        row.line <= row.last_line && !row.problems.is_empty(),
                        "{row:?}"
                    );
                    refused += 1;
                }
                Next::End => break,
            }
        }
        let told = reader
            .problems()
            .first()
            .map(|problem| problem.reason.to_string());
        outcome((
            reader.format().map(|format| format.to_string()),
            products.min(8),
            refused.min(8),
            told,
        ))
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let files: [&[u8]; 4] = [
            include_bytes!("../../../services/catalog/tests/data/shopify.csv"),
            include_bytes!("../../../services/catalog/tests/data/merchant.tsv"),
            include_bytes!("../../../services/catalog/tests/data/merchant.rss.xml"),
            include_bytes!("../../../services/catalog/tests/data/merchant.atom.xml"),
        ];
        let mut seeds = Vec::new();
        for file in files {
            for (way, step) in [
                (0, [15, 255]),
                (0, [0, 6]),
                (1, [1, 0]),
                (2, [1, 0]),
                (3, [1, 0]),
            ] {
                seeds.push([&[way], &step[..], file].concat());
                seeds.push([&[way], &step[..], &file[..file.len() / 3]].concat());
            }
        }
        // Damage that costs others much: quotes without an end, deep nesting, entities in entities.
        seeds.push([&[1, 15, 255][..], b"Handle,Title\n", &b"\"a,\n".repeat(400)].concat());
        seeds.push([&[3, 15, 255][..], &b"<a>".repeat(2_000)].concat());
        seeds.push(
            [
                &[3, 15, 255][..],
                b"<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><rss>&b;</rss>",
            ]
            .concat(),
        );
        seeds
    }
}

fn limits() -> Limits {
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
