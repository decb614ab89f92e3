//! The compile child: reads a component from its standard input, writes compiled code to its standard output.
//!
//! Everything that parses a stranger's bytes happens here, in a process with bounds on address space and processor time
//! that it sets itself before it reads them. The parent (`compile`) bounds the time on the clock and the output.
//!
//! ```text
//! in:  length (4 bytes, little endian) | CompileJob (postcard) | component
//! out: length (4 bytes, little endian) | CompileAnswer (postcard) | compiled code
//! ```

use std::io::{self, Read, Write};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, nice, setrlimit};
use serde::{Deserialize, Serialize};

use crate::engine::EngineKind;
use crate::outline::outline;
use crate::refusal::Refusal;
use crate::world::World;

/// What the child is told before the component's bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CompileJob {
    pub(crate) memory_bytes: u64,
    pub(crate) cpu_s: u64,
    pub(crate) component_bytes: u64,
}

/// What the child says before the compiled code.
pub(crate) type CompileAnswer = Result<Compiled, Refusal>;

/// A component that compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Compiled {
    pub(crate) world: World,
    pub(crate) imports: Vec<String>,
    pub(crate) code_bytes: u64,
}

/// Bytes of a job or an answer; import names make up most of it.
pub(crate) const MESSAGE_BYTES_MAX: u32 = 1 << 20;

/// How much the child gives way to everything else that runs.
const NICENESS: i32 = 10;

/// Runs the compile child to its end; for the `main` of the program that [`Compiler`](crate::Compiler) names.
pub fn compile_child_main() -> ExitCode {
    match serve(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent reads it; if even that fails there is nobody left to tell.
            let _ = writeln!(io::stderr(), "compile child: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let job: CompileJob = read_message(input)?;
    bound_this_process(&job)?;
    let mut component = Vec::new();
    input.take(job.component_bytes).read_to_end(&mut component)?;
    let (answer, code) = match compile(&component)? {
        Ok((compiled, code)) => (Ok(compiled), code),
        Err(refusal) => (Err(refusal), Vec::new()),
    };
    output.write_all(&encode_message::<CompileAnswer>(&answer)?)?;
    output.write_all(&code)?;
    output.flush()
}

fn bound_this_process(job: &CompileJob) -> io::Result<()> {
    let bounds = [
        (Resource::As, job.memory_bytes),
        (Resource::Cpu, job.cpu_s),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
    ];
    for (resource, bound) in bounds {
        setrlimit(resource, Rlimit { current: Some(bound), maximum: Some(bound) })?;
    }
    nice(NICENESS)?;
    Ok(())
}

fn compile(component: &[u8]) -> io::Result<Result<(Compiled, Vec<u8>), Refusal>> {
    let outline = match outline(component) {
        Ok(outline) => outline,
        Err(refusal) => return Ok(Err(refusal)),
    };
    // The stack's size does not change the code.
    const STACK_BYTES: usize = 512 << 10;
    let engine = EngineKind::of(outline.world).open(STACK_BYTES).map_err(io::Error::other)?;
    Ok(match engine.precompile_component(component) {
        Ok(code) => {
            let code_bytes = code.len() as u64;
            Ok((Compiled { world: outline.world, imports: outline.imports, code_bytes }, code))
        }
        Err(error) => Err(Refusal::Invalid(format!("{error:#}"))),
    })
}

/// A message with its length before it.
pub(crate) fn encode_message<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= MESSAGE_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::other("message too long"))?;
    Ok([&length.to_le_bytes()[..], &body].concat())
}

fn read_message<T: for<'de> Deserialize<'de>>(input: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::other("message too long"));
    }
    let mut body = vec![0; length as usize];
    input.read_exact(&mut body)?;
    postcard::from_bytes(&body).map_err(io::Error::other)
}
