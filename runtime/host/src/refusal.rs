//! What may be wrong with a component, in words for the one who uploaded it.

use serde::{Deserialize, Serialize};

use crate::world::World;

/// Why a component is not taken: the fault is in its bytes, on every machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// More bytes than a component may have.
    #[error("the component has {bytes} bytes; at most {max} are taken")]
    TooLarge {
        /// What came.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// A core module, as plain compilers make them.
    #[error(
        "this is a core WebAssembly module, not a component: make a component of it, for example with \
         `wasm-tools component new`"
    )]
    CoreModule,
    /// Compiled code; only WebAssembly is taken from outside.
    #[error("this is native code; only WebAssembly components are taken")]
    Native,
    /// Not WebAssembly, or damaged.
    #[error("this is not a valid WebAssembly component: {0}")]
    Invalid(String),
    /// It imports something that its world does not grant.
    #[error("import `{import}` is not granted to a {world}; granted: {granted}")]
    ImportNotGranted {
        /// The import's name.
        import: String,
        /// The world that the exports speak for.
        world: World,
        /// What is granted, in words.
        granted: String,
    },
    /// Its exports are those of no world.
    #[error(
        "it fits no world: a component must export `shardloom:shard/handler@0.1.0`, `wasi:http/incoming-handler@0.2`, \
         `wasi:http/handler@0.3`, `shard-of` or `weigh`; this one exports {exports}"
    )]
    NoWorld {
        /// What it exports, in words.
        exports: String,
    },
    /// Its exports are those of several worlds.
    #[error("it fits several worlds ({worlds}); a component must be of one")]
    SeveralWorlds {
        /// The worlds, in words.
        worlds: String,
    },
    /// The names fit, the types do not.
    #[error("it does not fit the world {world}: {detail}")]
    Signature {
        /// The world that the exports speak for.
        world: World,
        /// Where the types differ.
        detail: String,
    },
}
