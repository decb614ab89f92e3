//! A weigher that favours named tenants: the shard of each has more of its node to itself.
//!
//! A shard that weighs more than it uses leaves its node less to carry beside it. So a shard weighs 10 plus the busy
//! milliseconds per second of its guests, and the shard of a favoured tenant that many times more often. A tenant that is
//! idle is favoured too: there is room for it when it comes.
//!
//! A weigher sees shards, not keys, and imports nothing, so it has no settings either. It knows where a tenant is since it
//! asks what `by-tenant` asks: it is for clusters whose workloads are deployed with that shard function, and it favours
//! everybody who shares a shard with a favoured tenant. Who is favoured stands in `tenants.txt`, which is built in: to change
//! it is to build the component again, and `shardloom weigher set` it.

#[path = "../../by-tenant/src/tenant.rs"]
mod tenant;

wit_bindgen::generate!({ path: "../../wit", world: "shard-weigher" });

/// Lines of a name and a factor.
const TENANTS: &str = include_str!("../tenants.txt");

/// What an idle shard weighs, so that a factor tells there as well.
const IDLE: f64 = 10.0;

/// The largest weight that is taken.
const WEIGHT_MAX: f64 = 1e9;

struct FavourTenants;

export!(FavourTenants);

impl Guest for FavourTenants {
    fn weigh(loads: Vec<ShardLoad>) -> Result<Vec<u32>, String> {
        // There is a load for each shard, in their order.
        let shard_count = loads.len() as u32;
        let mut factors = vec![1; loads.len()];
        for (name, factor) in favoured()? {
            let shard = tenant::shard_of_tenant(tenant::tenant_of(name), shard_count);
            // Where two of them share a shard, it is enough to do right by the greater.
            if let Some(there) = factors.get_mut(shard as usize) {
                *there = factor.max(*there);
            }
        }
        Ok(loads.iter().zip(factors).map(|(load, factor)| weight(load, factor)).collect())
    }
}

fn favoured() -> Result<Vec<(&'static str, u32)>, String> {
    let lines = TENANTS.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, factor) =
                line.rsplit_once(' ').ok_or_else(|| format!("{line:?} has no factor after the name"))?;
            let factor = factor.parse().map_err(|_| format!("{line:?} does not end with a number"))?;
            Ok((name.trim(), factor))
        })
        .collect()
}

fn weight(load: &ShardLoad, factor: u32) -> u32 {
    // What is no number, or less than nothing, counts as idle.
    let busy_ms = load.busy_ms_per_second.max(0.0);
    ((IDLE + busy_ms) * f64::from(factor)).round().min(WEIGHT_MAX) as u32
}
