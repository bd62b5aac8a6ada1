//! A file, product by product.
//!
//! Bytes go in as they come; products come out one at a time, so that memory holds one product, the row at
//! hand and a few bytes for each row that was seen (to find the same SKU again).

use super::cells::{self, Cells, Damage};
use super::elements::{self, Elements};
use super::group::Groups;
use super::merchant::{self, Merchant};
use super::shopify::{self, Shopify};
use super::source::{Source, Unreadable};
use super::{Expect, Format, KeyedRow, Limits, Piece, Problem, Reason, Refused, fields};

/// How long the first line may be before the form is known.
const HEADER_MAX: usize = 64 * 1024;

/// What the reader answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// More bytes are wanted first.
    More,
    /// The next thing.
    Piece(Piece),
    /// The end.
    End,
}

enum Form {
    /// The first bytes, while the form is not known.
    Unknown(Vec<u8>),
    /// A table whose header is not read yet.
    Header(Box<Cells>, Option<Format>),
    Shopify(Box<Cells>, Box<Shopify>),
    Table(Box<Cells>, fields::Header<merchant::Key>, Merchant),
    Xml(Box<Elements>, Merchant),
    /// The file, or the rest of it, can not be used.
    Over,
}

/// Reads a file.
pub struct Reader {
    expect: Expect,
    limits: Limits,
    source: Source,
    form: Form,
    format: Option<Format>,
    ended: bool,
    bytes: u64,
    rows: u64,
    groups: Groups,
    problems: Vec<Problem>,
}

impl Reader {
    /// Nothing yet.
    pub fn new(expect: Expect, limits: Limits) -> Self {
        let groups = Groups::new(limits.product_rows);
        Reader {
            format: expect.format,
            expect,
            limits,
            source: Source::default(),
            form: Form::Unknown(Vec::new()),
            ended: false,
            bytes: 0,
            rows: 0,
            groups,
            problems: Vec::new(),
        }
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.form, Form::Over) {
            self.source.push(bytes);
        }
    }

    /// The file ends here.
    pub fn end(&mut self) {
        self.source.end();
    }

    /// The form, once it is known.
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// Why the file, or the rest of it, could not be used; complete at the end.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Whether nothing more of the file is wanted.
    pub fn is_over(&self) -> bool {
        matches!(self.form, Form::Over)
    }

    /// The next thing.
    pub fn step(&mut self) -> Next {
        loop {
            if let Some(piece) = self.groups.complete() {
                return Next::Piece(piece);
            }
            if self.advance() {
                continue;
            }
            if self.is_over() {
                self.groups.flush();
                match self.groups.complete() {
                    Some(piece) => return Next::Piece(piece),
                    None => return Next::End,
                }
            }
            match self.fill() {
                Ok(true) => {}
                Ok(false) if self.source.is_drained() && !self.ended => self.at_end(),
                Ok(false) => return Next::More,
                Err(unreadable) => self.unreadable(unreadable),
            }
        }
    }

    /// Takes the next step inside the form at hand; false when it wants more text.
    fn advance(&mut self) -> bool {
        match &mut self.form {
            Form::Unknown(_) => self.tell(),
            Form::Header(cells, _) => match cells.step() {
                cells::Step::More => false,
                cells::Step::Row(row) => {
                    self.header(row);
                    true
                }
                cells::Step::Damage(damage) => {
                    let message = "the header can not be read";
                    let fix = "Look at the quotes in the first line.";
                    self.over(Problem::row(damage.line, damage.reason, message, fix));
                    true
                }
                cells::Step::End => {
                    self.over(empty(1, "the file is empty"));
                    true
                }
            },
            Form::Shopify(cells, shopify) => match cells.step() {
                cells::Step::More => false,
                cells::Step::Row(row) => {
                    let groups = &self.groups;
                    let read = shopify.read(row, |key| groups.knows(key));
                    self.row(read);
                    true
                }
                cells::Step::Damage(damage) => {
                    let problem = about(&damage, |place| shopify.header().column(place));
                    self.damage(&damage, problem);
                    true
                }
                cells::Step::End => self.finish(),
            },
            Form::Table(cells, header, merchant) => match cells.step() {
                cells::Step::More => false,
                cells::Step::Row(row) => {
                    let read = header.fields(row).and_then(|fields| merchant.read(&fields));
                    self.row(read);
                    true
                }
                cells::Step::Damage(damage) => {
                    let problem = about(&damage, |place| header.column(place));
                    self.damage(&damage, problem);
                    true
                }
                cells::Step::End => self.finish(),
            },
            Form::Xml(elements, merchant) => match elements.step() {
                elements::Step::More => false,
                elements::Step::Item(item) => {
                    let read = elements::read(&item).and_then(|fields| merchant.read(&fields));
                    self.row(read);
                    true
                }
                elements::Step::Refused(refused) => {
                    self.row(Err(refused));
                    true
                }
                elements::Step::Unusable(problem) => {
                    self.over(problem);
                    true
                }
                elements::Step::End => self.finish(),
            },
            Form::Over => false,
        }
    }

    /// Brings some text to the form at hand.
    fn fill(&mut self) -> Result<bool, Unreadable> {
        let mut none = Vec::new();
        let buffer = match &mut self.form {
            Form::Unknown(first) => first,
            Form::Header(cells, _) | Form::Shopify(cells, _) | Form::Table(cells, ..) => {
                cells.buffer()
            }
            Form::Xml(elements, _) => elements.buffer(),
            Form::Over => &mut none,
        };
        let before = buffer.len();
        let filled = self.source.fill(buffer);
        self.bytes += (buffer.len() - before) as u64;
        if self.bytes > self.limits.bytes {
            let message = format!(
                "the file has more than {} bytes (catalog.import.file_bytes_max)",
                self.limits.bytes
            );
            self.over(Problem::row(1, Reason::TooLarge, message, "Split it."));
            return Ok(true);
        }
        filled
    }

    fn at_end(&mut self) {
        self.ended = true;
        match &mut self.form {
            Form::Unknown(_) | Form::Over => {}
            Form::Header(cells, _) | Form::Shopify(cells, _) | Form::Table(cells, ..) => {
                cells.end()
            }
            Form::Xml(elements, _) => elements.end(),
        }
    }

    fn unreadable(&mut self, unreadable: Unreadable) {
        let problem = match unreadable {
            Unreadable::Kind(kind) => Problem::row(
                1,
                Reason::BadEncoding,
                format!("the file is {kind}"),
                "Export it as CSV, TSV or XML in UTF-8.",
            ),
            Unreadable::Packing(error) => Problem::row(
                1,
                Reason::Truncated,
                format!("the file can not be unpacked to its end: {error}"),
                "Pack or copy it again; what was read before is kept.",
            ),
        };
        // The row at hand is torn.
        self.over(problem);
    }

    /// Tells the form from the first text; false when it wants more.
    fn tell(&mut self) -> bool {
        let Form::Unknown(first) = &mut self.form else {
            return false;
        };
        let text = first.trim_ascii_start();
        let line = text.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        if line.is_none() && !self.ended && text.len() < HEADER_MAX {
            return false;
        }
        let is_xml = text.starts_with(b"<");
        let line = &text[..line.unwrap_or(text.len()).min(HEADER_MAX)];
        let count = |separator: u8| line.iter().filter(|byte| **byte == separator).count();
        let separator = [b',', b'\t', b';']
            .into_iter()
            .max_by_key(|byte| (count(*byte), *byte == b','));
        let first = std::mem::take(first);
        let limits = self.limits.clone();
        let wants_xml = self.expect.format == Some(Format::MerchantXml);
        if is_xml
            && self
                .expect
                .format
                .is_none_or(|format| format == Format::MerchantXml)
        {
            let mut elements = Box::new(Elements::new(limits));
            elements.buffer().extend_from_slice(&first);
            if self.ended {
                elements.end();
            }
            self.format = Some(Format::MerchantXml);
            self.form = Form::Xml(elements, Merchant::new(self.expect.currency));
        } else if wants_xml || is_xml {
            let message = if is_xml {
                "the file is XML"
            } else {
                "the file is no XML"
            };
            let fix = "Name the format that it has, or none.";
            self.over(Problem::row(1, Reason::BadHeader, message, fix));
        } else {
            let mut cells = Box::new(Cells::new(separator.unwrap_or(b','), limits));
            cells.buffer().extend_from_slice(&first);
            if self.ended {
                cells.end();
            }
            self.form = Form::Header(cells, self.expect.format);
        }
        true
    }

    /// Reads a table's header.
    fn header(&mut self, row: cells::Row) {
        let Form::Header(mut cells, wanted) = std::mem::replace(&mut self.form, Form::Over) else {
            return;
        };
        let names = row
            .cells
            .iter()
            .filter_map(|cell| cell.text.as_deref().ok());
        let names: Vec<String> = names.map(fields::folded).collect();
        let format = wanted.or_else(|| {
            if shopify::is_header(&names) {
                Some(Format::ShopifyCsv)
            } else {
                merchant::is_header(&names).then_some(Format::MerchantTsv)
            }
        });
        self.format = format;
        let read = match format {
            Some(Format::ShopifyCsv) => Shopify::new(&row, self.expect.currency).map(|shopify| {
                let (count, key) = shopify.header().shape();
                cells.expect(count, key);
                Form::Shopify(cells, Box::new(shopify))
            }),
            Some(_) => merchant::header(&row).map(|header| {
                let (count, key) = header.shape();
                cells.expect(count, key);
                Form::Table(cells, header, Merchant::new(self.expect.currency))
            }),
            None => {
                let message = "the first line is no header of Shopify (Handle, Title, Variant Price, …) nor of Google \
                               Merchant Center (id, title, price, …)";
                let fix = "Export the file again with its header, in UTF-8.";
                let shown = names.join(", ");
                Err(vec![
                    Problem::row(row.line, Reason::BadHeader, message, fix).showing(&shown),
                ])
            }
        };
        match read {
            Ok(form) => self.form = form,
            Err(problems) => self.problems.extend(problems),
        }
    }

    /// The file was read to its end.
    fn finish(&mut self) -> bool {
        if self.rows == 0 {
            self.over(empty(1, "the file has a header and no rows"));
        } else {
            self.form = Form::Over;
        }
        true
    }

    fn over(&mut self, problem: Problem) {
        self.problems.push(problem);
        self.form = Form::Over;
    }

    fn damage(&mut self, damage: &Damage, problem: Problem) {
        self.row(Err(Refused::lines(damage.line, damage.last_line, problem)));
    }

    /// Sorts a row to its product.
    fn row(&mut self, read: Result<KeyedRow, Refused>) {
        self.rows += 1;
        if self.rows > self.limits.rows {
            let line = match &read {
                Ok(read) => read.row.line,
                Err(refused) => refused.line,
            };
            let message = format!(
                "the file has more than {} rows (catalog.import.rows_max)",
                self.limits.rows
            );
            self.over(Problem::row(line, Reason::TooLarge, message, "Split it."));
            return;
        }
        self.groups.add(read);
    }
}

fn empty(line: u64, message: &str) -> Problem {
    let fix = "Export it again; nothing was imported.";
    Problem::row(line, Reason::Empty, message, fix)
}

/// What is wrong with damaged lines.
fn about(damage: &Damage, column: impl Fn(usize) -> (std::sync::Arc<str>, usize)) -> Problem {
    let (message, fix) = match damage.reason {
        Reason::TooLarge => (
            "the row is larger than the server takes (catalog.import.record_bytes_max)",
            "Shorten its longest cell.",
        ),
        Reason::BadQuote => (
            "a quote opens this cell and is not closed where the cell ends",
            "Close the quote, and write quotes inside quoted text twice.",
        ),
        _ => (
            "the lines are no row: the number of cells is not that of the header",
            "Look for a missing quote or a line end in unquoted text.",
        ),
    };
    let problem = Problem::row(damage.at, damage.reason, message, fix);
    match damage.cell {
        Some(place) => {
            let (name, number) = column(place);
            problem.at(&*name, number)
        }
        None => problem,
    }
}
