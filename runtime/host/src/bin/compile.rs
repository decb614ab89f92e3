//! The compile child of the crate's own tests and benchmarks.

use std::process::ExitCode;

fn main() -> ExitCode {
    shardloom_host::compile_child_main()
}
