//! Where a watcher is: a place in every delivery class, as one opaque word.
//!
//! LEDGER and CHAT places are those of the room's log and stay good for as long as the log is kept. STATE, COUNTER and
//! EPHEMERAL places only mean something in the life of one group of watchers; in another one everything of STATE is
//! simply sent again.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::ErrorReason;
use contracts::id::RoomId;
use kit::errors::Refusal;
use sha2::{Digest, Sha256};

const VERSION: u8 = 1;
const TAG: usize = 8;
const CHECK: usize = 7;
const NUMBERS: usize = 6;
// A multiple of three, so that the text has no spare bits that could be changed unnoticed.
const LENGTH: usize = 1 + TAG + TAG + NUMBERS * 8 + CHECK;
const _: () = assert!(LENGTH.is_multiple_of(3));

/// A watcher's place in each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The last LEDGER event, of the room's log.
    pub ledger: i64,
    /// The last CHAT event, of the room's log.
    pub chat: i64,
    /// The life that the following three belong to; 0 for none.
    pub life: u64,
    /// The last STATE value.
    pub state: i64,
    /// The last totals.
    pub counter: i64,
    /// The last EPHEMERAL event.
    pub ephemeral: i64,
}

/// A place in a room, as a watcher sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    epoch: [u8; TAG],
    /// The place in each class.
    pub marks: Marks,
}

impl Cursor {
    /// Whether it is of this life of the room.
    pub fn is_of(&self, epoch: &str) -> bool {
        self.epoch == epoch_tag(epoch)
    }

    /// Reads a cursor of a room; none from an empty text. BAD_CURSOR for anything that this room never gave out.
    pub fn parse(room: &RoomId, text: &str) -> Result<Option<Cursor>, Refusal> {
        if text.is_empty() {
            return Ok(None);
        }
        let found = read(text).filter(|(tag, _)| *tag == room_tag(room));
        found.map(|(_, cursor)| Some(cursor)).ok_or_else(|| {
            let message = "The cursor is not one of this room; send one that this room gave you, or none to begin with a \
                           snapshot.";
            Refusal::new(ErrorReason::BadCursor, message)
        })
    }

    /// Writes the cursor of a place.
    pub fn text(room: &RoomId, epoch: &str, marks: &Marks) -> String {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        bytes.extend_from_slice(&room_tag(room));
        bytes.extend_from_slice(&epoch_tag(epoch));
        bytes.extend_from_slice(&marks.life.to_be_bytes());
        for number in [
            marks.ledger,
            marks.chat,
            marks.state,
            marks.counter,
            marks.ephemeral,
        ] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        let check = tag(&[b"check", &bytes]);
        bytes.extend_from_slice(&check[..CHECK]);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

fn read(text: &str) -> Option<([u8; TAG], Cursor)> {
    // The length is checked first so that nobody makes us decode a long text.
    if text.len() != LENGTH / 3 * 4 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (body, check) = bytes.split_at_checked(LENGTH - CHECK)?;
    if tag(&[b"check", body])[..CHECK] != *check {
        return None;
    }
    let (version, rest) = body.split_first()?;
    let (room, rest) = rest.split_first_chunk::<TAG>()?;
    let (epoch, rest) = rest.split_first_chunk::<TAG>()?;
    let (life, rest) = rest.split_first_chunk::<8>()?;
    let mut numbers = rest
        .chunks_exact(8)
        .map(|chunk| i64::from_be_bytes(chunk.try_into().unwrap_or_default()));
    let mut number = || numbers.next().filter(|number| *number >= 0);
    let marks = Marks {
        life: u64::from_be_bytes(*life),
        ledger: number()?,
        chat: number()?,
        state: number()?,
        counter: number()?,
        ephemeral: number()?,
    };
    (*version == VERSION).then_some((
        *room,
        Cursor {
            epoch: *epoch,
            marks,
        },
    ))
}

fn room_tag(room: &RoomId) -> [u8; TAG] {
    tag(&[b"room", room.as_str().as_bytes()])
}

fn epoch_tag(epoch: &str) -> [u8; TAG] {
    tag(&[b"epoch", epoch.as_bytes()])
}

fn tag(parts: &[&[u8]]) -> [u8; TAG] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut tag = [0; TAG];
    tag.copy_from_slice(&hash.finalize()[..TAG]);
    tag
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn room(number: u128) -> RoomId {
        RoomId::from_uuid(number)
    }

    fn refused(text: &str) -> ErrorReason {
        Cursor::parse(&room(1), text)
            .expect_err("no cursor of this room")
            .reason
    }

    #[test]
    fn belongs_to_one_room_and_one_life() {
        let text = Cursor::text(
            &room(1),
            "e1",
            &Marks {
                ledger: 4,
                ..Marks::default()
            },
        );
        let cursor = Cursor::parse(&room(1), &text)
            .expect("its own")
            .expect("a place");
        assert!(cursor.is_of("e1") && !cursor.is_of("e2"));
        assert_eq!(cursor.marks.ledger, 4);
        assert_eq!(Cursor::parse(&room(1), ""), Ok(None));
        assert_eq!(
            Cursor::parse(&room(2), &text).expect_err("foreign").reason,
            ErrorReason::BadCursor
        );
    }

    proptest! {
        #[test]
        fn comes_back_as_it_was(numbers in proptest::array::uniform5(0..=i64::MAX), life in any::<u64>()) {
            let [ledger, chat, state, counter, ephemeral] = numbers;
            let marks = Marks { ledger, chat, life, state, counter, ephemeral };
            let text = Cursor::text(&room(1), "e", &marks);
            prop_assert_eq!(Cursor::parse(&room(1), &text).expect("its own").expect("a place").marks, marks);
        }

        #[test]
        fn garbage_is_refused(text in "\\PC{1,120}") {
            prop_assert_eq!(refused(&text), ErrorReason::BadCursor);
        }

        #[test]
        fn a_changed_letter_is_noticed(at in 0usize..LENGTH / 3 * 4, letter in "[A-Za-z0-9_-]") {
            let text = Cursor::text(&room(1), "e", &Marks { ledger: 7, chat: 9, ..Marks::default() });
            let mut changed = text.clone();
            changed.replace_range(at..=at, &letter);
            prop_assume!(changed != text);
            prop_assert_eq!(refused(&changed), ErrorReason::BadCursor);
        }
    }
}
