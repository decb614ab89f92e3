//! The rules of the protocol that can be broken on purpose, to show that the checks would notice.
//!
//! The cores ask a [`Rules`] value before each step that a rule governs. [`AllRules`] has no size and always answers yes, so in
//! a product build the broken ways are not even compiled; the model and the simulation bring their own type, which leaves one out.

/// A rule of the protocol that some counterexample needs (the numbers are those of the protocol page).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// 1: a proposal builds on the committed map, and is void where it does not.
    BuildOnCommitted,
    /// 3: a commit has effect only for the pending epoch.
    CommitPendingOnly,
    /// 3: a commit has effect only if it was written in the term in which it was decided.
    CommitInItsTerm,
    /// 4: an epoch belongs to one boot of its owner.
    EpochOfOneBoot,
    /// 5: recovery under an epoch begins at most once.
    RecoverOnce,
    /// 6: a replica accepts nothing above its seal.
    AcceptNothingAbove,
    /// 6: a replica accepts nothing below its seal.
    AcceptNothingBelow,
    /// 7: a seal goes through the shard's queue, and the tail is read after it.
    SealInQueue,
    /// 7: a seal survives a restart.
    SealDurable,
    /// 7: a seal outlives the log.
    SealOutlivesLog,
    /// 7: a control state that is older than the disk gives no log up.
    LogOutlivesRestart,
    /// 9: a replica cuts only at a position whose stamp differs.
    CutAtConflict,
    /// 9: a replica acknowledges what it has matched, not its own tail.
    AckMatched,
    /// 9 and 2: an acknowledgement follows the disk.
    AckDurable,
    /// 10: a snapshot is installed in one atomic step.
    SnapshotAtomic,
    /// 10: a snapshot whose base the log already holds is ignored.
    SnapshotKeepsSuffix,
    /// 11: tails count only from nodes that are replicas of the committed map.
    TailsOfCommitted,
    /// 11: tails count only from the same disk.
    TailsOfSameDisk,
    /// 11: the log is copied from the disk whose tail won, not from another of the same node.
    CopyFromSameDisk,
    /// 11: the seals of a quorum are needed, not of one.
    SealQuorum,
    /// 11: tails compare by stamp before position.
    StampBeforePosition,
    /// 12: the new owner writes a barrier.
    Barrier,
    /// 13: an owner serves only once the commit is applied.
    ServeAfterCommit,
    /// 16: a grant counts only once the newest proposal that it names is applied.
    GrantAfterApply,
    /// 17: a takeover waits for the old owner's lease.
    WaitForLease,
    /// 17: a new leader waits for the leases that another may have granted.
    WaitAfterElection,
    /// 17: the leader grants only while a quorum has lately heard it.
    GrantWithQuorum,
    /// 18: a reply needs a live lease.
    ReplyWithLease,
    /// 18: a reply needs an unsealed shard.
    ReplyUnsealed,
}

impl Rule {
    /// All of them, in the order of the protocol page.
    pub const ALL: [Rule; 29] = [
        Rule::BuildOnCommitted,
        Rule::CommitPendingOnly,
        Rule::CommitInItsTerm,
        Rule::EpochOfOneBoot,
        Rule::RecoverOnce,
        Rule::AcceptNothingAbove,
        Rule::AcceptNothingBelow,
        Rule::SealInQueue,
        Rule::SealDurable,
        Rule::SealOutlivesLog,
        Rule::CutAtConflict,
        Rule::AckMatched,
        Rule::AckDurable,
        Rule::SnapshotAtomic,
        Rule::SnapshotKeepsSuffix,
        Rule::TailsOfCommitted,
        Rule::TailsOfSameDisk,
        Rule::CopyFromSameDisk,
        Rule::SealQuorum,
        Rule::StampBeforePosition,
        Rule::Barrier,
        Rule::ServeAfterCommit,
        Rule::GrantAfterApply,
        Rule::WaitForLease,
        Rule::WaitAfterElection,
        Rule::GrantWithQuorum,
        Rule::ReplyWithLease,
        Rule::ReplyUnsealed,
        Rule::LogOutlivesRestart,
    ];
}

/// Says which rules are in force.
pub trait Rules: Copy {
    /// Whether this rule is in force.
    fn holds(self, rule: Rule) -> bool;
}

/// Every rule is in force: what a product runs with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllRules;

impl Rules for AllRules {
    #[inline(always)]
    fn holds(self, _rule: Rule) -> bool {
        true
    }
}
