//! The fingerprints of the states that were seen, each with that of the state it came from.

use std::hash::Hasher;

/// An open-addressed table of 64-bit fingerprints; 0 is an empty place.
pub(super) struct Seen {
    keys: Vec<u64>,
    parents: Vec<u64>,
    count: usize,
}

impl Seen {
    pub(super) fn new() -> Seen {
        Seen::with_bits(16)
    }

    fn with_bits(bits: u32) -> Seen {
        Seen { keys: vec![0; 1 << bits], parents: vec![0; 1 << bits], count: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn place(&self, key: u64) -> usize {
        let mask = self.keys.len() - 1;
        let mut place = key as usize & mask;
        while self.keys[place] != 0 && self.keys[place] != key {
            place = (place + 1) & mask;
        }
        place
    }

    /// Adds a state; false if it was there.
    pub(super) fn add(&mut self, key: u64, parent: u64) -> bool {
        if self.count * 10 > self.keys.len() * 7 {
            let mut larger = Seen::with_bits(self.keys.len().trailing_zeros() + 1);
            for (key, parent) in self.keys.iter().zip(&self.parents).filter(|(key, _)| **key != 0) {
                let place = larger.place(*key);
                larger.keys[place] = *key;
                larger.parents[place] = *parent;
            }
            larger.count = self.count;
            *self = larger;
        }
        let place = self.place(key);
        if self.keys[place] != 0 {
            return false;
        }
        self.keys[place] = key;
        self.parents[place] = parent;
        self.count += 1;
        true
    }

    /// The way from the first state to this one.
    pub(super) fn way_to(&self, key: u64) -> Vec<u64> {
        let mut way = vec![key];
        let mut at = key;
        while self.parents[self.place(at)] != 0 {
            at = self.parents[self.place(at)];
            way.push(at);
        }
        way.reverse();
        way
    }
}

/// A fast hasher of good quality: each word is folded in by a 128-bit multiplication.
#[derive(Clone, Debug)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    pub(super) fn new() -> Fingerprint {
        Fingerprint(0x9E37_79B9_7F4A_7C15)
    }

    fn fold(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word).wrapping_mul(0xA076_1D64_78BD_642F_E703_7ED1_A0B4_28DB);
        self.0 = (product as u64) ^ ((product >> 64) as u64) ^ self.0.rotate_left(23);
    }
}

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(word) ^ ((chunk.len() as u64) << 59));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.fold(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.fold(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.fold(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.fold(word as u64);
    }

    fn finish(&self) -> u64 {
        let mut key = self.0 ^ (self.0 >> 32);
        key = key.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        key ^= key >> 29;
        key.max(1)
    }
}
