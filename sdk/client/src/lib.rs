//! Calls of workloads on a Shardloom cluster, to the shard's owner directly where that is known.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use shardloom_client::{Call, Client};
//!
//! let client = Client::open(["http://127.0.0.1:7080", "http://127.0.0.1:7090"])?;
//! let reply = client.call(&Call::new("words", "shardloom").body("3").idempotent()).await?;
//! println!("{} from node {}", String::from_utf8_lossy(&reply.body), reply.place.node);
//! # Ok(())
//! # }
//! ```
//!
//! # When a call is sent again
//!
//! All attempts share one deadline, and there are at most so many of them. Between rounds over the nodes the client pauses, longer each time,
//! with jitter, and never shorter than a node asks for by `retry-after`.
//!
//! | the attempt | without idempotency key | with one |
//! |---|---|---|
//! | no connection could be made | the next node | the next node |
//! | a node refused: `executed: no`, `retryable: true` | the next node; after a pause where it is the shard that is overloaded | as without |
//! | a node says `executed: unknown`, or nothing | **not again**: an error, `executed` is [`Executed::Unknown`] | the next node |
//! | a node says `rolled-back`, or that it cannot succeed | not again | not again |
//!
//! A call under an idempotency key waits for one node no longer than [`Builder::attempt_time`], nor than half of the time left, since that node may
//! hang. What was in doubt once stays in doubt: such an error is `Unknown` even if the last attempt met a refusal.
//!
//! The crate knows the HTTP API and, of the cluster's own code, how keys are hashed. In reading order: [`Call`] and [`Reply`]; [`Client`], the loop
//! over attempts, made by [`Builder`]; `retry` decides what comes after an attempt, `candidates` who is asked, `owners` and `placement` what is
//! known of the shard map, all four without a clock or a socket; `attempt` is one request, `pool` the connections, `directory`
//! the map's lists, `known` what calls share; [`CallError`] is what they may end with.

mod address;
mod attempt;
mod builder;
mod call;
mod candidates;
mod client;
mod directory;
mod error;
mod known;
mod owners;
mod placement;
mod pool;
mod retry;

pub use address::{Address, AddressError};
pub use builder::{BuildError, Builder};
pub use call::{Call, Place, Reply};
pub use client::Client;
pub use directory::MapError;
pub use error::{CallError, Executed, Failure, Problem, Reason};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
