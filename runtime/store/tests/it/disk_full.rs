//! A disk that is really full: a small tmpfs, where the test may mount one.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use shardloom_store::{LogId, Record, WalError};

use crate::world::{append, content, open, set};

/// A file system of `kib` KiB, for as long as the value lives.
struct Tmpfs(PathBuf, #[allow(dead_code, reason = "keeps the mount point")] tempfile::TempDir);

impl Tmpfs {
    fn mount(kib: usize) -> Option<Tmpfs> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={kib}k");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output();
        if !mount.is_ok_and(|mount| mount.status.success()) {
            eprintln!("skipped: a tmpfs cannot be mounted here");
            return None;
        }
        Some(Tmpfs(dir.path().to_path_buf(), dir))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[tokio::test]
async fn full_disk_refuses_entries_but_takes_what_frees_room() {
    let Some(disk) = Tmpfs::mount(64 * 4 + 40) else { return };
    let dir = disk.0.join("wal");
    let (wal, _) = open(&dir);
    let log = LogId(20);
    let mut index = 0;
    let refused = loop {
        match wal.submit(vec![append(log.0, index + 1, vec![1; 1000])]).await {
            Ok(ticket) => {
                ticket.durable().await.unwrap();
                index += 1;
            }
            Err(refused) => break refused,
        }
        assert!(index < 1000);
    };
    assert!(matches!(refused, WalError::DiskFull { fatal: false, .. }), "{refused}");
    assert!(refused.is_disk_full() && refused.is_retryable() && !refused.is_fatal());
    // Registers and purges go on; with the room that they free, entries do, too.
    wal.submit(vec![set(1, "vote")]).await.unwrap().durable().await.unwrap();
    wal.submit(vec![Record::Purge { log, upto: index - 1 }]).await.unwrap().durable().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut progress = wal.progress();
    loop {
        match wal.submit(vec![append(log.0, index + 1, "after")]).await {
            Ok(ticket) => break ticket.durable().await.unwrap(),
            Err(WalError::DiskFull { fatal: false, .. }) => assert!(Instant::now() < deadline),
            Err(other) => panic!("{other}"),
        }
        let _ = tokio::time::timeout(Duration::from_millis(20), progress.changed()).await;
    }
    let seen = content(&wal).unwrap();
    wal.close().unwrap();
    assert_eq!(content(&open(&dir).0).unwrap(), seen);
}

#[tokio::test]
async fn disk_full_to_the_last_reserve_ends_the_log() {
    let Some(disk) = Tmpfs::mount(64 + 20) else { return };
    let dir = disk.0.join("wal");
    let (wal, _) = open(&dir);
    let mut written = 0u8;
    let why = loop {
        let ended = match wal.submit(vec![set(u64::from(written), vec![written; 2000])]).await {
            Ok(ticket) => ticket.durable().await.err(),
            Err(why) => Some(why),
        };
        match ended {
            Some(why) => break why,
            None => written += 1,
        }
    };
    assert!(matches!(why, WalError::DiskFull { fatal: true, .. }), "{why}");
    assert!(why.is_fatal() && why.is_disk_full());
    assert_eq!(why.exit_code(), 73);
    assert!(wal.submit(vec![set(1, "x")]).await.is_err());
    assert!(wal.read(LogId(0), 0..1, 1).is_err());
    assert!(wal.close().is_err());
    drop(wal);
    // What was acknowledged is there.
    let (wal, _) = open(&dir);
    for slot in 0..written {
        assert_eq!(wal.register(u64::from(slot)).unwrap(), vec![slot; 2000]);
    }
}

#[test]
fn log_is_not_made_on_a_disk_without_room_for_it() {
    let Some(disk) = Tmpfs::mount(32) else { return };
    let dir = disk.0.join("wal");
    let refused = shardloom_store::Wal::open(&dir, crate::world::small()).unwrap_err();
    assert!(refused.is_disk_full(), "{refused}");
    assert!(crate::world::segment_files(&dir).is_empty());
}
