//! CRC-64 (ISO), a table of 256 entries, a byte at a time: what Clusterfunk takes from Go's standard library for its keys.

const POLYNOMIAL: u64 = 0xd800_0000_0000_0000;

pub(crate) fn table() -> [u64; 256] {
    std::array::from_fn(|byte| {
        (0..8).fold(byte as u64, |crc, _| if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 })
    })
}

pub(crate) fn checksum(table: &[u64; 256], bytes: &[u8]) -> u64 {
    !bytes.iter().fold(!0u64, |crc, byte| table[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}
