//! Small worlds keep every promise on every schedule.

use shardloom_simulation::model::{search, shapes, walk};
use shardloom_simulation::rules::Without;

/// States of one world in an ordinary test run; `simulate --model` goes further.
const STATES_MAX: usize = 120_000;

/// Random walks through one world, of 200 steps each.
const WALKS: usize = 300;

#[test]
fn small_worlds_keep_every_promise() {
    let (mut states, mut whole) = (0, 0);
    for shape in shapes() {
        let finding = search(&shape, Without(None), STATES_MAX);
        assert_eq!(finding.violation, None, "{}", shape.name);
        states += finding.states;
        whole += usize::from(finding.whole);
    }
    println!("{states} states of {} worlds, {whole} of them whole", shapes().len());
    assert!(whole >= 3, "worlds that are searched to their end");
}

#[test]
fn long_walks_keep_every_promise() {
    let mut states = 0;
    for shape in shapes() {
        let finding = walk(&shape, Without(None), 1, WALKS, 200);
        assert_eq!(finding.violation, None, "{}", shape.name);
        states += finding.states;
    }
    println!("{states} states on {WALKS} walks through each of {} worlds", shapes().len());
}
