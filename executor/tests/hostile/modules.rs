//! Modules that are none, and modules that are there to be compiled for ever: all are rejected with
//! a reason before Cranelift sees them. What only the compiler's budget stops is tested where the
//! compiler is a process of its own.

use crate::kit::{Bench, EXITED, guest_bytes};
use skep_executor::{CompileError, compile_unlimited};
use skep_protocol::Nans;
use std::fs;
use tempfile::TempDir;

/// The ids of sections.
const CUSTOM: u8 = 0;
const TYPES: u8 = 1;
const FUNCTIONS: u8 = 3;
const MEMORIES: u8 = 5;
const EXPORTS: u8 = 7;
const CODE: u8 = 10;

/// The sections of a program that does nothing, in their order.
const ONE_TYPE: (u8, &[u8]) = (TYPES, &[1, 0x60, 0, 0]);
const ONE_FUNCTION: (u8, &[u8]) = (FUNCTIONS, &[1, 0]);
const START: (u8, &[u8]) = (EXPORTS, b"\x01\x06_start\x00\x00");
const ONE_BODY: (u8, &[u8]) = (CODE, &[1, 2, 0, 0x0b]);

/// A module of these sections, each with its right length.
fn module(sections: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    for (id, content) in sections {
        bytes.push(*id);
        bytes.extend(leb(content.len()));
        bytes.extend_from_slice(content);
    }
    bytes
}

/// An unsigned number as Wasm writes it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A compiler with a folder to work in.
struct Press {
    folder: TempDir,
}

impl Press {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn compile(&self, bytes: &[u8]) -> Result<(), CompileError> {
        let (file, artifact) =
            (self.folder.path().join("module.wasm"), self.folder.path().join("artifact"));
        fs::write(&file, bytes).expect("written");
        let compiled = compile_unlimited(&file, &artifact, Nans::Native);
        assert_eq!(artifact.exists(), compiled.is_ok(), "there is an artifact or an error");
        if compiled.is_ok() {
            fs::remove_file(artifact).expect("removed");
        }
        compiled.map(|_| ())
    }

    fn refusal(&self, what: &str, bytes: &[u8]) -> String {
        match self.compile(bytes) {
            Err(CompileError::Rejected { why }) => why,
            other => panic!("{what} was not rejected: {other:?}"),
        }
    }
}

#[test]
fn a_bad_module_is_rejected_with_a_reason() {
    let noop = guest_bytes("noop");
    let mut damaged = noop.clone();
    damaged[9] = 0xff;
    let cases = [
        (b"#!/bin/sh\n".to_vec(), "it is not Wasm: it does not begin with \\0asm"),
        (Vec::new(), "it is empty"),
        (noop[..6].to_vec(), "it is truncated: not even its header is whole"),
        (noop[..noop.len() - 3].to_vec(), "it is truncated or damaged: "),
        (damaged, "it is truncated or damaged: "),
        (guest_bytes("import_unknown"), "it imports env.foo, which skep does not provide: "),
        (guest_bytes("component"), "it is a component that exports no wasi:cli/run of WASI 0.2"),
        (guest_bytes("library"), "it exports no function _start"),
        (guest_bytes("threads"), "it uses threads, which skep has turned off: "),
    ];
    let press = Press::new();
    for (bytes, expected) in cases {
        let why = press.refusal(expected, &bytes);
        assert!(why.starts_with(expected), "{why}");
    }
}

#[test]
fn a_module_cut_anywhere_is_rejected() {
    let press = Press::new();
    let whole = module(&[ONE_TYPE, ONE_FUNCTION, START, ONE_BODY]);
    assert_eq!(press.compile(&whole), Ok(()));
    for length in 0..whole.len() {
        press.refusal(&format!("a module cut at {length}"), &whole[..length]);
    }
}

#[test]
fn a_module_whose_bytes_are_not_what_they_say_is_rejected() {
    let mut long = module(&[ONE_TYPE, ONE_FUNCTION, START]);
    long.extend([CODE, 100, 1, 2, 0, 0x0b]);
    let cases: [(&str, Vec<u8>); 15] = [
        ("a section longer than the file", long),
        ("code ahead of types", module(&[ONE_BODY, ONE_TYPE, ONE_FUNCTION, START])),
        ("types twice", module(&[ONE_TYPE, ONE_TYPE, ONE_FUNCTION, START, ONE_BODY])),
        (
            "a section of no known kind",
            module(&[ONE_TYPE, ONE_FUNCTION, START, ONE_BODY, (77, &[])]),
        ),
        ("a number of six bytes", module(&[(TYPES, &[0x81, 0x80, 0x80, 0x80, 0x80, 0x00])])),
        ("a number of 35 bits", module(&[(TYPES, &[0xff, 0xff, 0xff, 0xff, 0x7f])])),
        ("four billion types in no bytes", module(&[(TYPES, &[0xff, 0xff, 0xff, 0xff, 0x0f])])),
        ("bytes behind the last type", module(&[(TYPES, &[1, 0x60, 0, 0, 9])])),
        ("a type of no known kind", module(&[(TYPES, &[1, 0x11, 0, 0])])),
        ("a value of no known type", module(&[(TYPES, &[1, 0x60, 1, 0x33, 0])])),
        ("a function without a body", module(&[ONE_TYPE, ONE_FUNCTION, START])),
        ("a body without a function", module(&[ONE_TYPE, (EXPORTS, &[0]), ONE_BODY])),
        ("a function of no type", module(&[ONE_TYPE, (FUNCTIONS, &[1, 9]), START, ONE_BODY])),
        (
            "a body without an end",
            module(&[ONE_TYPE, ONE_FUNCTION, START, (CODE, &[1, 2, 0, 0x01])]),
        ),
        (
            "a name that is no text",
            module(&[ONE_TYPE, ONE_FUNCTION, (EXPORTS, b"\x01\x02\xff\xfe\x00\x00"), ONE_BODY]),
        ),
    ];
    let press = Press::new();
    assert_eq!(press.compile(&module(&[ONE_TYPE, ONE_FUNCTION, START, ONE_BODY])), Ok(()));
    for (what, bytes) in cases {
        press.refusal(what, &bytes);
    }
}

#[test]
fn a_module_that_breaks_a_rule_of_wasm_is_rejected() {
    let press = Press::new();
    for (what, fault) in [
        ("a missing result", "(func (result i32))"),
        ("a value of another type", "(func (result i32) (i64.const 1))"),
        ("a value too many", "(func (i32.const 1))"),
        ("a branch to nowhere", "(func (br 7))"),
        ("a call to nowhere", "(func (call 99))"),
        ("a local that is none", "(func (drop (local.get 3)))"),
        (
            "a change of a constant",
            "(global i32 (i32.const 0)) (func (global.set 0 (i32.const 1)))",
        ),
        ("data without a memory to put them in", "(data (i32.const 0) \"x\")"),
        (
            "a table without elements to copy",
            "(func (table.copy 0 0 (i32.const 0) (i32.const 0) (i32.const 0)))",
        ),
        ("a start with parameters", "(func $f (param i32)) (start $f)"),
        ("one name for two exports", "(func (export \"a\")) (func (export \"a\"))"),
        ("a memory larger than 32 bits reach", "(memory 65537)"),
        ("a memory that begins above its end", "(memory 2 1)"),
        ("an alignment that is none", "(memory 1) (func (drop (i32.load align=16 (i32.const 0))))"),
    ] {
        let text = format!("(module (func (export \"_start\")) {fault})");
        // Some of it the assembler already refuses to write.
        if let Ok(bytes) = wat::parse_str(&text) {
            press.refusal(what, &bytes);
        }
    }
}

/// What uses a feature that is off, and how the feature is called.
const OFF: [(&str, &str); 19] = [
    ("(memory i64 1)", "memory64"),
    ("(table i64 1 funcref)", "memory64"),
    ("(memory 1) (memory 1)", "multiple memories"),
    ("(memory 1 1 shared)", "threads"),
    ("(memory 1) (func (drop (i32.atomic.load (i32.const 0))))", "threads"),
    ("(func (atomic.fence))", "threads"),
    ("(func $f (return_call $f))", "tail calls"),
    (
        "(type $f (func)) (table 1 funcref) (func (return_call_indirect (type $f) (i32.const 0)))",
        "tail calls",
    ),
    ("(tag $t) (func (throw $t))", "exception handling"),
    ("(tag $t)", "exception handling"),
    ("(func (param exnref))", "exception handling"),
    ("(type (struct (field i32)))", "garbage collection"),
    ("(type (array i8))", "garbage collection"),
    ("(func (param anyref))", "garbage collection"),
    ("(func (drop (ref.i31 (i32.const 1))))", "garbage collection"),
    ("(type $f (func)) (func (param (ref $f)))", "typed function references"),
    ("(type $f (func)) (type $c (cont $f))", "stack switching"),
    ("(memory 1 (pagesize 1))", "custom page sizes"),
    (
        "(func (param i64 i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 1)))",
        "wide arithmetic",
    ),
];

#[test]
fn what_uses_a_feature_that_is_off_is_rejected_by_the_features_name() {
    let press = Press::new();
    for (feature, name) in OFF {
        let text = format!("(module (func (export \"_start\")) {feature})");
        let why = press.refusal(feature, &wat::parse_str(&text).expect("text"));
        let expected = format!("it uses {name}, which skep has turned off: ");
        assert!(why.starts_with(&expected) && why.len() > expected.len(), "{feature}: {why}");
    }
    let both = "(module (memory i64 1) (func $f (export \"_start\") (return_call $f)))";
    assert_eq!(
        press.refusal("two", &wat::parse_str(both).expect("text")),
        "it uses memory64 and tail calls, which skep has turned off: build it for wasm32: it may \
         have 4 GiB there; build it without them (clang: -mno-tail-call, Rust: \
         -C target-feature=-tail-call)"
    );
}

#[test]
fn a_feature_that_is_off_is_the_reason_where_there_are_others_too() {
    let press = Press::new();
    for (what, module) in [
        (
            "an import that nobody provides",
            "(import \"env\" \"memory\" (memory 1 2 shared))
             (import \"wasi\" \"thread-spawn\" (func (param i32) (result i32)))
             (func (export \"_start\"))",
        ),
        ("no start", "(memory 1 2 shared)"),
    ] {
        let bytes = wat::parse_str(format!("(module {module})")).expect("text");
        let why = press.refusal(what, &bytes);
        assert!(why.starts_with("it uses threads, which skep has turned off: "), "{why}");
    }
}

#[test]
fn a_component_whose_module_uses_a_feature_that_is_off_is_rejected_by_its_name() {
    let press = Press::new();
    for (component, name) in [
        ("(core module (func $f (return_call $f)))", "tail calls"),
        ("(core module (tag $t) (func (throw $t)))", "exception handling"),
        ("(type (future))", "async of the component model"),
        ("(type (stream u8))", "async of the component model"),
        ("(type (list u8 4))", "fixed-length lists of the component model"),
    ] {
        let bytes = wat::parse_str(format!("(component {component})")).expect("text");
        let why = press.refusal(component, &bytes);
        let expected = format!("it uses {name}, which skep has turned off: ");
        assert!(why.starts_with(&expected), "{component}: {why}");
    }
}

#[tokio::test]
async fn what_says_nothing_of_the_program_may_be_anything() {
    let bench = Bench::new();
    let garbage = b"\x04name\xff\xff\xff\xff\xff\xff\xff\xff";
    let bytes = module(&[
        (CUSTOM, garbage),
        ONE_TYPE,
        ONE_FUNCTION,
        (MEMORIES, &[1, 0, 0]),
        START,
        ONE_BODY,
        (CUSTOM, b"\x0b.debug_info\x00\x01\x02"),
        (CUSTOM, garbage),
    ]);
    let guest = bench.guest_of("garbled", &bytes);
    assert_eq!(bench.outcome(guest).await, EXITED);
}

/// A program with one more function, whose body this is.
fn with_body(body: &[u8]) -> Vec<u8> {
    let mut code = vec![2, 2, 0, 0x0b];
    code.extend(leb(body.len()));
    code.extend_from_slice(body);
    module(&[ONE_TYPE, (FUNCTIONS, &[2, 0, 0]), START, (CODE, &code)])
}

/// `count` times the same bytes, as a list.
fn list(count: usize, item: &[u8]) -> Vec<u8> {
    let mut bytes = leb(count);
    bytes.extend(item.repeat(count));
    bytes
}

#[test]
fn a_module_of_an_unbearable_shape_is_rejected_before_it_is_compiled() {
    let many_locals = [&[1][..], &leb(4_000_000_000), &[0x7f, 0x0b]].concat();
    let groups_of_locals = [list(60_000, &[1, 0x7f]), vec![0x0b]].concat();
    // An index, then a jump table to the function's own end.
    let table = [&[0, 0x41, 0, 0x0e][..], &list(100_000, &[0]), &[0, 0x0b]].concat();
    let long = [&[0][..], &[0x41, 0, 0x1a].repeat(1 << 20), &[0x0b]].concat();
    let functions = 300_000;
    let elements = [&[1, 0x70, 0][..], &leb(4_000_000_000)].concat();
    let cases: [(&str, Vec<u8>); 7] = [
        ("four billion locals", with_body(&many_locals)),
        ("sixty thousand locals", with_body(&groups_of_locals)),
        ("a jump table of a hundred thousand", with_body(&table)),
        ("a function of three megabytes", with_body(&long)),
        ("two hundred thousand types", module(&[(TYPES, &list(200_000, &[0x60, 0, 0]))])),
        (
            "three hundred thousand functions",
            module(&[
                ONE_TYPE,
                (FUNCTIONS, &list(functions, &[0])),
                START,
                (CODE, &list(functions, &[2, 0, 0x0b])),
            ]),
        ),
        (
            "a table of four billion elements",
            module(&[ONE_TYPE, ONE_FUNCTION, (4, &elements), START, ONE_BODY]),
        ),
    ];
    let press = Press::new();
    for (what, bytes) in cases {
        press.refusal(what, &bytes);
    }
}

#[test]
fn a_module_that_is_nested_as_deep_as_it_fits_harms_nobody() {
    let press = Press::new();
    for depth in [1_000, 30_000] {
        // Blocks in blocks; then branches out of all of them, from the innermost.
        let blocks = [0x02, 0x40].repeat(depth);
        let body = [&[0][..], &blocks, &vec![0x0b; depth], &[0x0b]].concat();
        let compiled = press.compile(&with_body(&body));
        let is_answer = matches!(compiled, Ok(()) | Err(CompileError::Rejected { .. }));
        assert!(is_answer, "{compiled:?}");
    }
}
