//! Calls a deployed workload once, and tells where the call ran.
//!
//! ```sh
//! cargo run -p shardloom-client --example ask -- WORKLOAD KEY [METHOD [BODY]]
//! ```
//!
//! `SHARDLOOM_SERVER` has one or several nodes, separated by commas (`http://127.0.0.1:7080` if it is not set).

use std::env;
use std::process::ExitCode;

use shardloom_client::{Call, Client};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (Some(workload), Some(key)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: ask WORKLOAD KEY [METHOD [BODY]]");
        return ExitCode::from(2);
    };
    let call = Call::new(workload, key)
        .method(arguments.next().unwrap_or_default())
        .body(arguments.next().unwrap_or_default())
        .idempotent();
    let servers = env::var("SHARDLOOM_SERVER").unwrap_or_else(|_| "http://127.0.0.1:7080".to_owned());
    let client = match Client::open(servers.split(',')) {
        Ok(client) => client,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match client.call(&call).await {
        Ok(reply) => {
            println!("{}", String::from_utf8_lossy(&reply.body));
            let place = &reply.place;
            eprintln!(
                "shard {} on node {} under epoch {}; asked {}, attempts: {}",
                place.shard, place.node, place.epoch, reply.asked, reply.attempts
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}; executed: {:?}", error.executed);
            ExitCode::FAILURE
        }
    }
}
