//! 128 bits as 26 characters of lower-case Crockford base32, most significant first.

use super::IdError;

/// Characters that 128 bits take, five bits each; the first carries only three.
pub(super) const SUFFIX_LEN: usize = 26;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const INVALID: u8 = 0xFF;
const VALUES: [u8; 256] = {
    let mut values = [INVALID; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
};

pub(super) fn encode(uuid: u128) -> [u8; SUFFIX_LEN] {
    let mut text = [0; SUFFIX_LEN];
    let mut rest = uuid;
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(rest & 0x1F) as usize];
        rest >>= 5;
    }
    text
}

/// Whether the characters are some 128 bits. Nothing is decoded: the text is what an id keeps.
pub(super) fn check(text: &[u8; SUFFIX_LEN]) -> Result<(), IdError> {
    // Valid values have no bit above the fifth, the mark for invalid ones has all: one OR over the text
    // tells whether there was any, without a branch per character.
    let union = text
        .iter()
        .fold(0, |union, &byte| union | VALUES[usize::from(byte)]);
    if union > 0x1F {
        return Err(IdError::Character);
    }
    if text[0] > b'7' {
        return Err(IdError::TooLarge);
    }
    Ok(())
}

/// Decodes characters that passed [`check`].
pub(super) fn decode(text: &[u8]) -> u128 {
    text.iter().fold(0, |uuid, &byte| {
        (uuid << 5) | u128::from(VALUES[usize::from(byte)] & 0x1F)
    })
}
