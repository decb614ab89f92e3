//! Tables over sled: what was checkpointed is there, and what is damaged is said to be.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shardloom_store::{Batch, Db, DbError, DiskSpace, SpaceMarks, Table};

use crate::world::Image;

fn open(dir: &Path) -> (Db, Table) {
    let db = Db::open(dir, "raft").unwrap();
    let table = db.table("state").unwrap();
    (db, table)
}

fn all(table: &Table) -> Vec<(Bytes, Bytes)> {
    table.scan_from(b"", usize::MAX).unwrap()
}

#[test]
fn values_are_there_after_a_checkpoint_and_a_new_start() {
    let dir = tempfile::tempdir().unwrap();
    let (db, table) = open(&dir.path().join("raft.db"));
    table.put(b"b", b"two").unwrap();
    table.put(b"a", b"one").unwrap();
    table.put(b"c", b"three").unwrap();
    table.remove(b"c").unwrap();
    db.table("state2").unwrap().put(b"a", b"other").unwrap();
    assert_eq!(db.checkpoints(), 1);
    assert_eq!(db.checkpoint().unwrap(), 2);
    drop((db, table));
    let (db, table) = open(&dir.path().join("raft.db"));
    assert_eq!(db.checkpoints(), 2);
    assert_eq!(all(&table), [("a".into(), "one".into()), ("b".into(), "two".into())]);
    assert_eq!(table.get(b"a").unwrap(), Some("one".into()));
    assert_eq!(table.get(b"c").unwrap(), None);
    assert_eq!(table.scan(&b"a"[..]..&b"b"[..], 10).unwrap(), [("a".into(), "one".into())]);
    assert_eq!(table.scan_from(b"", 1).unwrap().len(), 1);
    assert_eq!(all(&db.table("state2").unwrap()), [("a".into(), "other".into())]);
}

#[test]
fn batch_is_applied_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (_db, table) = open(&dir.path().join("raft.db"));
    table.put(b"old", b"1").unwrap();
    let mut batch = Batch::default();
    batch.put("new", "2");
    batch.remove("old");
    table.apply(batch.clone()).unwrap();
    assert_eq!(all(&table), [("new".into(), "2".into())]);
    batch.put("large", vec![0; 61 << 10]);
    batch.remove("new");
    assert!(matches!(table.apply(batch), Err(DbError::TooLarge { .. })));
    assert_eq!(all(&table), [("new".into(), "2".into())]);
}

#[test]
fn large_value_is_split_replaced_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (db, table) = open(&dir.path().join("raft.db"));
    let snapshot: Vec<u8> = (0..500_000u32).map(|byte| ((byte * 7) >> 3) as u8).collect();
    table.put_large(b"snapshot", &snapshot).unwrap();
    table.put_large(b"snap", b"").unwrap();
    assert!(all(&table).is_empty());
    db.checkpoint().unwrap();
    drop((db, table));
    let (_db, table) = open(&dir.path().join("raft.db"));
    assert_eq!(table.get_large(b"snapshot").unwrap(), Some(snapshot.into()));
    assert_eq!(table.get_large(b"snap").unwrap(), Some(Bytes::new()));
    assert_eq!(table.get_large(b"none").unwrap(), None);
    table.put_large(b"snapshot", b"shorter").unwrap();
    assert_eq!(table.get_large(b"snapshot").unwrap(), Some("shorter".into()));
    table.remove_large(b"snapshot").unwrap();
    assert_eq!(table.get_large(b"snapshot").unwrap(), None);
}

#[test]
fn databases_and_names_are_not_mixed_up() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir.path().join("raft.db")));
    let refused = Db::open(&dir.path().join("raft.db"), "gossip").unwrap_err();
    assert!(matches!(refused, DbError::Foreign { .. }), "{refused}");
    let (db, _) = open(&dir.path().join("raft.db"));
    assert!(matches!(db.table("a\0b"), Err(DbError::TableName(_))));
}

#[test]
fn database_whose_making_was_cut_short_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("raft.db.new")).unwrap();
    fs::write(dir.path().join("raft.db.new").join("db"), "half").unwrap();
    let (db, _) = open(&dir.path().join("raft.db"));
    assert_eq!(db.checkpoints(), 1);
    assert!(!dir.path().join("raft.db.new").exists());
}

/// The files of a database directory, those of its subdirectories left out: values are too small for them.
fn image(dir: &Path) -> Image {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    Image(
        files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect(),
    )
}

#[test]
fn flipped_bits_are_reported_or_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (home, copy) = (dir.path().join("home"), dir.path().join("copy"));
    let (db, table) = open(&home);
    for number in 0..200u32 {
        table.put(format!("key {number}").as_bytes(), &[number as u8; 150]).unwrap();
        if number % 50 == 0 {
            db.checkpoint().unwrap();
        }
    }
    let checkpoints = db.checkpoint().unwrap();
    let seen = all(&table);
    drop((db, table));
    let good = image(&home);
    let used: Vec<_> = good
        .0
        .iter()
        .flat_map(|(name, bytes)| {
            (0..bytes.len()).filter(|at| bytes[*at] != 0).map(|at| (name.clone(), at)).collect::<Vec<_>>()
        })
        .collect();
    good.put(&copy);
    assert_eq!(all(&open(&copy).1), seen, "the copy is good before it is harmed");
    let (mut reported, mut harmless) = (0, 0);
    let started = Instant::now();
    std::panic::set_hook(Box::new(|_| {}));
    for case in 0..200usize {
        let (name, at) = &used[case * 7919 % used.len()];
        let mut flipped = good.clone();
        flipped.0.get_mut(name).unwrap()[*at] ^= 1 << (case % 8);
        flipped.put(&copy);
        match Db::open(&copy, "raft") {
            Ok(db) if db.checkpoints() < checkpoints => reported += 1,
            Ok(db) => {
                assert_eq!(all(&db.table("state").unwrap()), seen, "byte {at} of {name}");
                harmless += 1;
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                reported += 1;
            }
        }
        assert!(started.elapsed() < Duration::from_secs(120), "case {case}: byte {at} of {name}");
    }
    let _ = std::panic::take_hook();
    println!("{reported} reported, {harmless} harmless");
    assert!(reported > 20);
}

#[test]
fn database_cut_short_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (home, copy) = (dir.path().join("home"), dir.path().join("copy"));
    let (db, table) = open(&home);
    for number in 0..100u32 {
        table.put(&number.to_be_bytes(), &[1; 200]).unwrap();
    }
    let checkpoints = db.checkpoint().unwrap();
    drop((db, table));
    for parts in 0..8 {
        let mut short = image(&home);
        let file = short.0.get_mut("db").unwrap();
        file.truncate(file.len() * parts / 8);
        short.put(&copy);
        if let Ok(db) = Db::open(&copy, "raft") {
            assert!(
                db.checkpoints() < checkpoints || all(&db.table("state").unwrap()).len() == 100,
                "{parts}/8"
            );
        }
    }
}

#[test]
fn a_database_opens_at_once_after_its_last_handle_is_gone() {
    let parent = tempfile::tempdir().unwrap();
    // Many at a time, so that what sled does in the background comes late.
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let parent = parent.path();
            scope.spawn(move || {
                for round in 0..20 {
                    let dir = parent.join(format!("{thread}-{round}.db"));
                    (0..3).for_each(|_| drop(Db::open(&dir, "raft").unwrap()));
                }
            });
        }
    });
}

#[test]
fn room_is_reserved_ahead_of_what_is_written_and_not_again_while_it_lasts() {
    const ROOM_BYTES: u64 = 8 << 20;
    let dir = tempfile::tempdir().unwrap();
    let space = DiskSpace::open(dir.path(), SpaceMarks::default()).unwrap();
    let (db, table) = open(&dir.path().join("raft.db"));
    let file = dir.path().join("raft.db/db");
    let beyond_its_end = || {
        let found = fs::metadata(&file).unwrap();
        (found.blocks() * 512).saturating_sub(found.len())
    };
    db.make_room(&space, ROOM_BYTES).unwrap();
    let (reserved, end) = (beyond_its_end(), fs::metadata(&file).unwrap().len());
    assert!(reserved >= ROOM_BYTES, "{reserved}");
    db.make_room(&space, ROOM_BYTES).unwrap();
    assert_eq!(beyond_its_end(), reserved);
    // Written full, it is reserved anew.
    let mut key = 0_u32;
    while fs::metadata(&file).unwrap().len() < end + 2 * ROOM_BYTES {
        table.put(&key.to_be_bytes(), &[key as u8; 4000]).unwrap();
        key += 1;
        if key.is_multiple_of(500) {
            db.checkpoint().unwrap();
        }
    }
    db.make_room(&space, ROOM_BYTES).unwrap();
    assert!(beyond_its_end() >= ROOM_BYTES);
    assert!(db.make_room(&space, space.report().free_bytes).unwrap_err().is_no_room());
}
