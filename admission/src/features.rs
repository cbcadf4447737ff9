//! The features of WebAssembly: which are on, and what is said of a module that needs another.
//!
//! Always holds: each feature that the validator knows is either on or in the list of those that
//! are off, and the engine is told the same. Off is what compilers for WASI do not emit unless they
//! are told to: most faults found in wasmtime of late were in one of these.

use wasmparser::{Validator, WasmFeatures};

/// WebAssembly 2.0 with constant expressions that add, relaxed SIMD (made deterministic), and
/// components.
const ON: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::COMPONENT_MODEL);

/// A feature that is off.
struct Off {
    flag: WasmFeatures,
    /// As its proposal is called.
    name: &'static str,
    /// What to do about a program that uses it.
    remedy: &'static str,
}

const fn off(flag: WasmFeatures, name: &'static str, remedy: &'static str) -> Off {
    Off { flag, name, remedy }
}

const WITHOUT_EXCEPTIONS: &str = "build C++ with -fno-exceptions, C without setjmp, and Rust with \
                                  panic=abort";
const OWN_HEAP: &str = "build it with a compiler that brings a heap of its own in linear memory";
const WASI_02: &str = "build it for WASI 0.2, without async";
const PLAIN_COMPONENT: &str = "build it as a plain component of WASI 0.2";

/// All of them, the ones that programs are likely to use first.
const OFF: [Off; 26] = [
    off(WasmFeatures::EXCEPTIONS, "exception handling", WITHOUT_EXCEPTIONS),
    off(WasmFeatures::LEGACY_EXCEPTIONS, "legacy exception handling", WITHOUT_EXCEPTIONS),
    off(
        WasmFeatures::THREADS,
        "threads",
        "build it for wasm32-wasip1 without threads and atomics, and run more tasks instead",
    ),
    off(
        WasmFeatures::SHARED_EVERYTHING_THREADS,
        "shared-everything threads",
        "build it without threads, and run more tasks instead",
    ),
    off(WasmFeatures::GC, "garbage collection", OWN_HEAP),
    off(WasmFeatures::CUSTOM_DESCRIPTORS, "custom descriptors", OWN_HEAP),
    off(WasmFeatures::FUNCTION_REFERENCES, "typed function references", "build it without them"),
    off(
        WasmFeatures::TAIL_CALL,
        "tail calls",
        "build it without them (clang: -mno-tail-call, Rust: -C target-feature=-tail-call)",
    ),
    off(WasmFeatures::MEMORY64, "memory64", "build it for wasm32: it may have 4 GiB there"),
    off(
        WasmFeatures::MULTI_MEMORY,
        "multiple memories",
        "make them one with wasm-opt --multi-memory-lowering",
    ),
    off(
        WasmFeatures::WIDE_ARITHMETIC,
        "wide arithmetic",
        "build it without it (clang: -mno-wide-arithmetic, Rust: \
         -C target-feature=-wide-arithmetic)",
    ),
    off(WasmFeatures::STACK_SWITCHING, "stack switching", "make it with wasm-opt --asyncify"),
    off(WasmFeatures::CUSTOM_PAGE_SIZES, "custom page sizes", "build it with pages of 64 KiB"),
    off(WasmFeatures::MEMORY_CONTROL, "memory control", "build it without it"),
    off(WasmFeatures::COMPACT_IMPORTS, "compact imports", "write its imports one by one"),
    off(WasmFeatures::CM_ASYNC, "async of the component model", WASI_02),
    off(WasmFeatures::CM_ASYNC_STACKFUL, "stackful async of the component model", WASI_02),
    off(WasmFeatures::CM_MORE_ASYNC_BUILTINS, "async of the component model", WASI_02),
    off(WasmFeatures::CM_ERROR_CONTEXT, "error contexts of the component model", WASI_02),
    off(WasmFeatures::CM_THREADING, "threads of the component model", WASI_02),
    off(WasmFeatures::CM_VALUES, "values of the component model", PLAIN_COMPONENT),
    off(WasmFeatures::CM_NESTED_NAMES, "nested names of the component model", PLAIN_COMPONENT),
    off(
        WasmFeatures::CM_FIXED_LENGTH_LISTS,
        "fixed-length lists of the component model",
        PLAIN_COMPONENT,
    ),
    off(WasmFeatures::CM_GC, "garbage collection of the component model", PLAIN_COMPONENT),
    off(WasmFeatures::CM_MAP, "maps of the component model", PLAIN_COMPONENT),
    off(
        WasmFeatures::CM64.union(WasmFeatures::CM_IMPLEMENTS).union(WasmFeatures::CM_CANON_NAMES),
        "later additions to the component model",
        PLAIN_COMPONENT,
    ),
];

/// All features that are off.
pub fn features_off() -> WasmFeatures {
    OFF.iter().fold(WasmFeatures::empty(), |all, off| all | off.flag)
}

/// What is said of a module or component that needs features that are off. None: it needs none, or
/// its bytes are wrong before that shows.
///
/// Costs a validation for each feature it needs, and is meant for what was refused anyhow.
pub fn lacking_features(bytes: &[u8]) -> Option<String> {
    let mut on = ON;
    let mut needed: Vec<&Off> = Vec::new();
    while let Err(error) = Validator::new_with_features(on).validate_all(bytes) {
        let missing = |error: &wasmparser::Error| {
            let flag = error.missing_wasm_feature()?;
            OFF.iter().find(|off| off.flag.intersects(flag) && !on.intersects(off.flag))
        };
        // An error that names no feature may come of one all the same.
        let Some(off) = missing(&error).or_else(|| leads_further(bytes, on, &error)) else { break };
        on |= off.flag;
        needed.push(off);
    }
    // What has a collected heap has these references, too.
    if on.contains(WasmFeatures::GC) {
        needed.retain(|off| off.flag != WasmFeatures::FUNCTION_REFERENCES);
    }
    if needed.is_empty() { None } else { Some(sentence(&needed)) }
}

/// The feature with which validation comes further than to this error.
fn leads_further(
    bytes: &[u8],
    on: WasmFeatures,
    error: &wasmparser::Error,
) -> Option<&'static Off> {
    OFF.iter().filter(|off| !on.intersects(off.flag)).find(|off| {
        let result = Validator::new_with_features(on | off.flag).validate_all(bytes);
        result.err().is_none_or(|later| later.offset() > error.offset())
    })
}

fn sentence(needed: &[&Off]) -> String {
    let list = |part: fn(&Off) -> &'static str, between: &str| {
        let mut words: Vec<&str> = needed.iter().map(|off| part(off)).collect();
        words.dedup();
        words.join(between)
    };
    format!(
        "it uses {}, which skep has turned off: {}",
        list(|off| off.name, " and "),
        list(|off| off.remedy, "; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_on_or_off() {
        assert!(!ON.intersects(features_off()));
        assert_eq!(ON | features_off(), WasmFeatures::all());
    }
}
