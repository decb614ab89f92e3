//! What a host as a whole may use: directories, threads' stacks, the compile child.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How a host is set up.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// The directory of components and their compiled code; made, with mode 0700, where it is missing.
    pub directory: PathBuf,
    /// The program that compiles.
    pub compiler: Compiler,
    /// What one compilation may use.
    pub compile: CompileBounds,
    /// Bytes of stack for a guest's own calls, all guests alike.
    pub stack_bytes: usize,
    /// How often a running guest yields its thread.
    pub tick: Duration,
    /// Fuel of one call of a shard function; about one unit per WebAssembly instruction, a few hundred million a second.
    pub shard_function_fuel: u64,
    /// Warm instances kept per shard function; more callers at once make instances for themselves.
    pub shard_function_instances: usize,
    /// Fuel of one run of a weigher.
    pub weigher_fuel: u64,
}

/// The program that compiles components in a process of its own: it must end in [`compile_child_main`](crate::compile_child_main).
#[derive(Debug, Clone)]
pub struct Compiler {
    /// The executable.
    pub executable: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Compiler {
    /// The hidden first argument that makes the node's binary a compile child.
    pub const ARGUMENT: &str = "__compile";

    /// This process's own binary with [`Compiler::ARGUMENT`].
    ///
    /// # Errors
    /// Where the system cannot name the running binary.
    pub fn this_binary() -> std::io::Result<Compiler> {
        // `/proc/self/exe` stays right where the file was replaced while the process runs (an upgrade in place).
        let link = PathBuf::from("/proc/self/exe");
        let executable = if link.exists() { link } else { std::env::current_exe()? };
        Ok(Compiler { executable, arguments: vec![Compiler::ARGUMENT.into()] })
    }
}

/// What one compilation may use. A hostile component costs this much, for this long, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileBounds {
    /// Bytes of a component.
    pub component_bytes: u64,
    /// Bytes of compiled code that are taken from the child.
    pub output_bytes: u64,
    /// Bytes of address space of the child.
    pub memory_bytes: u64,
    /// Seconds of processor time of the child, all its threads together.
    pub cpu_s: u64,
    /// Time from start to end, however busy the machine is.
    pub wall: Duration,
    /// Compilations at once; the others wait.
    pub at_once: usize,
}

impl Default for CompileBounds {
    fn default() -> CompileBounds {
        CompileBounds {
            // Measured with the largest kind that we know, a component with a Python interpreter: 18 MB, compiled to
            // 35 MB with 350 MiB of memory in 11 s.
            component_bytes: 64 << 20,
            output_bytes: 128 << 20,
            memory_bytes: 2 << 30,
            cpu_s: 120,
            // The child gives way to all else that runs, so it may take several times as long.
            wall: Duration::from_secs(180),
            at_once: 1,
        }
    }
}

impl HostOptions {
    /// The defaults, with components under `directory`, compiled by `compiler`.
    pub fn new(directory: impl Into<PathBuf>, compiler: Compiler) -> HostOptions {
        HostOptions {
            directory: directory.into(),
            compiler,
            compile: CompileBounds::default(),
            stack_bytes: 512 << 10,
            tick: Duration::from_millis(2),
            // Some 10 ms at worst, on the thread that routes.
            shard_function_fuel: 5_000_000,
            shard_function_instances: 4,
            // Some seconds at worst; 10,000 shards take about a millisecond.
            weigher_fuel: 2_000_000_000,
        }
    }
}
