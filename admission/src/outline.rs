//! What can be told of a program by looking at its bytes: for people, before they run it.
//!
//! Deliberately absent: judgement. Whether it may run is [`crate::needs`]' and the compiler's
//! matter.

use crate::{Needs, needs};
use wasmparser::{BinaryReaderError, ExternalKind, Parser, Payload, TypeRef};

/// Bytes of a page of memory.
const PAGE_BYTES: u64 = 65_536;

/// A program from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// What it imports.
    pub needs: Needs,
    /// What it exports: name and kind.
    pub exports: Vec<(String, String)>,
    /// Functions that it has itself; of a component, those of all its modules.
    pub functions: u64,
    /// Its memories.
    pub memories: Vec<Memory>,
    /// Bytes of its code.
    pub code_bytes: u64,
    /// Bytes of its data.
    pub data_bytes: u64,
    /// Whether it says to which lines of its source its code belongs.
    pub has_debug_info: bool,
}

/// A linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes that it starts with.
    pub bytes_min: u64,
    /// Bytes to which it may grow, if it says so; else all that its task is granted.
    pub bytes_max: Option<u64>,
}

impl Outline {
    /// Reads a module or component.
    ///
    /// # Errors
    /// Where and why its bytes make no sense.
    pub fn of(bytes: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut outline = Self { needs: needs(bytes), ..Self::default() };
        // A component holds modules, whose own imports and exports are its inner affair.
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                payload => outline.add(payload, depth)?,
            }
        }
        Ok(outline)
    }

    fn add(&mut self, payload: Payload<'_>, depth: u32) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            Payload::CodeSectionStart { size, .. } => self.code_bytes += u64::from(size),
            Payload::DataSection(section) => {
                self.data_bytes += (section.range().end - section.range().start) as u64;
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    self.memories.push(memory?.into());
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Memory(memory) = import?.ty {
                        self.memories.push(memory.into());
                    }
                }
            }
            Payload::ExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export?;
                    let kind = kind(export.kind).to_owned();
                    self.exports.push((export.name.to_owned(), kind));
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export?;
                    let kind = format!("{:?}", export.kind).to_lowercase();
                    self.exports.push((export.name.name.to_owned(), kind));
                }
            }
            Payload::CustomSection(section) => {
                self.has_debug_info |= section.name() == ".debug_line";
            }
            _ => {}
        }
        Ok(())
    }
}

impl From<wasmparser::MemoryType> for Memory {
    fn from(memory: wasmparser::MemoryType) -> Self {
        let bytes = |pages: u64| pages.saturating_mul(PAGE_BYTES);
        Self { bytes_min: bytes(memory.initial), bytes_max: memory.maximum.map(bytes) }
    }
}

const fn kind(kind: ExternalKind) -> &'static str {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => "function",
        ExternalKind::Table => "table",
        ExternalKind::Memory => "memory",
        ExternalKind::Global => "global",
        ExternalKind::Tag => "tag",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(text: &str) -> Outline {
        let bytes = wat::parse_str(text).expect("the test's own text is right");
        Outline::of(&bytes).expect("it can be read")
    }

    #[test]
    fn a_module_tells_its_memory_its_exports_and_its_size() {
        let outline = outline(
            r#"(module
                (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
                (memory (export "memory") 2 16)
                (data (i32.const 0) "hello")
                (func (export "_start") (call 0 (i32.const 0))))"#,
        );
        assert_eq!(
            outline.memories,
            [Memory { bytes_min: 2 * PAGE_BYTES, bytes_max: Some(16 * PAGE_BYTES) }]
        );
        let names = |exports: &[(String, String)]| {
            exports.iter().map(|(name, kind)| format!("{kind} {name}")).collect::<Vec<_>>()
        };
        assert_eq!(names(&outline.exports), ["memory memory", "function _start"]);
        assert_eq!(outline.functions, 1);
        assert_eq!(outline.needs.imports().len(), 1);
        assert!(outline.data_bytes >= 5);
        assert!(!outline.has_debug_info);
    }

    #[test]
    fn what_the_modules_of_a_component_export_is_not_the_components() {
        let outline = outline(
            r#"(component
                (core module $m (func (export "inner")) (memory 1))
                (core instance $i (instantiate $m))
                (func (export "outer") (canon lift (core func $i "inner"))))"#,
        );
        assert_eq!(outline.exports, [("outer".to_owned(), "func".to_owned())]);
        assert_eq!((outline.functions, outline.memories.len()), (1, 1));
    }

    #[test]
    fn bytes_that_make_no_sense_are_an_error_and_not_a_panic() {
        let whole = wat::parse_str(r#"(module (memory 1) (func (export "f")))"#).expect("text");
        for length in 1..whole.len() {
            let _ = Outline::of(&whole[..length]);
        }
        assert!(Outline::of(b"nonsense").is_err());
    }
}
