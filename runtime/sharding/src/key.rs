//! From a key to its shard: the built-in shard functions.
//!
//! They are part of the stored state of every cluster: changing one would move every key. So they are fixed for ever, and the
//! tests pin their values.
//!
//! A key's hash is 64 bits; the shard is the hash's place in `0..shard_count` when the 64-bit range is cut into equal parts
//! (a multiplication's upper half, where a remainder would take a division).

use crate::ids::ShardId;

/// Odd digits of the golden ratio, 2^64 / phi: multiples of it spread over the 64-bit range as evenly as any can.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Odd numbers with as many ones as zeroes, far from each other; what they are does not matter, that they stay does.
const SECRET: [u64; 3] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3];

/// How many bytes of a long key are mixed in at once.
const BLOCK_BYTES: usize = 16;

/// Returns the shard of a text key: the shard of its UTF-8 bytes.
#[inline]
pub fn shard_of_str(key: &str, shard_count: u32) -> ShardId {
    shard_of_bytes(key.as_bytes(), shard_count)
}

/// Returns the shard of a key of any bytes, the empty one included.
#[inline]
pub fn shard_of_bytes(key: &[u8], shard_count: u32) -> ShardId {
    place(hash(key), shard_count)
}

/// Returns the shard of an unsigned key. Keys in sequence spread evenly, as they would by remainder.
#[inline]
pub fn shard_of_u64(key: u64, shard_count: u32) -> ShardId {
    place(key.wrapping_mul(GOLDEN), shard_count)
}

/// Returns the shard of a signed key. Where the key is not negative, it is the shard of the same unsigned one.
#[inline]
pub fn shard_of_i64(key: i64, shard_count: u32) -> ShardId {
    shard_of_u64(key as u64, shard_count)
}

/// Scales a hash to `0..shard_count`; with no shards at all it is 0.
#[inline]
fn place(hash: u64, shard_count: u32) -> ShardId {
    ShardId(((u128::from(hash) * u128::from(shard_count)) >> 64) as u32)
}

/// Mixes two words: both halves of their 128-bit product, so that each bit of either reaches the whole.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

/// Hashes bytes as wyhash does: folded products over words, read as little-endian on every machine.
#[inline]
pub(crate) fn hash(key: &[u8]) -> u64 {
    let mut seed = SECRET[0];
    let (first, last) = match key.len() {
        0 => (0, 0),
        1..=3 => (few(key), 0),
        4..=7 => (u64::from(word32(key, 0)), u64::from(word32(key, key.len() - 4))),
        8..=BLOCK_BYTES => (word64(key, 0), word64(key, key.len() - 8)),
        _ => {
            seed = blocks(key, seed);
            (word64(key, key.len() - 16), word64(key, key.len() - 8))
        }
    };
    let mixed = fold(first ^ SECRET[1], last ^ seed);
    fold(mixed ^ SECRET[2], key.len() as u64 ^ SECRET[1])
}

/// Mixes in all whole blocks but the last bytes, which the caller reads from the end.
fn blocks(key: &[u8], mut seed: u64) -> u64 {
    let mut at = 0;
    while at + BLOCK_BYTES < key.len() {
        seed = fold(word64(key, at) ^ SECRET[1], word64(key, at + 8) ^ seed);
        at += BLOCK_BYTES;
    }
    seed
}

/// The one to three bytes of a short key, each at its own place: first, middle and last.
#[inline]
fn few(key: &[u8]) -> u64 {
    let at = |index: usize| u64::from(key[index]);
    at(0) << 16 | at(key.len() / 2) << 8 | at(key.len() - 1)
}

#[inline]
fn word32(key: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&key[at..at + 4]);
    u32::from_le_bytes(word)
}

#[inline]
fn word64(key: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&key[at..at + 8]);
    u64::from_le_bytes(word)
}
