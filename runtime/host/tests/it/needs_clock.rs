//! `needs-clock`: refused, with the import's name.

use shardloom_host::{Refusal, World};

use crate::fixture::{Fixture, guest};

#[tokio::test]
async fn an_import_that_is_not_granted_is_refused_by_name() {
    let fixture = Fixture::new();
    let error = fixture.host.admit(&guest("needs-clock")).await.unwrap_err();
    assert!(!error.is_retryable());
    assert!(
        matches!(
            error.refusal(),
            Some(Refusal::ImportNotGranted { import, world: World::ShardHandler, .. })
                if import == "shardloom:needs-clock/clock"
        ),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "import `shardloom:needs-clock/clock` is not granted to a shard-handler; granted: \
         `shardloom:shard/store@0.1`, `shardloom:shard/shard-info@0.1`, `wasi:logging/logging@0.1.0-draft`, \
         `wasi:config/store@0.2.0-rc.1`, `wasi:keyvalue/store@0.2.0-draft`, `wasi:keyvalue/atomics@0.2.0-draft`, \
         `wasi:keyvalue/batch@0.2.0-draft`, `wasi:keyvalue/store@0.2.0-draft2`, \
         `wasi:keyvalue/atomics@0.2.0-draft2`, `wasi:keyvalue/batch@0.2.0-draft2`, `wasi:cli/*@0.2`, \
         `wasi:clocks/*@0.2`, `wasi:filesystem/*@0.2`, `wasi:io/*@0.2`, `wasi:random/*@0.2`, `wasi:sockets/*@0.2`, \
         `wasi:cli/*@0.3`, `wasi:clocks/*@0.3`, `wasi:filesystem/*@0.3`, `wasi:random/*@0.3`, `wasi:sockets/*@0.3`"
    );
    assert_eq!(fixture.host.digests().await.unwrap(), []);
}
