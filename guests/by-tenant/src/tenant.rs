//! Which shard a tenant is on. A file of its own, since a weigher that knows tenants must come to the same answer.

/// The tenant of a key: the part before the first `:` or `/`.
pub fn tenant_of(key: &str) -> &str {
    key.split([':', '/']).next().unwrap_or_default()
}

/// The shard of a tenant: its name is hashed (FNV-1a, then mixed), and the hash is scaled to the shard count.
pub fn shard_of_tenant(tenant: &str, shard_count: u32) -> u32 {
    scale(mix(fnv1a(tenant.as_bytes())), shard_count)
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Spreads the differences between short texts to the high bits (the finalizer of MurmurHash3).
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The high bits pick the shard; always below the count.
fn scale(hash: u64, shard_count: u32) -> u32 {
    ((u128::from(hash) * u128::from(shard_count)) >> 64) as u32
}
