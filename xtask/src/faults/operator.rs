//! An operator who goes on working while nodes are hurt: nodes are drained and taken back, versions deployed, tried on some shards, promoted and
//! rolled back, weighers set and run, plans carried out. Whatever the cluster refuses meanwhile is no failure, as long as it says so.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use shardloom_harness::cluster::Cluster;
use shardloom_harness::http::{Http, NodeState};
use shardloom_harness::random::Random;
use shardloom_harness::until;

/// How long a drained node is given to be rid of its shards.
const DRAINED_MAX: Duration = Duration::from_secs(20);
/// How long a node may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How long a deploy may take: every live node compiles, and one that has just died counts as live for a second.
const DEPLOY_MAX: Duration = Duration::from_secs(15);
/// How long a change of a member is tried: whoever is drained must be taken back.
const TOLD_MAX: Duration = Duration::from_secs(90);
/// The random stream of the operator; the clients have those from 0.
const OPERATOR: u64 = 1_001;

/// Does one thing after another, through any node that answers.
pub(super) struct Operator {
    http: Http,
    nodes: Vec<String>,
    ids: Vec<String>,
    token: String,
    random: Random,
    done: Done,
}

/// What was carried out, and how often something was refused.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// Nodes that were rid of all their shards, and taken back.
    pub(super) drains: usize,
    deploys: usize,
    canaries: usize,
    promotions: usize,
    rollbacks: usize,
    weighings: usize,
    plans: usize,
    refused: usize,
}

impl Operator {
    pub(super) fn new(cluster: &Cluster, seed: u64) -> Result<Self> {
        let nodes = (0..cluster.size()).map(|index| cluster.url(index, "")).collect();
        let ids = (0..cluster.size()).map(|index| cluster.id_of(index)).collect::<Result<_>>()?;
        let random = Random::new(seed, OPERATOR);
        Ok(Self {
            http: Http::new(),
            nodes,
            ids,
            token: cluster.token().to_owned(),
            random,
            done: Done::default(),
        })
    }

    /// Drains one node after another, and takes it back: so shards move all the time.
    ///
    /// # Errors
    /// If a node cannot be taken back in time.
    pub(super) fn drain_on(mut self, end: &AtomicBool) -> Result<Done> {
        while !end.load(Ordering::Relaxed) {
            self.drain(end)?;
        }
        Ok(self.done)
    }

    /// Does whatever an operator does to these workloads and to the nodes, at random.
    ///
    /// # Errors
    /// If a node cannot be taken back in time.
    pub(super) fn work_on(mut self, workloads: &[&str], end: &AtomicBool) -> Result<Done> {
        for turn in 0_u64.. {
            if end.load(Ordering::Relaxed) {
                break;
            }
            let workload = *self.random.pick(workloads);
            let outcome = match self.random.below(6) {
                0 => {
                    self.drain(end)?;
                    Ok(())
                }
                1 => self.deploy(workload, turn, None),
                2 => self.canary(workload, turn),
                3 => self.roll_back(workload),
                4 => self.weigh(),
                _ => self.carry_out_a_plan(),
            };
            self.done.refused += usize::from(outcome.is_err());
        }
        Ok(self.done)
    }

    fn drain(&mut self, end: &AtomicBool) -> Result<()> {
        let id = self.random.pick(&self.ids).clone();
        self.tell(&id, "drain")?;
        let rid = until("a node rid of its shards", DRAINED_MAX, || {
            let nodes = self.states()?;
            let node = nodes.iter().find(|node| node.id == id).context("it is no member")?;
            ensure!(node.shards_owned == 0 || end.load(Ordering::Relaxed), "{node:?}");
            Ok(node.shards_owned == 0)
        });
        // It may take longer while a node is hurt; it is taken back all the same.
        self.done.drains += usize::from(rid.unwrap_or(false));
        self.tell(&id, "add")
    }

    fn deploy(&mut self, workload: &str, turn: u64, canary: Option<&str>) -> Result<()> {
        let shown = self.ask("GET", &format!("/v1/workloads/{workload}"), None, ANSWER_MAX)?;
        let manifest = json!({ "component": shown["component"], "config": { "turn": turn.to_string() }, "canary": canary });
        self.ask("PUT", &format!("/v1/workloads/{workload}"), Some(&manifest), DEPLOY_MAX)?;
        self.done.deploys += 1;
        Ok(())
    }

    fn canary(&mut self, workload: &str, turn: u64) -> Result<()> {
        self.deploy(workload, turn, Some("30%"))?;
        self.done.canaries += 1;
        if self.random.percent(50) {
            self.ask("POST", &format!("/v1/workloads/{workload}/promote"), None, ANSWER_MAX)?;
            self.done.promotions += 1;
            return Ok(());
        }
        self.roll_back(workload)
    }

    fn roll_back(&mut self, workload: &str) -> Result<()> {
        self.ask("POST", &format!("/v1/workloads/{workload}/rollback"), None, ANSWER_MAX)?;
        self.done.rollbacks += 1;
        Ok(())
    }

    fn weigh(&mut self) -> Result<()> {
        let built_in = *self.random.pick(&["by-load", "uniform"]);
        self.ask("POST", "/v1/admin/weigher", Some(&json!({ "built_in": built_in })), ANSWER_MAX)?;
        self.ask("POST", "/v1/admin/weigher/run", None, ANSWER_MAX)?;
        self.done.weighings += 1;
        Ok(())
    }

    fn carry_out_a_plan(&mut self) -> Result<()> {
        let plan = self.ask("GET", "/v1/admin/plan", None, ANSWER_MAX)?;
        let moves = plan["moves"].as_array().map_or(0, Vec::len);
        self.ask("POST", "/v1/admin/rebalance", Some(&json!({ "plan": plan["plan"] })), ANSWER_MAX)?;
        self.done.plans += usize::from(moves > 0);
        Ok(())
    }

    fn tell(&self, id: &str, what: &str) -> Result<()> {
        until("a change of a member", TOLD_MAX, || {
            self.ask("POST", &format!("/v1/admin/nodes/{id}/{what}"), None, ANSWER_MAX).map(drop)
        })
    }

    fn states(&self) -> Result<Vec<NodeState>> {
        Ok(serde_json::from_value(self.ask("GET", "/v1/nodes", None, ANSWER_MAX)?)?)
    }

    /// The first answer that a node gives.
    fn ask(&self, method: &'static str, path: &str, body: Option<&Value>, within: Duration) -> Result<Value> {
        let mut last = anyhow!("there is no node");
        for node in &self.nodes {
            let ask = self.http.ask(method, format!("{node}{path}")).token(&self.token).within(within);
            let ask = match body {
                Some(body) => ask.json(body),
                None => ask,
            };
            match ask.send().and_then(|reply| reply.good()) {
                Ok(reply) => return reply.json(),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Done {
    /// Adds what was done in another run.
    pub(super) fn join(&mut self, other: Done) {
        self.drains += other.drains;
        self.deploys += other.deploys;
        self.canaries += other.canaries;
        self.promotions += other.promotions;
        self.rollbacks += other.rollbacks;
        self.weighings += other.weighings;
        self.plans += other.plans;
        self.refused += other.refused;
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Done { drains, deploys, canaries, promotions, rollbacks, weighings, plans, refused } = self;
        write!(
            f,
            "meanwhile {drains} drains, {deploys} deploys ({canaries} canaries), {promotions} promotions, {rollbacks} rollbacks, \
             {weighings} runs of a weigher, {plans} plans with moves, {refused} refused"
        )
    }
}
