//! Bytes that are no map: damaged, cut, forged, foreign. And the bytes that must be read for ever.

use proptest::prelude::*;
use shardloom_sharding::change::Change;
use shardloom_sharding::ids::{DiskId, Epoch, NodeId, Replica, ShardId};
use shardloom_sharding::map::ShardMap;
use shardloom_sharding::map_codec::{CodecError, decode_changes, decode_map, encode_changes, encode_map};

const MAP: &[u8] = include_bytes!("../golden/map-v1.bin");
const CHANGES: &[u8] = include_bytes!("../golden/changes-v1.bin");

fn replica(number: u64) -> Replica {
    Replica { node: NodeId(0x0101_0101_0101_0101 * number), disk: DiskId(0xd15c_0000_0000_0000 + number) }
}

/// One of each kind of row: unset, one replica, three, three without an owner, five; two disks of one node.
fn map() -> ShardMap {
    let mut map = ShardMap::new(6);
    let owner = |number| Some(replica(number).node);
    let other_disk = Replica { disk: DiskId(7), ..replica(2) };
    map.assign(ShardId(1), Epoch(3), owner(2), &[other_disk]).unwrap();
    map.assign(ShardId(2), Epoch(1_000_000), owner(9), &[replica(2), replica(9), replica(4)]).unwrap();
    map.assign(ShardId(3), Epoch(3), None, &[replica(9), replica(1), replica(4)]).unwrap();
    map.assign(ShardId(4), Epoch(u64::MAX), owner(1), &[1, 9, 3, 4, 2].map(replica)).unwrap();
    map.assign(ShardId(5), Epoch(4), owner(1), &[replica(1), replica(2)]).unwrap();
    map
}

fn changes() -> Vec<Change> {
    let change = |shard, base, numbers: &[u64]| Change {
        shard: ShardId(shard),
        base: Epoch(base),
        owner: replica(numbers[0]).node,
        replicas: numbers.iter().map(|number| replica(*number)).collect(),
    };
    vec![
        change(0, 0, &[4]),
        change(7, 900, &[9, 1, 2]),
        change(8, 901, &[1, 2]),
        change(65_535, 17, &[2, 1, 3, 4, 9]),
    ]
}

#[test]
fn maps_of_the_first_format_are_read_for_ever() {
    assert_eq!(decode_map(MAP).unwrap(), map());
    assert_eq!(decode_changes(CHANGES).unwrap(), changes());
}

#[test]
fn maps_are_written_in_the_first_format() {
    assert_eq!(encode_map(&map()), MAP);
    assert_eq!(encode_changes(&changes()).unwrap(), CHANGES);
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let mut newer = MAP.to_vec();
    newer[4] = 2;
    assert_eq!(decode_map(&newer), Err(CodecError::Version { version: 2 }));
}

#[test]
fn a_map_is_not_a_list_of_changes() {
    assert_eq!(decode_changes(MAP), Err(CodecError::Magic));
    assert_eq!(decode_map(CHANGES), Err(CodecError::Magic));
}

#[test]
fn every_flipped_bit_is_noticed() {
    for bit in 0..MAP.len() * 8 {
        let mut damaged = MAP.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_map(&damaged).is_err(), "bit {bit}");
    }
    for bit in 0..CHANGES.len() * 8 {
        let mut damaged = CHANGES.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_changes(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn every_missing_or_added_byte_is_noticed() {
    for length in 0..MAP.len() {
        assert!(decode_map(&MAP[..length]).is_err(), "{length} bytes");
    }
    for length in 0..CHANGES.len() {
        assert!(decode_changes(&CHANGES[..length]).is_err(), "{length} bytes");
    }
    assert!(decode_map(&[MAP, &[0]].concat()).is_err());
}

/// The bytes with a checksum that matches them, as somebody who means harm would send them.
fn forged(mut bytes: Vec<u8>) -> Vec<u8> {
    let covered = bytes.len().saturating_sub(4);
    bytes.truncate(covered);
    let checksum = crc32(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The checksum once more, by its definition, so that a change of the library's would be seen.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

/// What is read from forged bytes need not be what was written, but it must be a map that could have been.
fn check_forged(bytes: &[u8]) {
    if let Ok(map) = decode_map(bytes) {
        let mut again = ShardMap::new(map.shard_count());
        for shard in map.shards() {
            let replicas: Vec<Replica> = map.replicas(shard).collect();
            again.assign(shard, map.epoch(shard), map.owner(shard), &replicas).unwrap();
        }
        assert_eq!(again, map);
        assert_eq!(again.holders(), map.holders());
    }
    if let Ok(changes) = decode_changes(bytes) {
        assert_eq!(decode_changes(&encode_changes(&changes).unwrap()).unwrap(), changes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn garbage_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode_map(&bytes).is_err());
        prop_assert!(decode_changes(&bytes).is_err());
    }

    #[test]
    fn several_damaged_bytes_are_an_error(damage in prop::collection::vec((any::<usize>(), 1..=255u8), 1..6)) {
        let mut bytes = MAP.to_vec();
        for (at, flips) in &damage {
            bytes[at % MAP.len()] ^= flips;
        }
        prop_assume!(bytes != MAP);
        prop_assert!(decode_map(&bytes).is_err());
    }

    #[test]
    fn forged_bytes_are_an_error_or_a_map_that_can_be(
        damage in prop::collection::vec((any::<usize>(), 1..=255u8), 1..6),
        cut in 0..40usize,
    ) {
        for original in [MAP, CHANGES] {
            let mut bytes = original.to_vec();
            for (at, flips) in &damage {
                bytes[5 + at % (original.len() - 5)] ^= flips;
            }
            check_forged(&forged(bytes.clone()));
            bytes.truncate(original.len() - cut);
            check_forged(&forged(bytes));
        }
    }

    #[test]
    fn forged_garbage_is_an_error_or_a_map_that_can_be(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for head in [b"SLmp\x01", b"SLch\x01"] {
            check_forged(&forged([&head[..], &bytes, &[0; 4]].concat()));
        }
    }
}

#[test]
fn a_few_bytes_cannot_ask_for_much_memory() {
    // A count of 2^63 shards, of replicas, of changes.
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    for (head, body) in [(b"SLmp\x01", &[][..]), (b"SLmp\x01", &[4][..]), (b"SLch\x01", &[][..])] {
        let bytes = forged([&head[..], body, &most, &[0; 12]].concat());
        assert!(decode_map(&bytes).is_err());
        assert!(decode_changes(&bytes).is_err());
    }
}

#[test]
#[ignore = "writes the golden files; only for a new format"]
fn write_golden_files() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(format!("{folder}/map-v1.bin"), encode_map(&map())).unwrap();
    std::fs::write(format!("{folder}/changes-v1.bin"), encode_changes(&changes()).unwrap()).unwrap();
}
