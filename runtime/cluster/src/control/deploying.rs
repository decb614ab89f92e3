//! What becomes of a workload at a deploy, and at what is like it.

use shardloom_protocol::workload::WorkloadSpec;
use shardloom_sharding::canary;

use super::command::{Outcome, Refused};
use super::exclusions::Labels;
use super::state::ControlState;
use super::versions::{VersionChange, VersionRefused, Workload};

impl ControlState {
    /// Deploys a workload.
    pub(super) fn deploy(
        &mut self,
        index: u64,
        name: String,
        spec: WorkloadSpec,
        replaces: u64,
        labels: Labels,
    ) -> Result<Outcome, Refused> {
        // What is given up needs no asking: there may be nobody left who has it.
        if !labels.is_empty() {
            self.later.exclusions.check(&name, &labels, &self.members)?;
        }
        let found = self.workloads.get_mut(&name);
        let activation = found.as_ref().map_or(0, |workload| workload.activation);
        if activation != replaces {
            let version = found.map_or(0, |workload| workload.current.version);
            return Err(Refused::DeployConflict { name, version });
        }
        if let Some(workload) = found {
            let outcome = deployed(workload.deploy(&name, index, spec))?;
            self.later.exclusions.require(&name, labels);
            return Ok(outcome);
        }
        self.later.exclusions.require(&name, labels);
        self.left_by.remove(&name);
        let begun = Workload::begin(self.retired.remove(&name).unwrap_or(0), index, spec);
        let version = begun.newest;
        self.workloads.insert(name, begun);
        Ok(Outcome::Deployed { version })
    }

    /// Has other versions of a workload run.
    pub(super) fn change_version(
        &mut self,
        index: u64,
        name: String,
        base: u64,
        change: VersionChange,
    ) -> Result<Outcome, Refused> {
        let Some(workload) = self.workloads.get_mut(&name) else {
            return Err(Refused::UnknownWorkload { name });
        };
        if workload.activation != base {
            return Err(Refused::DeployConflict { name, version: workload.current.version });
        }
        deployed(match change {
            VersionChange::Canary { spec, share } => {
                let map = self.shards.committed();
                let shards = canary::choose(map, share, &name, workload.newest + 1);
                workload.begin_canary(&name, index, *spec, (share, shards))
            }
            VersionChange::Promote => workload.promote(&name, index),
            VersionChange::RollBack { to } => workload.roll_back(&name, index, to),
        })
    }
}

fn deployed(changed: Result<u64, VersionRefused>) -> Result<Outcome, Refused> {
    match changed {
        Ok(version) => Ok(Outcome::Deployed { version }),
        Err(refused) => Err(Refused::Version { reason: refused.to_string() }),
    }
}
