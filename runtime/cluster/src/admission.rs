//! The leader's side of joining and coming back: who is let in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shardloom_protocol::digest::Digest;
use shardloom_sharding::ids::{Boot, NodeId};
use shardloom_sharding::protocol::timing::Time;
use shardloom_transport::{ClusterCa, JoinToken, NodeRequest};

use crate::clock;
use crate::control::{Author, ControlCommand, ControlState, JoinPolicy, Member, MemberStanding, Refused};
use crate::identity::Logs;
use crate::join::{AttachRequest, JoinRefusal, JoinRequest, Joined};
use crate::raft::Applied;
use crate::serving::ServingTable;
use crate::standing::StandingCell;
use crate::writer::{WriteError, Writer};

/// How long a join token is good, unless its maker says otherwise.
pub const TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);
/// The longest that one may be good: what leaks later lets nobody in.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Join tokens that may be out at once: more than an operator hands out in [`TOKEN_LIFE`].
pub const TOKENS_MAX: usize = 1_000;

/// When this node learnt of each join token, on its own clock. A token whose making it has not witnessed counts as expired: age cannot be
/// told from the log, and a token that lives too long is worse than one that must be made again.
#[derive(Debug, Default)]
pub struct TokenBook {
    /// Until when each is good.
    good_until: Mutex<BTreeMap<Digest, Option<Time>>>,
}

/// Whether this node follows the control log closely enough to date what it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching {
    /// It leads or has a lease: what it applies is news.
    Closely,
    /// It catches up: what it applies may be old.
    CatchingUp,
}

impl TokenBook {
    /// Takes over the tokens of the control state.
    pub fn observe(&self, tokens: &BTreeMap<Digest, u32>, watching: Watching, now: Time) {
        let mut good_until = self.good_until.lock().unwrap_or_else(PoisonError::into_inner);
        good_until.retain(|token, _| tokens.contains_key(token));
        for (token, life_s) in tokens {
            let end = now + Duration::from_secs(u64::from(*life_s));
            good_until.entry(*token).or_insert((watching == Watching::Closely).then_some(end));
        }
    }

    /// Whether a token is out and young enough.
    pub fn is_good(&self, token: Digest, now: Time) -> bool {
        let good_until = self.good_until.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(good_until.get(&token), Some(Some(end)) if now < *end)
    }

    /// The tokens that have expired.
    pub fn expired(&self, now: Time) -> Vec<Digest> {
        let good_until = self.good_until.lock().unwrap_or_else(PoisonError::into_inner);
        let old = |end: &Option<Time>| end.is_none_or(|end| now >= end);
        good_until.iter().filter(|(_, end)| old(end)).map(|(token, _)| *token).collect()
    }
}

/// Lets nodes in, while this node leads.
#[derive(Debug)]
pub struct Admission {
    writer: Writer,
    applied: Arc<Applied>,
    tokens: Arc<TokenBook>,
    watch: Watch,
    leavers: Arc<Leavers>,
}

/// Tells whether what this node applies now is news: it leads, or it has a lease.
#[derive(Clone, Debug)]
pub struct Watch {
    me: NodeId,
    serving: Arc<ServingTable>,
    standing: Arc<StandingCell>,
}

impl Watch {
    /// Looks at the lease and the lead of node `me`.
    pub fn new(me: NodeId, serving: Arc<ServingTable>, standing: Arc<StandingCell>) -> Watch {
        Watch { me, serving, standing }
    }

    /// How closely this node follows the control log now.
    pub fn now(&self) -> Watching {
        let leads = self.standing.read().leader.is_some_and(|(leader, _)| leader == self.me);
        if leads || self.serving.lease_live() { Watching::Closely } else { Watching::CatchingUp }
    }
}

impl Admission {
    /// Decides by the applied state and the tokens in `tokens`.
    pub fn new(
        writer: Writer,
        applied: Arc<Applied>,
        tokens: Arc<TokenBook>,
        watch: Watch,
        leavers: Arc<Leavers>,
    ) -> Admission {
        Admission { writer, applied, tokens, watch, leavers }
    }

    /// Takes a stranger in.
    ///
    /// # Errors
    ///
    /// Why not; nothing is logged for a bad token or a known id.
    pub async fn join(&self, request: JoinRequest) -> Result<Joined, JoinRefusal> {
        let token = Digest(JoinToken::hash_of(&request.secret));
        let node = request.member.node;
        let request_to_sign = NodeRequest { der: request.signing_request };
        request_to_sign.key_hash().map_err(|error| JoinRefusal::Never(error.to_string()))?;
        let member = {
            let applied = self.applied.read();
            let Some(state) = &applied.control else { return Err(not_now("there is no cluster yet")) };
            self.check_newcomer(state, node, token)?;
            state.reads(&request.member).map_err(|refused| JoinRefusal::Never(refused.to_string()))?;
            let standing = match state.founding.join_policy {
                JoinPolicy::Auto => MemberStanding::Active,
                JoinPolicy::Manual => MemberStanding::Pending,
            };
            Member { standing, ..request.member }
        };
        let reply =
            self.writer.write_here(ControlCommand::AddMember { member, token }.by(Author::Node(node))).await;
        match reply.map(|reply| reply.outcome) {
            Ok(Ok(_)) => self.welcome(node, &request_to_sign),
            Ok(Err(refused @ Refused::Rotation { .. })) => Err(not_now(&refused.to_string())),
            Ok(Err(refused)) => Err(JoinRefusal::Never(refused.to_string())),
            Err(WriteError::NoLeader | WriteError::NotLeader { .. }) => {
                Err(not_now("this node does not lead any more"))
            }
            Err(error @ (WriteError::Unknown(_) | WriteError::LevelAhead { .. })) => {
                Err(JoinRefusal::Never(error.to_string()))
            }
        }
    }

    /// Signs the key of a node that is a member now. From its entry on a rotation of the certificates waits for it, so the authority in force is not
    /// replaced before it knows the next one.
    fn welcome(&self, node: NodeId, request: &NodeRequest) -> Result<Joined, JoinRefusal> {
        let applied = self.applied.read();
        let Some(state) = &applied.control else { return Err(not_now("there is no cluster yet")) };
        let signed = ClusterCa::from_pem(state.ca_certificate(), state.ca_key())
            .and_then(|ca| ca.sign(node, request))
            .map_err(|error| JoinRefusal::Never(error.to_string()))?;
        let members = state.members.values().filter(|member| member.node != node).cloned().collect();
        Ok(Joined {
            cluster: state.founding.cluster,
            certificate_pem: signed.certificate_pem,
            ca_pem: signed.ca_pem,
            members,
        })
    }

    fn check_newcomer(&self, state: &ControlState, node: NodeId, token: Digest) -> Result<(), JoinRefusal> {
        if state.members.contains_key(&node) || state.removed.contains(&node) {
            return Err(JoinRefusal::Never(Refused::DuplicateNode { node }.to_string()));
        }
        state.check_no_switch().map_err(|refused| not_now(&refused.to_string()))?;
        self.tokens.observe(&state.tokens, self.watch.now(), clock::now());
        if !self.tokens.is_good(token, clock::now()) {
            return Err(JoinRefusal::Never(Refused::UnknownToken.to_string()));
        }
        Ok(())
    }

    /// Lets a member come back. `alive` is the boot that renews its lease under this id now, if one does.
    ///
    /// # Errors
    ///
    /// The id is in use elsewhere, or was removed.
    pub async fn attach(
        &self,
        from: NodeId,
        request: AttachRequest,
        alive: Option<Boot>,
    ) -> Result<(), JoinRefusal> {
        let member = request.member;
        if member.node != from {
            return Err(JoinRefusal::Never("the certificate is that of another node".into()));
        }
        let known = {
            let applied = self.applied.read();
            let Some(state) = &applied.control else { return Err(not_now("there is no cluster yet")) };
            if state.removed.contains(&from) {
                return Err(JoinRefusal::Removed);
            }
            state.reads(&member).map_err(|refused| JoinRefusal::Never(refused.to_string()))?;
            state.members.get(&from).cloned().ok_or(JoinRefusal::Removed)?
        };
        if request.logs == Logs::Lost {
            self.let_go(&known, &member)?;
        }
        if known == (Member { standing: known.standing, ..member.clone() }) {
            return Ok(());
        }
        if alive.is_some_and(|boot| boot != request.boot) && known.addresses != member.addresses {
            return Err(JoinRefusal::Duplicate);
        }
        match self.writer.write_here(ControlCommand::UpdateMember { member }.by(Author::Node(from))).await {
            Ok(_) => {
                self.leavers.end(from);
                Ok(())
            }
            Err(error) => Err(not_now(&error.to_string())),
        }
    }

    /// Sees to it that the control group has forgotten a node whose logs are gone, before it is taken anew.
    ///
    /// Until then the node answers nobody, so it counts as one that is down. The change that takes it out rests on a quorum without it, and
    /// from then on nobody counts what it had acknowledged or for whom it had voted. Its new disk is written down only after that, so a disk that is
    /// known already is one that was taken anew.
    fn let_go(&self, known: &Member, member: &Member) -> Result<(), JoinRefusal> {
        if known.disk == member.disk {
            return Ok(());
        }
        self.leavers.note(member.node);
        if self.applied.read().membership.membership().get_node(&member.node).is_some() {
            return Err(not_now("the control group has yet to let go of the logs that are lost"));
        }
        Ok(())
    }

    /// Why a node whose logs are gone can never be taken anew, if that is so: it alone decided for the control group.
    pub fn hopeless(&self, node: NodeId) -> Option<JoinRefusal> {
        let applied = self.applied.read();
        let mut voters = applied.membership.membership().voter_ids();
        let only = voters.next() == Some(node) && voters.next().is_none();
        only.then(|| JoinRefusal::Never("it was the only voter of the control group".into()))
    }
}

/// Nodes that the control group is to let go, because they have lost their logs. Only the leader's counts, and only for as long as they ask.
#[derive(Debug, Default)]
pub struct Leavers {
    asked: Mutex<BTreeMap<NodeId, Time>>,
}

/// How long after a node has last asked it is kept out: longer than it pauses between two questions.
const LEAVER_MAX: Duration = Duration::from_secs(10);

impl Leavers {
    fn asked(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Time>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, node: NodeId) {
        self.asked().insert(node, clock::now());
    }

    /// Whether the group is to do without the node for now.
    pub fn contains(&self, node: NodeId) -> bool {
        let now = clock::now();
        let mut asked = self.asked();
        asked.retain(|_, at| now.since(*at) < LEAVER_MAX);
        asked.contains_key(&node)
    }

    /// The node has been taken anew.
    fn end(&self, node: NodeId) {
        self.asked().remove(&node);
    }
}

fn not_now(reason: &str) -> JoinRefusal {
    JoinRefusal::NotNow(reason.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_life_by_the_clock_of_the_witness() {
        let book = TokenBook::default();
        let (a, b) = (Digest([1; 32]), Digest([2; 32]));
        let minute = |minutes: u64| Time(minutes * 60_000_000_000);
        book.observe(&BTreeMap::from([(a, 900)]), Watching::Closely, minute(1));
        book.observe(&BTreeMap::from([(a, 900), (b, 900)]), Watching::CatchingUp, minute(2));
        assert!(book.is_good(a, minute(15)));
        assert!(!book.is_good(a, minute(16)), "expired");
        assert!(!book.is_good(b, minute(2)), "its making was not witnessed");
        assert_eq!(book.expired(minute(3)), [b]);
        book.observe(&BTreeMap::new(), Watching::Closely, minute(3));
        assert!(!book.is_good(a, minute(3)), "used up");
    }
}
