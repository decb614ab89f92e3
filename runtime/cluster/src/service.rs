//! What this node answers to its peers: each message goes to whom it is for.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use shardloom_protocol::envelope::{self, Kind};
use shardloom_sharding::ids::NodeId;
use shardloom_sharding::protocol::messages::{PeerMessage, ToLeader};
use shardloom_transport::{Class, Handler, Incoming as PeerIncoming};
use tokio::sync::mpsc;

use crate::admission::Admission;
use crate::builds;
use crate::formats::{LEVEL, Level, Outdated};
use crate::franchise::Franchise;
use crate::identity::Logs;
use crate::join::{self, AttachRequest, JoinRefusal, Joined};
use crate::peers::Peers;
use crate::raft::{self, Raft};
use crate::shell::Incoming;
use crate::state::Arrivals;
use crate::step_down::StepDown;
use crate::writer::Writer;

/// Answers what one node's server asks another's.
pub trait PeerServer: Send + Sync + 'static {
    /// Answers a request; dropped when its deadline passes.
    fn answer(&self, from: NodeId, body: Bytes) -> BoxFuture<'static, Bytes>;
}

/// Everything that answers, once the node is a member.
pub struct Services {
    /// This node.
    pub me: NodeId,
    /// The control group.
    pub raft: Raft,
    /// Told what only a newer build can read.
    pub outdated: Arc<Outdated>,
    /// The members.
    pub peers: Arc<Peers>,
    /// Writes to the control log.
    pub writer: Writer,
    /// Lets nodes in.
    pub admission: Admission,
    /// Whether this node has a say in elections.
    pub franchise: Arc<Franchise>,
    /// Hands the lead over.
    pub step_down: StepDown,
    /// Takes in states of shards.
    pub(crate) arrivals: Arrivals,
    /// The protocol's shell.
    pub shell: mpsc::Sender<Incoming>,
    /// Which boot renews its lease under an id.
    pub boots: Arc<crate::boots::Boots>,
    /// The server of this node, once it runs.
    pub server: Arc<OnceLock<Arc<dyn PeerServer>>>,
}

/// The handler of the peer port.
#[derive(Clone)]
pub struct Dispatcher {
    services: Arc<Services>,
}

impl Dispatcher {
    /// Lets `services` answer.
    pub fn new(services: Services) -> Dispatcher {
        Dispatcher { services: Arc::new(services) }
    }
}

impl Handler for Dispatcher {
    fn handle(&self, incoming: PeerIncoming) -> BoxFuture<'static, Bytes> {
        // Calls come this way: they do not carry the room for everything else that is asked.
        if let (Ok(Kind::Server), Some(from), Some(server)) =
            (envelope::kind(&incoming.body), incoming.from, self.services.server.get())
        {
            return server.answer(from, incoming.body);
        }
        let services = self.services.clone();
        Box::pin(async move { services.answer(incoming).await })
    }

    fn deliver(&self, incoming: PeerIncoming) -> BoxFuture<'static, ()> {
        let services = self.services.clone();
        Box::pin(async move {
            if let Some(from) = incoming.from {
                services.take(from, &incoming.body).await;
            }
        })
    }
}

impl Services {
    async fn answer(&self, incoming: PeerIncoming) -> Bytes {
        let PeerIncoming { from, class, body, .. } = incoming;
        let kind = match envelope::kind(&body) {
            Ok(kind) => kind,
            Err(error) => {
                tracing::warn!(?from, %error, "a peer sent what this node cannot read");
                return Bytes::new();
            }
        };
        let answered = match (kind, from) {
            (Kind::Join, _) => self.join(from, body).await,
            (_, None) => Ok(Bytes::new()),
            (Kind::Raft, Some(_)) if class != Class::Join => {
                raft::answer(&self.raft, &self.franchise, &self.outdated, &body).await
            }
            (Kind::Write, Some(_)) => self.writer.answer(&body).await,
            (Kind::Attach, Some(from)) => self.attach(from, &body).await,
            // A build of level 1 does not know the question.
            (Kind::Build, Some(_)) if LEVEL > Level(1) => builds::answer(&body),
            (Kind::StepDown, Some(_)) => self.step_down.answer(&body).await,
            (Kind::Snapshot, Some(from)) if class == Class::Bulk => self.arrivals.answer(from, &body).await,
            // It has only just started; else the dispatcher has passed it on.
            (Kind::Server, Some(_)) => Ok(Bytes::new()),
            (kind, Some(from)) => {
                tracing::warn!(%from, ?kind, "a peer asks what is not asked");
                Ok(Bytes::new())
            }
        };
        answered.unwrap_or_else(|error| {
            tracing::warn!(?from, ?kind, %error, "a peer sent what this node cannot read");
            Bytes::new()
        })
    }

    async fn take(&self, from: NodeId, body: &Bytes) {
        let incoming = match envelope::kind(body) {
            Ok(Kind::Shard) => envelope::decode(Kind::Shard, body).map(|m| Incoming::Protocol(from, m)),
            Ok(Kind::News) => envelope::decode(Kind::News, body).map(|news| Incoming::News(from, news)),
            Ok(kind) => Err(envelope::EnvelopeError::OtherKind { found: kind as u8, expected: None }),
            Err(error) => Err(error),
        };
        match incoming {
            Ok(incoming) => {
                if let Incoming::Protocol(_, PeerMessage::ToLeader(ToLeader::Renew { boot, .. })) = &incoming
                {
                    self.boots.heard(from, *boot);
                }
                // The shell is gone only when the node is ending.
                let _ = self.shell.send(incoming).await;
            }
            Err(error) => tracing::warn!(%from, %error, "a peer sent what this node cannot read"),
        }
    }

    /// Lets a stranger in, or passes it on to the leader; a member passes strangers on, the leader never does.
    async fn join(&self, from: Option<NodeId>, body: Bytes) -> Result<Bytes, envelope::EnvelopeError> {
        let verdict: Result<Joined, JoinRefusal> = match self.writer.leader() {
            Some(leader) if leader == self.me => {
                self.admission.join(envelope::decode(Kind::Join, &body)?).await
            }
            Some(leader) if from.is_none() => {
                match self.peers.request_control(leader, body, crate::writer::WRITE_WAIT).await {
                    Ok(answer) if !answer.is_empty() => return Ok(answer),
                    _ => Err(JoinRefusal::NotNow("the leader does not answer".into())),
                }
            }
            _ => Err(JoinRefusal::NotNow("the cluster has no leader now".into())),
        };
        envelope::encode(Kind::JoinReply, &verdict)
    }

    /// Why a node that has lost its logs need not wait for a leader, if that is so.
    fn lost_for_good(
        &self,
        from: NodeId,
        body: &Bytes,
    ) -> Result<Option<JoinRefusal>, envelope::EnvelopeError> {
        let request: AttachRequest = envelope::decode(Kind::Attach, body)?;
        Ok(if request.logs == Logs::Lost { self.admission.hopeless(from) } else { None })
    }

    async fn attach(&self, from: NodeId, body: &Bytes) -> Result<Bytes, envelope::EnvelopeError> {
        let verdict: Result<(), JoinRefusal> = if self.writer.leader() == Some(self.me) {
            let alive = self.boots.alive(from);
            let request: AttachRequest = envelope::decode(Kind::Attach, body)?;
            let follows = request.logs == Logs::Lost && join::reads_vote(&request.member);
            // Who is in the control group is to be read from what is newest, not from what this leader has applied so far.
            match request.logs {
                Logs::Lost if self.raft.ensure_linearizable().await.is_err() => {
                    Err(JoinRefusal::NotNow("this node does not lead any more".into()))
                }
                _ => match self.admission.attach(from, request, alive).await {
                    Ok(()) if follows => {
                        let vote = self.raft.metrics().borrow().vote;
                        return envelope::encode(Kind::AttachReply, &Ok::<_, JoinRefusal>(vote));
                    }
                    verdict => verdict,
                },
            }
        } else if let Some(hopeless) = self.lost_for_good(from, body)? {
            Err(hopeless)
        } else {
            Err(JoinRefusal::NotNow("another node leads".into()))
        };
        envelope::encode(Kind::AttachReply, &verdict)
    }
}
