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

/// Reads fields of one width back, in any order: a place that is counted on would have to be kept in memory.
#[derive(Clone, Copy)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    bits: u32,
    mask: u64,
}

impl<'a> BitReader<'a> {
    /// Takes bytes of whole words, [`packed_bytes`] of them.
    pub(super) fn new(bytes: &'a [u8], bits: u32) -> BitReader<'a> {
        let mask = if bits == 0 { 0 } else { u64::MAX >> (u64::BITS - bits) };
        BitReader { bytes, bits, mask }
    }

    /// Returns the largest number that a field can be.
    pub(super) fn field_max(&self) -> u64 {
        self.mask
    }

    /// Returns one field, or zeroes after the last.
    #[inline]
    pub(super) fn field(&self, index: usize) -> u64 {
        if self.bits == 0 {
            return 0;
        }
        let at = index * self.bits as usize;
        let (byte, shift) = (at / 8, at % 8);
        let mut field = self.word(byte) >> shift;
        if self.bits as usize + shift > u64::BITS as usize {
            field |= self.word(byte + WORD_BYTES) << (u64::BITS as usize - shift);
        }
        field & self.mask
    }

    /// The eight bytes from there on, as if zeroes followed the last.
    #[inline]
    fn word(&self, at: usize) -> u64 {
        let rest = self.bytes.get(at..).unwrap_or(&[]);
        match rest.first_chunk::<WORD_BYTES>() {
            Some(word) => u64::from_le_bytes(*word),
            None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_width_come_back() {
        for bits in 0..=u64::BITS {
            let mask = if bits == 0 { 0 } else { u64::MAX >> (u64::BITS - bits) };
            let fields: Vec<u64> = (1..200u64)
                .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(n as u32) & mask)
                .collect();
            let mut out = Vec::new();
            let mut writer = BitWriter::new(&mut out, fields.len(), bits);
            fields.iter().for_each(|field| writer.put(*field));
            writer.end();
            assert_eq!(out.len(), packed_bytes(fields.len(), bits));
            let reader = BitReader::new(&out, bits);
            assert!(fields.iter().enumerate().all(|(at, field)| reader.field(at) == *field), "{bits} bits");
        }
    }

    #[test]
    fn a_number_takes_as_many_bits_as_it_has() {
        assert_eq!([0, 1, 2, 255, 256, u64::MAX].map(bits_of), [0, 1, 2, 8, 9, 64]);
    }
}
