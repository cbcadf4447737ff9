//! Loading compiled modules, whose code nothing can check: the one act of faith in skep.
//!
//! A compiled module is machine code that wasmtime takes at its word. Always holds: it is only ever
//! read from a descriptor that the agent sent, and the agent sends none but of its own artifact
//! cache, opened and checked by it against a key that no executor has.

#![expect(unsafe_code, reason = "compiled modules are machine code, which no check can make safe")]

use std::{fs::File, os::unix::fs::FileExt as _};
use wasmtime::{Engine, Module, Precompiled, component::Component};

/// The header of an ELF file, where the flags stand in it, and the one by which wasmtime marks a
/// component. Whether it was right about that, wasmtime checks.
const HEADER_BYTES: usize = 64;
const FLAGS_AT: usize = 48;
const COMPONENT_FLAG: u32 = 1 << 1;

/// What an artifact was made of.
pub(crate) enum Code {
    Module(Module),
    Component(Component),
}

/// Loads an artifact: a module is mapped into memory; a component, for which wasmtime has no such
/// way in, is copied.
///
/// # Errors
/// If it is no artifact, if it was made with other settings, for another processor or by
/// another version of wasmtime, or if the module does not fit the engine's pool.
pub(crate) fn load(engine: &Engine, artifact: &File) -> wasmtime::Result<Code> {
    let mut header = [0; HEADER_BYTES];
    artifact.read_exact_at(&mut header, 0)?;
    let flags = header[FLAGS_AT..].first_chunk().expect("it lies within the header");
    if u32::from_ne_bytes(*flags) & COMPONENT_FLAG != 0 {
        return load_component(engine, artifact);
    }
    // SAFETY: the file was made by `skep compile` of this build: the agent, which alone can name
    // it, has verified the whole of it with its key, the fingerprint of the engine's settings
    // included. Nobody changes it while it is mapped: it is written under another name, synced,
    // renamed into place, and then only ever unlinked.
    unsafe { Module::deserialize_open_file(engine, artifact.try_clone()?).map(Code::Module) }
}

fn load_component(engine: &Engine, artifact: &File) -> wasmtime::Result<Code> {
    let mut bytes = vec![0; usize::try_from(artifact.metadata()?.len())?];
    // Its place in the file is shared with the agent and is nobody's.
    artifact.read_exact_at(&mut bytes, 0)?;
    wasmtime::ensure!(
        Engine::detect_precompiled(&bytes) == Some(Precompiled::Component),
        "it is neither a compiled module nor a compiled component"
    );
    // SAFETY: as above.
    unsafe { Component::deserialize(engine, &bytes).map(Code::Component) }
}
