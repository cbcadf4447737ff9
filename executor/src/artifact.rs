//! Loading compiled modules, whose code nothing can check: the one act of faith in skep.
//!
//! A compiled module is machine code that wasmtime takes at its word. Always holds: it is only ever
//! read from a descriptor that the agent sent, and the agent sends none but of its own artifact
//! cache, opened and checked by it against a key that no executor has.

#![expect(unsafe_code, reason = "compiled modules are machine code, which no check can make safe")]

use crate::lines::Lines;
use std::{fs::File, os::unix::fs::FileExt as _, sync::Arc};
use wasmtime::{Engine, Module, Precompiled, component::Component};

/// The header of an ELF file, where the flags stand in it, and the one by which wasmtime marks a
/// component. Whether it was right about that, wasmtime checks.
const HEADER_BYTES: usize = 64;
const FLAGS_AT: usize = 48;
const COMPONENT_FLAG: u32 = 1 << 1;
/// Where the header says where its last part is, the table of its sections: from which byte on, of
/// how many bytes each is, and how many there are.
const SECTIONS_AT: usize = 40;
const SECTION_BYTES_AT: usize = 58;
const SECTION_COUNT_AT: usize = 60;

/// What an artifact was made of.
pub(crate) enum Code {
    /// With the source lines of its code, if they are known.
    Module(Module, Option<Arc<Lines>>),
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
    let lines = Lines::behind(artifact, code_end(&header))?.map(Arc::new);
    // SAFETY: the file was made by `skep compile` of this build: the agent, which alone can name
    // it, has verified the whole of it with its key, the fingerprint of the engine's settings
    // included. Nobody changes it while it is mapped: it is written under another name, synced,
    // renamed into place, and then only ever unlinked.
    let module = unsafe { Module::deserialize_open_file(engine, artifact.try_clone()?)? };
    Ok(Code::Module(module, lines))
}

/// Where the machine code with all that wasmtime knows of it ends.
fn code_end(header: &[u8; HEADER_BYTES]) -> u64 {
    let short = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let sections = header[SECTIONS_AT..].first_chunk().expect("it lies within the header");
    let length = u64::from(short(SECTION_BYTES_AT)) * u64::from(short(SECTION_COUNT_AT));
    u64::from_ne_bytes(*sections).saturating_add(length)
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
