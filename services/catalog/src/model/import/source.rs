//! The bytes of a file as UTF-8, whatever they came as: packed with gzip, with a byte order mark, in UTF-16.

use std::io::Write;

use flate2::write::MultiGzDecoder;

/// How many packed bytes are unpacked at a time; they become at most a thousand times as many.
const PACKED_STEP: usize = 2 * 1024;

/// How many plain bytes are handed on at a time.
const PLAIN_STEP: usize = 64 * 1024;

/// A byte that no UTF-8 text has; stands for what was no text in UTF-16 either.
const NO_TEXT: u8 = 0xff;

/// Why a file can not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is something else altogether.
    Kind(&'static str),
    /// It was packed, and the packing is damaged.
    Packing(String),
}

/// Unpacks and decodes.
pub struct Source {
    waiting: Vec<u8>,
    taken: usize,
    unpack: Option<Box<MultiGzDecoder<Vec<u8>>>>,
    packing: Option<bool>,
    text: Text,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endian {
    Little,
    Big,
}

enum Text {
    /// The first bytes, while they are too few to tell.
    Unknown(Vec<u8>),
    Utf8,
    Utf16 {
        endian: Endian,
        half: Option<u8>,
        high: Option<u16>,
    },
}

impl Default for Source {
    fn default() -> Self {
        Source {
            waiting: Vec::new(),
            taken: 0,
            unpack: None,
            packing: None,
            text: Text::Unknown(Vec::new()),
            ended: false,
        }
    }
}

impl Source {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.drain(..self.taken);
        self.taken = 0;
        self.waiting.extend_from_slice(bytes);
    }

    /// No more bytes come.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether everything was handed on.
    pub fn is_drained(&self) -> bool {
        self.ended && self.taken == self.waiting.len() && self.unpack.is_none()
    }

    /// Hands on some bytes as UTF-8; answers false when it wants more first.
    pub fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, Unreadable> {
        let rest = &self.waiting[self.taken..];
        let packed = match self.packing {
            Some(packed) => packed,
            None if rest.len() < 4 && !self.ended => return Ok(false),
            None => {
                let packed = rest.starts_with(&[0x1f, 0x8b]);
                if packed {
                    self.unpack = Some(Box::new(MultiGzDecoder::new(Vec::new())));
                }
                *self.packing.insert(packed)
            }
        };
        if !packed {
            if rest.is_empty() {
                return self.finish(out);
            }
            let step = rest.len().min(PLAIN_STEP);
            self.taken += step;
            let bytes = rest[..step].to_vec();
            decode(&mut self.text, &bytes, out)?;
            return Ok(true);
        }
        if rest.is_empty() {
            if self.ended
                && let Some(mut unpack) = self.unpack.take()
            {
                let damaged = |error: std::io::Error| Unreadable::Packing(error.to_string());
                unpack.try_finish().map_err(damaged)?;
                decode(&mut self.text, unpack.get_ref(), out)?;
                return self.finish(out).map(|_| true);
            }
            return Ok(false);
        }
        let step = rest.len().min(PACKED_STEP);
        self.taken += step;
        let Some(unpack) = &mut self.unpack else {
            return Ok(false);
        };
        let written = unpack.write_all(&rest[..step]);
        let plain = std::mem::take(unpack.get_mut());
        decode(&mut self.text, &plain, out)?;
        written.map_err(|error| {
            self.unpack = None;
            Unreadable::Packing(error.to_string())
        })?;
        Ok(true)
    }

    /// What is left over at the end.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<bool, Unreadable> {
        if !self.ended {
            return Ok(false);
        }
        let before = out.len();
        if let Text::Unknown(first) = &mut self.text {
            let first = std::mem::take(first);
            self.text = tell(&first, out)?;
        }
        if let Text::Utf16 { half, high, .. } = &mut self.text
            && (half.take().is_some() | high.take().is_some())
        {
            out.push(NO_TEXT);
        }
        Ok(out.len() > before)
    }
}

fn decode(text: &mut Text, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
    match text {
        Text::Unknown(first) => {
            first.extend_from_slice(bytes);
            if first.len() >= 4 {
                let first = std::mem::take(first);
                *text = tell(&first, out)?;
            }
        }
        Text::Utf8 => out.extend_from_slice(bytes),
        Text::Utf16 { endian, half, high } => utf16(*endian, half, high, bytes, out),
    }
    Ok(())
}

/// Tells the encoding from the first bytes, and hands them on.
fn tell(first: &[u8], out: &mut Vec<u8>) -> Result<Text, Unreadable> {
    if first.starts_with(b"PK\x03\x04") {
        return Err(Unreadable::Kind("a ZIP archive or an Excel workbook"));
    }
    if first.starts_with(&[0xff, 0xfe, 0, 0]) || first.starts_with(&[0, 0, 0xfe, 0xff]) {
        return Err(Unreadable::Kind("text in UTF-32"));
    }
    let (endian, mark) = match first {
        [0xff, 0xfe, ..] => (Endian::Little, 2),
        [0xfe, 0xff, ..] => (Endian::Big, 2),
        [a, 0, b, 0, ..] if *a != 0 && *b != 0 => (Endian::Little, 0),
        [0, a, 0, b, ..] if *a != 0 && *b != 0 => (Endian::Big, 0),
        _ => {
            out.extend_from_slice(first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first));
            return Ok(Text::Utf8);
        }
    };
    let (mut half, mut high) = (None, None);
    utf16(endian, &mut half, &mut high, &first[mark..], out);
    Ok(Text::Utf16 { endian, half, high })
}

fn utf16(
    endian: Endian,
    half: &mut Option<u8>,
    high: &mut Option<u16>,
    bytes: &[u8],
    out: &mut Vec<u8>,
) {
    for &byte in bytes {
        let Some(first) = half.take() else {
            *half = Some(byte);
            continue;
        };
        let unit = match endian {
            Endian::Little => u16::from_le_bytes([first, byte]),
            Endian::Big => u16::from_be_bytes([first, byte]),
        };
        match (high.take(), unit) {
            (None, 0xd800..=0xdbff) => *high = Some(unit),
            (before, unit) => {
                let units = before.into_iter().chain([unit]);
                for letter in char::decode_utf16(units) {
                    match letter {
                        Ok(letter) => {
                            out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                        Err(_) => out.push(NO_TEXT),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], step: usize) -> Result<Vec<u8>, Unreadable> {
        let (mut source, mut out) = (Source::default(), Vec::new());
        for chunk in bytes.chunks(step) {
            source.push(chunk);
            while source.fill(&mut out)? {}
        }
        source.end();
        while source.fill(&mut out)? {}
        assert!(source.is_drained());
        Ok(out)
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut pack = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        pack.write_all(bytes).unwrap();
        pack.finish().unwrap()
    }

    #[test]
    fn every_encoding_gives_the_same_text() {
        let text = "Handle,Title\na,Été 🫖\n";
        let with = |mark: &[u8], units: Vec<u8>| [mark, &units].concat();
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let forms = [
            text.as_bytes().to_vec(),
            with(b"\xef\xbb\xbf", text.as_bytes().to_vec()),
            with(b"\xff\xfe", little.clone()),
            with(b"\xfe\xff", big.clone()),
            little.clone(),
            big,
            packed(text.as_bytes()),
            packed(&with(b"\xff\xfe", little)),
            [packed(b"Handle,Title\n"), packed("a,Été 🫖\n".as_bytes())].concat(),
        ];
        for form in forms {
            for step in [1, 2, 3, 7, 4096] {
                assert_eq!(read(&form, step).unwrap(), text.as_bytes());
            }
        }
    }

    #[test]
    fn what_is_no_text_stays_no_text() {
        let lone = [0xff, 0xfe, b'a', 0, 0x00, 0xd8, b'b', 0, b'c'];
        let out = read(&lone, 1).unwrap();
        assert!(std::str::from_utf8(&out).is_err());
        assert_eq!(read(b"", 1).unwrap(), b"");
        assert_eq!(read(b"ab", 1).unwrap(), b"ab");
    }

    #[test]
    fn other_files_and_damaged_packing_are_named() {
        assert!(matches!(
            read(b"PK\x03\x04....", 9),
            Err(Unreadable::Kind(_))
        ));
        let whole = packed(&b"Handle,Title\n".repeat(1_000));
        assert!(matches!(
            read(&whole[..whole.len() - 9], 5),
            Err(Unreadable::Packing(_))
        ));
        let mut broken = whole;
        broken[30] ^= 0x55;
        assert!(matches!(read(&broken, 50), Err(Unreadable::Packing(_))));
    }
}
