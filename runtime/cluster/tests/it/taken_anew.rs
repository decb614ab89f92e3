//! A node whose logs were lost, and which crashed while its control log was made again.

use std::path::Path;
use std::sync::Arc;

use openraft::EntryPayload;
use openraft::storage::{RaftLogReader, RaftLogStorage};
use shardloom_cluster::formats::Outdated;
use shardloom_cluster::identity::{IdentityStore, Logs};
use shardloom_cluster::raft::{Entry, LogStore};
use shardloom_sharding::ids::ShardId;
use shardloom_store::{DataDir, DiskSpace, SpaceMarks, Wal, WalOptions};

use crate::world::{World, until};

const SHARDS: u32 = 4;

/// How many votes an entry gives, if it says who votes and no change of that is under way.
fn votes(entry: &Entry) -> Option<usize> {
    let EntryPayload::Membership(membership) = &entry.payload else { return None };
    (membership.get_joint_config().len() == 1).then(|| membership.voter_ids().count())
}

fn is_membership(entry: &Entry) -> bool {
    matches!(entry.payload, EntryPayload::Membership(_))
}

/// Cuts the control log of a node back to where the last change of the voters had given so many votes for the first time, up to the
/// next such change; as after a crash at that point of making it again. No node may run: a leader remembers what it has been told of other logs.
/// `taken_anew` says that it is such a node.
async fn cut_back(data: &Path, voters: usize, taken_anew: bool) {
    let dir = DataDir::open(data).unwrap();
    let space = DiskSpace::open(data, SpaceMarks { low_bytes: 0, high_bytes: 0 }).unwrap();
    let mut identity = IdentityStore::open(&dir, &space).unwrap();
    let (wal, recovery) =
        Wal::open_after(&dir.join("wal"), WalOptions::default(), identity.last_boot()).unwrap();
    assert_eq!(identity.start(recovery.disk, recovery.boot).unwrap(), Logs::Kept);
    let mut log = LogStore::new(wal.clone(), Arc::new(Outdated::default()));
    let entries = log.try_get_log_entries(0..).await.unwrap();
    let given = entries.iter().position(|entry| votes(entry) == Some(voters)).unwrap();
    let cut = given + 1 + entries[given + 1..].iter().position(is_membership).unwrap();
    log.truncate(entries[cut].log_id).await.unwrap();
    log.save_committed(Some(entries[cut - 1].log_id)).await.unwrap();
    wal.close().unwrap();
    if taken_anew {
        identity.renew(recovery.disk).unwrap();
    }
}

/// Three nodes, the first of which has lost its logs and was taken anew; none of them runs now. Says which one led at last.
async fn with_one_taken_anew() -> (World, usize) {
    let mut world = World::start(3, SHARDS).await;
    world.write(ShardId(0), 1, &[("key", Some("value"))]).await;
    world.kill(0).await;
    std::fs::remove_dir_all(world.data(0).join("wal")).unwrap();
    world.restart(0).await;
    world.wait_until_whole().await;
    world.kill(0).await;
    until("another leads", || world.leader().is_some_and(|(leader, _)| leader != 0)).await;
    let (leader, _) = world.leader().unwrap();
    world.kill(1).await;
    world.kill(2).await;
    (world, leader)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sole_voter_of_an_old_membership_does_not_elect_itself() {
    let (mut world, _) = with_one_taken_anew().await;
    cut_back(&world.data(0), 1, true).await;
    // Alone, so that nobody tells it more before it could elect itself.
    world.restart(0).await;
    world.restart(1).await;
    world.restart(2).await;
    world.wait_until_whole().await;
    assert_eq!(world.read(ShardId(0), "key").await.as_deref(), Some(&b"value"[..]));
    until("all agree on a leader", || world.leader().is_some()).await;
    let before = world.leader();
    // From here on it may: with the third node away, one of the two that are left has to lead, by the vote of the other.
    let (leader, term) = before.unwrap();
    world.kill(leader).await;
    until("another leads", || world.leader().is_some_and(|(_, next)| next > term)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_taken_anew_elects_nobody_who_knows_as_little_as_itself() {
    let (mut world, whole) = with_one_taken_anew().await;
    let behind = 3 - whole;
    // Together these two would be a majority of the three voters that they know of.
    cut_back(&world.data(0), 3, true).await;
    cut_back(&world.data(behind), 3, false).await;
    world.restart(0).await;
    world.restart(behind).await;
    let begun = world.term(behind);
    until("three elections in vain", || world.term(behind).0 >= begun.0 + 3).await;
    assert_eq!(world.leader(), None);
    world.restart(whole).await;
    world.wait_until_whole().await;
    assert_eq!(world.read(ShardId(0), "key").await.as_deref(), Some(&b"value"[..]));
}
