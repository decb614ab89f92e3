//! The outside of the bytes: magic number, format version, checksum, and the sections in between.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};

use super::bits::{BitReader, BitWriter, bits_of, packed_bytes};
use super::columns::{COLUMNS_MAX, Numbers, RowWriter};
use super::{CodecError, decode_map};
use crate::ids::{DiskId, NodeId, Replica};
use crate::map::{SLOTS_MAX, ShardMap};

const FORMAT_VERSION: u8 = 1;
const HEAD_BYTES: usize = 5;
const CHECKSUM_BYTES: usize = 4;
const TABLE_ENTRY_BYTES: usize = 16;

/// The longest varint of 64 bits.
const VARINT_BYTES_MAX: u32 = 10;

/// What the bytes hold.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Map,
    Changes,
}

impl Kind {
    fn magic(self) -> &'static [u8; 4] {
        match self {
            Kind::Map => b"SLmp",
            Kind::Changes => b"SLch",
        }
    }
}

pub(super) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(super) fn new(kind: Kind) -> Writer {
        let mut out = kind.magic().to_vec();
        out.push(FORMAT_VERSION);
        Writer { out }
    }

    pub(super) fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }

    pub(super) fn table(&mut self, table: &[Replica]) {
        self.varint(table.len() as u64);
        for replica in table {
            self.out.extend_from_slice(&replica.node.0.to_le_bytes());
            self.out.extend_from_slice(&replica.disk.0.to_le_bytes());
        }
    }

    /// Writes the numbers, given the least and the most of them.
    pub(super) fn numbers(&mut self, range: (u64, u64), numbers: impl ExactSizeIterator<Item = u64>) {
        let least = range.0.min(range.1);
        let bits = bits_of(range.1 - least);
        self.varint(least);
        self.out.push(bits as u8);
        if bits > 0 {
            let mut fields = BitWriter::new(&mut self.out, numbers.len(), bits);
            numbers.for_each(|number| fields.put(number - least));
            fields.end();
        }
    }

    /// Writes rows, each as its `C` places in a table of that length.
    pub(super) fn rows<const C: usize>(
        &mut self,
        table_len: usize,
        rows: impl ExactSizeIterator<Item = [u16; C]>,
    ) {
        self.out.push(C as u8);
        let mut writer = RowWriter::<C>::new(&mut self.out, rows.len(), table_len);
        rows.for_each(|row| writer.put(row));
        writer.end();
    }

    pub(super) fn close(mut self) -> Vec<u8> {
        let checksum = crc32fast::hash(&self.out);
        self.out.extend_from_slice(&checksum.to_le_bytes());
        self.out
    }
}

pub(super) struct Reader<'a> {
    left: &'a [u8],
    bytes: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn open(kind: Kind, bytes: &'a [u8]) -> Result<Reader<'a>, CodecError> {
        let short = CodecError::Length { bytes: bytes.len() };
        let (head, _) = bytes.split_at_checked(HEAD_BYTES).ok_or(short)?;
        if !head.starts_with(kind.magic()) {
            return Err(CodecError::Magic);
        }
        let version = head[HEAD_BYTES - 1];
        if version != FORMAT_VERSION {
            return Err(CodecError::Version { version });
        }
        let (covered, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(short)?;
        let left = covered.get(HEAD_BYTES..).ok_or(short)?;
        if crc32fast::hash(covered) != u32::from_le_bytes(*checksum) {
            return Err(CodecError::Checksum);
        }
        Ok(Reader { left, bytes: bytes.len() })
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (taken, left) =
            self.left.split_at_checked(count).ok_or(CodecError::Length { bytes: self.bytes })?;
        self.left = left;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, CodecError> {
        self.take(1).map(|byte| byte[0])
    }

    fn varint(&mut self) -> Result<u64, CodecError> {
        let mut number = 0u64;
        for place in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            let shifted = part << (7 * place);
            if shifted >> (7 * place) != part {
                break;
            }
            number |= shifted;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(CodecError::Impossible { what: "a number above 64 bits" })
    }

    /// Reads how many things follow, and says `what` is wrong if there are more than `most`.
    pub(super) fn count(&mut self, most: usize, what: &'static str) -> Result<usize, CodecError> {
        let count = self.varint()?;
        usize::try_from(count).ok().filter(|count| *count <= most).ok_or(CodecError::Impossible { what })
    }

    pub(super) fn table(&mut self) -> Result<Vec<Replica>, CodecError> {
        let count = self.count(SLOTS_MAX, "a table longer than its places reach")?;
        let entries = self.take(count * TABLE_ENTRY_BYTES)?;
        let word = |bytes: &[u8]| {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            u64::from_le_bytes(word)
        };
        let table: Vec<Replica> = entries
            .chunks_exact(TABLE_ENTRY_BYTES)
            .map(|entry| Replica { node: NodeId(word(&entry[..8])), disk: DiskId(word(&entry[8..])) })
            .collect();
        if table.is_sorted_by(|a, b| a < b) {
            Ok(table)
        } else {
            Err(CodecError::Impossible { what: "a table that does not ascend" })
        }
    }

    pub(super) fn numbers(&mut self, count: usize) -> Result<Numbers<'a>, CodecError> {
        let least = self.varint()?;
        let bits = u32::from(self.byte()?);
        if bits > u64::BITS {
            return Err(CodecError::Impossible { what: "a number above 64 bits" });
        }
        let packed = self.take(packed_bytes(count, bits))?;
        Ok(Numbers::new(least, BitReader::new(packed, bits)))
    }

    /// Reads how many columns the rows have, and their bytes.
    pub(super) fn rows(&mut self, table_len: usize, count: usize) -> Result<(usize, &'a [u8]), CodecError> {
        let columns = usize::from(self.byte()?);
        if columns > COLUMNS_MAX {
            return Err(CodecError::Impossible { what: "more replicas than a shard may have" });
        }
        let bits = bits_of(table_len as u64);
        Ok((columns, self.take(packed_bytes(columns * count, bits))?))
    }

    pub(super) fn close(self) -> Result<(), CodecError> {
        if self.left.is_empty() { Ok(()) } else { Err(CodecError::Length { bytes: self.bytes }) }
    }
}

/// Takes a map's bytes from any format, also from those that know lists of numbers only.
pub(super) struct MapBytes;

impl<'de> Visitor<'de> for MapBytes {
    type Value = ShardMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a shard map")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<ShardMap, E> {
        decode_map(bytes).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ShardMap, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        self.visit_bytes(&bytes)
    }
}
