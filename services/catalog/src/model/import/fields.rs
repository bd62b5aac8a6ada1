//! Named values: the header of a table, a row's values by name, and a list of what is wrong with them.

use std::sync::Arc;

use super::cells::Row;
use super::value::{Bad, line};
use super::{PROBLEMS_MAX, Problem, Reason, Refused};

/// A value under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The column as the file calls it.
    pub column: Arc<str>,
    /// Its number, from 1; 0 where there are none.
    pub number: usize,
    /// Its line.
    pub line: u64,
    /// The text, trimmed.
    pub text: String,
}

/// The values of one row. A key may be there several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields<K> {
    /// The row's first line.
    pub line: u64,
    /// Its last line.
    pub last_line: u64,
    /// What it says.
    pub values: Vec<(K, Value)>,
}

/// The columns of a table.
#[derive(Clone, Debug)]
pub struct Header<K> {
    columns: Vec<(Option<K>, Arc<str>)>,
    key: K,
    sku: K,
}

/// A name without case and spaces at its ends, as columns are compared.
pub fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

impl<K: Copy + PartialEq> Header<K> {
    /// Reads the first row. `known` are names in lower case and what they mean, `required` what must be there,
    /// `repeated` what may be there more than once; `key` names the product and `sku` the variant.
    pub fn read(
        row: &Row,
        known: &[(&str, K)],
        required: &[K],
        repeated: &[K],
        (key, sku): (K, K),
    ) -> Result<Self, Vec<Problem>> {
        let wrong =
            |message: String, fix: &str| Problem::row(row.line, Reason::BadHeader, message, fix);
        let mut problems = Vec::new();
        let mut columns: Vec<(Option<K>, Arc<str>)> = Vec::new();
        for (place, cell) in row.cells.iter().enumerate() {
            let (name, is_text) = match &cell.text {
                Ok(name) => (name.trim(), true),
                Err(name) => (name.trim(), false),
            };
            if !is_text || name.contains('\0') {
                let problem = Problem::row(
                    row.line,
                    Reason::BadEncoding,
                    "the header is no UTF-8 text",
                    "Save the file as UTF-8.",
                );
                problems.push(problem.at(name, place + 1).showing(name));
            }
            let lower = folded(name);
            let found = known.iter().find(|(known, _)| *known == lower);
            let found = found.map(|(_, key)| *key);
            let twin = columns
                .iter()
                .position(|(other, _)| found.is_some() && *other == found);
            if let Some(twin) = twin
                && found.is_some_and(|found| !repeated.contains(&found))
            {
                let message = format!("columns {} and {} mean the same", twin + 1, place + 1);
                let problem = wrong(message, "Remove one of them.");
                problems.push(problem.at(name, place + 1));
            }
            columns.push((found, name.into()));
        }
        if row.count > row.cells.len() {
            let message = format!("the header has {} columns, more than are taken", row.count);
            problems.push(wrong(message, "Remove columns that are not needed."));
        }
        for key in required {
            if !columns.iter().any(|(found, _)| *found == Some(*key)) {
                let name = known.iter().find(|(_, other)| other == key);
                let name = name.map_or("", |(name, _)| *name);
                let message = format!("there is no column {name}");
                let fix =
                    "Export the file again with this column; the header has to be the first line.";
                problems.push(wrong(message, fix).at(name, 0));
            }
        }
        problems.truncate(PROBLEMS_MAX);
        if problems.is_empty() {
            Ok(Header { columns, key, sku })
        } else {
            Err(problems)
        }
    }

    /// How many columns there are, and the place of the one that names the product.
    pub fn shape(&self) -> (usize, usize) {
        let key = self
            .columns
            .iter()
            .position(|(key, _)| *key == Some(self.key));
        (self.columns.len(), key.unwrap_or(0))
    }

    /// Whether there is a column of this meaning.
    pub fn has(&self, key: K) -> bool {
        self.columns.iter().any(|(found, _)| *found == Some(key))
    }

    /// The name and number of a column by its place.
    pub fn column(&self, place: usize) -> (Arc<str>, usize) {
        match self.columns.get(place) {
            Some((_, name)) => (name.clone(), place + 1),
            None => ("".into(), place + 1),
        }
    }

    /// A row's values; refused when its form is wrong, whatever it says.
    pub fn fields(&self, row: Row) -> Result<Fields<K>, Refused> {
        let mut problems = Vec::new();
        let wanted = self.columns.len();
        if row.count != wanted {
            let message = format!(
                "the row has {} cells, and the header has {wanted}",
                row.count
            );
            let problem = if row.cut && row.count < wanted {
                let fix = "The file was cut off here: export or copy it again.";
                Problem::row(row.line, Reason::Truncated, message, fix)
            } else {
                let fix =
                    "Look for a missing or needless separator, or for text that wants quotes.";
                Problem::row(row.line, Reason::BadCellCount, message, fix)
            };
            problems.push(problem);
        }
        let mut values = Vec::new();
        for (place, (cell, (key, name))) in row.cells.into_iter().zip(&self.columns).enumerate() {
            let problem = |message: &str, fix: &str, shown: &str| {
                let problem = Problem::row(cell.line, Reason::BadEncoding, message, fix);
                problem.at(&**name, place + 1).showing(shown)
            };
            let text = match &cell.text {
                Ok(text) if text.contains(is_forbidden) => {
                    let message = "the cell has a NUL or another control character";
                    problems.push(problem(message, "Remove the character.", text));
                    text
                }
                Ok(text) => text,
                Err(shown) => {
                    let message = "the cell is no UTF-8 text";
                    let fix =
                        "Save the file as UTF-8; it seems to be in Latin-1 or another encoding.";
                    problems.push(problem(message, fix, shown));
                    shown
                }
            };
            if let Some(key) = key {
                values.push((
                    *key,
                    Value {
                        column: name.clone(),
                        number: place + 1,
                        line: cell.line,
                        text: text.trim().to_owned(),
                    },
                ));
            }
        }
        let fields = Fields {
            line: row.line,
            last_line: row.last_line,
            values,
        };
        if problems.is_empty() {
            return Ok(fields);
        }
        problems.truncate(PROBLEMS_MAX);
        // With cells missing or too many, what stands under a name may be something else.
        let named = |key| {
            if row.count == wanted {
                fields.text(key)
            } else {
                ""
            }
        };
        Err(Refused {
            line: fields.line,
            last_line: fields.last_line,
            external_key: line(named(self.key), 200).unwrap_or_default(),
            sku: line(named(self.sku), 64).unwrap_or_default(),
            problems,
        })
    }
}

/// Control characters other than line ends and tabs.
pub fn is_forbidden(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\n' | '\r' | '\t')
}

impl<K: Copy + PartialEq> Fields<K> {
    /// The first value of a key; none when the file does not have it.
    pub fn value(&self, key: K) -> Option<&Value> {
        self.all(key).next()
    }

    /// All values of a key.
    pub fn all(&self, key: K) -> impl Iterator<Item = &Value> {
        self.values
            .iter()
            .filter(move |(found, _)| *found == key)
            .map(|(_, value)| value)
    }

    /// The text of a key; empty when there is none.
    pub fn text(&self, key: K) -> &str {
        self.value(key).map_or("", |value| &value.text)
    }
}

/// Reads a row's values and gathers what is wrong with them.
pub struct Checks<'a, K> {
    /// The row.
    pub fields: &'a Fields<K>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is worth knowing.
    pub notes: Vec<Problem>,
}

impl<'a, K: Copy + PartialEq> Checks<'a, K> {
    /// Nothing wrong yet.
    pub fn new(fields: &'a Fields<K>) -> Self {
        Checks {
            fields,
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Notes that a value is wrong.
    pub fn wrong(&mut self, value: Option<&Value>, (reason, message, fix): Bad) {
        if self.problems.len() < PROBLEMS_MAX {
            let line = self.fields.line;
            self.problems.push(about(line, value, reason, message, fix));
        }
    }

    /// Notes something about a value that is no fault.
    pub fn note(
        &mut self,
        value: Option<&Value>,
        reason: Reason,
        message: impl Into<String>,
        fix: &str,
    ) {
        if self.notes.len() < PROBLEMS_MAX {
            let line = self.fields.line;
            self.notes
                .push(about(line, value, reason, message.into(), fix));
        }
    }

    /// A value that is there and right.
    pub fn read<T>(&mut self, key: K, read: impl FnOnce(&str) -> Result<T, Bad>) -> Option<T> {
        let value = self
            .fields
            .value(key)
            .filter(|value| !value.text.is_empty())?;
        match read(&value.text) {
            Ok(read) => Some(read),
            Err(bad) => {
                self.wrong(Some(value), bad);
                None
            }
        }
    }

    /// A value that has to be there.
    pub fn required<T>(&mut self, key: K, read: impl FnOnce(&str) -> Result<T, Bad>) -> Option<T> {
        let value = self.fields.value(key);
        if value.is_none_or(|value| value.text.is_empty()) {
            let name = value.map_or_else(|| "a value".to_owned(), |value| value.column.to_string());
            let message = format!("{name} is missing");
            self.wrong(value, (Reason::MissingValue, message, "Fill it in."));
            return None;
        }
        self.read(key, read)
    }

    /// One line of text; none when the file does not have it, empty when the cell is.
    pub fn line(&mut self, key: K, most: usize) -> Option<String> {
        self.fields.value(key)?;
        Some(self.read(key, |text| line(text, most)).unwrap_or_default())
    }

    /// The row is refused when anything is wrong with it.
    pub fn finish(self, external_key: &str, sku: &str) -> Result<Vec<Problem>, Refused> {
        if self.problems.is_empty() {
            return Ok(self.notes);
        }
        Err(Refused {
            line: self.fields.line,
            last_line: self.fields.last_line,
            external_key: external_key.to_owned(),
            sku: sku.to_owned(),
            problems: self.problems,
        })
    }
}

fn about(line: u64, value: Option<&Value>, reason: Reason, message: String, fix: &str) -> Problem {
    match value {
        Some(value) => Problem::row(value.line, reason, message, fix)
            .at(&*value.column, value.number)
            .showing(&value.text),
        None => Problem::row(line, reason, message, fix),
    }
}
