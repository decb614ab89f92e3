//! How the keys of a workload's state on a shard are laid out.
//!
//! A guest reaches its state in two ways, and neither sees what the other wrote:
//!
//! | first byte | then | whose |
//! |---|---|---|
//! | `0x00` | the guest's key | `shardloom:shard/store` |
//! | `0x01` | length of the bucket's name (1 byte), the name, the guest's key | `wasi:keyvalue`, both drafts alike |
//! | from `0x02` on | nothing yet | nobody: a guest cannot reach it |
//!
//! The length before the name keeps buckets apart whose names begin alike. The layout is part of what is on disk.

use bytes::{BufMut, Bytes, BytesMut};

const PLAIN: u8 = 0;
const BUCKET: u8 = 1;

/// Bytes of a bucket's name: as many as its length byte can tell.
pub(crate) const BUCKET_NAME_BYTES_MAX: usize = 255;

/// A part of the state that one interface reaches: the bytes that its keys begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Space(Bytes);

impl Space {
    /// What `shardloom:shard/store` reaches.
    pub(crate) fn plain() -> Space {
        Space(Bytes::from_static(&[PLAIN]))
    }

    /// A bucket of `wasi:keyvalue`; none where the name is too long.
    pub(crate) fn bucket(name: &str) -> Option<Space> {
        let length = u8::try_from(name.len()).ok()?;
        let mut prefix = BytesMut::with_capacity(2 + name.len());
        prefix.put_u8(BUCKET);
        prefix.put_u8(length);
        prefix.put_slice(name.as_bytes());
        Some(Space(prefix.freeze()))
    }

    /// The guest's key as the state has it.
    pub(crate) fn key(&self, key: &[u8]) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.0.len() + key.len());
        whole.put_slice(&self.0);
        whole.put_slice(key);
        whole.freeze()
    }

    /// The first key after this part, of whatever length the keys in it are.
    pub(crate) fn end(&self) -> Bytes {
        // The first byte is never 0xff, so that there always is a byte to count up.
        let last = self.0.iter().rposition(|byte| *byte < u8::MAX).unwrap_or(0);
        let mut end = BytesMut::from(&self.0[..=last]);
        end[last] += 1;
        end.freeze()
    }

    /// The state's key as the guest knows it.
    pub(crate) fn guest_key(&self, key: &Bytes) -> Bytes {
        key.slice(self.0.len()..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_of_one_part_is_in_another() {
        let parts = [
            Space::plain(),
            Space::bucket("").unwrap(),
            Space::bucket("a").unwrap(),
            Space::bucket("ab").unwrap(),
            Space::bucket(&"z".repeat(255)).unwrap(),
        ];
        for part in &parts {
            for key in [&b""[..], b"\0", b"b", b"\xff\xff\xff"] {
                let whole = part.key(key);
                let within: Vec<&Space> =
                    parts.iter().filter(|part| part.key(b"") <= whole && whole < part.end()).collect();
                assert_eq!(within, [part]);
                assert_eq!(part.guest_key(&whole), key);
            }
        }
        assert_eq!(Space::bucket(&"z".repeat(256)), None);
    }

    #[test]
    fn the_layout_is_what_is_on_disks() {
        assert_eq!(Space::plain().key(b"k"), &b"\0k"[..]);
        assert_eq!(Space::bucket("ab").unwrap().key(b"k"), &b"\x01\x02abk"[..]);
        assert_eq!(Space::bucket("ab").unwrap().end(), &b"\x01\x02ac"[..]);
        // UTF-8 has no 0xff, but a length may be.
        assert_eq!(Space(Bytes::from_static(b"\x01\xff")).end(), &b"\x02"[..]);
    }
}
