//! Bindings that wasmtime makes from `wit/`: one module a world.

#![allow(unsafe_code, missing_docs, unreachable_pub, clippy::disallowed_methods, reason = "generated")]

pub(crate) mod shard_handler {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "shard-handler",
        exports: { default: async },
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
