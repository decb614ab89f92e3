//! The level of formats of a cluster whose nodes all run one build.

use std::fs;

use shardloom_cluster::control::ControlCommand;
use shardloom_cluster::formats::{LEVEL, Level};
use shardloom_cluster::writer::WriteError;

use crate::world::{World, until};

/// Waits until nodes have applied that the cluster is at this build's level.
async fn until_level(world: &World, nodes: &[usize]) {
    let at = |node: &usize| world.handle(*node).applied().read().level() == LEVEL;
    until("the cluster is at this build's level", || nodes.iter().all(at)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_rises_by_itself_and_stays_and_what_is_above_it_is_refused_by_name() {
    let mut world = World::start(3, 8).await;
    until_level(&world, &[0, 1, 2]).await;
    for node in 0..3 {
        let above = ControlCommand::RaiseLevel { level: Level(LEVEL.0 + 1), proven: Vec::new() };
        let refused = world.handle(node).write(above).await.unwrap_err();
        let WriteError::LevelAhead { needs, active, held_back_by } = &refused else {
            panic!("refused otherwise: {refused}")
        };
        assert_eq!((*needs, *active), (Level(LEVEL.0 + 1), LEVEL));
        for other in 0..3 {
            let words = format!("node {} runs a build that reads up to {LEVEL}", world.handle(other).me());
            assert!(held_back_by.contains(&words), "{refused}");
        }
    }
    let mark = fs::read_to_string(world.data(1).join("formats")).unwrap();
    assert_eq!(mark.trim(), LEVEL.0.to_string());
    world.kill(1).await;
    world.restart(1).await;
    until_level(&world, &[1]).await;
    world.wait_until_whole().await;
}
