//! Bindings that wasmtime makes from `wit/`: one module a world.

#![allow(unsafe_code, missing_docs, unreachable_pub, clippy::disallowed_methods, reason = "generated")]

pub(crate) mod shard_handler {
    wasmtime::component::bindgen!({
        path: "../../wit",
        // The larger of the two: a component imports of it what it uses.
        world: "shard-handler-keyvalue",
        // A state that cannot be read ends the call.
        imports: { "shardloom:shard/store": trappable, "wasi:keyvalue": trappable },
        exports: { default: async },
        with: {
            "wasi:keyvalue/store@0.2.0-draft.bucket": crate::buckets::Bucket,
            "wasi:keyvalue/store@0.2.0-draft2.bucket": crate::buckets::Bucket,
            "wasi:keyvalue/atomics@0.2.0-draft2.cas": crate::buckets::Cas,
        },
    });
}

pub(crate) mod shard_function {
    wasmtime::component::bindgen!({ path: "../../wit", world: "shard-function" });
}

pub(crate) mod shard_weigher {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "shard-weigher",
        exports: { default: async },
    });
}
