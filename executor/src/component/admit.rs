//! Which components are compiled, and what a task must grant to one.
//!
//! Always holds: a component that is compiled exports `wasi:cli/run`, and all that it imports is
//! there with the right type; each module in it is of a bearable shape, as a module of its own must
//! be. Deliberately absent: the grants of a task when compiling, since an artifact serves all
//! tasks.

use super::linker;
use crate::{
    guest::GuestState,
    precheck::{at_most, check_function, malformed},
};
use skep_admission::{Import, lacks_network, needs, wants_network};
use skep_protocol::{ModuleLimits, bounds::MODULE_BYTES_MAX, outcome::Outcome, task::Grants};
use wasmparser::{Parser, Payload};
use wasmtime::{
    Engine,
    component::{Component, types::ComponentItem},
};
use wasmtime_wasi::p2::bindings::CommandPre;

/// Modules, components and instances within a component; tools make four, composed programs some
/// dozens.
const PARTS_MAX: u32 = 1_000;

/// Compiles a component into an artifact.
///
/// # Errors
/// What is wrong with it and what to do about it.
pub(crate) fn compile(
    engine: &Engine,
    bytes: &[u8],
    limits: &ModuleLimits,
) -> Result<Vec<u8>, String> {
    check(bytes, limits)?;
    let root = |error: wasmtime::Error| error.root_cause().to_string();
    let component = Component::new(engine, bytes).map_err(|error| {
        format!("it is no valid component, a fault of what made it: {}", root(error))
    })?;
    let ready = linker(engine).and_then(|linker| linker.instantiate_pre(&component));
    let ready =
        ready.map_err(|error| format!("it imports what skep does not provide: {error:#}"))?;
    CommandPre::new(ready).map_err(|_| {
        "it is a component that exports no wasi:cli/run of WASI 0.2: build it as a program with a \
         main function"
            .to_owned()
    })?;
    component.serialize().map_err(|error| format!("it cannot be compiled: {}", root(error)))
}

fn check(bytes: &[u8], limits: &ModuleLimits) -> Result<(), String> {
    if bytes.len() as u64 > MODULE_BYTES_MAX {
        return Err(format!("it has {} bytes, a module may have {MODULE_BYTES_MAX}", bytes.len()));
    }
    let items = |what: &str, count: u32| at_most(what, count.into(), limits.items);
    let (mut functions, mut parts) = (0_u32, 0_u32);
    for payload in Parser::new(0).parse_all(bytes) {
        let count = |counter: &mut u32, more: u32| *counter = counter.saturating_add(more);
        match payload.map_err(malformed)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                count(&mut parts, 1);
            }
            Payload::InstanceSection(s) => count(&mut parts, s.count()),
            Payload::ComponentInstanceSection(s) => count(&mut parts, s.count()),
            Payload::FunctionSection(s) => count(&mut functions, s.count()),
            Payload::CodeSectionEntry(body) => check_function(&body, limits)?,
            Payload::ComponentTypeSection(s) => items("types", s.count())?,
            Payload::ComponentImportSection(s) => items("imports", s.count())?,
            Payload::ComponentExportSection(s) => items("exports", s.count())?,
            Payload::ComponentAliasSection(s) => items("aliases", s.count())?,
            Payload::TypeSection(s) => items("types", s.count())?,
            Payload::ImportSection(s) => items("imports", s.count())?,
            Payload::GlobalSection(s) => items("globals", s.count())?,
            Payload::ExportSection(s) => items("exports", s.count())?,
            Payload::ElementSection(s) => items("element segments", s.count())?,
            Payload::DataSection(s) => items("data segments", s.count())?,
            Payload::TableSection(tables) => {
                for table in tables {
                    let elements = table.map_err(malformed)?.ty.initial;
                    at_most("elements in a table", elements, limits.table_elements)?;
                }
            }
            _ => {}
        }
        at_most("functions", functions.into(), limits.functions)?;
        at_most("modules and instances", parts.into(), PARTS_MAX.into())?;
    }
    match needs(bytes).lacking(&generous()) {
        Some(lacking) => Err(lacking.to_string()),
        None => Ok(()),
    }
}

/// Grants for which nothing but a provider can be missing.
fn generous() -> Grants {
    let mut grants = Grants::default();
    grants.network.extend("any.test:1".parse());
    grants
}

/// Checks a component against the grants of the task that is to run it.
///
/// # Errors
/// The outcome of the task: rejected, with the import and the grant that is missing.
pub(crate) fn granted(program: &CommandPre<GuestState>, grants: &Grants) -> Result<(), Outcome> {
    if !grants.network.is_empty() || grants.network_denied {
        return Ok(());
    }
    let engine = program.engine();
    let ty = program.instance_pre().component().component_type();
    for (from, import) in ty.imports(engine) {
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        if let Some((name, _)) =
            interface.exports(engine).find(|(name, _)| wants_network(from, name))
        {
            let import = Import { from: from.to_owned(), name: Some(name.to_owned()) };
            let why = lacks_network(import).to_string();
            return Err(Outcome::ModuleRejected { why });
        }
    }
    Ok(())
}
