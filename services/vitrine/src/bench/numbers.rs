//! Numbers that follow from a seed, for ever the same: two runs with one seed have the same shoppers.

/// The `n`-th number of a seed (SplitMix64).
pub fn mixed(seed: u64, n: u64) -> u64 {
    let mut z = (seed ^ n.wrapping_mul(0xd129_0d3a_b3f0_d6c5)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
