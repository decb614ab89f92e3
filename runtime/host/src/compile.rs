//! The parent of the compile child: starts it, feeds it, bounds it, and reads what it says.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::compile_child::{CompileAnswer, CompileJob, Compiled, MESSAGE_BYTES_MAX, encode_message};
use crate::options::{CompileBounds, Compiler};
use crate::refusal::Refusal;

/// Bytes of what the child says on its standard error that are kept for the message.
const COMPLAINT_BYTES_MAX: u64 = 4 << 10;

/// The signal for "out of processor time", the same number on all Linux machines that wasmtime compiles for.
const SIGXCPU: i32 = 24;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// Why there is no compiled code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The component is at fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Compiling took more than one compilation may use.
    #[error("compiling the component took more than {0}")]
    Bound(String),
    /// The compiler ended without an answer.
    #[error("the compiler ended without an answer: {0}")]
    Crashed(String),
    /// The compile child could not be started or spoken to.
    #[error("compile child")]
    Child(#[source] io::Error),
}

/// Starts compile children, so many at once.
#[derive(Debug)]
pub(crate) struct CompileRunner {
    compiler: Compiler,
    bounds: CompileBounds,
    places: Semaphore,
}

impl CompileRunner {
    pub(crate) fn new(compiler: Compiler, bounds: CompileBounds) -> CompileRunner {
        let places = Semaphore::new(bounds.at_once.max(1));
        CompileRunner { compiler, bounds, places }
    }

    /// Compiles a component in a child. Dropping the future kills the child.
    pub(crate) async fn run(&self, component: &[u8]) -> Result<(Compiled, Vec<u8>), CompileError> {
        let bytes = component.len() as u64;
        if bytes > self.bounds.component_bytes {
            return Err(Refusal::TooLarge { bytes, max: self.bounds.component_bytes }.into());
        }
        let _place =
            self.places.acquire().await.map_err(|closed| CompileError::Child(io::Error::other(closed)))?;
        match tokio::time::timeout(self.bounds.wall, self.run_child(component)).await {
            Ok(result) => result,
            Err(_) => Err(CompileError::Bound(format!("{} on the clock", seconds(self.bounds.wall)))),
        }
    }

    async fn run_child(&self, component: &[u8]) -> Result<(Compiled, Vec<u8>), CompileError> {
        let mut child = Command::new(&self.compiler.executable)
            .args(&self.compiler.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(CompileError::Child)?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(CompileError::Child(io::Error::other("no pipes")));
        };
        let job = encode_message(&CompileJob {
            memory_bytes: self.bounds.memory_bytes,
            cpu_s: self.bounds.cpu_s,
            component_bytes: component.len() as u64,
        })
        .map_err(CompileError::Child)?;
        let feed = async {
            // A child that dies early closes its end; how it died says more than this error would.
            let _ = stdin.write_all(&job).await;
            let _ = stdin.write_all(component).await;
            drop(stdin);
        };
        let output_max = self.bounds.output_bytes + u64::from(MESSAGE_BYTES_MAX);
        let ((), output, complaint) =
            tokio::join!(feed, read_all(stdout, output_max + 1), read_all(stderr, COMPLAINT_BYTES_MAX));
        let output = output.map_err(CompileError::Child)?;
        if output.len() as u64 > output_max {
            return Err(CompileError::Bound(format!("{} bytes of compiled code", self.bounds.output_bytes)));
        }
        let status = child.wait().await.map_err(CompileError::Child)?;
        if !status.success() {
            let complaint =
                complaint.map(|text| String::from_utf8_lossy(&text).trim().to_owned()).unwrap_or_default();
            return Err(self.explain(status, &complaint));
        }
        decode_answer(output)
    }

    fn explain(&self, status: ExitStatus, complaint: &str) -> CompileError {
        let out_of_memory =
            complaint.contains("memory allocation") || complaint.contains("Cannot allocate memory");
        match status.signal() {
            Some(SIGXCPU | SIGKILL) => {
                CompileError::Bound(format!("{} s of processor time", self.bounds.cpu_s))
            }
            Some(SIGABRT) | None if out_of_memory => {
                CompileError::Bound(format!("{} bytes of memory", self.bounds.memory_bytes))
            }
            _ => CompileError::Crashed(format!("{status}; {complaint}")),
        }
    }
}

/// Reads to the end; beyond `max` bytes the rest is left unread, and the pipe is closed.
async fn read_all(pipe: impl AsyncRead + Unpin, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(max).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

fn decode_answer(output: Vec<u8>) -> Result<(Compiled, Vec<u8>), CompileError> {
    let broken = || CompileError::Crashed("its answer is cut short".to_owned());
    let (length, rest) = output.split_first_chunk::<4>().ok_or_else(broken)?;
    let (message, code) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(broken)?;
    let compiled = postcard::from_bytes::<CompileAnswer>(message).map_err(|_| broken())??;
    if code.len() as u64 != compiled.code_bytes {
        return Err(broken());
    }
    Ok((compiled, code.to_vec()))
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f32())
}
