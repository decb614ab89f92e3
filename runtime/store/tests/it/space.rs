//! Old segments are given back, and nothing that is needed goes with them.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shardloom_store::{LogId, Record, Wal};

use crate::world::{Image, append, content, open, segment_files, set};

/// Waits until the log takes at most `segments` files.
async fn shrinks_to(wal: &Wal, dir: &Path, segments: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut progress = wal.progress();
    loop {
        let found = segment_files(dir).len();
        if found <= segments {
            return;
        }
        assert!(Instant::now() < deadline, "{found} segments: {:?}", wal.stats());
        let _ = tokio::time::timeout(Duration::from_millis(5), progress.changed()).await;
    }
}

/// Appends to a log and purges it behind, so that segments come and go.
async fn churn(wal: &Wal, log: u64, entries: u64) {
    let start = wal.last_index(LogId(log)).unwrap_or(0);
    for index in start + 1..=start + entries {
        wal.submit(vec![append(log, index, vec![index as u8; 3000])]).await.unwrap();
        if index % 10 == 0 {
            wal.submit(vec![Record::Purge { log: LogId(log), upto: index - 5 }]).await.unwrap();
        }
    }
    wal.submit(vec![]).await.unwrap().durable().await.unwrap();
}

#[tokio::test]
async fn purged_segments_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    churn(&wal, 20, 500).await;
    shrinks_to(&wal, dir.path(), 5).await;
    let seen = content(&wal).unwrap();
    wal.close().unwrap();
    assert_eq!(content(&open(dir.path()).0).unwrap(), seen);
}

#[tokio::test]
async fn slow_logs_and_registers_move_on_while_a_busy_log_churns() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    let slow: Vec<_> = (100..140).map(|log| append(log, 7, format!("slow {log}"))).collect();
    wal.submit(slow).await.unwrap();
    wal.submit(vec![set(1, "seal"), set(2, "vote"), Record::Purge { log: LogId(90), upto: 33 }])
        .await
        .unwrap();
    for round in 0..6 {
        churn(&wal, 20, 150).await;
        wal.submit(vec![append(100, 8 + round, "on")]).await.unwrap();
        shrinks_to(&wal, dir.path(), 6).await;
    }
    assert!(wal.stats().carried > 0);
    let seen = content(&wal).unwrap();
    assert_eq!(seen.logs[&139], (6, vec![Bytes::from("slow 139")]));
    assert_eq!(seen.logs[&100].1.len(), 7);
    assert_eq!(seen.logs[&90], (33, vec![]));
    wal.close().unwrap();
    let (wal, _) = open(dir.path());
    assert_eq!(content(&wal).unwrap(), seen);
    assert_eq!(wal.register(1), Some(Bytes::from("seal")));
}

#[tokio::test]
async fn space_stays_bounded_when_everything_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    // 200 KB that stay, and a register written over and over.
    for index in 1..=50 {
        wal.submit(vec![append(30, index, vec![7; 4000])]).await.unwrap();
    }
    for round in 0..400u64 {
        wal.submit(vec![set(5, vec![round as u8; 3000])]).await.unwrap();
    }
    wal.submit(vec![]).await.unwrap().durable().await.unwrap();
    shrinks_to(&wal, dir.path(), 12).await;
    let stats = wal.stats();
    assert!(stats.carried < 400, "{stats:?}");
    let seen = content(&wal).unwrap();
    wal.close().unwrap();
    assert_eq!(content(&open(dir.path()).0).unwrap(), seen);
}

#[tokio::test]
async fn deleted_segments_that_come_back_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let wal_dir = dir.path().join("wal");
    let (wal, _) = open(&wal_dir);
    wal.submit(vec![append(100, 1, "slow"), set(1, "seal")]).await.unwrap();
    churn(&wal, 20, 60).await;
    wal.close().unwrap();
    drop(wal);
    let before = Image::take(&wal_dir);
    let (wal, _) = open(&wal_dir);
    churn(&wal, 20, 200).await;
    shrinks_to(&wal, &wal_dir, 6).await;
    wal.close().unwrap();
    let (seen, after) = (content(&wal).unwrap(), Image::take(&wal_dir));
    let gone: Vec<_> = before.0.keys().filter(|name| !after.0.contains_key(*name)).collect();
    assert!(gone.len() >= 2, "{gone:?}");
    // The deletion of any of them may not have reached the disk before a power cut.
    for survivors in 1..1 << gone.len().min(4) {
        let mut image = after.clone();
        for (at, name) in gone.iter().enumerate().filter(|(at, _)| survivors & (1 << at) != 0) {
            let _ = at;
            image.0.insert((*name).clone(), before.0[*name].clone());
        }
        let copy = dir.path().join("copy");
        image.put(&copy);
        let (wal, _) = open(&copy);
        assert_eq!(content(&wal).unwrap(), seen, "{survivors:b}");
        wal.close().unwrap();
        assert!(gone.iter().all(|name| !copy.join(name).exists()));
    }
}
