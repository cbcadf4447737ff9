//! Static admission: what a module or component needs, read from its bytes, against what its task
//! grants.
//!
//! Pure and without an engine, so that a command line says no before anything is sent. Always
//! holds: what is said here is said again where the program runs, by the same words of
//! [`wants_network`]; bytes that cannot be read need nothing, for whoever compiles them says what
//! is wrong with them. Deliberately absent: types. That an import has the right one is the
//! compiler's matter.
//!
//! What counts as a need of the network: an import of a function that opens a socket or looks up a
//! name. Importing `wasi:sockets` for its types and the functions of open sockets does not: the C
//! library of WASI 0.2 links those into programs that never open one.

mod component;
mod features;
mod outline;

pub use features::{features_off, lacking_features};
pub use outline::{Memory, Outline};

use skep_protocol::task::Grants;
use std::fmt;
use wasmparser::{Parser, Payload};

/// The modules from which a module may import.
const MODULES: [&str; 2] = ["wasi_snapshot_preview1", "skep"];
/// The packages of which a component may import interfaces, with the version they all have.
const PACKAGES: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
const VERSION: &str = "@0.2.";
/// skep's own interfaces.
const OWN: [&str; 3] =
    ["skep:cluster/guest@0.1.0", "skep:cluster/conversation@0.1.0", "skep:cluster/messages@0.1.0"];
/// The functions that open the network, by interface.
const NETWORK: [(&str, &str); 3] = [
    ("wasi:sockets/tcp-create-socket", "create-tcp-socket"),
    ("wasi:sockets/udp-create-socket", "create-udp-socket"),
    ("wasi:sockets/ip-name-lookup", "resolve-addresses"),
];
/// The first bytes of every Wasm file, and what follows in a component.
const MAGIC: &[u8] = b"\0asm";
const COMPONENT_LAYER: [u8; 2] = [1, 0];

/// One imported function, or an interface of which nothing is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// The module, or the interface with its version.
    pub from: String,
    /// The function. None: the interface as such.
    pub name: Option<String>,
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} of {}", name, self.from),
            None => f.write_str(&self.from),
        }
    }
}

/// What a program imports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    imports: Vec<Import>,
    component: bool,
}

/// Why a program cannot run as its task is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lacking {
    /// Nobody provides what it imports.
    #[error("it imports {import}, which skep does not provide: {provided}")]
    Provider {
        /// What it imports.
        import: Import,
        /// What there is instead.
        provided: &'static str,
    },
    /// Its task does not grant what it imports.
    #[error("it imports {import}, for which its task has no grant: {grant}")]
    Grant {
        /// What it imports.
        import: Import,
        /// The grant that is missing.
        grant: &'static str,
    },
}

/// Whether the bytes are a component's, by their header.
pub fn is_component(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) && bytes.get(6..8) == Some(&COMPONENT_LAYER)
}

/// Whether a function of an interface, named with or without a version, opens the network.
pub fn wants_network(interface: &str, function: &str) -> bool {
    let interface = interface.split('@').next().unwrap_or_default();
    NETWORK.contains(&(interface, function))
}

/// Reads what a program needs.
pub fn needs(bytes: &[u8]) -> Needs {
    if is_component(bytes) {
        let imports = component::imports(bytes).unwrap_or_default();
        return Needs { imports, component: true };
    }
    Needs { imports: module_imports(bytes).unwrap_or_default(), component: false }
}

fn module_imports(bytes: &[u8]) -> wasmparser::Result<Vec<Import>> {
    let mut all = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    let name = Some(import.name.to_owned());
                    all.push(Import { from: import.module.to_owned(), name });
                }
            }
            // Imports come before all code, which need not be read.
            Payload::CodeSectionStart { .. } => break,
            _ => {}
        }
    }
    Ok(all)
}

impl Needs {
    /// What the program imports, in the order of its bytes.
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// Whether it is a component.
    pub const fn is_component(&self) -> bool {
        self.component
    }

    /// Whether any import opens the network.
    pub fn network(&self) -> Option<&Import> {
        self.imports.iter().find(|import| {
            import.name.as_ref().is_some_and(|name| wants_network(&import.from, name))
        })
    }

    /// What stands between the program and a run with these grants, if anything does.
    pub fn lacking(&self, grants: &Grants) -> Option<Lacking> {
        if let Some(import) = self.imports.iter().find(|import| !self.is_provided(&import.from)) {
            let provided = if self.component {
                "its interfaces are those of wasi:cli, clocks, filesystem, io, random and sockets, \
                 version 0.2, and skep:cluster 0.1"
            } else {
                "its modules are skep and wasi_snapshot_preview1"
            };
            return Some(Lacking::Provider { import: import.clone(), provided });
        }
        match self.network() {
            Some(import) if grants.network.is_empty() && !grants.network_denied => {
                Some(lacks_network(import.clone()))
            }
            _ => None,
        }
    }

    fn is_provided(&self, from: &str) -> bool {
        if self.component {
            let of_wasi = PACKAGES.iter().any(|package| from.starts_with(package));
            (of_wasi && from.contains(VERSION)) || OWN.contains(&from)
        } else {
            MODULES.contains(&from)
        }
    }
}

/// That a program wants the network and its task grants none.
pub fn lacks_network(import: Import) -> Lacking {
    let grant = "name the peers that it may connect to (grants.network, --net HOST:PORT), \
                 or --net none to have each call denied";
    Lacking::Grant { import, grant }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacking(text: &str, grants: &Grants) -> Option<String> {
        let bytes = wat::parse_str(text).expect("the test's own text is right");
        needs(&bytes).lacking(grants).map(|lacking| lacking.to_string())
    }

    const OPENS: &str = r#"(component
        (import "wasi:cli/environment@0.2.3" (instance))
        (type $opens (instance (export "create-tcp-socket" (func))))
        (import "wasi:sockets/tcp-create-socket@0.2.3" (instance (type $opens))))"#;

    #[test]
    fn a_module_that_imports_from_nowhere_is_told_what_there_is() {
        let none = Grants::default();
        let text = r#"(module (import "env" "foo" (func)))"#;
        let why = "it imports foo of env, which skep does not provide: its modules are skep and \
                   wasi_snapshot_preview1";
        assert_eq!(lacking(text, &none).as_deref(), Some(why));
        let text = r#"(module (import "wasi_snapshot_preview1" "sock_send" (func)))"#;
        assert_eq!(lacking(text, &none), None);
    }

    #[test]
    fn a_component_that_opens_sockets_needs_a_peer() {
        let why = "it imports create-tcp-socket of wasi:sockets/tcp-create-socket@0.2.3, for which \
                   its task has no grant: name the peers that it may connect to (grants.network, \
                   --net HOST:PORT), or --net none to have each call denied";
        assert_eq!(lacking(OPENS, &Grants::default()).as_deref(), Some(why));
        let mut grants = Grants::default();
        grants.network.insert("example.org:443".parse().expect("a peer"));
        assert_eq!(lacking(OPENS, &grants), None);
        let denied = Grants { network_denied: true, ..Grants::default() };
        assert_eq!(lacking(OPENS, &denied), None);
    }

    #[test]
    fn a_component_that_only_closes_sockets_needs_none() {
        let text = r#"(component (import "wasi:sockets/tcp@0.2.0" (instance
            (export "tcp-socket" (type (sub resource)))
            (export "network" (type (sub resource))))))"#;
        assert_eq!(lacking(text, &Grants::default()), None);
    }

    #[test]
    fn a_component_of_another_world_is_told_so() {
        let http = r#"(component (import "wasi:http/types@0.2.0" (instance)))"#;
        let why = lacking(http, &Grants::default()).expect("a refusal");
        assert!(why.starts_with("it imports wasi:http/types@0.2.0, which skep does not provide"));
        let later = r#"(component (import "wasi:cli/run@0.3.0" (instance)))"#;
        assert!(lacking(later, &Grants::default()).is_some());
    }

    #[test]
    fn bytes_that_cannot_be_read_need_nothing() {
        let whole = wat::parse_str(OPENS).expect("text");
        for length in 0..whole.len() {
            needs(&whole[..length]);
        }
        assert_eq!(needs(b"nonsense"), Needs::default());
    }
}
