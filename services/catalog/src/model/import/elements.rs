//! Cuts XML into its items (`item` of RSS, `entry` of Atom) and reads each by itself.
//!
//! Items are found by a small machine that knows comments, CDATA and quotes and nothing else, so that one that
//! is damaged costs only itself. What is inside is read by a real parser. Nothing outside the file is ever
//! fetched and no entity but XML's own five and numbered letters is known, so none can grow.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::fields::{Fields, Value, is_forbidden};
use super::merchant::{Key, element};
use super::{Limits, Problem, Reason, Refused, html};

const ITEMS: [&[u8]; 2] = [b"item", b"entry"];

/// The next thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// More text is wanted first.
    More,
    /// An item.
    Item(Item),
    /// Something that is no item.
    Refused(Refused),
    /// The file can not be read.
    Unusable(Problem),
    /// The end.
    End,
}

/// An item's text, with its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    line: u64,
    last_line: u64,
    text: Vec<u8>,
}

/// Cuts items out of text.
pub struct Elements {
    limits: Limits,
    buffer: Vec<u8>,
    /// Where the next token begins.
    at: usize,
    line: u64,
    /// Where the item at hand began, and its line.
    item: Option<(usize, u64)>,
    /// Looking for the next item only, whatever is in between; the line where that began.
    lost: Option<(u64, Reason)>,
    seen: bool,
    root_closed: bool,
    ended: bool,
}

enum Token {
    /// The token is not there in full.
    Partial,
    /// Nothing of interest, up to here.
    Other(usize),
    /// An item begins, and its tag ends here.
    Open(usize),
    /// An item that is empty.
    Empty(usize),
    /// An item ends.
    Close(usize),
    /// Another element ends that was the outermost one.
    Root(usize),
    /// The declaration names an encoding.
    Declaration(usize, String),
}

impl Elements {
    /// Nothing yet.
    pub fn new(limits: Limits) -> Self {
        Elements {
            limits,
            buffer: Vec::new(),
            at: 0,
            line: 1,
            item: None,
            lost: None,
            seen: false,
            root_closed: false,
            ended: false,
        }
    }

    /// Where the next text goes.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        let keep = self.item.map_or(self.at, |(start, _)| start);
        if keep > 0 {
            self.buffer.drain(..keep);
            self.at -= keep;
            if let Some((start, _)) = &mut self.item {
                *start = 0;
            }
        }
        &mut self.buffer
    }

    /// No more text comes.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The next thing.
    pub fn step(&mut self) -> Step {
        loop {
            if let Some((line, reason)) = self.lost {
                match self.find_item() {
                    Some(place) => {
                        self.move_to(place);
                        self.lost = None;
                        return Step::Refused(damaged(line, self.line, reason));
                    }
                    None if self.ended => {
                        self.move_to(self.buffer.len());
                        self.lost = None;
                        return Step::Refused(damaged(line, self.line, reason));
                    }
                    None => return Step::More,
                }
            }
            match self.token() {
                Token::Partial => {
                    let start = self.item.map_or(self.at, |(start, _)| start);
                    if self.buffer.len() - start > self.limits.record_bytes {
                        self.lose(Reason::TooLarge);
                        continue;
                    }
                    if !self.ended {
                        return Step::More;
                    }
                    return self.last();
                }
                Token::Other(end) => {
                    self.move_to(end);
                    let size = self.item.map(|(start, _)| end - start);
                    if size.is_some_and(|size| size > self.limits.record_bytes) {
                        self.lose(Reason::TooLarge);
                    }
                }
                Token::Declaration(end, encoding) => {
                    self.move_to(end);
                    if let Some(problem) = self.foreign(&encoding) {
                        return Step::Unusable(problem);
                    }
                }
                Token::Root(end) => {
                    self.move_to(end);
                    self.root_closed = true;
                }
                Token::Open(_) if self.item.is_some() => {
                    // The item before has no end: what it says may belong to either.
                    let (_, line) = self.item.take().unwrap_or((0, self.line));
                    return Step::Refused(damaged(line, self.line, Reason::BadXml));
                }
                Token::Open(end) => {
                    self.seen = true;
                    self.item = Some((self.at, self.line));
                    self.move_to(end);
                }
                Token::Empty(end) | Token::Close(end) => {
                    self.seen = true;
                    let (start, line) = self.item.take().unwrap_or((self.at, self.line));
                    self.move_to(end);
                    return Step::Item(Item {
                        line,
                        last_line: self.line,
                        text: self.buffer[start..end].to_vec(),
                    });
                }
            }
        }
    }

    /// What is wrong with an encoding that the file says it is in.
    fn foreign(&self, encoding: &str) -> Option<Problem> {
        let lower = encoding.to_lowercase();
        if matches!(lower.as_str(), "utf-8" | "utf8" | "utf-16" | "us-ascii") {
            return None;
        }
        let message = format!("the file says that it is in {encoding}");
        let fix = "Save the file as UTF-8, and let its first line say so.";
        Some(Problem::row(self.line, Reason::BadEncoding, message, fix))
    }

    /// What is left when the file ends.
    fn last(&mut self) -> Step {
        let rest = self.buffer[self.at..]
            .iter()
            .any(|byte| !byte.is_ascii_whitespace());
        self.move_to(self.buffer.len());
        if let Some((_, line)) = self.item.take() {
            return Step::Refused(damaged(line, self.line, Reason::Truncated));
        }
        if rest || (self.seen && !self.root_closed) {
            self.root_closed = true;
            let message = "the file ends before its outermost element does";
            let fix = "The file was cut off: export or copy it again.";
            return Step::Unusable(Problem::row(self.line, Reason::Truncated, message, fix));
        }
        Step::End
    }

    fn lose(&mut self, reason: Reason) {
        let (start, line) = self.item.take().unwrap_or((self.at, self.line));
        self.line = line;
        // The tag at hand is stepped over, or it would be found again.
        self.at = (start + 1).min(self.buffer.len());
        self.lost = Some((line, reason));
    }

    /// The place of the next item, whatever is before; drops what is certainly none.
    fn find_item(&mut self) -> Option<usize> {
        let rest = &self.buffer[self.at..];
        let opens = |place: &usize| {
            let name = &rest[place + 1..];
            ITEMS.iter().any(|item| {
                name.starts_with(item)
                    && name.get(item.len()).is_some_and(|byte| {
                        byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/')
                    })
            })
        };
        let mut tags = rest.iter().enumerate().filter(|(_, byte)| **byte == b'<');
        let found = tags.find_map(|(place, _)| opens(&place).then_some(place));
        if let Some(place) = found {
            return Some(self.at + place);
        }
        // The last bytes may be the beginning of a tag.
        let mut end = self.buffer.len() - rest.len().min(8);
        if end > self.at && self.buffer[end - 1] == b'\r' {
            end -= 1;
        }
        self.move_to(end);
        None
    }

    fn move_to(&mut self, place: usize) {
        self.line += lines(&self.buffer[self.at..place]);
        self.at = place;
    }

    /// The token at hand.
    fn token(&self) -> Token {
        let rest = &self.buffer[self.at..];
        let Some(start) = rest.iter().position(|byte| *byte == b'<') else {
            // A line end of two bytes stays together.
            let whole = rest.len() - usize::from(rest.ends_with(b"\r") && !self.ended);
            return match whole {
                0 => Token::Partial,
                whole => Token::Other(self.at + whole),
            };
        };
        if start > 0 {
            return Token::Other(self.at + start);
        }
        let until = |mark: &[u8], from: usize| {
            let inner = rest.get(from..)?;
            let place = inner.windows(mark.len()).position(|part| part == mark)?;
            Some(self.at + from + place + mark.len())
        };
        let other = |end: Option<usize>| end.map_or(Token::Partial, Token::Other);
        if b"<![CDATA[".starts_with(&rest[..rest.len().min(9)]) {
            return other(until(b"]]>", 9));
        }
        if b"<!--".starts_with(&rest[..rest.len().min(4)]) {
            return other(until(b"-->", 4));
        }
        if rest.starts_with(b"<?") {
            let Some(end) = until(b"?>", 2) else {
                return Token::Partial;
            };
            let text = &self.buffer[self.at..end];
            return match encoding(text).filter(|_| text.starts_with(b"<?xml")) {
                Some(encoding) => Token::Declaration(end, encoding),
                None => Token::Other(end),
            };
        }
        if rest.starts_with(b"<!") {
            return other(doctype_end(rest).map(|end| self.at + end));
        }
        match tag_end(rest) {
            None => Token::Partial,
            Some(TagEnd::Torn(place)) => Token::Other(self.at + place),
            Some(TagEnd::Whole(end)) => self.tag(&rest[1..end - 1], self.at + end),
        }
    }

    /// What a tag is; `inner` is what stands between its brackets.
    fn tag(&self, inner: &[u8], end: usize) -> Token {
        let closing = inner.first() == Some(&b'/');
        let name = &inner[usize::from(closing)..];
        let length = name
            .iter()
            .position(|byte| byte.is_ascii_whitespace() || *byte == b'/')
            .unwrap_or(name.len());
        let name = &name[..length];
        if ITEMS.contains(&name) {
            return match (closing, inner.last()) {
                (true, _) => Token::Close(end),
                (false, Some(b'/')) => Token::Empty(end),
                (false, _) => Token::Open(end),
            };
        }
        if closing && matches!(name, b"rss" | b"feed") {
            return Token::Root(end);
        }
        Token::Other(end)
    }
}

/// Line ends, however they are written. A pair that is cut in two is kept together by who cuts.
fn lines(bytes: &[u8]) -> u64 {
    let mut count = 0;
    for (place, byte) in bytes.iter().enumerate() {
        let paired = bytes.get(place + 1) == Some(&b'\n');
        count += u64::from(*byte == b'\n' || (*byte == b'\r' && !paired));
    }
    count
}

enum TagEnd {
    /// Behind its `>`.
    Whole(usize),
    /// Before the next tag: it has no end.
    Torn(usize),
}

/// Where a tag ends.
fn tag_end(text: &[u8]) -> Option<TagEnd> {
    let mut quote = None;
    for (place, &byte) in text.iter().enumerate().skip(1) {
        match (quote, byte) {
            (None, b'>') => return Some(TagEnd::Whole(place + 1)),
            // Inside a tag there is no other.
            (None, b'<') => return Some(TagEnd::Torn(place)),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

/// Where a document type ends; what it declares is never used.
fn doctype_end(text: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, byte) in text.iter().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b'>' if depth == 0 => return Some(place + 1),
            _ => {}
        }
    }
    None
}

fn encoding(declaration: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(declaration).ok()?;
    let (_, rest) = text.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest
        .chars()
        .next()
        .filter(|quote| matches!(quote, '"' | '\''))?;
    rest[1..].split_once(quote).map(|(name, _)| name.to_owned())
}

fn damaged(line: u64, last_line: u64, reason: Reason) -> Refused {
    let (message, fix) = match reason {
        Reason::TooLarge => (
            "the item is larger than the server takes (catalog.import.record_bytes_max)",
            "Shorten its longest text.",
        ),
        Reason::Truncated => (
            "the file ends inside this item",
            "The file was cut off here: export or copy it again.",
        ),
        _ => ("the item has no end", "Close it with </item> or </entry>."),
    };
    let problem = Problem::row(line, reason, message, fix);
    Refused::lines(line, last_line, problem)
}

/// Reads an item's attributes.
pub fn read(item: &Item) -> Result<Fields<Key>, Refused> {
    let refuse = |line: u64, reason, message: String, fix: &str| {
        let problem = Problem::row(line, reason, message, fix);
        Refused::lines(item.line, item.last_line, problem)
    };
    if std::str::from_utf8(&item.text).is_err() {
        let bad = item
            .text
            .utf8_chunks()
            .find(|chunk| !chunk.invalid().is_empty());
        let before = bad.map_or(0, |chunk| lines(chunk.valid().as_bytes()));
        let (message, fix) = (
            "the item is no UTF-8 text".into(),
            "Save the file as UTF-8.",
        );
        return Err(refuse(
            item.line + before,
            Reason::BadEncoding,
            message,
            fix,
        ));
    }
    let mut parser = Parser::default();
    let mut reader = Reader::from_reader(&item.text[..]);
    let (mut line, mut counted) = (item.line, 0);
    loop {
        let from = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        line += item.text.get(counted..from).map_or(0, lines);
        counted = counted.max(from);
        let event = reader.read_event().map_err(|error| {
            let message = format!("the item is no well-formed XML: {error}");
            refuse(line, Reason::BadXml, message, "Correct the element.")
        })?;
        match parser.event(event, line) {
            Ok(true) => {}
            Ok(false) => break,
            Err((message, fix)) => return Err(refuse(line, Reason::BadXml, message, fix)),
        }
    }
    let fields = Fields {
        line: item.line,
        last_line: item.last_line,
        values: parser.values,
    };
    let odd = fields
        .values
        .iter()
        .find(|(_, value)| value.text.contains(is_forbidden));
    match odd {
        None => Ok(fields),
        Some((_, value)) => {
            let message = "the element has a NUL or another control character";
            let problem = Problem::row(
                value.line,
                Reason::BadEncoding,
                message,
                "Remove the character.",
            );
            let problem = problem.at(&*value.column, 0).showing(&value.text);
            Err(Refused::lines(item.line, item.last_line, problem))
        }
    }
}

/// The deepest that elements may be inside one another.
const DEPTH_MAX: usize = 32;

#[derive(Default)]
struct Parser {
    depth: usize,
    open: Option<(Key, Value)>,
    values: Vec<(Key, Value)>,
}

impl Parser {
    /// Takes an event; false at the end.
    fn event(&mut self, event: Event<'_>, line: u64) -> Result<bool, (String, &'static str)> {
        const FIX: &str = "Correct the element.";
        match event {
            Event::Start(tag) => {
                self.depth += 1;
                if self.depth > DEPTH_MAX {
                    return Err((format!("elements are more than {DEPTH_MAX} deep"), FIX));
                }
                if self.depth == 2 {
                    let name = tag.name().as_ref().to_owned();
                    self.open = element(&name).map(|(key, column)| (key, value_of(column, line)));
                }
            }
            Event::Empty(tag) if self.depth == 1 => {
                let name = tag.name().as_ref().to_owned();
                let found = element(&name).map(|(key, column)| (key, value_of(column, line)));
                self.values.extend(found);
            }
            Event::End(_) => {
                if self.depth == 2
                    && let Some((key, mut value)) = self.open.take()
                {
                    value.text = value.text.trim().to_owned();
                    self.values.push((key, value));
                }
                self.depth = self.depth.saturating_sub(1);
            }
            Event::Text(text) => {
                self.add(text.as_ref());
            }
            Event::CData(text) => {
                self.add(text.as_ref());
            }
            Event::GeneralRef(name) => {
                let name: &str = name.as_ref();
                let known =
                    name.starts_with('#') || matches!(name, "amp" | "lt" | "gt" | "quot" | "apos");
                match html::letter_of(name).filter(|_| known) {
                    Some(letter) => self.add(letter.encode_utf8(&mut [0; 4])),
                    None => {
                        let message = format!("the entity &{name}; is unknown");
                        return Err((message, "Write the letter itself, or its number as &#233;."));
                    }
                }
            }
            Event::Eof => {
                return if self.depth == 0 {
                    Ok(false)
                } else {
                    Err(("an element has no end".into(), FIX))
                };
            }
            _ => {}
        }
        Ok(true)
    }

    fn add(&mut self, text: &str) {
        if let Some((_, value)) = self.open.as_mut().filter(|_| self.depth == 2) {
            value.text.push_str(text);
        }
    }
}

fn value_of(column: std::sync::Arc<str>, line: u64) -> Value {
    Value {
        column,
        number: 0,
        line,
        text: String::new(),
    }
}
