//! Fields of a few bits each, packed into 64-bit words from the lowest bit up.

/// How many bytes a packed word takes.
pub(super) const WORD_BYTES: usize = 8;

/// Returns how many bits the number takes; none for 0.
pub(super) fn bits_of(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

/// Returns how many bytes so many fields of so many bits take, all words being whole.
pub(super) fn packed_bytes(fields: usize, bits: u32) -> usize {
    (fields * bits as usize).div_ceil(u64::BITS as usize) * WORD_BYTES
}

/// Appends fields of one width.
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    bits: u32,
    word: u64,
    filled: u32,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, fields: usize, bits: u32) -> BitWriter<'a> {
        out.reserve(packed_bytes(fields, bits));
        BitWriter { out, bits, word: 0, filled: 0 }
    }

    /// Appends one field; it must fit its width.
    #[inline]
    pub(super) fn put(&mut self, field: u64) {
        self.word |= field << (self.filled & 63);
        self.filled += self.bits;
        if self.filled >= u64::BITS {
            self.out.extend_from_slice(&self.word.to_le_bytes());
            self.filled -= u64::BITS;
            // What did not fit: all but the low bits that went out, or nothing if the field ended with the word.
            self.word = if self.filled == 0 { 0 } else { field >> (self.bits - self.filled) };
        }
    }

    pub(super) fn end(self) {
        if self.filled > 0 {
            self.out.extend_from_slice(&self.word.to_le_bytes());
        }
    }
}

/// Reads fields of one width back.
#[derive(Clone)]
pub(super) struct BitReader<'a> {
    words: std::slice::ChunksExact<'a, u8>,
    bits: u32,
    mask: u64,
    word: u64,
    left: u32,
}

impl<'a> BitReader<'a> {
    /// Takes bytes of whole words, [`packed_bytes`] of them.
    pub(super) fn new(bytes: &'a [u8], bits: u32) -> BitReader<'a> {
        let mask = if bits == 0 { 0 } else { u64::MAX >> (u64::BITS - bits) };
        BitReader { words: bytes.chunks_exact(WORD_BYTES), bits, mask, word: 0, left: 0 }
    }

    /// Returns the next field, or 0 after the last.
    #[inline]
    pub(super) fn next(&mut self) -> u64 {
        if self.left >= self.bits {
            let field = self.word & self.mask;
            self.word = self.word.checked_shr(self.bits).unwrap_or(0);
            self.left -= self.bits;
            return field;
        }
        let mut next = [0; WORD_BYTES];
        if let Some(bytes) = self.words.next() {
            next.copy_from_slice(bytes);
        }
        let next = u64::from_le_bytes(next);
        let field = (self.word | next << self.left) & self.mask;
        let taken = self.bits - self.left;
        self.word = next.checked_shr(taken).unwrap_or(0);
        self.left = u64::BITS - taken;
        field
    }
}
