//! Which builds the members run, and which levels of formats these read: asked for, since what somebody else says of a node proves nothing.
//!
//! Builds of level 1 do not know the question: they answer nothing, and log that they could not read it. So each boot of such a node is asked once,
//! once more when its boot becomes known, and then seldom.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use shardloom_protocol::envelope::{self, EnvelopeError, Kind};
use shardloom_sharding::ids::{Boot, NodeId};
use tokio::time::Instant;

use crate::boots::Boots;
use crate::formats::{LEVEL, LEVEL_MIN, Level};
use crate::gossip::Listener;
use crate::peers::Peers;
use crate::raft::Applied;

/// How long a member may take to answer: it has to look nothing up.
const ANSWER_WAIT: Duration = Duration::from_millis(500);
/// How long a boot of a node that did not know the question is not asked again.
const ASK_AGAIN: Duration = Duration::from_secs(5 * 60);

/// What a node says of its build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The oldest level of formats that it reads.
    pub lowest: Level,
    /// The newest.
    pub highest: Level,
    /// Its version, for people.
    pub version: String,
}

impl Build {
    /// This one.
    pub fn this() -> Build {
        Build { lowest: LEVEL_MIN, highest: LEVEL, version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// What is known of the build of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberBuild {
    /// What it says.
    Told(Build),
    /// It does not know the question: it is of level 1.
    First,
    /// It does not answer.
    Silent,
}

impl MemberBuild {
    /// Whether it has proven that it reads this level.
    pub fn reads(&self, level: Level) -> bool {
        match self {
            MemberBuild::Told(build) => (build.lowest..=build.highest).contains(&level),
            MemberBuild::First => level == Level(1),
            MemberBuild::Silent => false,
        }
    }
}

/// Which builds hold a level back, for people.
pub fn held_back_by(builds: &BTreeMap<NodeId, MemberBuild>, level: Level) -> Vec<String> {
    let holding = builds.iter().filter(|(_, build)| !build.reads(level)).map(|(node, build)| match build {
        MemberBuild::Told(build) => {
            format!("node {node} runs a build that reads up to {} ({})", build.highest, build.version)
        }
        MemberBuild::First => format!("node {node} runs a build of level 1"),
        MemberBuild::Silent => format!("node {node} does not answer"),
    });
    holding.collect()
}

/// Asks members for their builds.
pub struct Builds {
    peers: Arc<Peers>,
    applied: Arc<Applied>,
    /// Tells the leader that a node has started again.
    boots: Arc<Boots>,
    /// Tells everybody, as a hint, once there is gossip.
    gossip: OnceLock<Listener>,
    /// Nodes that did not know the question: their boot, as far as it was known, and when they were asked.
    first: Mutex<BTreeMap<NodeId, (Option<Boot>, Instant)>>,
}

impl Builds {
    /// Asks the members in `applied` over `peers`; `boots` knows who renews leases here.
    pub fn new(peers: Arc<Peers>, applied: Arc<Applied>, boots: Arc<Boots>) -> Builds {
        Builds { peers, applied, boots, gossip: OnceLock::new(), first: Mutex::default() }
    }

    /// From now on gossip tells who has started again. Only the first call counts.
    pub fn listen(&self, gossip: Listener) {
        let _ = self.gossip.set(gossip);
    }

    /// Asks all members, those that are down included.
    pub async fn of_all(&self) -> BTreeMap<NodeId, MemberBuild> {
        let members: Vec<NodeId> = {
            let applied = self.applied.read();
            applied.control.iter().flat_map(|state| state.members.keys().copied()).collect()
        };
        self.of(members).await
    }

    /// Asks these members.
    pub async fn of(&self, members: Vec<NodeId>) -> BTreeMap<NodeId, MemberBuild> {
        let heard = self.gossip.get().map(Listener::boots).unwrap_or_default();
        let asked = members.into_iter().map(|node| {
            let boot = self.boots.alive(node).or(heard.get(&node).copied());
            async move { (node, self.ask(node, boot).await) }
        });
        join_all(asked).await.into_iter().collect()
    }

    async fn ask(&self, node: NodeId, boot: Option<Boot>) -> MemberBuild {
        if node == self.peers.me() {
            return MemberBuild::Told(Build::this());
        }
        if self.is_first(node, boot) {
            return MemberBuild::First;
        }
        let Ok(body) = envelope::encode(Kind::Build, &()) else { return MemberBuild::Silent };
        match self.peers.request_control(node, body, ANSWER_WAIT).await {
            Ok(answer) if answer.is_empty() => {
                self.first().insert(node, (boot, Instant::now()));
                MemberBuild::First
            }
            Ok(answer) => match envelope::decode(Kind::BuildReply, &answer) {
                Ok(build) => MemberBuild::Told(build),
                Err(error) => {
                    tracing::debug!(%node, %error, "a node tells of its build what cannot be read");
                    MemberBuild::Silent
                }
            },
            Err(error) => {
                tracing::debug!(%node, %error, "a node was not asked for its build");
                MemberBuild::Silent
            }
        }
    }

    /// Whether a node did not know the question, in the boot in which it still is as far as is known.
    fn is_first(&self, node: NodeId, boot: Option<Boot>) -> bool {
        let mut first = self.first();
        let same = first.get(&node).is_some_and(|(of, at)| {
            // A boot of which nothing is heard for a while is no other one.
            (boot.is_none() || *of == boot) && at.elapsed() < ASK_AGAIN
        });
        if !same {
            first.remove(&node);
        }
        same
    }

    fn first(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, (Option<Boot>, Instant)>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers a member that asks for this node's build.
///
/// # Errors
///
/// The bytes are no such question.
pub fn answer(body: &Bytes) -> Result<Bytes, EnvelopeError> {
    let () = envelope::decode(Kind::Build, body)?;
    envelope::encode(Kind::BuildReply, &Build::this())
}

impl std::fmt::Debug for Builds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builds").field("first", &self.first).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_and_the_answer_are_pinned() {
        let question = envelope::encode(Kind::Build, &()).unwrap();
        assert_eq!(&question[..], b"SL\x01\x0f");
        let build = Build { lowest: Level(1), highest: Level(2), version: "0.1.0".into() };
        let answer = envelope::encode(Kind::BuildReply, &build).unwrap();
        assert_eq!(&answer[..], b"SL\x01\x10\x01\x02\x050.1.0");
        assert_eq!(envelope::decode(Kind::BuildReply, &super::answer(&question).unwrap()), Ok(Build::this()));
    }

    #[test]
    fn who_holds_a_level_back_is_named_with_what_it_runs() {
        let told = |highest| Build { lowest: Level(1), highest: Level(highest), version: "0.1.0".into() };
        let builds = BTreeMap::from([
            (NodeId(1), MemberBuild::Told(told(2))),
            (NodeId(2), MemberBuild::First),
            (NodeId(3), MemberBuild::Silent),
            (NodeId(4), MemberBuild::Told(told(3))),
        ]);
        assert_eq!(
            held_back_by(&builds, Level(2)),
            ["node 0000000000000002 runs a build of level 1", "node 0000000000000003 does not answer"]
        );
        assert_eq!(
            held_back_by(&builds, Level(3))[0],
            "node 0000000000000001 runs a build that reads up to level 2 (0.1.0)"
        );
        assert_eq!(held_back_by(&builds, Level(1)), ["node 0000000000000003 does not answer"]);
    }
}
