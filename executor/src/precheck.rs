//! What a module must be like before Cranelift sees it: a core module of a bearable shape that
//! imports what skep provides.
//!
//! Costs a pass over the bytes and no memory to speak of. What the operator's limits let through,
//! the compiler's own limits of time and memory stop (`compile.rs`). Each refusal is one sentence
//! for the author of the module. Deliberately absent: validation, which the engine does by its own
//! settings.

use skep_protocol::{ModuleLimits, bounds::MODULE_BYTES_MAX};
use std::{collections::BTreeMap, fmt};
use wasmparser::{
    BinaryReaderError, ExternalKind, FuncType, FunctionBody, Import, Operator, Parser, Payload,
    TypeRef,
};

/// The first bytes of every Wasm file, and what follows in a module.
const MAGIC: &[u8] = b"\0asm";
const MODULE_VERSION: [u8; 4] = [1, 0, 0, 0];

/// The functions that a guest may import, by module and name, each with its type as
/// [`signature`] writes it.
pub(crate) type Provided = BTreeMap<(String, String), String>;

/// Checks a module.
///
/// # Errors
/// What is wrong with the module and what to do about it.
pub(crate) fn check(
    bytes: &[u8],
    provided: &Provided,
    limits: &ModuleLimits,
) -> Result<(), String> {
    check_header(bytes)?;
    let mut outline = Outline::default();
    for payload in Parser::new(0).parse_all(bytes) {
        outline.add(payload.map_err(malformed)?, provided, limits)?;
    }
    outline.check_start()
}

/// A function type in one spelling for both of its sources: `(i32, i64) -> (i32)`.
pub(crate) fn signature(
    params: impl IntoIterator<Item: fmt::Display>,
    results: impl IntoIterator<Item: fmt::Display>,
) -> String {
    let list = |types: Vec<String>| types.join(", ");
    let params = list(params.into_iter().map(|ty| ty.to_string()).collect());
    let results = list(results.into_iter().map(|ty| ty.to_string()).collect());
    format!("({params}) -> ({results})")
}

fn check_header(bytes: &[u8]) -> Result<(), String> {
    if bytes.len() as u64 > MODULE_BYTES_MAX {
        return Err(format!("it has {} bytes, a module may have {MODULE_BYTES_MAX}", bytes.len()));
    }
    if bytes.is_empty() {
        return Err("it is empty".into());
    }
    if !bytes.starts_with(MAGIC) {
        return Err(if MAGIC.starts_with(bytes) {
            "it is truncated: not even its header is whole".into()
        } else {
            "it is not Wasm: it does not begin with \\0asm; build it for wasm32-wasip1".into()
        });
    }
    match bytes.get(4..8) {
        None => Err("it is truncated: not even its header is whole".into()),
        Some(version) if version == MODULE_VERSION => Ok(()),
        Some(version) => Err(format!("it is of an unknown version of Wasm: {version:?}")),
    }
}

pub(crate) fn malformed(error: BinaryReaderError) -> String {
    format!(
        "it is truncated or damaged: {} at byte {} of the file",
        error.message(),
        error.offset()
    )
}

pub(crate) fn at_most(what: &str, count: u64, max: u64) -> Result<(), String> {
    if count > max {
        return Err(format!("it has {count} {what}, a module may have {max}"));
    }
    Ok(())
}

/// What is known of a module so far. Sections come in an order that puts types before their use.
#[derive(Default)]
struct Outline {
    types: Vec<FuncType>,
    /// The type of each function, imported ones first.
    functions: Vec<u32>,
    /// The index of the function that is exported as `_start`.
    start: Option<u32>,
}

impl Outline {
    fn add(
        &mut self,
        payload: Payload<'_>,
        provided: &Provided,
        limits: &ModuleLimits,
    ) -> Result<(), String> {
        match payload {
            Payload::TypeSection(types) => {
                at_most("types", types.count().into(), limits.items)?;
                for ty in types.into_iter_err_on_gc_types() {
                    self.types.push(ty.map_err(malformed)?);
                }
            }
            Payload::ImportSection(imports) => {
                at_most("imports", imports.count().into(), limits.imports)?;
                for import in imports.into_imports() {
                    self.import(import.map_err(malformed)?, provided)?;
                }
            }
            Payload::FunctionSection(functions) => {
                at_most("functions", functions.count().into(), limits.functions)?;
                for ty in functions {
                    self.functions.push(ty.map_err(malformed)?);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    let elements = table.map_err(malformed)?.ty.initial;
                    at_most("elements in a table", elements, limits.table_elements)?;
                }
            }
            Payload::GlobalSection(s) => at_most("globals", s.count().into(), limits.items)?,
            Payload::ElementSection(s) => {
                at_most("element segments", s.count().into(), limits.items)?;
            }
            Payload::DataSection(s) => {
                at_most("data segments", s.count().into(), limits.items)?;
            }
            Payload::ExportSection(exports) => {
                at_most("exports", exports.count().into(), limits.items)?;
                for export in exports {
                    let export = export.map_err(malformed)?;
                    if export.name == "_start" && export.kind == ExternalKind::Func {
                        self.start = Some(export.index);
                    }
                }
            }
            Payload::CodeSectionEntry(body) => check_function(&body, limits)?,
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: Import<'_>, provided: &Provided) -> Result<(), String> {
        let Import { module, name, ty } = import;
        let TypeRef::Func(index) = ty else {
            return Err(format!(
                "it imports {module}.{name}, which is no function; skep provides functions only"
            ));
        };
        self.functions.push(index);
        let wanted = self.function_type(index).ok_or("an import's type does not exist")?;
        match provided.get(&(module.to_owned(), name.to_owned())) {
            Some(ours) if *ours == wanted => Ok(()),
            Some(ours) => Err(format!(
                "it imports {module}.{name} as {wanted}, but that is a function {ours}"
            )),
            None => Err(not_provided(module, name, provided)),
        }
    }

    fn check_start(&self) -> Result<(), String> {
        let Some(index) = self.start else {
            return Err("it exports no function _start: build it as a program with a main \
                        function, for wasm32-wasip1, not as a library"
                .into());
        };
        let ty = self.functions.get(index as usize).and_then(|ty| self.function_type(*ty));
        match ty {
            Some(ty) if ty == "() -> ()" => Ok(()),
            Some(ty) => Err(format!("its _start is a function {ty}, and must be () -> ()")),
            None => Err("its _start does not exist".into()),
        }
    }

    fn function_type(&self, index: u32) -> Option<String> {
        let ty = self.types.get(index as usize)?;
        Some(signature(ty.params(), ty.results()))
    }
}

fn not_provided(module: &str, name: &str, provided: &Provided) -> String {
    let known = |(ours, _): &&(String, String)| ours == module;
    let names: Vec<_> = provided.keys().filter(known).map(|(_, name)| name.as_str()).collect();
    let what = if names.is_empty() {
        let mut modules: Vec<_> = provided.keys().map(|(module, _)| module.as_str()).collect();
        modules.dedup();
        format!("its modules are {}", modules.join(", "))
    } else {
        format!("{module} has {}", names.join(", "))
    };
    format!("it imports {module}.{name}, which skep does not provide: {what}")
}

pub(crate) fn check_function(body: &FunctionBody<'_>, limits: &ModuleLimits) -> Result<(), String> {
    at_most("bytes in one function", body.as_bytes().len() as u64, limits.function_bytes)?;
    let mut locals = 0;
    for group in body.get_locals_reader().map_err(malformed)? {
        let (count, _) = group.map_err(malformed)?;
        locals += u64::from(count);
    }
    at_most("locals in one function", locals, limits.locals)?;
    check_operators(body, locals, limits)
}

fn check_operators(
    body: &FunctionBody<'_>,
    locals: u64,
    limits: &ModuleLimits,
) -> Result<(), String> {
    let (mut loops, mut depth) = (0, 0_u64);
    let mut operators = body.get_operators_reader().map_err(malformed)?;
    while !operators.eof() {
        match operators.read().map_err(malformed)? {
            Operator::Block { .. } | Operator::If { .. } => depth += 1,
            Operator::Loop { .. } => {
                depth += 1;
                loops += 1;
            }
            // The last one ends the function itself.
            Operator::End => depth = depth.saturating_sub(1),
            Operator::BrTable { targets } => {
                at_most("targets in one br_table", targets.len().into(), limits.branch_targets)?;
            }
            _ => {}
        }
        at_most("blocks within each other", depth, limits.nesting)?;
    }
    let what = "loops times locals in one function";
    at_most(what, loops * locals, limits.loop_locals)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provided() -> Provided {
        let entry = |module: &str, name: &str, ty: &str| {
            ((module.to_owned(), name.to_owned()), ty.to_owned())
        };
        Provided::from([entry("skep", "result", "(i32, i32) -> (i32)")])
    }

    fn refusal(text: &str) -> String {
        let bytes = wat::parse_str(text).expect("the test's own text is right");
        check(&bytes, &provided(), &ModuleLimits::default()).expect_err("it should be refused")
    }

    #[test]
    fn a_program_that_imports_what_is_provided_is_taken() {
        let text = r#"(module
            (import "skep" "result" (func (param i32 i32) (result i32)))
            (func (export "_start")))"#;
        assert_eq!(
            check(&wat::parse_str(text).expect("text"), &provided(), &ModuleLimits::default()),
            Ok(())
        );
    }

    #[test]
    fn a_refusal_says_what_is_wrong_and_what_would_be_right() {
        let import = r#"(module (import "env" "foo" (func)) (func (export "_start")))"#;
        let why = "it imports env.foo, which skep does not provide: its modules are skep";
        assert_eq!(refusal(import), why);
        let name = r#"(module (import "skep" "resul" (func)) (func (export "_start")))"#;
        let why = "it imports skep.resul, which skep does not provide: skep has result";
        assert_eq!(refusal(name), why);
        let ty = r#"(module (import "skep" "result" (func)) (func (export "_start")))"#;
        let why = "it imports skep.result as () -> (), but that is a function (i32, i32) -> (i32)";
        assert_eq!(refusal(ty), why);
        let memory = r#"(module (import "env" "memory" (memory 1)) (func (export "_start")))"#;
        assert!(refusal(memory).starts_with("it imports env.memory, which is no function"));
        assert!(refusal("(module)").starts_with("it exports no function _start"));
        let start = r#"(module (func (export "_start") (param i32)))"#;
        assert_eq!(refusal(start), "its _start is a function (i32) -> (), and must be () -> ()");
        let table = r#"(module (table 1000001 funcref) (func (export "_start")))"#;
        assert_eq!(refusal(table), "it has 1000001 elements in a table, a module may have 1000000");
    }

    #[test]
    fn a_function_that_would_keep_the_compiler_busy_is_refused() {
        let function = |body: &str| format!(r#"(module (func (export "_start") {body}))"#);
        let local = "(local i32)".repeat(2_000);
        let loops = |count| format!("{local}{}", "(loop)".repeat(count));
        let taken = wat::parse_str(function(&loops(10_000))).expect("text");
        assert_eq!(check(&taken, &provided(), &ModuleLimits::default()), Ok(()));
        let why = "it has 20002000 loops times locals in one function, a module may have 20000000";
        assert_eq!(refusal(&function(&loops(10_001))), why);
        let deep = format!("{}{}", "block ".repeat(20_001), "end ".repeat(20_001));
        let why = "it has 20001 blocks within each other, a module may have 20000";
        assert_eq!(refusal(&function(&deep)), why);
        let table = format!("(br_table {} (i32.const 0))", "0 ".repeat(65_002));
        let why = "it has 65001 targets in one br_table, a module may have 65000";
        assert_eq!(refusal(&function(&table)), why);
    }

    #[test]
    fn the_operator_says_how_much_is_too_much() {
        let bytes = wat::parse_str(r#"(module (func (export "_start") (local i32 i32)))"#);
        let bytes = bytes.expect("text");
        let limits = ModuleLimits { locals: 1, ..ModuleLimits::default() };
        let why = "it has 2 locals in one function, a module may have 1";
        assert_eq!(check(&bytes, &provided(), &limits), Err(why.into()));
    }

    #[test]
    fn a_module_cut_anywhere_is_refused() {
        let whole = wat::parse_str(r#"(module (func (export "_start")))"#).expect("text");
        for length in 0..whole.len() {
            check(&whole[..length], &provided(), &ModuleLimits::default())
                .expect_err("it is not whole");
        }
    }
}
