//! The log as its users see it: what is submitted is read, kept, cut and given up.

use bytes::Bytes;
use shardloom_sharding::ids::{Boot, ShardId};
use shardloom_store::{LogId, Record, Wal, WalError, WalOptions};

use crate::world::{append, content, open, set, small};

#[tokio::test]
async fn submission_is_read_at_once_and_found_again_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, first) = open(dir.path());
    let ticket = wal.submit(vec![append(0, 1, "a"), append(0, 2, "b"), set(7, "vote")]).await.unwrap();
    let seen = content(&wal).unwrap();
    assert_eq!(seen.logs[&0], (0, vec![Bytes::from("a"), Bytes::from("b")]));
    assert_eq!(wal.register(7), Some(Bytes::from("vote")));
    ticket.durable().await.unwrap();
    drop(wal);
    let (wal, second) = open(dir.path());
    assert_eq!(content(&wal).unwrap(), seen);
    assert_eq!((first.boot, second.boot), (Boot(1), Boot(2)));
    assert_eq!(first.disk, second.disk);
    assert_eq!(second.torn_bytes, 0);
}

#[tokio::test]
async fn disks_are_told_apart() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_ne!(open(one.path()).1.disk, open(two.path()).1.disk);
}

#[tokio::test]
async fn logs_are_cut_purged_and_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    let log = LogId::shard(ShardId(3));
    let five = (1..=5).map(|index| append(log.0, index, format!("old {index}"))).collect();
    wal.submit(five).await.unwrap();
    wal.submit(vec![Record::Truncate { log, from: 4 }, append(log.0, 4, "new 4")]).await.unwrap();
    wal.submit(vec![Record::Purge { log, upto: 2 }]).await.unwrap();
    let expected = vec![(3, Bytes::from("old 3")), (4, Bytes::from("new 4"))];
    assert_eq!(wal.read(log, 0..100, usize::MAX).unwrap(), expected);
    assert_eq!(wal.read(log, 0..100, 1).unwrap(), expected[..1]);
    assert_eq!(wal.read(log, 4..5, 100).unwrap(), expected[1..]);
    assert_eq!(
        (wal.purged_index(log), wal.first_index(log), wal.last_index(log)),
        (Some(2), Some(3), Some(4))
    );
    // A snapshot beyond the end leaves an empty log that goes on behind it.
    wal.submit(vec![Record::Purge { log, upto: 9 }]).await.unwrap();
    assert_eq!((wal.purged_index(log), wal.first_index(log), wal.last_index(log)), (Some(9), None, Some(9)));
    wal.submit(vec![append(log.0, 10, "ten")]).await.unwrap();
    drop(wal);
    let (wal, _) = open(dir.path());
    assert_eq!(wal.read(log, 0..100, 100).unwrap(), vec![(10, Bytes::from("ten"))]);
    wal.submit(vec![Record::Drop { log }]).await.unwrap().durable().await.unwrap();
    assert_eq!((wal.last_index(log), wal.logs()), (None, vec![]));
}

#[tokio::test]
async fn submission_that_does_not_fit_its_log_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    wal.submit(vec![append(0, 5, "a"), append(0, 6, "b")]).await.unwrap();
    let before = content(&wal).unwrap();
    let refused = wal.submit(vec![set(1, "x"), append(0, 8, "gap")]).await.unwrap_err();
    assert!(matches!(refused, WalError::OutOfOrder { index: 8, expected: 7, .. }), "{refused}");
    let refused = wal.submit(vec![Record::Truncate { log: LogId(0), from: 4 }]).await.unwrap_err();
    assert!(matches!(refused, WalError::CutBelowHead { from: 4, first: 5, .. }), "{refused}");
    let refused = wal.submit(vec![append(1, 0, "index 0")]).await.unwrap_err();
    assert!(matches!(refused, WalError::OutOfOrder { .. }), "{refused}");
    let refused = wal.submit(vec![set(shardloom_store::wal::SLOT_RESERVED, "x")]).await.unwrap_err();
    assert!(matches!(refused, WalError::ReservedSlot { .. }), "{refused}");
    let refused = wal.submit(vec![set(1, vec![0; 20 << 10])]).await.unwrap_err();
    assert!(matches!(refused, WalError::TooLarge { bytes_max: 16384, .. }), "{refused}");
    assert_eq!(content(&wal).unwrap(), before);
}

#[tokio::test]
async fn waiting_submissions_keep_their_order_and_all_become_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    let mut tasks = tokio::task::JoinSet::new();
    for log in 100..120 {
        let wal = wal.clone();
        tasks.spawn(async move {
            for index in 1..=40 {
                let ticket = wal.submit(vec![append(log, index, vec![log as u8; 1000])]).await.unwrap();
                if index % 10 == 0 {
                    ticket.durable().await.unwrap();
                }
            }
        });
    }
    tasks.join_all().await;
    wal.submit(vec![]).await.unwrap().durable().await.unwrap();
    let seen = content(&wal).unwrap();
    assert!(seen.logs.values().all(|(base, entries)| *base == 0 && entries.len() == 40));
    let stats = wal.stats();
    assert!(stats.commits < 800, "submissions share an fdatasync: {stats:?}");
    wal.close().unwrap();
    assert_eq!(content(&open(dir.path()).0).unwrap(), seen);
}

#[tokio::test]
async fn full_queue_refuses_without_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    let mut index = 0;
    // A submission takes the whole queue; whoever comes before it is durable is refused.
    let refused = loop {
        index += 1;
        match wal.try_submit(vec![append(0, index, vec![1; (16 << 10) - 64])]) {
            Ok(_) => assert!(index < 1000, "the disk is never slower than the test"),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, WalError::QueueFull), "{refused}");
    assert!(refused.is_retryable() && !refused.is_fatal());
    wal.submit(vec![append(0, index, "later")]).await.unwrap().durable().await.unwrap();
}

#[tokio::test]
async fn closed_log_refuses_and_tells_who_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    let ticket = wal.submit(vec![append(0, 1, "a")]).await.unwrap();
    let mut progress = wal.progress();
    wal.close().unwrap();
    ticket.durable().await.unwrap();
    assert!(matches!(wal.submit(vec![append(0, 2, "b")]).await, Err(WalError::Closed)));
    assert!(matches!(wal.try_submit(vec![]), Err(WalError::Closed)));
    let later = shardloom_store::WriteSeq(progress.durable().0 + 1);
    assert!(matches!(progress.wait_for(later).await, Err(WalError::Closed)));
}

#[tokio::test]
async fn progress_counts_submissions_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    let mut progress = wal.progress();
    let one = wal.submit(vec![set(1, "a")]).await.unwrap();
    let two = wal.submit(vec![set(1, "b")]).await.unwrap();
    assert!(one.seq() < two.seq());
    while progress.durable() < two.seq() {
        progress.changed().await.unwrap();
    }
    one.durable().await.unwrap();
    two.durable().await.unwrap();
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for options in [
        WalOptions { segment_bytes: 1 << 10, ..small() },
        WalOptions { queue_bytes_max: 17 << 10, ..small() },
        WalOptions { segment_bytes: 1 << 32, ..small() },
    ] {
        assert!(matches!(Wal::open(dir.path(), options), Err(WalError::Options(_))));
    }
}

#[tokio::test]
async fn segment_size_may_change_between_starts() {
    let dir = tempfile::tempdir().unwrap();
    let (wal, _) = open(dir.path());
    wal.submit(vec![append(0, 1, "a")]).await.unwrap();
    drop(wal);
    let larger = WalOptions { segment_bytes: 1 << 20, queue_bytes_max: 200 << 10, ..small() };
    let (wal, _) = Wal::open(dir.path(), larger).unwrap();
    wal.submit(vec![append(0, 2, vec![2; 150 << 10])]).await.unwrap().durable().await.unwrap();
    let seen = content(&wal).unwrap();
    drop(wal);
    assert_eq!(content(&open(dir.path()).0).unwrap(), seen);
}
