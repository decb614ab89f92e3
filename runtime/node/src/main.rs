//! The binary `shardloom`.

use std::process::ExitCode;

fn main() -> ExitCode {
    shardloom::cli::run()
}
