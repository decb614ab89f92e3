//! The way in: a directory of admitted components, and what is made ready from it.

use std::sync::Arc;

use crate::digest::Digest;
use crate::handler::PreparedHandler;
use crate::options::HostOptions;
use crate::shard_function::ShardFunction;
use crate::weigher::Weigher;
use crate::world::World;

/// Admits components, keeps them by digest, and makes them ready to run. Cheap to clone; the last clone stops the clock.
#[derive(Debug, Clone)]
pub struct Host {
    inner: Arc<HostOptions>,
}

/// A component that was found fit, compiled and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Its name from now on.
    pub digest: Digest,
    /// What it is.
    pub world: World,
    /// What it imports, by name, sorted.
    pub imports: Vec<String>,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A host could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The directory cannot be made, read or kept private.
    #[error("component directory {path}")]
    Directory {
        /// The directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// wasmtime refuses the options.
    #[error("WebAssembly engine: {0}")]
    Engine(String),
    /// The thread of the clock did not start.
    #[error("clock of the guests")]
    Clock(#[source] std::io::Error),
}

/// Bytes were not admitted, and nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
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
        "this is a core WebAssembly module, not a component: build it for `wasm32-wasip2` or run it through `wasm-tools component new`"
    )]
    CoreModule,
    /// Compiled code; only WebAssembly is taken from outside.
    #[error("this is precompiled native code; only WebAssembly components are taken")]
    Native,
    /// Not WebAssembly, or damaged.
    #[error("this is not a valid WebAssembly component: {0}")]
    Invalid(String),
    /// It imports something that its world does not grant.
    #[error("import `{import}` is not granted to a {world}; granted are: {granted}")]
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
        "it fits no world: a component must export `shardloom:shard/handler@0.1.0`, `shard-of` or `weigh`; it exports {exports}"
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
        /// What wasmtime says of the difference.
        detail: String,
    },
    /// Compiling it took more than one compilation may use.
    #[error("compiling it took more than allowed: {0}")]
    Bound(String),
    /// The compiler ended without an answer.
    #[error("the compiler ended without an answer: {0}")]
    Compiler(String),
    /// The compile child could not be started or spoken to.
    #[error("the compile child")]
    Child(#[source] std::io::Error),
    /// The component could not be kept.
    #[error("component directory")]
    Directory(#[source] std::io::Error),
}

/// A component could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// This host has no such component.
    #[error("component {0} is not here")]
    Unknown(Digest),
    /// It is of another world than asked for.
    #[error("component {digest} is a {found}, not a {wanted}")]
    WrongWorld {
        /// The component.
        digest: Digest,
        /// What was asked for.
        wanted: World,
        /// What it is.
        found: World,
    },
    /// The bytes on disk no longer have the digest: they were removed, fetch them anew.
    #[error("component {0} was damaged on disk")]
    Damaged(Digest),
    /// Its compiled code was gone or of another version, and compiling it again failed.
    #[error("component {0} cannot be compiled again")]
    Compile(Digest, #[source] AdmitError),
    /// The directory cannot be read.
    #[error("component directory")]
    Directory(#[source] std::io::Error),
}

impl Host {
    /// Opens the directory and starts the clock of the guests.
    ///
    /// # Errors
    /// Where the directory is not private to this user or wasmtime refuses the options.
    pub fn new(options: HostOptions) -> Result<Host, HostError> {
        Ok(Host { inner: Arc::new(options) })
    }

    /// Checks and compiles a component in a child process, and keeps it by its digest. Admitting it again is cheap.
    ///
    /// # Errors
    /// Says in words meant for the one who uploaded it what is wrong with the component.
    ///
    /// # Cancel safety
    /// Dropping the future ends the child; nothing is kept.
    pub async fn admit(&self, bytes: &[u8]) -> Result<Admitted, AdmitError> {
        let _ = (bytes, &self.inner);
        todo!()
    }

    /// What was admitted under this digest; none where this host does not have it.
    pub async fn admitted(&self, digest: &Digest) -> Option<Admitted> {
        let _ = digest;
        todo!()
    }

    /// The component's bytes, checked against the digest: what other nodes are sent.
    ///
    /// # Errors
    /// Where it is not here or damaged.
    pub async fn component(&self, digest: &Digest) -> Result<Vec<u8>, LoadError> {
        let _ = digest;
        todo!()
    }

    /// All components that are here.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub async fn digests(&self) -> std::io::Result<Vec<Digest>> {
        todo!()
    }

    /// Gives up a component and its compiled code; what runs goes on.
    ///
    /// # Errors
    /// Where the directory cannot be written.
    pub async fn remove(&self, digest: &Digest) -> std::io::Result<()> {
        let _ = digest;
        todo!()
    }

    /// Makes a workload's component ready.
    ///
    /// # Errors
    /// Where it is not here, damaged, or of another world.
    pub async fn handler(&self, digest: &Digest) -> Result<PreparedHandler, LoadError> {
        let _ = digest;
        todo!()
    }

    /// Makes a shard function ready.
    ///
    /// # Errors
    /// Where it is not here, damaged, or of another world.
    pub async fn shard_function(&self, digest: &Digest) -> Result<ShardFunction, LoadError> {
        let _ = digest;
        todo!()
    }

    /// Makes a weigher ready.
    ///
    /// # Errors
    /// Where it is not here, damaged, or of another world.
    pub async fn weigher(&self, digest: &Digest) -> Result<Weigher, LoadError> {
        let _ = digest;
        todo!()
    }
}

impl AdmitError {
    /// Whether the same bytes may be admitted later: the fault was this machine's, not the component's.
    pub fn is_retryable(&self) -> bool {
        matches!(self, AdmitError::Child(_) | AdmitError::Directory(_) | AdmitError::Compiler(_))
    }
}
