//! Counts words with many callers at once, and checks that each call was carried out once: kill a node meanwhile.
//!
//! ```sh
//! shardloom deploy target/guests/word-count.wasm --name words
//! cargo run -p shardloom-client --example count -- words 10000
//! ```
//!
//! `SHARDLOOM_SERVER` has one or several nodes, separated by commas; with `SHARDLOOM_ADMIN_TOKEN` the client knows the shard map, and calls
//! owners directly.

use std::env;
use std::error::Error;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shardloom_client::{Call, CallError, Client};
use tokio::task::JoinSet;

/// Callers at once.
const CALLERS: u32 = 16;
/// Words of each caller.
const WORDS: u32 = 50;

/// What a caller has seen.
#[derive(Default)]
struct Seen {
    calls: u32,
    direct: u32,
    again: u32,
    slowest: Duration,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let workload = arguments.next().unwrap_or_else(|| "words".to_owned());
    let calls: u32 = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let servers = env::var("SHARDLOOM_SERVER").unwrap_or_else(|_| "http://127.0.0.1:7080".to_owned());
    let mut builder = Client::builder().deadline(Duration::from_secs(30));
    for server in servers.split(',') {
        builder = builder.node(server);
    }
    if let Ok(token) = env::var("SHARDLOOM_ADMIN_TOKEN") {
        builder = builder.token(token);
    }
    let client = builder.build()?;

    let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(count(client.clone(), workload.clone(), format!("{run} {caller}"), calls / CALLERS));
    }
    let mut all = Seen::default();
    while let Some(seen) = callers.join_next().await {
        let seen = seen??;
        all.calls += seen.calls;
        all.direct += seen.direct;
        all.again += seen.again;
        all.slowest = all.slowest.max(seen.slowest);
    }
    println!(
        "{} calls in {:.1} s, {} of them to the owner directly, {} attempts more; the slowest took {} ms",
        all.calls,
        began.elapsed().as_secs_f64(),
        all.direct,
        all.again,
        all.slowest.as_millis()
    );
    Ok(())
}

/// Counts words up in turn, and compares each total with the caller's own.
async fn count(client: Client, workload: String, caller: String, calls: u32) -> Result<Seen, CallError> {
    let mut seen = Seen::default();
    for number in 0..calls {
        let word = format!("{caller} {}", number % WORDS);
        let owner = client.owner(&workload, &word);
        let began = Instant::now();
        let reply = client.call(&Call::new(&workload, &word).idempotent()).await?;
        seen.slowest = seen.slowest.max(began.elapsed());
        let expected = (number / WORDS + 1).to_string();
        assert_eq!(String::from_utf8_lossy(&reply.body), expected, "{word:?} was counted once for each call");
        seen.calls += 1;
        seen.direct += u32::from(owner.as_ref() == Some(&reply.asked));
        seen.again += reply.attempts - 1;
    }
    Ok(seen)
}
