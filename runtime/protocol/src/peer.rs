//! What the servers of two nodes ask each other.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shardloom_sharding::ids::{DiskId, NodeId, ShardId, Tail};
use shardloom_sharding::protocol::leader::{MoveSetback, Order, Ordered, PlanAsk, PlanRefusal, Preview};
use shardloom_sharding::protocol::node::Laggard;

use crate::call::{Call, CallReply};
use crate::digest::Digest;
use crate::envelope::{self, EnvelopeError, Kind};
use crate::workload::WorkloadLimits;

/// What one server asks of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerRequest {
    /// Run this call, if the shard is yours.
    Call(Call),
    /// Send me this component, if you have it.
    Component(Digest),
    /// Have this component, compile it, make an instance of it, and say so.
    TryOut(Trial),
    /// Say when you have applied the control log up to here.
    AwaitApplied {
        /// The control-log index.
        index: u64,
        /// How long to wait for it, in milliseconds.
        wait_ms: u32,
    },
    /// Tell the load of the shards that you own.
    Loads,
    /// You lead: run the weigher now.
    Weigh,
    /// Tell which shards you serve.
    Serving,
    /// Send me the next part of a shard's state as it stands now, if the shard is yours.
    ReadShard(ReadShard),
    /// Write this into a shard's state, if the shard is yours.
    RestoreShard(RestoreShard),
    /// Tell where your logs of these shards end.
    LogEnds(Vec<ShardId>),
    /// Ask this shard function for these keys.
    SampleShards {
        /// The shard function; it has been tried out.
        function: Digest,
        /// The keys.
        keys: Vec<String>,
        /// How many shards there are.
        shard_count: u32,
    },
    /// Tell how much the workload of this name keeps on each of the shards that you serve.
    StateSizes(String),
    /// Tell which shard functions have failed here of late.
    FunctionAlarms,
    /// Remove what the workload of this name, which is deployed no more, keeps on the shards that you serve.
    EraseState(String),
    /// You lead: tell what you would plan.
    Plan(PlanAsk),
    /// You lead: carry out a plan.
    Order(Order),
    /// Tell how the versions of this workload fare on the shards that you serve.
    VersionCounts(String),
    /// Tell what does not heal by itself, as far as you see it.
    Healing,
}

/// The answer to the request of the same name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PeerReply {
    /// How the call ended here.
    Call(CallReply),
    /// The component's bytes, or nothing if it is not here.
    Component(Option<Bytes>),
    /// Ready, or why not.
    TriedOut(Result<(), String>),
    /// What is applied now.
    Applied(u64),
    /// The loads of the shards that the node owns.
    Loads(Vec<ShardLoad>),
    /// The weights in outline, or why there are none.
    Weighed(Result<WeightsOutline, String>),
    /// The node does not lead; who does, as far as it knows.
    NotLeader(Option<NodeId>),
    /// The request could not be read or served; for people.
    Refused(String),
    /// The shards that the node serves, with a live lease.
    Serving(Vec<ShardId>),
    /// A part of a shard's state.
    ReadShard(Result<ShardPart, TransferRefusal>),
    /// How far the restore of the shard is.
    RestoreShard(Result<RestoreStage, TransferRefusal>),
    /// Where the logs end.
    LogEnds(Result<LogEnds, TransferRefusal>),
    /// The shard of each key, none where the function failed; or why it could not be asked.
    SampledShards(Result<Vec<Option<u32>>, String>),
    /// Bytes of keys and values, for each shard that the node serves.
    StateSizes(Vec<(ShardId, u64)>),
    /// The shard functions that have failed.
    FunctionAlarms(Vec<FunctionAlarm>),
    /// How many rows were removed, or why not all.
    ErasedState(Result<u64, String>),
    /// The plan, or why there is none.
    Plan(Result<Box<Preview>, PlanRefusal>),
    /// What is carried out, or why nothing is.
    Order(Result<Ordered, PlanRefusal>),
    /// What was counted, for each version that has had calls.
    VersionCounts(Vec<VersionCount>),
    /// What does not heal by itself.
    Healing(HealingReport),
}

/// What one node sees that does not heal by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealingReport {
    /// As the leader: moves that were given up again and again.
    pub setbacks: Vec<MoveSetback>,
    /// As an owner: nodes whose replicas stay behind.
    pub laggards: Vec<Laggard>,
}

/// How a version of a workload has fared on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionCount {
    /// The version.
    pub version: u64,
    /// Counted from this activation of the workload on.
    pub activation: u64,
    /// Calls that it has answered, or failed at.
    pub calls: u64,
    /// Those that it failed at.
    pub errors: u64,
    /// How long they took: a count for each bucket.
    pub latencies: Vec<u64>,
}

/// A shard function that gave no shard for some keys, as one node has seen it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionAlarm {
    /// The workload that it belongs to.
    pub workload: String,
    /// How many calls have failed by it.
    pub calls: u64,
    /// The last key that it failed for, cut where it is long.
    pub key: String,
    /// How it failed.
    pub reason: String,
    /// How long ago that was, in seconds.
    pub seconds_ago: u32,
}

/// Where the shard logs on one disk end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEnds {
    /// The disk.
    pub disk: DiskId,
    /// The last entry of each log that was asked for.
    pub tails: Vec<(ShardId, Tail)>,
}

/// Asks for a part of a shard's state. The owner keeps what is left between two parts; a part that is lost cannot be had again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadShard {
    /// The shard.
    pub shard: ShardId,
    /// Names the reading; random.
    pub transfer: u64,
    /// Counts the parts, from 0.
    pub part: u32,
}

/// A part of a shard's state, as [`shard_file`](crate::shard_file) writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardPart {
    /// The next bytes.
    pub bytes: Bytes,
    /// Whether nothing comes after them.
    pub last: bool,
}

/// A step of the restore of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreShard {
    /// The shard.
    pub shard: ShardId,
    /// The backup that it is restored from: the sha256 of its manifest.
    pub backup: Digest,
    /// The step.
    pub step: RestoreStep,
}

/// What is to be done to a shard that is restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestoreStep {
    /// Begin, or go on.
    Begin,
    /// Write these rows.
    Rows(Bytes),
    /// All rows are written.
    End,
}

/// How far the restore of a shard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestoreStage {
    /// Rows may be written.
    Begun,
    /// It has ended.
    Ended,
}

/// Why a part of a shard's state was not sent or written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferRefusal {
    /// The node does not serve the shard now, or did not until the end.
    NotServed,
    /// Too much of the kind is under way on the node.
    Busy,
    /// The request does not fit what is there; for people.
    Refused(String),
    /// The node failed; for people.
    Failed(String),
}

/// A component that is to be deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The component.
    pub component: Digest,
    /// What it must be.
    pub role: ComponentRole,
    /// The workload that it is for; empty for a weigher.
    pub workload: String,
    /// What an instance would read.
    pub config: BTreeMap<String, String>,
    /// What an instance would be held to.
    pub limits: WorkloadLimits,
}

/// What a component is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ComponentRole {
    /// It handles calls.
    Handler,
    /// It picks shards.
    ShardFunction,
    /// It weighs shards.
    Weigher,
}

/// How busy a shard is, over all workloads, smoothed over some seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ShardLoad {
    /// The shard.
    pub shard: ShardId,
    /// Calls per second.
    pub calls_per_second: f64,
    /// Milliseconds per second in which a guest of the shard ran.
    pub busy_ms_per_second: f64,
    /// Calls that wait now.
    pub queue_depth: u32,
    /// Bytes of keys and values that all workloads keep on the shard.
    pub state_bytes: u64,
}

/// Weights, in outline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsOutline {
    /// The lightest shard's weight.
    pub min: u32,
    /// The heaviest shard's weight.
    pub max: u32,
    /// All weights together.
    pub sum: u64,
}

impl PeerRequest {
    /// The message's bytes.
    ///
    /// # Errors
    /// Never for a request of this type: the encoding has no bounds of its own.
    pub fn encode(&self) -> Result<Bytes, EnvelopeError> {
        envelope::encode(Kind::Server, self)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// For bytes that are no request, or one of a newer format.
    pub fn decode(bytes: &[u8]) -> Result<PeerRequest, EnvelopeError> {
        envelope::decode(Kind::Server, bytes)
    }
}

impl PeerReply {
    /// The message's bytes.
    ///
    /// # Errors
    /// Never for a reply of this type: the encoding has no bounds of its own.
    pub fn encode(&self) -> Result<Bytes, EnvelopeError> {
        envelope::encode(Kind::ServerReply, self)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// For bytes that are no reply, or one of a newer format.
    pub fn decode(bytes: &[u8]) -> Result<PeerReply, EnvelopeError> {
        envelope::decode(Kind::ServerReply, bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use shardloom_sharding::ids::Epoch;

    use super::*;
    use crate::call::{Executed, GuestRequest};

    fn call() -> PeerRequest {
        PeerRequest::Call(Call {
            id: 1 << 100,
            workload: "w".into(),
            activation: 2,
            shard: ShardId(3),
            epoch: Epoch(4),
            hops: 1,
            time_left_ms: 1000,
            request: Arc::new(GuestRequest {
                key: "k".into(),
                method: "m".into(),
                headers: vec![("a".into(), "b".into())],
                body: Bytes::from_static(b"\x00\xff"),
                http: None,
            }),
        })
    }

    #[test]
    fn messages_come_back_as_they_were() {
        assert_eq!(PeerRequest::decode(&call().encode().unwrap()), Ok(call()));
        let reply = PeerReply::Call(CallReply::Failed {
            code: "overloaded".into(),
            detail: "x".into(),
            executed: Executed::No,
            epoch: Epoch(9),
        });
        assert_eq!(PeerReply::decode(&reply.encode().unwrap()), Ok(reply));
    }

    #[test]
    fn the_bytes_of_a_call_are_these() {
        let golden = "534c01220080808080808080808080808080804004017702030401e807016b016d01016101620200ff00";
        let bytes: String = call().encode().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(bytes, golden.replace("804004017702", "8004017702"));
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_a_message_but_never_a_panic(bytes: Vec<u8>) {
            let _ = PeerRequest::decode(&bytes);
            for kind in [Kind::Server, Kind::ServerReply] {
                let mut framed = vec![b'S', b'L', envelope::VERSION, kind as u8];
                framed.extend(&bytes);
                let _ = PeerRequest::decode(&framed);
                let _ = PeerReply::decode(&framed);
            }
        }
    }
}
