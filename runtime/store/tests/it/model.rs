//! Many logs against a plain model, through reopening, cleaning and crashes.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use shardloom_store::{LogId, Record, Wal, WalError};

use crate::world::{Content, Image, append, batches, content, open, small};

/// What a case does.
#[derive(Clone, Debug)]
enum Step {
    /// Submits some records, made to fit: kind, log or slot, size.
    Submit(Vec<(u8, u8, u16)>),
    /// Closes and opens.
    Reopen,
    /// Opens a copy in which the deletions since the last start did not reach the disk.
    Undelete,
    /// Opens a copy that lacks the newest batches.
    Tear(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let records = prop::collection::vec((0u8..16, 0u8..6, 0u16..3000), 1..5);
    let step = prop_oneof![
        60 => records.prop_map(Step::Submit),
        2 => Just(Step::Reopen),
        1 => Just(Step::Undelete),
        2 => (1u8..6).prop_map(Step::Tear),
    ];
    prop::collection::vec(step, 1..250)
}

/// Makes a record that fits the model, and applies it to it.
fn record(model: &mut Content, (kind, key, size): (u8, u8, u16), count: u64) -> Record {
    let (log, slot) = (LogId(u64::from(key)), u64::from(key));
    let payload = Bytes::from([&count.to_le_bytes()[..], &vec![key; usize::from(size)]].concat());
    match (kind, model.logs.get_mut(&log.0)) {
        (0..=2, _) => {
            model.registers.insert(slot, payload.clone());
            Record::Set { slot, value: payload }
        }
        (3, _) => {
            model.registers.remove(&slot);
            Record::Clear { slot }
        }
        (4, _) => {
            model.logs.remove(&log.0);
            Record::Drop { log }
        }
        (5, Some((base, entries))) => {
            entries.truncate(entries.len() - entries.len().min(usize::from(size) % 4));
            Record::Truncate { log, from: *base + 1 + entries.len() as u64 }
        }
        (6..=7, Some((base, entries))) => {
            let upto = *base + u64::from(size) % (entries.len() as u64 + 3);
            let gone = (upto - *base).min(entries.len() as u64);
            entries.drain(..gone as usize);
            *base = upto;
            Record::Purge { log, upto }
        }
        (_, Some((base, entries))) => {
            entries.push(payload.clone());
            append(log.0, *base + entries.len() as u64, payload)
        }
        (_, None) => {
            let index = u64::from(size) + 1;
            model.logs.insert(log.0, (index - 1, vec![payload.clone()]));
            append(log.0, index, payload)
        }
    }
}

fn read_back(dir: &Path, image: &Image) -> Result<Content, WalError> {
    image.put(dir);
    let (wal, _) = Wal::open(dir, small())?;
    content(&wal)
}

/// Runs one case; how many segments came to be deleted.
async fn run(steps: Vec<Step>) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let (home, copy) = (dir.path().join("wal"), dir.path().join("copy"));
    let (mut wal, _) = open(&home);
    let (mut model, mut count, mut deleted) = (Content::default(), 0, 0);
    let mut start = Image(BTreeMap::new());
    let mut states = vec![model.clone()];
    for step in steps {
        if let Step::Submit(wanted) = step {
            let records = wanted.into_iter().map(|wanted| {
                count += 1;
                record(&mut model, wanted, count)
            });
            let _ = wal.submit(records.collect()).await.unwrap();
            states.push(model.clone());
            continue;
        }
        assert_eq!(content(&wal).unwrap(), model, "before closing");
        wal.close().unwrap();
        drop(wal);
        let image = Image::take(&home);
        let gone: Vec<_> = start.0.keys().filter(|name| !image.0.contains_key(*name)).cloned().collect();
        deleted += gone.len();
        match step {
            Step::Undelete => {
                let mut undeleted = image.clone();
                for name in gone {
                    undeleted.0.insert(name.clone(), start.0[&name].clone());
                }
                assert_eq!(read_back(&copy, &undeleted).unwrap(), model, "undeleted");
            }
            Step::Tear(newest) if gone.is_empty() => {
                let mut torn = image.clone();
                let name = torn.0.keys().rfind(|name| name.ends_with(".wal")).unwrap().clone();
                let segment = torn.last_segment();
                let frames = batches(segment);
                // No further back than the last start: before it, segments may have been deleted.
                let old = start.0.get(&name).map_or(0, |segment| batches(segment).len());
                let keep = frames.len().saturating_sub(usize::from(newest)).max(old);
                if let Some((cut, _)) = frames.get(keep) {
                    segment[*cut..].fill(0);
                }
                let found = read_back(&copy, &torn).unwrap();
                assert!(states.contains(&found), "a torn log is the log as it once was");
            }
            _ => {}
        }
        wal = open(&home).0;
        assert_eq!(content(&wal).unwrap(), model, "after opening");
        start = Image::take(&home);
        states = vec![model.clone()];
    }
    wal.close().unwrap();
    drop(wal);
    assert_eq!(content(&open(&home).0).unwrap(), model, "at the end");
    deleted
}

#[test]
fn log_is_what_the_model_says_through_reopening_cleaning_and_tears() {
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config);
    let deleted = Cell::new(0);
    let ran = runner.run(&steps(), |steps| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        deleted.set(deleted.get() + runtime.block_on(run(steps)));
        Ok(())
    });
    ran.unwrap();
    assert!(deleted.get() > 20, "{} segments were deleted: the cases are too tame", deleted.get());
}
