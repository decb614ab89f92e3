//! A shard function that keeps keys in order: keys that begin alike are on one shard, or on neighbouring ones.
//!
//! The first letters of the key are read as digits after the point of a number from 0 to 1, and the shard is that part of
//! the way from the first shard to the last. Shard 0 has the keys that come first in the order of letters, the last shard
//! those that come last: a range of keys is a range of shards, and a guest that scans its shard's state has all of a
//! narrow range before it.
//!
//! The order is: everything before the digits, `0` to `9`, `a` to `z` (capitals count as small letters), everything after,
//! which is where all other alphabets are. Only the first six letters count, so a beginning that all keys share is better
//! left off: `user-anna` and `user-zoe` are on one shard, `anna` and `zoe` far apart. And words do not begin with all
//! letters equally often, so shards fill unevenly: a weigher tells the planner which are heavy.

wit_bindgen::generate!({ path: "../../wit", world: "shard-function" });

/// Digits, letters, and what comes before and after them.
const RANKS: u64 = 38;

/// So many letters decide: 38 to this power fits 64 bits, and is more than any count of shards.
const LETTERS: usize = 6;

struct ByRange;

export!(ByRange);

impl Guest for ByRange {
    fn shard_of(key: String, shard_count: u32) -> u32 {
        let letters = key.bytes().chain(std::iter::repeat(0)).take(LETTERS);
        let number = letters.fold(0, |number, letter| number * RANKS + rank(letter));
        // Always below the count, since the number is below the power.
        (u128::from(number) * u128::from(shard_count) / u128::from(RANKS.pow(LETTERS as u32))) as u32
    }
}

/// The place of a byte of UTF-8 in the order; never falls while the byte rises, but for capitals.
fn rank(byte: u8) -> u64 {
    u64::from(match byte.to_ascii_lowercase() {
        digit @ b'0'..=b'9' => 1 + digit - b'0',
        letter @ b'a'..=b'z' => 11 + letter - b'a',
        low if low < b'0' => 0,
        // Between the digits and the letters: `:`, `_` and such count as the last digit.
        middle if middle < b'a' => 10,
        _ => 37,
    })
}
