//! The versions of a workload: which one runs on a shard, which are kept to go back to, and how that changes.
//!
//! A version is made by a deploy and never changes. Which of them a shard runs is said by entries of the control log alone, so by its index: the
//! *activation* of a workload is the last index that has changed it anywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shardloom_protocol::workload::WorkloadSpec;
use shardloom_sharding::canary::Share;
use shardloom_sharding::ids::ShardId;

/// Versions of a workload that are kept, those that run included: enough to go back behind a bad day of deploys, few beside the 64 KiB of
/// configuration that each may have in the control state.
pub const VERSIONS_KEPT: usize = 10;

/// One version of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadVersion {
    /// Counts the deploys of the name, canaries included; none comes twice.
    pub version: u64,
    /// Index of the entry that made it.
    pub deployed: u64,
    /// The version that was current then: a rollback goes there.
    pub before: Option<u64>,
    /// What runs.
    pub spec: WorkloadSpec,
}

/// A version that runs on some shards only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// What runs there.
    pub tried: Arc<WorkloadVersion>,
    /// The part of all shards that was asked for.
    pub share: Share,
    /// The shards, ascending.
    pub shards: Vec<ShardId>,
}

/// A workload as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// What runs, but for the shards of a canary.
    pub current: Arc<WorkloadVersion>,
    /// Index of the entry that made it current.
    pub since: u64,
    /// Index of the last entry that changed what any shard runs.
    pub activation: u64,
    /// The highest version that there has been.
    pub newest: u64,
    /// What runs on some shards in its place.
    pub canary: Option<Canary>,
    /// Versions that are kept beside those that run.
    pub others: BTreeMap<u64, Arc<WorkloadVersion>>,
}

/// A change of what runs that is no plain deploy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VersionChange {
    /// A new version runs on a share of the shards.
    Canary {
        /// What it consists of.
        spec: Box<WorkloadSpec>,
        /// On how many.
        share: Share,
    },
    /// The canary becomes current on all shards.
    Promote,
    /// The canary ends; where there is none, an earlier version becomes current.
    RollBack {
        /// Which; none: the one before.
        to: Option<u64>,
    },
}

/// Why what runs cannot change so; in words that say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionRefused {
    /// Only one version is tried at a time.
    #[error(
        "version {version} of {name} is a canary still: `shardloom promote {name}` puts it on all shards, `shardloom rollback {name}` ends it"
    )]
    CanaryRuns {
        /// The workload.
        name: String,
        /// The canary.
        version: u64,
    },
    /// There is nothing to promote.
    #[error("{name} has no canary: `shardloom deploy FILE --name {name} --canary 5%` begins one")]
    NoCanary {
        /// The workload.
        name: String,
    },
    /// A key would be looked for elsewhere on some shards.
    #[error(
        "a canary of {name} cannot change {what}: a key would have two homes. Deploy it on all shards at once, without --canary"
    )]
    MovesKeys {
        /// The workload.
        name: String,
        /// What must stay.
        what: &'static str,
    },
    /// The version asked for runs already.
    #[error("version {version} of {name} is current")]
    IsCurrent {
        /// The workload.
        name: String,
        /// Its version.
        version: u64,
    },
    /// The version asked for, or the one before, is not kept.
    #[error("{what} is kept of {name}: {}", others(.kept))]
    NotKept {
        /// The workload.
        name: String,
        /// What was looked for.
        what: String,
        /// Versions that are kept.
        kept: Vec<u64>,
    },
}

fn others(kept: &[u64]) -> String {
    if kept.is_empty() {
        return "there is no other one to go back to".into();
    }
    let kept: Vec<String> = kept.iter().map(u64::to_string).collect();
    format!("--to takes one of {}", kept.join(", "))
}

/// Whether a version can run on some shards beside the current one.
///
/// # Errors
/// It would look for keys elsewhere.
pub fn can_be_canary(name: &str, current: &WorkloadSpec, tried: &WorkloadSpec) -> Result<(), VersionRefused> {
    let key_from = |spec: &WorkloadSpec| spec.http.as_ref().map(|http| http.key_from.clone());
    let moves = |what| Err(VersionRefused::MovesKeys { name: name.to_owned(), what });
    if current.shard_function != tried.shard_function {
        return moves("the shard function");
    }
    if key_from(current) != key_from(tried) {
        return moves("where the key of a request is");
    }
    Ok(())
}

impl Workload {
    /// A name that is deployed now and was not just before; `newest` is the last version that it had ever.
    pub fn begin(newest: u64, index: u64, spec: WorkloadSpec) -> Workload {
        let version = newest + 1;
        let current = Arc::new(WorkloadVersion { version, deployed: index, before: None, spec });
        Workload {
            current,
            since: index,
            activation: index,
            newest: version,
            canary: None,
            others: BTreeMap::new(),
        }
    }

    /// A new version runs on all shards.
    ///
    /// # Errors
    /// A canary runs.
    pub fn deploy(&mut self, name: &str, index: u64, spec: WorkloadSpec) -> Result<u64, VersionRefused> {
        self.refuse_canary(name)?;
        let next = self.next(index, spec);
        self.make_current(index, next);
        Ok(self.newest)
    }

    /// A new version runs on these shards.
    ///
    /// # Errors
    /// There is a canary already, or the version cannot be one.
    pub fn begin_canary(
        &mut self,
        name: &str,
        index: u64,
        spec: WorkloadSpec,
        (share, shards): (Share, Vec<ShardId>),
    ) -> Result<u64, VersionRefused> {
        self.refuse_canary(name)?;
        can_be_canary(name, &self.current.spec, &spec)?;
        let tried = self.next(index, spec);
        self.canary = Some(Canary { tried, share, shards });
        self.activation = index;
        self.forget();
        Ok(self.newest)
    }

    /// The canary becomes current.
    ///
    /// # Errors
    /// There is none.
    pub fn promote(&mut self, name: &str, index: u64) -> Result<u64, VersionRefused> {
        let Some(canary) = self.canary.take() else {
            return Err(VersionRefused::NoCanary { name: name.to_owned() });
        };
        self.make_current(index, canary.tried);
        Ok(self.current.version)
    }

    /// The version that a rollback makes current, which is the current one where it ends a canary.
    ///
    /// # Errors
    /// It is current on all shards, or not kept.
    pub fn rollback_target(
        &self,
        name: &str,
        to: Option<u64>,
    ) -> Result<Arc<WorkloadVersion>, VersionRefused> {
        let (current, name) = (&self.current, name.to_owned());
        if self.canary.is_some() {
            return match to.is_none_or(|to| to == current.version) {
                true => Ok(Arc::clone(current)),
                false => self.refuse_canary(&name).map(|()| Arc::clone(current)),
            };
        }
        if to == Some(current.version) {
            return Err(VersionRefused::IsCurrent { name, version: current.version });
        }
        let found = to.or(current.before).and_then(|to| self.others.get(&to));
        found.cloned().ok_or_else(|| {
            let what = match to.or(current.before) {
                Some(version) => format!("no version {version}"),
                None => format!("nothing from before version {}", current.version),
            };
            VersionRefused::NotKept { name, what, kept: self.others.keys().copied().collect() }
        })
    }

    /// Ends a canary, or goes back to an earlier version; says which is current then.
    ///
    /// # Errors
    /// As [`Workload::rollback_target`].
    pub fn roll_back(&mut self, name: &str, index: u64, to: Option<u64>) -> Result<u64, VersionRefused> {
        let target = self.rollback_target(name, to)?;
        if let Some(canary) = self.canary.take() {
            self.others.insert(canary.tried.version, canary.tried);
            self.activation = index;
            self.forget();
        } else {
            self.others.remove(&target.version);
            self.make_current(index, target);
        }
        Ok(self.current.version)
    }

    /// All versions that are kept, ascending.
    pub fn kept(&self) -> Vec<Arc<WorkloadVersion>> {
        let tried = self.canary.as_ref().map(|canary| &canary.tried);
        let mut kept: Vec<_> = self.others.values().chain([&self.current]).chain(tried).cloned().collect();
        kept.sort_unstable_by_key(|kept| kept.version);
        kept
    }

    fn refuse_canary(&self, name: &str) -> Result<(), VersionRefused> {
        match &self.canary {
            Some(canary) => {
                Err(VersionRefused::CanaryRuns { name: name.to_owned(), version: canary.tried.version })
            }
            None => Ok(()),
        }
    }

    fn next(&mut self, index: u64, spec: WorkloadSpec) -> Arc<WorkloadVersion> {
        self.newest += 1;
        let before = Some(self.current.version);
        Arc::new(WorkloadVersion { version: self.newest, deployed: index, before, spec })
    }

    fn make_current(&mut self, index: u64, next: Arc<WorkloadVersion>) {
        let last = std::mem::replace(&mut self.current, next);
        self.others.insert(last.version, last);
        (self.since, self.activation) = (index, index);
        self.forget();
    }

    /// Lets go of the oldest, but of none that a rollback without a number goes to.
    fn forget(&mut self) {
        let run = 1 + usize::from(self.canary.is_some());
        while self.others.len() + run > VERSIONS_KEPT {
            let oldest = self.others.keys().find(|version| Some(**version) != self.current.before);
            let Some(oldest) = oldest.copied() else { return };
            self.others.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use shardloom_protocol::digest::Digest;
    use shardloom_protocol::key_from::KeyFrom;
    use shardloom_protocol::workload::{Bodies, HttpSpec, Reuse, WorkloadLimits};

    use super::*;

    fn spec(component: u8) -> WorkloadSpec {
        WorkloadSpec {
            component: Digest([component; 32]),
            shard_function: None,
            config: BTreeMap::new(),
            limits: WorkloadLimits::default(),
            http: None,
            grants: Vec::new(),
        }
    }

    fn half() -> (Share, Vec<ShardId>) {
        ("50%".parse().unwrap(), vec![ShardId(1), ShardId(3)])
    }

    fn kept(workload: &Workload) -> Vec<u64> {
        workload.kept().iter().map(|kept| kept.version).collect()
    }

    #[test]
    fn a_rollback_goes_to_what_was_current_before_and_a_later_deploy_counts_on() {
        let mut workload = Workload::begin(0, 10, spec(1));
        assert_eq!(workload.deploy("w", 11, spec(2)), Ok(2));
        assert_eq!(workload.roll_back("w", 12, None), Ok(1));
        assert_eq!((workload.current.deployed, workload.since, workload.activation), (10, 12, 12));
        assert_eq!(workload.deploy("w", 13, spec(3)), Ok(3), "2 is not given again");
        assert_eq!(workload.roll_back("w", 14, None), Ok(1), "2 was left for good reason");
        assert_eq!(workload.roll_back("w", 15, Some(2)), Ok(2));
        assert_eq!(workload.current.spec, spec(2));
        assert_eq!(kept(&workload), [1, 2, 3]);
    }

    #[test]
    fn a_rollback_to_what_is_not_there_says_what_is() {
        let mut workload = Workload::begin(0, 10, spec(1));
        let refused = workload.roll_back("w", 11, None).unwrap_err().to_string();
        assert!(refused.contains("nothing from before version 1"), "{refused}");
        workload.deploy("w", 12, spec(2)).unwrap();
        let before = workload.clone();
        let refused = workload.roll_back("w", 13, Some(7)).unwrap_err().to_string();
        assert!(refused.contains("no version 7") && refused.contains("--to takes one of 1"), "{refused}");
        assert!(matches!(workload.roll_back("w", 13, Some(2)), Err(VersionRefused::IsCurrent { .. })));
        assert_eq!(workload, before);
    }

    #[test]
    fn so_many_versions_are_kept_and_always_the_one_before() {
        let mut workload = Workload::begin(0, 1, spec(1));
        for version in 2..=10 {
            assert_eq!(workload.deploy("w", version, spec(version as u8)), Ok(version));
        }
        assert_eq!(workload.roll_back("w", 11, Some(1)), Ok(1));
        assert_eq!(workload.deploy("w", 12, spec(11)), Ok(11));
        assert_eq!(kept(&workload), [1, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        workload.begin_canary("w", 13, spec(12), half()).unwrap();
        assert_eq!(kept(&workload).len(), VERSIONS_KEPT);
        assert_eq!((workload.roll_back("w", 14, None), workload.roll_back("w", 15, None)), (Ok(11), Ok(1)));
        assert_eq!(kept(&workload).len(), VERSIONS_KEPT);
    }

    #[test]
    fn a_canary_is_promoted_or_ended_and_nothing_else_happens_meanwhile() {
        let mut workload = Workload::begin(0, 10, spec(1));
        assert!(matches!(workload.promote("w", 11), Err(VersionRefused::NoCanary { .. })));
        assert_eq!(workload.begin_canary("w", 11, spec(2), half()), Ok(2));
        assert_eq!((workload.current.version, workload.since, workload.activation), (1, 10, 11));
        let before = workload.clone();
        assert!(matches!(
            workload.deploy("w", 12, spec(3)),
            Err(VersionRefused::CanaryRuns { version: 2, .. })
        ));
        assert!(workload.begin_canary("w", 12, spec(3), half()).is_err());
        assert!(workload.roll_back("w", 12, Some(2)).is_err());
        assert_eq!(workload, before);

        assert_eq!(workload.roll_back("w", 13, None), Ok(1));
        assert_eq!((&workload.canary, workload.since, workload.activation), (&None, 10, 13));
        assert_eq!(workload.begin_canary("w", 14, spec(3), half()), Ok(3));
        assert_eq!(workload.promote("w", 15), Ok(3));
        assert_eq!((&workload.canary, workload.since, workload.activation), (&None, 15, 15));
        assert_eq!(workload.roll_back("w", 16, None), Ok(1));
        assert_eq!(kept(&workload), [1, 2, 3]);
    }

    #[test]
    fn a_canary_looks_for_keys_where_the_current_version_does() {
        let http = |key_from: KeyFrom, reuse| WorkloadSpec {
            http: Some(HttpSpec { key_from, reuse, bodies: Bodies::default() }),
            ..spec(1)
        };
        let key_from = |text: &str| text.parse::<KeyFrom>().unwrap();
        let plain = http(key_from("path:1"), Reuse::Never);
        assert_eq!(can_be_canary("w", &plain, &http(key_from("path:1"), Reuse::Always)), Ok(()));
        let function = WorkloadSpec { shard_function: Some(Digest([9; 32])), ..spec(1) };
        for (current, tried) in
            [(&spec(1), &function), (&plain, &http(key_from("path:2"), Reuse::Never)), (&spec(1), &plain)]
        {
            assert!(matches!(can_be_canary("w", current, tried), Err(VersionRefused::MovesKeys { .. })));
        }
    }
}
