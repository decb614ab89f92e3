//! The client: asks the owner, or any other node, until there is an answer or the deadline has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::attempt::{Brought, attempt};
use crate::call::{Call, Reply};
use crate::directory::MapError;
use crate::error::{CallError, Executed, Reason};
use crate::known::{MapReader, Shared, all};
use crate::pool::Pool;
use crate::retry::{Moment, Next, Repeat, Retry};

/// Calls the workloads of one cluster. A copy is cheap, and shares connections and what was learned.
///
/// It learns from each reply which node owns the key's shard, and calls that node directly where it knows its address: from the map that a
/// [token](crate::Builder::token) opens, from [`named_node`](crate::Builder::named_node), or from a reply that names it. Otherwise it asks
/// the nodes in turn; each of them passes calls on.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    pool: Pool,
    known: Shared,
    map: Option<MapReader>,
    turn: AtomicUsize,
}

/// What a client was told.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) nodes: Vec<Address>,
    pub(crate) deadline: Duration,
    pub(crate) attempts_max: u32,
    pub(crate) attempt_time_max: Duration,
}

impl Client {
    pub(crate) fn new(settings: Settings, pool: Pool, known: Shared, map: Option<MapReader>) -> Client {
        Client { inner: Arc::new(Inner { settings, pool, known, map, turn: AtomicUsize::new(0) }) }
    }

    /// Reads the shard map now. It is read by itself, too, as calls need it; this is for whoever wants the first call to be direct.
    ///
    /// # Errors
    /// If the client has no token, or no node gives the map.
    ///
    /// # Cancel safety
    /// It only reads: it may be dropped at any time.
    pub async fn read_map(&self) -> Result<(), MapError> {
        self.inner.map.as_ref().ok_or(MapError::NoToken)?.read().await
    }

    /// Makes a call, several times if need be: see the [crate](crate) for when it is sent again.
    ///
    /// # Errors
    /// The workload's own failure, or why there is no answer; [`CallError::executed`] says what became of the call.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempts and closes the connection that waits for an answer. The call may have been carried out, or may yet
    /// be: nobody will tell. To find out, make it [`Call::idempotent`], keep it, and make it again. The client itself, and all of its other
    /// calls, are as before.
    pub async fn call(&self, call: &Call) -> Result<Reply, CallError> {
        let form = call.form()?;
        let inner = &*self.inner;
        let whole = call.deadline.unwrap_or(inner.settings.deadline);
        let deadline = Instant::now() + whole;
        let repeat = if call.idempotency_key().is_some() { Repeat::Safe } else { Repeat::Unsafe };
        let mut retry = Retry::new(repeat, inner.settings.attempts_max, inner.settings.attempt_time_max);
        let mut attempts = 0;
        loop {
            let order = inner.order(call);
            for (index, address) in order.iter().enumerate() {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    let executed = retry.sum_up(Executed::No);
                    return Err(CallError { reason: Reason::Deadline(whole), executed });
                }
                attempts += 1;
                let brought = attempt(&inner.pool, address, &form, retry.attempt_time(left)).await;
                inner.learn(call, address, &brought);
                let (ended, reason) = match brought.outcome {
                    Ok(reply) => return Ok(Reply { attempts, ..reply }),
                    Err(unanswered) => unanswered,
                };
                let moment = Moment {
                    nodes_left: order.len() - index - 1,
                    time_left: deadline.saturating_duration_since(Instant::now()),
                    // Without random numbers all clients would come back at once, which still is better than not at all.
                    dice: getrandom::u32().unwrap_or_default(),
                };
                match retry.after(ended, moment) {
                    Next::Elsewhere => {}
                    Next::Pause(pause) => {
                        tokio::time::sleep(pause).await;
                        break;
                    }
                    Next::Stop(executed) => return Err(CallError { reason, executed }),
                }
            }
        }
    }

    /// Where the owner of a workload's key answers, as far as the client knows: whom the next call for it asks first.
    pub fn owner(&self, workload: &str, key: &str) -> Option<Address> {
        self.inner.known.lock().owners.owner_address(workload, key).cloned()
    }
}

impl Inner {
    /// Whom to ask, in which order.
    fn order(&self, call: &Call) -> Vec<Address> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let known = self.known.lock();
        let owner = known.owners.owner_address(&call.workload, &call.key);
        if let (None, Some(map)) = (owner, &self.map) {
            map.read_soon(now);
        }
        known.rests.order(owner, &all(&self.settings.nodes, &known.owners), turn, now)
    }

    /// Takes note of what an attempt tells about the cluster.
    fn learn(&self, call: &Call, address: &Address, brought: &Brought) {
        let now = Instant::now();
        let mut known = self.known.lock();
        match &brought.outcome {
            Err((_, Reason::Unreachable { .. } | Reason::Lost { .. })) => {
                known.rests.unreachable(address, now);
                if let Some(map) = &self.map {
                    map.read_soon(now);
                }
            }
            Ok(_) | Err(_) => known.rests.reached(address),
        }
        let Some(learned) = &brought.learned else { return };
        if let Some(address) = &learned.address {
            known.owners.note_address(learned.owner.node, address.clone());
        }
        known.owners.note_owner(learned.shard, learned.owner);
        known.owners.note_shard(&call.workload, &call.key, learned.shard);
    }
}
