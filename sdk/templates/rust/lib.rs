//! Counts greetings: `shardloom call NAME ada --body Hello` answers how often Ada has been greeted, and how.

use shardloom_guest::{Call, Failure, Reply, State};

shardloom_guest::handler!(handle);

fn handle(call: &Call, state: &mut State) -> Result<Reply, Failure> {
    let greeting = call.text()?;
    if greeting.is_empty() {
        return Err(Failure::invalid("the body must be a greeting"));
    }
    let count: u64 = state.json(call.key())?.unwrap_or(0) + 1;
    state.set_json(call.key(), &count)?;
    Ok(Reply::text(format!("{greeting}, {} (greeted {count} times)\n", call.key())))
}

#[cfg(test)]
mod tests {
    use shardloom_guest::testing::Shard;

    use super::*;

    #[test]
    fn greetings_are_counted_and_an_empty_one_is_refused() {
        let mut shard = Shard::new(handle);
        assert!(shard.call("ada", "", "Hello").is_ok());
        assert!(shard.call("ada", "", "").is_err());
        assert_eq!(shard.call("ada", "", "Hi").unwrap().body, b"Hi, ada (greeted 2 times)\n");
    }
}
