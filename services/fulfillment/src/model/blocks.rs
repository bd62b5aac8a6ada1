//! What keeps a paid order from being shipped.

use super::words::words;

words! {
    /// One reason not to ship.
    Block {
        /// The shopper may still change their mind; lifted by time.
        Remorse = "REMORSE",
        /// A risk check is open; lifted by a person.
        Fraud = "FRAUD",
        /// No contact data yet; lifted when it arrives.
        AddressMissing = "ADDRESS_MISSING",
        /// A presale; lifted by time.
        Presale = "PRESALE",
        /// The goods are being inspected; lifted by a person.
        Inspection = "INSPECTION",
    }
}

impl Block {
    /// Whether it ends by itself at `ship_not_before`.
    pub fn ends_by_time(self) -> bool {
        matches!(self, Block::Remorse | Block::Presale)
    }

    /// Whether people set and lift it.
    pub fn is_for_people(self) -> bool {
        matches!(self, Block::Fraud | Block::Inspection)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blocks(u8);

impl Blocks {
    /// Nothing in the way.
    pub const NONE: Blocks = Blocks(0);

    /// Whether nothing is in the way.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this block is set.
    pub fn has(self, block: Block) -> bool {
        self.0 & block.bit() != 0
    }

    /// With this block set or not.
    pub fn with(self, block: Block, set: bool) -> Self {
        if set {
            Blocks(self.0 | block.bit())
        } else {
            Blocks(self.0 & !block.bit())
        }
    }

    /// Without those that end by time.
    pub fn without_timed(self) -> Self {
        self.iter().filter(|block| !block.ends_by_time()).collect()
    }

    /// Whether one of those that end by time is set.
    pub fn has_timed(self) -> bool {
        self.iter().any(Block::ends_by_time)
    }

    /// Those that are set, in the order of the contract.
    pub fn iter(self) -> impl Iterator<Item = Block> {
        Block::ALL
            .iter()
            .copied()
            .filter(move |block| self.has(*block))
    }

    /// Their words, with commas.
    pub fn words(self) -> String {
        self.iter().map(Block::word).collect::<Vec<_>>().join(",")
    }
}

impl FromIterator<Block> for Blocks {
    fn from_iter<I: IntoIterator<Item = Block>>(blocks: I) -> Self {
        blocks
            .into_iter()
            .fold(Blocks::NONE, |set, block| set.with(block, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_keeps_what_is_put_in_and_drops_what_time_ends() {
        let all: Blocks = Block::ALL.iter().copied().collect();
        assert_eq!(all.iter().collect::<Vec<_>>(), Block::ALL);
        assert_eq!(
            all.without_timed().words(),
            "FRAUD,ADDRESS_MISSING,INSPECTION"
        );
        assert!(all.has_timed() && !all.without_timed().has_timed());
        let one = Blocks::NONE.with(Block::Fraud, true);
        assert!(one.has(Block::Fraud) && !one.has(Block::Remorse));
        assert_eq!(one.with(Block::Fraud, false), Blocks::NONE);
    }

    #[test]
    fn words_name_blocks_both_ways() {
        for block in Block::ALL {
            assert_eq!(Block::named(block.word()), Some(*block));
        }
        assert_eq!(Block::named("WEATHER"), None);
    }
}
