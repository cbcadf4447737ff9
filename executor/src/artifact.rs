//! Loading compiled modules, whose code nothing can check: the one act of faith in skep.
//!
//! A compiled module is machine code that wasmtime takes at its word. Always holds: it is only ever
//! read from a path that the agent sent, and the agent sends none but those of its own artifact
//! cache, into which only `skep compile` writes.

#![expect(unsafe_code, reason = "compiled modules are machine code, which no check can make safe")]

use std::path::Path;
use wasmtime::{Engine, Module, Precompiled, component::Component};

/// What an artifact was made of.
pub(crate) enum Code {
    Module(Module),
    Component(Component),
}

/// Maps the artifact at `path` into memory.
///
/// # Errors
/// If there is no such file, if it was made with other settings, for another processor or by
/// another version of wasmtime, or if the module does not fit the engine's pool.
pub(crate) fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Code> {
    let kind = Engine::detect_precompiled_file(path)?;
    // SAFETY: the file was made by `skep compile` of this build (its name carries the fingerprint
    // of the engine's settings) and nobody changes it while it is mapped: it is written under
    // another name, synced, renamed into place, and then only ever unlinked.
    unsafe {
        Ok(match kind {
            Some(Precompiled::Component) => {
                Code::Component(Component::deserialize_file(engine, path)?)
            }
            Some(Precompiled::Module) | None => {
                Code::Module(Module::deserialize_file(engine, path)?)
            }
        })
    }
}
