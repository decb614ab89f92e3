//! What a node that joins, or comes back, says to the cluster; and how it finds somebody to say it to.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openraft::Vote;
use serde::{Deserialize, Serialize};
use shardloom_protocol::envelope::{self, Kind};
use shardloom_sharding::ids::{Boot, ClusterId, NodeId};
use shardloom_transport::{JoinToken, NodeKey, PeerNet, SignedNode};

use crate::ClusterError;
use crate::control::Member;
use crate::formats::{self, LEVEL, Level};
use crate::identity::Logs;
use crate::peers::Peers;

/// The shortest pause between two rounds of tries.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest pause between two rounds of tries.
const RETRY_MAX: Duration = Duration::from_secs(120);
/// How long one address may take to answer; the leader writes to the control log meanwhile.
const ANSWER_WAIT: Duration = Duration::from_secs(12);

/// A stranger asks to become a member.
#[derive(Debug, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The secret of its token.
    pub secret: Vec<u8>,
    /// What it says of itself.
    pub member: Member,
    /// Its key, to be signed.
    pub signing_request: Vec<u8>,
}

/// A member has started, and says where it is now.
#[derive(Debug, Serialize, Deserialize)]
pub struct AttachRequest {
    /// What it says of itself.
    pub member: Member,
    /// How often it has started.
    pub boot: Boot,
    /// What has become of the logs that it had.
    pub logs: Logs,
}

/// What a newcomer needs to begin.
#[derive(Debug, Serialize, Deserialize)]
pub struct Joined {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its certificate.
    pub certificate_pem: String,
    /// The authority that signed it.
    pub ca_pem: String,
    /// Everybody else.
    pub members: Vec<Member>,
}

/// Why a node is not let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum JoinRefusal {
    /// Trying again later may help: there is no leader now.
    #[error("{0}")]
    NotNow(String),
    /// It will not: the token is used up, say.
    #[error("{0}")]
    Never(String),
    /// Another process lives under the same id.
    #[error("a node with this id is alive at another address")]
    Duplicate,
    /// The node was removed.
    #[error("the node was removed from the cluster")]
    Removed,
}

/// Asks the members at `addresses` (host:port; every record of a name) until one lets this node in.
///
/// # Errors
///
/// A member has refused for good.
///
/// # Cancel safety
///
/// Dropped before the end, the cluster may have taken the node in; the same node then needs a new token.
pub async fn join(
    net: &PeerNet,
    key: &NodeKey,
    token: &JoinToken,
    addresses: &[String],
    member: &Member,
) -> Result<(SignedNode, Joined), ClusterError> {
    let request = JoinRequest {
        secret: token.secret().to_vec(),
        member: member.clone(),
        signing_request: key.request()?.der,
    };
    let body = encode(Kind::Join, &request)?;
    let mut pause = RETRY_MIN;
    loop {
        for address in resolve_all(addresses).await {
            let deadline = Instant::now() + ANSWER_WAIT;
            let answer = match net.join(address, token, body.clone(), deadline).await {
                Ok((_, answer)) => answer,
                Err(error) => {
                    tracing::warn!(%address, %error, "cannot ask this member to let us in");
                    continue;
                }
            };
            match envelope::decode::<Result<Joined, JoinRefusal>>(Kind::JoinReply, &answer) {
                Ok(Ok(joined)) => {
                    let signed = SignedNode {
                        certificate_pem: joined.certificate_pem.clone(),
                        ca_pem: joined.ca_pem.clone(),
                    };
                    return Ok((signed, joined));
                }
                Ok(Err(JoinRefusal::NotNow(reason))) => {
                    tracing::warn!(%address, reason, "not now");
                }
                Ok(Err(refusal)) => {
                    return Err(ClusterError::JoinRefused { reason: refusal.to_string() });
                }
                Err(error) => tracing::warn!(%address, %error, "no answer that this build can read"),
            }
        }
        tracing::info!(pause_s = pause.as_secs(), "trying to join again after a pause");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// Every address of every name, in the order given.
async fn resolve_all(addresses: &[String]) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for address in addresses {
        match tokio::net::lookup_host(address).await {
            Ok(records) => found.extend(records),
            Err(error) => tracing::warn!(address, %error, "cannot look this address up"),
        }
    }
    found.dedup();
    found
}

/// How long a node that comes back looks for the cluster before it starts on its own: long enough for a live leader to answer.
const ATTACH_WAIT: Duration = Duration::from_millis(1_500);
/// How long an earlier process under this id may still count as alive: its lease, and a little.
const DUPLICATE_WAIT: Duration = Duration::from_secs(4);
/// Between two tries.
const ATTACH_POLL: Duration = Duration::from_millis(200);

/// Tells the cluster that this member has started and where it is now. Nobody there, or no leader: the node starts all the same, since it may
/// be needed to elect one.
///
/// # Errors
///
/// Another process lives under the same id, or the node was removed.
pub async fn attach(peers: &Peers, member: &Member, boot: Boot) -> Result<(), ClusterError> {
    let node = member.node;
    let body = encode(Kind::Attach, &AttachRequest { member: member.clone(), boot, logs: Logs::Kept })?;
    let start = Instant::now();
    let mut duplicate = false;
    loop {
        let verdict = ask_all(peers, &body).await;
        match verdict {
            Some(Ok(_)) => return Ok(()),
            Some(Err(JoinRefusal::Removed)) => return Err(ClusterError::Removed { node }),
            Some(Err(JoinRefusal::Duplicate)) => duplicate = true,
            Some(Err(JoinRefusal::Never(reason))) => return Err(ClusterError::JoinRefused { reason }),
            Some(Err(JoinRefusal::NotNow(_))) | None if !duplicate => {
                if start.elapsed() >= ATTACH_WAIT {
                    tracing::info!("no leader answers: starting all the same");
                    return Ok(());
                }
            }
            Some(Err(JoinRefusal::NotNow(_))) | None => {}
        }
        if start.elapsed() >= DUPLICATE_WAIT {
            return Err(ClusterError::DuplicateNode { node });
        }
        tokio::time::sleep(ATTACH_POLL).await;
    }
}

/// The longest pause between two tries of a node that cannot start without the cluster.
const ANEW_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long nothing but refusals for good must come before one is believed: a member that is behind may know the node as the only voter that it was
/// long ago.
const HOPELESS_WAIT: Duration = Duration::from_secs(10);

/// Asks the cluster to take this member anew, since its logs are gone: it has forgotten for whom it has voted and what it has acknowledged, so it
/// must not take part before the control group has let it go. Waits for as long as it takes. Returns the vote of the leader, which the node is to follow;
/// a leader of level 1 does not say it.
///
/// # Errors
///
/// The cluster cannot make up for the logs, or another process lives under the same id, or the node was removed.
///
/// # Cancel safety
///
/// Dropped before the end, the node is to ask again at its next start.
pub async fn attach_anew(
    peers: &Peers,
    member: &Member,
    boot: Boot,
) -> Result<Option<Vote<NodeId>>, ClusterError> {
    let node = member.node;
    if peers.known().is_empty() {
        return Err(ClusterError::LogsLost { why: "it knows of no other member".into() });
    }
    let body = encode(Kind::Attach, &AttachRequest { member: member.clone(), boot, logs: Logs::Lost })?;
    let start = Instant::now();
    let (mut pause, mut hopeless) = (ATTACH_POLL, None);
    loop {
        let verdict = ask_all(peers, &body).await;
        if !matches!(verdict, Some(Err(JoinRefusal::Never(_)))) {
            hopeless = None;
        }
        match verdict {
            Some(Ok(vote)) => return Ok(vote),
            Some(Err(JoinRefusal::Removed)) => return Err(ClusterError::Removed { node }),
            Some(Err(JoinRefusal::Never(why)))
                if hopeless.get_or_insert_with(Instant::now).elapsed() >= HOPELESS_WAIT =>
            {
                return Err(ClusterError::LogsLost { why });
            }
            Some(Err(JoinRefusal::Duplicate)) if start.elapsed() >= DUPLICATE_WAIT => {
                return Err(ClusterError::DuplicateNode { node });
            }
            Some(Err(refusal)) => tracing::info!(%refusal, "not taken anew yet"),
            None => tracing::info!("no member answers yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ANEW_PAUSE_MAX);
    }
}

/// What a leader answers: its vote, if the node was taken anew and both builds know of that.
type AttachAnswer = Result<Option<Vote<NodeId>>, JoinRefusal>;

/// Whether the build of a node that is taken anew reads the vote of the leader in the answer, and this one writes it.
pub(crate) fn reads_vote(member: &Member) -> bool {
    LEVEL.min(formats::of_labels(&member.labels)) > Level(1)
}

fn read_answer(answer: &[u8]) -> Option<AttachAnswer> {
    let with_vote = envelope::decode::<Result<Vote<NodeId>, JoinRefusal>>(Kind::AttachReply, answer);
    let without = || envelope::decode::<Result<(), JoinRefusal>>(Kind::AttachReply, answer);
    match with_vote {
        Ok(answer) => Some(answer.map(Some)),
        Err(_) => without().ok().map(|answer| answer.map(|()| None)),
    }
}

/// The first answer that settles it, else a refusal for good, else the last that is for now.
async fn ask_all(peers: &Peers, body: &Bytes) -> Option<AttachAnswer> {
    let asked = peers.known().into_iter().map(|node| {
        let body = body.clone();
        async move { read_answer(&peers.request_control(node, body, ATTACH_WAIT).await.ok()?) }
    });
    let mut asked: futures::stream::FuturesUnordered<_> = asked.collect();
    let mut last = None;
    while let Some(answer) = futures::StreamExt::next(&mut asked).await {
        match answer {
            // Whoever does not lead may not know better: somebody may say yes all the same.
            Some(Err(refusal @ JoinRefusal::Never(_))) => last = Some(Err(refusal)),
            Some(Err(JoinRefusal::NotNow(_))) if matches!(last, Some(Err(JoinRefusal::Never(_)))) => {}
            Some(Err(refusal @ JoinRefusal::NotNow(_))) => last = Some(Err(refusal)),
            Some(settled) => return Some(settled),
            None => {}
        }
    }
    last
}

fn encode<T: Serialize>(kind: Kind, body: &T) -> Result<Bytes, ClusterError> {
    envelope::encode(kind, body).map_err(|error| ClusterError::JoinRefused { reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaders_vote_is_read_where_it_is_and_done_without_where_it_is_not() {
        let vote = Vote::new_committed(3, NodeId(7));
        let answer = |bytes: Bytes| read_answer(&bytes);
        let told = envelope::encode(Kind::AttachReply, &Ok::<_, JoinRefusal>(vote)).unwrap();
        assert_eq!(answer(told), Some(Ok(Some(vote))));
        let older = envelope::encode(Kind::AttachReply, &Ok::<(), JoinRefusal>(())).unwrap();
        assert_eq!(answer(older), Some(Ok(None)));
        let refused = envelope::encode(Kind::AttachReply, &Err::<(), _>(JoinRefusal::Removed)).unwrap();
        assert_eq!(answer(refused), Some(Err(JoinRefusal::Removed)));
        assert_eq!(answer(Bytes::from_static(b"SL")), None);
    }
}
