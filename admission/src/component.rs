//! The imports of a component: interfaces, and of each the functions that it names.
//!
//! An import of an interface points to a type, whose exports are the functions in use: tools leave
//! out the others. Types are numbered by all that makes one, so these are counted along.

use crate::Import;
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind, ComponentType,
    ComponentTypeRef, InstanceTypeDeclaration, Parser, Payload, Result,
};

/// The functions of one type, if it is an interface's.
type Functions = Vec<String>;

pub(crate) fn imports(bytes: &[u8]) -> Result<Vec<Import>> {
    let mut outline = Outline::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            // What lies deeper imports from what lies around it, not from us.
            payload if depth == 0 => outline.add(payload)?,
            _ => {}
        }
    }
    Ok(outline.imports)
}

#[derive(Default)]
struct Outline {
    types: Vec<Functions>,
    imports: Vec<Import>,
}

impl Outline {
    fn add(&mut self, payload: Payload<'_>) -> Result<()> {
        match payload {
            Payload::ComponentTypeSection(types) => {
                for ty in types {
                    self.types.push(functions(&ty?));
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    if is_type(&alias?) {
                        self.types.push(Functions::new());
                    }
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    if export?.kind == ComponentExternalKind::Type {
                        self.types.push(Functions::new());
                    }
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    let import = import?;
                    self.import(import.name.name, import.ty);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, from: &str, ty: ComponentTypeRef) {
        let import = |name| Import { from: from.to_owned(), name };
        match ty {
            ComponentTypeRef::Instance(index) => {
                self.imports.push(import(None));
                let used = self.types.get(index as usize).into_iter().flatten();
                self.imports.extend(used.map(|name| import(Some(name.clone()))));
            }
            ComponentTypeRef::Type(_) => {
                self.types.push(Functions::new());
                self.imports.push(import(None));
            }
            _ => self.imports.push(import(None)),
        }
    }
}

fn functions(ty: &ComponentType<'_>) -> Functions {
    let ComponentType::Instance(declarations) = ty else { return Functions::new() };
    let function = |declaration: &InstanceTypeDeclaration<'_>| match declaration {
        InstanceTypeDeclaration::Export { name, ty: ComponentTypeRef::Func(_) } => {
            Some(name.name.to_owned())
        }
        _ => None,
    };
    declarations.iter().filter_map(function).collect()
}

fn is_type(alias: &ComponentAlias<'_>) -> bool {
    matches!(
        alias,
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Type, .. }
            | ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. }
    )
}
