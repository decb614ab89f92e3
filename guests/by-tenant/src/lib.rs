//! A shard function that keeps a tenant together: the part of the key before the first `:` or `/` decides.
//!
//! `acme:orders/17` and `acme/users` are on the shard of `acme`; a key without either is its own tenant. All keys of a
//! tenant are on one shard, so that one guest sees them all, and one call can change several of them at once.

mod tenant;

wit_bindgen::generate!({ path: "../../wit", world: "shard-function" });

struct ByTenant;

export!(ByTenant);

impl Guest for ByTenant {
    fn shard_of(key: String, shard_count: u32) -> u32 {
        tenant::shard_of_tenant(tenant::tenant_of(&key), shard_count)
    }
}
