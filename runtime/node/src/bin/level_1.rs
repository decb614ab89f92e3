//! The binary `shardloom` of an older build, of formats level 1: for tests of upgrades.

use std::process::ExitCode;

/// As in the binary that it stands for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shardloom::cli::run()
}
