//! `impure-shard-function`: refused, with the name of what it imports.

use shardloom_host::{Refusal, World};

use crate::fixture::{Fixture, guest};

#[tokio::test]
async fn a_shard_function_that_imports_anything_is_refused_by_the_imports_name() {
    let error = Fixture::new().host.admit(&guest("impure-shard-function")).await.unwrap_err();
    let Some(Refusal::ImportNotGranted { import, world, .. }) = error.refusal() else {
        panic!("{error:?}");
    };
    assert_eq!((import.as_str(), *world), ("shardloom:impure/clock@0.1.0", World::ShardFunction));
    assert!(error.to_string().contains("shardloom:impure/clock@0.1.0"), "{error}");
}
