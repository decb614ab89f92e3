//! The compile child: reads a component from its standard input, writes compiled code to its standard output.

use std::process::ExitCode;

/// Runs the compile child to its end; for the `main` of the program that [`Compiler`](crate::Compiler) names.
pub fn compile_child_main() -> ExitCode {
    ExitCode::FAILURE
}
