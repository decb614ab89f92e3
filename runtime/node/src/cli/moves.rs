//! The moves under way, as `shardloom status` shows them.

use indicatif::HumanBytes;

use super::replies::{MoveReply, MovesReply};
use super::table::{Align, Table};

/// How many moves there are; nothing where there are none.
pub(super) fn line(moves: &MovesReply) -> String {
    match (moves.in_flight, moves.waiting) {
        (0, 0) => String::new(),
        (in_flight, waiting) => format!("moves      {in_flight} under way, {waiting} waiting\n"),
    }
}

/// The moves one by one; nothing where there are none.
pub(super) fn table(moves: &MovesReply) -> String {
    if moves.list.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("MOVE OF SHARD", Align::Right),
        ("FROM", Align::Left),
        ("TO", Align::Left),
        ("GAINS", Align::Left),
        ("LOSES", Align::Left),
        ("STATE", Align::Left),
        ("SENT", Align::Right),
        ("LEFT", Align::Right),
        ("WHY", Align::Left),
    ]);
    for MoveReply { shard, from, to, gains, loses, state, sent_bytes, whole_bytes, seconds_left, why } in
        &moves.list
    {
        table.row([
            shard.to_string(),
            from.clone(),
            to.clone(),
            gains.join(","),
            loses.join(","),
            state.clone(),
            sent(*sent_bytes, *whole_bytes),
            seconds_left.map(|seconds| format!("{seconds:.0} s")).unwrap_or_default(),
            why.clone(),
        ]);
    }
    format!("\n{table}")
}

fn sent(sent_bytes: u64, whole_bytes: u64) -> String {
    match whole_bytes {
        0 => String::new(),
        _ => format!("{} of {}", HumanBytes(sent_bytes), HumanBytes(whole_bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_shows_how_far_it_is_and_how_long_it_will_take() {
        let one = MoveReply {
            shard: 7,
            from: "aa".into(),
            to: "bb".into(),
            gains: vec!["bb".into()],
            state: "learning".into(),
            sent_bytes: 64 << 20,
            whole_bytes: 256 << 20,
            seconds_left: Some(5.6),
            ..MoveReply::default()
        };
        let moves = MovesReply { in_flight: 1, waiting: 3, list: vec![one] };
        assert_eq!(line(&moves), "moves      1 under way, 3 waiting\n");
        let table = table(&moves);
        assert!(table.contains("64.00 MiB of 256.00 MiB") && table.contains("6 s"), "{table}");
        assert_eq!(line(&MovesReply::default()), "");
    }
}
