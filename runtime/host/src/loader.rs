//! The one place that runs compiled code from disk.

use wasmtime::Engine;
use wasmtime::component::Component;

/// Loads code that [`Artifacts::read_code`](crate::artifacts::Artifacts::read_code) or the compile child gave.
#[expect(
    unsafe_code,
    reason = "wasmtime trusts compiled code; ours comes from our own compiler or from our own cache"
)]
pub(crate) fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes were made by `Engine::precompile_component` in the compile child of this very program, and were
    // since either in this process or in a file that no other user could write and whose checksum was verified.
    // wasmtime itself refuses code of another version or of other settings.
    unsafe { Component::deserialize(engine, code) }
}
