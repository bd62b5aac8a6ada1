//! Files of products as retailers have them: Shopify's CSV, Google Merchant Center's TSV and XML.
//!
//! ```text
//!  bytes ─▶ source ─▶ cells | elements ─▶ shopify | merchant ─▶ reader: products, one after the other
//!           gzip,      records, damage     rows to products             │
//!           UTF-16     cut out                                          ▼ plan: against the catalogue
//! ```
//!
//! Reading is incremental and holds one product at a time, whatever the file's size. A row is taken whole or
//! refused whole; where the form itself is damaged, the damaged lines are refused and reading goes on at the
//! next line that is a row again.

pub mod cells;
mod draft;
pub mod elements;
pub mod fields;
pub mod group;
pub mod html;
pub mod merchant;
pub mod plan;
pub mod reader;
pub mod shopify;
pub mod source;
pub mod value;

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod merchant_tests;
#[cfg(test)]
mod shopify_tests;

use contracts::money::{Currency, Money};

use super::product::VariantOption;
use super::words::words;

words! {
    /// The form of a file.
    Format {
        /// Shopify's product CSV.
        ShopifyCsv = "SHOPIFY_CSV",
        /// Google Merchant Center, tab-separated.
        MerchantTsv = "MERCHANT_TSV",
        /// Google Merchant Center, RSS 2.0 or Atom.
        MerchantXml = "MERCHANT_XML",
    }
}

words! {
    /// Why a row was refused, or what was noted.
    Reason {
        /// A quote is missing, unclosed or followed by more text.
        BadQuote = "BAD_QUOTE",
        /// More or fewer cells than the header.
        BadCellCount = "BAD_CELL_COUNT",
        /// No text in the file's encoding, or characters that may not be there.
        BadEncoding = "BAD_ENCODING",
        /// Larger than what is taken.
        TooLarge = "TOO_LARGE",
        /// The header is not of this form.
        BadHeader = "BAD_HEADER",
        /// A value is missing.
        MissingValue = "MISSING_VALUE",
        /// A value is not what it must be.
        BadValue = "BAD_VALUE",
        /// A price or currency is wrong or ambiguous.
        BadPrice = "BAD_PRICE",
        /// A count of units is wrong.
        BadStock = "BAD_STOCK",
        /// Stands in an earlier row.
        Duplicate = "DUPLICATE",
        /// The catalogue does not allow it.
        Conflict = "CONFLICT",
        /// Belongs to a row that was refused.
        Depends = "DEPENDS",
        /// The file ends too early.
        Truncated = "TRUNCATED",
        /// XML that is not well-formed.
        BadXml = "BAD_XML",
        /// A note: cut to what fits.
        Cut = "CUT",
        /// A note: left out.
        LeftOut = "LEFT_OUT",
        /// The file has no rows.
        Empty = "EMPTY",
    }
}

words! {
    /// What became of a row.
    Outcome {
        /// New.
        Created = "CREATED",
        /// Changed.
        Updated = "UPDATED",
        /// So already.
        Unchanged = "UNCHANGED",
        /// Nothing of it was kept.
        Rejected = "REJECTED",
    }
}

/// How much of a file is taken at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest row, in bytes.
    pub record_bytes: usize,
    /// How far the end of a row is looked for before it counts as damaged.
    pub scan_bytes: usize,
    /// How far a row is looked for at each line after damage.
    pub resync_bytes: usize,
    /// How many bytes in all may be looked at again after damage; from then on a row is a line.
    pub rescan_bytes: usize,
    /// The most columns.
    pub columns: usize,
    /// The most rows of one product.
    pub product_rows: usize,
    /// The most rows of a file.
    pub rows: u64,
    /// The most bytes of a file, unpacked.
    pub bytes: u64,
}

/// One thing that is wrong or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line of the file, from 1.
    pub line: u64,
    /// The column's name; empty for the whole row.
    pub column: String,
    /// Its number, from 1; 0 for the whole row.
    pub column_number: usize,
    /// What kind.
    pub reason: Reason,
    /// One sentence: what is wrong.
    pub message: String,
    /// One sentence: what to do.
    pub fix: String,
    /// What stands there, cut.
    pub value: String,
}

/// The most characters of a value that a problem shows.
const SHOWN_MAX: usize = 80;

/// The most problems of one row that are told.
pub const PROBLEMS_MAX: usize = 10;

impl Problem {
    /// A problem of a whole row.
    pub fn row(
        line: u64,
        reason: Reason,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Problem {
            line,
            column: String::new(),
            column_number: 0,
            reason,
            message: message.into(),
            fix: fix.into(),
            value: String::new(),
        }
    }

    /// The same, of one column.
    #[must_use]
    pub fn at(mut self, column: impl Into<String>, number: usize) -> Self {
        self.column = column.into();
        self.column_number = number;
        self
    }

    /// The same, with what stands there.
    #[must_use]
    pub fn showing(mut self, value: &str) -> Self {
        let plain = |letter: char| if letter.is_control() { '·' } else { letter };
        let mut letters = value.chars();
        self.value = letters.by_ref().take(SHOWN_MAX).map(plain).collect();
        if letters.next().is_some() {
            self.value.pop();
            self.value.push('…');
        }
        self
    }
}

/// A row that was refused, or several lines that are no rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its first line.
    pub line: u64,
    /// Its last line.
    pub last_line: u64,
    /// The product's key, when it could be read.
    pub external_key: String,
    /// The SKU, when it could be read.
    pub sku: String,
    /// Why; at least one.
    pub problems: Vec<Problem>,
}

impl Refused {
    /// Lines of which nothing could be read.
    pub fn lines(line: u64, last_line: u64, problem: Problem) -> Self {
        Refused {
            line,
            last_line,
            external_key: String::new(),
            sku: String::new(),
            problems: vec![problem],
        }
    }
}

/// A row that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRow {
    /// Its first line.
    pub line: u64,
    /// Its last line.
    pub last_line: u64,
    /// What it says of the product itself; none for a row that only adds to it.
    pub details: Option<Box<ReadDetails>>,
    /// What it says of a variant; none for a row with only an image.
    pub variant: Option<ReadVariant>,
    /// Images it brings.
    pub images: Vec<String>,
    /// What was noted.
    pub notes: Vec<Problem>,
}

/// What a row says of a variant. What is none is not said by the file and stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadVariant {
    /// Its SKU, made from the product's key and the options where the file has none.
    pub sku: String,
    /// Whether the SKU was made.
    pub made_sku: bool,
    /// What tells it from its siblings.
    pub options: Vec<VariantOption>,
    /// Its GTIN; empty for none.
    pub gtin: Option<String>,
    /// Weight of one piece; 0 when unknown.
    pub weight_grams: Option<i64>,
    /// What one costs in the shop.
    pub reference_price: Option<Option<Money>>,
    /// The price it is compared with.
    pub compare_at_price: Option<Option<Money>>,
    /// Units there are.
    pub reported_stock: Option<Option<i64>>,
}

/// What rows say of a product. What is none is not said by the file and stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadDetails {
    /// Its title.
    pub title: String,
    /// Plain text.
    pub description: Option<String>,
    /// The brand.
    pub brand: Option<String>,
    /// The category.
    pub category: Option<String>,
    /// The state in the source, in lower case.
    pub status: Option<String>,
    /// Whether that state means that it is for sale.
    pub for_sale: Option<bool>,
    /// Tags.
    pub tags: Option<Vec<String>>,
    /// Whether the file has images at all.
    pub has_images: bool,
}

/// A product and its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadProduct {
    /// Its key in the source.
    pub external_key: String,
    /// Rows that were read, in the order of the file; at least one.
    pub rows: Vec<ReadRow>,
    /// Rows among them that were refused, as far as a product may have rows; others are told by themselves.
    pub refused: Vec<Refused>,
    /// Whether earlier rows of the file were about it; then it only adds variants.
    pub continues: bool,
}

/// A row and the product that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRow {
    /// The product's key.
    pub external_key: String,
    /// The row.
    pub row: ReadRow,
}

impl KeyedRow {
    /// A row of which only the product's key was read.
    pub fn bare<K>(external_key: String, fields: &fields::Fields<K>) -> Self {
        KeyedRow {
            external_key,
            row: ReadRow {
                line: fields.line,
                last_line: fields.last_line,
                details: None,
                variant: None,
                images: Vec::new(),
                notes: Vec::new(),
            },
        }
    }
}

/// The next thing in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A product.
    Product(Box<ReadProduct>),
    /// A row that belongs to no product that was read, or to one that has more rows than it may.
    Refused(Refused),
}

/// What is known before the first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The form; told from the beginning when none.
    pub format: Option<Format>,
    /// Currency of prices that name none.
    pub currency: Option<Currency>,
}

/// What the catalogue allows in a product; the same as for products that are created by hand.
pub mod most {
    /// Characters of a title.
    pub const TITLE: usize = 200;
    /// Characters of a description; longer ones are cut.
    pub const DESCRIPTION: usize = 10_000;
    /// Characters of a brand.
    pub const BRAND: usize = 120;
    /// Characters of a category.
    pub const CATEGORY: usize = 200;
    /// Characters of an external key.
    pub const EXTERNAL_KEY: usize = 200;
    /// Images; further ones are left out.
    pub const IMAGES: usize = 20;
    /// Characters of an image's address.
    pub const IMAGE_URI: usize = 2_000;
    /// Characters of a SKU.
    pub const SKU: usize = 64;
    /// Characters of an option's name.
    pub const OPTION_NAME: usize = 60;
    /// Characters of an option's value.
    pub const OPTION_VALUE: usize = 120;
    /// Options of a variant.
    pub const OPTIONS: usize = 3;
    /// Tags.
    pub const TAGS: usize = 250;
    /// Characters of a tag.
    pub const TAG: usize = 255;
    /// Units of a variant.
    pub const STOCK: i64 = 1_000_000_000_000;
    /// Grams of a variant.
    pub const WEIGHT_GRAMS: i64 = 1_000_000_000;
    /// Minor units of a price.
    pub const PRICE: i64 = 1_000_000_000_000_000;
}
