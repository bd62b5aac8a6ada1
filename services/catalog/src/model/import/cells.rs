//! Cuts text with separated cells into rows, and finds its way back after damage.
//!
//! A cell may be quoted; then it may hold separators, line ends and doubled quotes. A quote that is not closed
//! would swallow the rows after it, so a row that ends wrong (text behind a closing quote, another number of
//! cells over several lines, no end in sight) counts as damaged from its first line. Reading then goes on at
//! the next line from where a row with the right number of cells can be read.

use super::{Limits, Reason};

/// A cell: its text, or none when it is no UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The text without its quotes.
    pub text: Result<String, String>,
    /// The line on which it begins.
    pub line: u64,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its first line, from 1.
    pub line: u64,
    /// Its last line.
    pub last_line: u64,
    /// Its cells, at most as many as are allowed.
    pub cells: Vec<Cell>,
    /// How many cells there were.
    pub count: usize,
    /// Whether the file ends with it, without a line end.
    pub cut: bool,
}

/// Lines that are no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The first.
    pub line: u64,
    /// The last.
    pub last_line: u64,
    /// What is wrong.
    pub reason: Reason,
    /// The cell where it was seen, from 0; none for the whole row.
    pub cell: Option<usize>,
    /// The line where it was seen.
    pub at: u64,
}

/// The next thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// More text is wanted first.
    More,
    /// A row.
    Row(Row),
    /// No row.
    Damage(Damage),
    /// The end.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Plain,
    Quoted,
    /// Behind a quote inside a quoted cell: the end of the cell, or half of a doubled quote.
    Behind,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
    line: u64,
    quoted: bool,
}

enum Scan {
    More,
    Row { after: usize },
    Wrong(Reason, Option<usize>),
}

/// Cuts rows out of text.
pub struct Cells {
    limits: Limits,
    separator: u8,
    /// How many cells a row has, once the header is known, and which of them names the product.
    expect: Option<(usize, usize)>,
    buffer: Vec<u8>,
    /// Where the row begins, and how far it was looked at.
    head: usize,
    at: usize,
    /// The lines of the two.
    head_line: u64,
    at_line: u64,
    state: State,
    cell: (usize, u64),
    spans: Vec<Span>,
    count: usize,
    damage: Option<Damage>,
    /// A row that was found behind damage that has to be told first.
    found: Option<Row>,
    /// Dropping bytes until the line ends.
    skipping: bool,
    rescan_left: usize,
    ended: bool,
}

impl Cells {
    /// Nothing yet.
    pub fn new(separator: u8, limits: Limits) -> Self {
        Cells {
            rescan_left: limits.rescan_bytes,
            limits,
            separator,
            expect: None,
            buffer: Vec::new(),
            head: 0,
            at: 0,
            head_line: 1,
            at_line: 1,
            state: State::Start,
            cell: (0, 1),
            spans: Vec::new(),
            count: 0,
            damage: None,
            found: None,
            skipping: false,
            ended: false,
        }
    }

    /// Where the next text goes.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.head > 0 {
            let head = self.head;
            self.buffer.drain(..head);
            self.at -= head;
            self.cell.0 = self.cell.0.saturating_sub(head);
            for span in &mut self.spans {
                span.start -= head;
                span.end -= head;
            }
            self.head = 0;
        }
        &mut self.buffer
    }

    /// No more text comes.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// From here on rows have so many cells; `key` is the one that names the product.
    pub fn expect(&mut self, cells: usize, key: usize) {
        self.expect = Some((cells, key));
    }

    /// The next thing.
    pub fn step(&mut self) -> Step {
        loop {
            if let Some(row) = self.found.take() {
                return Step::Row(row);
            }
            if self.skipping && !self.skip() {
                if !self.ended {
                    return Step::More;
                }
                self.skipping = false;
            }
            if self.ended && self.head == self.buffer.len() {
                let last = self.head_line.saturating_sub(1);
                return self.told(last).map_or(Step::End, Step::Damage);
            }
            if let Some(step) = self.look() {
                return step;
            }
        }
    }

    /// Looks at the row that begins at the head; none when it has to look again.
    fn look(&mut self) -> Option<Step> {
        match self.scan() {
            Scan::More => {
                let most = match self.damage {
                    Some(_) => self.limits.resync_bytes,
                    None => self.limits.scan_bytes,
                };
                if self.buffer.len() - self.head <= most {
                    return Some(Step::More);
                }
                let reason = match self.state {
                    State::Quoted | State::Behind => Reason::BadQuote,
                    State::Start | State::Plain => Reason::TooLarge,
                };
                self.fail(reason, Some(self.count));
                None
            }
            Scan::Wrong(reason, cell) => {
                self.fail(reason, cell);
                None
            }
            Scan::Row { after } => self.whole(after),
        }
    }

    /// A row ended just before `after`.
    fn whole(&mut self, after: usize) -> Option<Step> {
        let size = after - self.head;
        let cut = self.ended && after == self.buffer.len() && !ends_line(&self.buffer[..after]);
        let last_line = self.at_line - u64::from(!cut);
        let spans_lines = last_line > self.head_line;
        let blank = self.count == 1 && self.buffer[self.head..after].trim_ascii().is_empty();
        let fits = self.expect.is_none_or(|(cells, _)| cells == self.count);
        if self.damage.is_some() {
            if blank || !fits || size > self.limits.resync_bytes || !self.is_likely() {
                self.fail(Reason::BadCellCount, None);
                return None;
            }
        } else if blank {
            self.advance(after);
            return None;
        } else if !fits && spans_lines {
            let quoted = self.spans.iter().rposition(|span| span.quoted);
            self.fail(Reason::BadQuote, quoted);
            return None;
        } else if size > self.limits.record_bytes {
            let damage = Damage {
                line: self.head_line,
                last_line,
                reason: Reason::TooLarge,
                cell: self.largest(),
                at: self.head_line,
            };
            self.advance(after);
            return Some(Step::Damage(damage));
        }
        let row = Row {
            line: self.head_line,
            last_line,
            cells: self.spans.iter().map(|span| self.read(span)).collect(),
            count: self.count,
            cut,
        };
        let before = self.head_line - 1;
        self.advance(after);
        match self.told(before) {
            Some(damage) => {
                self.found = Some(row);
                Some(Step::Damage(damage))
            }
            None => Some(Step::Row(row)),
        }
    }

    /// The damage is over with line `last`, if there was any.
    fn told(&mut self, last: u64) -> Option<Damage> {
        let damage = self.damage.take()?;
        Some(Damage {
            last_line: last.max(damage.line),
            ..damage
        })
    }

    /// Whether the cell that names the product could be a name: text of a cell that was torn open seldom is.
    fn is_likely(&self) -> bool {
        let Some((_, key)) = self.expect else {
            return true;
        };
        self.spans.get(key).is_some_and(|span| {
            let name = &self.buffer[span.start..span.end];
            let odd = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'<' | b'>' | b'"');
            !name.is_empty() && !name.iter().any(odd)
        })
    }

    fn largest(&self) -> Option<usize> {
        let spans = self.spans.iter().enumerate();
        spans
            .max_by_key(|(_, span)| span.end - span.start)
            .map(|(place, _)| place)
    }

    fn read(&self, span: &Span) -> Cell {
        let bytes = &self.buffer[span.start..span.end];
        let text = match std::str::from_utf8(bytes) {
            Ok(text) if span.quoted && text.contains('"') => Ok(text.replace("\"\"", "\"")),
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(String::from_utf8_lossy(bytes).into_owned()),
        };
        Cell {
            text,
            line: span.line,
        }
    }

    /// The next row begins at `after`.
    fn advance(&mut self, after: usize) {
        self.head = after;
        self.at = after;
        self.head_line = self.at_line;
        self.state = State::Start;
        self.cell = (after, self.at_line);
        self.spans.clear();
        self.count = 0;
    }

    /// The row at the head is none: notes the damage, and goes on at the next line.
    fn fail(&mut self, reason: Reason, cell: Option<usize>) {
        self.rescan_left = self.rescan_left.saturating_sub(self.at - self.head);
        if self.damage.is_none() {
            self.damage = Some(Damage {
                line: self.head_line,
                last_line: self.head_line,
                reason,
                cell,
                at: self.cell.1,
            });
        }
        self.at_line = self.head_line;
        let head = self.head;
        self.advance(head);
        self.skipping = true;
    }

    /// Drops the line at the head; answers whether its end was found.
    fn skip(&mut self) -> bool {
        let rest = &self.buffer[self.head..];
        let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            let all = self.buffer.len();
            self.advance(all);
            if self.ended {
                self.head_line += 1;
                self.at_line += 1;
            }
            return false;
        };
        let mut after = self.head + end + 1;
        if rest[end] == b'\r' {
            match rest.get(end + 1) {
                Some(b'\n') => after += 1,
                None if !self.ended => return false,
                _ => {}
            }
        }
        self.at_line += 1;
        self.advance(after);
        self.skipping = false;
        true
    }

    /// Looks on from where it stopped, until the row ends, is wrong, or the text does.
    fn scan(&mut self) -> Scan {
        while let Some(&byte) = self.buffer.get(self.at) {
            let is_end = matches!(byte, b'\n' | b'\r');
            match self.state {
                State::Start if byte == b'"' => {
                    self.state = State::Quoted;
                    self.cell.0 = self.at + 1;
                }
                State::Quoted if byte == b'"' => self.state = State::Behind,
                State::Behind if byte == b'"' => self.state = State::Quoted,
                State::Start | State::Plain | State::Behind if byte == self.separator => {
                    self.close();
                    self.cell = (self.at + 1, self.at_line);
                    self.state = State::Start;
                }
                State::Start | State::Plain | State::Behind if is_end => {
                    let Some(after) = self.after_line_end(byte) else {
                        return Scan::More;
                    };
                    self.close();
                    self.at = after;
                    self.at_line += 1;
                    return Scan::Row { after };
                }
                State::Quoted if is_end => {
                    if self.damage.is_some() && self.rescan_left == 0 {
                        return Scan::Wrong(Reason::BadQuote, Some(self.count));
                    }
                    let Some(after) = self.after_line_end(byte) else {
                        return Scan::More;
                    };
                    self.at = after;
                    self.at_line += 1;
                    continue;
                }
                State::Behind => return Scan::Wrong(Reason::BadQuote, Some(self.count)),
                State::Start => self.state = State::Plain,
                State::Plain | State::Quoted => {}
            }
            self.at += 1;
        }
        if !self.ended {
            return Scan::More;
        }
        if self.state == State::Quoted {
            return Scan::Wrong(Reason::BadQuote, Some(self.count));
        }
        self.close();
        Scan::Row { after: self.at }
    }

    /// The place behind the line end at hand; none when it may not be there in full.
    fn after_line_end(&self, byte: u8) -> Option<usize> {
        match (byte, self.buffer.get(self.at + 1)) {
            (b'\r', Some(b'\n')) => Some(self.at + 2),
            (b'\r', None) if !self.ended => None,
            _ => Some(self.at + 1),
        }
    }

    /// The cell at hand ends here.
    fn close(&mut self) {
        let quoted = self.state == State::Behind;
        if self.spans.len() < self.limits.columns {
            self.spans.push(Span {
                start: self.cell.0,
                end: self.at - usize::from(quoted),
                line: self.cell.1,
                quoted,
            });
        }
        self.count += 1;
    }
}

fn ends_line(bytes: &[u8]) -> bool {
    matches!(bytes.last(), Some(b'\n' | b'\r'))
}

#[cfg(test)]
#[path = "cells_tests.rs"]
mod tests;
