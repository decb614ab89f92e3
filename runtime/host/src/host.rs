//! The way in: a directory of admitted components, and what is made ready from it.

use std::io;
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::artifacts::{Artifacts, Label};
use crate::compile::{CompileError, CompileRunner};
use crate::digest::Digest;
use crate::engine::{EngineKind, fingerprint};
use crate::handler::PreparedHandler;
use crate::loader::load;
use crate::options::HostOptions;
use crate::refusal::Refusal;
use crate::shard_function::{ShardFunction, ShardFunctionError};
use crate::ticker::Ticker;
use crate::weigher::Weigher;
use crate::world::World;

/// Admits components, keeps them by digest, and makes them ready to run. Cheap to clone.
///
/// The clock of the guests ends with the last clone and the last instance.
#[derive(Debug, Clone)]
pub struct Host(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: HostOptions,
    artifacts: Artifacts,
    compiler: CompileRunner,
    handlers: Workshop,
    pure: Workshop,
    ticker: Arc<Ticker>,
}

/// An engine, and the fingerprint of the code that fits it.
#[derive(Debug)]
struct Workshop {
    engine: Engine,
    fingerprint: u64,
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
        source: io::Error,
    },
    /// wasmtime refuses the options.
    #[error("WebAssembly engine: {0}")]
    Engine(String),
    /// The thread of the clock did not start.
    #[error("clock of the guests")]
    Clock(#[source] io::Error),
}

/// Bytes were not admitted, and nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// The component is at fault, or compiling it failed.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It is a shard function that cannot be relied on.
    #[error(transparent)]
    ShardFunction(#[from] ShardFunctionError),
    /// The component could not be kept.
    #[error("component directory")]
    Directory(#[source] io::Error),
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
    /// The bytes on disk no longer have the digest; they were removed: fetch them anew.
    #[error("component {0} was damaged on disk")]
    Damaged(Digest),
    /// Its compiled code was gone or of another version, and compiling it again failed.
    #[error("component {0} cannot be compiled again")]
    Compile(Digest, #[source] CompileError),
    /// The directory cannot be read or written.
    #[error("component directory")]
    Directory(#[source] io::Error),
}

impl Host {
    /// Opens the directory and starts the clock of the guests.
    ///
    /// # Errors
    /// Where the directory is not private to this user, or wasmtime refuses the options.
    pub fn new(options: HostOptions) -> Result<Host, HostError> {
        let artifacts = Artifacts::open(&options.directory).map_err(|source| HostError::Directory {
            path: options.directory.display().to_string(),
            source,
        })?;
        let handlers = Workshop::open(EngineKind::Handler, &options)?;
        let pure = Workshop::open(EngineKind::Pure, &options)?;
        let ticker = Ticker::start(handlers.engine.clone(), options.tick).map_err(HostError::Clock)?;
        let compiler = CompileRunner::new(options.compiler.clone(), options.compile.clone());
        Ok(Host(Arc::new(Inner { options, artifacts, compiler, handlers, pure, ticker: Arc::new(ticker) })))
    }

    /// Checks and compiles a component in a child process, and keeps it by its digest. Admitting it again is cheap.
    ///
    /// # Errors
    /// Says in words meant for the one who uploaded it what is wrong with the component.
    ///
    /// # Cancel safety
    /// Dropping the future ends the child; at most the compiled code is kept.
    pub async fn admit(&self, bytes: &[u8]) -> Result<Admitted, AdmitError> {
        let digest = Digest::of(bytes);
        if let Some(admitted) = self.admitted(&digest).await.map_err(AdmitError::Directory)? {
            return Ok(admitted);
        }
        let (label, code) = self.compile(&digest, bytes).await?;
        let bytes = bytes.to_vec();
        self.blocking(move |inner| {
            let component = inner.load(&label, &code)?;
            inner.try_out(&label, &component)?;
            let fingerprint = inner.workshop(label.world).fingerprint;
            inner.artifacts.write_code(fingerprint, &label, &code).map_err(AdmitError::Directory)?;
            // Last: a component that is here has been admitted.
            inner.artifacts.write_component(&digest, &bytes).map_err(AdmitError::Directory)?;
            Ok(label.into())
        })
        .await
        .unwrap_or_else(|error| Err(AdmitError::Directory(error)))
    }

    /// What was admitted under this digest; none where this host does not have it, or would have to compile it again.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub async fn admitted(&self, digest: &Digest) -> io::Result<Option<Admitted>> {
        let digest = *digest;
        self.blocking(move |inner| {
            if inner.artifacts.read_component(&digest)?.is_none_or(|bytes| Digest::of(&bytes) != digest) {
                return Ok(None);
            }
            Ok(inner.read_code(&digest)?.map(|(label, _)| label.into()))
        })
        .await?
    }

    /// The component's bytes, checked against the digest: what other nodes are sent.
    ///
    /// # Errors
    /// Where it is not here or damaged.
    pub async fn component(&self, digest: &Digest) -> Result<Vec<u8>, LoadError> {
        let digest = *digest;
        self.blocking(move |inner| inner.component(&digest)).await.map_err(LoadError::Directory)?
    }

    /// All components that are here.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub async fn digests(&self) -> io::Result<Vec<Digest>> {
        self.blocking(|inner| inner.artifacts.digests()).await?
    }

    /// Gives up a component and its compiled code; instances that run go on.
    ///
    /// # Errors
    /// Where the directory cannot be written.
    pub async fn remove(&self, digest: &Digest) -> io::Result<()> {
        let digest = *digest;
        self.blocking(move |inner| inner.artifacts.remove(&digest)).await?
    }

    /// Makes a workload's component ready.
    ///
    /// # Errors
    /// Where it is not here, damaged, or of another world.
    pub async fn handler(&self, digest: &Digest) -> Result<PreparedHandler, LoadError> {
        let worlds = &[World::ShardHandler, World::HttpHandler];
        self.prepare(digest, worlds, |inner, label, component| {
            inner.handler(label.digest, label.world, component)
        })
        .await
    }

    /// Makes a shard function ready.
    ///
    /// # Errors
    /// Where it is not here, damaged, or of another world.
    pub async fn shard_function(&self, digest: &Digest) -> Result<ShardFunction, LoadError> {
        self.prepare(digest, &[World::ShardFunction], |inner, label, component| {
            ShardFunction::new(label.digest, &inner.pure.engine, component, &inner.options)
        })
        .await
    }

    /// Makes a weigher ready.
    ///
    /// # Errors
    /// Where it is not here, damaged, or of another world.
    pub async fn weigher(&self, digest: &Digest) -> Result<Weigher, LoadError> {
        self.prepare(digest, &[World::ShardWeigher], |inner, label, component| {
            Weigher::new(label.digest, &inner.pure.engine, component, &inner.options)
        })
        .await
    }

    async fn compile(&self, digest: &Digest, bytes: &[u8]) -> Result<(Label, Vec<u8>), CompileError> {
        let (compiled, code) = self.0.compiler.run(bytes).await?;
        let label = Label {
            digest: *digest,
            world: compiled.world,
            imports: compiled.imports,
            component_bytes: bytes.len() as u64,
        };
        Ok((label, code))
    }

    /// Loads compiled code, compiling the component again where there is none, and links it.
    async fn prepare<T: Send + 'static>(
        &self,
        digest: &Digest,
        wanted: &[World],
        link: impl FnOnce(&Inner, &Label, &Component) -> wasmtime::Result<T> + Send + 'static,
    ) -> Result<T, LoadError> {
        let digest = *digest;
        let read = self.blocking(move |inner| inner.read_code(&digest)).await.and_then(|read| read);
        let (label, code) = match read.map_err(LoadError::Directory)? {
            Some(found) => found,
            None => {
                let bytes = self.component(&digest).await?;
                let (label, code) =
                    self.compile(&digest, &bytes).await.map_err(|error| LoadError::Compile(digest, error))?;
                self.keep_code(label.clone(), code.clone()).await.map_err(LoadError::Directory)?;
                (label, code)
            }
        };
        if !wanted.contains(&label.world) {
            return Err(LoadError::WrongWorld { digest, wanted: wanted[0], found: label.world });
        }
        self.blocking(move |inner| {
            let component = inner.load(&label, &code).map_err(|error| LoadError::Compile(digest, error))?;
            link(inner, &label, &component)
                .map_err(|error| LoadError::Compile(digest, signature(&label, &error)))
        })
        .await
        .map_err(LoadError::Directory)?
    }

    async fn keep_code(&self, label: Label, code: Vec<u8>) -> io::Result<()> {
        self.blocking(move |inner| {
            inner.artifacts.write_code(inner.workshop(label.world).fingerprint, &label, &code)
        })
        .await?
    }

    /// Runs work that waits for the disk, or takes long, off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> io::Result<T> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(io::Error::other)
    }
}

impl Inner {
    fn workshop(&self, world: World) -> &Workshop {
        match EngineKind::of(world) {
            EngineKind::Handler => &self.handlers,
            EngineKind::Pure => &self.pure,
        }
    }

    fn read_code(&self, digest: &Digest) -> io::Result<Option<(Label, Vec<u8>)>> {
        match self.artifacts.read_code(digest, self.handlers.fingerprint)? {
            Some(found) => Ok(Some(found)),
            None => self.artifacts.read_code(digest, self.pure.fingerprint),
        }
    }

    fn component(&self, digest: &Digest) -> Result<Vec<u8>, LoadError> {
        let bytes = self.artifacts.read_component(digest).map_err(LoadError::Directory)?;
        let bytes = bytes.ok_or(LoadError::Unknown(*digest))?;
        if Digest::of(&bytes) == *digest {
            return Ok(bytes);
        }
        self.artifacts.remove(digest).map_err(LoadError::Directory)?;
        Err(LoadError::Damaged(*digest))
    }

    fn load(&self, label: &Label, code: &[u8]) -> Result<Component, CompileError> {
        load(&self.workshop(label.world).engine, code)
            .map_err(|error| CompileError::Crashed(format!("its code does not load: {error:#}")))
    }

    fn handler(
        &self,
        digest: Digest,
        world: World,
        component: &Component,
    ) -> wasmtime::Result<PreparedHandler> {
        let stack_bytes = self.options.stack_bytes as u64;
        let ticker = Arc::clone(&self.ticker);
        PreparedHandler::new(digest, world, &self.handlers.engine, component, ticker, stack_bytes)
    }

    /// Links a component as its world wants it; a shard function is asked a few questions too.
    fn try_out(&self, label: &Label, component: &Component) -> Result<(), AdmitError> {
        let (digest, engine, options) = (label.digest, &self.workshop(label.world).engine, &self.options);
        let misfit = |error: wasmtime::Error| signature(label, &error);
        match label.world {
            world @ (World::ShardHandler | World::HttpHandler) => {
                drop(self.handler(digest, world, component).map_err(misfit)?);
            }
            World::ShardWeigher => drop(Weigher::new(digest, engine, component, options).map_err(misfit)?),
            World::ShardFunction => {
                ShardFunction::new(digest, engine, component, options).map_err(misfit)?.check_steady()?;
            }
        }
        Ok(())
    }
}

fn signature(label: &Label, error: &wasmtime::Error) -> CompileError {
    Refusal::Signature { world: label.world, detail: format!("{error:#}") }.into()
}

impl Workshop {
    fn open(kind: EngineKind, options: &HostOptions) -> Result<Workshop, HostError> {
        let engine =
            kind.open(options.stack_bytes).map_err(|error| HostError::Engine(format!("{error:#}")))?;
        let fingerprint = fingerprint(&engine);
        Ok(Workshop { engine, fingerprint })
    }
}

impl From<Label> for Admitted {
    fn from(label: Label) -> Admitted {
        Admitted {
            digest: label.digest,
            world: label.world,
            imports: label.imports,
            bytes: label.component_bytes,
        }
    }
}

impl AdmitError {
    /// Whether the same bytes may be admitted later: the fault was this machine's, not the component's.
    pub fn is_retryable(&self) -> bool {
        matches!(self, AdmitError::Directory(_) | AdmitError::Compile(CompileError::Child(_)))
    }

    /// What is wrong with the component, where it is at fault.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            AdmitError::Compile(CompileError::Refused(refusal)) => Some(refusal),
            _ => None,
        }
    }
}
