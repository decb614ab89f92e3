//! The state of one shard as a backup keeps it: in a file, and on the way there.
//!
//! ```text
//! header  "SLSB" | version u8 | shard u32 | stamp u64 | position u64
//! row     key bytes u16 | value bytes u32 | key | value                      as often as there are rows, in the order of their keys
//! end     0 u16 | rows u64 | crc32 of everything before it u32
//! ```
//!
//! Integers are little-endian. Stamp and position name the last entry of the shard's log that the rows hold. A key is that of the state: the
//! length of the workload's name (u8), the name, the workload's own key; so it is never empty, and a length of 0 ends the rows.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use shardloom_sharding::ids::{Epoch, Position, ShardId, Tail};

const MAGIC: &[u8; 4] = b"SLSB";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 25;
/// The bytes of a row before its key.
const ROW_HEADER_BYTES: usize = 6;
/// The bytes of the end after its 0.
const END_BYTES: usize = 12;
/// The longest value that is read, in bytes: more than any version has let in.
const VALUE_BYTES_MAX: usize = 16 << 20;

/// Which state of which shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardFileHeader {
    /// The shard.
    pub shard: ShardId,
    /// The last entry of its log that the rows hold.
    pub tail: Tail,
}

/// One row of a shard's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRow {
    /// Length of the workload's name, the name, the workload's own key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
}

/// A part of a file, as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardFilePart {
    /// Comes first.
    Header(ShardFileHeader),
    /// A row.
    Row(StateRow),
    /// Comes last: the file is whole, with so many rows.
    End(u64),
}

/// The bytes are no shard's state, or not a whole one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardFileError {
    /// Another magic number, or something in it that cannot be.
    #[error("it is no state of a shard")]
    Malformed,
    /// Written by a newer version.
    #[error("it is of format {found}, this version reads up to {VERSION}: use a newer one")]
    NewerVersion {
        /// Its format.
        found: u8,
    },
    /// The checksum, or the number of rows, is not that of what was read.
    #[error("it is damaged: its checksum is another")]
    Damaged,
    /// A key or a value is too long for its place.
    #[error("a row of {bytes} bytes does not fit")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
}

impl StateRow {
    /// The workload, and its own key.
    ///
    /// # Errors
    ///
    /// The key is not of that form.
    pub fn split_key(&self) -> Result<(&str, Bytes), ShardFileError> {
        let name_bytes = usize::from(*self.key.first().ok_or(ShardFileError::Malformed)?);
        let name = self.key.get(1..=name_bytes).ok_or(ShardFileError::Malformed)?;
        let name = std::str::from_utf8(name).map_err(|_| ShardFileError::Malformed)?;
        Ok((name, self.key.slice(1 + name_bytes..)))
    }

    fn encode(&self, out: &mut BytesMut) -> Result<(), ShardFileError> {
        let too_long = |bytes| ShardFileError::TooLong { bytes };
        let key = u16::try_from(self.key.len()).ok().filter(|bytes| *bytes > 0);
        out.put_u16_le(key.ok_or(too_long(self.key.len()))?);
        let value = Some(self.value.len()).filter(|bytes| *bytes <= VALUE_BYTES_MAX);
        out.put_u32_le(value.ok_or(too_long(self.value.len()))? as u32);
        out.put_slice(&self.key);
        out.put_slice(&self.value);
        Ok(())
    }
}

/// Writes rows alone, as they stand in a file.
///
/// # Errors
///
/// A row does not fit its place.
pub fn encode_rows<'a>(rows: impl IntoIterator<Item = &'a StateRow>) -> Result<Bytes, ShardFileError> {
    let mut out = BytesMut::new();
    rows.into_iter().try_for_each(|row| row.encode(&mut out))?;
    Ok(out.freeze())
}

/// Reads rows alone.
///
/// # Errors
///
/// The bytes are no rows.
pub fn decode_rows(mut bytes: Bytes) -> Result<Vec<StateRow>, ShardFileError> {
    let mut rows = Vec::new();
    while !bytes.is_empty() {
        rows.push(take_row(&mut bytes)?.ok_or(ShardFileError::Malformed)?);
    }
    Ok(rows)
}

/// Takes a row from the front; none if it is not there whole yet.
fn take_row<B: Buf>(bytes: &mut B) -> Result<Option<StateRow>, ShardFileError> {
    let mut head = bytes.chunk();
    if head.len() < ROW_HEADER_BYTES {
        return Ok(None);
    }
    let (key_bytes, value_bytes) = (usize::from(head.get_u16_le()), head.get_u32_le() as usize);
    if key_bytes == 0 || value_bytes > VALUE_BYTES_MAX {
        return Err(ShardFileError::Malformed);
    }
    if head.len() < key_bytes + value_bytes {
        return Ok(None);
    }
    bytes.advance(ROW_HEADER_BYTES);
    Ok(Some(StateRow { key: bytes.copy_to_bytes(key_bytes), value: bytes.copy_to_bytes(value_bytes) }))
}

/// Writes a file, part by part.
#[derive(Clone, Debug, Default)]
pub struct ShardFileEncoder {
    hasher: crc32fast::Hasher,
    rows: u64,
}

impl ShardFileEncoder {
    /// The first bytes.
    pub fn header(&mut self, header: &ShardFileHeader) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES);
        out.put_slice(MAGIC);
        out.put_u8(VERSION);
        out.put_u32_le(header.shard.0);
        out.put_u64_le(header.tail.stamp.0);
        out.put_u64_le(header.tail.position.0);
        self.hasher.update(&out);
        out.freeze()
    }

    /// The next rows.
    ///
    /// # Errors
    ///
    /// A row does not fit its place.
    pub fn rows(&mut self, rows: &[StateRow]) -> Result<Bytes, ShardFileError> {
        let bytes = encode_rows(rows)?;
        self.hasher.update(&bytes);
        self.rows += rows.len() as u64;
        Ok(bytes)
    }

    /// The last bytes.
    pub fn end(mut self) -> Bytes {
        let mut out = BytesMut::with_capacity(2 + END_BYTES);
        out.put_u16_le(0);
        out.put_u64_le(self.rows);
        self.hasher.update(&out);
        out.put_u32_le(self.hasher.finalize());
        out.freeze()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Rows,
    Ended,
}

/// Reads a file as its bytes come.
#[derive(Clone, Debug)]
pub struct ShardFileDecoder {
    buffer: BytesMut,
    hasher: crc32fast::Hasher,
    rows: u64,
    stage: Stage,
}

impl Default for ShardFileDecoder {
    fn default() -> ShardFileDecoder {
        let (buffer, hasher) = (BytesMut::new(), crc32fast::Hasher::new());
        ShardFileDecoder { buffer, hasher, rows: 0, stage: Stage::Header }
    }
}

impl ShardFileDecoder {
    /// Takes the next bytes in.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether the file is read to its end, and nothing comes after it.
    pub fn is_whole(&self) -> bool {
        self.stage == Stage::Ended && self.buffer.is_empty()
    }

    /// The next part; none if more bytes are needed, or the end was read.
    ///
    /// # Errors
    ///
    /// The bytes are no shard's state, or are damaged.
    pub fn next_part(&mut self) -> Result<Option<ShardFilePart>, ShardFileError> {
        match self.stage {
            Stage::Header if self.buffer.len() < HEADER_BYTES => self.doubtful_header(),
            Stage::Header => self.header().map(Some),
            Stage::Rows if self.buffer.len() >= 2 && self.buffer[..2] == [0, 0] => self.end(),
            Stage::Rows => self.row(),
            Stage::Ended if self.buffer.is_empty() => Ok(None),
            Stage::Ended => Err(ShardFileError::Malformed),
        }
    }

    fn doubtful_header(&self) -> Result<Option<ShardFilePart>, ShardFileError> {
        let known = MAGIC.len().min(self.buffer.len());
        if self.buffer[..known] == MAGIC[..known] { Ok(None) } else { Err(ShardFileError::Malformed) }
    }

    fn header(&mut self) -> Result<ShardFilePart, ShardFileError> {
        let mut header = self.buffer.split_to(HEADER_BYTES);
        self.hasher.update(&header);
        if header[..MAGIC.len()] != MAGIC[..] {
            return Err(ShardFileError::Malformed);
        }
        header.advance(MAGIC.len());
        match header.get_u8() {
            VERSION => {}
            found if found > VERSION => return Err(ShardFileError::NewerVersion { found }),
            _ => return Err(ShardFileError::Malformed),
        }
        let shard = ShardId(header.get_u32_le());
        let tail = Tail { stamp: Epoch(header.get_u64_le()), position: Position(header.get_u64_le()) };
        self.stage = Stage::Rows;
        Ok(ShardFilePart::Header(ShardFileHeader { shard, tail }))
    }

    fn row(&mut self) -> Result<Option<ShardFilePart>, ShardFileError> {
        let mut ahead = &self.buffer[..];
        let Some(row) = take_row(&mut ahead)? else { return Ok(None) };
        let taken = self.buffer.len() - ahead.len();
        self.hasher.update(&self.buffer[..taken]);
        self.buffer.advance(taken);
        self.rows += 1;
        Ok(Some(ShardFilePart::Row(row)))
    }

    fn end(&mut self) -> Result<Option<ShardFilePart>, ShardFileError> {
        if self.buffer.len() < 2 + END_BYTES {
            return Ok(None);
        }
        let mut end = self.buffer.split_to(2 + END_BYTES);
        self.hasher.update(&end[..10]);
        end.advance(2);
        let (rows, checksum) = (end.get_u64_le(), end.get_u32_le());
        if rows != self.rows || checksum != self.hasher.clone().finalize() {
            return Err(ShardFileError::Damaged);
        }
        self.stage = Stage::Ended;
        Ok(Some(ShardFilePart::End(rows)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> ShardFileHeader {
        ShardFileHeader { shard: ShardId(3), tail: Tail { stamp: Epoch(7), position: Position(9) } }
    }

    fn rows() -> Vec<StateRow> {
        let row =
            |key: &'static [u8], value: &'static [u8]| StateRow { key: key.into(), value: value.into() };
        vec![row(b"\x02wca", b"1"), row(b"\x02wcb", b"")]
    }

    fn file() -> Vec<u8> {
        let mut encoder = ShardFileEncoder::default();
        let parts = [encoder.header(&header()), encoder.rows(&rows()).unwrap(), encoder.end()];
        parts.concat()
    }

    fn decode(bytes: &[u8], piece: usize) -> Result<Vec<ShardFilePart>, ShardFileError> {
        let (mut decoder, mut parts) = (ShardFileDecoder::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            decoder.feed(piece);
            while let Some(part) = decoder.next_part()? {
                parts.push(part);
            }
        }
        assert_eq!(decoder.is_whole(), matches!(parts.last(), Some(ShardFilePart::End(_))));
        Ok(parts)
    }

    #[test]
    fn a_file_is_pinned_byte_by_byte_and_reads_back_in_pieces_of_any_size() {
        let expected = [
            &b"SLSB\x01\x03\0\0\0\x07\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0"[..],
            b"\x04\0\x01\0\0\0\x02wca1\x04\0\0\0\0\0\x02wcb",
            b"\0\0\x02\0\0\0\0\0\0\0",
        ]
        .concat();
        let checksum = crc32fast::hash(&expected).to_le_bytes();
        assert_eq!(checksum, [0x94, 0xf5, 0x01, 0x8b]);
        assert_eq!(file(), [&expected[..], &checksum].concat());
        let parts: Vec<ShardFilePart> = std::iter::once(ShardFilePart::Header(header()))
            .chain(rows().into_iter().map(ShardFilePart::Row))
            .chain([ShardFilePart::End(2)])
            .collect();
        for piece in 1..=file().len() {
            assert_eq!(decode(&file(), piece).as_ref(), Ok(&parts));
        }
    }

    #[test]
    fn a_file_that_is_cut_changed_or_continued_is_not_whole() {
        let whole = file();
        for cut in 0..whole.len() {
            let parts = decode(&whole[..cut], 8);
            assert!(
                parts.is_ok_and(|parts| !matches!(parts.last(), Some(ShardFilePart::End(_)))),
                "cut at {cut}"
            );
        }
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 1;
            let parts = decode(&other, 8);
            let ended = parts.is_ok_and(|parts| matches!(parts.last(), Some(ShardFilePart::End(_))));
            assert!(!ended, "byte {at} is another, and nobody noticed");
        }
        assert_eq!(decode(&[&whole[..], b"x"].concat(), 8), Err(ShardFileError::Malformed));
        let mut newer = whole;
        newer[4] = 2;
        assert_eq!(decode(&newer, 8), Err(ShardFileError::NewerVersion { found: 2 }));
    }

    #[test]
    fn rows_alone_read_back_and_know_whose_they_are() {
        let bytes = encode_rows(&rows()).unwrap();
        assert_eq!(decode_rows(bytes.clone()), Ok(rows()));
        assert_eq!(decode_rows(bytes.slice(..bytes.len() - 1)), Err(ShardFileError::Malformed));
        assert_eq!(rows()[0].split_key(), Ok(("wc", Bytes::from_static(b"a"))));
        let short = StateRow { key: Bytes::from_static(b"\x05wc"), value: Bytes::new() };
        assert_eq!(short.split_key(), Err(ShardFileError::Malformed));
    }
}
